//! What the engine makes of manifests, chunks and whole files, over reconnects and restarts.

mod backbone;
mod machine;
mod switch;

use serde_json::{Value, json};

use super::*;
use crate::update::{Code, Refusal, TrustedKeys};
use crate::wire::UpdateKind;
use machine::{Machine, file, manifest, signer};

/// No chunk is asked for.
const NONE: [u64; 0] = [];

#[test]
fn a_head_is_fetched_in_windows_and_put_in_service_by_one_commit() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.desire(&manifest(&file, 5, &json!({})));
    assert_eq!(machine.asked(), (0..16).collect::<Vec<_>>());
    let state = machine.state();
    assert_eq!((&state["phase"], &state["in_progress"]), (&json!("downloading"), &json!(true)));
    assert_eq!((&state["installed_version"], &state["latest_version"]), (&Value::Null, &json!("5")));
    for n in (0..16).rev() {
        assert_eq!(machine.stored_chunks(), 15 - n);
        machine.chunk(&file, n);
    }
    assert_eq!(machine.asked(), (16..32).collect::<Vec<_>>());
    assert_eq!(machine.state()["update_percentage"], 39);
    (16..32).for_each(|n| machine.chunk(&file, n));
    assert_eq!(machine.asked(), (32..41).collect::<Vec<_>>());
    (32..41).for_each(|n| machine.chunk(&file, n));
    assert_eq!((machine.asked(), machine.stored_chunks()), (NONE.into(), 41));
    assert_eq!(machine.state()["phase"], "verifying");
    machine.later(100);
    assert!(machine.is_checking());
    machine.finds(&file, true);
    assert_eq!((machine.champion(), machine.stored_chunks()), (3, 0));
    let promoted = &machine.events("promoted")[0];
    let reason = promoted["reason"].as_str().unwrap();
    let told = format!("update \"parts\" 5, signed by key {}", signer().public().id());
    assert!(reason.contains(&told) && reason.contains("as the test says"), "{reason}");
    let state = machine.state();
    assert_eq!((&state["phase"], &state["in_progress"]), (&json!("trial"), &json!(false)));
    assert_eq!((&state["installed_version"], &state["error"]), (&json!("5"), &Value::Null));
    machine.desire(&manifest(&file, 5, &json!({})));
    assert_eq!((machine.asked(), machine.champion()), (vec![], 3), "what is installed is not fetched again");
}

#[test]
fn after_a_restart_only_missing_chunks_are_requested() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.desire(&manifest(&file, 5, &json!({})));
    for n in [0, 1, 3, 15] {
        machine.chunk(&file, n);
    }
    machine.boot();
    let expected: Vec<u64> = (0..20).filter(|n| ![0, 1, 3, 15].contains(n)).collect();
    assert_eq!(machine.asked(), expected);
    machine.desire(&manifest(&file, 5, &json!({})));
    assert_eq!(machine.asked(), NONE, "the broker sends the manifest again, which changes nothing");
    machine.chunk(&file, 3);
    assert_eq!(machine.stored_chunks(), 4, "a chunk that is there is not written again");
    for n in 0..41 {
        machine.chunk(&file, n);
    }
    assert_eq!(machine.stored_chunks(), 41);
    machine.boot();
    assert!(machine.said.iter().all(|(topic, _)| topic != "update/head/request"), "nothing is missing");
    machine.later(100);
    assert!(machine.is_checking(), "a restart in the middle of the check makes it anew");
}

#[test]
fn missing_chunks_are_requested_again_with_backoff_and_at_once_on_a_new_connection() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.desire(&manifest(&file, 5, &json!({})));
    machine.chunk(&file, 2);
    let missing: Vec<u64> = (0..17).filter(|n| *n != 2).collect();
    let mut waits = Vec::new();
    for _ in 0..7 {
        let mut wait = 0;
        while machine.asked().is_empty() {
            machine.later(1_000);
            wait += 1;
        }
        assert_eq!(machine.asked(), missing);
        waits.push(wait);
        machine.said.clear();
    }
    assert_eq!(waits, [30, 60, 120, 240, 300, 300, 300]);
    machine.step(Event::Broker(BrokerEvent::disconnected("reset", false)));
    machine.later(1_000_000);
    assert_eq!(machine.asked(), NONE, "without a broker nobody is asked");
    machine.step(Event::Broker(BrokerEvent::connected()));
    assert_eq!(machine.asked(), missing);
    machine.later(30_000);
    assert_eq!(machine.asked(), missing, "and the waiting begins anew");
}

#[test]
fn a_refused_manifest_is_reported_once_over_connections_and_restarts() {
    let (mut machine, file) = (Machine::new(), file(1));
    let forged = String::from_utf8(manifest(&file, 5, &json!({}))).unwrap().replace("parts", "darts").into_bytes();
    machine.desire(&forged);
    assert_eq!(machine.events("update_failed")[0]["code"], "bad_signature");
    assert_eq!(machine.state()["error"]["code"], "bad_signature");
    for _ in 0..3 {
        machine.boot();
        machine.desire(&forged);
        assert!(machine.events("update_failed").is_empty());
        assert_eq!(machine.state()["error"]["code"], "bad_signature", "but its state stays");
    }
    machine.desire(&manifest(&file, 5, &json!({ "devices": ["line-9"] })));
    let told = &machine.events("update_failed")[0];
    assert_eq!((&told["code"], &told["name"], &told["version"]), (&json!("wrong_device"), &json!("parts"), &json!(5)));
    assert_eq!((machine.asked(), machine.stored_chunks()), (NONE.into(), 0));
}

#[test]
fn without_keys_nothing_is_fetched_and_what_was_fetched_is_dropped() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.desire(&manifest(&file, 5, &json!({})));
    machine.chunk(&file, 0);
    machine.settings.updates.keys = TrustedKeys::default();
    machine.boot();
    assert_eq!((machine.asked(), machine.stored_chunks()), (NONE.into(), 0));
    let told = &machine.events("update_failed")[0];
    assert!(told["reason"].as_str().unwrap().contains("no keys, no updates"), "{told}");
    machine.desire(&manifest(&file, 5, &json!({})));
    assert_eq!(machine.state()["error"]["code"], "no_keys");
    machine.chunk(&file, 0);
    assert_eq!(machine.stored_chunks(), 0);
}

#[test]
fn a_new_manifest_replaces_the_update_an_empty_one_cancels_it_and_a_forged_one_changes_nothing() {
    let (mut machine, old, new) = (Machine::new(), file(1), file(2));
    machine.desire(&manifest(&old, 5, &json!({})));
    machine.chunk(&old, 0);
    machine.desire(b"{}");
    assert_eq!((&machine.state()["phase"], machine.stored_chunks()), (&json!("downloading"), 1));
    machine.desire(&manifest(&old, 6, &json!({})));
    assert_eq!((machine.asked()[0], machine.stored_chunks()), (1, 1), "the same file: its chunks count");
    machine.desire(&manifest(&new, 7, &json!({})));
    assert_eq!((machine.asked()[0], machine.stored_chunks()), (0, 0));
    machine.chunk(&old, 1);
    assert_eq!(machine.stored_chunks(), 0, "chunks of the former file are nobody's");
    machine.chunk(&new, 1);
    machine.desire(b" ");
    let state = machine.state();
    assert_eq!((&state["phase"], &state["latest_version"], machine.stored_chunks()), (&json!("idle"), &Value::Null, 0));
    machine.boot();
    assert_eq!(machine.asked(), NONE);
}

#[test]
fn unrequested_chunks_are_not_stored_and_reported_once_a_minute() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.desire(&manifest(&file, 5, &json!({})));
    let name = Digest::of(&file);
    let mut told = 0;
    for _ in 0..50 {
        for (topic, bytes) in [
            (format!("update/head/chunk/{name}/41"), 1024),
            (format!("update/head/chunk/{name}/0"), 1023),
            (format!("update/head/chunk/{name}/40"), 1024),
            (format!("update/head/chunk/{}/0", Digest::of(b"other")), 1024),
            (format!("update/backbone/chunk/{name}/0"), 1024),
        ] {
            machine.send(&topic, vec![0; bytes]);
            told += machine.events("error").len();
        }
    }
    assert_eq!((machine.stored_chunks(), told), (0, 1));
    machine.now_ms += 60_000;
    machine.send(&format!("update/head/chunk/{name}/41"), vec![]);
    let reason = machine.events("error")[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("250 of that kind"), "{reason}");
}

#[test]
fn a_file_that_is_not_what_was_signed_is_dropped_and_its_manifest_not_followed_again() {
    let (mut machine, file) = (Machine::new(), file(1));
    let payload = manifest(&file, 5, &json!({}));
    machine.fetch(&file, &payload);
    machine.checked(&file, Err(Refusal::new(Code::Sha256, "other bytes")));
    assert_eq!((machine.stored_chunks(), machine.champion()), (0, 2));
    assert_eq!(machine.events("update_failed")[0]["code"], "sha256");
    machine.boot();
    machine.desire(&payload);
    assert_eq!((machine.asked(), machine.events("update_failed").len()), (vec![], 0));
    assert_eq!(machine.state()["error"]["code"], "sha256");
    // Even where another one came in between.
    machine.desire(b"{}");
    machine.desire(&payload);
    assert_eq!(machine.asked(), NONE);
    machine.desire(&manifest(&file, 6, &json!({})));
    assert_eq!(machine.asked().len(), 16, "signed anew it is another manifest");
}

#[test]
fn a_head_that_is_worse_here_or_outdated_does_not_serve() {
    let (mut machine, one) = (Machine::new(), file(1));
    machine.fetch(&one, &manifest(&one, 5, &json!({})));
    machine.finds(&one, false);
    let told = &machine.events("update_failed")[0];
    assert_eq!((&told["code"], &told["reason"]), (&json!("worse"), &json!("as the test says")));
    assert_eq!((machine.champion(), machine.stored_chunks()), (2, 0));
    let two = file(2);
    machine.fetch(&two, &manifest(&two, 6, &json!({})));
    machine.now_ms += 3_600_000;
    machine.finds(&two, true);
    assert_eq!(machine.events("update_failed")[0]["code"], "expired");
    assert_eq!((machine.champion(), machine.stored_chunks()), (2, 0));
    assert_eq!(machine.state()["installed_version"], Value::Null);
}

#[test]
fn an_updated_head_is_compared_with_the_one_in_service_and_no_training_runs_meanwhile() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.fetch(&file, &manifest(&file, 5, &json!({})));
    machine.ask("train");
    assert!(ordered(&machine.effects).is_none(), "a training would change what it is held against");
    // Held against head 2; meanwhile somebody goes back to head 1.
    let against = machine.champion();
    machine.ask("rollback");
    assert_eq!((against, machine.champion()), (2, 1));
    machine.stored.default_task().heads[0].status = HeadStatus::Kept;
    machine.stored.default_task().heads[1].status = HeadStatus::Champion;
    machine.finds(&file, true);
    assert_eq!(machine.champion(), 2, "nothing was installed");
    machine.later(100);
    let trains = ordered(&machine.effects);
    assert!(trains.is_some() && !machine.is_checking(), "the training that waited goes first");
    machine.step(outcome_against(1, trains.unwrap(), "head-3", 3));
    machine.later(100);
    assert!(machine.is_checking());
}

#[test]
fn a_head_that_is_signed_for_another_task_while_it_is_compared_is_compared_again() {
    let (mut machine, file) = (Machine::new(), file(1));
    let lamp: TaskId = "lamp".parse().unwrap();
    machine.settings.tasks.push(task(lamp.clone(), PromotionPolicy::Gated));
    machine.settings.names_tasks = true;
    machine.boot();
    machine.fetch(&file, &manifest(&file, 5, &json!({})));
    assert!(machine.is_checking());
    machine.desire(&manifest(&file, 6, &json!({ "task": "lamp" })));
    for n in 0..file.len().div_ceil(1024) {
        machine.chunk(&file, n);
    }
    machine.later(100);
    machine.finds(&file, true);
    assert_eq!(machine.champion(), 2, "the verdict was about the default task");
    machine.later(100);
    let verifies = machine.effects.acts.iter().find_map(|act| match act {
        Act::VerifyUpdate { task, .. } => Some(task.clone()),
        _ => None,
    });
    assert_eq!(verifies, Some(lamp));
}

#[test]
fn a_head_with_which_the_daemon_keeps_crashing_is_taken_back_and_not_installed_again() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.install(&file, 5);
    for _ in 0..2 {
        machine.boot();
        assert_eq!(machine.champion(), 3);
        machine.later(59_000);
        machine.now_ms += 1_000_000;
    }
    machine.boot();
    assert_eq!((machine.champion(), serves(&machine.effects)), (2, Some(2)));
    assert_eq!(machine.events("rolled_back")[0]["from"]["version"], 3);
    let told = &machine.events("update_failed")[0];
    assert_eq!((&told["code"], &told["version"]), (&json!("did_not_hold"), &json!(5)));
    let state = machine.state();
    assert_eq!((&state["phase"], &state["installed_version"]), (&json!("idle"), &Value::Null));
    assert!(state["error"]["message"].as_str().unwrap().contains("3 times"), "{state}");
    machine.desire(&manifest(&file, 5, &json!({})));
    assert_eq!((machine.state()["error"]["code"].clone(), machine.asked()), (json!("failed_before"), vec![]));
    machine.install(&file, 6);
}

#[test]
fn a_minute_of_service_ends_the_probation_and_clean_shutdowns_do_not_count_against_it() {
    let (mut machine, one) = (Machine::new(), file(1));
    machine.install(&one, 5);
    for _ in 0..5 {
        machine.step(Event::Process(ProcessEvent::StopRequested));
        machine.boot();
    }
    assert_eq!((machine.champion(), &machine.state()["phase"]), (3, &json!("trial")));
    machine.later(60_000);
    assert_eq!(machine.state()["phase"], "idle");
    for _ in 0..5 {
        machine.boot();
    }
    assert_eq!((machine.champion(), &machine.state()["installed_version"]), (3, &json!("5")));
}

#[test]
fn a_head_that_cannot_be_loaded_is_taken_back_and_the_previous_update_is_installed_again() {
    let (mut machine, one, two) = (Machine::new(), file(1), file(2));
    machine.install(&one, 5);
    machine.install(&two, 6);
    machine.step(Event::HeadLoadFailed { task: TaskId::default(), version: 2, reason: "an old one".into() });
    assert_eq!((machine.champion(), machine.events("error").len()), (4, 0), "another one has taken its place");
    machine.step(Event::HeadLoadFailed {
        task: TaskId::default(),
        version: 4,
        reason: "its file cannot be read".into(),
    });
    assert_eq!((machine.champion(), serves(&machine.effects)), (3, Some(3)));
    let state = machine.state();
    assert_eq!((&state["installed_version"], &state["error"]["code"]), (&json!("5"), &json!("did_not_hold")));
    machine.desire(&manifest(&file(3), 5, &json!({})));
    assert_eq!(machine.state()["error"]["code"], "not_newer");
}

#[test]
fn a_head_of_an_update_that_cannot_be_loaded_takes_no_other_one_out_of_service() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.install(&file, 5);
    let (topic, payload) = ("request/promote".to_owned(), br#"{"head": 1}"#.to_vec());
    let request = Inbound { topic, payload, retained: false, delivery: 7 };
    machine.step(Event::Broker(BrokerEvent::Message(request)));
    assert_eq!(machine.champion(), 1, "before the file of the other one was found to be damaged");
    machine.step(Event::HeadLoadFailed {
        task: TaskId::default(),
        version: 3,
        reason: "its file cannot be read".into(),
    });
    assert_eq!(machine.champion(), 1);
}

#[test]
fn a_first_head_that_fails_its_probation_leaves_none_in_service() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.stored.default_task().heads.clear();
    machine.boot();
    machine.install(&file, 5);
    assert_eq!(machine.champion(), 1);
    machine.step(Event::HeadLoadFailed {
        task: TaskId::default(),
        version: 1,
        reason: "its file cannot be read".into(),
    });
    assert!(machine.effects.acts.iter().any(|effect| matches!(effect, Act::Task(_, TaskAct::Serve(None)))));
    assert_eq!((machine.champion(), &machine.events("rolled_back")[0]["head"]), (0, &Value::Null));
    assert_eq!(machine.state()["installed_version"], Value::Null);
}

#[test]
fn a_rollback_on_request_takes_the_update_back_for_good() {
    let (mut machine, file) = (Machine::new(), file(1));
    let payload = manifest(&file, 5, &json!({}));
    machine.install(&file, 5);
    machine.later(60_000);
    machine.send("request/rollback", vec![]);
    assert_eq!(machine.champion(), 3, "a retained request is none");
    machine.ask("rollback");
    assert_eq!((machine.champion(), &machine.state()["installed_version"]), (2, &Value::Null));
    machine.desire(&payload);
    assert_eq!(machine.state()["error"]["code"], "failed_before", "the broker still has its manifest");
}
