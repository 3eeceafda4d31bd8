//! The daemon while its watched folder fails: the folder goes and comes back, a file system is mounted over it and
//! unmounted, nobody may read it, and the kernel's notices have limits.
//!
//! Whatever happens to the folder, the daemon goes on without a restart, says so on `alert/watch_lost`, takes the images
//! that come later, and keeps what it had of those before. Skipped, with a word of it, where mosquitto is not installed or
//! this user may not do what a test needs.
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

mod folders;
mod limits;
mod mounts;
mod permissions;
#[path = "../support/skip.rs"]
mod skip;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use camera::{Camera, Light, Part};
use daemon::{Daemon, Home, Listener};
use mosquitto::Mosquitto;
use serde_json::Value;
use tempfile::TempDir;

/// No training by itself, and a backbone that costs nothing.
const SETTINGS: &str = "training: { schedule: null, min_new_labels: 1000000 }\nbackbone: { model: tiny-test }";

/// A daemon that can be started, its broker, and somebody who listens.
struct Stage {
    _broker: Mosquitto,
    _wrapper: TempDir,
    home: Home,
    ears: Listener,
    pictures: u64,
}

impl Stage {
    /// `None` where mosquitto is not installed. The daemon is begun by `wrapper`, words before its own command line.
    fn set(wrapper: &str) -> Option<Self> {
        let broker = Mosquitto::start()?;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("edgetuned");
        let script = format!("#!/bin/sh\nexec {wrapper} '{}' \"$@\"\n", env!("CARGO_BIN_EXE_edgetuned"));
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let home = Home::new(program.to_str().unwrap(), broker.port, SETTINGS);
        let ears = Listener::new(broker.port);
        Some(Self { _broker: broker, _wrapper: folder, home, ears, pictures: 0 })
    }

    fn start(&mut self) -> Daemon {
        let daemon = self.home.start();
        self.ears.wait("status", "online", |status| status == "online");
        self.ears.wait("info", "there", |_| true);
        daemon
    }

    /// Writes a picture that was never seen; its path.
    fn put(&mut self, name: &str) -> PathBuf {
        self.pictures += 1;
        let picture = Camera::new(23).with_size(64, 48).jpeg(Part::Nut, self.pictures, &Light::DAY);
        self.home.put(name, &picture)
    }

    /// Writes a picture and waits until it is predicted.
    fn take(&mut self, name: &str) {
        let path = self.put(name);
        self.ears.prediction(&path);
    }

    /// Waits for the alert to say this; it names the watched folder, too.
    fn alert(&mut self, words: &str) -> Value {
        let folder = self.home.camera().display().to_string();
        let says =
            |alert: &Value| alert["text"].as_str().is_some_and(|text| text.contains(words) && text.contains(&folder));
        let alert = self.ears.wait("alert/watch_lost", words, says).json;
        self.ears.forget();
        alert
    }

    /// Waits until the alert is over.
    fn all_clear(&mut self) {
        self.ears.wait("alert/watch_lost", "over", |alert| alert == "");
        self.ears.forget();
    }

    /// What the daemon counts now.
    fn status(&mut self, transaction: &str) -> Value {
        self.ears.ask("status", transaction)["data"].clone()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Sets the mode of a file or folder.
fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
