//! The head in service, shared between the loop that changes it and the worker that asks it.

use std::sync::{Arc, PoisonError, RwLock};

use crate::engine::Scored;
use crate::head::{DenseHead, HeadRecord};
use crate::words::HeadRef;

/// A head in service.
#[derive(Debug)]
struct Served {
    head: HeadRef,
    dense: DenseHead,
}

/// The place of the head in service. It is replaced whole: every image is scored by one head or the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Serving(Arc<RwLock<Option<Arc<Served>>>>);

impl Serving {
    /// Puts a head in service, or takes the present one out.
    pub fn set(&self, record: Option<HeadRecord>) {
        let served = record.map(|record| Arc::new(Served { head: record.head, dense: record.dense }));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = served;
    }

    /// What the head in service says of an embedding (dim,): its `top_k` best classes.
    pub fn score(&self, embedding: &[f32], top_k: usize) -> Option<Scored> {
        let served = self.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        match served.dense.probabilities(embedding) {
            Ok(probabilities) => {
                Some(Scored { head: served.head.clone(), top: served.dense.top_k(&probabilities, top_k) })
            }
            Err(error) => {
                tracing::error!(head = %served.head, %error, "the head in service cannot read the backbone's embeddings");
                None
            }
        }
    }
}
