//! What stays over a restart of the daemon or of the broker.

use std::collections::{BTreeMap, BTreeSet};

use edgetuned::store::{Reader, SpacesInUse};
use serde_json::{Value, json};

use crate::camera::Part;
use crate::daemon::Listener;
use crate::mosquitto::{Mosquitto, free_port};
use crate::{ENDING, QUIET, Stage, home, picture};

#[test]
fn after_a_restart_nothing_is_predicted_again_the_head_serves_and_seq_rises() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    for index in 0..4 {
        for part in [Part::Nut, Part::Spring] {
            stage.home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
        }
    }
    stage.ears.wait("health", "about the labels", |health| health["labelled"] == 8);
    stage.ears.ask("train", "t");
    let result = stage.ears.wait("train/result", "promoted", |result| result["promoted"] == true).json;
    let before = stage.ears.ask("status", "before");
    stage.daemon.stop(ENDING);
    stage.ears.wait("status", "stopped", |status| status == "stopped");
    stage.ears.wait("event", "stopped", |event| event["event_type"] == "stopped");
    stage.ears.forget();

    let meanwhile = stage.home.put("meanwhile.jpg", &picture(Part::Nut, 50));
    stage.daemon = stage.home.start();
    let found = stage.ears.prediction(&meanwhile);
    assert_eq!(found["head"], result["head"]["id"]);
    let kept = stage.ears.wait("info", "new", |info| info["boot"] != before["boot"]).json;
    assert_eq!(kept["head"]["id"], result["head"]["id"]);
    assert!(found["seq"].as_u64() > before["seq"].as_u64(), "{found} after {before}");
    assert_eq!(found["boot"], kept["boot"]);
    stage.ears.ask("rescan", "r");
    let later = stage.home.put("later.jpg", &picture(Part::Nut, 51));
    stage.ears.prediction(&later);
    let status = stage.ears.ask("status", "after");
    assert_eq!((&status["data"]["images_total"], &status["data"]["samples"]), (&json!(2), &json!(10)));
    assert_eq!(status["data"]["last_train"], before["data"]["last_train"]);
    assert_eq!(stage.ears.heard("prediction").len(), 2, "nothing is predicted again");
    let events: Vec<_> = stage.ears.heard("event").into_iter().map(|m| m.json["event_type"].clone()).collect();
    assert_eq!(events, ["started"], "what the broker acknowledged before the end is not said again");
}

#[test]
fn a_broker_that_goes_and_comes_back_gets_every_prediction() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let mut paths: Vec<_> = (0..20).map(|n| stage.home.put(&format!("{n}.jpg"), &picture(Part::Bolt, n))).collect();
    stage.ears.prediction(&paths[3]);
    stage.broker.kill();
    paths.extend((20..40).map(|n| stage.home.put(&format!("{n}.jpg"), &picture(Part::Bolt, n))));
    stage.broker.restart();
    paths.extend((40..50).map(|n| stage.home.put(&format!("{n}.jpg"), &picture(Part::Bolt, n))));
    let mut seqs = BTreeMap::new();
    for path in &paths {
        let prediction = stage.ears.prediction(path);
        assert_eq!(seqs.insert(prediction["seq"].as_u64(), path), None, "two images under one seq");
    }
    let all: BTreeSet<_> = stage.ears.heard("prediction").iter().map(|m| m.json["seq"].as_u64()).collect();
    assert_eq!(all.len(), 50, "again means: with the same seq");
    // The broker forgot what it kept; it is published again.
    let mut later = Listener::new(stage.broker.port);
    later.wait("status", "online", |status| status == "online");
    later.wait("info", "there", |_| true);
}

#[test]
fn without_a_broker_it_works_and_catches_up_when_one_comes() {
    let port = free_port();
    let home = home(port, QUIET);
    let paths: Vec<_> = (0..5).map(|n| home.put(&format!("{n}.jpg"), &picture(Part::Gear, n))).collect();
    let mut daemon = home.start();
    // Nobody listens yet; what it did shows in its state folder.
    let samples = || Reader::open(&home.state(), SpacesInUse::default()).ok()?.counts().ok().map(|c| c.samples);
    let until = std::time::Instant::now() + crate::daemon::PATIENCE;
    while samples() != Some(5) {
        assert!(std::time::Instant::now() < until, "{:?} samples without a broker", samples());
        std::thread::yield_now();
    }
    let Some(broker) = Mosquitto::start_in(tempfile::tempdir().unwrap(), port, "allow_anonymous true\n") else {
        return;
    };
    let mut ears = Listener::new(broker.port);
    ears.wait("status", "online", |status| status == "online");
    for path in &paths {
        assert_eq!(ears.prediction(path)["replayed"], Value::Bool(true), "it was made while the broker was away");
    }
    daemon.stop(ENDING);
}

#[test]
fn a_stop_leaves_the_store_in_one_file_whatever_the_workers_are_at() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    for round in 0..6_u64 {
        // Some are stored, some are being read, a listing runs.
        for index in 0..4 + round {
            stage.home.put(&format!("{round}-{index}.jpg"), &picture(Part::Nut, 100 * round + index));
        }
        stage
            .ears
            .wait("prediction", "of this round", |said| said["path"].as_str().unwrap().contains(&format!("/{round}-")));
        stage.daemon.stop(ENDING);
        let files: BTreeSet<_> =
            std::fs::read_dir(stage.home.state()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let database: Vec<_> = files.iter().filter(|name| name.to_str().unwrap().starts_with("edgetuned.db")).collect();
        assert_eq!(database, ["edgetuned.db"], "round {round}: {files:?}");
        stage.daemon = stage.home.start();
    }
}
