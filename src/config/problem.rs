//! What is wrong with a configuration, in the words of `check --json`.

use std::fmt;

/// One problem: where it is, what was found, what was expected, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Name of the layer.
    pub file: String,
    /// Line in the file, from 1; `None` where the layer has no lines.
    pub line: Option<u64>,
    /// Dotted key, items of lists by `[index]` from 0; empty where the whole file is meant.
    pub key: String,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " found {}, expected {}; {}", self.found, self.expected, self.remedy)
    }
}

impl std::error::Error for Problem {}

/// `text` in quotes on one line, cut to 80 characters.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A key that somebody wrote, as problems show it: as it is when it is a word, else in quotes.
pub(super) fn shown_key(key: &str) -> String {
    const LONGEST: usize = 64;
    let is_word =
        !key.is_empty() && key.len() <= LONGEST && !key.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_word { key.to_owned() } else { quoted(key) }
}
