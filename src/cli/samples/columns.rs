//! The columns of samples in tables: CSV and Parquet have these, in this order. A new field of a sample is a line here.

use serde::Serialize;

use crate::engine::LabelSource;
use crate::wire::SampleEntry;
use crate::words::{Label, SourceId, TaskId, Timestamp};

/// The column that names a task.
pub const TASK: &str = "task";

/// A column.
pub struct Column {
    /// As it stands in the header.
    pub name: &'static str,
    /// What its cells hold where they are not empty.
    pub kind: Kind,
    /// Its cell of a sample.
    pub cell: fn(&SampleEntry, Option<&TaskId>) -> Cell,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Time,
    /// A number of 0 to 1.
    Share,
    Count,
    /// True, or empty.
    Flag,
}

/// A value, or none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    Empty,
    Text(String),
    Time(Timestamp),
    Share(f32),
    Count(usize),
    Flag(bool),
}

fn text(value: Option<impl ToString>) -> Cell {
    value.map_or(Cell::Empty, |value| Cell::Text(value.to_string()))
}

/// Those that are always there.
const COLUMNS: [Column; 10] = [
    Column { name: "image", kind: Kind::Text, cell: |row, _| text(Some(row.image)) },
    Column { name: "path", kind: Kind::Text, cell: |row, _| text(row.path.as_ref()) },
    Column { name: "label", kind: Kind::Text, cell: |row, _| text(row.label.as_ref().map(Label::as_str)) },
    Column { name: "label_source", kind: Kind::Text, cell: |row, _| text(row.label_source.map(LabelSource::as_str)) },
    Column { name: "labelled_at", kind: Kind::Time, cell: |row, _| row.labelled_at.map_or(Cell::Empty, Cell::Time) },
    Column { name: "arrived_at", kind: Kind::Time, cell: |row, _| Cell::Time(row.arrived_at) },
    Column { name: "predicted", kind: Kind::Text, cell: |row, _| text(row.predicted.as_ref().map(Label::as_str)) },
    Column { name: "probability", kind: Kind::Share, cell: |row, _| row.probability.map_or(Cell::Empty, Cell::Share) },
    Column { name: "group", kind: Kind::Text, cell: |row, _| text(Some(row.group)) },
    Column { name: "fold", kind: Kind::Count, cell: |row, _| row.fold.map_or(Cell::Empty, Cell::Count) },
];

/// After these where any sample is a frame.
const OF_FRAMES: Column =
    Column { name: "source", kind: Kind::Text, cell: |row, _| text(row.source.as_ref().map(SourceId::as_str)) };

/// After these where any sample is excluded.
const OF_EXCLUDED: Column = Column {
    name: "excluded",
    kind: Kind::Flag,
    cell: |row, _| if row.excluded { Cell::Flag(true) } else { Cell::Empty },
};

/// After these where the configuration names tasks.
const OF_TASKS: Column = Column { name: TASK, kind: Kind::Text, cell: |_, task| text(task) };

/// The columns of these rows.
pub fn of(rows: &[SampleEntry], task: Option<&TaskId>) -> Vec<Column> {
    let has_frames = rows.iter().any(|row| row.source.is_some());
    let has_excluded = rows.iter().any(|row| row.excluded);
    let more = has_frames.then_some(OF_FRAMES).into_iter().chain(has_excluded.then_some(OF_EXCLUDED));
    COLUMNS.into_iter().chain(more).chain(task.map(|_| OF_TASKS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::SampleId;

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
            source: Some("gate".parse().expect("a name")),
            excluded: true,
        };
        let object = serde_json::to_value(&entry).expect("plain fields");
        let mut names: Vec<&str> = of(&[entry], None).iter().map(|column| column.name).collect();
        names.sort_unstable();
        assert_eq!(object.as_object().expect("an object").keys().collect::<Vec<_>>(), names);
    }
}
