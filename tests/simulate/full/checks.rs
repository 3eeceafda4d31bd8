//! What has to hold when a full life has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edgetuned::engine::{FileDisposition, PromotionPolicy};
use edgetuned::wire::{AlertId, PatchState, ReviewList, ReviewReason, TaskAlert, UpdateKind};
use edgetuned::words::{Digest, Label, SampleId, TaskId};
use serde_json::Value;

use super::super::world::{Content, World, folder, image_id};
use super::live;
use super::people::Actions;

/// Plays one life and looks at what it left.
pub fn check(seed: u64) -> World {
    let (mut world, actions) = live(seed);
    super::await_trainings(&mut world);
    images_are_stored_and_reported(&world);
    messages_arrive(&world);
    labels_are_kept(&world, &actions);
    what_is_forgotten_stays_away(&world);
    counts_are_right(&world);
    broken_files_are_quarantined(&world, &actions);
    transactions_act_once(&world);
    trainings_end(&world);
    world.check_tunings_end();
    settings_come_to_rest(&world);
    updates_come_to_rest(&world);
    alerts_end(&world);
    the_quota_is_kept(&world);
    the_review_lists_are_of_now(&world);
    labels_are_given_to_what_was_seen(&mut world, &actions);
    states_are_what_is_stored(&world);
    world.check_removed_tasks();
    frames_are_what_is_kept(&world);
    world
}

fn images_are_stored_and_reported(world: &World) {
    let observed = &world.observed;
    for id in world.finished() {
        let is_there = world.model.samples.contains(&id) || observed.was_let_go(&id);
        assert!(is_there, "image {id} is neither a sample nor evicted nor forgotten");
    }
    for (path, file) in world.disk.iter().filter(|(path, _)| world.image_at(path).is_some()) {
        // A copy where a task does not look is read again and again while the store lacks what that task looks at.
        let is_recorded = match world.model.files.get(path) {
            Some((stamp, FileDisposition::Sample(_))) => *stamp == file.stamp,
            _ => world.model.is_known(path, file.stamp),
        };
        assert!(is_recorded, "{} was never read as it is now", path.display());
    }
    for (key, stored) in observed.stored.iter().filter(|((_, id), _)| !world.is_frame(id)) {
        let (task, id) = key;
        let reported = observed.reported.get(key).copied().unwrap_or_default();
        let direct = observed.direct.get(key).copied().unwrap_or_default();
        assert!(reported <= *stored, "image {id} was stored {stored} times for {task} and reported {reported} times");
        // One that was reported before it could be stored is not reported again for a task that came between, or that does not look at the file of then.
        let is_earlier = |(of, image): &(TaskId, SampleId)| of != task && image == id;
        let looks_everywhere = (0..world.roots()).all(|root| world.looks_into(task, root));
        let may_come_late = world.plan.came.contains(task) || !looks_everywhere;
        let came_late = may_come_late && observed.direct.keys().any(is_earlier);
        let is_enough = reported + direct >= *stored || came_late;
        assert!(is_enough, "image {id} was stored {stored} times for {task}, and reported less often");
    }
    for (path, id) in world.disk.keys().filter_map(|path| Some((path, world.image_at(path)?))) {
        // A file whose sample was let go is not read again, though another brings the image back.
        let is_stored = world.model.samples.contains(&id) && world.model.files.contains_key(path);
        for task in world.tasks().iter().filter(|task| is_stored && world.looks_at(task, &id)) {
            let looks = world.looks_into(task, world.root_of(path));
            assert!(!looks || world.model.sees(task, &id), "{task} looks at {}, and does not see it", path.display());
        }
    }
    let unstored = observed.reported.keys().find(|id| !observed.stored.contains_key(id));
    assert_eq!(unstored, None, "what is reported by the outbox is stored");
}

/// Every task sees the frames whose bytes are kept, and the engine counts these.
fn frames_are_what_is_kept(world: &World) {
    if world.cameras.are_there() {
        world.kept_frames_are_seen();
        world.pictures_are_counted();
    }
}

fn messages_arrive(world: &World) {
    let left: Vec<_> = world.held.iter().map(|held| (&held.topic, String::from_utf8_lossy(&held.payload))).collect();
    assert!(left.is_empty(), "every message is acknowledged, not so {left:?}");
    // What was said in the last seconds is still on its way.
    let age = |seq: &u64| world.clock.elapsed.saturating_sub(world.observed.spooled_at[seq]);
    let left: Vec<_> = world.model.outbox.keys().filter(|seq| age(seq) > Duration::from_secs(5)).collect();
    assert!(left.is_empty(), "every report is delivered, not so {left:?}");
    assert!(world.waiting.is_empty(), "whoever waits at the socket is answered");
}

fn labels_are_kept(world: &World, actions: &Actions) {
    // What was left to the broker comes again after what came later.
    if world.broker.not_taken || world.clock.was_set_unseen {
        return;
    }
    // What somebody changed into something else, or took back, is as the engine found it then.
    if actions.revises {
        return;
    }
    for ((task, id), label) in &actions.labelled {
        let is_there = world.tasks().contains(task);
        if !is_there || world.observed.lost_its_label(task, id) || world.label_is_in_doubt(task, id) {
            continue;
        }
        let known = world.model.of(task);
        let kept = match known.samples.get(id) {
            Some(kept) => kept.as_ref().map(|(label, _)| label.to_string()),
            None => (known.awaited.values())
                .find(|awaited| id.to_string().starts_with(&awaited.prefix))
                .map(|awaited| awaited.label.to_string()),
        };
        let is_by_folder = world.task_by_folder().as_ref() == Some(task);
        let is_taken_back = kept.is_none() && is_by_folder && actions.left_its_class.contains(id);
        assert!(is_taken_back || kept == *label, "image {id} keeps its label {label:?} in {task}, not {kept:?}");
    }
    let Some(task) = world.task_by_folder() else { return };
    for (path, file) in world.disk.iter().filter(|(path, file)| folder(path).is_some() && file.missing == 0) {
        let Content::Image(number) = file.content else { continue };
        let id = image_id(number);
        if !world.observed.was_let_go(&id) && world.sees(&task, number) {
            let kept = world.model.of(&task).label(&id).map(ToString::to_string);
            assert_eq!(kept, folder(path), "{} is labelled by its folder", path.display());
        }
    }
}

fn what_is_forgotten_stays_away(world: &World) {
    let model = &world.model;
    for id in &world.observed.forgetting.gone {
        let is_listed = model.samples.contains(id) || model.arrived.contains(id);
        let is_seen =
            model.tasks.values().any(|known| known.samples.contains_key(id) || known.predicted.contains_key(id));
        let is_known = is_seen || model.embeddings.iter().any(|(of, _)| of == id);
        let has_files = model.files.values().any(|(_, fate)| *fate == FileDisposition::Sample(*id));
        assert!(!is_listed && !is_known && !has_files, "sample {id} was forgotten, and something of it is left");
    }
}

/// Counts that people see are of what is stored, however it came to that.
fn counts_are_right(world: &World) {
    let model = &world.model;
    let health = json(&world.broker.retained["health"]);
    let tasks = world.tasks();
    let is_labelled = |id: &&SampleId| tasks.iter().any(|task| model.of(task).label(id).is_some());
    let labelled = model.samples.iter().filter(is_labelled).count();
    for task in tasks.iter().filter(|_| world.names_tasks()) {
        let known = model.of(task);
        let health = &health["tasks"][task.as_str()];
        let labelled = known.samples.values().flatten().count();
        assert_eq!(health["samples"], known.samples.len(), "samples of {task} are counted");
        assert_eq!(health["labelled"], labelled, "labelled samples of {task} are counted");
    }
    let is_put_aside = |fate: &FileDisposition| matches!(fate, FileDisposition::Quarantined(_));
    let put_aside = model.files.values().filter(|(_, fate)| is_put_aside(fate)).count();
    assert_eq!(health["samples"], model.samples.len(), "samples are counted");
    assert_eq!(health["labelled"], labelled, "labelled samples are counted");
    assert_eq!(health["quarantined"], put_aside, "files that are put aside now are counted");
}

fn broken_files_are_quarantined(world: &World, actions: &Actions) {
    for path in actions.broken.iter().filter(|path| world.disk.contains_key(*path)) {
        let fate = world.model.files.get(path).map(|(_, fate)| fate);
        assert!(matches!(fate, Some(FileDisposition::Quarantined(_))), "{} is put aside, not {fate:?}", path.display());
    }
    let gone: Vec<_> = world.model.files.keys().filter(|path| !world.disk.contains_key(*path)).collect();
    assert!(gone.is_empty(), "files that are gone are forgotten, not so {gone:?}");
}

fn json(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap_or_default()
}

/// What came on this topic, through the outbox and past it.
fn published<'a>(world: &'a World, topic: &'a str) -> impl Iterator<Item = Value> + 'a {
    let all = world.received.values().chain(&world.broker.direct);
    all.filter(move |(at, _)| at == topic).map(|(_, payload)| json(payload))
}

fn transactions_act_once(world: &World) {
    let mut answers: BTreeMap<String, Value> = BTreeMap::new();
    let by_broker = world.received.values().chain(&world.broker.direct).filter(|(at, _)| at.starts_with("response/"));
    let by_socket = world.answered.iter().map(|response| serde_json::to_value(response).expect("plain fields"));
    let (mut answered, mut busy) = (BTreeSet::new(), BTreeSet::new());
    for response in by_broker.map(|(_, payload)| json(payload)).chain(by_socket) {
        let Some(transaction) = response["transaction"].as_str().map(str::to_owned) else { continue };
        answered.insert(transaction.clone());
        // Not done, and not remembered: it may be asked again.
        if response["error"]["code"] == "busy" {
            busy.insert(transaction);
            continue;
        }
        let answer = serde_json::json!([response["status"], response["data"], response["error"]]);
        let before = answers.entry(transaction.clone()).or_insert_with(|| answer.clone());
        // What was read while nothing could be stored is not remembered either.
        let is_read = transaction.starts_with('q') && world.counts.outages > 0;
        assert!(*before == answer || is_read, "transaction {transaction} got two answers: {before}, {answer}");
    }
    if world.observed.dropped > 0 {
        return;
    }
    for held in &world.acknowledged {
        if let Some(transaction) = json(&held.payload)["transaction"].as_str() {
            // What is read while nothing can be stored is answered past the outbox, if the broker is there.
            let is_lost = transaction.starts_with('q') && world.counts.outages > 0;
            assert!(
                is_lost || answered.contains(transaction),
                "transaction {transaction} was acknowledged but never answered"
            );
        }
    }
}

fn trainings_end(world: &World) {
    for task in world.tasks() {
        let memory = &world.model.of(&task).training;
        assert!(memory.due.is_none() && memory.running.is_none(), "no training of {task} is left over");
    }
    if world.observed.dropped > 0 || world.counts.outages > 0 {
        return;
    }
    let accepted = published(world, "response/train").filter_map(|answer| answer["data"]["training"].as_u64());
    let accepted: BTreeSet<u64> = accepted.collect();
    let results = |task: &TaskId| {
        let topic = if world.names_tasks() { format!("task/{task}/train/result") } else { "train/result".into() };
        published(world, &topic).filter_map(|result| result["training"].as_u64()).collect::<Vec<_>>()
    };
    let failures = published(world, "event").filter(|event| event["source"] == "train").filter_map(|event| {
        event["reason"].as_str()?.strip_prefix("training ")?.split(' ').next()?.parse::<u64>().ok()
    });
    let ended: BTreeSet<u64> = world.tasks().iter().flat_map(results).chain(failures).collect();
    for training in accepted.difference(&world.trainings_of_removed()) {
        assert!(ended.contains(training), "training {training} was accepted and never ended");
    }
}

fn settings_come_to_rest(world: &World) {
    let config = &world.model.config_patch;
    assert!(config.trial.is_none() && config.answer.state != PatchState::Trial, "a probation ends: {config:?}");
    let good = config.patch.as_ref().is_none_or(|patch| patch.contains_key("good"));
    assert!(good, "settings that are refused or do not work are not in force: {config:?}");
    let Some(desired) = world.broker.desired.get("config/desired").map(|desired| json(desired)) else { return };
    let version = desired["version"].as_u64().unwrap_or_default();
    let is_due = desired["patch"].get("good").is_some() && version > config.applied_version;
    assert!(!is_due, "settings {desired} are desired and were not applied: {config:?}");
}

fn updates_come_to_rest(world: &World) {
    assert!(world.model.backbone.trial.is_none(), "the probation of a backbone ends");
    let switch = &world.model.backbone.switch;
    assert!(switch.is_none(), "a switch to another backbone ends: {switch:?}");
    for kind in UpdateKind::ALL {
        let state = json(&world.broker.retained[&format!("update/{kind}/state")]);
        let is_at_rest = state["phase"] == "idle" && state["in_progress"] == false;
        assert!(is_at_rest, "an update of a {kind} ends: {state}");
        let memory = world.model.updates.get(&kind).cloned().unwrap_or_default();
        assert!(memory.trial.is_none() && memory.desired.is_none(), "nothing is left of it: {memory:?}");
        let installed = memory.installed.map(|installed| installed.version.to_string());
        assert_eq!(state["installed_version"].as_str(), installed.as_deref(), "what is said is what is stored");
        let Some(desired) = world.broker.desired.get(&format!("update/{kind}/desired")) else { continue };
        let version = json(desired)["version"].as_u64().map(|version| version.to_string());
        // What is said may be of another manifest that came in between.
        if state["manifest"] != Digest::of(desired).to_string() {
            continue;
        }
        let is_answered = state["error"].is_object() || state["installed_version"].as_str() == version.as_deref();
        assert!(is_answered, "version {version:?} of a {kind} is installed or refused: {state}");
    }
}

fn alerts_end(world: &World) {
    let is_up = |id: &AlertId| world.broker.retained.contains_key(&format!("alert/{id}"));
    let of_tasks = [AlertId::Drift, AlertId::Labels, AlertId::Model];
    for id in AlertId::PLAIN.iter().filter(|id| !of_tasks.contains(id)) {
        assert!(!is_up(id), "alert {id} is up while its cause lasts");
    }
    for task in world.tasks() {
        let named = world.names_tasks().then_some(&task);
        let known = world.model.of(&task);
        let champion = known.champion().map(|head| head.head.version);
        let is_damaged = champion.is_some_and(|version| world.damaged.contains(&(task.clone(), version)));
        let drifts = known.live.drift.is_some();
        for (alert, has_cause) in
            [(TaskAlert::Model, is_damaged), (TaskAlert::Drift, drifts), (TaskAlert::Labels, false)]
        {
            let id = alert.of(named);
            assert_eq!(is_up(&id), has_cause, "alert {id} is up while its cause lasts");
        }
        // A head in shadow has learned from them, and serves later.
        let is_promoted = world.promotion(&task) != PromotionPolicy::Manual && known.live.shadow.is_none();
        let learns = is_promoted && champion.is_some();
        assert!(!learns || !drifts, "a training on labels given since answers a drift of {task}");
    }
}

fn the_quota_is_kept(world: &World) {
    let excess = world.over_quota();
    let may_go = world.may_go();
    assert!(excess == 0 || may_go == 0, "{excess} bytes over the quota, and {may_go} samples may go");
}

fn the_review_lists_are_of_now(world: &World) {
    for task in world.tasks() {
        let topic = if world.names_tasks() { format!("task/{task}/review") } else { "review".into() };
        let Some(payload) = world.broker.retained.get(&topic) else { continue };
        let list: ReviewList = serde_json::from_slice(payload).expect("the list is as documented");
        for item in list.body.items {
            let Some(labelled) = world.model.of(&task).samples.get(&item.image) else {
                panic!("{} is asked about in {task} and no sample of it", item.image)
            };
            let is_excluded = world.model.of(&task).excluded.contains(&item.image);
            assert!(!is_excluded, "{} is asked about in {task} and excluded", item.image);
            let label = labelled.as_ref().map(|(label, _)| label);
            let is_open =
                if item.reason == ReviewReason::Suspicious { label == item.label.as_ref() } else { label.is_none() };
            assert!(is_open, "{} is asked about in {task} and answered", item.image);
        }
    }
}

/// A label that was sent with what its sender saw took the place of that, or was refused because of another one.
fn labels_are_given_to_what_was_seen(world: &mut World, actions: &Actions) {
    let by_broker = published(world, "response/label");
    let by_socket = world.answered.iter().map(|response| serde_json::to_value(response).expect("plain fields"));
    let answers: Vec<Value> = by_broker.chain(by_socket).collect();
    for answer in answers {
        let Some(sent) = answer["transaction"].as_str().and_then(|word| actions.compared.get(word)) else { continue };
        let seen = |label: &Value| label.as_str() == sent.was.as_ref().map(Label::as_str);
        if answer["error"]["code"] == "conflict" {
            let conflict = &answer["error"]["conflicts"][0];
            assert_eq!(conflict["image"].as_str(), Some(&*sent.image.to_string()), "{answer}");
            assert!(!seen(&conflict["label"]), "{sent:?} is refused, and saw what was there: {answer}");
            world.counts.conflicts += 1;
        }
        let Some(change) = answer["data"]["change"].as_u64() else { continue };
        if world.observed.was_let_go(&sent.image) || !world.model.tasks.contains_key(&sent.task) {
            continue;
        }
        // The same label again is no step.
        if let Some((before, _)) = world.model.step_of(&sent.task, &sent.image, change) {
            assert_eq!(before, sent.was.as_ref(), "{sent:?} overlooks a label: {answer}");
            world.counts.compared += 1;
        }
    }
}

/// States last over restarts, and the broker has those that are stored.
fn states_are_what_is_stored(world: &World) {
    let is_said = |topic: &String| topic.starts_with("task/");
    assert!(world.names_tasks() || !world.broker.retained.keys().any(is_said), "nothing is said of unnamed tasks");
    world.states_are_stored();
}
