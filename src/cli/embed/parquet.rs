//! A Parquet file: the columns `ids` and `paths` are text, `embeddings` a list of `dim` 32-bit floats.

use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::Table;

const SCHEMA: &str = "
    message embeddings {
        REQUIRED BYTE_ARRAY ids (UTF8);
        REQUIRED BYTE_ARRAY paths (UTF8);
        REQUIRED group embeddings (LIST) { REPEATED group list { REQUIRED FLOAT element; } }
    }";
/// A reader takes so many rows into memory at a time.
const ROWS: usize = 10_000;

/// The file.
pub fn bytes(table: &Table<'_>) -> Result<Vec<u8>, ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    // Hardly a value comes twice.
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let (n, dim) = table.embeddings.dim();
    for first in (0..n).step_by(ROWS) {
        let rows = first..n.min(first + ROWS);
        let mut group = writer.next_row_group()?;
        for texts in [table.ids, table.paths] {
            let texts: Vec<ByteArray> = texts[rows.clone()].iter().map(|text| text.as_str().into()).collect();
            let mut column = group.next_column()?.expect("a column of the schema");
            column.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
            column.close()?;
        }
        let values: Vec<f32> =
            table.embeddings.rows().into_iter().skip(first).take(rows.len()).flatten().copied().collect();
        // A row's first value begins a list, the others continue it.
        let repetition: Vec<i16> = (0..values.len()).map(|place| i16::from(place % dim != 0)).collect();
        let mut column = group.next_column()?.expect("a column of the schema");
        column.typed::<FloatType>().write_batch(&values, Some(&vec![1; values.len()]), Some(&repetition))?;
        column.close()?;
        group.close()?;
    }
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ndarray::Array2;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::{Field, RowAccessor as _};

    use super::*;

    #[test]
    fn what_is_written_is_read_back_row_by_row_across_row_groups() {
        let n = ROWS + 3;
        let text = |what: &str| (0..n).map(|row| format!("{what} {row}")).collect::<Vec<_>>();
        let embeddings = Array2::from_shape_fn((n, 3), |(row, place)| row as f32 + place as f32 / 4.0);
        let (ids, paths) = (text("id"), text("pictures/ä"));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes(&Table { ids: &ids, paths: &paths, embeddings: &embeddings }).unwrap()).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let mut rows = 0;
        for (row, found) in reader.get_row_iter(None).unwrap().map(Result::unwrap).enumerate() {
            assert_eq!((found.get_string(0).unwrap(), found.get_string(1).unwrap()), (&ids[row], &paths[row]));
            let list: Vec<Field> = found.get_list(2).unwrap().elements().to_vec();
            assert_eq!(list, embeddings.row(row).iter().map(|value| Field::Float(*value)).collect::<Vec<_>>());
            rows += 1;
        }
        assert_eq!(rows, n);
    }
}
