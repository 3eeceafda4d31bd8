//! The file that statistics travel as: safetensors, with one JSON document in its header under the key `edgetuned`.
//!
//! Tensors: `counts` u64 (k,), `means` f32 (k, d), `scatter` f32 (d (d + 1) / 2,), the half of S on and below its diagonal, row by
//! row. The document names the classes and what the embeddings are of. Reading trusts nothing: shapes, values, names and
//! a checksum over all of it are verified, and whatever is wrong is an error, never a panic.

use std::collections::HashMap;

use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{Source, Statistics};
use crate::train::ClassStats;
use crate::words::{ClassSet, Label};

const FORMAT: u32 = 1;
const KEY: &str = "edgetuned";
/// Images of one class at most: sums of more are not believed.
const MOST: u64 = 1 << 40;
/// What rounding to single precision may take from a correlation of one.
const ROUNDING: f64 = 1e-3;

/// Why bytes are not statistics.
#[derive(Debug, thiserror::Error)]
pub enum BadStatistics {
    /// Not safetensors at all, or cut short.
    #[error("the statistics file is damaged or not one; ask the device for it again")]
    Container(#[source] SafeTensorError),
    /// Safetensors without our document, or with one that does not parse.
    #[error("the statistics file's header does not describe statistics; ask the device for it again")]
    Header(#[source] serde_json::Error),
    /// Written by a newer program.
    #[error("the statistics file has format {found}, this program reads format {FORMAT}; update edgetuned")]
    Format {
        /// Its format.
        found: u32,
    },
    /// A part that cannot be true.
    #[error("the statistics file's {part} is {found}, expected {expected}; ask the device for it again")]
    Part {
        /// Which part.
        part: &'static str,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Content and header do not belong together.
    #[error(
        "the statistics file's checksum is {found:08x}, its header says {expected:08x}; ask the device for it again"
    )]
    Checksum {
        /// In the header.
        expected: u32,
        /// Of the content.
        found: u32,
    },
}

/// What the checksum is over, with the tensors.
#[derive(Serialize, Deserialize)]
struct Contents {
    kind: Kind,
    source: Source,
    classes: Vec<Label>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Statistics,
}

/// The document in the header.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    #[serde(flatten)]
    contents: Contents,
    /// CRC-32 of the contents as JSON, then the bytes of counts, means and scatter: against damage alone, and quick, since
    /// thousands of files are merged at a time.
    crc32: u32,
}

/// Read before the rest, so that a newer file is distinguished from a damaged one.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Statistics {
    /// As one file; the same statistics always give the same bytes, and means and scatter lose what is beyond single precision.
    /// A value beyond single precision makes a file that is refused.
    ///
    /// # Panics
    /// When counts, means and classes differ in number: such statistics are never made.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (k, d) = (self.classes.len(), self.sums.dim());
        let floats = |values: &mut dyn Iterator<Item = &f64>| -> Vec<u8> {
            values.flat_map(|value| (*value as f32).to_le_bytes()).collect()
        };
        let counts: Vec<u8> = self.sums.counts().iter().flat_map(|count| count.to_le_bytes()).collect();
        let means = floats(&mut self.sums.means().iter());
        let scatter = floats(&mut self.sums.scatter().iter());
        let contents =
            Contents { kind: Kind::Statistics, source: self.source.clone(), classes: self.classes.labels().to_vec() };
        let crc32 = checksum(&contents, [&counts, &means, &scatter]);
        let document =
            serde_json::to_string(&Document { format: FORMAT, contents, crc32 }).expect("its keys are strings");
        let view = |dtype, shape: Vec<usize>, data| {
            TensorView::new(dtype, shape, data).expect("the data were made for this shape")
        };
        let tensors = [
            ("counts", view(Dtype::U64, vec![k], &counts)),
            ("means", view(Dtype::F32, vec![k, d], &means)),
            ("scatter", view(Dtype::F32, vec![d * (d + 1) / 2], &scatter)),
        ];
        safetensors::serialize(tensors, Some(HashMap::from([(KEY.to_owned(), document)])))
            .expect("names and shapes are fixed, the header is far below the limit")
    }

    /// The statistics that [`Statistics::to_bytes`] made `bytes` of.
    ///
    /// # Errors
    /// [`BadStatistics`] for anything else.
    ///
    /// # Panics
    /// Never: lengths are checked before values are put into their shape.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadStatistics> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(BadStatistics::Container)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(BadStatistics::Container)?;
        let document = metadata.metadata().as_ref().and_then(|map| map.get(KEY)).map_or("", String::as_str);
        let Version { format } = serde_json::from_str(document).map_err(BadStatistics::Header)?;
        if format != FORMAT {
            return Err(BadStatistics::Format { found: format });
        }
        let Document { contents, crc32, .. } = serde_json::from_str(document).map_err(BadStatistics::Header)?;
        let classes = ClassSet::from(contents.classes.clone());
        if classes.labels() != contents.classes || classes.is_empty() {
            return Err(wrong("class list", "distinct names in order", format!("{:?}", contents.classes)));
        }
        let (k, d) = (classes.len(), contents.source.width());
        if d == 0 || d > contents.source.space.dim {
            return Err(wrong("width", "1 to that of the embeddings", d.to_string()));
        }
        // The means' length bounds d by that of the file.
        let means = raw(&tensors, "means", Dtype::F32, &[k, d])?;
        let counts = raw(&tensors, "counts", Dtype::U64, &[k])?;
        let half = d.checked_mul(d + 1).map_or(0, |twice| twice / 2);
        let scatter = raw(&tensors, "scatter", Dtype::F32, &[half])?;
        let found = checksum(&contents, [counts, means, scatter]);
        if found != crc32 {
            return Err(BadStatistics::Checksum { expected: crc32, found });
        }
        let counts: Vec<u64> = counts.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        if let Some(count) = counts.iter().find(|count| !(1..=MOST).contains(*count)) {
            return Err(wrong("counts", "1 to 2^40 images a class", count.to_string()));
        }
        let means = Array2::from_shape_vec((k, d), finite("means", means)?).expect("the length was checked");
        let scatter = finite("scatter", scatter)?;
        is_a_scatter(&scatter, d)?;
        let sums = ClassStats::from_parts(counts, means, scatter);
        Ok(Self { source: contents.source, classes, sums })
    }
}

/// Refuses what no sum of squares gives: a diagonal below zero, or a correlation above one.
fn is_a_scatter(half: &[f64], d: usize) -> Result<(), BadStatistics> {
    let mut rest = half;
    let mut roots: Vec<f64> = Vec::with_capacity(d);
    for i in 0..d {
        let (row, below) = rest.split_at(i + 1);
        rest = below;
        if row[i] < 0.0 {
            return Err(wrong("scatter", "sums of squares", format!("{} in row {i}", row[i])));
        }
        let root = row[i].sqrt();
        roots.push(root);
        let bound = root * (1.0 + ROUNDING);
        let is_wrong = |(value, root): (&f64, &f64)| value.abs() > bound * root;
        // Without an end before the last one the loop runs on vectors.
        if row[..i].iter().zip(&roots).fold(false, |found, pair| found | is_wrong(pair)) {
            return Err(wrong("scatter", "correlations up to one", format!("more in row {i}")));
        }
    }
    Ok(())
}

fn checksum(contents: &Contents, tensors: [&[u8]; 3]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&serde_json::to_vec(contents).expect("its keys are strings"));
    for bytes in tensors {
        hash.update(bytes);
    }
    hash.finalize()
}

fn raw<'a>(
    tensors: &SafeTensors<'a>,
    name: &'static str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], BadStatistics> {
    let tensor = tensors.tensor(name).map_err(BadStatistics::Container)?;
    if tensor.dtype() != dtype || tensor.shape() != shape {
        let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
        return Err(wrong(name, "that of classes and width", found));
    }
    Ok(tensor.data())
}

fn finite(part: &'static str, bytes: &[u8]) -> Result<Vec<f64>, BadStatistics> {
    let values = || bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    // Without an end before the last one the loop runs on vectors.
    if values().fold(false, |found, value| found | !value.is_finite()) {
        let found = values().find(|value| !value.is_finite()).map_or_else(String::new, |value| value.to_string());
        return Err(wrong(part, "finite numbers", found));
    }
    Ok(values().map(f64::from).collect())
}

fn wrong(part: &'static str, expected: &'static str, mut found: String) -> BadStatistics {
    if let Some((end, _)) = found.char_indices().nth(80) {
        found.truncate(end);
        found.push('…');
    }
    BadStatistics::Part { part, expected, found }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::super::statistics::tests::{apart, label, shared};
    use super::*;

    #[test]
    fn statistics_come_back_and_their_bytes_never_vary() {
        let statistics = shared(1, &["gear", "nut \"é\""], 20, 6);
        let bytes = statistics.to_bytes();
        let read = Statistics::from_bytes(&bytes).unwrap();
        assert_eq!((&read.source, &read.classes), (&statistics.source, &statistics.classes));
        assert!(apart(&read.sums, &statistics.sums) < 1e-6);
        assert!((0..8).all(|_| statistics.to_bytes() == bytes) && read.to_bytes() == bytes);
        let header = String::from_utf8_lossy(&bytes);
        assert!(header.contains("gear"), "classes stand there as text");
    }

    #[test]
    fn any_changed_or_missing_byte_is_an_error() {
        let bytes = shared(2, &["gear", "nut"], 9, 3).to_bytes();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for at in 0..bytes.len() {
            assert!(Statistics::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            // Only blanks behind the header are nobody's.
            let is_blank = at < header && bytes[at] == b' ';
            assert!(is_blank || Statistics::from_bytes(&changed).is_err(), "byte {at} changed");
        }
    }

    #[test]
    fn what_cannot_be_true_is_refused_under_a_right_checksum() {
        let refusal = |edit: &dyn Fn(&mut Statistics)| {
            let mut statistics = shared(3, &["gear", "nut"], 9, 3);
            edit(&mut statistics);
            Statistics::from_bytes(&statistics.to_bytes()).unwrap_err().to_string()
        };
        let with = |change: fn(&mut Vec<u64>, &mut Array2<f64>, &mut Vec<f64>)| {
            refusal(&move |statistics: &mut Statistics| {
                let (mut counts, mut means, mut scatter) = (
                    statistics.sums.counts().to_vec(),
                    statistics.sums.means().to_owned(),
                    statistics.sums.scatter().to_vec(),
                );
                change(&mut counts, &mut means, &mut scatter);
                statistics.sums = ClassStats::from_parts(counts, means, scatter);
            })
        };
        assert!(with(|_, means, _| means[[0, 1]] = f64::NAN).contains("means is NaN, expected finite"));
        assert!(with(|_, _, scatter| scatter[2] = f64::INFINITY).contains("scatter is inf, expected finite"));
        assert!(with(|_, _, scatter| scatter[2] = -1.0).contains("sums of squares"));
        assert!(with(|_, _, scatter| scatter[1] = 1e6).contains("correlations up to one"));
        assert!(with(|counts, _, _| counts[0] = 0).contains("counts is 0"));
        assert!(with(|counts, _, _| counts[0] = u64::MAX).contains("2^40"));
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        let good = shared(4, &["gear", "nut"], 9, 3).to_bytes();
        for seed in 0..3_000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut bytes = good.clone();
            for _ in 0..rng.random_range(1..5) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            if let Ok(read) = Statistics::from_bytes(&bytes) {
                assert_eq!(read.to_bytes(), good, "seed {seed}: read as something else");
            }
        }
        let mut other = shared(4, &["gear"], 9, 3);
        other.classes = [label("gear"), label("nut")].into_iter().collect();
        assert!(std::panic::catch_unwind(|| other.to_bytes()).is_err(), "one mean a class");
    }
}
