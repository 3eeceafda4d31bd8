//! Images that come otherwise than as files: the frames of cameras, by MQTT, HTTP or from a program that posts them.
//!
//! Whoever brings a frame puts it into the slot of its source ([`Slots`]), of which the newest frame wins; the engine
//! decides when it is taken. [`picture`] reads a payload, [`poll`] asks cameras over HTTP. What a frame is worth is not known
//! here: whether it is whole, new to the store, or of any use.
//!
//! - Nothing here makes anybody wait, neither the link to the broker nor the daemon's loop.
//! - Memory is bounded by [`WAITING_BYTES`] and, for each camera that is asked, one picture that is being read.
//! - A camera that stalls, lies about lengths or sends something else costs its own thread and a line in the journal.

mod fetch;
mod frame;
pub mod poll;
mod schedule;
mod slot;

pub use fetch::Request;
pub use frame::{BadFrame, picture};
pub use schedule::Burst;
pub use slot::{Frame, News, Offered, Slots, WAITING_BYTES};
