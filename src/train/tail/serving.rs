//! Embeddings and gradients of a tail by our own code, as training computes them: what tests and benchmarks compare with ONNX
//! Runtime, which serves tuned heads, and with other frameworks.

use super::network::{ForeignTail, TailNetwork};
use super::workspace::Workspace;
use crate::head::Tail;

/// A tail with its trained values, and the memory that it runs in.
pub struct TailRunner {
    network: TailNetwork,
    theta: Vec<f32>,
    work: Workspace,
}

impl TailRunner {
    /// `network` with the values of `tail`.
    ///
    /// # Errors
    /// [`ForeignTail`] where `tail` is of another network.
    pub fn new(network: TailNetwork, tail: &Tail) -> Result<Self, ForeignTail> {
        let theta = network.values_of(tail)?;
        Ok(Self::with(network, theta))
    }

    /// `network` with the values that the backbone's file has: the frozen embeddings.
    #[must_use]
    pub fn original(network: TailNetwork) -> Self {
        let theta = network.original();
        Self::with(network, theta)
    }

    fn with(network: TailNetwork, theta: Vec<f32>) -> Self {
        let work = Workspace::forwards(&network, 1);
        Self { network, theta, work }
    }

    /// The embeddings (n, dim) of n pictures whose values at the cut are `latents` (n, channels, height, width), one
    /// after another.
    ///
    /// # Panics
    /// When `latents` are no whole number of pictures.
    pub fn embed(&mut self, latents: &[f32]) -> Vec<f32> {
        let row = self.network.cut().values();
        assert!(latents.len().is_multiple_of(row), "whole pictures");
        let mut out = Vec::with_capacity(latents.len() / row * self.network.dim());
        for latent in latents.chunks_exact(row) {
            self.work.input().copy_from_slice(latent);
            self.network.forward(&self.theta, &mut self.work);
            out.extend_from_slice(self.work.embeddings(&self.network));
        }
        out
    }

    /// The layers.
    #[must_use]
    pub fn network(&self) -> &TailNetwork {
        &self.network
    }
}

impl TailNetwork {
    /// The gradient of `sum_ij factors_ij z_ij` at the original values, as the values of a tail: z (n, dim) are the
    /// embeddings of n pictures whose values at the cut are `latents` (n, channels, height, width).
    ///
    /// # Panics
    /// When the lengths do not belong together.
    #[must_use]
    pub fn gradients(&self, latents: &[f32], factors: &[f32]) -> Tail {
        let batch = factors.len() / self.dim();
        assert_eq!((latents.len(), factors.len()), (batch * self.cut().values(), batch * self.dim()), "n of each");
        let side_by_side = |rows: &[f32], to: &mut [f32]| {
            let row = rows.len() / batch;
            to.iter_mut().enumerate().for_each(|(i, to)| *to = rows[i % batch * row + i / batch]);
        };
        let (theta, mut work) = (self.original(), Workspace::new(self, batch));
        let mut gradient = vec![0.0; theta.len()];
        side_by_side(latents, work.input());
        self.forward(&theta, &mut work);
        side_by_side(factors, work.embedding_gradient(self));
        self.backward(&theta, &mut work, &mut gradient);
        self.tail(&gradient)
    }
}
