//! Samples that are forgotten on request.

use serde_json::{Value, json};

use super::*;
use crate::eval::budget::Why;

fn bolt() -> SampleId {
    SampleId::of(b"bolt")
}

fn started() -> Engine {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    engine.start(at(0));
    engine
}

fn ask(engine: &mut Engine, name: &str, arguments: &Value) -> Step {
    let payload = arguments.to_string().into_bytes();
    engine.step(at(1), Event::Socket(SocketRequest { name: name.into(), payload, ticket: 7 }))
}

fn answer(step: &Step) -> Option<Value> {
    let answer = |act: &Act| match act {
        Act::Answer { response, .. } => Some(serde_json::to_value(response).unwrap()),
        _ => None,
    };
    step.acts.iter().find_map(answer)
}

/// The query that goes to the online worker.
fn query(step: &Step) -> (JobId, Vec<SampleId>) {
    let query = |act: &Act| match act {
        Act::Query { job, query: Query::Forget(ids) } => Some((*job, ids.clone())),
        _ => None,
    };
    step.acts.iter().find_map(query).unwrap_or_else(|| panic!("no query: {step:?}"))
}

fn without(engine: &mut Engine, (job, ids): (JobId, Vec<SampleId>)) -> Step {
    let file = b"without".to_vec();
    engine.step(
        at(5),
        Event::Adapter(AdapterEvent::StatisticsWithout { job, ids, files: vec![(TaskId::default(), file)] }),
    )
}

fn learned(step: &Step) -> Vec<SampleId> {
    let learned = |act: &Act| if let Act::Task(_, TaskAct::UpdateOnline(ids)) = act { ids.clone() } else { Vec::new() };
    step.acts.iter().flat_map(learned).collect()
}

fn deleted(step: &Step) -> Vec<SampleId> {
    let deleted = |write: &Write| if let Write::DeleteSample { id } = write { Some(*id) } else { None };
    step.writes.iter().filter_map(deleted).collect()
}

#[test]
fn samples_go_in_one_commit_with_the_statistics_without_them_and_the_answer() {
    for arguments in [json!({"images": [bolt()]}), json!({"label": "bolt"})] {
        let mut engine = started();
        ask(&mut engine, "label", &json!({"items": [{"image": "01234567", "label": "bolt"}]}));
        let mut arguments = arguments;
        arguments["transaction"] = json!("t");
        let asked = ask(&mut engine, "forget", &arguments);
        assert!(asked.writes.is_empty() && answer(&asked).is_none(), "nothing changes before: {asked:?}");
        let query = query(&asked);
        assert_eq!(query.1, [bolt()]);
        let done = without(&mut engine, query);
        assert_eq!(deleted(&done), [bolt()]);
        let has = |is: fn(&Write) -> bool| done.writes.iter().any(is);
        assert!(has(|write| matches!(write, Write::Statistics { file, .. } if file == b"without")));
        assert!(has(|write| matches!(write, Write::DeleteOtherStatistics)));
        assert!(has(|write| matches!(write, Write::Reply(_))), "a repeated request gets the same answer");
        assert!(has(|write| matches!(write, Write::TrainingState { state, .. } if state.new_labels == 1)));
        let awaited = usize::from(arguments.get("label").is_some());
        assert_eq!(answer(&done).unwrap()["data"], json!({"samples": 1, "awaited": awaited}));
        assert_eq!((engine.health().samples, engine.health().labelled), (1, 1));
        let again = ask(&mut engine, "forget", &json!({"images": [bolt()]}));
        assert_eq!(answer(&again).unwrap()["error"]["code"], "not_found");
    }
    let mut engine = started();
    let none = ask(&mut engine, "forget", &json!({"label": "cog"}));
    assert_eq!(answer(&none).unwrap()["error"]["code"], "not_found");
}

#[test]
fn what_is_being_forgotten_is_neither_learned_nor_evicted_meanwhile() {
    let mut engine = started();
    let query = query(&ask(&mut engine, "forget", &json!({"images": [bolt()]})));
    let step = ask(&mut engine, "label", &json!({"items": [{"image": bolt(), "label": "nut"}]}));
    assert_eq!(learned(&step), [], "the worker would take it into the statistics again");
    let candidate =
        EvictionCandidate { id: bolt(), labels: vec![(TaskId::default(), label("nut"))], why: Why::Redundant };
    let step = engine.step(at(2), Event::Adapter(AdapterEvent::EvictionCandidates(vec![candidate])));
    assert_eq!(deleted(&step), [], "the statistics would remember it");
    assert_eq!(deleted(&without(&mut engine, query)), [bolt()]);
}

#[test]
fn while_nothing_can_be_stored_nothing_is_forgotten_and_the_worker_learns_it_again() {
    let mut engine = started();
    let query = query(&ask(&mut engine, "forget", &json!({"images": [bolt()]})));
    engine.step(at(2), Event::Store(StoreEvent::Unavailable { full: true, reason: "full".into() }));
    let step = without(&mut engine, query);
    assert_eq!((deleted(&step), learned(&step)), (vec![], vec![bolt()]));
    assert_eq!(answer(&step).unwrap()["error"]["code"], "busy");
}

#[test]
fn a_training_that_began_before_is_carried_out_again_without_them() {
    let mut engine = started();
    let order = ordered(&request(&mut engine, "train")).expect("a request trains at once");
    let query = query(&ask(&mut engine, "forget", &json!({"images": [bolt()]})));
    without(&mut engine, query);
    let step = engine.step(at(9), outcome(order.clone(), "head-3", 3));
    assert_eq!(serves(&step), None);
    assert!(!step.writes.iter().any(|write| matches!(write, Write::Head { .. })), "a head that learned from them");
    assert_eq!(ordered(&step), Some(order.clone()), "the same order, from the samples that are left");
    assert_eq!(serves(&engine.step(at(10), outcome(order, "head-3", 3))), Some(3));
}

/// A file with the bytes of `bolt` that is read once more, when a second notice of it comes.
fn noticed(engine: &mut Engine) -> Step {
    let stamp = FileStamp { size: 1, mtime_ns: 1, ctime_ns: 1 };
    let sighting = Sighting { root: 0, path: "/in/bolt.jpg".into(), stamp: Some(stamp), closed: true, open: false };
    engine.step(at(3), Event::Watch(WatchEvent::FileSeen(sighting)))
}

fn read() -> Event {
    let image = EmbeddedImage {
        id: bolt(),
        bytes: 1,
        embeddings: vec![(space(), vec![1.0])],
        group: bolt(),
        views: views(None),
        decode: Duration::ZERO,
        embed: Duration::ZERO,
        thumbnail: None,
        picture: None,
    };
    let stamp = FileStamp { size: 1, mtime_ns: 1, ctime_ns: 1 };
    let outcome = IngestOutcome::Image(Box::new(image));
    Event::Ingest(Ingested { root: 0, path: "/in/bolt.jpg".into(), stamp, outcome })
}

#[test]
fn a_file_that_was_being_read_meanwhile_is_not_taken_in_again() {
    let mut engine = started();
    let query = query(&ask(&mut engine, "forget", &json!({"images": [bolt()]})));
    let is_handed_out = |step: &Step| step.acts.iter().any(|act| matches!(act, Act::Ingest { .. }));
    assert!(is_handed_out(&noticed(&mut engine)));
    assert_eq!(deleted(&without(&mut engine, query)), [bolt()]);
    let step = engine.step(at(6), read());
    assert!(!step.writes.iter().any(|write| matches!(write, Write::Sample(_))), "it was read before: {step:?}");
    // It is read again, now that the store can tell that its sample was let go.
    let step = engine.step(at(7), Event::Tick);
    assert!(!is_handed_out(&step), "it settles first");
    let step = engine.step(at(1_000), Event::Tick);
    assert!(step.acts.iter().any(|act| matches!(act, Act::Stat { .. })), "{step:?}");
    assert!(is_handed_out(&noticed(&mut engine)));
    let stamp = FileStamp { size: 1, mtime_ns: 1, ctime_ns: 1 };
    let outcome = IngestOutcome::LetGo;
    let let_go = Ingested { root: 0, path: "/in/bolt.jpg".into(), stamp, outcome };
    assert!(engine.step(at(1_001), Event::Ingest(let_go)).writes.is_empty());
    assert!(!engine.waits_for_files(), "and that is all");
}
