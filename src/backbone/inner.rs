//! Inner values: pooled values of inner tensors of a backbone, appended to its embedding.
//!
//! What they are follows from the manifest and the model file alone: how many channels a tensor has is read from the
//! graph, so that the width of an embedding is known before anything runs. A running model has to agree.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::manifest::{Embedding, Manifest};
use super::onnx::channels::channels;
use super::onnx::functions::inlined;
use super::onnx::graph::{Axis, Graph};
use super::pooling::{channels_last, fitting};
use crate::image::{Layout, Preprocess};
use crate::words::{keywords, on_one_line};

/// Inner tensors that a manifest may name.
pub const INNER_MAX: usize = 16;
/// Channels that an inner tensor may have; the widest maps of common networks have as many.
pub const CHANNELS_MAX: usize = 2048;
/// Bytes of a tensor's name.
const NAME_MAX: usize = 1024;
/// Bytes of a model file that is read for its channels.
const MODEL_MAX: u64 = 2 << 30;

/// A map inside the network, and which of its values over height and width an embedding has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inner {
    /// An output or inner tensor of the model: a map (n, channels, h, w) or (n, h, w, channels).
    pub tensor: String,
    /// Means before deviations, none twice.
    #[serde(default = "both")]
    pub stat: Vec<Stat>,
    /// Channels of the map; `None` where they were not looked up, or the model file does not tell.
    #[serde(skip)]
    pub channels: Option<usize>,
}

keywords! {
    /// A value over height and width of each channel of a map.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Stat {
        /// The mean.
        Mean = "mean",
        /// The standard deviation of the population: the root of the mean squared distance from the mean.
        Std = "std",
    }
}

/// What an entry without `stat` has.
pub fn both() -> Vec<Stat> {
    vec![Stat::Mean, Stat::Std]
}

/// What is wrong with an entry: the key, what was found, what was expected.
pub(super) type Wrong = (String, String, &'static str);

impl Inner {
    /// Values that it adds to an embedding; 0 where its channels are not known.
    #[must_use]
    pub fn width(&self) -> usize {
        self.channels.unwrap_or(0) * self.stat.len()
    }

    /// Its values (n, width) of the map `values` of `shape`: for each picture all means, then all deviations, in the order
    /// of the channels; `None` where that is no map of its channels.
    ///
    /// Sums are of float64 and in the order of the map's places; deviations are taken from the mean, so that a large
    /// mean costs them no digits.
    pub(super) fn rows(&self, shape: &[i64], values: &[f32], layout: Layout) -> Option<Vec<f32>> {
        let (channels, last) = self.fits(shape, layout)?;
        let axes: Vec<usize> = shape.iter().map(|&length| length as usize).collect();
        let picture: usize = axes[1..].iter().product();
        if picture == 0 || axes[0] * picture != values.len() {
            return None;
        }
        let places = picture / channels;
        // Of channel k and place p.
        let at = |k: usize, p: usize| if last { p * channels + k } else { k * places + p };
        let mut rows = Vec::with_capacity(axes[0] * self.width());
        for map in values.chunks_exact(picture) {
            let moments: Vec<(f64, f64)> = (0..channels)
                .map(|k| {
                    let of_channel = || (0..places).map(|p| f64::from(map[at(k, p)]));
                    let mean = of_channel().sum::<f64>() / places as f64;
                    let variance = of_channel().map(|x| (x - mean) * (x - mean)).sum::<f64>() / places as f64;
                    (mean, variance.sqrt())
                })
                .collect();
            for stat in &self.stat {
                rows.extend(moments.iter().map(|(mean, std)| match stat {
                    Stat::Mean => *mean as f32,
                    Stat::Std => *std as f32,
                }));
            }
        }
        Some(rows)
    }

    /// The number of its channels and whether they are the last axis, where `shape` is that of such a map.
    pub(super) fn fits(&self, shape: &[i64], layout: Layout) -> Option<(usize, bool)> {
        let (channels, &[_, second, third, last]) = (self.channels?, shape) else { return None };
        let [second, third, last] = [second, third, last].map(|length| usize::try_from(length).unwrap_or(0));
        let is_last = channels_last([second, last], channels, layout);
        let found = if is_last { last } else { second };
        (found == channels && second * third * last > 0).then_some((channels, is_last))
    }
}

impl Embedding {
    /// Values of one embedding with its inner values.
    #[must_use]
    pub fn width(&self) -> usize {
        self.dim + self.inner.iter().map(Inner::width).sum::<usize>()
    }

    /// Widths of what an embedding consists of: the values of its tensor, then the means and the deviations of each inner
    /// one; of other sizes all of them.
    #[must_use]
    pub fn parts(&self) -> Vec<usize> {
        let inner = self.inner.iter().flat_map(|inner| inner.stat.iter().map(|_| inner.channels.unwrap_or(0)));
        std::iter::once(self.dim).chain(inner).collect()
    }

    /// The embedding tensor, then the inner ones.
    pub(super) fn tensors(&self) -> Vec<&str> {
        std::iter::once(&self.tensor).chain(self.inner.iter().map(|inner| &inner.tensor)).map(String::as_str).collect()
    }

    /// Puts the statistics of each entry into their order.
    ///
    /// # Errors
    /// [`Wrong`] for the first entry that cannot be meant.
    pub(super) fn check_inner(&mut self) -> Result<(), Wrong> {
        if self.inner.len() > INNER_MAX {
            return Err(("embedding.inner".into(), format!("{} entries", self.inner.len()), "16 entries at most"));
        }
        for (place, entry) in self.inner.iter().enumerate() {
            let wrong =
                |key: &str, found: String, expected| Err((format!("embedding.inner[{place}].{key}"), found, expected));
            let name = on_one_line(&entry.tensor);
            if entry.tensor.trim().is_empty() {
                return wrong("tensor", "nothing".into(), "a name");
            }
            if entry.tensor.len() > NAME_MAX {
                return wrong("tensor", format!("a name of {} bytes", entry.tensor.len()), "1024 bytes at most");
            }
            if entry.tensor == self.tensor {
                return wrong("tensor", format!("the embedding's own {name:?}"), "another tensor of the model");
            }
            if self.inner[..place].iter().any(|other| other.tensor == entry.tensor) {
                return wrong("tensor", format!("{name:?} a second time"), "each tensor once");
            }
            let twice = |stat: &Stat| entry.stat.iter().filter(|other| *other == stat).count() > 1;
            if entry.stat.is_empty() || entry.stat.iter().any(twice) {
                let words: Vec<_> = entry.stat.iter().take(4).map(|stat| stat.as_str()).collect();
                let more = if entry.stat.len() > 4 { ", …" } else { "" };
                return wrong("stat", format!("[{}{more}]", words.join(", ")), "[mean], [std] or [mean, std]");
            }
        }
        self.inner.iter_mut().for_each(|entry| entry.stat.sort_unstable());
        Ok(())
    }

    /// Looks the channels of the inner tensors up in `graph`, for pictures prepared by `preprocess`.
    pub(super) fn resolve(&mut self, graph: &Graph, preprocess: &Preprocess) {
        if self.inner.is_empty() {
            return;
        }
        let known = channels(graph);
        for inner in &mut self.inner {
            let by_steps = known.get(inner.tensor.as_str()).copied();
            let found = by_steps.or_else(|| stated(graph, &inner.tensor, preprocess));
            let found = found.and_then(|channels| usize::try_from(channels).ok());
            inner.channels = found.filter(|channels| (1..=CHANNELS_MAX).contains(channels));
        }
    }
}

impl Manifest {
    /// The same with the channels of its inner tensors, as far as its model file tells; where it has none, no file is
    /// touched.
    ///
    /// The number is not a key of the manifest: it follows from the model, and a person who had to write it could write
    /// another. What is wrong with the file is left for [`OnnxBackbone::open`](super::OnnxBackbone::open) to say.
    #[must_use]
    pub fn resolved(mut self) -> Self {
        if !self.embedding.inner.is_empty()
            && let Some(graph) = graph_in(&self.file)
        {
            self.embedding.resolve(&graph, &self.preprocess);
        }
        self
    }
}

/// The graph of the model at `file`; `None` where that is no file of a model.
fn graph_in(file: &Path) -> Option<Graph> {
    // A pipe in its place would never end.
    std::fs::metadata(file).ok().filter(|about| about.is_file() && about.len() <= MODEL_MAX)?;
    let bytes = std::fs::read(file).ok()?;
    Graph::read(&inlined(&bytes).ok()?).ok()
}

/// Channels of `tensor` by the shape that the file states for it.
fn stated(graph: &Graph, tensor: &str, preprocess: &Preprocess) -> Option<i64> {
    if !graph.computes(tensor) {
        return None;
    }
    let axes = graph.tensor(tensor)?.shape.as_deref()?;
    match axes {
        [_, Axis::Fixed(a), Axis::Fixed(b), Axis::Fixed(c)] => {
            let (_, width) = fitting(&[1, *a, *b, *c], preprocess.layout, preprocess.size, None)?;
            i64::try_from(width).ok()
        }
        [_, Axis::Fixed(channels), Axis::Free(_), Axis::Free(_)]
        | [_, Axis::Free(_), Axis::Free(_), Axis::Fixed(channels)] => Some(*channels),
        _ => None,
    }
}

#[cfg(test)]
#[path = "inner_tests.rs"]
mod tests;
