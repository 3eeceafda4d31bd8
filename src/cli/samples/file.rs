//! What files say of labels, and those of text: CSV and JSON Lines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::columns::{self, TASK};
use crate::cli::failure::{Failure, LineProblem, one_line};
use crate::wire::{ImagePrefix, SampleEntry};
use crate::words::{Label, TaskId};

/// A row of 100,000 samples takes some 300 bytes.
const BYTES_MAX: u64 = 256 << 20;

/// A row, with its task where the configuration names tasks.
#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    sample: &'a SampleEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a TaskId>,
}

/// A label in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelLine {
    /// Where it begins, from 1.
    pub line: u64,
    /// What the file calls its picture, in formats where that says more than a line's number.
    pub name: Option<String>,
    /// Whose label it is, if it says so.
    pub task: Option<TaskId>,
    /// Which image.
    pub image: ImagePrefix,
    /// `None` removes.
    pub label: Option<Label>,
}

/// What is not imported of a file, though nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What the file calls it.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What a file says.
#[derive(Debug, Default)]
pub struct Read {
    /// Its labels.
    pub lines: Vec<LabelLine>,
    /// What is wrong with it.
    pub wrong: Vec<LineProblem>,
    /// What is left out.
    pub left_out: Vec<LeftOut>,
}

/// `rows` as the bytes of a table, each with the name of their `task` where that is given.
pub fn csv(rows: &[SampleEntry], task: Option<&TaskId>) -> io::Result<Vec<u8>> {
    let columns = columns::of(rows, task);
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(columns.iter().map(|column| column.name))?;
    for row in rows {
        writer.serialize(columns.iter().map(|column| (column.cell)(row, task)).collect::<Vec<_>>())?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

/// The same, an object a line.
pub fn json_lines(rows: &[SampleEntry], task: Option<&TaskId>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for sample in rows {
        serde_json::to_writer(&mut bytes, &Row { sample, task })?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Says what was left out and why, a line for each reason with the first names.
pub fn say_left_out(left_out: &[LeftOut], to: &mut dyn io::Write) -> io::Result<()> {
    const NAMED: usize = 10;
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for LeftOut { name, reason } in left_out {
        reasons.entry(reason).or_default().push(name);
    }
    for (reason, names) in reasons {
        let named = names[..names.len().min(NAMED)].join(", ");
        let more = match names.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more; --json names all"),
        };
        writeln!(to, "{}", one_line(&format!("left out: {}, {reason}: {named}{more}", names.len())))?;
    }
    Ok(())
}

/// Why a file cannot be read at all.
pub fn refused(path: &Path, reason: &str) -> Failure {
    Failure::failed(format!("cannot read {}: {reason}", path.display()))
}

/// The same, as the system says it.
pub fn unreadable(path: &Path, error: &io::Error) -> Failure {
    refused(path, &format!("{error}; give the path of a file that 'samples export' writes"))
}

/// The bytes of a file, without a mark of their order.
pub fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refused(path, &format!("it has more than {BYTES_MAX} bytes; divide it")));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// The labels of a table, and its lines that are wrong; what it says of tasks counts where the configuration names some.
pub fn from_csv(bytes: &[u8], names_tasks: bool) -> Result<Read, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader.byte_headers().map_err(|error| error.to_string())?.clone();
    let names: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_lowercase()).collect();
    let column = |name: &str| {
        let mut found = names.iter().enumerate().filter(|(_, other)| *other == name).map(|(index, _)| index);
        match (found.next(), found.next()) {
            (Some(index), None) => Ok(index),
            (Some(_), Some(_)) => Err(format!("it has two columns {name:?}; remove one")),
            (None, _) => {
                let found: String = names.join(",").chars().take(80).collect();
                Err(format!(
                    "its first line names no column {name:?}, expected at least \"image,label\" with commas between, \
                     found {found:?}"
                ))
            }
        }
    };
    let (image, label) = (column("image")?, column("label")?);
    let has_task = names_tasks && names.iter().any(|name| name == TASK);
    let task = has_task.then(|| column(TASK)).transpose()?;
    let mut read = Read::default();
    let mut lines = Lines { bytes, at: 0, line: 1 };
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| error.to_string())? {
        let line = lines.of(record.position().map_or(0, csv::Position::byte) as usize);
        let found = if record.len() == names.len() {
            let task = task.map_or(Ok(""), |task| text(&record[task]));
            text(&record[image]).and_then(|image| item(line, image, text(&record[label])?, task?))
        } else {
            let (found, expected) = (record.len(), names.len());
            Err(format!(
                "{found} columns where the first line names {expected}; look for a missing or stray comma or \
                         quotation mark"
            ))
        };
        match found {
            Ok(item) => read.lines.push(item),
            Err(reason) => read.wrong.push(LineProblem { line, reason }),
        }
    }
    Ok(read)
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| {
        format!("{:?} is not UTF-8; save the file as UTF-8", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]))
    })
}

/// The label of a line.
pub fn item(line: u64, image: &str, label: &str, task: &str) -> Result<LabelLine, String> {
    let image = image.trim().parse::<ImagePrefix>().map_err(|error| error.to_string())?;
    let label = label.trim();
    let label = (!label.is_empty()).then(|| Label::new(label)).transpose().map_err(|error| error.to_string())?;
    let task = task.trim();
    let task = (!task.is_empty()).then(|| task.parse::<TaskId>()).transpose().map_err(|error| error.to_string())?;
    Ok(LabelLine { line, name: None, task, image, label })
}

/// What counts of an object.
#[derive(Debug, Deserialize)]
struct Object {
    image: String,
    // One without this field is refused rather than taken for null.
    #[serde(deserialize_with = "Option::deserialize")]
    label: Option<String>,
    #[serde(default)]
    task: Value,
}

impl Object {
    /// Empty where it says none; what is no text names none either, and the error shows it.
    fn task(&self) -> String {
        match &self.task {
            Value::Null => String::new(),
            Value::String(name) => name.clone(),
            other => other.to_string(),
        }
    }
}

/// The same of objects, one a line.
pub fn from_json_lines(bytes: &[u8], names_tasks: bool) -> Read {
    let mut read = Read::default();
    for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let line = index as u64 + 1;
        let object = serde_json::from_slice::<Object>(bytes).map_err(|error| {
            // Its own line is always the first.
            let reason = error.to_string();
            format!("{}, in column {}", reason.split(" at line ").next().unwrap_or_default(), error.column())
        });
        let item = object.and_then(|object| {
            let task = if names_tasks { object.task() } else { String::new() };
            item(line, &object.image, object.label.as_deref().unwrap_or_default(), &task)
        });
        match item {
            Ok(item) => read.lines.push(item),
            Err(reason) => read.wrong.push(LineProblem { line, reason }),
        }
    }
    read
}

/// Counts lines up to a place in a text.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line, from 1, of the first byte at or behind `at` that ends no line; `at` must not go back.
    fn of(&mut self, at: usize) -> u64 {
        let is_end = |byte: Option<&u8>| matches!(byte, Some(b'\n' | b'\r'));
        while self.at < at || is_end(self.bytes.get(self.at)) {
            let Some(byte) = self.bytes.get(self.at) else { break };
            self.at += 1;
            let alone = *byte == b'\r' && self.bytes.get(self.at) != Some(&b'\n');
            self.line += u64::from(*byte == b'\n' || alone);
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{SampleId, Timestamp};

    #[test]
    fn a_row_is_where_it_begins_whatever_ends_its_lines() {
        for (end, text) in ["\n", "\r\n", "\r"].map(|end| (end, "a,b\n1,\"2\n3\"\n\n\n4,5\n6,7\n".replace('\n', end))) {
            let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
            let mut lines = Lines { bytes: text.as_bytes(), at: 0, line: 1 };
            let records: Vec<_> = reader.byte_records().map(|record| record.expect("is read")).collect();
            let found: Vec<_> =
                records.iter().map(|record| lines.of(record.position().expect("was read").byte() as usize)).collect();
            assert_eq!(found, [2, 6, 7], "lines end with {end:?}");
        }
    }

    #[test]
    fn a_table_has_columns_of_frames_and_tasks_where_there_are_some() {
        let id = SampleId::of(b"1");
        let entry = SampleEntry {
            image: id,
            path: Some("/1.jpg".into()),
            label: None,
            label_source: None,
            labelled_at: None,
            arrived_at: Timestamp(0),
            predicted: None,
            probability: None,
            group: id,
            fold: None,
            source: None,
            excluded: false,
        };
        let frame = SampleEntry { path: None, source: Some("gate".parse().expect("a name")), ..entry.clone() };
        let text = csv(&[entry.clone(), frame], Some(&TaskId::default())).expect("is written");
        let text = String::from_utf8(text).expect("is text");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("image,path,label,") && lines[0].ends_with(",fold,source,task"), "{text}");
        assert!(lines[1].starts_with(&format!("{id},/1.jpg,,")) && lines[1].ends_with(",,default"), "{text}");
        assert!(lines[2].starts_with(&format!("{id},,,")) && lines[2].ends_with(",gate,default"), "{text}");
        let excluded = SampleEntry { excluded: true, ..entry.clone() };
        let text = String::from_utf8(csv(&[entry, excluded], None).expect("is written")).expect("is text");
        let ends: Vec<&str> = text.lines().map(|line| line.rsplit(',').next().unwrap_or_default()).collect();
        assert_eq!(ends, ["excluded", "", "true"]);
    }
}
