//! Errors and foreign text on one line; what a text names.

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

/// Whether the value of `backbone.model`, or of `--backbone`, is a manifest's path: it has a slash, or ends in `.yaml`
/// or `.yml`. Any other one is a bundled backbone's name.
#[must_use]
pub fn is_manifest_path(value: &str) -> bool {
    let ending = value.rsplit_once('.').map_or("", |(_, ending)| ending);
    value.contains('/') || ["yaml", "yml"].iter().any(|yaml| ending.eq_ignore_ascii_case(yaml))
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
    fn a_manifest_is_named_by_a_path_and_a_bundled_backbone_by_a_word() {
        for path in ["/srv/mine.yaml", "./default", "mine.yml", "MINE.YAML", "a/b"] {
            assert!(is_manifest_path(path), "{path}");
        }
        for name in ["default", "default-int8", "yaml", "mine.v2", ""] {
            assert!(!is_manifest_path(name), "{name}");
        }
    }

    #[test]
    fn foreign_text_comes_on_one_line_and_is_cut() {
        assert_eq!(on_one_line("found 0\n) at\tline\u{7} 2\n\n"), "found 0 ) at line\\u{7} 2");
        assert_eq!(on_one_line(&"a\n b".repeat(100)).chars().count(), LONGEST + 1);
    }
}
