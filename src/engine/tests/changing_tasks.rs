//! Tasks that come, go, or look at something else: what was stored before, and what the broker keeps.

use std::collections::BTreeSet;

use serde_json::json;

use super::tasks::*;
use super::*;
use crate::eval::budget::Why;

#[test]
fn nothing_is_said_again_of_a_task_that_a_restart_finds_gone() {
    let mut engine = device(&["bin", "door"]);
    for task in ["bin", "door"] {
        for number in 0..4 {
            labels(&mut engine, task, number, if number < 2 { "one" } else { "other" });
        }
        let asked = says(&mut engine, "request/train", &json!({ "task": task }));
        let (running, order) = trains(&asked).or_else(|| trains(&engine.step(at(3), Event::Tick))).expect("a training");
        assert_eq!(running, id(task));
        trained(&mut engine, &running, order, 1);
    }
    engine.step(at(4), Event::Broker(BrokerEvent::connected()));
    let said = |engine: Engine, names: &[&str]| {
        let mut next = Engine::after(engine.carry(), settings_of(names), Snapshot::default());
        (topics(&next.start(at(5))), next)
    };
    let of = |said: &[String], task: &str| {
        let is_its = |topic: &&String| topic.starts_with(&format!("task/{task}/"));
        said.iter().filter(is_its).cloned().collect::<BTreeSet<_>>()
    };
    let (without, engine) = said(engine, &["bin"]);
    assert_eq!(of(&without, "door"), BTreeSet::new());
    for topic in ["task/bin/state", "task/bin/train/result"] {
        assert!(of(&without, "bin").contains(topic), "{topic} in {without:?}");
    }
    let (with, _) = said(engine, &["bin", "door"]);
    assert!(!of(&with, "door").contains("task/door/state"), "nothing was predicted since it is back");
}

#[test]
fn an_older_image_that_a_new_task_looks_at_is_known_to_it_from_then_on() {
    let mut engine = Engine::new(settings_of(&["bin", "door"]), Snapshot::default());
    engine.start(at(0));
    arrives(&mut engine, &["bin"], 0);
    assert_eq!(engine.health().tasks[&id("door")].samples, 0);
    let step = arrives(&mut engine, &["bin", "door"], 0);
    let looks = step.writes.iter().filter(|write| matches!(write, Write::Look { task, .. } if *task == id("door")));
    assert_eq!(looks.count(), 1);
    assert!(!topics(&step).iter().any(|topic| topic.ends_with("prediction")), "it is predicted once, at its arrival");
    labels(&mut engine, "door", 0, "open");
    assert_eq!(engine.health().tasks[&id("door")].labelled, 1);
}

#[test]
fn labels_count_again_for_a_training_when_their_images_are_seen_through_another_region() {
    let mut engine = device(&["door"]);
    for number in 0..4 {
        labels(&mut engine, "door", number, if number < 2 { "open" } else { "shut" });
    }
    let (task, order) = trains(&engine.step(at(3), Event::Tick)).expect("a training");
    trained(&mut engine, &task, order, 1);
    assert_eq!(trains(&engine.step(at(3_600_000), Event::Tick)), None, "nothing is new");
    // Its region was moved: the backfill reads the images again.
    for number in 0..2 {
        arrives(&mut engine, &["door"], number);
    }
    let later = engine.step(at(7_200_000), Event::Tick);
    assert!(trains(&later).is_some(), "two labels are enough: {:?}", later.acts);
}

#[test]
fn a_label_waits_until_its_task_looks_at_the_image() {
    let mut engine = Engine::new(settings_of(&["bin", "door"]), Snapshot::default());
    engine.start(at(0));
    arrives(&mut engine, &["bin"], 0);
    let step = labels(&mut engine, "door", 0, "open");
    let waits = |write: &Write| matches!(write, Write::PendingLabel(awaited) if awaited.task == id("door"));
    assert!(step.writes.iter().any(waits), "{:?}", step.writes);
    arrives(&mut engine, &["bin", "door"], 0);
    let health = engine.health().tasks;
    assert_eq!((health[&id("door")].labelled, health[&id("bin")].labelled), (1, 0));
}

#[test]
fn a_new_task_gets_the_labels_of_folders_that_were_there_before_it() {
    let mut settings = settings_of(&["bin", "door"]);
    settings.tasks[1].label_levels = vec![Some(1)];
    let number = 0;
    let path = PathBuf::from("/in/open/0.jpg");
    let known = StoredTask { samples: vec![StoredSample::new(image(number))], ..StoredTask::default() };
    let snapshot = Snapshot {
        samples: vec![image(number)],
        tasks: [(id("bin"), known)].into(),
        files: vec![(path.clone(), FileDisposition::Sample(image(number)))],
        ..Snapshot::default()
    };
    let mut engine = Engine::new(settings, snapshot);
    engine.start(at(0));
    let view = |name: &str| View { task: id(name), space: space(), is_new: name == "door", prediction: None };
    let picture = EmbeddedImage {
        id: image(number),
        bytes: 1,
        views: vec![view("bin"), view("door")],
        embeddings: vec![(space(), vec![0.0])],
        group: image(number),
        decode: Duration::ZERO,
        embed: Duration::ZERO,
        thumbnail: None,
        picture: None,
    };
    let stamp = FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 };
    let outcome = IngestOutcome::Image(Box::new(picture));
    let step = engine.step(at(1), Event::Ingest(Ingested { root: 0, path, stamp, outcome }));
    let open = label("open");
    let gives = |write: &Write| matches!(write, Write::Label { task, label: Some(label), .. } if *task == id("door") && *label == open);
    assert!(step.writes.iter().any(gives), "{:?}", step.writes);
}

#[test]
fn files_of_samples_that_a_task_does_not_look_at_yet_are_remembered_when_others_go() {
    let mut settings = settings_of(&["bin", "door"]);
    settings.tasks[1].label_levels = vec![Some(1)];
    let samples: Vec<StoredSample> = [0, 1].map(|number| StoredSample::new(image(number))).into();
    let snapshot = Snapshot {
        samples: vec![image(0), image(1)],
        tasks: [(id("bin"), StoredTask { samples, ..StoredTask::default() })].into(),
        files: vec![("/in/open/0.jpg".into(), FileDisposition::Sample(image(0)))],
        ..Snapshot::default()
    };
    let mut engine = Engine::new(settings, snapshot);
    engine.start(at(0));
    let goes = EvictionCandidate { id: image(1), labels: Vec::new(), why: Why::Unlabelled };
    engine.step(at(1), Event::Adapter(AdapterEvent::EvictionCandidates(vec![goes])));
    // The new task comes to see the other one through a copy.
    let view = |name: &str| View { task: id(name), space: space(), is_new: name == "door", prediction: None };
    let picture = EmbeddedImage { embed: Duration::ZERO, ..picture(0, vec![view("bin"), view("door")]) };
    let stamp = FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 };
    let (path, outcome) = ("/in/copy.jpg".into(), IngestOutcome::Image(Box::new(picture)));
    let step = engine.step(at(2), Event::Ingest(Ingested { root: 0, path, stamp, outcome }));
    let open = label("open");
    let gives = |write: &Write| matches!(write, Write::Label { task, label: Some(label), .. } if *task == id("door") && *label == open);
    assert!(step.writes.iter().any(gives), "{:?}", step.writes);
}

#[test]
fn the_broker_keeps_nothing_of_a_task_that_is_configured_no_more() {
    let known =
        |task: &str| (id(task), StoredTask { samples: vec![StoredSample::new(image(1))], ..StoredTask::default() });
    let tasks = [known("default"), known("door"), known("van")].into();
    let snapshot = Snapshot { samples: vec![image(1)], tasks, ..Snapshot::default() };
    let mut engine = Engine::new(settings_of(&["door"]), snapshot);
    engine.start(at(0));
    let connected = BrokerEvent::Connected { refused: vec![], downgraded: vec![] };
    let step = engine.step(at(1), Event::Broker(connected));
    let cleared: Vec<String> = (step.acts.iter())
        .filter_map(|act| match act {
            Act::Publish { topic, payload } if payload.is_empty() => Some(topic.to_string()),
            _ => None,
        })
        .filter(|topic| !topic.starts_with("alert/") || topic.ends_with("_van"))
        .collect();
    let of_van = ["state", "train/state", "train/result", "review"].map(|topic| format!("task/van/{topic}"));
    let plain = ["state", "train/state", "train/result", "review"].map(str::to_owned);
    let alerts = ["drift", "labels", "model"].map(|alert| format!("alert/{alert}_van"));
    assert_eq!(cleared, [&plain[..], &of_van, &alerts].concat());
    let (_, document) = messages(&step).into_iter().find(|(topic, _)| topic.contains("homeassistant")).unwrap();
    for (entity, platform) in [("state_van", "sensor"), ("label_van", "select"), ("train_van", "button")] {
        assert_eq!(document["cmps"][entity], json!({ "p": platform }));
    }
    assert!(document["cmps"]["state_door"]["unique_id"].is_string());
}
