//! What a task says is so: a state that holds, made of predictions that do not.
//!
//! A prediction *votes* when its conformal set has one class and that class is likely enough; a state needs N votes among
//! the last M predictions, whichever of the task's sources they came from, and has to keep them for a while where
//! [`StateSettings::hold`] asks for it. Without any vote for [`StateSettings::unknown_after`] the state is unknown.
//!
//! | what the contract leaves open | settled here |
//! | --- | --- |
//! | a vote without a conformal set (too little held out) | its probability reaches the class's threshold, or [`UNMEASURED`] where there is none |
//! | a retained frame | it shows no present: it neither votes nor counts among M |
//! | several classes with N votes (N at most M / 2) | the one with most, the present state first, then the newest |
//! | several sources | one window: a task has one answer; where one of two cameras may see nothing, N has to be at most half of M |
//! | old votes after a silence | they count, but a state comes back from unknown only with a vote for it that came since |
//! | fewer than N votes for the present state | it stays until another one has N, or no vote comes at all |
//! | `previous` | the state published before, `unknown` too |
//! | `confidence`, `image`, `last_seen` | of the last vote for the state; while unknown of the last vote, without a confidence |
//! | `hold` and `unknown` | `hold` does not delay it, and it ends every wait for `hold`, also where both are due |
//! | a judgement anew | keeps the place and the time of its image, so that one older than `unknown_after` makes no unknown state known; of an image outside the window it changes nothing |
//!
//! Ages go by [`Ages`]: in one run by the monotonic clock; over a restart by the wall clock where it can be believed, and
//! never less than this run has lasted. Nothing here reads a clock, and no record exceeds M entries.
//!
//! [`Ages`]: super::Ages

mod machine;
mod record;
mod settings;
mod vote;

#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod property_tests;

pub use machine::{Change, StateMachine, StateView};
pub use record::{State, StateRecord};
pub use settings::{BadConfirm, Confirm, StateSettings};
pub use vote::{Judgement, UNMEASURED};
