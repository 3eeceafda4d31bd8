//! Messages that name a task: round trips, what is left out without one, and hostile input.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tests::{backbone, check, envelope, event_kinds, head, label, prediction, train_result};
use super::*;
use crate::words::{Keyword as _, SampleId, SourceId, TaskId, Timestamp};

pub(super) fn door() -> TaskId {
    TaskId::new("door").unwrap()
}

pub(super) fn state() -> TaskState {
    TaskState {
        envelope: envelope(),
        task: door(),
        state: label("open").into(),
        since: Timestamp(0),
        previous: Some(StateName::UNKNOWN),
        confidence: Some(0.75),
        votes: [2, 3],
        image: Some(SampleId::of(b"image")),
        last_seen: Some(Timestamp(1_000)),
    }
}

/// The fields of `plain` and no others, once `task` is gone.
fn is_plain_but_for_its_task(named: &Value, plain: &Value) {
    let mut named = named.clone();
    assert_eq!(named.as_object_mut().unwrap().remove("task"), Some(json!("door")));
    assert_eq!(&named, plain);
    assert!(plain.get("task").is_none());
}

#[test]
fn payloads_of_a_task_are_the_plain_ones_and_its_name() {
    let task = Some(door());
    let said = Prediction { body: PredictionBody { task: task.clone(), ..prediction().body }, ..prediction() };
    is_plain_but_for_its_task(&check(&said), &check(&prediction()));
    let result = TrainResult { task: task.clone(), ..train_result() };
    is_plain_but_for_its_task(&check(&result), &check(&train_result()));
    let plain = TrainState {
        envelope: envelope(),
        task: None,
        phase: TrainingPhase::Idle,
        progress: 0.0,
        reason: "none yet".into(),
    };
    is_plain_but_for_its_task(&check(&TrainState { task: task.clone(), ..plain.clone() }), &check(&plain));
    let plain = ReviewList { envelope: envelope(), body: ReviewItems::default() };
    let body = ReviewItems { task: task.clone(), ..ReviewItems::default() };
    is_plain_but_for_its_task(&check(&ReviewList { body, ..plain.clone() }), &check(&plain));
    for kind in event_kinds() {
        let plain = EventReport { envelope: envelope(), task: None, kind };
        is_plain_but_for_its_task(&check(&EventReport { task: task.clone(), ..plain.clone() }), &check(&plain));
    }
}

#[test]
fn a_frame_of_a_source_has_no_path_and_says_when_it_is_stale() {
    let source = SourceId::new("garage").ok();
    let body = PredictionBody { path: None, source, stale: true, ..prediction().body };
    let value = check(&Prediction { body, ..prediction() });
    assert_eq!((&value["source"], &value["stale"], value.get("path")), (&json!("garage"), &json!(true), None));
    let plain = check(&prediction());
    assert!(plain.get("source").is_none() && plain.get("stale").is_none() && plain["path"].is_string());
}

#[test]
fn states_are_read_back_equal_with_every_field_there() {
    let value = check(&state());
    assert_eq!(
        (&value["state"], &value["previous"], &value["votes"]),
        (&json!("open"), &json!("unknown"), &json!([2, 3]))
    );
    let first = TaskState {
        state: StateName::UNKNOWN,
        previous: None,
        confidence: None,
        votes: [0, 0],
        image: None,
        last_seen: None,
        ..state()
    };
    let value = check(&first);
    for field in ["previous", "confidence", "image", "last_seen"] {
        assert!(value.get(field).is_some_and(Value::is_null), "{field} is there and null");
    }
    for (field, odd) in [
        ("state", Value::Null),
        ("votes", json!([1])),
        ("votes", json!([1, -1])),
        ("task", json!("A")),
        ("since", json!(0)),
    ] {
        let mut value = value.clone();
        value[field] = odd;
        assert!(TaskState::decode(value.to_string().as_bytes()).is_err(), "{field}: {value}");
    }
}

#[test]
fn health_and_info_have_each_task_and_source_and_nothing_of_them_without_any() {
    let task = TaskHealth { samples: 9, labelled: 2, unlabelled: 7, head: Some(head()), ..TaskHealth::default() };
    let source = SourceHealth { frames: 12, skipped: 3, frozen: 2, failed: 1, last: Some(Timestamp(0)) };
    let figures = HealthFigures {
        tasks: BTreeMap::from([(door(), task)]),
        sources: BTreeMap::from([(SourceId::new("garage").unwrap(), source)]),
        ..HealthFigures::default()
    };
    let value = check(&Health { envelope: envelope(), figures, live: None });
    assert_eq!((&value["tasks"]["door"]["labelled"], &value["sources"]["garage"]["frozen"]), (&json!(2), &json!(2)));
    let live = Some(LiveFigures::default());
    let measured = check(&Health { envelope: envelope(), figures: HealthFigures::default(), live });
    assert_eq!(measured["live"]["audit"]["n"], 0);
    let plain = check(&Health { envelope: envelope(), figures: HealthFigures::default(), live: None });
    assert!(plain.get("tasks").is_none() && plain.get("sources").is_none());

    let served = InfoHead { id: head().id, version: 7, classes: vec![label("open")], accuracy: None };
    let info = Info {
        envelope: envelope(),
        versions: Versions { edgetuned: "0.1.0".into(), onnxruntime: "1.27.0".into() },
        backbone: InfoBackbone { backbone: backbone(), provider: None },
        head: None,
        tasks: vec![InfoTask { id: door(), classes: served.classes.clone(), head: Some(served) }],
        capabilities: vec![],
        configuration: json!({}),
    };
    assert_eq!(check(&info)["tasks"][0]["classes"], json!(["open"]));
    assert!(check(&Info { tasks: vec![], ..info }).get("tasks").is_none());
}

#[test]
fn topics_of_a_task_are_as_their_plain_brothers() {
    for &topic in TaskTopic::ALL {
        let (named, plain) = (Topic::Task(door(), topic), topic.plain());
        let text = format!("task/door/{plain}");
        assert_eq!((named.to_string(), text.parse()), (text, Ok(named.clone())));
        assert_eq!((named.retain(), named.spooled()), (plain.retain(), plain.spooled()), "{plain}");
        assert_eq!(named.qos(), plain.qos());
        assert_eq!((named.of_task(), plain.of_task()), (Some(topic), Some(topic)));
        assert_eq!(topic.topics(None), std::slice::from_ref(&plain));
        assert_eq!(topic.topics(Some(&door())), [named]);
        assert_eq!(topic.topics(Some(&TaskId::default())), [Topic::Task(TaskId::default(), topic), plain]);
    }
    assert_eq!(Topic::Event.of_task(), None);
    for text in [
        "task",
        "task/",
        "task/door",
        "task/door/",
        "task/A/state",
        "task//state",
        "task/door/event",
        "task/door/train",
    ] {
        assert!(text.parse::<Topic>().is_err(), "{text}");
    }
}

#[test]
fn a_request_names_its_task_and_its_labels_have_it() {
    let tasks = ["bin", "door"].map(|id| id.parse().unwrap());
    let request = |name: &str, payload: &str| Request::parse(name, payload.as_bytes()).unwrap();
    let train = request("train", r#"{"task":"door"}"#);
    assert_eq!((train.task.as_ref(), train.settle(&tasks)), (Some(&door()), Ok(Some(&tasks[1]))));
    let plain = request("train", "{}");
    assert_eq!((&plain.task, plain.settle(&tasks).is_err()), (&None, true));
    assert_eq!(plain.settle(&tasks[1..]), Ok(Some(&tasks[1])), "the only one");
    for name in ["status", "rescan", "reload"] {
        assert_eq!(request(name, "{}").settle(&tasks), Ok(None), "{name} is about the device");
        assert!(request(name, r#"{"task":"gate"}"#).settle(&tasks).is_err(), "{name}: there is no such task");
    }
    assert_eq!(request("forget", r#"{"images":["abcdef01"]}"#).settle(&tasks), Ok(None));
    assert!(request("forget", r#"{"label":"open"}"#).settle(&tasks).is_err());

    for name in ["label", "import"] {
        let of = |payload: &str| match request(name, payload).command {
            Command::Label(command::Label { items }) | Command::Import(command::Import { items, .. }) => items,
            other => panic!("{other:?}"),
        };
        let (item, named) =
            (r#"{"image":"abcdef01","label":"open"}"#, r#"{"image":"abcdef02","label":null,"task":"door"}"#);
        let items = of(&format!(r#"{{"task":"door","items":[{item},{named}]}}"#));
        assert!(items.iter().all(|item| item.task == Some(door())));
        let items = of(&format!(r#"{{"items":[{item},{named}]}}"#));
        assert_eq!(items.iter().map(|item| item.task.clone()).collect::<Vec<_>>(), [None, Some(door())]);
        assert_eq!(request(name, &format!(r#"{{"items":[{named}]}}"#)).settle(&tasks), Ok(None), "each item says it");
        assert!(request(name, &format!(r#"{{"items":[{named},{item}]}}"#)).settle(&tasks).is_err(), "one does not");
        let both = format!(r#"{{"transaction":"7f","task":"bin","items":[{item},{named}]}}"#);
        let refused = Request::parse(name, both.as_bytes()).unwrap_err();
        assert_eq!(refused.transaction.as_deref(), Some("7f"));
        assert!(refused.reason.contains("task bin") && refused.reason.contains("about door"), "{refused}");
    }
}

#[test]
fn labels_name_their_task_each() {
    let items =
        parse_labels(br#"[{"image":"abcdef01","label":"open","task":"door"},{"image":"abcdef01","label":"full"}]"#);
    let tasks: Vec<_> = items.unwrap().into_iter().map(|item| item.task).collect();
    assert_eq!(tasks, [Some(door()), None]);
    let item = LabelItem { image: "abcdef01".parse().unwrap(), task: None, label: None, was: None };
    assert_eq!(serde_json::to_string(&item).unwrap(), r#"{"image":"abcdef01","label":null}"#);
}

#[test]
fn a_text_that_cannot_name_a_task_is_refused_with_the_reason() {
    let long = "x".repeat(100_000);
    for odd in ["\"\"", "\"Door\"", "\"a/b\"", "\"+\"", "\"#\"", "\"a\\u0000\"", &format!("\"{long}\"")] {
        let request = format!(r#"{{"transaction":"7f","task":{odd}}}"#);
        let refused = Request::parse("train", request.as_bytes()).unwrap_err();
        assert_eq!(refused.transaction.as_deref(), Some("7f"));
        assert!(refused.reason.contains("1 to 32") && refused.reason.len() < 1_000, "{refused}");
        let label = format!(r#"{{"image":"abcdef01","label":"open","task":{odd}}}"#);
        let refused = parse_labels(label.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains("1 to 32") && refused.len() < 1_000, "{refused}");
    }
    for odd in ["7", "[]", "true", "{}"] {
        assert!(Request::parse("train", format!(r#"{{"task":{odd}}}"#).as_bytes()).is_err(), "{odd}");
    }
    assert_eq!(Request::parse("train", br#"{"task":null}"#).unwrap().task, None);
    assert!(Request::parse("train", br#"{"task":"a","task":"b"}"#).is_err());
}
