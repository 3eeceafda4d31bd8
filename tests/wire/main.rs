//! What others read of the wire: the document by which Home Assistant discovers the device, and the one that describes the API.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod home_assistant;
mod openapi;
mod rules;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/wheels.rs"]
mod wheels;

use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
