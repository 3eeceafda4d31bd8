//! The clock of commands.

use crate::words::Timestamp;

/// The present time, for what is written.
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
