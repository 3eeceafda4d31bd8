//! Whole lives of the daemon, faults included, from one seed each, in milliseconds.
//!
//! The engine is the real one; disk, clock, broker, workers and store are simulated. Every seed runs a camera, people
//! who label, and a machine that crashes between any two acts, until the faults stop and everything comes to rest;
//! then nothing may be lost and nothing doubled. `SIMULATE_SEED=17 cargo test --test simulate` replays one life,
//! `SIMULATE_LIVES=5000` runs more of them, `SIMULATE_FROM=9000` others where everything is played. What the engine did in
//! the first 200 is recorded (`golden`).

mod full;
mod golden;
mod history;
mod known;
mod last_word;
mod life;
mod many;
mod model;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use edgetuned::engine::{FileDisposition, TuneWhen};
use edgetuned::wire::PatchState;
use edgetuned::words::SampleId;
use serde_json::Value;

use life::{Actions, live};
use world::{Content, World, folder, image_id};

fn json(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("every payload is JSON")
}

fn published<'a>(world: &'a World, topic: &'a str) -> impl Iterator<Item = Value> + 'a {
    world.received.values().filter(move |(at, _)| at == topic).map(|(_, payload)| json(payload))
}

/// Plays one life and returns its line of the record.
fn check(seed: u64) -> String {
    let (mut world, actions) = live(seed);
    let record = std::mem::take(&mut world.record);
    let context = format!("seed {seed} ({} crashes): replay with SIMULATE_SEED={seed}", world.crashes);

    let finished: BTreeSet<SampleId> = (world.disk.values())
        .filter(|file| file.missing == 0)
        .filter_map(|file| if let Content::Image(number) = file.content { Some(image_id(number)) } else { None })
        .collect();
    let stored = world.model.samples.clone();
    assert_eq!(stored, finished, "every finished image is a sample, and nothing else is; {context}");

    let mut predicted: Vec<String> =
        published(&world, "prediction").map(|p| p["image"].as_str().unwrap_or_default().to_owned()).collect();
    predicted.sort();
    let expected: Vec<String> = finished.iter().map(ToString::to_string).collect();
    assert_eq!(predicted, expected, "every image is reported once; {context}");

    assert!(world.held.is_empty(), "every message is acknowledged; {context}");
    assert!(world.model.outbox.is_empty(), "every report is delivered; {context}");
    labels_are_kept(&world, &actions, &context);
    broken_files_are_quarantined(&world, &actions, &context);
    transactions_act_once(&world, &context);
    accepted_trainings_end(&world, &context);
    second_phases_are_as_configured(&world, seed, &context);
    settings_come_to_rest(&world, &context);
    record.line(seed)
}

fn labels_are_kept(world: &World, actions: &Actions, context: &str) {
    for (id, label) in &actions.labelled {
        let kept = match world.model.plain().samples.get(id) {
            Some(kept) => kept.as_ref().map(|(label, _)| label.to_string()),
            None => (world.model.plain().awaited.values())
                .find(|awaited| id.to_string().starts_with(&awaited.prefix))
                .map(|awaited| awaited.label.to_string()),
        };
        assert_eq!(kept.as_deref(), Some(label.as_str()), "image {id} keeps its label; {context}");
    }
    for (path, file) in world.disk.iter().filter(|(path, file)| folder(path).is_some() && file.missing == 0) {
        let Content::Image(number) = file.content else { continue };
        let kept = world.model.plain().samples[&image_id(number)].as_ref().map(|(label, _)| label.to_string());
        assert_eq!(kept, folder(path), "{} is labelled by its folder; {context}", path.display());
    }
}

fn broken_files_are_quarantined(world: &World, actions: &Actions, context: &str) {
    for path in &actions.broken {
        let fate = world.model.files.get(path).map(|(_, fate)| fate);
        assert!(
            matches!(fate, Some(FileDisposition::Quarantined(_))),
            "{} is put aside, not {fate:?}; {context}",
            path.display()
        );
    }
    let reported: BTreeSet<String> = published(world, "event")
        .filter(|event| event["event_type"] == "quarantined")
        .map(|event| event["path"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected: BTreeSet<String> = actions.broken.iter().map(|path| path.display().to_string()).collect();
    // A slow writer may be given up too, until it goes on; of many at a time some are only counted.
    let missing = &expected - &reported;
    assert!(missing.is_empty() || reported.len() >= 20, "each of a few is reported, {missing:?} were not; {context}");
}

fn transactions_act_once(world: &World, context: &str) {
    let mut answers: BTreeMap<String, Value> = BTreeMap::new();
    let by_broker = world.received.values().filter(|(topic, _)| topic.starts_with("response/"));
    let by_socket = world.answered.iter().map(|response| serde_json::to_value(response).expect("plain fields"));
    for response in by_broker.map(|(_, payload)| json(payload)).chain(by_socket) {
        let Some(transaction) = response["transaction"].as_str().map(str::to_owned) else { continue };
        let answer = serde_json::json!([response["status"], response["data"], response["error"]]);
        // Not done, and not remembered: it may be asked again.
        if response["error"]["code"] == "busy" {
            answers.entry(format!("{transaction}, busy")).or_insert(answer);
            continue;
        }
        let before = answers.entry(transaction.clone()).or_insert_with(|| answer.clone());
        assert_eq!(*before, answer, "transaction {transaction} got two answers; {context}");
    }
    assert!(world.waiting.is_empty(), "whoever waits at the socket is answered; {context}");
    for held in &world.acknowledged {
        if let Some(transaction) = json_or_null(&held.payload)["transaction"].as_str() {
            assert!(
                answers.contains_key(transaction) || answers.contains_key(&format!("{transaction}, busy")),
                "transaction {transaction} was acknowledged but never answered; {context}"
            );
        }
    }
}

fn accepted_trainings_end(world: &World, context: &str) {
    let memory = &world.model.plain().training;
    assert!(memory.due.is_none() && memory.running.is_none(), "no training is left over; {context}");
    let results = published(world, "train/result").map(|result| result["training"].clone());
    let failures = published(world, "event")
        .filter(|event| event["source"] == "train")
        .filter_map(|event| event["reason"].as_str()?.strip_prefix("training ")?.split(' ').next()?.parse::<u64>().ok())
        .map(Value::from);
    let ended: Vec<Value> = results.chain(failures).collect();
    let accepted = published(world, "response/train").chain(published(world, "response/tune"));
    for accepted in accepted.filter_map(|response| response["data"].get("training").cloned()) {
        assert!(ended.contains(&accepted), "training {accepted} was accepted and never ended; {context}");
    }
}

/// Where the setting says never, a second phase is refused and no training has one; elsewhere a result that answers a request
/// for one has the report of both phases.
fn second_phases_are_as_configured(world: &World, seed: u64, context: &str) {
    let is_never = life::settings(seed).tasks[0].tune == TuneWhen::Never;
    let results: Vec<Value> = published(world, "train/result").collect();
    let second: Vec<&Value> = results.iter().filter(|result| result["tune_reason"].is_string()).collect();
    assert!(second.is_empty() || !is_never, "a training has a second phase, which is switched off; {context}");
    for answer in published(world, "response/tune") {
        if let Some(training) = answer["data"].get("training") {
            assert!(!is_never, "a second phase is accepted and switched off: {answer}; {context}");
            let result = results.iter().find(|result| result["training"] == *training);
            assert!(result.is_none_or(|result| second.contains(&result)), "{answer} has {result:?}; {context}");
        } else {
            assert_eq!(answer["error"]["code"], "not_possible", "{answer}; {context}");
        }
    }
}

fn settings_come_to_rest(world: &World, context: &str) {
    let config = &world.model.config_patch;
    assert!(config.trial.is_none() && config.answer.state != PatchState::Trial, "a trial ends: {config:?}; {context}");
    let good = config.patch.as_ref().is_none_or(|patch| patch.contains_key("good"));
    assert!(good, "a rejected patch is never in force: {config:?}; {context}");
    let asked = config.answer.version.is_none_or(|version| version <= config.applied_version);
    assert!(asked, "what is in force was applied: {config:?}; {context}");
}

fn json_or_null(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap_or_default()
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The lines of the record's lives, which two tests look at and which are played once.
fn recorded() -> &'static [String] {
    static LINES: OnceLock<Vec<String>> = OnceLock::new();
    LINES.get_or_init(|| many::play(0..golden::LIVES, check))
}

#[test]
fn nothing_is_lost_and_nothing_doubled_whatever_crashes() {
    if let Some(seed) = number_from_environment("SIMULATE_SEED") {
        println!("{}", check(seed));
        return;
    }
    recorded();
    many::play(golden::LIVES..number_from_environment("SIMULATE_LIVES").unwrap_or_default(), check);
}

#[test]
fn the_engine_does_in_these_lives_what_it_did_before() {
    if number_from_environment("SIMULATE_SEED").is_none() {
        golden::compare(recorded());
    }
}

#[test]
fn lives_do_crash_and_lose_links() {
    let lives: Vec<_> = (0..10).map(|seed| live(seed).0).collect();
    assert!(lives.iter().map(|world| world.crashes).sum::<u64>() > 20, "a simulation without faults shows nothing");
    assert!(lives.iter().any(|world| world.redelivered > 0), "no message was ever sent twice");
    assert!(lives.iter().map(|world| world.restarts).sum::<u64>() > 10, "no remote settings were ever applied");
    assert!(lives.iter().any(|world| !world.model.plain().heads.is_empty()), "no training ever ended");
    assert!(
        lives.iter().map(|world| world.answered.len()).sum::<usize>() > 20,
        "hardly anything was asked at the socket"
    );
}

#[test]
fn the_same_seed_is_the_same_life() {
    let received = |seed| live(seed).0.received;
    assert_eq!(received(3), received(3));
}

#[test]
fn nothing_is_lost_while_everything_is_played() {
    if let Some(seed) = number_from_environment("SIMULATE_SEED") {
        return drop(full::check(seed));
    }
    let lives = number_from_environment("SIMULATE_LIVES").unwrap_or(1_000);
    let from = number_from_environment("SIMULATE_FROM").unwrap_or_default();
    let counts = many::play(from..from + lives, |seed| full::check(seed).counts);
    let sum = |of: fn(&world::Counts) -> u64| counts.iter().map(of).sum::<u64>();
    let rare = [sum(|c| c.evictions), sum(|c| c.forgotten), sum(|c| c.outages), sum(|c| c.refusals), sum(|c| c.floods)];
    let switches = sum(|c| c.switches);
    let exclusions = sum(|c| c.exclusions);
    assert!(lives < 100 || exclusions > lives / 2, "hardly any image is excluded: {exclusions}");
    let (compared, conflicts) = (sum(|c| c.compared), sum(|c| c.conflicts));
    assert!(
        lives < 100 || compared.min(conflicts) > lives / 20,
        "hardly any label is given to what was seen: {compared}, and {conflicts} overlook another"
    );
    let (tunings, refused, back) = (sum(|c| c.tunings), sum(|c| c.refused_tunings), sum(|c| c.tuned_back));
    let [first, second] = [sum(|c| c.tuned_results[0]), sum(|c| c.tuned_results[1])];
    let (said, starts) = (sum(|c| c.second_phases_said), sum(|c| c.tuned_starts));
    println!(
        "second phases: {tunings} accepted, {refused} refused by the setting, {said} times said to run, {first} lost and \
         {second} won; {starts} starts with a tail in service, {back} returns from one"
    );
    let tuned = [tunings, refused, first, second, said, starts, 20 * back];
    assert!(lives < 100 || tuned.iter().all(|count| *count > lives / 4), "hardly any second phase: {tuned:?}");
    let (removals, purges) = (sum(|c| c.removals), sum(|c| c.purges));
    let again = sum(|c| c.compared_again);
    assert!(lives < 100 || again > lives / 50, "hardly any head is signed for another task: {again}");
    let (frames, pictures) = (sum(|c| c.frames), sum(|c| c.pictures_read));
    assert!(lives < 100 || frames.min(20 * pictures) > lives, "hardly any frame is read: {frames}, {pictures} again");
    let moved = sum(|c| c.moved_regions);
    assert!(lives < 100 || moved > lives / 20, "hardly any region is moved: {moved}");
    assert!(lives < 100 || removals.min(2 * purges) > lives / 20, "hardly any task goes: {removals}, {purges}");
    assert!(lives < 100 || switches > lives / 20, "hardly any switch is accepted: {switches}");
    assert!(lives < 100 || rare.iter().all(|count| *count > lives / 20), "what is rare hardly happens: {rare:?}");
}
