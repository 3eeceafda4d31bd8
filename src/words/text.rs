//! Errors and foreign text on one line.

use std::error::Error;

/// An error with all its causes, on one line.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The most characters of a foreign text that are shown.
const LONGEST: usize = 240;

/// A text by a library, which may quote a file, on one line and with control characters escaped; cut to 240 characters.
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
    fn foreign_text_comes_on_one_line_and_is_cut() {
        assert_eq!(on_one_line("found 0\n) at\tline\u{7} 2\n\n"), "found 0 ) at line\\u{7} 2");
        assert_eq!(on_one_line(&"a\n b".repeat(100)).chars().count(), LONGEST + 1);
    }
}
