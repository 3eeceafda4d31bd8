//! Rounds: every device of a fleet is asked, each at its own pace, and each ends with an answer, a refusal or silence.
//!
//! The asker's side. [`Round`] decides who is asked what and when; a [`Talk`] is what is asked of one device, request by
//! request. [`Gathering`] brings a statistics file in parts, [`Scoring`] measures heads. Messages may be lost, repeated and late:
//! a request that stays without an answer is made again, an answer to a request that no longer waits changes nothing.
//! Nothing here sends, or knows the time except by argument.

mod round;
mod talks;

#[cfg(test)]
mod tests;

pub use round::{AGAIN, Act, Ending, Heard, QUIET, Round, SEARCH_MAX, TRIES, Talk, UNDER_WAY};
pub use talks::{Gathering, Scoring};
