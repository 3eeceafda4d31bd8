//! The second phase of a training, as the daemon and the command line both begin it: the backbone up to its tail, and what
//! the tail begins with of a picture.

use crate::backbone::{
    Embedding, Manifest, NotTrainable, OnnxBackbone, OpenError, Pool, read, tail_input, tail_network,
};
use crate::image::{Rgb, View};
use crate::ports::{EmbedError, Embedder as _};
use crate::train::{Latents, TailLayers, TailNetwork};
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
        Ok(Self { network, backbone: OnnxBackbone::open(&cut_at(shape.iter().product()), threads)?, shape })
    }

    /// Latents of no picture yet.
    #[must_use]
    pub fn latents(&self) -> Latents {
        Latents::new(self.shape)
    }

    /// What the tail begins with of `count` views of what `region` shows of the picture `id`: (count, channels, height,
    /// width).
    ///
    /// # Errors
    /// [`EmbedError`] when the network fails, or makes what is not finite.
    pub fn views(&mut self, id: SampleId, image: &Rgb, region: &Region, count: usize) -> Result<Vec<f32>, EmbedError> {
        let preprocess = self.backbone.preprocess().clone();
        let part = image.part(region, preprocess.pad);
        let tensors =
            View::of(id, count).iter().flat_map(|view| preprocess.apply(&view.apply(&part))).collect::<Vec<_>>();
        self.backbone.embed(&tensors, count)
    }
}
