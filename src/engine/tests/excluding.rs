//! Images that nothing is learned from, and labels that go by what their sender saw.

use serde_json::{Value, json};

use super::undoing::{answer, ask, labels};
use super::*;
use crate::engine::snapshot::Snapshot;
use crate::wire::{ReviewItem, ReviewReason};

fn bolt() -> SampleId {
    SampleId::of(b"bolt")
}

fn nut() -> SampleId {
    SampleId::of(b"nut")
}

/// An engine with two labelled samples and a third one without a label; four changes were made.
fn started() -> Engine {
    let mut stored = Snapshot { changes: 4, ..snapshot() };
    stored.samples.push(gear());
    stored
        .default_task()
        .samples
        .push(StoredSample { predicted: Some((label("nut"), 2)), ..StoredSample::new(gear()) });
    let mut engine = engine(PromotionPolicy::Gated, stored);
    engine.start(at(0));
    engine
}

fn gear() -> SampleId {
    SampleId::of(b"gear")
}

/// Which images a step excludes or takes back, by whom and in which change.
fn exclusions(step: &Step) -> Vec<(SampleId, bool, LabelSource, Option<u64>)> {
    let exclusion = |write: &Write| match write {
        Write::Excluded { id, excluded, source, change, .. } => Some((*id, *excluded, *source, *change)),
        _ => None,
    };
    step.writes.iter().filter_map(exclusion).collect()
}

/// New labels and exclusions that the schedule counts after a step, where it says so.
fn counted(step: &Step) -> Option<(u64, u64)> {
    let state = |write: &Write| match write {
        Write::TrainingState { state, .. } => Some((state.new_labels, state.exclusions)),
        _ => None,
    };
    step.writes.iter().rev().find_map(state)
}

fn learned(step: &Step) -> Vec<SampleId> {
    let ids = |act: &Act| if let Act::Task(_, TaskAct::UpdateOnline(ids)) = act { ids.clone() } else { Vec::new() };
    step.acts.iter().flat_map(ids).collect()
}

fn exclude(engine: &mut Engine, images: &[SampleId], excluded: bool) -> Step {
    ask(engine, "exclude", &json!({"images": images, "excluded": excluded}))
}

#[test]
fn an_image_is_excluded_with_its_label_and_what_learns_at_once_lets_go_of_it() {
    let mut engine = started();
    let step = exclude(&mut engine, &[bolt(), gear(), bolt()], true);
    let mqtt = LabelSource::Mqtt;
    assert_eq!(exclusions(&step), [(bolt(), true, mqtt, Some(5)), (gear(), true, mqtt, Some(5))]);
    assert_eq!(answer(&step)["data"], json!({"excluded": 2, "change": 5}));
    assert_eq!((labels(&step), learned(&step)), (vec![], vec![bolt(), gear()]));
    assert_eq!(counted(&step), Some((0, 1)), "it is no new label, and gear has none");
    assert_eq!(engine.health().labelled, 2, "it keeps its label");
    let refused = ask(&mut engine, "train", &json!({}));
    assert!(answer(&refused)["error"]["message"].as_str().unwrap().contains("all 1 labelled images are nut"));

    let again = exclude(&mut engine, &[bolt()], true);
    assert_eq!((exclusions(&again), answer(&again)["data"].clone()), (vec![], json!({"excluded": 0, "change": null})));
    let back = exclude(&mut engine, &[bolt()], false);
    assert_eq!(exclusions(&back), [(bolt(), false, mqtt, Some(7))]);
    assert_eq!(
        (learned(&back), answer(&ask(&mut engine, "train", &json!({})))["status"].clone()),
        (vec![bolt()], json!("ok"))
    );
}

#[test]
fn one_unknown_image_refuses_all_of_them() {
    let mut engine = started();
    for (images, code) in [(json!([bolt(), "0123456789"]), "not_found"), (json!([]), "bad_request")] {
        let step = ask(&mut engine, "exclude", &json!({ "images": images }));
        assert_eq!((answer(&step)["error"]["code"].as_str(), exclusions(&step)), (Some(code), vec![]));
    }
    engine.step(at(3), Event::Store(StoreEvent::Unavailable { full: true, reason: "full".into() }));
    let step = exclude(&mut engine, &[bolt()], true);
    assert_eq!((answer(&step)["error"]["code"].clone(), exclusions(&step)), (json!("busy"), vec![]));
}

#[test]
fn labels_of_excluded_images_are_kept_and_count_for_nothing() {
    let mut engine = started();
    exclude(&mut engine, &[gear()], true);
    let step = ask(&mut engine, "label", &json!({"items": [{"image": gear(), "label": "cog"}]}));
    assert_eq!(labels(&step), [(gear(), Some(label("cog")), LabelSource::Mqtt, Some(6))]);
    assert_eq!(counted(&step), None, "it is no new label");
    let lives = step.writes.iter().filter(|write| matches!(write, Write::LiveState { .. })).count();
    assert_eq!((lives, engine.health().labelled), (0, 3), "what was said at its arrival is not answered");
    let step = exclude(&mut engine, &[gear()], false);
    assert_eq!(counted(&step), Some((0, 1)));
}

#[test]
fn an_exclusion_is_undone_as_a_change_unless_it_was_taken_back_meanwhile() {
    let mut engine = started();
    exclude(&mut engine, &[bolt(), nut()], true);
    let image = |id| ChangedImage { task: TaskId::default(), id, is_present: true, before: Before::Excluded(false) };
    let change = |images: &[SampleId]| StoredChange {
        number: 5,
        source: LabelSource::Mqtt,
        at: at(0).wall,
        is_undone: false,
        images: images.iter().copied().map(image).collect(),
    };
    let step = ask(&mut engine, "undo", &json!({}));
    let job = |step: &Step| {
        let job = |act: &Act| if let Act::Query { job, .. } = act { Some(*job) } else { None };
        step.acts.iter().find_map(job).unwrap()
    };
    exclude(&mut engine, &[nut()], false);
    exclude(&mut engine, &[nut()], true);
    // A label in between is about something else.
    ask(&mut engine, "label", &json!({"items": [{"image": bolt(), "label": "pin"}]}));
    let step = engine.step(at(5), Event::ChangeFound { job: job(&step), found: Some(change(&[bolt(), nut()])) });
    assert_eq!(exclusions(&step), [(bolt(), false, LabelSource::Undo, None)]);
    let data = &answer(&step)["data"];
    assert_eq!((&data["changed"], &data["kept"]), (&json!(1), &json!(1)));
    let restored = json!([{"image": bolt(), "label": "pin", "instead_of": "pin", "excluded": false}]);
    assert_eq!(data["restored"], restored);
}

#[test]
fn nobody_is_asked_about_an_excluded_image_also_not_by_a_list_that_was_being_made() {
    let mut engine = started();
    let item = |image, reason, label| ReviewItem {
        image,
        path: None,
        source: None,
        reason,
        suggestion: None,
        probability: None,
        label,
        neighbours: Vec::new(),
    };
    let review = Review {
        items: vec![
            item(gear(), ReviewReason::Audit, None),
            item(bolt(), ReviewReason::Suspicious, Some(label("bolt"))),
            item(nut(), ReviewReason::Suspicious, Some(label("nut"))),
        ],
        advice: None,
    };
    let ready = |review: &Review| Event::Adapter(AdapterEvent::ReviewListReady(TaskId::default(), review.clone()));
    let listed = |engine: &mut Engine| {
        let items = answer(&ask(engine, "review", &json!({})))["data"]["items"].clone();
        items.as_array().unwrap().iter().map(|item| item["image"].clone()).collect::<Vec<Value>>()
    };
    engine.step(at(2), ready(&review));
    assert_eq!(listed(&mut engine).len(), 3);
    exclude(&mut engine, &[gear(), bolt()], true);
    assert_eq!(listed(&mut engine), [json!(nut())]);
    engine.step(at(3), ready(&review));
    assert_eq!(listed(&mut engine), [json!(nut())]);
}

#[test]
fn a_label_that_overlooks_another_one_refuses_the_request_and_says_who_was_faster() {
    let mut engine = started();
    let item = |image, label: &str, was: Value| json!({"image": image, "label": label, "was": was});
    let items = json!({"items": [item(bolt(), "pin", json!("bolt")), item(gear(), "cog", Value::Null)]});
    let step = ask(&mut engine, "label", &items);
    assert_eq!(answer(&step)["data"], json!({"set": 2, "kept": 0, "change": 5}));
    // The same again: both were labelled meanwhile.
    let step = ask(&mut engine, "label", &items);
    assert_eq!(labels(&step), []);
    let error = &answer(&step)["error"];
    assert_eq!(error["code"], "conflict");
    let since = error["conflicts"][0]["at"].clone();
    assert!(since.is_string(), "{error}");
    let conflict = |image, label: &str, at: &Value| json!({"image": image, "label": label, "source": "mqtt", "at": at});
    assert_eq!(error["conflicts"][0], conflict(bolt(), "pin", &since));
    assert_eq!(error["conflicts"][1]["label"], "cog");
    assert!(error["message"].as_str().unwrap().contains("and 1 others alike"), "{error}");

    let items = json!({"items": [item(bolt(), "pin", json!("pin")), item(nut(), "pin", Value::Null)]});
    let error = answer(&ask(&mut engine, "label", &items))["error"].clone();
    let folder = json!([{"image": nut(), "label": "nut", "source": "folder", "at": null}]);
    assert_eq!((&error["code"], &error["conflicts"]), (&json!("conflict"), &folder), "{error}");
    let step = ask(&mut engine, "label", &json!({"items": [item(bolt(), "pin", json!("pin"))]}));
    assert_eq!(answer(&step)["data"], json!({"set": 1, "kept": 0, "change": null}), "nothing changed");
}

#[test]
fn on_the_topic_only_the_label_that_overlooks_another_one_is_reported() {
    let mut engine = started();
    let payload = json!([
        {"image": bolt(), "label": "pin", "was": "cog"},
        {"image": nut(), "label": "pin", "was": "nut"},
        {"image": "0123456789", "label": "pin", "was": null},
        {"image": "0123456789", "label": "cog", "was": null},
    ]);
    let inbound =
        Inbound { topic: "label".into(), payload: payload.to_string().into_bytes(), retained: false, delivery: 1 };
    let step = engine.step(at(2), Event::Broker(BrokerEvent::Message(inbound)));
    assert_eq!(labels(&step), [(nut(), Some(label("pin")), LabelSource::Mqtt, Some(5))]);
    let errors = step.writes.iter().filter_map(|write| match write {
        Write::Outbox(message) => String::from_utf8(message.payload.clone()).ok(),
        _ => None,
    });
    let errors: Vec<String> = errors.filter(|event| event.contains("which its sender saw")).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("has the label bolt by folder, not the label cog"), "{errors:?}");
    assert!(errors[1].contains("image 0123456789 has the label pin by mqtt since"), "{errors:?}");
}

#[test]
fn a_class_is_cleared_in_one_change_and_a_dry_run_only_counts() {
    let mut engine = started();
    ask(&mut engine, "label", &json!({"items": [{"image": "0123456789", "label": "nut"}]}));
    let asked = |dry_run| json!({"from": "nut", "to": null, "dry_run": dry_run});
    let step = ask(&mut engine, "relabel", &asked(true));
    assert_eq!((answer(&step)["data"].clone(), labels(&step)), (json!({"set": 1, "kept": 1, "change": null}), vec![]));
    let step = ask(&mut engine, "relabel", &asked(false));
    assert_eq!(labels(&step), [(nut(), None, LabelSource::Mqtt, Some(6))]);
    assert_eq!(answer(&step)["data"], json!({"set": 1, "kept": 1, "change": 6}));
    let waits = step.writes.iter().filter(|write| matches!(write, Write::DeletePendingLabel { .. })).count();
    assert_eq!(waits, 1);
    let step = ask(&mut engine, "relabel", &asked(true));
    assert_eq!(answer(&step)["error"]["code"], "not_found", "the class is empty");
    engine.step(at(3), Event::Store(StoreEvent::Unavailable { full: true, reason: "full".into() }));
    let step = ask(&mut engine, "relabel", &json!({"from": "bolt", "to": "pin", "dry_run": true}));
    assert_eq!(answer(&step)["data"]["set"], 1, "counting needs no room");
}
