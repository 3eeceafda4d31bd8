//! Samples as a Parquet file: a row each, the columns of a table with their types.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;

use super::columns::{self, Cell, Kind, TASK};
use super::file::{self, Read, item};
use crate::cli::failure::{Failure, LineProblem};
use crate::wire::SampleEntry;
use crate::words::TaskId;

/// A reader takes so many rows into memory at a time.
const ROWS: usize = 10_000;

/// Rows of a file that are read; more samples than a device stores.
const ROWS_MAX: i64 = 1_000_000;

/// `rows` as the bytes of a file.
pub fn bytes(rows: &[SampleEntry], task: Option<&TaskId>) -> Result<Vec<u8>, ParquetError> {
    let columns = columns::of(rows, task);
    let fields = columns.iter().map(|column| match column.kind {
        Kind::Text => format!("OPTIONAL BYTE_ARRAY {} (UTF8);", column.name),
        Kind::Time => format!("OPTIONAL INT64 {} (TIMESTAMP(MILLIS, true));", column.name),
        Kind::Share => format!("OPTIONAL FLOAT {};", column.name),
        Kind::Count => format!("OPTIONAL INT32 {};", column.name),
        Kind::Flag => format!("OPTIONAL BOOLEAN {};", column.name),
    });
    let schema = parse_message_type(&format!("message samples {{ {} }}", fields.collect::<String>()))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    for rows in rows.chunks(ROWS) {
        let mut group = writer.next_row_group()?;
        for column in &columns {
            let cells: Vec<Cell> = rows.iter().map(|row| (column.cell)(row, task)).collect();
            let mut to = group.next_column()?.expect("a column of the schema");
            write(to.untyped(), cells)?;
            to.close()?;
        }
        group.close()?;
    }
    writer.into_inner()
}

fn write(to: &mut ColumnWriter<'_>, cells: Vec<Cell>) -> Result<(), ParquetError> {
    let is_there: Vec<i16> = cells.iter().map(|cell| i16::from(*cell != Cell::Empty)).collect();
    let (mut texts, mut times, mut shares, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut flags = Vec::new();
    for cell in cells {
        match cell {
            Cell::Empty => {}
            Cell::Text(text) => texts.push(ByteArray::from(text.into_bytes())),
            Cell::Time(time) => times.push(time.0),
            Cell::Share(share) => shares.push(share),
            Cell::Count(count) => counts.push(i32::try_from(count).unwrap_or(i32::MAX)),
            Cell::Flag(flag) => flags.push(flag),
        }
    }
    match to {
        ColumnWriter::ByteArrayColumnWriter(to) => to.write_batch(&texts, Some(&is_there), None)?,
        ColumnWriter::Int64ColumnWriter(to) => to.write_batch(&times, Some(&is_there), None)?,
        ColumnWriter::FloatColumnWriter(to) => to.write_batch(&shares, Some(&is_there), None)?,
        ColumnWriter::BoolColumnWriter(to) => to.write_batch(&flags, Some(&is_there), None)?,
        ColumnWriter::Int32ColumnWriter(to) => to.write_batch(&counts, Some(&is_there), None)?,
        _ => unreachable!("the schema has no other type"),
    };
    Ok(())
}

/// The labels in a file, or why it is none of labels.
pub fn read(path: &Path, names_tasks: bool) -> Result<Read, Failure> {
    let file = File::open(path).map_err(|error| file::unreadable(path, &error))?;
    // A reader that panics on a damaged file must cost that file, not the message.
    let read = std::panic::catch_unwind(|| labels(file, names_tasks));
    let read = read.unwrap_or_else(|_| Err("the reader panicked, its pages are damaged; write it again".into()));
    read.map_err(|reason| file::refused(path, &reason))
}

fn labels(file: File, names_tasks: bool) -> Result<Read, String> {
    let hint = |error: ParquetError| {
        format!("{error}; expected a Parquet file, not compressed or with Snappy (pandas: compression=\"snappy\")")
    };
    let reader = SerializedFileReader::new(file).map_err(hint)?;
    let projection = projection(reader.metadata().file_metadata().schema(), names_tasks)?;
    // What a file says of its size is no reason to read for ever.
    let groups = reader.metadata().row_groups();
    if groups.iter().fold(0_i64, |all, group| all.saturating_add(group.num_rows().max(0))) > ROWS_MAX {
        return Err(format!("it has more than {ROWS_MAX} rows; divide it"));
    }
    if !groups.iter().all(has_a_value_for_each_row) {
        return Err("its columns are shorter or longer than its rows are many; write it again".into());
    }
    let mut found = Read::default();
    for (line, row) in (1..).zip(reader.get_row_iter(Some(projection)).map_err(hint)?) {
        let row = row.map_err(hint)?;
        let cell = |name| text(&row, name);
        let item = cell("image").and_then(|image| item(line, image, cell("label")?, cell(TASK)?));
        match item {
            Ok(item) => found.lines.push(item),
            Err(reason) => found.wrong.push(LineProblem { line, reason }),
        }
    }
    Ok(found)
}

/// Whether every column that is no list has as many values, or places without one, as there are rows.
fn has_a_value_for_each_row(group: &RowGroupMetaData) -> bool {
    let mut columns = group.columns().iter().filter(|column| column.column_descr().max_rep_level() == 0);
    columns.all(|column| column.num_values() == group.num_rows())
}

/// The columns that count, as the file writes their names.
fn projection(schema: &Type, names_tasks: bool) -> Result<Type, String> {
    let names = |wanted: &str| -> Vec<Arc<Type>> {
        schema.get_fields().iter().filter(|field| folded(field.name()) == wanted).cloned().collect()
    };
    let mut fields = Vec::new();
    for wanted in ["image", "label"].into_iter().chain(names_tasks.then_some(TASK)) {
        match &names(wanted)[..] {
            [field] if field.is_primitive() => fields.push(Arc::clone(field)),
            [] if wanted == TASK => {}
            [] => {
                let found: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
                let found: String = found.join(", ").chars().take(80).collect();
                return Err(format!("it has no column {wanted:?}, expected at least image and label, found {found}"));
            }
            [_] => return Err(format!("its column {wanted:?} holds lists or groups, expected text")),
            _ => return Err(format!("it has two columns {wanted:?}; remove one")),
        }
    }
    Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(|error| error.to_string())
}

fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

/// A cell as text; empty where there is none.
fn text<'a>(row: &'a Row, wanted: &str) -> Result<&'a str, String> {
    let Some((_, field)) = row.get_column_iter().find(|(name, _)| folded(name) == wanted) else { return Ok("") };
    match field {
        Field::Null => Ok(""),
        Field::Str(text) => Ok(text),
        Field::Bytes(bytes) => bytes.as_utf8().map_err(|_| format!("its {wanted} is not UTF-8; write it as text")),
        other => Err(format!("its {wanted} is {other}, expected text; write the column as text")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::engine::LabelSource;
    use crate::words::{Label, SampleId, Timestamp};

    fn rows(n: usize) -> Vec<SampleEntry> {
        let row = |n: usize| {
            let label =
                (!n.is_multiple_of(3)).then(|| Label::new(["", "nut", "späte \"Mutter\""][n % 3]).expect("a label"));
            SampleEntry {
                image: SampleId::of(&n.to_le_bytes()),
                path: n.is_multiple_of(2).then(|| format!("/srv/ä {n}.jpg")),
                label_source: label.as_ref().map(|_| LabelSource::Import),
                labelled_at: label.as_ref().map(|_| Timestamp(1_700_000_000_000 + n as i64)),
                label,
                arrived_at: Timestamp(n as i64),
                predicted: None,
                probability: Some(0.25),
                group: SampleId::of(b"group"),
                fold: Some(n % 5),
                excluded: n == 3,
                source: (n % 2 == 1).then(|| "gate".parse().expect("a name")),
            }
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn labels_are_read_back_row_by_row_across_row_groups() {
        let (rows, task) = (rows(ROWS + 2), "door".parse().expect("a task"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.parquet");
        fs::write(&path, bytes(&rows, Some(&task)).expect("is written")).expect("there is room");
        for names_tasks in [true, false] {
            let found = read(&path, names_tasks).expect("is read");
            assert!(found.wrong.is_empty() && found.lines.len() == rows.len(), "{:?}", found.wrong);
            for (line, row) in found.lines.iter().zip(&rows) {
                assert_eq!((line.image.as_str(), &line.label), (&*row.image.to_string(), &row.label));
                assert_eq!(line.task.as_ref(), names_tasks.then_some(&task));
            }
        }
        let file = SerializedFileReader::new(File::open(&path).expect("is there")).expect("a Parquet file");
        let last = file.get_row_iter(None).expect("has rows").last().expect("has one").expect("is read");
        let shown = last.to_string();
        assert!(
            shown.contains("labelled_at: 2023-11-14 22:13:30.001") && shown.contains("source: \"gate\""),
            "{shown}"
        );
    }

    #[test]
    fn damaged_files_are_refused_or_read_and_end_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.parquet");
        let whole = bytes(&rows(8), None).expect("is written");
        fs::write(&path, &whole).expect("there is room");
        let file = File::options().write(true).open(&path).expect("it is there");
        let put = |byte: u8, place: usize| file.write_all_at(&[byte], place as u64).expect("there is room");
        let mut refused = 0;
        for (place, byte) in whole.iter().enumerate() {
            put(byte ^ 0x55, place);
            refused += usize::from(read(&path, false).is_err());
            put(*byte, place);
        }
        assert_eq!(read(&path, false).expect("is whole again").lines.len(), 8);
        for length in (0..whole.len()).rev() {
            file.set_len(length as u64).expect("it is a file");
            assert!(read(&path, false).is_err(), "of {} bytes {length}", whole.len());
        }
        assert!(refused > whole.len() / 10, "{refused} of {}", whole.len());
    }
}
