//! The schemas are true: what the codec reads and writes passes them, what it does not fails, in both dialects.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use super::document;
use crate::wire::documented_tests::documented;
use crate::wire::tests::{envelope, event_kinds, figures, head, label, prediction, train_result};
use crate::wire::*;
use crate::words::{SampleId, Timestamp};

/// The schemas of one channel, in the dialects in which they are read.
struct Judge(Vec<Validator>);

impl Judge {
    /// Whether it accepts `value`; the dialects have to agree.
    fn accepts(&self, value: &Value) -> bool {
        let verdicts: Vec<bool> = self.0.iter().map(|validator| validator.is_valid(value)).collect();
        assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{verdicts:?} of {value}");
        verdicts[0]
    }
}

/// A judge for each address, which is without `{prefix}/{device}/`.
fn judges() -> BTreeMap<String, Judge> {
    let sections: serde_json::Map<String, Value> =
        document().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let channels = sections["channels"].as_object().unwrap().clone();
    let judge = |(name, channel): (&String, &Value)| {
        let messages = channel["messages"].as_object().unwrap();
        let json = messages.iter().filter(|(_, message)| message["contentType"] == "application/json");
        let refer =
            |(key, _): (&String, &Value)| json!({ "$ref": format!("#/channels/{name}/messages/{key}/payload") });
        let mut root = sections.clone();
        root.insert("anyOf".into(), json.map(refer).collect());
        let root = Value::Object(root);
        let in_draft =
            |draft| jsonschema::options().with_draft(draft).should_validate_formats(true).build(&root).unwrap();
        let address = channel["address"].as_str().unwrap();
        let below = address.strip_prefix("{prefix}/{device}/").unwrap_or(address);
        (below.to_owned(), Judge(vec![in_draft(Draft::Draft202012), in_draft(Draft::Draft7)]))
    };
    let spoken = channels.iter().filter(|(_, channel)| channel.to_string().contains("application/json"));
    spoken.map(judge).collect()
}

/// The address in the document under which an example's topic stands.
fn address(topic: &str) -> String {
    match topic.split_once('/') {
        Some(("alert", _)) => "alert/{id}".to_owned(),
        Some(("task", rest)) => {
            rest.split_once('/').map_or(topic.to_owned(), |(_, said)| format!("task/{{task}}/{said}"))
        }
        Some(("update", rest)) => {
            rest.split_once('/').map_or(topic.to_owned(), |(_, word)| format!("update/{{kind}}/{word}"))
        }
        _ => topic.to_owned(),
    }
}

/// What the codec makes of `value` on `topic`: what it would write again, or for what comes in, the value as it is;
/// `None` where it refuses.
fn understood(topic: &str, value: &Value) -> Option<Value> {
    fn again<P: Payload>(bytes: &[u8]) -> Option<Value> {
        P::decode(bytes).ok().map(|payload| serde_json::to_value(payload).unwrap())
    }
    fn data(name: &str, mut response: Value) -> Option<Value> {
        if let Some(data) = response.get_mut("data") {
            *data = (Command::entry(name)?.data_again)(data.take()).ok()?;
        }
        Some(response)
    }
    let bytes = value.to_string().into_bytes();
    match topic {
        "info" => again::<Info>(&bytes),
        "health" => again::<Health>(&bytes),
        "state" | "prediction" | "task/door/prediction" => again::<Prediction>(&bytes),
        "train/state" => again::<TrainState>(&bytes),
        "train/result" => again::<TrainResult>(&bytes),
        "event" => again::<EventReport>(&bytes),
        "review" => again::<ReviewList>(&bytes),
        "alert/drift" => again::<Alert>(&bytes),
        "config/reported" => again::<Reported>(&bytes),
        "config/desired" => Desired::parse(&bytes).ok()?.map(|desired| serde_json::to_value(desired).unwrap()),
        "update/head/state" => again::<UpdateState>(&bytes),
        "update/head/request" => again::<ChunkRequest>(&bytes),
        "task/door/state" => again::<TaskState>(&bytes),
        "label" => parse_labels(&bytes).ok().map(|_| value.clone()),
        other => match (other.split_once('/')?, again::<Response>(&bytes)) {
            (("request", name), _) => Request::parse(name, &bytes).ok().map(|_| value.clone()),
            (("response", name), Some(response)) => data(name, response),
            _ => None,
        },
    }
}

/// Pointers to all that is within `value`.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    let mut visit = |key: &str, value: &Value| {
        into.push(format!("{at}/{key}"));
        pointers(value, &format!("{at}/{key}"), into);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, field)| visit(key, field)),
        Value::Array(items) => items.iter().enumerate().for_each(|(key, item)| visit(&key.to_string(), item)),
        _ => {}
    }
}

/// `value` with what is at `pointer` missing, null, and of types that it may not have.
fn mutations(value: &Value, pointer: &str) -> Vec<Value> {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut mutated: Vec<Value> =
        [Value::Null, json!([[]]), json!({ "odd": [] }), json!("\u{7}"), json!(-1.5), json!(true)]
            .into_iter()
            .map(|odd| {
                let mut value = value.clone();
                *value.pointer_mut(pointer).unwrap() = odd;
                value
            })
            .collect();
    let mut without = value.clone();
    if let Some(Value::Object(fields)) = without.pointer_mut(parent) {
        fields.remove(key);
        mutated.push(without);
    }
    mutated
}

#[test]
fn examples_pass_and_what_the_codec_refuses_or_rewrites_does_not() {
    let judges = judges();
    let (mut refused, mut accepted) = (0, 0);
    for (topic, text) in documented() {
        let judge = judges.get(&address(&topic)).unwrap_or_else(|| panic!("no channel for {topic}"));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(judge.accepts(&value), "{topic}: {text}");
        let mut places = Vec::new();
        pointers(&value, "", &mut places);
        // What is in force may have any keys, and the codec takes any number for a count of degrees or of points.
        for place in places.iter().filter(|place| !place.starts_with("/configuration")) {
            for mutated in mutations(&value, place) {
                let kept = understood(&topic, &mutated).as_ref() == Some(&mutated);
                if judge.accepts(&mutated) {
                    assert!(kept, "{topic}: the codec has nothing like {mutated}");
                    accepted += 1;
                } else {
                    refused += 1;
                    let bounded = mutated.pointer(place).is_some_and(|odd| odd.is_number() || odd.is_string());
                    assert!(!kept || bounded, "{topic}: the codec takes {mutated}");
                }
            }
        }
    }
    println!("{refused} refused, {accepted} accepted");
    assert!(refused > 2_000 && accepted > 100, "{refused} refused, {accepted} accepted");
}

#[test]
fn the_document_for_home_assistant_passes() {
    let base = Base::new("plant/edgetuned", "line-3").unwrap();
    let document = Announced { base: &base, name: "Line 3", backbone: "tiny", tasks: &[], removed: &[] }.document();
    let judge = &judges()["homeassistant/device/{device}/config"];
    assert!(judge.accepts(&document));
    let door = AnnouncedTask { id: "door".parse().unwrap(), classes: vec![label("open")], has_state: true };
    assert!(judge.accepts(
        &Announced { base: &base, name: "Line 3", backbone: "tiny", tasks: &[door], removed: &[] }.document()
    ));
    for part in ["dev", "o", "availability", "cmps"] {
        let mut without = document.clone();
        without.as_object_mut().unwrap().remove(part);
        assert!(!judge.accepts(&without), "without {part}");
    }
}

#[test]
fn event_types_are_those_announced_to_home_assistant() {
    let types: BTreeSet<String> = event_kinds()
        .into_iter()
        .map(|kind| serde_json::to_value(kind).unwrap()["event_type"].as_str().unwrap().to_owned())
        .collect();
    for event_type in types {
        assert!(EventKind::TYPES.contains(&event_type.as_str()), "{event_type} is not in EventKind::TYPES");
    }
}

#[test]
fn values_out_of_bounds_and_unknown_words_are_refused() {
    let judges = judges();
    // The first example on the topic that has something there.
    let of = |topic: &str, pointer: &str| {
        let examples = documented().into_iter().filter(|(found, _)| found == topic);
        let mut values = examples.map(|(_, text)| serde_json::from_str::<Value>(&text).unwrap());
        values.find(|value| value.pointer(pointer).is_some()).unwrap_or_else(|| panic!("{topic}{pointer} is there"))
    };
    for (topic, pointer, odd) in [
        ("prediction", "/probability", json!(1.5)),
        ("prediction", "/top/0/probability", json!(-0.5)),
        ("prediction", "/image", json!("2cf2")),
        ("prediction", "/image", json!("2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824")),
        ("prediction", "/head", json!("head 7")),
        ("prediction", "/label", json!("a/b")),
        ("prediction", "/label", json!(" ")),
        ("prediction", "/label", json!("x".repeat(129))),
        ("prediction", "/v", json!(2)),
        ("prediction", "/ts", json!("2026-03-01 08:01:02")),
        ("prediction", "/ts", json!("2026-13-01T08:01:02.120Z")),
        ("prediction", "/seq", json!(0.5)),
        ("info", "/head/accuracy", json!(90)),
        ("info", "/configuration", json!([])),
        ("train/state", "/phase", json!("resting")),
        ("train/state", "/progress", json!(1.01)),
        ("train/result", "/challenger/accuracy_interval", json!([0.5])),
        ("train/result", "/challenger/ece_interval/1", json!(1.2)),
        ("train/result", "/challenger/evaluated_on", json!("guess")),
        ("train/result", "/lambda_path/0", json!([1.0, 0.5, 0.25])),
        ("event", "/event_type", json!("party")),
        ("review", "/items/0/reason", json!("boredom")),
        ("review", "/items/1/neighbours", json!([])),
        ("review", "/items/1/neighbours/0/distance", json!(2.5)),
        ("alert/drift", "/severity", json!("fun")),
        ("label", "/image", json!("2cf24db")),
        ("request/train", "/expires", json!("tomorrow")),
        ("request/train", "/transaction", json!("x".repeat(129))),
        ("task/door/prediction", "/source", json!("a/b")),
        ("task/door/state", "/state", json!("")),
        ("task/door/state", "/votes", json!([1])),
        ("task/door/state", "/votes/0", json!(-1)),
        ("task/door/state", "/confidence", json!(1.01)),
        ("task/door/state", "/task", json!("Door")),
        ("request/train", "/task", json!("a/b")),
        ("request/label", "/task", json!("x".repeat(33))),
        ("label", "/task", json!("")),
        ("health", "/tasks/door/labelled", json!(-1)),
        ("health", "/sources/garage/last", json!("yesterday")),
        ("info", "/tasks/0/id", json!("")),
        ("response/status", "/data/alerts/0/id", json!("drift_Door")),
        ("response/status", "/data/alerts/0/id", json!("clock_door")),
        ("response/train", "/data/training", json!("four")),
        ("response/train", "/status", json!("perhaps")),
    ] {
        let mut value = of(topic, pointer);
        *value.pointer_mut(pointer).unwrap() = odd.clone();
        assert!(!judges[&address(topic)].accepts(&value), "{topic}{pointer}: {odd}");
    }
    let many = |n: usize| Value::Array(vec![json!({ "image": "abcdef01", "label": null }); n]);
    assert_eq!((judges["label"].accepts(&many(1_000)), judges["label"].accepts(&many(1_001))), (true, false));
}

fn report(health: &HealthFigures, head: Option<&crate::words::HeadRef>) -> StatusReport {
    StatusReport {
        health: health.clone(),
        task: None,
        head: head.cloned(),
        backbone: "tiny".into(),
        phase: TrainingPhase::Idle,
        live: LiveFigures::default(),
        shadow: None,
        switch: head.map(|_| SwitchReport {
            backbone: "default".into(),
            name: "tiny".into(),
            phase: SwitchPhase::Refused,
            embedded: None,
            of: None,
            reason: Some("worse".into()),
            since: Timestamp(0),
        }),
        broker: Link::Connected,
        broker_reason: None,
        alerts: vec![Raised {
            id: head.map_or(AlertId::Clock, |_| TaskAlert::Drift.of("door".parse().ok().as_ref())),
            warning: Warning { severity: Severity::Error, text: "it is 1970".into(), since: Timestamp(0) },
        }],
    }
}

#[test]
fn values_with_everything_and_with_nothing_optional_pass() {
    let judges = judges();
    let passes = |topic: &str, value: Value| assert!(judges[topic].accepts(&value), "{topic}: {value}");
    let hex =
        |head: crate::words::HeadRef| crate::words::HeadRef { id: crate::words::HeadId("0123456789ab".into()), ..head };
    let Prediction { body, .. } = prediction();
    let full = PredictionBody {
        set: Some(vec![label("gear"), label("späte Mutter")]),
        unknown: Some(true),
        novelty: Some(1e9),
        ..body.clone()
    };
    let bare = PredictionBody { label: None, probability: None, top: vec![], head: None, ..body };
    let [full, bare] = [full, bare].map(|body| Prediction { body, ..prediction() });
    for value in [full, bare] {
        passes("prediction", serde_json::to_value(&value).unwrap());
        passes("state", serde_json::to_value(value).unwrap());
    }
    for kind in event_kinds() {
        passes("event", serde_json::to_value(EventReport { envelope: envelope(), task: None, kind }).unwrap());
    }
    let mut result = train_result();
    result.facts.kind = "lda".into();
    result.facts.hyper = BTreeMap::from([("shrinkage".into(), 0.5)]);
    result.champion = Some(figures());
    passes("train/result", serde_json::to_value(&result).unwrap());
    let bare = TrainResult { challenger: None, champion: None, change: None, ..train_result() };
    passes("train/result", serde_json::to_value(bare).unwrap());
    let health =
        HealthFigures { last_train: Some(Timestamp(-1)), temperature_c: Some(-4.5), ..HealthFigures::default() };
    for figures in [health.clone(), HealthFigures::default()] {
        passes("health", serde_json::to_value(Health { envelope: envelope(), figures, live: None }).unwrap());
    }
    let item = ReviewItem {
        image: SampleId::of(b"image"),
        path: Some("/srv/camera/1.jpg".into()),
        reason: ReviewReason::Suspicious,
        suggestion: None,
        probability: None,
        label: None,
        neighbours: vec![],
        source: None,
    };
    passes(
        "review",
        serde_json::to_value(ReviewList {
            envelope: envelope(),
            body: ReviewItems { task: None, items: vec![item], advice: None },
        })
        .unwrap(),
    );
    for (name, answer) in [
        ("train", Answer::ok(&TrainAccepted { training: u64::MAX })),
        ("train", Answer::error(ErrorCode::NotPossible, "no")),
        ("rollback", Answer::ok(&RolledBack { head: None, from: hex(head()) })),
        ("status", Answer::ok(&report(&health, None))),
        ("status", Answer::ok(&report(&health, Some(&hex(head()))))),
        ("review", Answer::ok(&ReviewItems::default())),
        ("rescan", Answer::ok(&json!({}))),
    ] {
        for transaction in [None, Some("7f".to_owned())] {
            let response = Response { envelope: envelope(), transaction, answer: answer.clone() };
            passes(&format!("response/{name}"), serde_json::to_value(response).unwrap());
        }
    }
}

/// A number for each kind of topic, the last one for responses; a new kind does not compile without one.
fn number(topic: &Topic) -> usize {
    match topic {
        Topic::Status => 0,
        Topic::Info => 1,
        Topic::Health => 2,
        Topic::State => 3,
        Topic::Prediction => 4,
        Topic::TrainState => 5,
        Topic::TrainResult => 6,
        Topic::Event => 7,
        Topic::Review => 8,
        Topic::Alert(_) => 9,
        Topic::ConfigReported => 10,
        Topic::UpdateRequest(_) => 11,
        Topic::UpdateState(_) => 12,
        // Nothing but an empty payload goes to a former one.
        Topic::Discovery | Topic::FormerDiscovery(_) => 13,
        Topic::Task(_, TaskTopic::Prediction) => 14,
        Topic::Task(_, TaskTopic::State) => 15,
        Topic::Task(_, TaskTopic::TrainState) => 16,
        Topic::Task(_, TaskTopic::TrainResult) => 17,
        Topic::Task(_, TaskTopic::Review) => 18,
        Topic::Response(_) => 19,
    }
}

#[test]
fn every_topic_and_every_subscription_is_in_the_document_or_known_to_have_no_type() {
    let sections: BTreeMap<_, _> = document().into_iter().collect();
    let addresses: Vec<String> = sections["channels"]
        .as_object()
        .unwrap()
        .values()
        .map(|channel| channel["address"].as_str().unwrap().replace("{prefix}/{device}/", ""))
        .collect();
    let told = |topic: &str| {
        let matches = |address: &str| {
            let (address, topic): (Vec<_>, Vec<_>) = (address.split('/').collect(), topic.split('/').collect());
            address.len() == topic.len()
                && address.iter().zip(topic).all(|(a, t)| a.starts_with('{') || *a == t || t == "+")
        };
        let place = addresses.iter().map(String::as_str).position(matches);
        assert!(place.is_some(), "{topic} has no line in src/wire/asyncapi/mod.rs");
    };
    let kinds: BTreeSet<usize> = Topic::all().map(|topic| number(&topic)).collect();
    assert_eq!(kinds.len(), number(&Topic::Response(String::new())), "Topic::FIXED lacks one");
    let base = Base::new("p", "d").unwrap();
    for topic in Topic::all() {
        let whole = base.join(&topic);
        told(base.strip(&whole).unwrap_or(&whole));
    }
    for filter in base.subscriptions(true) {
        told(base.strip(&filter).unwrap());
    }
    for (topic, _) in documented() {
        told(&topic);
    }
}
