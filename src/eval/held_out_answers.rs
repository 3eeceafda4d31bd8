//! What a training answered on images that the answering model had not seen, small enough to be kept with its report.

use std::collections::BTreeMap;

use crate::words::ShortId;

/// Bytes of one answer.
const BYTES: usize = 12;

/// The answer for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldOutAnswer {
    /// The image.
    pub image: ShortId,
    /// Its label in class order.
    pub truth: u16,
    /// What was answered.
    pub predicted: u16,
}

/// The answers of a training, in the order of the images' identities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldOutAnswers(Vec<HeldOutAnswer>);

impl FromIterator<HeldOutAnswer> for HeldOutAnswers {
    fn from_iter<I: IntoIterator<Item = HeldOutAnswer>>(answers: I) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.sort_unstable_by_key(|answer| answer.image);
        Self(answers)
    }
}

impl HeldOutAnswers {
    /// Whether nothing was held out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Twelve bytes an answer: the image, then truth and answer, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = |answer: &HeldOutAnswer| {
            let mut bytes = [0; BYTES];
            bytes[..8].copy_from_slice(&answer.image.0);
            bytes[8..10].copy_from_slice(&answer.truth.to_le_bytes());
            bytes[10..].copy_from_slice(&answer.predicted.to_le_bytes());
            bytes
        };
        self.0.iter().flat_map(bytes).collect()
    }

    /// Reads [`HeldOutAnswers::to_bytes`]; `None` where the length is another one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (answers, []) = bytes.as_chunks::<BYTES>() else { return None };
        let answer = |bytes: &[u8; BYTES]| {
            let [a, b, c, d, e, f, g, h, truth @ .., k, l] = *bytes;
            HeldOutAnswer {
                image: ShortId([a, b, c, d, e, f, g, h]),
                truth: u16::from_le_bytes(truth),
                predicted: u16::from_le_bytes([k, l]),
            }
        };
        Some(answers.iter().map(answer).collect())
    }

    /// `table[i][j]` counts images of class i answered as j, of `classes` classes; answers beyond them are left out.
    #[must_use]
    pub fn table(&self, classes: usize) -> Vec<Vec<u64>> {
        let mut table = vec![vec![0; classes]; classes];
        for answer in &self.0 {
            let cell =
                table.get_mut(usize::from(answer.truth)).and_then(|row| row.get_mut(usize::from(answer.predicted)));
            if let Some(count) = cell {
                *count += 1;
            }
        }
        table
    }

    /// The images of each cell of the table that has any, by truth and answer; at most `max` of a cell.
    #[must_use]
    pub fn cells(&self, max: usize) -> BTreeMap<(u16, u16), Vec<ShortId>> {
        let mut cells: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for answer in &self.0 {
            let images = cells.entry((answer.truth, answer.predicted)).or_default();
            if images.len() < max {
                images.push(answer.image);
            }
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(of: &[(u8, u16, u16)]) -> HeldOutAnswers {
        of.iter().map(|&(n, truth, predicted)| HeldOutAnswer { image: ShortId([n; 8]), truth, predicted }).collect()
    }

    #[test]
    fn answers_come_back_from_their_bytes_and_from_no_others() {
        let some = answers(&[(9, 0, 1), (3, 1, 1), (4, 300, 2)]);
        assert_eq!(HeldOutAnswers::from_bytes(&some.to_bytes()), Some(some.clone()));
        assert_eq!(some.to_bytes().len(), 36);
        assert_eq!(HeldOutAnswers::from_bytes(&some.to_bytes()[..35]), None);
        assert!(HeldOutAnswers::from_bytes(&[]).is_some_and(|none| none.is_empty()));
    }

    #[test]
    fn the_table_counts_each_answer_and_its_cells_name_the_first_images() {
        let some = answers(&[(9, 0, 1), (3, 0, 1), (4, 1, 1), (5, 0, 1), (6, 7, 0)]);
        assert_eq!(some.table(2), [[0, 3], [0, 1]]);
        let cells = some.cells(2);
        assert_eq!(cells[&(0, 1)], [ShortId([3; 8]), ShortId([5; 8])], "in the order of identities");
        assert_eq!(cells[&(1, 1)], [ShortId([4; 8])]);
    }
}
