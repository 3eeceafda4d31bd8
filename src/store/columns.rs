//! Values of columns: topics, paths and embeddings; those of the shared types are in `words::sql`.
//!
//! The bytes of an embedding are little-endian f16 or f32, one after another; their length decides which: `2 * dim` or
//! `4 * dim`. In f16 a value loses at most one part in 2,048 of itself or, if it is small, 2^-17 of the largest in its
//! row; a row that f16 cannot hold so, or at all, is stored as f32.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use half::f16;
use half::slice::HalfFloatSliceExt;
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};

use crate::wire::Topic;
use crate::words::{Origin, Precision};

/// A topic as its text below the base.
pub(super) struct TopicText(pub(super) Topic);

impl FromSql for TopicText {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// A path as the bytes that the file system uses, which need not be UTF-8.
pub(super) struct PathBytes(pub(super) PathBuf);

/// The bytes of a path.
pub(super) fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

impl FromSql for PathBytes {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(PathBuf::from(OsStr::from_bytes(value.as_blob()?))))
    }
}

/// The origin of a sample whose `path` is in column `column`, and its `source` in the next one.
pub(super) fn origin(row: &Row<'_>, column: usize) -> rusqlite::Result<Origin> {
    match row.get::<_, Option<PathBytes>>(column)? {
        Some(PathBytes(path)) => Ok(Origin::File(path)),
        None => Ok(Origin::Source(row.get(column + 1)?)),
    }
}

/// The error of a row whose column `column` holds an invalid value.
pub(super) fn damaged(column: usize, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, why.into())
}

/// The bytes of `vector`.
pub(super) fn encode_vector(vector: &[f32], precision: Precision) -> Vec<u8> {
    if precision == Precision::F16 && fits_f16(vector) {
        vector.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
    } else {
        vector.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// Appends the `dim` values of `bytes` to `out`; `None`, and `out` untouched, when the length is of neither kind.
pub(super) fn decode_vector(bytes: &[u8], dim: usize, out: &mut Vec<f32>) -> Option<()> {
    if bytes.len() == 4 * dim {
        out.extend(bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)));
    } else if bytes.len() == 2 * dim {
        let halves: Vec<f16> = bytes.as_chunks().0.iter().map(|two| f16::from_le_bytes(*two)).collect();
        let start = out.len();
        out.resize(start + dim, 0.0);
        halves.convert_to_f32_slice(&mut out[start..]);
    } else {
        return None;
    }
    Some(())
}

/// Whether f16 keeps the row: its largest magnitude is within the range, and far enough above the smallest step
/// (2^-25 is lost at most below 2^-14, so at 2^-8 it is 2^-17 of the largest).
fn fits_f16(vector: &[f32]) -> bool {
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    largest == 0.0 || (0.003_906_25..=65504.0).contains(&largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(vector: &[f32], precision: Precision) -> (usize, Vec<f32>) {
        let bytes = encode_vector(vector, precision);
        let mut out = vec![f32::MAX];
        decode_vector(&bytes, vector.len(), &mut out).expect("its own bytes");
        assert_eq!(out.remove(0).to_bits(), f32::MAX.to_bits(), "what was there before stays");
        (bytes.len(), out)
    }

    #[test]
    fn common_embeddings_take_two_bytes_a_value_and_keep_three_digits() {
        let vector: Vec<f32> = (0..960).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let (bytes, back) = there_and_back(&vector, Precision::F16);
        assert_eq!(bytes, 1920);
        for (a, b) in vector.iter().zip(&back) {
            assert!((a - b).abs() <= a.abs() / 2048.0 + 3e-8, "{a} {b}");
        }
    }

    #[test]
    fn rows_beyond_the_range_of_f16_are_stored_as_f32_and_stay_finite() {
        for vector in [[65504.0, 1.0], [65519.0, 1.0], [65520.0, -3.3e38], [1e-5, -2e-7], [0.0, 0.0]] {
            let (_, back) = there_and_back(&vector, Precision::F16);
            let largest = vector[0].abs().max(vector[1].abs());
            for (a, b) in vector.iter().zip(&back) {
                assert!(b.is_finite() && (a - b).abs() <= largest * 1e-5, "{vector:?} {back:?}");
            }
        }
        assert_eq!(encode_vector(&[65505.0], Precision::F16).len(), 4);
        assert_eq!(encode_vector(&[65504.0], Precision::F16).len(), 2);
    }

    #[test]
    fn f32_is_exact() {
        let vector = [0.1, -1e-30, 3.3e38, 0.0];
        assert_eq!(there_and_back(&vector, Precision::F32), (16, vector.to_vec()));
    }

    #[test]
    fn bytes_of_another_width_are_refused() {
        let mut out = Vec::new();
        for n in [0, 1, 5, 7, 9, 13, 16] {
            assert!(decode_vector(&vec![0; n], 3, &mut out).is_none(), "{n}");
        }
        assert!(out.is_empty());
    }
}
