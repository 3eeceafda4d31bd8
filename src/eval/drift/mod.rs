//! Drift: whether images have changed since the head in service was trained.
//!
//! Two detectors. [`Monitor`]: do the latest images look like the ones that the champion
//! learned its classes from? [`Adwin`]: has the mean of a figure that comes with every image (confidence, novelty,
//! live error) changed? Both only detect; what follows (an alarm, labels asked for, a training) is decided elsewhere.
//! Nothing here knows the time, and memory and work an image are bounded.

mod adwin;
mod mmd;
mod monitor;
mod reference;

pub use adwin::{Adwin, Cut};
pub use monitor::{Finding, Monitor};
pub use reference::{NoReference, Reference};
