//! `heads` on a store that the library prepared.

use edgetuned::engine::{HeadStatus, Write};
use edgetuned::head::{BackboneRef, HeadRecord};
use edgetuned::store::{OpenOptions, Precision, SpacesInUse, Store};
use edgetuned::words::{TaskId, Timestamp};

use crate::daemon::Daemon;
use crate::desk::{Desk, default_backbone};

/// A desk whose store has three heads: 1 kept (served once), 2 champion, 3 rejected; with the store, still held.
fn prepared() -> (Desk, Store) {
    let desk = Desk::with_pictures();
    let manifest = default_backbone();
    let space = manifest.space();
    let backbone = BackboneRef { name: manifest.name.clone(), sha256: manifest.sha256, dim: space.dim };
    let options = OpenOptions { spaces: SpacesInUse::whole(space), backbone: &backbone, precision: Precision::F16 };
    let mut store = Store::open(&desk.path("state"), &options).unwrap();
    for version in 1..=3 {
        desk.good(&format!("train train --shots {} --out h.safetensors", version + 4));
        let bytes = std::fs::read(desk.path("h.safetensors")).unwrap();
        let mut record = HeadRecord::from_bytes(&bytes).unwrap();
        record.head.version = version;
        let status = if version == 3 { HeadStatus::Rejected } else { HeadStatus::Champion };
        let reason = format!("verdict on head {version}");
        let at = Timestamp(1_000 * version as i64);
        store
            .commit(&[
                Write::Head { task: TaskId::default(), record: Box::new(record) },
                Write::HeadStatus { task: TaskId::default(), version, status, reason, at },
            ])
            .unwrap();
    }
    let config = format!("store: {{ path: {} }}\nmqtt: {{ url: null }}\n", desk.path("state").display());
    desk.put("config.yaml", config.as_bytes());
    (desk, store)
}

fn statuses(desk: &Desk) -> Vec<String> {
    let list = desk.good("--config config.yaml heads list");
    list.as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn heads_are_listed_and_shown_beside_a_running_daemon() {
    let (desk, _held) = prepared();
    let list = desk.good("--config config.yaml heads list");
    let second = &list[1];
    let mut names: Vec<_> = second.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["accuracy", "backbone", "classes", "created", "id", "reason", "status", "version"]);
    assert_eq!((&second["version"], &second["backbone"]), (&2.into(), &default_backbone().name.into()));
    assert_eq!((&second["status"], &second["reason"]), (&"champion".into(), &"verdict on head 2".into()));
    assert_eq!(statuses(&desk), ["kept", "champion", "rejected"]);
    let id = second["id"].as_str().unwrap();
    let shown = desk.good(&format!("--config config.yaml heads show {}", &id[..6]));
    assert_eq!((&shown["id"], &shown["training"]["n_train"]), (&second["id"], &18.into()));
    assert!(shown["figures"]["accuracy"].is_number(), "{shown}");
    let people = desk.run("--config config.yaml heads list");
    assert!(people.out.contains("champion") && people.out.lines().count() == 3, "{}", people.out);
    desk.fails("--config config.yaml heads show 9", 1, &["there is no head 9", "heads list"]);
}

#[test]
fn promotion_and_rollback_print_the_same_whether_the_daemon_runs_or_not() {
    let (desk, held) = prepared();
    for words in ["promote 3", "rollback"] {
        desk.fails(&format!("--config config.yaml heads {words}"), 69, &["no daemon answers"]);
    }
    drop(held);
    promote_and_roll_back(&desk);
    let (desk, held) = prepared();
    drop(held);
    std::fs::create_dir(desk.path("camera")).unwrap();
    let [camera, state] = ["camera", "state"].map(|name| desk.path(name).display().to_string());
    let text = format!("watch: [{{ path: {camera} }}]\nstore: {{ path: {state} }}\nmqtt: {{ url: null }}\n");
    desk.put("config.yaml", text.as_bytes());
    let mut daemon = Daemon::start(&desk);
    promote_and_roll_back(&desk);
    daemon.stop();
}

fn promote_and_roll_back(desk: &Desk) {
    let promoted = desk.good("--config config.yaml heads promote 3");
    assert_eq!((&promoted["version"], &promoted["status"]), (&3.into(), &"champion".into()));
    assert_eq!(statuses(desk), ["kept", "kept", "champion"]);
    assert_eq!(desk.good("--config config.yaml heads rollback")["version"], 2);
    assert_eq!(statuses(desk), ["kept", "champion", "rejected"]);
    assert_eq!(desk.good("--config config.yaml heads rollback")["version"], 1);
    desk.fails("--config config.yaml heads rollback", 1, &["no earlier head is kept"]);
}

#[test]
fn without_a_store_there_are_no_heads_to_list() {
    let desk = Desk::new();
    let config = format!("store: {{ path: {} }}\n", desk.path("state").display());
    desk.put("config.yaml", config.as_bytes());
    desk.fails("--config config.yaml heads list", 69, &["there is no store yet"]);
    assert!(!desk.path("state").exists(), "reading makes nothing");
}
