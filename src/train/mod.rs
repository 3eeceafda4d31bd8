//! Fitting a dense head to labelled embeddings.
//!
//! [`fit()`] standardises the embeddings, chooses the L2 penalty by grouped, stratified cross-validation, fits the
//! served head on everything, and keeps what the folds' models said of samples whose groups they had not seen: the
//! figures, the temperature and the gate rest on those. [`Grouper`] says at arrival which images are near-duplicates.
//!
//! Same data, settings and machine give the same head, bit by bit. Nothing here knows the time, reads a file or
//! decides whether a head may serve; that is `eval::gate`.

mod adam;
mod dataset;
mod features;
mod fit;
mod groups;
mod lbfgs;
mod objective;
mod plan;
mod recipe;
mod select;
mod settings;
mod split;
mod temperature;

pub use dataset::{BadData, Dataset};
pub use fit::fit;
pub use groups::Grouper;
pub use settings::{ClassWeights, Epoch, FitError, Fitted, L2, Progress, Settings, Solver};
