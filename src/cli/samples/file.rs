//! Files of samples and labels: CSV and JSON Lines, by their ending.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::failure::{Failure, LineProblem};
use crate::wire::{ImagePrefix, SampleEntry};
use crate::words::{Label, SourceId, TaskId};

/// A row of 100,000 samples takes some 300 bytes.
const BYTES_MAX: u64 = 256 << 20;

/// Columns, in the order in which they are written; fields of [`SampleEntry`].
const COLUMNS: [&str; 10] = [
    "image",
    "path",
    "label",
    "label_source",
    "labelled_at",
    "arrived_at",
    "predicted",
    "probability",
    "group",
    "fold",
];

/// The column after these where any sample is a frame.
const SOURCE: &str = "source";

/// The column after these where any sample is excluded.
const EXCLUDED: &str = "excluded";

/// The column after these where the configuration names tasks.
const TASK: &str = "task";

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
    /// Whose label it is, if it says so.
    pub task: Option<TaskId>,
    /// Which image.
    pub image: ImagePrefix,
    /// `None` removes.
    pub label: Option<Label>,
}

/// A file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With a header; values with commas, quotation marks or line ends are quoted.
    Csv,
    /// An object a line.
    JsonLines,
}

/// The format by the file's extension; `action` is the attempted action, for the error.
pub fn form(path: &Path, action: &str) -> Result<Form, Failure> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("csv") => Ok(Form::Csv),
        Some("jsonl" | "ndjson") => Ok(Form::JsonLines),
        _ => Err(Failure::usage(format!(
            "cannot {action} {}: samples come as .csv, .jsonl or .ndjson; name the file so",
            path.display()
        ))),
    }
}

/// `rows` as the bytes of a file, each with the name of their `task` where that is given.
pub fn written(rows: &[SampleEntry], task: Option<&TaskId>, form: Form) -> io::Result<Vec<u8>> {
    match form {
        Form::Csv => {
            let has_frames = rows.iter().any(|row| row.source.is_some());
            let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
            let has_excluded = rows.iter().any(|row| row.excluded);
            let more = has_frames.then_some(SOURCE).into_iter().chain(has_excluded.then_some(EXCLUDED));
            writer.write_record(COLUMNS.into_iter().chain(more).chain(task.map(|_| TASK)))?;
            for row in rows {
                let SampleEntry { image, path, label, label_source, labelled_at, arrived_at, .. } = row;
                let SampleEntry { predicted, probability, group, fold, source, excluded, .. } = row;
                let more: Vec<&str> = (has_frames.then(|| source.as_ref().map_or("", SourceId::as_str)).into_iter())
                    .chain(has_excluded.then_some(if *excluded { "true" } else { "" }))
                    .chain(task.map(TaskId::as_str))
                    .collect();
                let given = (image, path, label, label_source, labelled_at, arrived_at);
                writer.serialize((given, (predicted, probability, group, fold), more))?;
            }
            writer.into_inner().map_err(csv::IntoInnerError::into_error)
        }
        Form::JsonLines => {
            let mut bytes = Vec::new();
            for sample in rows {
                serde_json::to_writer(&mut bytes, &Row { sample, task })?;
                bytes.push(b'\n');
            }
            Ok(bytes)
        }
    }
}

/// The labels in a file, and its lines that are wrong; what it says of tasks counts where the configuration names some.
pub fn read(path: &Path, names_tasks: bool) -> Result<(Vec<LabelLine>, Vec<LineProblem>), Failure> {
    let form = form(path, "read")?;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    let refused = |reason: String| Failure::failed(format!("cannot read {}: {reason}", path.display()));
    read.map_err(|error| refused(format!("{error}; give the path of a file that 'samples export' writes")))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refused(format!("it has more than {BYTES_MAX} bytes; divide it")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match form {
        Form::Csv => from_csv(bytes, names_tasks).map_err(refused),
        Form::JsonLines => Ok(from_json_lines(bytes, names_tasks)),
    }
}

fn from_csv(bytes: &[u8], names_tasks: bool) -> Result<(Vec<LabelLine>, Vec<LineProblem>), String> {
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
    let (mut items, mut wrong) = (Vec::new(), Vec::new());
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
            Ok(item) => items.push(item),
            Err(reason) => wrong.push(LineProblem { line, reason }),
        }
    }
    Ok((items, wrong))
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| {
        format!("{:?} is not UTF-8; save the file as UTF-8", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]))
    })
}

fn item(line: u64, image: &str, label: &str, task: &str) -> Result<LabelLine, String> {
    let image = image.trim().parse::<ImagePrefix>().map_err(|error| error.to_string())?;
    let label = label.trim();
    let label = (!label.is_empty()).then(|| Label::new(label)).transpose().map_err(|error| error.to_string())?;
    let task = task.trim();
    let task = (!task.is_empty()).then(|| task.parse::<TaskId>()).transpose().map_err(|error| error.to_string())?;
    Ok(LabelLine { line, task, image, label })
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

fn from_json_lines(bytes: &[u8], names_tasks: bool) -> (Vec<LabelLine>, Vec<LineProblem>) {
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
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
            Ok(item) => lines.push(item),
            Err(reason) => wrong.push(LineProblem { line, reason }),
        }
    }
    (lines, wrong)
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
    fn columns_are_the_fields_of_a_row() {
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
        let object = serde_json::to_value(&entry).expect("plain fields");
        let mut columns = COLUMNS.map(str::to_owned);
        columns.sort();
        assert_eq!(object.as_object().expect("an object").keys().cloned().collect::<Vec<_>>(), columns);
        let frame = SampleEntry { path: None, source: Some("gate".parse().expect("a name")), ..entry.clone() };
        let text = written(&[entry.clone(), frame], Some(&TaskId::default()), Form::Csv).expect("is written");
        let text = String::from_utf8(text).expect("is text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("{},source,task", COLUMNS.join(",")));
        assert!(lines[1].starts_with(&format!("{id},/1.jpg,,")) && lines[1].ends_with(",,default"), "{text}");
        assert!(lines[2].starts_with(&format!("{id},,,")) && lines[2].ends_with(",gate,default"), "{text}");
        let excluded = SampleEntry { excluded: true, ..entry.clone() };
        let text =
            String::from_utf8(written(&[entry, excluded], None, Form::Csv).expect("is written")).expect("is text");
        let ends: Vec<&str> = text.lines().map(|line| line.rsplit(',').next().unwrap_or_default()).collect();
        assert_eq!(ends, ["excluded", "", "true"]);
    }
}
