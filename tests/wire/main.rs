//! What others read of the wire: `docs/asyncapi.yaml`, and the document by which Home Assistant discovers the device.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod asyncapi;
mod home_assistant;
mod rules;

use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
