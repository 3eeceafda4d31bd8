//! Changes of labels, and taking them back.

use serde_json::{Value, json};

use super::*;
use crate::wire::{Answer, ErrorCode};
use crate::words::TaskId;

fn bolt() -> SampleId {
    SampleId::of(b"bolt")
}

fn nut() -> SampleId {
    SampleId::of(b"nut")
}

fn started() -> Engine {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot { changes: 4, ..snapshot() });
    engine.start(at(0));
    engine
}

pub(super) fn ask(engine: &mut Engine, name: &str, arguments: &Value) -> Step {
    let payload = arguments.to_string().into_bytes();
    engine.step(at(1), Event::Socket(SocketRequest { name: name.into(), payload, ticket: 7 }))
}

pub(super) fn answer(step: &Step) -> Value {
    let answer = |act: &Act| match act {
        Act::Answer { response, .. } => Some(serde_json::to_value(response).unwrap()),
        _ => None,
    };
    step.acts.iter().find_map(answer).unwrap_or_else(|| panic!("no answer: {step:?}"))
}

/// The image, the label, the source and the change of every label that a step writes.
pub(super) fn labels(step: &Step) -> Vec<(SampleId, Option<Label>, LabelSource, Option<u64>)> {
    let label = |write: &Write| match write {
        Write::Label { id, label, source, change, .. } => Some((*id, label.clone(), *source, *change)),
        _ => None,
    };
    step.writes.iter().filter_map(label).collect()
}

/// The labels that wait for their image, as a step writes them: prefix, label and change.
pub(super) fn awaited(step: &Step) -> Vec<(String, String, Option<u64>)> {
    let awaited = |write: &Write| match write {
        Write::PendingLabel(label) => Some((label.prefix.clone(), label.label.to_string(), label.change)),
        _ => None,
    };
    step.writes.iter().filter_map(awaited).collect()
}

fn query(step: &Step) -> (JobId, Option<u64>, u64) {
    let query = |act: &Act| match act {
        Act::Query { job, query: Query::Undo { change, newest } } => Some((*job, *change, *newest)),
        _ => None,
    };
    step.acts.iter().find_map(query).unwrap_or_else(|| panic!("no query: {step:?}"))
}

/// A change that labelled both images, which had no label before.
fn change(number: u64) -> StoredChange {
    let image = |id| ChangedImage { task: TaskId::default(), id, is_present: true, before: Before::Label(None) };
    let images = [bolt(), nut()].map(image).to_vec();
    StoredChange { number, source: LabelSource::Mqtt, at: at(0).wall, is_undone: false, images }
}

fn found(engine: &mut Engine, job: JobId, found: Option<StoredChange>) -> Step {
    engine.step(at(5), Event::ChangeFound { job, found })
}

fn marks(step: &Step) -> Vec<u64> {
    let undone = |write: &Write| if let Write::ChangeUndone { change } = write { Some(*change) } else { None };
    step.writes.iter().filter_map(undone).collect()
}

#[test]
fn everything_that_a_person_does_at_once_has_one_number_and_no_other_act_has_it() {
    let mut engine = started();
    let items = json!({"items": [{"image": bolt(), "label": "gear"}, {"image": nut(), "label": null}]});
    let mqtt = LabelSource::Mqtt;
    let step = ask(&mut engine, "label", &items);
    assert_eq!(labels(&step), [(bolt(), Some(label("gear")), mqtt, Some(5)), (nut(), None, mqtt, Some(5))]);
    let step = ask(&mut engine, "relabel", &json!({"from": "gear", "to": "cog"}));
    assert_eq!(labels(&step), [(bolt(), Some(label("cog")), mqtt, Some(6))]);
    let payload = format!(r#"[{{"image": "{}", "label": "pin"}}]"#, nut()).into_bytes();
    let inbound = Inbound { topic: "label".into(), payload, retained: false, delivery: 1 };
    let step = engine.step(at(2), Event::Broker(BrokerEvent::Message(inbound)));
    assert_eq!(labels(&step), [(nut(), Some(label("pin")), mqtt, Some(7))]);
}

#[test]
fn a_change_is_undone_in_one_commit_and_learned_as_any_change_of_a_label() {
    let mut engine = started();
    let asked = ask(&mut engine, "undo", &json!({"transaction": "t"}));
    assert!(asked.writes.is_empty(), "nothing changes before: {asked:?}");
    let (job, number, newest) = query(&asked);
    assert_eq!((number, newest), (None, 4));
    let step = found(&mut engine, job, Some(change(4)));
    assert_eq!(marks(&step), [4]);
    let undo = LabelSource::Undo;
    assert_eq!(labels(&step), [(bolt(), None, undo, None), (nut(), None, undo, None)]);
    let data = &answer(&step)["data"];
    assert_eq!((&data["change"], &data["changed"], &data["kept"]), (&json!(4), &json!(2), &json!(0)));
    assert_eq!(data["restored"][0], json!({"image": bolt(), "label": null, "instead_of": "bolt"}));
    assert!(step.writes.iter().any(|write| matches!(write, Write::Reply(_))), "a repeated request has its answer");
    let learned = |act: &Act| if let Act::Task(_, TaskAct::UpdateOnline(ids)) = act { ids.clone() } else { Vec::new() };
    assert_eq!(step.acts.iter().flat_map(learned).collect::<Vec<_>>(), [bolt(), nut()]);
    let new_labels =
        |write: &Write| if let Write::TrainingState { state, .. } = write { Some(state.new_labels) } else { None };
    assert_eq!(step.writes.iter().filter_map(new_labels).max(), Some(2));
    assert_eq!(engine.health().labelled, 0);
}

#[test]
fn labels_that_came_later_stay_though_the_store_did_not_know_of_them() {
    let mut engine = started();
    let (job, ..) = query(&ask(&mut engine, "undo", &json!({"change": 2})));
    let again = json!({"items": [{"image": bolt(), "label": "gear"}]});
    ask(&mut engine, "label", &again);
    ask(&mut engine, "label", &json!({"items": [{"image": bolt(), "label": "bolt"}]}));
    let mut older = change(2);
    older.images.push(ChangedImage {
        task: TaskId::default(),
        id: SampleId::of(b"evicted"),
        is_present: true,
        before: Before::Label(None),
    });
    let step = found(&mut engine, job, Some(older));
    assert_eq!(labels(&step), [(nut(), None, LabelSource::Undo, None)], "bolt was labelled in between");
    let data = &answer(&step)["data"];
    assert_eq!((&data["changed"], &data["kept"]), (&json!(1), &json!(1)));

    let (job, ..) = query(&ask(&mut engine, "undo", &json!({"change": 1})));
    let mut oldest = change(1);
    oldest.images[0].is_present = false;
    oldest.images[1] = ChangedImage {
        task: TaskId::default(),
        id: nut(),
        is_present: true,
        before: Before::Label(Some(label("pin"))),
    };
    let step = found(&mut engine, job, Some(oldest));
    assert_eq!(labels(&step), [(nut(), Some(label("pin")), LabelSource::Undo, None)]);
    assert_eq!(answer(&step)["data"]["kept"], 1, "the label of bolt is not of this change");
}

#[test]
fn a_label_that_waits_for_its_image_goes_and_the_one_before_waits_again() {
    let mut engine = started();
    let item = |prefix: &str, label: &str| json!({"image": prefix, "label": label});
    ask(&mut engine, "label", &json!({"items": [item("01234567", "nut")]}));
    let step = ask(&mut engine, "label", &json!({"items": [item("01234567", "nut"), item("89abcdef", "nut")]}));
    let expected = [("01234567", Some(5)), ("89abcdef", Some(6))].map(|(at, by)| (at.into(), "nut".into(), by));
    assert_eq!(awaited(&step), expected, "the same label again stays in its change");
    let step = ask(&mut engine, "relabel", &json!({"from": "nut", "to": "cog"}));
    assert_eq!(awaited(&step).len(), 2);
    let mut undone = |number: u64| {
        let (job, ..) = query(&ask(&mut engine, "undo", &json!({})));
        let nothing = StoredChange { images: Vec::new(), ..change(number) };
        let step = found(&mut engine, job, Some(nothing));
        assert_eq!(answer(&step)["data"]["awaited"], if number == 7 { 2 } else { 1 });
        let deleted = step.writes.iter().find_map(|write| match write {
            Write::DeletePendingLabel { prefix, .. } => Some(prefix.clone()),
            _ => None,
        });
        (awaited(&step), deleted)
    };
    assert_eq!(undone(7), (expected.to_vec(), None));
    assert_eq!(undone(6), (vec![], Some("89abcdef".into())));
    assert_eq!(undone(5), (vec![], Some("01234567".into())));
}

#[test]
fn what_cannot_be_undone_is_answered_with_its_reason_and_changes_nothing() {
    for (asked, there, code, words) in [
        (json!({}), None, "not_found", "no change of labels to undo"),
        (json!({"change": 9}), None, "not_found", "no change 9"),
        (json!({"change": 3}), Some(StoredChange { is_undone: true, ..change(3) }), "not_possible", "undone already"),
    ] {
        let mut engine = started();
        let (job, ..) = query(&ask(&mut engine, "undo", &asked));
        let step = found(&mut engine, job, there);
        let error = &answer(&step)["error"];
        assert_eq!(error["code"], code);
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        assert_eq!((marks(&step), labels(&step)), (vec![], vec![]));
    }
}

#[test]
fn one_change_is_undone_at_a_time_and_none_while_nothing_can_be_stored() {
    let mut engine = started();
    let (job, ..) = query(&ask(&mut engine, "undo", &json!({})));
    assert_eq!(answer(&ask(&mut engine, "undo", &json!({})))["error"]["code"], "busy");
    let failed = Answer::error(ErrorCode::Failed, "the store cannot be read");
    let step = engine.step(at(2), Event::QueryAnswered { job, answer: failed });
    assert_eq!(answer(&step)["error"]["code"], "failed");
    let (job, ..) = query(&ask(&mut engine, "undo", &json!({})));
    engine.step(at(3), Event::Store(StoreEvent::Unavailable { full: true, reason: "full".into() }));
    let step = found(&mut engine, job, Some(change(4)));
    assert_eq!((marks(&step), labels(&step)), (vec![], vec![]));
    assert_eq!(answer(&step)["error"]["code"], "busy");
    assert!(found(&mut engine, job, Some(change(4))).is_empty(), "nobody waits for it any more");
}
