//! A state folder that is full, and one whose file system becomes read-only, under the whole daemon.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use super::camera::Part;
use super::daemon::Listener;
use super::mosquitto::{Mosquitto, free_port};
use super::mount::Mount;
use super::socket::talk;
use super::{ENDING, QUIET, home, name, picture};

/// Whether the daemon does its work.
const READY: &[u8] = b"GET /readyz HTTP/1.1\r\n\r\n";
/// Whether it answers.
const ALIVE: &[u8] = b"GET /healthz HTTP/1.1\r\n\r\n";

/// Waits for an alert to be raised, or cleared where `up` is false.
fn alert(ears: &mut Listener, id: &str, up: bool) -> Value {
    ears.wait(&format!("alert/{id}"), if up { "up" } else { "over" }, |alert| alert.is_object() == up).json
}

#[test]
fn on_a_full_disk_predictions_continue_and_everything_is_stored_when_there_is_space_again() {
    let port = free_port();
    let home = home(port, QUIET);
    let Some(_mount) = Mount::new(&home.state(), &["-t", "tmpfs", "-o", "size=6m", "tmpfs"]) else { return };
    let Some(_broker) = Mosquitto::start_in(tempfile::tempdir().unwrap(), port, "allow_anonymous true\n") else {
        return;
    };
    let mut ears = Listener::new(port);
    let mut daemon = home.start();
    let before = home.put("before.jpg", &picture(Part::Nut, 0));
    ears.prediction(&before);

    let ballast = home.state().join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    // The first images after this find the last free page, or none.
    let during: Vec<_> = (1..40).map(|n| (n, home.put(&format!("{n}.jpg"), &picture(Part::Bolt, n)))).collect();
    let up = alert(&mut ears, "disk_full", true);
    assert_eq!(up["severity"], "error");
    let reported = up["text"].as_str().unwrap();
    assert!(reported.contains("disk is full") && reported.contains("predicted meanwhile"), "{reported}");
    let (status, why) = talk(&home, READY);
    assert!(status == Some(503) && why.contains("nothing can be stored"), "{status:?} {why}");
    assert_eq!(talk(&home, ALIVE).0, Some(200));
    for (_, path) in &during {
        assert_eq!(ears.prediction(path)["replayed"], false, "at once, also those of the first batch without room");
    }
    let last = home.put("last.jpg", &picture(Part::Washer, 1));
    let latest = ears.prediction(&last);
    assert_eq!(latest["replayed"], false);
    ears.send("label", &json!({ "image": name(&picture(Part::Washer, 1)), "label": "washer" }));

    drop(file);
    fs::remove_file(&ballast).unwrap();
    alert(&mut ears, "disk_full", false);
    let all = during.len() + 2;
    ears.wait("health", "about all samples", |health| health["samples"] == all && health["labelled"] == 1);
    assert_eq!(talk(&home, READY).0, Some(200));
    let said = ears.heard("prediction");
    assert_eq!(said.len(), all, "each image is predicted once");
    daemon.stop(ENDING);
    let mut again = home.start();
    let kept = ears.ask("status", "after")["data"].clone();
    assert_eq!((&kept["samples"], &kept["labelled"]), (&json!(all), &json!(1)));
    again.stop(ENDING);
}

#[test]
fn a_start_on_a_full_disk_predicts_and_says_so() {
    let port = free_port();
    let home = home(port, QUIET);
    let Some(_mount) = Mount::new(&home.state(), &["-t", "tmpfs", "-o", "size=6m", "tmpfs"]) else { return };
    let Some(_broker) = Mosquitto::start_in(tempfile::tempdir().unwrap(), port, "allow_anonymous true\n") else {
        return;
    };
    let mut ears = Listener::new(port);
    let mut daemon = home.start();
    let before = home.put("before.jpg", &picture(Part::Nut, 0));
    let first_seq = ears.prediction(&before)["seq"].as_u64().unwrap();
    daemon.stop(ENDING);

    let ballast = home.state().join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    ears.forget();
    let mut again = home.start();
    let during: Vec<_> = (1..200).map(|n| home.put(&format!("{n}.jpg"), &picture(Part::Bolt, n))).collect();
    for path in &during {
        assert!(ears.prediction(path)["seq"].as_u64().unwrap() > first_seq);
    }
    alert(&mut ears, "disk_full", true);
    drop(file);
    fs::remove_file(&ballast).unwrap();
    alert(&mut ears, "disk_full", false);
    ears.wait("health", "about all samples", |health| health["samples"] == during.len() + 1);
    assert_eq!(ears.heard("prediction").len(), during.len(), "each image is predicted once");
    again.stop(ENDING);
}

#[test]
fn on_a_file_system_that_becomes_read_only_predictions_continue_and_nothing_acknowledged_is_lost() {
    let port = free_port();
    let home = home(port, QUIET);
    let image = home.state().with_file_name("disk");
    File::create(&image).unwrap().set_len(32 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).output();
    if !made.is_ok_and(|output| output.status.success()) {
        crate::skip::skip("mkfs.ext4 is not installed (apt-get install e2fsprogs)");
        return;
    }
    let what = ["-o", "loop", image.to_str().unwrap()];
    let Some(mount) = Mount::new(&home.state(), &what) else { return };
    let Some(_broker) = Mosquitto::start_in(tempfile::tempdir().unwrap(), port, "allow_anonymous true\n") else {
        return;
    };
    let mut ears = Listener::new(port);
    let mut daemon = home.start();
    for n in 0..5 {
        let path = home.put(&format!("{n}.jpg"), &picture(Part::Nut, n));
        ears.prediction(&path);
    }
    // What a file system does by itself when its disk fails.
    let aborted = Command::new("mount").args(["-o", "remount,abort"]).arg(home.state()).output().unwrap();
    assert!(aborted.status.success(), "{}", String::from_utf8_lossy(&aborted.stderr));
    home.put("first.jpg", &picture(Part::Bolt, 1));
    let up = alert(&mut ears, "store_unwritable", true);
    assert_eq!(up["severity"], "error", "{up}");
    let path = home.put("second.jpg", &picture(Part::Bolt, 2));
    ears.prediction(&path);
    daemon.stop(ENDING);

    drop(mount);
    let Some(_mount) = Mount::new(&home.state(), &what) else { return };
    let mut again = home.start();
    ears.wait("health", "about all seven", |health| health["samples"] == 7);
    again.stop(ENDING);
}
