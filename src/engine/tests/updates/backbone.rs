//! Backbones: from a whole file to a pair in service, and back.

use serde_json::{Value, json};

use super::machine::{Machine, code, file, manifest, pushed};
use super::*;
use crate::eval::gate::Verdict;

const KIND: UpdateKind = UpdateKind::Backbone;

/// A machine that has fetched version `version` of a backbone and found it to be as signed.
fn verified(machine: &mut Machine, file: &[u8], version: u64) {
    let changes = json!({ "kind": "backbone", "manifest": { "embedding": { "dim": 1 } } });
    machine.send("update/backbone/desired", manifest(file, version, &changes));
    for (n, chunk) in file.chunks(1024).enumerate() {
        machine.send(&format!("update/backbone/chunk/{}/{n}", Digest::of(file)), chunk.to_vec());
    }
    machine.later(100);
    assert!(machine.is_checking(), "{:?}", machine.said);
    let checked =
        UpdateChecked { kind: KIND, task: TaskId::default(), sha256: Digest::of(file), outcome: Ok(Checked::Backbone) };
    machine.step(Event::Updater(Box::new(checked)));
}

/// The worker prepared it, with a head if `with_head`, and `promote` for the pair.
fn succeeds(machine: &mut Machine, file: &[u8], with_head: bool, promote: bool) {
    succeeds_against(
        machine,
        file,
        Some(machine.champion()),
        with_head.then(|| pushed(file, machine.version)),
        promote,
    );
}

/// The same, compared with the head of version `against`.
fn succeeds_against(
    machine: &mut Machine,
    file: &[u8],
    against: Option<u64>,
    challenger: Option<HeadRecord>,
    promote: bool,
) {
    let reason = "as the test says".to_owned();
    let verdict = Verdict { promote, provisional: false, code: code(promote), reason, change: None };
    machine.step(Event::Swap(SwapEvent::Ready(Box::new(SwapResult {
        files: Digest::of(file),
        backbone: backbone(),
        manifest: "/state/backbones/net.yaml".into(),
        pairs: vec![SwapPair { task: TaskId::default(), challenger, verdict, against }],
        embedded: 40,
        missing: 2,
    }))));
}

fn state(machine: &Machine) -> Value {
    let state = machine.said.iter().rev().find(|(topic, _)| topic == "update/backbone/state");
    state.map(|(_, json)| json.clone()).expect("the last step said where the backbone is")
}

fn chunks(machine: &Machine) -> usize {
    machine.stored.updates.get(&KIND).map_or(0, |stored| stored.chunks.len())
}

fn forgets(machine: &Machine, file: &[u8]) -> bool {
    let gone = Digest::of(file);
    machine.effects.acts.iter().any(|effect| matches!(effect, Act::DeleteBackbone(files) if *files == gone))
}

#[test]
fn a_verified_backbone_is_prepared_beside_the_present_one_and_reports_its_progress() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    let order = machine.effects.acts.iter().find_map(|effect| match effect {
        Act::PrepareBackbone(order) => Some((**order).clone()),
        _ => None,
    });
    let order = order.expect("it is readied");
    assert_eq!((order.files, order.manifest["embedding"]["dim"].clone()), (Digest::of(&file), json!(1)));
    assert_eq!((&state(&machine)["phase"], &state(&machine)["update_percentage"]), (&json!("verified"), &json!(0)));
    machine.step(Event::Swap(SwapEvent::Progress { embedded: 16, of: 40 }));
    assert_eq!(state(&machine)["update_percentage"], 40);
    machine.step(Event::Swap(SwapEvent::Progress { embedded: 16, of: 40 }));
    assert!(machine.said.is_empty(), "the same share is not said twice");
}

#[test]
fn a_pair_that_passes_takes_over_by_one_commit_and_a_restart() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    succeeds(&mut machine, &file, true, true);
    assert!(machine.effects.then == Next::Restart);
    assert_eq!(machine.events("backbone_changed").len(), 1);
    assert_eq!(machine.events("promoted").len(), 1);
    let installed = machine.stored.backbone.installed.as_ref().map(|installed| installed.files);
    assert_eq!((installed, chunks(&machine)), (Some(Digest::of(&file)), 0), "no chunk is left");
    assert!(machine.stored.backbone.trial.is_some());
    assert_eq!((&state(&machine)["installed_version"], &state(&machine)["phase"]), (&json!("1"), &json!("trial")));
}

#[test]
fn a_pair_that_the_gate_refuses_leaves_nothing_and_is_not_fetched_again() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    succeeds(&mut machine, &file, true, false);
    assert!(machine.effects.then != Next::Restart);
    assert_eq!(machine.events("update_failed")[0]["code"], "worse");
    assert!(forgets(&machine, &file));
    assert_eq!((chunks(&machine), machine.stored.backbone.installed.clone()), (0, None));
    assert_eq!(state(&machine)["error"]["code"], "worse");
    let changes = json!({ "kind": "backbone", "manifest": { "embedding": { "dim": 1 } } });
    machine.send("update/backbone/desired", manifest(&file, 1, &changes));
    let asks = |machine: &Machine| machine.said.iter().any(|(topic, _)| topic == "update/backbone/request");
    assert!(!asks(&machine), "the broker sends its manifest at every connection");
}

#[test]
fn a_pair_is_compared_again_when_another_head_serves_than_the_one_it_was_compared_with() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    machine.ask("rollback");
    assert_eq!(machine.champion(), 1);
    let challenger = Some(pushed(&file, machine.version));
    succeeds_against(&mut machine, &file, Some(2), challenger, true);
    assert!(machine.effects.then != Next::Restart);
    assert_eq!((machine.champion(), machine.events("promoted").len()), (1, 0), "nothing is promoted");
    let again = |act: &Act| matches!(act, Act::PrepareBackbone(order) if order.files == Digest::of(&file));
    assert!(machine.effects.acts.iter().any(again), "{:?}", machine.effects);
    assert_eq!((&state(&machine)["phase"], chunks(&machine)), (&json!("verified"), 41), "nothing is fetched again");
    succeeds(&mut machine, &file, true, true);
    assert_eq!(machine.champion(), 3, "it was compared with head 1");
}

#[test]
fn a_preparation_that_gave_way_to_another_decides_nothing() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    let former = pushed(&file, machine.version);
    // It may have seen what was forgotten since.
    verified(&mut machine, &file, 2);
    assert_ne!(machine.version, former.head.version, "the same file, signed once more, is prepared once more");
    verified(&mut machine, &file, 3);
    assert_ne!(machine.version, former.head.version, "the first one is told from the third, too");
    succeeds_against(&mut machine, &file, Some(2), Some(former), true);
    assert_eq!((machine.champion(), machine.events("promoted").len()), (2, 0));
    succeeds(&mut machine, &file, true, true);
    assert_eq!(machine.champion(), machine.version);
}

#[test]
fn the_head_of_a_pair_has_the_version_that_its_verdict_names_though_a_training_ended_meanwhile() {
    let (mut machine, file) = (Machine::new(), file(1));
    machine.settings.tasks[0].promotion = PromotionPolicy::Manual;
    machine.boot();
    verified(&mut machine, &file, 1);
    let ordered = machine.version;
    machine.ask("train");
    let training = machine.effects.acts.iter().find_map(|act| match act {
        Act::Task(_, TaskAct::Train { order, version }) => Some((order.clone(), *version)),
        _ => None,
    });
    let (order, version) = training.expect("a backbone is no reason to wait");
    machine.step(outcome(order, "head-4", version));
    assert_eq!((ordered, version, machine.champion()), (3, 4, 2));
    succeeds(&mut machine, &file, true, true);
    assert_eq!(machine.events("promoted")[0]["head"]["version"], 3, "what its worker said of it names head 3");
}

#[test]
fn a_model_that_does_not_open_is_bad_content() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    machine.step(Event::Swap(SwapEvent::Failed { files: Digest::of(&file), reason: "no model".into() }));
    assert_eq!(machine.events("update_failed")[0]["code"], "bad_content");
    assert!(forgets(&machine, &file) && chunks(&machine) == 0);
}

#[test]
fn a_restart_while_a_backbone_is_prepared_repeats_that_with_the_stored_chunks() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    machine.boot();
    machine.later(100);
    assert!(machine.is_checking(), "the file is held against its manifest again");
    assert!(!machine.said.iter().any(|(topic, _)| topic == "update/backbone/request"), "nothing is asked for again");
}

#[test]
fn a_backbone_that_fails_its_probation_is_reported_and_its_version_is_not_installed_again() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    succeeds(&mut machine, &file, false, true);
    drop(machine.stored.backbone.revert("it does not open", Timestamp(1)));
    machine.boot();
    assert_eq!(machine.events("update_failed")[0]["code"], "did_not_hold");
    assert!(forgets(&machine, &file));
    assert_eq!(state(&machine)["installed_version"], Value::Null);
    let changes = json!({ "kind": "backbone", "manifest": { "embedding": { "dim": 1 } } });
    machine.send("update/backbone/desired", manifest(&file, 1, &changes));
    assert_eq!(state(&machine)["error"]["code"], "failed_before");
}

#[test]
fn after_a_minute_its_probation_ends() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    succeeds(&mut machine, &file, false, true);
    machine.boot();
    machine.later(60_000);
    assert_eq!(state(&machine)["phase"], "idle");
    assert!(machine.stored.backbone.trial.is_none());
}

#[test]
fn the_result_of_a_training_that_ends_while_everything_is_about_to_restart_is_left_to_the_next_engine() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    machine.ask("train");
    let order = ordered(&machine.effects).expect("a training begins");
    succeeds(&mut machine, &file, true, true);
    let champion = machine.champion();
    machine.step(outcome(order, "head-9", 9));
    assert!(machine.effects.is_empty(), "it would take the place of the head of the new pair: {:?}", machine.effects);
    machine.ask("rollback");
    assert_eq!(machine.champion(), champion, "what serves may be about to change");
}

#[test]
fn a_model_file_that_is_in_use_is_not_prepared_again_and_stays() {
    let (mut machine, file) = (Machine::new(), file(1));
    verified(&mut machine, &file, 1);
    succeeds(&mut machine, &file, false, true);
    machine.boot();
    let is_prepared = |machine: &Machine| machine.effects.acts.iter().any(|act| matches!(act, Act::PrepareBackbone(_)));
    verified(&mut machine, &file, 2);
    assert!(!is_prepared(&machine) && !forgets(&machine, &file));
    assert_eq!(machine.events("update_failed")[0]["code"], "not_possible");
    assert_eq!(state(&machine)["installed_version"], "1");
}
