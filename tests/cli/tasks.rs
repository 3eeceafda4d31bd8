//! `samples` and `heads` on a device with tasks: each command is about one of them, whether the daemon runs or not.

use std::collections::BTreeSet;

use edgetuned::engine::{BackboneState, HeadStatus, Look, NewSample, ServedBackbone, Write};
use edgetuned::head::{BackboneRef, Calibration, DenseHead, HeadRecord, HeldOut, TrainingFacts};
use edgetuned::store::{OpenOptions, Precision, SpacesInUse, Store};
use edgetuned::train::LabelStats;
use edgetuned::words::{EmbeddingSpace, HeadRef, Label, Origin, Region, SampleId, TaskId, Timestamp};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::desk::{Desk, default_backbone};

const RIGHT: &str = "[0.5, 0, 1, 1]";

fn id(n: u8) -> SampleId {
    SampleId::of(&[n])
}

fn task(name: &str) -> TaskId {
    name.parse().unwrap()
}

/// What `bin` and `door` look through, and `gate`, which the configuration has no more.
fn parts() -> [(TaskId, Region, EmbeddingSpace); 3] {
    let whole = default_backbone().space();
    let right: Region = RIGHT.parse().unwrap();
    let of_right = whole.within(&right);
    [("bin", Region::WHOLE, whole), ("door", right, of_right), ("gate", Region::WHOLE, whole)]
        .map(|(name, region, space)| (task(name), region, space))
}

fn store(desk: &Desk) -> Store {
    let manifest = default_backbone();
    let backbone = BackboneRef { name: manifest.name.clone(), sha256: manifest.sha256, dim: manifest.space().dim };
    let spaces = parts()
        .into_iter()
        .fold(SpacesInUse::default(), |spaces, (task, region, space)| spaces.with(task, vec![(region, space)]));
    Store::open(&desk.path("state"), &OpenOptions { spaces, backbone: &backbone, precision: Precision::F16 }).unwrap()
}

/// A head of two classes that tells nothing.
fn head(space: EmbeddingSpace, region: Region, version: u64) -> HeadRecord {
    let dense = DenseHead {
        space,
        classes: ["a", "b"].map(|name| Label::new(name).unwrap()).into_iter().collect(),
        hidden: None,
        weights: ndarray::Array2::from_elem((2, space.dim), version as f32),
        bias: ndarray::Array1::zeros(2),
        temperature: 1.0,
    };
    HeadRecord {
        head: HeadRef { id: dense.id(), version },
        created: Timestamp(0),
        backbone: BackboneRef { name: default_backbone().name, sha256: space.backbone, dim: space.dim },
        manifest: None,
        region,
        dense,
        tuning: None,
        prior: None,
        training: TrainingFacts::default(),
        figures: None,
        heldout: HeldOut::default(),
        calibration: Calibration::default(),
    }
}

/// A desk with four samples that all three tasks look at, and two heads of each, the second in service.
fn prepared() -> Desk {
    let desk = Desk::new();
    let manifest = default_backbone();
    let whole = manifest.space();
    let sample = |n: u8| {
        let vector = |space: EmbeddingSpace| (space, vec![f32::from(n); space.dim]);
        Write::Sample(Box::new(NewSample {
            id: id(n),
            origin: Origin::File(format!("/srv/{n}.jpg").into()),
            bytes: 10,
            arrived_at: Timestamp(i64::from(n)),
            embeddings: vec![vector(whole), vector(whole.within(&RIGHT.parse().unwrap()))],
            group: id(n),
            looks: parts().map(|(task, _, space)| Look { task, space, predicted: None }).to_vec(),
            thumbnail: None,
            picture: None,
        }))
    };
    let served = ServedBackbone { over: "default".into(), name: manifest.name, space: whole, provider: None };
    let state = Write::BackboneState(Box::new(BackboneState { served: Some(served), ..BackboneState::default() }));
    let mut writes: Vec<Write> = (0..4).map(sample).chain([state]).collect();
    for (task, region, space) in parts() {
        for version in 1..=2 {
            let record = Box::new(head(space, region.clone(), version));
            let (status, reason, at) = (HeadStatus::Champion, "made".to_owned(), Timestamp(version as i64));
            writes.push(Write::Head { task: task.clone(), record });
            writes.push(Write::HeadStatus { task: task.clone(), version, status, reason, at });
        }
    }
    store(&desk).commit(&writes).unwrap();
    std::fs::create_dir(desk.path("camera")).unwrap();
    let [camera, state] = ["camera", "state"].map(|name| desk.path(name).display().to_string());
    let text = format!(
        "watch: [{{ path: {camera} }}]\nstore: {{ path: {state} }}\nmqtt: {{ url: null }}\n\
         training: {{ schedule: null, min_new_labels: 1000000 }}\n\
         tasks:\n  - {{ id: bin }}\n  - {{ id: door, from: [{{ region: {RIGHT} }}] }}\n"
    );
    desk.put("config.yaml", text.as_bytes());
    desk
}

/// With a stopped daemon, and with a running one.
fn both(check: impl Fn(&Desk)) {
    let desk = prepared();
    check(&desk);
    let desk = prepared();
    let mut daemon = Daemon::start(&desk);
    check(&desk);
    daemon.stop();
}

fn good(desk: &Desk, words: &str) -> Value {
    desk.good(&format!("--config config.yaml {words}"))
}

fn fails(desk: &Desk, words: &str, code: i32, says: &[&str]) {
    desk.fails(&format!("--config config.yaml {words}"), code, says);
}

/// The labels of a task.
fn labels(desk: &Desk, task: &str) -> Vec<Value> {
    let list = good(desk, &format!("samples list --task {task}"));
    list.as_array().unwrap().iter().map(|row| row["label"].clone()).collect()
}

#[test]
fn a_command_is_about_one_task_and_says_which_there_are() {
    both(|desk| {
        for words in [
            "samples list",
            "samples export --out a.csv",
            "samples relabel a b",
            "samples forget --class a",
            "samples undo",
            "samples history 00000000",
            "heads list",
            "heads show 1",
            "heads promote 1",
            "heads rollback",
        ] {
            fails(desk, words, 64, &["several tasks", "name one of bin, door with --task"]);
            fails(desk, &format!("{words} --task van"), 1, &["no task van, it has bin, door"]);
            fails(desk, &format!("{words} --task gate"), 1, &["no task gate, it has bin, door"]);
        }
        assert_eq!(desk.run("--config config.yaml samples list --task Door").code, Some(64));
    });
}

#[test]
fn labels_go_in_and_out_by_task() {
    both(|desk| {
        let [zero, one] = [id(0), id(1)];
        desk.put(
            "labels.csv",
            format!("task,image,label\nbin,{zero},full\ndoor,{zero},open\ndoor,{one},open\ndoor,01234567,open\n")
                .as_bytes(),
        );
        let done = good(desk, "samples import labels.csv");
        assert_eq!((&done["changed"], &done["awaited"], &done["change"]), (&json!(3), &json!(1), &json!(1)));
        let (full, open, none) = (json!("full"), json!("open"), Value::Null);
        let with = |first: &Value, second: &Value| vec![first.clone(), second.clone(), none.clone(), none.clone()];
        assert_eq!((labels(desk, "bin"), labels(desk, "door")), (with(&full, &none), with(&open, &open)));

        for (name, ending) in [("door.csv", ",door"), ("door.jsonl", r#","task":"door"}"#)] {
            good(desk, &format!("samples export --task door --out {name}"));
            let text = std::fs::read_to_string(desk.path(name)).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines.iter().rev().take(4).all(|line| line.ends_with(ending)), "{text}");
            assert_eq!(good(desk, &format!("samples import {name}"))["unchanged"], 4);
            let refused = desk.run(&format!("--config config.yaml samples import {name} --task bin"));
            assert_eq!((refused.code, refused.err.lines().count()), (Some(1), 4), "{}", refused.err);
            assert!(refused.err.contains("about task door, and --task names another"), "{}", refused.err);
        }
        good(desk, "samples export --task door --out door.parquet");
        assert_eq!(good(desk, "samples import door.parquet")["unchanged"], 4);
        let refused = desk.run("--config config.yaml samples import door.parquet --task bin");
        assert!(refused.err.contains("about task door, and --task names another"), "{}", refused.err);
        good(desk, "samples export --task door --out door.json");
        assert_eq!(good(desk, "samples import door.json --task door")["unchanged"], 2);
        fails(desk, "samples import door.json", 64, &["name one of bin, door with --task"]);
        desk.put("plain.csv", format!("image,label\n{one},empty\n").as_bytes());
        fails(desk, "samples import plain.csv", 64, &["name one of bin, door with --task"]);
        assert_eq!(good(desk, "samples --task bin import plain.csv")["changed"], 1);
        desk.put("gate.csv", format!("image,label,task\n{one},empty,gate\n{one},empty,No\n").as_bytes());
        let refused = desk.run("--config config.yaml samples import gate.csv");
        assert_eq!((refused.code, refused.err.lines().count()), (Some(1), 2), "{}", refused.err);
        assert!(refused.err.contains("gate.csv:2: the configuration has no task gate"), "{}", refused.err);

        let renamed = good(desk, "samples relabel open ajar --task door");
        assert_eq!((&renamed["set"], &renamed["kept"]), (&json!(2), &json!(1)));
        fails(desk, "samples relabel full ajar --task door", 1, &["no image has the label full"]);
        let (empty, ajar) = (json!("empty"), json!("ajar"));
        assert_eq!((labels(desk, "bin"), labels(desk, "door")), (with(&full, &empty), with(&ajar, &ajar)));
        let undone = good(desk, "samples undo --task door");
        assert_eq!((&undone["changed"], &undone["awaited"]), (&json!(2), &json!(1)));
        let undone = good(desk, "samples undo 1 --task door");
        assert_eq!(undone["changed"], 3, "a change is undone in all tasks: {undone}");
        assert_eq!((labels(desk, "bin"), labels(desk, "door")), (with(&none, &empty), with(&none, &none)));
        let times = |task: &str| {
            let history = good(desk, &format!("samples history {zero} --task {task}"));
            history.as_array().unwrap().len()
        };
        assert_eq!((times("bin"), times("door")), (2, 4));
    });
}

#[test]
fn a_class_of_a_task_is_forgotten_and_its_images_in_every_task() {
    both(|desk| {
        let text = format!("task,image,label\nbin,{},a\nbin,{},a\ndoor,{},a\ndoor,01234567,a\n", id(0), id(1), id(2));
        desk.put("labels.csv", text.as_bytes());
        good(desk, "samples import labels.csv");
        assert_eq!(good(desk, "samples forget --class a --task door"), json!({ "samples": 1, "awaited": 1 }));
        let left = |task: &str| labels(desk, task).len();
        assert_eq!((left("bin"), left("door")), (3, 3));
        fails(desk, "samples forget --class a --task door", 1, &["no image has the label a"]);
        assert_eq!(good(desk, &format!("samples forget {}", id(3))), json!({ "samples": 1, "awaited": 0 }));
        fails(desk, &format!("samples forget {} --task van", id(0)), 1, &["no task van"]);
        assert_eq!(labels(desk, "bin"), [json!("a"), json!("a")]);
    });
}

#[test]
fn what_is_forgotten_is_in_the_statistics_of_no_task() {
    let desk = prepared();
    let mut writes = Vec::new();
    for (task, _, space) in parts() {
        let mut statistics = LabelStats::new(space);
        (0..4).for_each(|n| statistics.set(id(n), Some(&Label::new("a").unwrap()), &vec![f32::from(n); space.dim]));
        writes.push(Write::Statistics { task, file: statistics.to_bytes() });
    }
    store(&desk).commit(&writes).unwrap();
    good(&desk, &format!("samples forget {} {}", id(0), id(3)));
    let reader = store(&desk).reader().unwrap();
    for name in ["bin", "door"] {
        let statistics = LabelStats::from_bytes(&reader.statistics(&task(name)).unwrap().unwrap()).unwrap();
        let left: BTreeSet<SampleId> = statistics.contributors().map(|(id, _)| *id).collect();
        assert_eq!(left, BTreeSet::from([id(1), id(2)]), "{name}");
    }
    assert_eq!(reader.statistics(&task("gate")).unwrap(), None, "they are made anew where the task comes back");
}

#[test]
fn heads_serve_by_task() {
    both(|desk| {
        let statuses = |task: &str| -> Vec<Value> {
            let list = good(desk, &format!("heads list --task {task}"));
            list.as_array().unwrap().iter().map(|row| row["status"].clone()).collect()
        };
        let (first, second) = ([json!("champion"), json!("kept")], [json!("kept"), json!("champion")]);
        assert_eq!((statuses("bin"), statuses("door")), (second.to_vec(), second.to_vec()));
        assert_eq!(good(desk, "heads --task door rollback")["version"], 1);
        assert_eq!(statuses("bin"), second);
        assert_eq!(statuses("door")[0], "champion");
        assert_eq!(good(desk, "heads promote 1 --task bin")["status"], "champion");
        assert_eq!(statuses("bin"), first);
        assert_eq!(good(desk, "heads promote 2 --task door")["version"], 2);
        assert_eq!((statuses("bin"), statuses("door")[1].clone()), (first.to_vec(), json!("champion")));
        assert_eq!(good(desk, "heads show 2 --task door")["version"], 2);
    });
}

#[test]
fn a_task_that_is_gone_is_ended_and_one_that_is_there_is_not() {
    both(|desk| {
        fails(desk, "samples purge", 64, &["with --task"]);
        fails(desk, "samples purge --task door", 1, &["task door is in the configuration; remove it there"]);
        fails(desk, "samples purge --task van", 1, &["nothing is stored of task van", "are gate"]);
        let ended = good(desk, "samples purge --task gate");
        assert_eq!(ended, json!({ "task": "gate", "samples": 4, "labels": 0, "awaited": 0, "heads": 2 }));
        fails(desk, "samples purge --task gate", 1, &["nothing is stored of task gate", "no removed task"]);
        assert_eq!(
            (labels(desk, "bin").len(), good(desk, "heads list --task door")[1]["version"].clone()),
            (4, json!(2))
        );
    });
    let desk = prepared();
    let people = desk.run("--config config.yaml samples purge --task gate");
    assert!(people.out.contains("task gate has ended: 0 labels of 4 images, 2 heads"), "{}{}", people.out, people.err);
    let store = store(&desk);
    let snapshot = store.snapshot().unwrap();
    assert!(snapshot.samples.len() == 4 && !snapshot.tasks.contains_key(&task("gate")));
}
