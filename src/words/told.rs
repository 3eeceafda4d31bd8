//! Errors, and words from elsewhere, in one line.

use std::error::Error;

/// An error with all its causes, in one line.
#[must_use]
pub fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The most characters of somebody else's words.
const LONGEST: usize = 240;

/// `words` that a library chose, and that may repeat what a file says, on one line and without what cannot be seen; cut to
/// 240 characters.
#[must_use]
pub fn on_one_line(words: &str) -> String {
    let joined = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = String::new();
    for c in joined.chars().take(LONGEST) {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    if joined.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_from_elsewhere_stand_on_one_line_and_are_cut() {
        assert_eq!(on_one_line("found 0\n) at\tline\u{7} 2\n\n"), "found 0 ) at line\\u{7} 2");
        assert_eq!(on_one_line(&"a\n b".repeat(100)).chars().count(), LONGEST + 1);
    }
}
