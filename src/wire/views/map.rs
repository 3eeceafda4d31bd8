//! `map`: where the samples of a task lie in two dimensions, similar ones close together.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::octets::{Column, pack};
use crate::words::SampleId;

/// The largest number of an axis in octets.
const SCALE: f32 = 32_767.0;
/// On both axes, of a sample without an embedding.
const NOWHERE: i16 = i16::MIN;

/// A place on the map, each number -1..1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// To the right.
    pub x: f32,
    /// Up.
    pub y: f32,
}

/// The samples of a task on a plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// That of the [`super::Index`] whose rows are in the same order.
    pub revision: String,
    /// The share of the embeddings' variance that each axis shows.
    pub share: [f64; 2],
    /// Each sample, in the order of arrival.
    pub images: Arc<[SampleId]>,
    /// Its place; `None` without an embedding.
    pub places: Vec<Option<Place>>,
}

/// One of the list that `map` is as JSON: the samples that have an embedding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MapPoint {
    /// SHA-256 of the file.
    pub image: SampleId,
    /// To the right.
    #[cfg_attr(test, schemars(range(min = -1.0, max = 1.0)))]
    pub x: f32,
    /// Up.
    #[cfg_attr(test, schemars(range(min = -1.0, max = 1.0)))]
    pub y: f32,
}

impl Map {
    /// The samples that have a place.
    pub fn points(&self) -> impl Iterator<Item = MapPoint> {
        let placed = self.images.iter().zip(&self.places);
        placed.filter_map(|(image, place)| place.map(|Place { x, y }| MapPoint { image: *image, x, y }))
    }

    /// Its octets: every row of the index.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        let header = json!({
            "revision": self.revision,
            "method": "pca",
            "share": self.share,
            "n": self.places.len(),
        });
        let axis = |of: fn(&Place) -> f32| {
            let number =
                move |place: &Option<Place>| place.as_ref().map_or(NOWHERE, |place| (of(place) * SCALE).round() as i16);
            self.places.iter().map(number)
        };
        pack(header, &[Column::i16("x", axis(|place| place.x)), Column::i16("y", axis(|place| place.y))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_without_an_embedding_is_nowhere() {
        let images: Vec<SampleId> = [b"a", b"b", b"c"].map(|bytes| SampleId::of(bytes)).to_vec();
        let places = vec![Some(Place { x: -1.0, y: 0.5 }), None, Some(Place { x: 1.0, y: 0.0 })];
        let map = Map { revision: "r".into(), share: [0.5, 0.25], images: images.clone().into(), places };
        assert_eq!(map.points().map(|point| point.image).collect::<Vec<_>>(), [images[0], images[2]]);
        let octets = map.to_octets();
        let begin = 4 + u32::from_le_bytes(*octets.first_chunk().unwrap()) as usize;
        let numbers: Vec<i16> = octets[begin..].as_chunks().0.iter().map(|two| i16::from_le_bytes(*two)).collect();
        assert_eq!(numbers, [-32_767, -32_768, 32_767, 0, 16_384, -32_768, 0, 0]);
    }
}
