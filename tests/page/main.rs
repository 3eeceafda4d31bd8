//! The page in a real browser, with the built program behind it.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "../support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
#[path = "../support/mount.rs"]
mod mount;
#[path = "../support/skip.rs"]
mod skip;

mod acts;
mod browser;
mod faults;
mod hostile;
mod modules;
mod places;
mod regions;
mod session;
mod stage;
mod story;
mod trouble;
#[path = "../support/wheels.rs"]
mod wheels;
