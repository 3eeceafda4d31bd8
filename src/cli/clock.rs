//! The clock of commands.

use crate::words::Timestamp;

/// The current time, for writes.
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
