//! A clean end is quick, whatever is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;

use rumqttc::QoS;

use crate::camera::Part;
use crate::daemon::{Listener, signal};
use crate::{ENDING, QUIET, Stage, home, picture};

#[test]
fn shutdown_during_a_backlog_and_a_training_is_clean_and_both_continue_at_the_next_start() {
    let Some(mut stage) = Stage::set("training: { schedule: null, min_new_labels: 40, cooldown: 0s }") else { return };
    let mut paths = BTreeSet::new();
    for index in 0..75 {
        for part in [Part::Nut, Part::Bolt, Part::Gear, Part::Pin] {
            paths.insert(stage.home.put(&format!("{part}/{index}.jpg"), &picture(part, index)));
        }
    }
    stage.ears.wait("train/state", "at work", |state| state["phase"] != "idle");
    stage.daemon.stop(ENDING);
    stage.ears.wait("status", "stopped", |status| status == "stopped");
    let mut later = Listener::new(stage.broker.port);
    assert!(later.wait("status", "stopped", |status| status == "stopped").retained);
    stage.daemon = stage.home.start();
    let mut seqs = BTreeMap::new();
    for path in &paths {
        stage.ears.prediction(path);
    }
    for message in stage.ears.heard("prediction") {
        let seq = seqs.entry(message.json["path"].to_string()).or_insert_with(|| message.json["seq"].clone());
        assert_eq!(*seq, message.json["seq"], "{} has two predictions", message.json["path"]);
    }
    assert_eq!(seqs.len(), paths.len());
    stage.ears.wait("train/result", "of the first training", |result| result["training"] == 1);
}

#[test]
fn shutdown_does_not_wait_for_a_silent_broker() {
    // It takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = home(mute.local_addr().unwrap().port(), QUIET);
    let mut daemon = home.start();
    let connection = mute.accept().unwrap();
    daemon.stop(ENDING);
    drop(connection);
}

#[test]
fn shutdown_does_not_wait_for_a_broker_that_stalls() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let first = stage.home.put("first.jpg", &picture(Part::Nut, 0));
    stage.ears.prediction(&first);
    signal("STOP", stage.broker.id());
    for index in 1..60 {
        stage.home.put(&format!("{index}.jpg"), &picture(Part::Nut, index));
    }
    stage.daemon.stop(ENDING);
    signal("CONT", stage.broker.id());
}

#[test]
fn shutdown_completes_during_a_flood_of_messages() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let (flood, ended) = channel::<()>();
    let talker = Listener::new(stage.broker.port);
    thread::spawn(move || {
        let payload = br#"{"image": "0123456789abcdef", "label": "nut"}"#;
        // Until the other end of the channel is dropped.
        while ended.try_recv() == Err(TryRecvError::Empty) {
            talker.send_raw("label", payload.to_vec(), QoS::AtMostOnce, false);
        }
    });
    stage.ears.wait("label", "in the flood", |_| true);
    stage.daemon.stop(ENDING);
    drop(flood);
}
