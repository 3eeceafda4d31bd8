//! Fitting a dense head to labelled embeddings.
//!
//! [`fit()`] standardises the embeddings, chooses what a [`HeadKind`] leaves open (the L2 penalty, the shrinkage, the
//! number of epochs, or the kind itself) by grouped, stratified cross-validation, fits the served head on everything, and keeps what the folds' models said of samples whose groups they had not seen: the
//! figures, the temperature and the gate rest on those. [`Grouper`] says at arrival which images are near-duplicates.
//!
//! Same data, settings and machine give the same head, bit by bit. Nothing here knows the time, reads a file or
//! decides whether a head may serve; that is `eval::gate`.

mod adam;
mod auto;
mod catch_up;
mod cholesky;
mod contest;
mod dataset;
mod discriminant;
mod features;
mod fit;
mod groups;
mod instant;
mod inverse;
mod kernel;
mod lbfgs;
mod lda;
mod mlp;
mod moments;
mod network;
mod objective;
mod overlay;
mod plan;
mod recipe;
mod replay;
mod rp_ridge;
mod select;
mod settings;
mod softmax;
mod spectrum;
mod split;
mod statistics;
mod subset;
mod temperature;
mod together;

pub use catch_up::{LabelRow, LabelRows, catch_up, with_replay};
pub use cholesky::{Cholesky, NoFactor};
pub use dataset::{BadData, Dataset};
pub use fit::fit;
pub use groups::{Frame, Grouper};
pub use instant::Learner;
pub use inverse::{Discriminant, Shrinkage};
pub use lda::Lda;
pub use overlay::Overlay;
pub use settings::{ClassWeights, Epoch, FitError, Fitted, HeadKind, L2, Progress, Settings, Solver};
pub use split::folds_of;
pub use statistics::{BadStatistics, Statistics};
pub use subset::choose as subset;
pub use temperature::fit as fit_temperature;
