//! Whether an embedding is a function of its picture alone: the same picture again, and beside others.
//!
//! The distance of two embeddings is that of vectors, as a share of the first one's length. The same picture computed by
//! the same session differs by nothing, or by the order of sums; with float16 inside, beside others, by a thousandth.

use std::time::Instant;

use super::errors::OpenError;
use super::message::RuntimeMessage;
use super::session::{Alone, OnnxBackbone};
use super::verify::pictures;
use crate::backbone::manifest::Manifest;
use crate::backbone::onnx::graph::{Graph, Node};
use crate::ports::Embedder;

/// The same picture again may be as far away.
pub const AGAIN: f32 = 1e-3;
/// A picture beside others may be as far away.
pub const BESIDE: f32 = 1e-2;

impl OnnxBackbone {
    /// Embeds one picture alone and beside another, where the network takes several, and again where these differ; `model`
    /// is what it runs. A network that takes one at a time only is given one at a time from here on.
    ///
    /// # Errors
    /// [`OpenError::Training`], [`OpenError::Unsteady`], [`OpenError::Neighbours`], or [`OpenError::Fails`].
    pub(super) fn steady(mut self, manifest: &Manifest, model: &[u8]) -> Result<Self, OpenError> {
        let [picture, other] = pictures().map(|picture| self.preprocess().apply(&picture));
        let file = || manifest.file.clone();
        let graph = Graph::read(model).map_err(|source| OpenError::Model { file: file(), source })?;
        if let Some(what) = training(&graph) {
            return Err(OpenError::Training { file: file(), what });
        }
        let by_batch = quantises_by_batch(&graph);
        let failed = |source: ort::Error| OpenError::Fails { file: file(), source: RuntimeMessage::from(source) };
        let started = Instant::now();
        let alone = self.rows(&picture, 1).map_err(failed)?.1.unwrap_or_default();
        self.one_picture = started.elapsed();
        let together = self.batch.unwrap_or(2);
        // In another place, beside another picture.
        let tensors = [other.repeat(together - 1), picture.clone()].concat();
        let beside = match self.rows(&tensors, together) {
            Ok((_, Some(rows))) => rows[rows.len() - alone.len()..].to_vec(),
            Ok((_, None)) | Err(_) if self.batch.is_none() => {
                self.batch = Some(1);
                self.cut.alone = Some(Alone::Written);
                self.rows(&picture, 1).map_err(failed)?.1.unwrap_or_default()
            }
            Ok((_, None)) => Vec::new(),
            Err(source) => return Err(failed(source)),
        };
        let distance = apart(&alone, &beside);
        if distance > AGAIN {
            let again = self.rows(&picture, 1).map_err(failed)?.1.unwrap_or_default();
            let apart = apart(&alone, &again);
            if apart > AGAIN {
                return Err(OpenError::Unsteady { file: file(), apart });
            }
            if distance > BESIDE && !by_batch {
                return Err(OpenError::Neighbours { file: file(), apart: distance });
            }
        }
        if self.batch.is_none() && by_batch {
            self.batch = Some(1);
            self.cut.alone = Some(Alone::Quantised);
        }
        Ok(self)
    }
}

/// The distance of `b` from `a`, as a share of the length of `a`; 0 for two that are the same.
pub fn apart(a: &[f32], b: &[f32]) -> f32 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    let distance: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let length: f64 = a.iter().map(|value| square(*value)).sum();
    if distance == 0.0 { 0.0 } else { (distance / length).sqrt() as f32 }
}

/// The operators of a network that are in training mode: ONNX Runtime may leave them out, other runtimes do not.
pub fn training(graph: &Graph) -> Option<&'static str> {
    let flag = |name: &String| graph.integers.get(name).is_some_and(|flag| flag[..] == [1]);
    let is = |op, training: &dyn Fn(&Node) -> bool| graph.nodes.iter().any(|node| node.op == op && training(node));
    let dropout = is("Dropout", &|node| node.inputs.get(2).is_some_and(flag));
    let norm = is("BatchNormalization", &|node| node.int("training_mode").is_some_and(|flag| flag != 0));
    match (dropout, norm) {
        (true, true) => Some("dropout and batch normalisation"),
        (true, false) => Some("dropout"),
        (false, true) => Some("batch normalisation"),
        (false, false) => None,
    }
}

/// Whether a network quantises its values by the range that they have in the batch.
pub fn quantises_by_batch(graph: &Graph) -> bool {
    graph.nodes.iter().any(|node| node.op.starts_with("DynamicQuantize"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_a_share_of_the_length() {
        assert!(apart(&[3.0, 4.0], &[3.0, 4.0]) <= 0.0 && apart(&[0.0; 3], &[0.0; 3]) <= 0.0);
        assert!((apart(&[3.0, 4.0], &[3.0, 4.5]) - 0.1).abs() < 1e-6);
        assert!(apart(&[0.0; 2], &[1.0, 0.0]).is_infinite());
    }
}
