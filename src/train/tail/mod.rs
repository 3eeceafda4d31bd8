//! The second phase of a training: the last layers of the backbone are trained on with the head.
//!
//! [`tune`] decides how: from the original layers, on inner values of the pictures ([`Latents`]), by Adam, fold by fold
//! and once on everything. Nothing that a tail has seen is scored by it: the embeddings of a tuned tail know the labels of
//! its pictures, so a head cross-validated on them would claim what it does not keep. The layers come from `backbone`, which
//! reads an ONNX file and puts them together by [`TailBuilder`]; nothing here knows files.
//!
//! | module | holds |
//! | --- | --- |
//! | `network`, `builder` | the layers, and how they are put together |
//! | `workspace`, `plan` | forward and backward pass over a batch, in memory that is taken once |
//! | `convolution`, `elementwise`, `gemm` | what the layers compute, on the processor's vectors |
//! | `quantised` | [`Latents`], a byte a value |
//! | `model`, `tuning` | one model in training; folds, epochs and figures |

mod builder;
mod convolution;
mod elementwise;
mod gemm;
mod model;
mod network;
mod plan;
mod quantised;
mod serving;
mod settings;
mod tuning;
mod workspace;

#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod tuning_tests;

pub use builder::{BadLayer, Constant, MOST_BYTES, Made, TailBuilder, Untrainable};
pub use convolution::Window;
pub use elementwise::Clamp;
pub use network::{Bytes, ForeignTail, Shape, TailNetwork};
pub use quantised::{BadLatents, Latents};
pub use serving::TailRunner;
pub use settings::{Schedule, TailLayers, TuneError, TuneSettings, Tuned};
pub use tuning::tune;
