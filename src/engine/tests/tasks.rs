//! Several tasks: what one does leaves the others alone, and none starves another.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::eval::budget::Why;
use crate::wire::{InboundTopic, Topic};
use crate::words::Keep;

fn id(name: &str) -> TaskId {
    name.parse().unwrap()
}

/// A device with these tasks; labels come by message.
fn settings_of(names: &[&str]) -> Settings {
    let mut settings = settings(PromotionPolicy::Gated);
    settings.tasks = names.iter().map(|name| task(id(name), PromotionPolicy::Gated)).collect();
    settings.tasks.iter_mut().for_each(|task| task.label_levels = vec![None]);
    settings.names_tasks = true;
    settings
}

/// A started device whose tasks all look at four images.
fn device(names: &[&str]) -> Engine {
    let mut engine = Engine::new(settings_of(names), Snapshot::default());
    engine.start(at(0));
    for number in 0..4 {
        arrives(&mut engine, names, number);
    }
    engine
}

fn image(number: u8) -> SampleId {
    SampleId::of(&[number])
}

/// Image `number` as the ingest worker saw it, with one embedding for all views.
fn picture(number: u8, views: Vec<View>) -> EmbeddedImage {
    EmbeddedImage {
        id: image(number),
        bytes: 1,
        views,
        embeddings: vec![(space(), vec![0.0])],
        group: image(number),
        decode: Duration::ZERO,
        embed: Duration::from_millis(1),
        thumbnail: None,
        picture: None,
    }
}

fn arrives(engine: &mut Engine, names: &[&str], number: u8) -> Step {
    let view = |name: &&str| View { task: id(name), space: space(), is_new: true, prediction: None };
    let picture = picture(number, names.iter().map(view).collect());
    let (path, stamp) = (PathBuf::from(format!("/in/{number}.jpg")), FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 });
    let outcome = IngestOutcome::Image(Box::new(picture));
    engine.step(at(1), Event::Ingest(Ingested { root: 0, path, stamp, outcome }))
}

fn says(engine: &mut Engine, topic: &str, payload: &Value) -> Step {
    let (topic, payload) = (topic.to_owned(), payload.to_string().into_bytes());
    let inbound = Inbound { topic, payload, retained: false, delivery: 1 };
    engine.step(at(2), Event::Broker(BrokerEvent::Message(inbound)))
}

fn labels(engine: &mut Engine, task: &str, number: u8, label: &str) -> Step {
    says(engine, "label", &json!({ "image": image(number), "task": task, "label": label }))
}

/// The messages of a step: topic and payload.
fn messages(step: &Step) -> Vec<(String, Value)> {
    let value = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let spooled = step.writes.iter().filter_map(|write| match write {
        Write::Outbox(message) => Some((message.topic.to_string(), value(&message.payload))),
        _ => None,
    });
    let published = step.acts.iter().filter_map(|act| match act {
        Act::Publish { topic, payload } => Some((topic.to_string(), value(payload))),
        _ => None,
    });
    spooled.chain(published).collect()
}

fn topics(step: &Step) -> Vec<String> {
    messages(step).into_iter().map(|(topic, _)| topic).collect()
}

/// The task of the training that a step begins.
fn trains(step: &Step) -> Option<(TaskId, TrainingOrder)> {
    step.acts.iter().find_map(|act| match act {
        Act::Task(task, TaskAct::Train { order, .. }) => Some((task.clone(), order.clone())),
        _ => None,
    })
}

/// A training of this task ends with a head that is better.
fn trained(engine: &mut Engine, task: &TaskId, order: TrainingOrder, version: u64) -> Step {
    let Event::Trainer(_, TrainerEvent::Finished(mut finished)) = outcome(order, &format!("{task}-{version}"), version)
    else {
        unreachable!("a training's outcome")
    };
    finished.against = engine.models.get(task).and_then(|model| model.champion()).map(|head| head.head.version);
    engine.step(at(3), Event::Trainer(task.clone(), TrainerEvent::Finished(finished)))
}

#[test]
fn a_label_of_one_task_is_none_of_another() {
    let mut engine = device(&["bin", "door"]);
    let step = labels(&mut engine, "door", 0, "open");
    let written: Vec<_> = (step.writes.iter())
        .filter_map(|write| match write {
            Write::Label { task, id, .. } => Some((task.clone(), *id)),
            _ => None,
        })
        .collect();
    assert_eq!(written, [(id("door"), image(0))]);
    let health = engine.health().tasks;
    assert_eq!((health[&id("door")].labelled, health[&id("bin")].labelled), (1, 0));
    assert_eq!((health[&id("door")].samples, health[&id("bin")].samples), (4, 4));
    assert_eq!(engine.health().labelled, 1, "an image counts that has a label in any task");
}

#[test]
fn a_label_without_a_task_needs_one_that_is_called_default_or_is_the_only_one() {
    let says_of = |names: &[&str]| {
        let mut engine = device(names);
        let step = says(&mut engine, "label", &json!({ "image": image(0), "label": "open" }));
        step.writes.iter().find_map(|write| match write {
            Write::Label { task, .. } => Some(task.to_string()),
            _ => None,
        })
    };
    assert_eq!(says_of(&["bin", "default"]).as_deref(), Some("default"));
    assert_eq!(says_of(&["door"]).as_deref(), Some("door"));
    assert_eq!(says_of(&["bin", "door"]), None);
    let mut engine = device(&["bin", "door"]);
    let step = says(&mut engine, "label", &json!({ "image": image(0), "label": "open" }));
    let event = messages(&step).into_iter().find(|(topic, _)| topic == "event").unwrap().1;
    assert!(event["reason"].as_str().unwrap().contains("bin, door"), "{event}");
    let gone = says(&mut engine, "request/train", &json!({ "transaction": "a", "task": "gate" }));
    let answer = messages(&gone).into_iter().find(|(topic, _)| topic == "response/train").unwrap().1;
    assert_eq!(answer["error"]["code"], "not_found", "{answer}");
}

#[test]
fn each_task_speaks_on_its_own_topics_and_the_default_one_on_the_plain_ones_too() {
    let mut engine = device(&["default", "door"]);
    let said = topics(&arrives(&mut engine, &["default", "door"], 9));
    for topic in ["task/door/prediction", "task/door/state", "task/default/prediction", "prediction", "state"] {
        assert!(said.iter().any(|other| other == topic), "{topic} in {said:?}");
    }
    let mut engine = device(&["door"]);
    let step = arrives(&mut engine, &["door"], 9);
    assert!(!topics(&step).iter().any(|topic| topic == "prediction" || topic == "state"), "{:?}", topics(&step));
    let (_, prediction) = messages(&step).into_iter().find(|(topic, _)| topic == "task/door/prediction").unwrap();
    assert_eq!(prediction["task"], "door");
}

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
fn the_training_of_a_task_writes_and_serves_nothing_of_another() {
    let mut engine = device(&["bin", "door"]);
    for number in 0..4 {
        labels(&mut engine, "bin", number, if number < 2 { "full" } else { "empty" });
        labels(&mut engine, "door", number, if number < 2 { "open" } else { "shut" });
    }
    let (first, order) = trains(&engine.step(at(3), Event::Tick)).expect("a training");
    let step = trained(&mut engine, &first, order, 1);
    for write in &step.writes {
        let (Write::Head { task, .. } | Write::HeadStatus { task, .. } | Write::LiveState { task, .. }) = write else {
            continue;
        };
        assert_eq!(*task, first, "{write:?}");
    }
    let serves: Vec<_> = (step.acts.iter())
        .filter_map(|act| match act {
            Act::Task(task, TaskAct::Serve(Some(version))) => Some((task.clone(), *version)),
            _ => None,
        })
        .collect();
    assert_eq!(serves, [(first.clone(), 1)]);
    assert_eq!(engine.models.iter().filter(|(_, model)| model.champion().is_some()).count(), 1);
}

#[test]
fn a_task_that_trains_all_the_time_does_not_keep_another_waiting() {
    let mut engine = device(&["bin", "door"]);
    for task in ["bin", "door"] {
        for number in 0..4 {
            labels(&mut engine, task, number, if number < 2 { "one" } else { "other" });
        }
    }
    // Both ask for trainings again and again; one runs at a time.
    let ask = |engine: &mut Engine| {
        let of = |task: &str| json!({ "task": task });
        [says(engine, "request/train", &of("bin")), says(engine, "request/train", &of("door"))]
    };
    let begun = ask(&mut engine).iter().find_map(trains);
    let (mut running, mut order) = begun.expect("one of them begins");
    let mut turns = Vec::new();
    for version in 1..=6 {
        ask(&mut engine);
        turns.push(running.clone());
        let step = trained(&mut engine, &running, order, version);
        (running, order) = trains(&step).or_else(|| trains(&engine.step(at(4), Event::Tick))).expect("the next one");
    }
    for pair in turns.windows(2) {
        assert_ne!(pair[0], pair[1], "they take turns: {turns:?}");
    }
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

/// A prediction that rules out everything else.
fn sure_of(class: &str) -> Scored {
    Scored {
        head: HeadRef { id: HeadId("door-1".into()), version: 1 },
        top: vec![(label(class), 0.95)],
        set: Some(vec![label(class)]),
        novelty: None,
        novelty_rank: None,
        unknown: None,
        instant: false,
        shadow: None,
    }
}

#[test]
fn home_assistant_hears_of_classes_that_only_labels_name() {
    let mut engine = device(&["door"]);
    engine.step(at(2), Event::Broker(BrokerEvent::connected()));
    let announced = |step: &Step| {
        let topic = Topic::Discovery.to_string();
        messages(step).into_iter().find(|(other, _)| *other == topic).map(|(_, document)| document.to_string())
    };
    assert_eq!(announced(&engine.step(at(3), Event::Tick)), None, "nothing changed since the connection");
    labels(&mut engine, "door", 0, "ajar");
    let document = announced(&engine.step(at(4), Event::Tick)).expect("there is a new class");
    assert!(document.contains("ajar"), "{document}");
    assert_eq!(announced(&engine.step(at(5), Event::Tick)), None);
}

#[test]
fn home_assistant_gets_what_tasks_say_again_when_it_comes_back() {
    let mut settings = settings_of(&["door"]);
    settings.tasks[0].state = Some(StateSettings::default());
    let mut engine = Engine::new(settings, Snapshot::default());
    engine.start(at(0));
    engine.step(at(1), Event::Broker(BrokerEvent::connected()));
    let birth = InboundTopic::Birth.to_string();
    let inbound = Inbound { topic: birth, payload: b"online".to_vec(), retained: false, delivery: 2 };
    let said = topics(&engine.step(at(2), Event::Broker(BrokerEvent::Message(inbound))));
    for topic in ["task/door/state", "task/door/review"] {
        assert!(said.iter().any(|other| other == topic), "{topic} in {said:?}");
    }
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
fn a_frame_that_speaks_against_the_state_makes_its_camera_look_more_closely() {
    let garage: crate::words::SourceId = "garage".parse().unwrap();
    let mut settings = settings_of(&["door"]);
    settings.tasks[0].state = Some(StateSettings::default());
    let (gap, unknown_after) = (Duration::ZERO, Duration::from_mins(5));
    settings.sources =
        vec![SourceSettings { id: garage.clone(), gap, bursts: true, unknown_after, keep: Keep::All, tasks: 1 }];
    let mut engine = Engine::new(settings, Snapshot::default());
    engine.start(at(0));
    let bursts = |engine: &mut Engine, number: u8, class: &str| {
        let view = View { task: id("door"), space: space(), is_new: true, prediction: Some(sure_of(class)) };
        let image = picture(number, vec![view]);
        let outcome = FrameOutcome::Image(Box::new(image));
        let read = FrameRead { source: garage.clone(), stale: false, waiter: None, outcome };
        let step = engine.step(at(u64::from(number)), Event::Frame(read));
        step.acts.iter().any(|act| matches!(act, Act::Burst(source) if *source == garage))
    };
    assert!(bursts(&mut engine, 1, "open"), "it is no known state");
    assert!(bursts(&mut engine, 2, "open"), "it became one by this vote");
    assert!(!bursts(&mut engine, 3, "open"));
    assert!(bursts(&mut engine, 4, "shut"));
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
fn the_time_of_a_state_is_stored_when_it_is_first_said() {
    let mut settings = settings_of(&["door"]);
    settings.tasks[0].state = Some(StateSettings::default());
    let mut engine = Engine::new(settings, Snapshot::default());
    let stores = |step: &Step| step.writes.iter().any(|write| matches!(write, Write::StateRecord { .. }));
    assert!(stores(&engine.start(at(0))));
    let said = |step: &Step| messages(step).into_iter().find(|(topic, _)| topic == "task/door/state").unwrap().1;
    let first = said(&engine.step(at(5), Event::Broker(BrokerEvent::connected())));
    let later = said(&engine.step(at(9), Event::Broker(BrokerEvent::connected())));
    assert_eq!(first["since"], later["since"]);
}

#[test]
fn a_state_needs_its_votes_and_is_judged_again_when_another_head_serves() {
    let mut settings = settings_of(&["door"]);
    settings.tasks[0].state = Some(StateSettings::default());
    let mut engine = Engine::new(settings, Snapshot::default());
    engine.start(at(0));
    let sees = |engine: &mut Engine, number: u8, label: &str| {
        let scored = sure_of(label);
        let view = View { task: id("door"), space: space(), is_new: true, prediction: Some(scored) };
        let picture = picture(number, vec![view]);
        let outcome = IngestOutcome::Image(Box::new(picture));
        let (path, stamp) =
            (PathBuf::from(format!("/in/{number}.jpg")), FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 });
        engine.step(at(u64::from(number)), Event::Ingest(Ingested { root: 0, path, stamp, outcome }))
    };
    let state = |step: &Step| {
        let topic = Topic::Task(id("door"), crate::wire::TaskTopic::State).to_string();
        messages(step).into_iter().find(|(other, _)| *other == topic).map(|(_, payload)| payload)
    };
    assert_eq!(state(&sees(&mut engine, 1, "open")), None, "one vote is no state");
    let step = sees(&mut engine, 2, "open");
    let said = state(&step).expect("two of three");
    assert_eq!(
        (&said["state"], &said["previous"], &said["votes"]),
        (&json!("open"), &json!("unknown"), &json!([2, 2]))
    );
    assert!(
        step.writes.iter().any(|write| matches!(write, Write::StateRecord { .. })),
        "it is durable before it is said"
    );
    assert_eq!(state(&sees(&mut engine, 3, "shut")), None);
    // A label corrects the head: the latest image is judged again, and its vote is replaced.
    labels(&mut engine, "door", 3, "open");
    let step = engine.step(at(4), Event::Tick);
    let asked = |act: &Act| matches!(act, Act::Task(task, TaskAct::JudgeAgain(id)) if *task == self::id("door") && *id == image(3));
    assert!(step.acts.iter().any(asked), "{:?}", step.acts);
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
