//! Requests through both doors, and answers that have to be found out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::wire::Answer;

/// Asks at the socket.
fn ask(engine: &mut Engine, ticket: Ticket, name: &str, arguments: &Value) -> Step {
    let payload = arguments.to_string().into_bytes();
    engine.step(at(0), Event::Socket(SocketRequest { name: name.into(), payload, ticket }))
}

/// Asks by a message.
fn send(engine: &mut Engine, delivery: DeliveryId, topic: &str, arguments: &Value) -> Step {
    let payload = arguments.to_string().into_bytes();
    engine.step(
        at(0),
        Event::Broker(BrokerEvent::Message(Inbound { topic: topic.into(), payload, retained: false, delivery })),
    )
}

/// What was answered at the socket, by ticket.
fn answers(effects: &Step) -> Vec<(Ticket, Value)> {
    let answer = |effect: &Act| match effect {
        Act::Answer { ticket, response } => Some((*ticket, serde_json::to_value(response).unwrap())),
        _ => None,
    };
    effects.acts.iter().filter_map(answer).collect()
}

/// The one answer.
fn answer(effects: &Step) -> Value {
    let mut answers = answers(effects);
    assert_eq!(answers.len(), 1, "{effects:?}");
    answers.remove(0).1
}

fn acked(effects: &Step) -> Vec<DeliveryId> {
    (effects.acts)
        .iter()
        .filter_map(|effect| if let Act::Ack(delivery) = effect { Some(*delivery) } else { None })
        .collect()
}

fn spooled(effects: &Step, topic: &str) -> Vec<Value> {
    let message = |write: &Write| match write {
        Write::Outbox(message) if message.topic.to_string() == topic => {
            Some(serde_json::from_slice(&message.payload).unwrap())
        }
        _ => None,
    };
    effects.writes.iter().filter_map(message).collect()
}

fn job(effects: &Step) -> Option<(JobId, Query)> {
    let job = |effect: &Act| match effect {
        Act::Query { job, query } => Some((*job, query.clone())),
        _ => None,
    };
    effects.acts.iter().find_map(job)
}

fn found(engine: &mut Engine, job: JobId, data: u64) -> Step {
    engine.step(at(0), Event::QueryAnswered { job, answer: Answer::ok(&data) })
}

#[test]
fn a_client_that_begins_to_watch_is_shown_what_is_retained_and_the_broker_is_not() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let shown = engine.step(at(0), Event::WatchBegan);
    let topics: BTreeSet<String> = (shown.acts.iter())
        .map(|act| match act {
            Act::Show { topic, .. } => topic.to_string(),
            act => panic!("{act:?}"),
        })
        .collect();
    for topic in ["info", "health", "review", "train/state", "config/reported", "update/backbone/state", "alert/drift"]
    {
        assert!(topics.contains(topic), "{topic}: {topics:?}");
    }
    let connected = engine.step(at(0), Event::Broker(BrokerEvent::Connected { refused: vec![], downgraded: vec![] }));
    assert!(!connected.acts.iter().any(|act| matches!(act, Act::Show { .. })), "the broker gets them by itself");
}

#[test]
fn a_head_is_promoted_by_its_version_or_the_start_of_its_id() {
    for name in [json!("1"), json!(1), json!("head-1")] {
        let mut engine = engine(PromotionPolicy::Gated, snapshot());
        let effects = ask(&mut engine, 7, "promote", &json!({ "head": name }));
        let said = answer(&effects);
        assert_eq!((&said["data"]["head"]["version"], &said["data"]["from"]["version"]), (&json!(1), &json!(2)));
        assert_eq!(serves(&effects), Some(1));
        assert_eq!(spooled(&effects, "event")[0]["event_type"], "promoted");
        assert_eq!(answer(&ask(&mut engine, 8, "status", &json!({})))["data"]["head"]["version"], 1);
        let again = ask(&mut engine, 9, "promote", &json!({ "head": name }));
        assert_eq!((serves(&again), answer(&again)["data"]["from"]["version"].clone()), (None, json!(1)));
        let back = ask(&mut engine, 10, "rollback", &json!({}));
        assert_eq!(serves(&back), Some(2), "the head that it took the place of is kept for a rollback");
    }
}

#[test]
fn what_cannot_be_promoted_is_refused_and_nothing_changes() {
    let mut snapshot = snapshot();
    snapshot.default_task().heads[0].space.dim = 9;
    let mut engine = engine(PromotionPolicy::Gated, snapshot);
    for (name, why) in [("9", "no head 9"), ("hea", "no head hea"), ("head", "more than one"), ("1", "not in service")]
    {
        let effects = ask(&mut engine, 1, "promote", &json!({ "head": name }));
        let error = answer(&effects)["error"].clone();
        assert_eq!(error["code"], "not_possible", "{name}: {error}");
        assert!(error["message"].as_str().unwrap().contains(why), "{name}: {error}");
        assert!(spooled(&effects, "event").is_empty() && serves(&effects).is_none());
    }
    assert_eq!(answer(&ask(&mut engine, 1, "promote", &json!({})))["error"]["code"], "bad_request");
}

#[test]
fn heads_are_listed_from_memory() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let said = answer(&ask(&mut engine, 1, "heads", &json!({})));
    let statuses: Vec<&Value> = said["data"].as_array().unwrap().iter().map(|head| &head["status"]).collect();
    assert_eq!(statuses, ["kept", "champion"]);
}

#[test]
fn one_transaction_has_one_effect_over_both_transports() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let first = ask(&mut engine, 1, "train", &json!({"transaction": "t"}));
    assert!(ordered(&first).is_some());
    let second = send(&mut engine, 5, "request/train", &json!({"transaction": "t"}));
    assert!(ordered(&second).is_none());
    assert_eq!(acked(&second), [5]);
    let response = &spooled(&second, "response/train")[0];
    assert_eq!(response["data"], answer(&first)["data"]);
    let other = answer(&ask(&mut engine, 2, "rollback", &json!({"transaction": "t"})));
    assert_eq!(other["error"]["code"], "transaction_reused");
}

#[test]
fn an_answer_from_the_background_is_computed_once_and_sent_to_every_requester() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let question = json!({"transaction": "q"});
    let (id, task) = job(&send(&mut engine, 1, "request/export", &question)).unwrap();
    assert!(matches!(task, Query::Export(_, head) if head.version == 2));
    let label = json!({"image": SampleId::of(b"nut"), "label": "bolt"});
    for effects in [
        send(&mut engine, 2, "request/export", &question),
        ask(&mut engine, 7, "export", &question),
        send(&mut engine, 3, "label", &label),
    ] {
        assert!(job(&effects).is_none() && acked(&effects).is_empty() && answers(&effects).is_empty());
    }
    let reused = answer(&ask(&mut engine, 8, "samples", &question));
    assert_eq!(reused["error"]["code"], "transaction_reused");

    let effects = found(&mut engine, id, 42);
    assert_eq!(spooled(&effects, "response/export").len(), 2, "each message has its answer");
    assert_eq!(
        answers(&effects).iter().map(|(ticket, said)| (*ticket, said["data"].clone())).collect::<Vec<_>>(),
        [(7, json!(42))]
    );
    assert_eq!(acked(&effects), [1, 2, 3], "in the order of arrival, when there is an answer");
    assert!(effects.writes.iter().any(|effect| matches!(effect, Write::Reply(entry) if entry.name == "export")));
    assert_eq!(answer(&ask(&mut engine, 9, "export", &question))["data"], 42, "it is remembered");
    assert!(found(&mut engine, id, 43).is_empty(), "an answer to nothing changes nothing");
}

#[test]
fn at_the_end_what_is_done_is_acknowledged_and_what_is_not_comes_again() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    send(&mut engine, 1, "request/export", &json!({}));
    assert!(acked(&send(&mut engine, 2, "request/rescan", &json!({}))).is_empty());
    assert_eq!(acked(&engine.step(at(0), Event::Process(ProcessEvent::StopRequested))), [2]);
}

#[test]
fn too_many_requests_at_once_are_refused_and_the_refusal_is_not_remembered() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let jobs: Vec<JobId> =
        (0..UNDER_WAY_MAX as u64).map(|n| job(&ask(&mut engine, n, "samples", &json!({}))).unwrap().0).collect();
    let question = json!({"transaction": "q"});
    let refused = ask(&mut engine, 99, "samples", &question);
    assert!(job(&refused).is_none());
    assert_eq!(answer(&refused)["error"]["code"], "busy");
    let turned_away = ask(&mut engine, 98, "reload", &json!({}));
    assert_eq!(answer(&turned_away)["error"]["code"], "busy");
    let told = |effect: &Act| matches!(effect, Act::Systemd(_));
    assert!(!turned_away.acts.iter().any(told), "the service manager would wait for the end of what never began");
    found(&mut engine, jobs[0], 1);
    assert!(job(&ask(&mut engine, 99, "samples", &question)).is_some());
}

#[test]
fn labels_by_request_count_all_or_not_at_all() {
    let (one, other) = (SampleId::of(b"bolt"), SampleId::of(b"nut"));
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let items = json!([
        {"image": one, "label": "nut"},
        {"image": other.to_string()[..8], "label": null},
        {"image": "0123456789", "label": "gear"},
        {"image": "9876543210", "label": null},
    ]);
    let effects = ask(&mut engine, 1, "label", &json!({ "items": items }));
    assert_eq!(answer(&effects)["data"], json!({"set": 2, "kept": 1, "change": 1}));
    let written = |effects: &Step| {
        let labels = effects.writes.iter().filter(|effect| {
            matches!(effect, Write::Label { .. } | Write::PendingLabel(_) | Write::DeletePendingLabel { .. })
        });
        labels.count()
    };
    assert_eq!(written(&effects), 3);

    let mut snapshot = snapshot();
    for last in [1, 2] {
        let mut bytes = [0xab; 32];
        bytes[31] = last;
        let id = SampleId(Digest(bytes));
        snapshot.samples.push(id);
        snapshot.default_task().samples.push(StoredSample::new(id));
    }
    let mut engine = super::engine(PromotionPolicy::Gated, snapshot);
    let items = json!([{"image": one, "label": "nut"}, {"image": "abababab", "label": "nut"}]);
    let effects = ask(&mut engine, 1, "label", &json!({ "items": items }));
    assert_eq!(answer(&effects)["error"]["code"], "bad_request");
    assert_eq!(written(&effects), 0);
}

#[test]
fn images_that_are_not_there_are_not_found_and_bad_requests_at_the_socket_raise_no_event() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let nothing = json!({"image": "00000000", "after": "00000000"});
    for name in ["predict", "samples"] {
        assert_eq!(answer(&ask(&mut engine, 1, name, &nothing))["error"]["code"], "not_found");
    }
    let bad = ask(&mut engine, 1, "samples", &json!({"limit": 1_001}));
    assert_eq!(answer(&bad)["error"]["code"], "bad_request");
    assert!(spooled(&bad, "event").is_empty());
    assert_eq!(spooled(&send(&mut engine, 1, "request/samples", &json!({"limit": 0})), "event").len(), 1);
}

#[test]
fn a_watcher_receives_reports_without_a_broker() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let effects = engine.step(at(31_000), Event::Tick);
    assert!(
        effects.acts.iter().any(|effect| matches!(effect, Act::Publish { topic: Topic::Health, .. })),
        "{effects:?}"
    );
}

#[test]
fn a_retained_label_is_reported_and_changes_nothing() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let payload = format!(r#"{{"image": "{}", "label": "gear"}}"#, SampleId::of(b"bolt")).into_bytes();
    for (retained, is_taken) in [(true, false), (false, true)] {
        let inbound = Inbound { topic: "label".into(), payload: payload.clone(), retained, delivery: 1 };
        let step = engine.step(at(0), Event::Broker(BrokerEvent::Message(inbound)));
        assert_eq!(step.writes.iter().any(|write| matches!(write, Write::Label { .. })), is_taken);
        let is_reported = |write: &Write| {
            matches!(write, Write::Outbox(message) if message.topic == Topic::Event
                && String::from_utf8_lossy(&message.payload).contains("retain flag"))
        };
        assert_eq!(step.writes.iter().any(is_reported), !is_taken);
        assert!(step.acts.iter().any(|act| matches!(act, Act::Ack(1))), "it is acknowledged all the same");
    }
}
