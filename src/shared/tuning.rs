//! The second phase of a training, as the daemon and the command line both begin and report it: the backbone up to its tail,
//! and what the tail begins with of a picture.

use crate::backbone::{
    Embedding, Manifest, NotTrainable, OnnxBackbone, OpenError, Pool, read, tail_input, tail_network,
};
use crate::head::Figures;
use crate::image::{Preprocess, Rgb, View};
use crate::ports::{EmbedError, Embedder as _};
use crate::train::{Epoch, Latents, TailLayers, TailNetwork};
use crate::wire::{EpochFigures, PhaseFigures, SecondPhase};
use crate::words::{Region, SampleId};

/// A backbone up to its tail, and the tail itself.
pub struct Trunk {
    /// The layers that are trained on.
    pub network: TailNetwork,
    backbone: OnnxBackbone,
    shape: [usize; 3],
}

/// Why a backbone has no tail that can be trained.
#[derive(Debug, thiserror::Error)]
pub enum NoTail {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An operator is not known, or memory does not suffice.
    #[error(transparent)]
    Operators(#[from] NotTrainable),
    /// Its tail does not begin with a map.
    #[error("the tensor {tensor:?} of shape {shape:?} is no map of one picture; train the head alone")]
    NoMap {
        /// Where the tail begins.
        tensor: String,
        /// Of one picture.
        shape: Vec<i64>,
    },
    /// Its tail works in another type than float32.
    #[error("the tensor {tensor:?} is no float32; use the same model in float32, or train the head alone")]
    Narrow {
        /// Where the tail begins.
        tensor: String,
    },
}

impl Trunk {
    /// Opens the backbone of `manifest` up to these `layers`, on `threads` threads.
    ///
    /// # Errors
    /// [`NoTail`]
    pub fn open(manifest: &Manifest, layers: TailLayers, threads: usize) -> Result<Self, NoTail> {
        let (bytes, graph) = read(manifest)?;
        let tensor = tail_input(&graph, &manifest.embedding.tensor, layers)?;
        let cut_at = |dim| Manifest {
            embedding: Embedding { tensor: tensor.clone(), dim, pool: Pool::None, inner: Vec::new() },
            ..manifest.clone()
        };
        let found = OnnxBackbone::shape(&cut_at(1))?;
        let [1, channels, height, width] = found[..] else { return Err(NoTail::NoMap { tensor, shape: found }) };
        let shape = [channels, height, width].map(|length| length as usize);
        let network = tail_network(&bytes, &graph, &tensor, &manifest.embedding, shape, layers)?;
        let backbone = OnnxBackbone::open(&cut_at(shape.iter().product()), threads)?;
        // No tail is read through a Cast, so all of it is of the type that it begins with.
        if !backbone.is_float32() {
            return Err(NoTail::Narrow { tensor });
        }
        Ok(Self { network, backbone, shape })
    }

    /// Latents of no picture yet.
    #[must_use]
    pub fn latents(&self) -> Latents {
        Latents::new(self.shape)
    }

    /// How pictures are prepared.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        self.backbone.preprocess()
    }

    /// What the tail begins with of `count` views of what `region` shows of the picture `id`, which was decoded for it: (count, channels, height,
    /// width).
    ///
    /// # Errors
    /// [`EmbedError`] when the network fails, or makes what is not finite.
    pub fn views(&mut self, id: SampleId, image: &Rgb, region: &Region, count: usize) -> Result<Vec<f32>, EmbedError> {
        let preprocess = self.preprocess().clone();
        let part = image.part(region, preprocess.pad);
        let tensors =
            View::of(id, count).iter().flat_map(|view| preprocess.apply(&view.apply(&part))).collect::<Vec<_>>();
        self.backbone.embed(&tensors, count)
    }
}

/// The report of a second phase that was run: `phases` are the figures of the first and of the second, where they were
/// measured, and the seconds that each took to fit; whether the second is better stands in `tuned`, and why in `tune_reason`.
#[must_use]
pub fn report(epochs: &[Epoch], phases: [(Option<Figures>, f64); 2], tuned: bool, tune_reason: String) -> SecondPhase {
    let phase = |(phase, (figures, fit_seconds)): (u8, (Option<Figures>, f64))| {
        figures.map(|figures| PhaseFigures { phase, fit_seconds, figures })
    };
    SecondPhase {
        phase: 2,
        epochs: epochs.iter().map(|&Epoch { loss, accuracy, .. }| EpochFigures { loss, accuracy }).collect(),
        phases: (1..).zip(phases).filter_map(phase).collect(),
        tuned,
        tune_reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::drawn::{Attribute::Int, Net};
    use crate::words::Digest;

    #[test]
    fn a_tail_in_half_precision_is_not_begun_because_no_head_of_it_could_serve() {
        let net = Net::default().input("input", "n 3 4 4").node_with("Cast", "input", "half", &[Int("to", 10)]);
        let net = net.node("Relu", "half", "cut").half_weight("w", &[6, 3, 1, 1]).node("Conv", "cut w", "last");
        let net =
            net.node("GlobalAveragePool", "last", "mean").node_with("Flatten", "mean", "embedding", &[Int("axis", 1)]);
        let bytes = net.output_of("embedding", 10, "n 6").bytes();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("half.onnx"), &bytes).expect("written");
        let text = format!(
            "name: half\nfile: half.onnx\nsha256: {}\nlicense: none\nsource: drawn\ninput: {{tensor: input, layout: nchw, size: [4, 4], channels: rgb, mean: 0, std: 1, resize: stretch}}\n\
             embedding: {{tensor: embedding, dim: 6, pool: none}}\n",
            Digest::of(&bytes)
        );
        let path = folder.path().join("half.yaml");
        std::fs::write(&path, text).expect("written");
        let manifest = Manifest::load(&path).expect("a manifest");
        let found = Trunk::open(&manifest, TailLayers::LastConv, 1).err().expect("a refusal").to_string();
        assert!(found.contains("\"cut\" is no float32; use the same model in float32"), "{found}");
    }
}
