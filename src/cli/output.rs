//! What commands write: results to standard output, everything else to standard error, files whole or not at all; and
//! the lists and lines that several of them print.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::failure::{Failure, whence};
use crate::backbone::Candidate;
use crate::engine::LabelSource;
use crate::store::files::NewFile;
use crate::wire::command::{Restored, Undone};
use crate::wire::{HeadEntry, SampleEntry, SwitchPhase, SwitchReport};
use crate::words::Label;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// One JSON document and nothing else.
    pub json: bool,
}

impl Output {
    /// Prints `value` as JSON, or what `text` writes.
    ///
    /// A reader that went away (`| head`) is not a failure; a full disk is.
    pub fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = if self.json {
            serde_json::to_writer_pretty(&mut stdout, value).map_err(io::Error::from).and_then(|()| writeln!(stdout))
        } else {
            text(&mut stdout)
        };
        match written.and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(format!(
                "cannot write the result to standard output: {error}; make room there or send it elsewhere"
            ))),
            _ => Ok(()),
        }
    }

    /// A line of what is done, on standard error.
    pub fn say(self, line: &str) {
        if !self.json {
            eprintln!("{line}");
        }
    }

    /// A progress bar on standard error; invisible where that is no terminal or a program reads the result.
    pub fn progress(self, length: u64, what: &'static str) -> ProgressBar {
        let seen = io::stderr().is_terminal() && !self.json;
        let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        bar
    }
}

/// Names in a message at most.
const NAMED: usize = 20;

/// Class names for a message, of many the first ones and how many more there are.
pub fn listed(classes: &[Label]) -> String {
    let named: Vec<&str> = classes.iter().take(NAMED).map(Label::as_str).collect();
    match classes.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Counts of files by the endings of their names: `1 .heic and 3 .tif`.
pub fn by_ending<T: std::fmt::Display>(counts: &BTreeMap<T, u64>) -> String {
    counts.iter().map(|(ending, count)| format!("{count} .{ending}")).collect::<Vec<_>>().join(" and ")
}

/// Whether both paths lead to one file.
pub fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Writes a file in place of the one that was there; durable when this returns.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_checked(path, bytes, |_| Ok(()))
}

/// Writes a file beside its place, lets `check` look at it there, and puts it in its place if that finds nothing wrong.
pub fn write_checked<T>(
    path: &Path,
    bytes: &[u8],
    check: impl FnOnce(&Path) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed = |error| {
        Failure::failed(format!(
            "cannot write {}: {error}; check the folder, its owner and the free space on the disk",
            path.display()
        ))
    };
    let mut file = NewFile::begin(path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    let found = check(file.beside())?;
    file.put().map_err(failed)?;
    Ok(found)
}

/// One line a head.
pub fn heads(rows: &[HeadEntry], out: &mut dyn Write) -> io::Result<()> {
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

/// What was undone.
pub fn undone(undone: &Undone, out: &mut dyn Write) -> io::Result<()> {
    let Undone { change, source, at, changed, kept, awaited, restored } = undone;
    let source = source.as_str();
    let what = if restored.iter().any(|restored| restored.excluded.is_some()) { "images" } else { "labels" };
    writeln!(out, "change {change} of {at}, by {source}, is undone; {what} changed: {changed}")?;
    if *kept > 0 {
        writeln!(out, "images that were changed after it, and stay so: {kept}")?;
    }
    if *awaited > 0 {
        writeln!(out, "labels that wait for their image: {awaited}")?;
    }
    let name = |label: &Option<Label>| label.as_ref().map_or("no label".into(), ToString::to_string);
    for Restored { image, label, instead_of, excluded } in restored {
        let image = image.0.short();
        match excluded {
            None => writeln!(out, "{image}  {}, not {}", name(label), name(instead_of))?,
            Some(true) => writeln!(out, "{image}  excluded again")?,
            Some(false) => writeln!(out, "{image}  no longer excluded, {}", name(label))?,
        }
    }
    if *changed > restored.len() {
        writeln!(out, "and {} more", changed - restored.len())?;
    }
    Ok(())
}

/// One line a sample, under a headline.
pub fn samples(rows: &[SampleEntry], out: &mut dyn Write) -> io::Result<()> {
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
            "{}  {:label_width$}  {:6}  {:predicted_width$} {}  {}  {}{}",
            row.image.0.short(),
            text(&row.label),
            row.label_source.map_or("-", LabelSource::as_str),
            text(&row.predicted),
            row.probability.map_or("      ".into(), |probability| format!("{:5.1}%", 100.0 * probability)),
            row.arrived_at,
            whence(row.path.as_deref(), row.source.as_ref()),
            if row.excluded { "  (excluded)" } else { "" },
        )?;
    }
    Ok(())
}

/// Where a switch to another backbone is, in one line.
pub fn switch(report: &SwitchReport) -> String {
    let SwitchReport { backbone, name, phase, embedded, of, reason, since } = report;
    let how = match phase {
        SwitchPhase::Preparing => match embedded.zip(*of) {
            Some((embedded, of)) => format!("is prepared, {embedded} of {of} images are embedded"),
            None => "is prepared".to_owned(),
        },
        SwitchPhase::Starting => "is accepted, and everything restarts with it".to_owned(),
        SwitchPhase::Trial => "serves, on probation for a minute".to_owned(),
        SwitchPhase::Installed => "serves".to_owned(),
        SwitchPhase::Refused => "was refused".to_owned(),
        SwitchPhase::Failed => "could not be prepared".to_owned(),
        SwitchPhase::Reverted => "did not hold, and the former backbone serves again".to_owned(),
        SwitchPhase::Cancelled => "was cancelled".to_owned(),
    };
    let why = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    format!("{backbone} ({name}) {how}, since {since}{why}")
}

/// A tensor that could be the embedding, in one line.
pub fn candidate(tensor: &Candidate) -> String {
    let dim = tensor.dim.map_or("?".into(), |dim| dim.to_string());
    format!("{}  dim {dim}, pool {} ({}, {})", tensor.tensor, tensor.pool.as_str(), tensor.op, tensor.why)
}
