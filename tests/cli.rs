//! The command line as a user meets it: the built program, its output, its messages and its exit codes.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[path = "cli/backbone_add.rs"]
mod backbone_add;
#[path = "cli/backbone_switch.rs"]
mod backbone_switch;
#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/bundled.rs"]
mod bundled;
#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "support/camera/mod.rs"]
mod camera;
#[path = "cli/configuration.rs"]
mod configuration;
#[path = "cli/daemon.rs"]
mod daemon;
#[path = "cli/desk.rs"]
mod desk;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/family.rs"]
mod family;
#[path = "support/fleet.rs"]
mod fleet;
#[path = "cli/fleet_status.rs"]
mod fleet_status;
#[path = "cli/formats.rs"]
mod formats;
#[path = "cli/heads.rs"]
mod heads;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "cli/offline.rs"]
mod offline;
#[allow(dead_code, reason = "shared with the tests of the library, which draw other parts")]
#[path = "support/onnx.rs"]
mod onnx;
#[path = "cli/providers.rs"]
mod providers;
#[path = "cli/readers.rs"]
mod readers;
#[path = "cli/regions.rs"]
mod regions;
#[path = "cli/rollout.rs"]
mod rollout;
#[path = "cli/samples.rs"]
mod samples;
#[path = "support/skip.rs"]
mod skip;
#[path = "cli/steady.rs"]
mod steady;
#[path = "cli/tasks.rs"]
mod tasks;
#[path = "cli/tuning.rs"]
mod tuning;
#[path = "cli/update.rs"]
mod update;
#[path = "cli/usage.rs"]
mod usage;
