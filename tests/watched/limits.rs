//! The limits of the kernel's notices.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Stage;
use crate::daemon::signal;

/// A stage whose daemon has its own limits of inotify, as `name` below `/proc/sys/user` says.
fn limited(name: &str, limit: u32) -> Option<Stage> {
    let wrapper = format!(
        "unshare --user --map-root-user sh -c 'echo {limit} >/proc/sys/user/{name} || exit 77; exec \"$0\" \"$@\"'"
    );
    let may = Command::new("sh").args(["-c", &format!("{wrapper} true")]).output();
    if !may.as_ref().is_ok_and(|output| output.status.success()) {
        crate::skip::skip(format_args!("no user namespace with limits of its own: {may:?}"));
        return None;
    }
    Stage::set(&wrapper)
}

fn is_polled(mut stage: Stage, words: &str) {
    for n in 0..6 {
        fs::create_dir(stage.home.camera().join(n.to_string())).unwrap();
    }
    let _daemon = stage.start();
    let told = |json: &Value| json["reason"].as_str().is_some_and(|reason| reason.contains("gives no notifications"));
    stage.ears.wait("event", "told", told);
    let alert = |json: &Value| json["text"].as_str().is_some_and(|text| text.contains(words));
    let alert = stage.ears.wait("alert/watch_lost", words, alert).json;
    assert_eq!(alert["severity"], "warning");
    assert!(alert["text"].as_str().unwrap().contains("fs.inotify.max_user_watches"), "{alert}");
    stage.take("1.jpg");
    stage.take("5/2.jpg");
    stage.take("new/3.jpg");
    // Said once, though a listing of everything tries again.
    assert_eq!(stage.ears.ask("rescan", "r")["status"], "ok");
    stage.take("4.jpg");
    assert_eq!(stage.ears.heard("event").iter().filter(|event| told(&event.json)).count(), 1);
}

#[test]
fn where_the_limit_of_watches_is_reached_folders_are_listed_instead() {
    let Some(stage) = limited("max_inotify_watches", 3) else { return };
    is_polled(stage, "the limit of watches is reached");
}

#[test]
fn where_the_limit_of_instances_is_reached_folders_are_listed_instead() {
    let Some(stage) = limited("max_inotify_instances", 0) else { return };
    is_polled(stage, "the limit of instances");
}

#[test]
fn a_folder_that_outgrows_the_limit_is_listed_from_then_on() {
    let Some(mut stage) = limited("max_inotify_watches", 4) else { return };
    let _daemon = stage.start();
    stage.take("heard.jpg");
    for n in 0..6 {
        fs::create_dir(stage.home.camera().join(n.to_string())).unwrap();
    }
    stage.alert("the limit of watches is reached");
    for n in 0..6 {
        stage.take(&format!("{n}/1.jpg"));
    }
}

#[test]
fn after_an_overflow_of_notices_every_file_is_taken_and_new_folders_are_heard() {
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let Some(queue) = queue.ok().and_then(|text| text.trim().parse::<u32>().ok()).filter(|queue| *queue <= 65_536)
    else {
        crate::skip::skip("the kernel's queue of notices is not there or too long to fill");
        return;
    };
    let Some(mut stage) = Stage::set("") else { return };
    let daemon = stage.start();
    // What lies in a folder that is not heard yet fills no queue.
    stage.take("noise/1.jpg");
    signal("STOP", daemon.id());
    // Each is made, opened, written and closed.
    (0..queue / 3).for_each(|n| drop(stage.home.put(&format!("noise/{n}.txt"), b"x")));
    let mut missed: Vec<_> = (0..20).map(|n| stage.put(&format!("{n:02}.jpg"))).collect();
    missed.push(stage.put("late/deep/1.jpg"));
    signal("CONT", daemon.id());
    for path in &missed {
        stage.ears.prediction(path);
    }
    stage.take("late/deep/2.jpg");
    assert_eq!(alerts(&mut stage), 0, "it is mended by itself");
    assert!(Path::new("/proc").join(daemon.id().to_string()).exists());
}

/// Alerts that were raised since the start.
fn alerts(stage: &mut Stage) -> usize {
    stage.ears.heard("alert/watch_lost").iter().filter(|alert| alert.json != "").count()
}
