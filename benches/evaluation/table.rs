//! Tables in Markdown, and numbers in them.

use std::fmt::Write as _;

/// A table with a heading row; the first column is text, the others are numbers.
pub struct Table {
    text: String,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        let align: Vec<&str> = (0..columns.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
        Self { text: format!("| {} |\n| {} |\n", columns.join(" | "), align.join(" | ")) }
    }

    pub fn row(&mut self, cells: &[String]) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// A share in percent with one digit.
pub fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// A share in percent, or `not run` for a peer that did not run.
pub fn percent_or(share: Option<f64>) -> String {
    share.map_or_else(|| "not run".to_owned(), percent)
}
