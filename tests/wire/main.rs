//! What Home Assistant reads of the wire: the document by which it discovers the device.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod home_assistant;
mod rules;

use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
