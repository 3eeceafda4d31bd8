//! Several tasks: what one does leaves the others alone, and none starves another.

use serde_json::{Value, json};

use super::*;
use crate::wire::{Answer, InboundTopic, Topic};

pub(super) fn id(name: &str) -> TaskId {
    name.parse().unwrap()
}

/// A device with these tasks; labels come by message.
pub(super) fn settings_of(names: &[&str]) -> Settings {
    let mut settings = settings(PromotionPolicy::Gated);
    settings.tasks = names.iter().map(|name| task(id(name), PromotionPolicy::Gated)).collect();
    settings.tasks.iter_mut().for_each(|task| task.label_levels = vec![None]);
    settings.names_tasks = true;
    settings
}

/// A started device whose tasks all look at four images.
pub(super) fn device(names: &[&str]) -> Engine {
    let mut engine = Engine::new(settings_of(names), Snapshot::default());
    engine.start(at(0));
    for number in 0..4 {
        arrives(&mut engine, names, number);
    }
    engine
}

pub(super) fn image(number: u8) -> SampleId {
    SampleId::of(&[number])
}

/// Image `number` as the ingest worker saw it, with one embedding for all views.
pub(super) fn picture(number: u8, views: Vec<View>) -> EmbeddedImage {
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

pub(super) fn arrives(engine: &mut Engine, names: &[&str], number: u8) -> Step {
    let view = |name: &&str| View { task: id(name), space: space(), is_new: true, prediction: None };
    let picture = picture(number, names.iter().map(view).collect());
    let (path, stamp) = (PathBuf::from(format!("/in/{number}.jpg")), FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 });
    let outcome = IngestOutcome::Image(Box::new(picture));
    engine.step(at(1), Event::Ingest(Ingested { root: 0, path, stamp, outcome }))
}

pub(super) fn says(engine: &mut Engine, topic: &str, payload: &Value) -> Step {
    let (topic, payload) = (topic.to_owned(), payload.to_string().into_bytes());
    let inbound = Inbound { topic, payload, retained: false, delivery: 1 };
    engine.step(at(2), Event::Broker(BrokerEvent::Message(inbound)))
}

pub(super) fn labels(engine: &mut Engine, task: &str, number: u8, label: &str) -> Step {
    says(engine, "label", &json!({ "image": image(number), "task": task, "label": label }))
}

/// The messages of a step: topic and payload.
pub(super) fn messages(step: &Step) -> Vec<(String, Value)> {
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

pub(super) fn topics(step: &Step) -> Vec<String> {
    messages(step).into_iter().map(|(topic, _)| topic).collect()
}

/// The task of the training that a step begins.
pub(super) fn trains(step: &Step) -> Option<(TaskId, TrainingOrder)> {
    step.acts.iter().find_map(|act| match act {
        Act::Task(task, TaskAct::Train { order, .. }) => Some((task.clone(), order.clone())),
        _ => None,
    })
}

/// A training of this task ends with a head that is better.
pub(super) fn trained(engine: &mut Engine, task: &TaskId, order: TrainingOrder, version: u64) -> Step {
    let Event::Trainer(_, TrainerEvent::Finished(mut finished)) = outcome(order, &format!("{task}-{version}"), version)
    else {
        unreachable!("a training's outcome")
    };
    finished.against = engine.models.get(task).and_then(|model| model.champion()).map(|head| head.head.version);
    engine.step(at(3), Event::Trainer(task.clone(), TrainerEvent::Finished(finished)))
}

/// A prediction that rules out everything else.
pub(super) fn sure_of(class: &str) -> Scored {
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
fn the_broker_loses_what_it_has_of_a_task_that_was_ended_without_a_connection() {
    let stored = |broker| Snapshot {
        tasks: [(
            id("gate"),
            StoredTask { samples: snapshot().tasks[&TaskId::default()].samples.clone(), ..StoredTask::default() },
        )]
        .into(),
        broker,
        ..Snapshot::default()
    };
    let mut engine = Engine::new(settings_of(&["door"]), stored(BrokerRecord::default()));
    engine.start(at(0));
    let payload = json!({ "task": "gate" }).to_string().into_bytes();
    let asked = Event::Socket(SocketRequest { name: "purge".into(), payload, ticket: 7 });
    let job = engine.step(at(1), asked).acts.into_iter().find_map(|act| match act {
        Act::Query { job, .. } => Some(job),
        _ => None,
    });
    let answered = Event::QueryAnswered { job: job.expect("it is looked at"), answer: Answer::ok(&json!({})) };
    let remembers = |step: &Step| {
        step.writes.iter().rev().find_map(|write| match write {
            Write::BrokerRecord(record) => Some(record.clone()),
            _ => None,
        })
    };
    let record = remembers(&engine.step(at(2), answered)).expect("there was no connection");

    // After a restart the store knows nothing of it.
    let mut engine = Engine::new(settings_of(&["door"]), Snapshot { broker: record, ..Snapshot::default() });
    engine.start(at(0));
    let said = engine.step(at(1), Event::Broker(BrokerEvent::connected()));
    let is_cleared = |act: &Act| matches!(act, Act::Publish { topic, payload } if topic.to_string() == "task/gate/review" && payload.is_empty());
    assert!(said.acts.iter().any(is_cleared), "{:?}", topics(&said));
    assert_eq!(remembers(&engine.step(at(30_000), Event::Tick)), None, "the link may break before it is sent");
    let record = remembers(&engine.step(at(62_000), Event::Tick)).expect("the link has held");

    let mut engine = Engine::new(settings_of(&["door"]), Snapshot { broker: record, ..Snapshot::default() });
    engine.start(at(0));
    let said = engine.step(at(1), Event::Broker(BrokerEvent::connected()));
    assert!(!said.acts.iter().any(is_cleared), "{:?}", topics(&said));
}
