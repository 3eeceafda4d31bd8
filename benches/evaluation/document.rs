//! The document that `make evaluation` writes, and the block of it that `README.md` repeats.
//!
//! Pure. Its tests are in `tests/evaluation.rs`.

use std::fmt::Write as _;

/// Around the block that `README.md` and `docs/evaluation.md` share; both hold each mark once.
const MARKS: [&str; 2] = ["<!-- evaluation: made by `make evaluation` -->", "<!-- /evaluation -->"];

/// A heading and what is below it, up to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub heading: String,
    pub body: String,
}

/// Sections of `text`, which begin with lines `## heading`.
pub fn sections(text: &str) -> Vec<Section> {
    let parts = text.split("\n## ").skip(1);
    parts.filter_map(|part| part.split_once("\n\n")).map(|(heading, body)| Section::new(heading, body)).collect()
}

impl Section {
    pub fn new(heading: &str, body: &str) -> Self {
        Self { heading: heading.to_owned(), body: body.trim_end().to_owned() }
    }
}

/// `head`, then those of `headings` that there are: `fresh`, and the others as `old` has them.
pub fn assemble(head: &str, headings: &[&str], fresh: Section, old: &str) -> String {
    let mut sections = sections(old);
    sections.retain(|section| section.heading != fresh.heading);
    sections.push(fresh);
    let mut text = head.trim_end().to_owned() + "\n";
    for section in headings.iter().filter_map(|heading| sections.iter().find(|section| section.heading == *heading)) {
        let _ = write!(text, "\n## {}\n\n{}\n", section.heading, section.body);
    }
    text
}

/// `body` between the marks.
pub fn block(body: &str) -> String {
    format!("{}\n\n{}\n\n{}", MARKS[0], body.trim(), MARKS[1])
}

/// The block of `text` with its marks; `None` where it has none.
pub fn find_block(text: &str) -> Option<&str> {
    let start = text.find(MARKS[0])?;
    let end = start + text[start..].find(MARKS[1])? + MARKS[1].len();
    text.get(start..end)
}

/// `text` with its block replaced; `None` where it has none.
pub fn with_block(text: &str, block: &str) -> Option<String> {
    let old = find_block(text)?;
    Some(text.replacen(old, block, 1))
}
