//! A tuned tail in service: embeddings of pictures from their inner values.

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
