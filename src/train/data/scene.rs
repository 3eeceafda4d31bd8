//! Whether what a fixed camera sees has changed.
//!
//! [`super::groups::Grouper`] asks how close an image is to others beside how close others are to each other; the frames of
//! a fixed camera are all close, so what counts here is the distance itself.

use crate::head::unit;
use crate::words::{EmbeddingSpace, SampleId};

/// Cosine distance beyond which a frame shows something else.
///
/// Chosen on the tuning evenings of the synthetic yard (`benches/states`: people, vans, headlights, leaves, dusk; a frame
/// every 10 s; the parts that show a gate and two lamps): a quarter to two fifths of the frames differ by more from the last
/// one that did, and 71 of the 72 times that the gate or a lamp changed are among them. At half of this it is seven frames
/// in ten, and all 72 times.
const CHANGED: f64 = 0.1;

/// What a camera sees at some time.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The frame that shows it.
    frame: SampleId,
    /// The embeddings (d,) of length 1 of the parts that are looked at.
    parts: Vec<(EmbeddingSpace, Vec<f32>)>,
}

impl Scene {
    /// As this frame shows it, with the embeddings (d,) of its parts.
    pub fn new(frame: SampleId, parts: &[(EmbeddingSpace, Vec<f32>)]) -> Self {
        Self { frame, parts: parts.iter().map(|(space, embedding)| (*space, unit(embedding))).collect() }
    }

    /// The frame that shows it.
    pub fn frame(&self) -> SampleId {
        self.frame
    }

    /// Whether a frame with these embeddings (d,) of its parts shows something else, in any of them; one that has other parts
    /// does.
    pub fn is_over(&self, parts: &[(EmbeddingSpace, Vec<f32>)]) -> bool {
        let changed = |(space, embedding): &(EmbeddingSpace, Vec<f32>)| {
            let first = self.parts.iter().find(|(known, _)| known == space);
            first.is_none_or(|(_, first)| super::groups::distance(first, &unit(embedding)) > CHANGED)
        };
        parts.iter().any(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Digest;

    fn space(name: &str) -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(name.as_bytes()), dim: 2 }
    }

    /// An embedding at this angle, in radians, of any length.
    fn at(name: &str, angle: f32) -> (EmbeddingSpace, Vec<f32>) {
        (space(name), vec![7.0 * angle.cos(), 7.0 * angle.sin()])
    }

    #[test]
    fn a_scene_lasts_until_one_of_its_parts_has_moved_far_enough() {
        let frame = SampleId::of(b"1");
        let scene = Scene::new(frame, &[at("gate", 0.0), at("lamp", 1.0)]);
        assert_eq!(scene.frame(), frame);
        assert!(!scene.is_over(&[at("gate", 0.2), at("lamp", 1.2)]), "noise");
        assert!(scene.is_over(&[at("gate", 0.0), at("lamp", 1.6)]), "the lamp went on");
        assert!(scene.is_over(&[at("gate", -0.6), at("lamp", 1.0)]), "the gate opened");
        let bound = (1.0 - CHANGED as f32).acos();
        assert!(!scene.is_over(&[at("gate", 0.99 * bound)]) && scene.is_over(&[at("gate", 1.01 * bound)]));
        assert!(scene.is_over(&[at("van", 0.0)]), "another part is looked at");
        assert!(!scene.is_over(&[]), "nobody looks at it");
    }
}
