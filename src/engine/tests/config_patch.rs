//! Settings from afar: what is taken, what is said, and what goes by itself.

use serde_json::{Value, json};

use super::*;
use crate::engine::remote::STARTS_MAX;
use crate::wire::PatchState;

/// A connected engine that remembers `twin`.
fn with(twin: ConfigPatch) -> Engine {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot { twin, ..Snapshot::default() });
    engine.start(at(0));
    engine.step(at(1), Event::Broker(BrokerEvent::connected()));
    engine
}

fn desired(version: u64, patch: &Value) -> Vec<u8> {
    json!({ "version": version, "patch": patch }).to_string().into_bytes()
}

fn send(engine: &mut Engine, payload: Vec<u8>) -> Step {
    let topic = "config/desired".to_owned();
    engine.step(at(2), Event::Broker(BrokerEvent::Message(Inbound { topic, payload, retained: true, delivery: 1 })))
}

/// What is said on `config/reported`, and whether everything starts anew.
fn outcome_of(effects: &Step) -> (Option<Value>, bool) {
    let said = effects.acts.iter().rev().find_map(|effect| match effect {
        Act::Publish { topic: Topic::ConfigReported, payload } => serde_json::from_slice(payload).ok(),
        _ => None,
    });
    (said, effects.then == Next::Restart)
}

/// What the store would remember after these effects.
fn remembered(effects: &Step) -> Option<ConfigPatch> {
    effects.writes.iter().rev().find_map(|effect| match effect {
        Write::ConfigPatchState(memory) => Some(memory.clone()),
        _ => None,
    })
}

/// An engine that was started with version 5 in force and confirmed.
fn settled() -> (Engine, ConfigPatch) {
    let mut engine = with(ConfigPatch::default());
    let mut twin = remembered(&send(&mut engine, desired(5, &json!({ "a": 1 })))).unwrap();
    drop(twin.starting());
    let mut engine = with(twin);
    let confirmed = engine.step(at(61_000), Event::Tick);
    let twin = remembered(&confirmed).unwrap();
    assert_eq!((twin.answer.state, twin.trial.is_none()), (PatchState::Confirmed, true));
    let said = outcome_of(&confirmed).0.unwrap();
    assert_eq!((&said["version"], &said["applied"], &said["state"]), (&json!(5), &json!(["a"]), &json!("confirmed")));
    (engine, twin)
}

#[test]
fn a_patch_is_tried_by_the_start_that_follows_and_not_confirmed_by_what_ran_until_then() {
    let mut engine = with(ConfigPatch::default());
    let (topic, payload) = ("config/desired".to_owned(), desired(5, &json!({ "a": 1 })));
    let message = Inbound { topic, payload, retained: false, delivery: 1 };
    let taken = engine.step(at(61_000), Event::Broker(BrokerEvent::Message(message)));
    assert!(remembered(&taken).is_some_and(|twin| twin.trial.is_some()));
    let ticked = engine.step(at(61_000), Event::Tick);
    assert_eq!(remembered(&ticked), None, "it ran for a minute without the patch");
}

#[test]
fn a_valid_patch_is_durable_before_the_restart_and_confirmed_after_a_minute() {
    let mut engine = with(ConfigPatch::default());
    let effects = send(&mut engine, desired(5, &json!({ "a": 1 })));
    let twin = remembered(&effects).unwrap();
    assert!(outcome_of(&effects).1);
    assert_eq!((twin.applied_version, twin.answer.state), (5, PatchState::Trial));
    settled();
}

#[test]
fn one_bad_key_rejects_the_whole_patch_and_changes_nothing() {
    let (mut engine, _) = settled();
    let effects = send(&mut engine, desired(6, &json!({ "a": 2, "bad": 1 })));
    let (said, restarts) = outcome_of(&effects);
    let said = said.unwrap();
    assert_eq!((remembered(&effects), restarts), (None, false));
    assert_eq!((&said["version"], &said["applied"]), (&json!(6), &json!([])));
    assert_eq!(said["rejected"], json!([{ "key": "bad", "error": "it is bad" }]));
    assert!(outcome_of(&send(&mut engine, desired(6, &json!({ "a": 2 })))).1, "its version was not used up");
}

#[test]
fn a_version_that_does_not_exceed_the_last_applied_is_rejected() {
    let (mut engine, _) = settled();
    for (version, patch) in [(4, json!({ "a": 3 })), (5, json!({ "a": 3 }))] {
        let (said, restarts) = outcome_of(&send(&mut engine, desired(version, &patch)));
        let said = said.unwrap();
        assert!(!restarts);
        assert_eq!(said["rejected"][0]["key"], "version", "{said}");
    }
}

#[test]
fn a_desired_configuration_that_is_delivered_again_changes_nothing() {
    let (mut engine, _) = settled();
    let effects = send(&mut engine, desired(5, &json!({ "a": 1 })));
    let (said, restarts) = outcome_of(&effects);
    assert_eq!((remembered(&effects), restarts), (None, false));
    assert_eq!(said.unwrap()["state"], "confirmed");
}

#[test]
fn an_empty_payload_goes_back_to_the_file() {
    let (mut engine, _) = settled();
    let effects = send(&mut engine, Vec::new());
    let twin = remembered(&effects).unwrap();
    assert!(outcome_of(&effects).1 && twin.patch.is_none());
    assert_eq!(twin.applied_version, 5, "an old version does not come in again");
    let mut engine = with(ConfigPatch::default());
    assert!(!outcome_of(&send(&mut engine, Vec::new())).1, "nothing to go back from");
}

#[test]
fn a_patch_with_which_no_start_works_is_reverted_and_not_applied_again() {
    let (mut engine, _) = settled();
    let mut twin = remembered(&send(&mut engine, desired(6, &json!({ "a": 9 })))).unwrap();
    for start in 1..=STARTS_MAX {
        assert_eq!(twin.starting().len(), 1, "start {start} is counted on the disk");
        assert_eq!(twin.trial.as_ref().map(|trial| trial.starts), Some(start));
    }
    drop(twin.starting());
    assert_eq!(twin.patch, Some(serde_json::from_value(json!({ "a": 1 })).unwrap()), "what was before holds again");
    assert!(twin.reverted().unwrap().contains("never ran"));
    assert!(twin.starting().is_empty(), "nothing is on trial any more");
    let mut engine = with(twin);
    let (said, restarts) = outcome_of(&send(&mut engine, desired(6, &json!({ "a": 9 }))));
    assert_eq!((said.unwrap()["state"].clone(), restarts), (json!("reverted"), false));
    assert!(outcome_of(&send(&mut engine, desired(7, &json!({ "a": 9 })))).1, "a new version is tried anew");
}

#[test]
fn a_missing_watched_folder_reverts_the_patch_only_while_it_is_on_probation() {
    let mut engine = with(ConfigPatch::default());
    let twin = remembered(&send(&mut engine, desired(1, &json!({ "watch": [] })))).unwrap();
    let missing = || FolderHealth { root: 0, state: WatchState::Lost { reason: "/srv/new is missing".into() } };
    let fault = || Event::Watch(WatchEvent::FolderHealth(missing()));
    let mut engine = with(twin.clone());
    let effects = engine.step(at(3), fault());
    let reverted = remembered(&effects).unwrap();
    assert!(outcome_of(&effects).1 && reverted.patch.is_none());
    assert!(reverted.reverted().unwrap().contains("/srv/new"));

    let mut engine = with(twin);
    engine.step(at(61_000), Event::Tick);
    assert!(!outcome_of(&engine.step(at(61_001), fault())).1, "a folder may go missing later");
}

#[test]
fn what_is_carried_to_the_next_engine_keeps_its_numbers_and_the_connection() {
    let mut engine = with(ConfigPatch::default());
    let seq = |effects: &Step| outcome_of(effects).0.and_then(|said| said["seq"].as_u64());
    let effects = send(&mut engine, desired(1, &json!({ "bad": 1 })));
    let last = seq(&effects).unwrap();
    let mut next = Engine::after(engine.carry(), settings(PromotionPolicy::Gated), Snapshot::default());
    let started = next.start(at(5));
    assert!(seq(&started).unwrap() > last, "everything retained is said again, with numbers that rise");
    let is_started = |write: &Write| match write {
        Write::Outbox(message) => String::from_utf8_lossy(&message.payload).contains("\"started\""),
        _ => false,
    };
    assert!(!started.writes.iter().any(is_started), "the process has not started");
}

#[test]
fn a_shutdown_on_purpose_does_not_count_against_a_patch_on_probation() {
    let mut engine = with(ConfigPatch::default());
    let mut twin = remembered(&send(&mut engine, desired(1, &json!({ "a": 1 })))).unwrap();
    for _ in 0..2 * STARTS_MAX {
        drop(twin.starting());
        let stopped = with(twin.clone()).step(at(5), Event::Process(ProcessEvent::StopRequested));
        twin = remembered(&stopped).unwrap();
    }
    assert_eq!(twin.trial.map(|trial| trial.starts), Some(0));
}

fn ask(engine: &mut Engine, arguments: &Value) -> Step {
    undoing::ask(engine, "config", arguments)
}

fn answer(step: &Step) -> Value {
    undoing::answer(step)
}

#[test]
fn a_request_means_what_the_topic_means_and_is_answered() {
    let (mut engine, _) = settled();
    let read = ask(&mut engine, &json!({}));
    let data = &answer(&read)["data"];
    assert_eq!((&data["version"], &data["state"], &data["settable"]), (&json!(5), &json!("confirmed"), &json!(["a"])));
    assert_eq!((&data["schema"]["type"], remembered(&read)), (&json!("object"), None));

    let judged = ask(&mut engine, &json!({ "patch": { "b": 2 }, "dry_run": true }));
    let change = json!({ "key": "", "before": null, "after": { "b": 2 } });
    let data = json!({ "version": 6, "applied": ["b"], "rejected": [], "changes": [change] });
    assert_eq!((answer(&judged)["data"].clone(), remembered(&judged)), (data.clone(), None));
    let judged = ask(&mut engine, &json!({ "patch": { "bad": 2 }, "dry_run": true }));
    let found = &answer(&judged)["data"];
    assert_eq!((&found["rejected"][0]["key"], &found["applied"]), (&json!("bad"), &json!([])));
    for (patch, version, key) in [("bad", 6, "bad"), ("b", 5, "version")] {
        let refused = ask(&mut engine, &json!({ "patch": { patch: 2 }, "version": version }));
        let error = &answer(&refused)["error"];
        assert_eq!((&error["code"], &error["rejected"][0]["key"]), (&json!("bad_request"), &json!(key)));
        assert_eq!((remembered(&refused), outcome_of(&refused).1), (None, false));
    }

    let applied = ask(&mut engine, &json!({ "patch": { "b": 2 } }));
    assert_eq!((answer(&applied)["data"].clone(), outcome_of(&applied).1), (data, true));
    let twin = remembered(&applied).unwrap();
    assert_eq!(
        (twin.applied_version, twin.answer.state, twin.patch.as_ref()),
        (6, PatchState::Trial, json!({ "b": 2 }).as_object())
    );
    let late = ask(&mut engine, &json!({ "patch": { "b": 3 } }));
    assert_eq!(answer(&late)["error"]["code"], "busy", "the others are being applied");
    assert_eq!(answer(&ask(&mut engine, &json!({})))["data"]["version"], 6);
}
