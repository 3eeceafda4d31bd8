//! `index`: every sample of a task, in columns.

use serde::Serialize;
use serde_json::json;

use super::octets::{Column, pack};
use crate::words::{Label, ShortId};

/// In place of a class.
const NO_CLASS: u32 = u32::MAX;
/// In place of a fold.
const NO_FOLD: u8 = u8::MAX;
/// In `flags`: the sample is in no training and on no list.
const EXCLUDED: u8 = 1;

/// Every sample of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// Another one after every change of what is listed here, or on the map.
    pub revision: String,
    /// Every label and every predicted class, in lexical order.
    pub classes: Vec<Label>,
    /// The samples, in the order of arrival.
    pub columns: IndexColumns,
}

/// The columns, (n,) each, as they are in memory and in octets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexColumns {
    image: Vec<ShortId>,
    label: Vec<u32>,
    predicted: Vec<u32>,
    probability: Vec<u8>,
    burst: Vec<u32>,
    arrived: Vec<u32>,
    fold: Vec<u8>,
    flags: Vec<u8>,
}

/// One sample on its way into the columns; classes are places in [`Index::classes`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexEntry {
    /// The sample.
    pub image: ShortId,
    /// Its label.
    pub label: Option<usize>,
    /// The class predicted on arrival, with its probability.
    pub predicted: Option<(usize, f32)>,
    /// The row of the first sample of its burst that is listed.
    pub burst: usize,
    /// When it was first seen, in milliseconds since 1970.
    pub arrived_ms: i64,
    /// The fold in which training holds it out.
    pub fold: Option<usize>,
    /// Whether it is in no training and on no list.
    pub excluded: bool,
}

impl IndexColumns {
    /// Adds a sample.
    pub fn push(&mut self, entry: IndexEntry) {
        let class = |class: usize| u32::try_from(class).unwrap_or(NO_CLASS);
        let (predicted, probability) = entry.predicted.unzip();
        self.image.push(entry.image);
        self.label.push(entry.label.map_or(NO_CLASS, class));
        self.predicted.push(predicted.map_or(NO_CLASS, class));
        self.probability.push(probability.map_or(0, |probability| (probability * 255.0).round() as u8));
        self.burst.push(u32::try_from(entry.burst).unwrap_or(u32::MAX));
        self.arrived.push(u32::try_from(entry.arrived_ms.max(0) / 1_000).unwrap_or(u32::MAX));
        self.fold.push(entry.fold.and_then(|fold| u8::try_from(fold).ok()).unwrap_or(NO_FOLD));
        self.flags.push(if entry.excluded { EXCLUDED } else { 0 });
    }

    /// How many samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.image.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.image.is_empty()
    }
}

impl Index {
    /// Its octets.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        let (columns, classes) = (&self.columns, self.classes.len());
        let header = json!({ "revision": self.revision, "classes": self.classes, "n": columns.len() });
        pack(
            header,
            &[
                Column { name: "image", kind: "u8x8", bytes: columns.image.iter().flat_map(|id| id.0).collect() },
                Column::narrow("label", &columns.label, classes, NO_CLASS),
                Column::narrow("predicted", &columns.predicted, classes, NO_CLASS),
                Column::u8("probability", &columns.probability),
                Column::narrow("burst", &columns.burst, columns.len(), u32::MAX),
                Column::u32("arrived", &columns.arrived),
                Column::u8("fold", &columns.fold),
                Column::u8("flags", &columns.flags),
            ],
        )
    }
}

/// `index` as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IndexData<'a> {
    /// Another one after every change of what is listed here, or on the map.
    pub revision: &'a str,
    /// Every label and every predicted class, in lexical order.
    pub classes: &'a [Label],
    /// The samples, in the order of arrival.
    pub columns: IndexLists<'a>,
}

/// The columns as lists, all equally long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IndexLists<'a> {
    /// The first 16 digits of the SHA-256.
    pub image: &'a [ShortId],
    /// The label, as a place in `classes`; null without one.
    pub label: Vec<Option<u32>>,
    /// The class predicted on arrival, in the same way.
    pub predicted: Vec<Option<u32>>,
    /// The probability of that class in parts of 255; null without one.
    pub probability: Vec<Option<u8>>,
    /// The row of the first image of the same burst.
    pub burst: &'a [u32],
    /// When it was first seen, in seconds since 1970.
    pub arrived: &'a [u32],
    /// The fold in which training holds it out; null without a label.
    pub fold: Vec<Option<u8>>,
    /// Whether it is left out of trainings and lists.
    pub excluded: Vec<bool>,
}

impl<'a> From<&'a Index> for IndexData<'a> {
    fn from(index: &'a Index) -> Self {
        let columns = &index.columns;
        let classes = |column: &[u32]| column.iter().map(|&class| (class != NO_CLASS).then_some(class)).collect();
        let probability = columns.probability.iter().zip(&columns.predicted);
        Self {
            revision: &index.revision,
            classes: &index.classes,
            columns: IndexLists {
                image: &columns.image,
                label: classes(&columns.label),
                predicted: classes(&columns.predicted),
                probability: probability.map(|(&share, &class)| (class != NO_CLASS).then_some(share)).collect(),
                burst: &columns.burst,
                arrived: &columns.arrived,
                fold: columns.fold.iter().map(|&fold| (fold != NO_FOLD).then_some(fold)).collect(),
                excluded: columns.flags.iter().map(|flags| flags & EXCLUDED != 0).collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn index() -> Index {
        let mut columns = IndexColumns::default();
        let first = IndexEntry {
            image: ShortId([0xab; 8]),
            label: Some(1),
            predicted: Some((0, 0.5)),
            burst: 0,
            arrived_ms: 1_700_000_000_999,
            fold: Some(3),
            excluded: false,
        };
        columns.push(first);
        columns.push(IndexEntry { label: None, predicted: None, fold: None, excluded: true, arrived_ms: -5, ..first });
        columns.push(IndexEntry { label: Some(0), ..first });
        let classes = ["gear", "nut"].map(|name| Label::new(name).unwrap()).to_vec();
        Index { revision: "r-1".into(), classes, columns }
    }

    #[test]
    fn json_has_null_where_nothing_is_known() {
        let found = serde_json::to_value(IndexData::from(&index())).unwrap();
        let image = "abababababababab";
        let expected = json!({
            "revision": "r-1",
            "classes": ["gear", "nut"],
            "columns": {
                "image": [image, image, image],
                "label": [1, null, 0],
                "predicted": [0, null, 0],
                "probability": [128, null, 128],
                "burst": [0, 0, 0],
                "arrived": [1_700_000_000, 0, 1_700_000_000],
                "fold": [3, null, 3],
                "excluded": [false, true, false],
            },
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn octets_hold_the_same_columns_where_their_header_says() {
        let octets = index().to_octets();
        let length = u32::from_le_bytes(*octets.first_chunk().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&octets[4..4 + length]).unwrap();
        assert_eq!((&header["revision"], &header["n"]), (&json!("r-1"), &json!(3)));
        let column = |name: &str, width: usize| {
            let columns = header["columns"].as_array().unwrap();
            let column = columns.iter().find(|column| column["name"] == name).unwrap();
            let at = 4 + length + column["offset"].as_u64().unwrap() as usize;
            assert_eq!(at % 8, 0, "{name}");
            octets[at..at + 3 * width].to_vec()
        };
        assert_eq!(column("image", 8), [0xab; 24]);
        assert_eq!(column("label", 1), [1, 0xff, 0]);
        assert_eq!(column("probability", 1), [128, 0, 128]);
        assert_eq!(column("fold", 1), [3, 255, 3]);
        assert_eq!(column("flags", 1), [0, 1, 0]);
        assert_eq!(column("arrived", 4)[..4], 1_700_000_000_u32.to_le_bytes());
    }
}
