//! Switches to another backbone: what is in their way, what a restart leaves of them, and how they end.

use serde_json::{Value, json};

use super::machine::{Machine, code, file, manifest, pushed};
use super::*;
use crate::eval::gate::Verdict;
use crate::wire::{Answer, Response};

/// A backbone of this device that is not in service.
fn found(asked: &str) -> FoundBackbone {
    let digest = Digest::of(asked.as_bytes());
    FoundBackbone {
        asked: asked.into(),
        backbone: BackboneRef { name: format!("net-{asked}"), sha256: digest, dim: 1 },
        space: EmbeddingSpace { backbone: digest, ..space() },
        model: format!("/models/{asked}.onnx").into(),
        bytes: 1_000,
        manifest: json!({ "embedding": { "dim": 1 } }),
    }
}

/// The answer at the socket.
fn asked(machine: &mut Machine, name: &str, arguments: &Value) -> Answer {
    let payload = arguments.to_string().into_bytes();
    machine.step(Event::Socket(SocketRequest { name: name.into(), payload, ticket: 1 }));
    let query = machine.effects.acts.iter().find_map(|act| match act {
        Act::Query { job, query: Query::Backbone(asked) } => Some((*job, asked.clone())),
        _ => None,
    });
    if let Some((job, asked)) = query {
        let found = Ok(Box::new(if asked == "played" {
            FoundBackbone { space: space(), ..found(&asked) }
        } else {
            found(&asked)
        }));
        machine.step(Event::Swap(SwapEvent::Found { job, found }));
    }
    let answer = machine.effects.acts.iter().find_map(|act| match act {
        Act::Answer { response, .. } => Some((**response).clone()),
        _ => None,
    });
    let Response { answer, .. } = answer.expect("it is answered");
    answer
}

fn switch(machine: &mut Machine, backbone: &str) -> Answer {
    asked(machine, "switch", &json!({ "backbone": backbone }))
}

/// The reason why a switch is not begun.
fn refusal(answer: &Answer) -> &str {
    match answer {
        Answer::Error { error } => &error.message,
        Answer::Ok { data } => panic!("it is begun: {data}"),
    }
}

/// Where the switch is, as `status` has it.
fn report(machine: &mut Machine) -> Value {
    match asked(machine, "status", &json!({})) {
        Answer::Ok { data } => data["switch"].clone(),
        Answer::Error { error } => panic!("status is refused: {}", error.message),
    }
}

/// What is handed to the worker.
fn order(machine: &Machine) -> Option<SwapOrder> {
    machine.effects.acts.iter().find_map(|act| match act {
        Act::PrepareBackbone(order) => Some((**order).clone()),
        _ => None,
    })
}

/// What the worker was given last.
fn files(machine: &Machine) -> Digest {
    machine.stored.backbone.switch.as_ref().expect("a switch is under way").files()
}

/// The worker prepared it, and the gate judged it so.
fn succeeds(machine: &mut Machine, promote: bool) {
    let switch = machine.stored.backbone.switch.clone().expect("a switch is under way");
    let mut challenger = pushed(b"switch", machine.version);
    challenger.dense.space = switch.space;
    let reason = "as the test says".to_owned();
    let verdict = Verdict { promote, provisional: false, code: code(promote), reason, change: None };
    machine.step(Event::Swap(SwapEvent::Ready(Box::new(SwapResult {
        files: switch.files(),
        backbone: switch.backbone.clone(),
        manifest: "/state/backbones/net.yaml".into(),
        pairs: vec![SwapPair {
            task: TaskId::default(),
            challenger: Some(challenger),
            verdict,
            against: Some(machine.champion()),
        }],
        embedded: 40,
        missing: 2,
    }))));
}

/// The engine that follows, with the backbone that is in force.
fn restarts(machine: &mut Machine) {
    drop(machine.stored.backbone.starting(at(machine.now_ms).wall));
    let installed = machine.stored.backbone.model(&machine.settings.backbone_model);
    machine.settings.space = installed.map_or(space(), |_| found("large").space);
    machine.settings.space_on_cpu = machine.settings.space;
    machine.boot();
}

fn deletes(machine: &Machine, files: Digest) -> bool {
    machine.effects.acts.iter().any(|act| matches!(act, Act::DeleteBackbone(of) if *of == files))
}

#[test]
fn a_switch_is_durable_before_anything_is_done_for_it_and_reports_where_it_is() {
    let mut machine = Machine::new();
    assert_eq!(report(&mut machine), Value::Null, "nothing is said before the first");
    let answer = switch(&mut machine, "large");
    assert!(matches!(&answer, Answer::Ok { data } if data["begun"] == true), "{answer:?}");
    let order = order(&machine).expect("it is readied");
    assert_eq!((order.files, order.name.as_str()), (files(&machine), "net-large"));
    let ModelSource::File { path, sha256, space } = order.model else { panic!("no chunks come") };
    assert_eq!(
        (path, sha256, space),
        ("/models/large.onnx".into(), found("large").backbone.sha256, found("large").space)
    );
    assert_eq!(report(&mut machine)["embedded"], Value::Null);
    machine.step(Event::Swap(SwapEvent::Progress { embedded: 16, of: 40 }));
    assert!(machine.said.is_empty(), "nothing is said of an update: {:?}", machine.said);
    let said = report(&mut machine);
    let shown = ["backbone", "name", "phase", "embedded", "of"].map(|field| said[field].clone());
    assert_eq!(shown, [json!("large"), json!("net-large"), json!("preparing"), json!(16), json!(40)]);
}

#[test]
fn the_same_model_at_another_size_has_files_of_its_own() {
    let mut machine = Machine::new();
    switch(&mut machine, "large");
    let first = machine.stored.backbone.switch.clone().unwrap();
    let space = EmbeddingSpace { preprocessing: Digest::of(b"smaller"), ..first.space };
    assert_ne!(BackboneSwitch { space, ..first.clone() }.files(), first.files());
}

#[test]
fn a_pair_that_passes_takes_over_and_the_switch_is_on_trial_when_it_serves() {
    let mut machine = Machine::new();
    switch(&mut machine, "large");
    let files = files(&machine);
    succeeds(&mut machine, true);
    assert!(machine.effects.then == Next::Restart);
    assert_eq!(machine.events("backbone_changed").len(), 1);
    let installed = machine.stored.backbone.installed.clone().unwrap();
    assert_eq!((installed.files, installed.asked.as_deref(), &*installed.over), (files, Some("large"), "played"));
    assert!(machine.stored.backbone.trial.is_some() && machine.stored.backbone.switch.is_none());
    let said = report(&mut machine);
    assert_eq!(said["phase"], "starting", "the former one serves until the restart");
    assert!(said["reason"].as_str().unwrap().contains("40 images embedded again"), "{said}");
    restarts(&mut machine);
    assert_eq!(report(&mut machine)["phase"], "trial");
    let updates = |machine: &Machine| {
        let states = machine.said.iter().filter(|(topic, _)| topic == "update/backbone/state");
        states.map(|(_, state)| (state["phase"].clone(), state["installed_version"].clone())).collect::<Vec<_>>()
    };
    assert!(updates(&machine).iter().all(|state| *state == (json!("idle"), Value::Null)), "it is no update");
    assert_eq!(
        refusal(&switch(&mut machine, "larger")),
        "the backbone in service is on probation until it has served for a minute; ask again then"
    );
    machine.later(60_000);
    assert_eq!(report(&mut machine)["phase"], "installed");
    let served = machine.stored.backbone.served.clone().expect("it has held");
    assert_eq!((served.over.as_str(), served.space), ("played", found("large").space));
}

#[test]
fn a_pair_that_the_gate_refuses_leaves_nothing_and_says_why() {
    let mut machine = Machine::new();
    switch(&mut machine, "large");
    let files = files(&machine);
    succeeds(&mut machine, false);
    assert!(machine.effects.then != Next::Restart && deletes(&machine, files));
    let event = &machine.events("update_failed")[0];
    assert_eq!((&event["code"], &event["name"], event.get("version")), (&json!("worse"), &json!("large"), None));
    assert_eq!((machine.champion(), machine.stored.backbone.installed.clone()), (2, None));
    let said = report(&mut machine);
    assert_eq!(said["phase"], "refused");
    assert!(said["reason"].as_str().unwrap().starts_with("as the test says; 40 images"), "{said}");
    switch(&mut machine, "large");
    assert_eq!(report(&mut machine)["phase"], "preparing", "with more labels it may pass");
}

#[test]
fn a_model_that_does_not_open_ends_the_switch() {
    let mut machine = Machine::new();
    switch(&mut machine, "large");
    let files = files(&machine);
    machine.step(Event::Swap(SwapEvent::Failed { files, reason: "no model".into() }));
    assert_eq!(machine.events("update_failed")[0]["code"], "bad_content");
    assert!(deletes(&machine, files));
    assert_eq!(
        (report(&mut machine)["phase"].clone(), report(&mut machine)["reason"].clone()),
        (json!("failed"), json!("no model"))
    );
}

#[test]
fn a_restart_goes_on_with_the_switch_and_another_setting_ends_it() {
    let mut machine = Machine::new();
    switch(&mut machine, "large");
    machine.boot();
    assert_eq!(order(&machine).map(|order| order.files), Some(files(&machine)), "it goes on");
    assert!(machine.stored.backbone.switch.is_some());
    let files = files(&machine);
    machine.settings.backbone_model = "/srv/mine.yaml".into();
    machine.boot();
    assert!(order(&machine).is_none() && deletes(&machine, files));
    let said = report(&mut machine);
    assert_eq!(
        (&said["phase"], &said["reason"]),
        (&json!("cancelled"), &json!("backbone.model was changed meanwhile"))
    );
    assert!(machine.events("update_failed").is_empty());
}

#[test]
fn a_backbone_that_fails_its_probation_gives_way_and_no_version_of_an_update_is_held_against_it() {
    let mut machine = Machine::new();
    switch(&mut machine, "large");
    let files = files(&machine);
    succeeds(&mut machine, true);
    for write in machine.stored.backbone.revert("it does not open", Timestamp(1)) {
        machine.commit(&write);
    }
    restarts(&mut machine);
    assert_eq!(machine.champion(), 2);
    let event = &machine.events("update_failed")[0];
    assert_eq!((&event["code"], &event["name"]), (&json!("did_not_hold"), &json!("large")));
    assert!(deletes(&machine, files));
    let said = report(&mut machine);
    assert_eq!((&said["phase"], &said["reason"]), (&json!("reverted"), &json!("it does not open")));
    assert!(machine.stored.updates.get(&UpdateKind::Backbone).is_none_or(|stored| stored.memory.failed.is_empty()));
}

#[test]
fn the_backbone_in_service_is_named_as_such_and_ends_a_switch_to_another_one() {
    let mut machine = Machine::new();
    let stays = |answer: &Answer| matches!(answer, Answer::Ok { data } if data["begun"] == false);
    assert!(stays(&switch(&mut machine, "played")));
    assert!(machine.effects.writes.iter().all(|write| !matches!(write, Write::BackboneState(_))), "nothing changes");
    switch(&mut machine, "large");
    let files = files(&machine);
    assert!(stays(&switch(&mut machine, "played")) && deletes(&machine, files));
    assert_eq!(report(&mut machine)["phase"], "cancelled");
}

#[test]
fn one_switch_is_under_way_at_a_time_and_the_same_one_is_joined() {
    let mut machine = Machine::new();
    switch(&mut machine, "large");
    let joined = switch(&mut machine, "large");
    assert!(matches!(&joined, Answer::Ok { data } if data["begun"] == true), "{joined:?}");
    assert!(order(&machine).is_none(), "it is not begun twice");
    machine.step(Event::Swap(SwapEvent::Progress { embedded: 16, of: 40 }));
    let refused = switch(&mut machine, "larger");
    assert!(
        refusal(&refused).contains("a switch to the backbone large is under way (16 of 40 images are embedded)"),
        "{refused:?}"
    );
}

#[test]
fn a_switch_and_an_update_of_the_backbone_exclude_each_other() {
    let (mut machine, file) = (Machine::new(), file(1));
    let changes = json!({ "kind": "backbone", "manifest": { "embedding": { "dim": 1 } } });
    let desired = manifest(&file, 1, &changes);
    machine.send("update/backbone/desired", desired.clone());
    assert!(refusal(&switch(&mut machine, "large")).contains("the update parts 1 of the backbone is under way"));
    machine.send("update/backbone/desired", vec![]);
    switch(&mut machine, "large");
    machine.send("update/backbone/desired", desired.clone());
    let state = |machine: &Machine| {
        let state = machine.said.iter().rev().find(|(topic, _)| topic == "update/backbone/state");
        state.map(|(_, state)| (state["error"]["code"].clone(), state["in_progress"].clone()))
    };
    assert_eq!(state(&machine), Some((json!("switching"), json!(false))));
    succeeds(&mut machine, false);
    machine.send("update/backbone/desired", desired);
    assert_eq!(state(&machine), Some((Value::Null, json!(true))), "it is looked at again when it comes again");
}

#[test]
fn a_model_that_the_quota_has_no_room_for_is_not_taken() {
    let mut machine = Machine::new();
    machine.settings.updates.bytes_max = 499;
    machine.boot();
    let refused = switch(&mut machine, "large");
    assert!(refusal(&refused).contains("1000 bytes, the state folder has room for a model of 998"), "{refused:?}");
    machine.settings.updates.bytes_max = 500;
    machine.boot();
    assert!(matches!(switch(&mut machine, "large"), Answer::Ok { .. }));
}

#[test]
fn over_the_broker_no_path_is_taken() {
    let mut machine = Machine::new();
    let payload = json!({ "backbone": "/srv/camera/mine.yaml" }).to_string().into_bytes();
    let topic = "request/switch".into();
    let inbound = Inbound { topic, payload, retained: false, delivery: 9 };
    machine.step(Event::Broker(BrokerEvent::Message(inbound)));
    let answer = machine.said.iter().find(|(topic, _)| topic == "response/switch").expect("it is answered");
    assert_eq!(answer.1["error"]["code"], "not_possible");
    assert!(!machine.effects.acts.iter().any(|act| matches!(act, Act::Query { .. })), "nothing is looked up");
    assert!(matches!(switch(&mut machine, "/srv/mine.yaml"), Answer::Ok { .. }), "at the socket it is");
}
