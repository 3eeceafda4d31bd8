//! Inner tensors of pictures in one byte a value: what a tail is trained on, again and again.
//!
//! A row is one view of one picture: `value = scale q`, q of -127 to 127, with one scale a row, so that a row can be stored
//! as it comes and stays the same whatever pictures join it. Against float32 the log-loss differs by 0.001.

use super::network::Shape;

/// Largest quantised value.
const MOST: f32 = 127.0;
/// Bytes in front of a stored row.
const SCALE: usize = 4;

/// The values of pictures at the cut, one or more views of each; view 0 is the picture as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Latents {
    shape: [usize; 3],
    /// Row from which the views of each picture begin, and behind them the number of rows.
    starts: Vec<usize>,
    /// By row.
    scales: Vec<f32>,
    /// By row, (channels, height, width) each.
    values: Vec<i8>,
}

/// Why values are no latents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLatents {
    /// Another number of values than whole rows have.
    #[error("cannot read inner values: {found} are no whole number of views of {row}; embed the picture again")]
    Length {
        /// Values, or bytes, of a row.
        row: usize,
        /// Those that there are.
        found: usize,
    },
    /// A value that is no number.
    #[error("cannot read inner values: one is {value}; embed the picture again")]
    NotFinite {
        /// The value.
        value: String,
    },
}

impl Latents {
    /// None yet, of [channels, height, width] `shape`.
    #[must_use]
    pub fn new(shape: [usize; 3]) -> Self {
        Self { shape, starts: vec![0], scales: Vec::new(), values: Vec::new() }
    }

    /// Of pictures with `views` each: `values` is (pictures, views, channels, height, width).
    ///
    /// # Errors
    /// [`BadLatents`]
    pub fn quantise(shape: [usize; 3], views: usize, values: &[f32]) -> Result<Self, BadLatents> {
        let mut latents = Self::new(shape);
        let row = views * latents.row();
        if row == 0 || !values.len().is_multiple_of(row) {
            return Err(BadLatents::Length { row, found: values.len() });
        }
        values.chunks_exact(row).try_for_each(|picture| latents.push(picture))?;
        Ok(latents)
    }

    /// Takes the next picture: `values` is (views, channels, height, width), one view or more.
    ///
    /// # Errors
    /// [`BadLatents`]; nothing is taken then.
    pub fn push(&mut self, values: &[f32]) -> Result<(), BadLatents> {
        self.whole(self.row(), values.len())?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(BadLatents::NotFinite { value: value.to_string() });
        }
        for row in values.chunks_exact(self.row()) {
            let largest = row.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
            // Divided before it is rounded up, so that the largest value is not beyond the end.
            let scale = largest / MOST;
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let quantised = |value: &f32| (value * inverse).round_ties_even().clamp(-MOST, MOST) as i8;
            self.scales.push(scale);
            self.values.extend(row.iter().map(quantised));
        }
        self.starts.push(self.scales.len());
        Ok(())
    }

    /// Takes the next picture from what [`stored`](Self::stored) gave.
    ///
    /// # Errors
    /// [`BadLatents`]; nothing is taken then.
    pub fn push_stored(&mut self, bytes: &[u8]) -> Result<(), BadLatents> {
        let row = SCALE + self.row();
        self.whole(row, bytes.len())?;
        let scale = |row: &[u8]| row.first_chunk().map_or(f32::NAN, |bytes| f32::from_le_bytes(*bytes));
        let rows = || bytes.chunks_exact(row);
        if let Some(value) = rows().map(scale).find(|scale| !(scale.is_finite() && *scale >= 0.0)) {
            return Err(BadLatents::NotFinite { value: value.to_string() });
        }
        for row in rows() {
            self.scales.push(scale(row));
            self.values.extend(row[SCALE..].iter().map(|byte| byte.cast_signed()));
        }
        self.starts.push(self.scales.len());
        Ok(())
    }

    /// A picture's views as bytes: of each its scale as little-endian float32, then a byte a value.
    ///
    /// # Panics
    /// When there is no such picture.
    #[must_use]
    pub fn stored(&self, picture: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in self.starts[picture]..self.starts[picture + 1] {
            bytes.extend(self.scales[row].to_le_bytes());
            bytes.extend(
                self.values[row * self.row()..(row + 1) * self.row()].iter().map(|value| value.cast_unsigned()),
            );
        }
        bytes
    }

    /// Channels, height and width.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// How many pictures there are.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many views there are of a picture.
    ///
    /// # Panics
    /// When there is no such picture.
    #[must_use]
    pub fn views(&self, picture: usize) -> usize {
        self.starts[picture + 1] - self.starts[picture]
    }

    /// The values of one view, (channels, height, width).
    ///
    /// # Panics
    /// When there is no such picture or view.
    #[must_use]
    pub fn dequantised(&self, picture: usize, view: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.row()];
        self.dequantise(&[(picture, view)], 1, &mut out);
        out
    }

    /// Writes `rows`, of picture and view, side by side into `out` (channels, places, batch), zeros behind the last.
    pub(super) fn dequantise(&self, rows: &[(usize, usize)], batch: usize, out: &mut [f32]) {
        assert!(rows.len() <= batch && out.len() == self.row() * batch, "a place for each row");
        for (at, &(picture, view)) in rows.iter().enumerate() {
            assert!(view < self.views(picture), "a view of the picture");
            let row = self.starts[picture] + view;
            let (scale, values) = (self.scales[row], &self.values[row * self.row()..(row + 1) * self.row()]);
            for (to, value) in out[at..].iter_mut().step_by(batch).zip(values) {
                *to = scale * f32::from(*value);
            }
        }
        for places in out.chunks_exact_mut(batch) {
            places[rows.len()..].fill(0.0);
        }
    }

    /// Whether the rows are of this shape.
    pub(super) fn fits(&self, cut: Shape) -> bool {
        self.shape == [cut.channels, cut.height, cut.width]
    }

    fn row(&self) -> usize {
        self.shape.iter().product()
    }

    fn whole(&self, row: usize, found: usize) -> Result<(), BadLatents> {
        let whole = self.row() > 0 && found > 0 && found.is_multiple_of(row);
        if whole { Ok(()) } else { Err(BadLatents::Length { row, found }) }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SHAPE: [usize; 3] = [3, 2, 2];

    fn values(rows: usize) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        (0..rows * 12).map(|i| (1.0 + i as f32) * (rng.random::<f32>() - 0.5)).collect()
    }

    #[test]
    fn each_value_is_within_half_a_step_of_its_row_and_the_largest_exact() {
        let values = values(6);
        let latents = Latents::quantise(SHAPE, 2, &values).unwrap();
        assert_eq!((latents.pictures(), latents.views(1)), (3, 2));
        for (row, values) in values.chunks_exact(12).enumerate() {
            let largest = values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
            let found = latents.dequantised(row / 2, row % 2);
            for (found, value) in found.iter().zip(values) {
                assert!((found - value).abs() <= 0.5001 * largest / 127.0, "row {row}: {found} for {value}");
                assert!(value.abs() < largest || (found / value - 1.0).abs() < 1e-6);
            }
        }
        let dark = Latents::quantise(SHAPE, 1, &[0.0; 12]).unwrap();
        assert_eq!(dark.dequantised(0, 0), [0.0; 12]);
        let tiny = Latents::quantise(SHAPE, 1, &[1e-44; 12]).unwrap();
        assert!(tiny.dequantised(0, 0).iter().all(|value| value.is_finite()));
    }

    #[test]
    fn bytes_and_back_are_the_same_and_a_batch_has_pictures_side_by_side() {
        let values = values(5);
        let mut latents = Latents::new(SHAPE);
        latents.push(&values[..36]).unwrap();
        latents.push(&values[36..]).unwrap();
        assert_eq!([latents.views(0), latents.views(1)], [3, 2]);
        let mut back = Latents::new(SHAPE);
        assert_eq!(latents.stored(1).len(), 2 * (4 + 12));
        (0..2).for_each(|picture| back.push_stored(&latents.stored(picture)).unwrap());
        assert_eq!(back, latents);
        let mut out = vec![f32::NAN; 12 * 4];
        latents.dequantise(&[(1, 1), (0, 2)], 4, &mut out);
        let [first, second] = [(1, 1), (0, 2)].map(|(picture, view)| latents.dequantised(picture, view));
        for (place, out) in out.chunks_exact(4).enumerate() {
            assert_eq!(out, [first[place], second[place], 0.0, 0.0]);
        }
    }

    #[test]
    fn what_is_no_latent_is_refused_and_changes_nothing() {
        let mut latents = Latents::new(SHAPE);
        latents.push(&values(1)).unwrap();
        let before = latents.clone();
        for bad in [&[][..], &[0.0; 13], &[f32::NAN; 12], &[f32::INFINITY; 24]] {
            assert!(latents.push(bad).is_err());
        }
        let mut stored = latents.stored(0);
        for bad in [&stored[1..], &[], &[0; 5]] {
            assert!(latents.push_stored(bad).is_err());
        }
        for scale in [f32::NAN, -1.0, f32::INFINITY] {
            stored[..4].copy_from_slice(&scale.to_le_bytes());
            assert!(matches!(latents.push_stored(&stored), Err(BadLatents::NotFinite { .. })), "{scale}");
        }
        assert_eq!(latents, before);
        assert!(Latents::quantise([0, 2, 2], 1, &[]).is_err() && Latents::quantise(SHAPE, 0, &[1.0; 12]).is_err());
        assert!(Latents::new([0, 1, 1]).push_stored(&[0; 4]).is_err());
    }
}
