//! A backbone that computes further versions of its last layers beside its own, for heads that were trained with them.

use std::sync::Arc;

use ort::session::builder::GraphOptimizationLevel as Level;

use super::environment;
use super::message::RuntimeMessage;
use super::session::{OnnxBackbone, read};
use crate::backbone::onnx::graph::{Graph, expose};
use crate::backbone::onnx::tails::with_tails;
use crate::backbone::pooling::pooled;
use crate::head::{HeadRecord, Tail};
use crate::ports::{EmbedError, Embedder, TailedEmbedder, TailedRow};
use crate::words::error_chain;

impl TailedEmbedder for OnnxBackbone {
    fn follow(&mut self, heads: &[Arc<HeadRecord>]) -> Result<(), String> {
        let tails: Vec<&Tail> = heads.iter().filter_map(|head| head.tail()).collect();
        let former = (self.tails, self.reopened(&tails).map_err(|error| error_chain(&*error))?);
        self.tails = tails.len();
        let probe = vec![0.0; self.preprocess.tensor_len()];
        let answered = self.tailed(&probe, 1).map(|_| ()).map_err(|error| error_chain(&error));
        if answered.is_err() {
            (self.tails, self.session) = former;
        }
        answered
    }

    fn embed_tailed(&mut self, tensors: &[f32], n: usize) -> Result<Vec<TailedRow>, EmbedError> {
        if self.tails == 0 {
            return Ok(self.embed_each(tensors, n)?.into_iter().map(|row| (row, Vec::new())).collect());
        }
        let rows = self.tailed(tensors, n)?;
        if n == 1 || rows.iter().all(|(row, _)| row.is_ok()) {
            return Ok(rows);
        }
        let mut alone = Vec::with_capacity(n);
        for tensor in tensors.chunks_exact(tensors.len() / n) {
            alone.extend(self.tailed(tensor, 1)?);
        }
        Ok(alone)
    }
}

impl OnnxBackbone {
    /// Whether the network makes its embedding in float32, so that other weights of its last layers can take the place of
    /// its own.
    #[must_use]
    pub fn is_float32(&self) -> bool {
        self.cut.embedding.widening.is_none()
    }

    /// Runs the model with these tails from now on; the session before.
    fn reopened(&mut self, tails: &[&Tail]) -> Result<ort::session::Session, Box<dyn std::error::Error + Send + Sync>> {
        let (bytes, graph) = read(&self.manifest)?;
        let mut model = expose(&bytes, &graph, &self.embedding.tensors())?;
        if !tails.is_empty() {
            if !self.is_float32() {
                return Err("the embedding is no float32; use the same model in float32".into());
            }
            model = with_tails(&model, &Graph::read(&model)?, &self.embedding.tensor, tails)?;
        }
        let opened = self.way.any_session(&environment()?, (&model, Level::All))?;
        Ok(std::mem::replace(&mut self.session, opened))
    }

    /// The embeddings of `n` prepared pictures, and what each tail makes of each, where that is finite.
    fn tailed(&mut self, tensors: &[f32], n: usize) -> Result<Vec<TailedRow>, EmbedError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| EmbedError::Backend { n, source };
        let mut outputs = self.run(tensors, n).map_err(|error| failed(Box::new(RuntimeMessage::from(error))))?;
        let own = outputs.len() - self.tails;
        let tails = outputs.split_off(own);
        let wrong = |_| failed("an output of another shape than before".into());
        let frozen = self.joined(&outputs, n).map_err(wrong)?;
        let (dim, width) = (self.embedding.dim, self.space.dim);
        let mut rows: Vec<TailedRow> = Vec::with_capacity(n);
        for (image, row) in frozen.chunks_exact(width).enumerate() {
            let finite = match row.iter().position(|value| !value.is_finite()) {
                Some(place) => Err(EmbedError::NotFinite { image, place, value: row[place] }),
                None => Ok(row.to_vec()),
            };
            rows.push((finite, Vec::new()));
        }
        for tail in tails {
            let (pool, layout) = (self.embedding.pool, self.preprocess.layout);
            let values = pooled(&tail.shape, &tail.values, pool, dim, layout).filter(|rows| rows.len() == n * dim);
            let values = values.ok_or_else(|| wrong(0))?;
            for ((_, made), (frozen, tuned)) in
                rows.iter_mut().zip(frozen.chunks_exact(width).zip(values.chunks_exact(dim)))
            {
                // Inner values are taken before the tail.
                made.push([tuned, &frozen[dim..]].concat());
            }
        }
        for (_, made) in &mut rows {
            if made.iter().flatten().any(|value| !value.is_finite()) {
                made.clear();
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
#[path = "tailed_tests.rs"]
mod tests;
