//! Lists and lines that several commands print.

use std::io;

use super::failure::one_line;
use crate::backbone::Candidate;
use crate::engine::LabelSource;
use crate::wire::{HeadEntry, SampleEntry};
use crate::words::Label;

/// One line a head.
pub fn heads(rows: &[HeadEntry], out: &mut dyn io::Write) -> io::Result<()> {
    if rows.is_empty() {
        writeln!(out, "no heads yet; label images of two classes and train")?;
    }
    for row in rows {
        let accuracy = row.accuracy.map_or("     -".into(), |accuracy| format!("{:5.1}%", 100.0 * accuracy));
        let status = format!("{:?}", row.status).to_lowercase();
        writeln!(out, "{:4}  {}  {}  {status:8}  {accuracy}  {}", row.version, row.id, row.created, row.reason)?;
    }
    Ok(())
}

/// One line a sample, under a headline.
pub fn samples(rows: &[SampleEntry], out: &mut dyn io::Write) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no such samples");
    }
    let width = |text: fn(&SampleEntry) -> Option<&Label>| {
        rows.iter().filter_map(text).map(|label| label.as_str().chars().count()).max().unwrap_or(0).max(9)
    };
    let (label_width, predicted_width) = (width(|row| row.label.as_ref()), width(|row| row.predicted.as_ref()));
    let head = ("image", "label", "by", "predicted", "arrived");
    writeln!(
        out,
        "{:12}  {:label_width$}  {:6}  {:predicted_width$}         {:24}  path",
        head.0, head.1, head.2, head.3, head.4
    )?;
    for row in rows {
        let text = |label: &Option<Label>| label.as_ref().map_or("-".into(), ToString::to_string);
        writeln!(
            out,
            "{}  {:label_width$}  {:6}  {:predicted_width$} {}  {}  {}",
            row.image.0.short(),
            text(&row.label),
            row.label_source.map_or("-", LabelSource::as_str),
            text(&row.predicted),
            row.probability.map_or("      ".into(), |probability| format!("{:5.1}%", 100.0 * probability)),
            row.arrived_at,
            one_line(&row.path),
        )?;
    }
    Ok(())
}

/// A tensor that could be the embedding, in one line.
pub fn candidate(tensor: &Candidate) -> String {
    let dim = tensor.dim.map_or("?".into(), |dim| dim.to_string());
    format!("{}  dim {dim}, pool {} ({}, {})", tensor.tensor, tensor.pool.as_str(), tensor.op, tensor.why)
}
