//! What makes a fit of the softmax head fast: none of it changes the minimum that is found.
//!
//! `scale` says by what values are divided, `features` standardises embeddings as they are read, `simd` multiplies,
//! `batched` takes all folds through the data together, `preconditioner` saves passes. (Decision 13.)

pub(crate) mod batched;
pub(crate) mod features;
pub(crate) mod preconditioner;
pub(crate) mod scale;
pub(crate) mod simd;
