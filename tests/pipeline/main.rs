//! The daemon from outside: the built program, a real broker, files that appear in a folder, and the messages that are published.
//!
//! Everything waits for messages and never for time. Skipped, with a word of it, where mosquitto is not installed.
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
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/onnx.rs"]
mod onnx;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/proxy.rs"]
mod proxy;

mod adaptation;
mod backbone_switch;
mod backbone_update;
mod configuration;
mod credentials;
mod ending;
mod fleet;
mod forgetting;
mod frames;
mod home_assistant;
mod images;
mod label_changes;
mod labels;
mod no_room;
mod poisoned_fleet;
mod requests;
mod restarts;
mod rollout;
mod service;
#[path = "../support/sharing.rs"]
mod sharing;
#[path = "../support/skip.rs"]
mod skip;
mod socket;
mod sources;
mod tasks;
mod training;
mod tuning;
mod updates;

use std::time::Duration;

use camera::{Camera, Light, Part};
use daemon::{Daemon, Home, Listener};
use edgetuned::words::SampleId;
use mosquitto::Mosquitto;

/// A clean end takes at most this: five seconds for the broker, and the image in hand.
const ENDING: Duration = Duration::from_secs(10);

/// No training by itself.
const QUIET: &str = "training: { schedule: null, min_new_labels: 1000000 }";

/// A daemon at work, its broker, and somebody who listens.
struct Stage {
    broker: Mosquitto,
    home: Home,
    daemon: Daemon,
    ears: Listener,
}

impl Stage {
    /// `None` where mosquitto is not installed; `more` goes into the configuration.
    fn set(more: &str) -> Option<Self> {
        // It keeps sessions over a restart, as a broker in a plant does.
        let broker = Mosquitto::start_with("allow_anonymous true\npersistence true\npersistence_location {folder}/\n")?;
        let home = home(broker.port, more);
        let mut ears = Listener::new(broker.port);
        let daemon = home.start();
        ears.wait("status", "online", |status| status == "online");
        ears.wait("info", "there", |_| true);
        Some(Self { broker, home, daemon, ears })
    }

    /// Says `stopped`, ends with 0 and starts again.
    fn restart(&mut self) {
        self.daemon.stop(ENDING);
        self.ears.wait("status", "stopped", |status| status == "stopped");
        self.ears.forget();
        self.daemon = self.home.start();
        self.ears.wait("status", "online", |status| status == "online");
        self.ears.wait("info", "there", |_| true);
    }

    /// Waits until the daemon knows of so many images in this run of it.
    fn images(&mut self, count: u64) {
        // A file of which a second notice comes while it is read may be read, and counted, twice.
        self.ears.wait("health", "about these images", |health| health["images_total"].as_u64() >= Some(count));
    }
}

fn home(port: u16, more: &str) -> Home {
    Home::new(env!("CARGO_BIN_EXE_edgetuned"), port, more)
}

/// The small picture number `index` of `part`.
fn picture(part: Part, index: u64) -> Vec<u8> {
    Camera::new(11).with_size(160, 120).jpeg(part, index, &Light::DAY)
}

/// The SHA-256 by which a picture is known.
fn name(bytes: &[u8]) -> String {
    SampleId::of(bytes).to_string()
}
