//! Training a classification head on labelled embeddings, and correcting it between two trainings.
//!
//! Begin at [`fit()`]: it deals the samples to folds (`cv/`), hands them to a kind of head (`heads/`), which chooses its
//! hyperparameters by grouped, stratified cross-validation and is then fitted on everything, and fits a temperature on
//! the out-of-fold logits. Those logits are part of the result: the figures, the gate and the calibration rest on them.
//!
//! | module | holds |
//! | --- | --- |
//! | `data/` | [`Dataset`], groups of near-duplicates ([`Grouper`]), the split into folds, the [`subset()`] of a bounded training, replay of evicted samples |
//! | `cv/` | the plan of one training, the path of L2 penalties, the rule of model choice, temperature scaling |
//! | `heads/` | softmax (by L-BFGS or Adam), lda, rp-ridge, mlp, and `auto`, which chooses one of them |
//! | `online/` | sufficient statistics, an LDA that is updated sample by sample, and [`OnlineLearner`]: labels that take effect before the next training |
//! | `fast/` | standardised features, SIMD products, one pass over the data for all folds, the preconditioner. `softmax_loss` is the same loss in plain f64, so a first reading may skip this |
//! | `softmax_loss`, `lbfgs`, `adam`, `cholesky` | the loss, two optimisers, positive definite systems |
//!
//! The same data, settings and machine give the same head, bit by bit. Nothing here knows the time, reads a file or
//! decides whether a head may serve; that is `eval::gate`.

mod adam;
mod cholesky;
mod cv;
mod data;
mod fast;
mod fit;
mod heads;
mod lbfgs;
mod online;
mod settings;
mod softmax_loss;

pub use cholesky::{Cholesky, NoFactor};
pub use cv::temperature::fit as fit_temperature;
pub use data::dataset::{BadData, Dataset};
pub use data::groups::{Frame, Grouper};
pub use data::split::folds_of;
pub use data::subset::choose as subset;
pub use fit::fit;
pub use online::catch_up::{LabelRow, LabelRows, catch_up, with_replay};
pub use online::class_stats::ClassStats;
pub use online::label_stats::{BadLabelStats, LabelStats};
pub use online::learner::OnlineLearner;
pub use online::online_lda::{OnlineLda, Shrinkage};
pub use online::overlay::Overlay;
pub use settings::{ClassWeights, Epoch, FitError, Fitted, HeadKind, L2, Progress, Settings, Solver, Watch};
