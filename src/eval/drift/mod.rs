//! Drift: whether images have changed since the head in service was trained.
//!
//! Two detectors. [`Monitor`]: do the latest images look like the images that the champion was trained on? [`Adwin`]:
//! has the mean of a figure that comes with every image (confidence, novelty, live error) changed? Both only detect;
//! what follows (an alarm, requests for labels, a training) is decided elsewhere. Nothing here knows the time, and
//! memory and work an image are bounded.

mod adwin;
mod mmd;
mod monitor;
mod reference;

pub use adwin::{Adwin, Cut, Direction};
pub use monitor::{Finding, Monitor};
pub use reference::{NoReference, Reference};
