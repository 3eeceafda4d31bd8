//! What holds for any sequence of predictions, judgements anew, silences, crashes and clocks.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::super::context::Ages;
use super::*;
use crate::words::{Label, Now, SampleId, Timestamp};

const SEEDS: u64 = 60;
const STEPS: usize = 200;
const START: i64 = 1_790_000_000_000;
const CLASSES: [&str; 3] = ["ajar", "closed", "open"];

/// One thing that happens.
#[derive(Debug, Clone)]
enum Played {
    Predicted(Judgement),
    JudgedAgain(Judgement),
    Tick,
}

fn play(machine: &mut StateMachine, ages: &Ages, step: &Played) -> Change {
    match step {
        Played::Predicted(judgement) => machine.predicted(ages, judgement),
        Played::JudgedAgain(judgement) => machine.judged_again(ages, judgement),
        Played::Tick => machine.tick(ages),
    }
}

/// A life: settings, and steps with milliseconds before each.
#[derive(Debug)]
struct Life {
    settings: StateSettings,
    steps: Vec<(u64, Played)>,
}

impl Life {
    fn drawn(rng: &mut ChaCha8Rng) -> Self {
        let of = rng.random_range(1..=6);
        let confirm = Confirm::new(rng.random_range(1..=of), of).unwrap();
        let hold = Duration::from_millis([0, 0, 700, 4000][rng.random_range(0..4)]);
        let unknown_after = Duration::from_millis([900, 5000, 60_000][rng.random_range(0..3)]);
        let thresholds = [(Label::new("open").unwrap(), 0.7)].into();
        let settings = StateSettings { confirm, hold, thresholds, unknown_after };
        let mut images: u32 = 0;
        let mut steps = Vec::new();
        // Long runs of one class, or nothing is ever so.
        let mut class = 0;
        for _ in 0..STEPS {
            let gap = [0, 1, 50, 300, 1000, 6000][rng.random_range(0..6)];
            if rng.random_bool(0.2) {
                class = rng.random_range(0..CLASSES.len());
            }
            let step = match rng.random_range(0..10) {
                0..6 => {
                    images += 1;
                    Played::Predicted(judgement(rng, images, class))
                }
                6 => Played::JudgedAgain(judgement(rng, images, class)),
                7 => {
                    let older = images.saturating_sub(rng.random_range(0..8));
                    Played::JudgedAgain(judgement(rng, older, class))
                }
                _ => Played::Tick,
            };
            steps.push((gap, step));
        }
        Self { settings, steps }
    }

    fn machine(&self) -> StateMachine {
        StateMachine::new(self.settings.clone(), StateRecord::default())
    }
}

fn judgement(rng: &mut ChaCha8Rng, image: u32, class: usize) -> Judgement {
    let label = Label::new(CLASSES[class]).unwrap();
    let set = match rng.random_range(0..6) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(CLASSES.map(|class| Label::new(class).unwrap()).to_vec()),
        _ => Some(vec![label.clone()]),
    };
    Judgement {
        image: SampleId::of(&image.to_le_bytes()),
        label: rng.random_bool(0.95).then_some(label),
        probability: [0.5, 0.75, 0.99, f32::NAN][rng.random_range(0..4)],
        set,
        is_stale: rng.random_bool(0.05),
    }
}

fn at(ms: u64) -> Now {
    Now { wall: Timestamp(START + ms as i64), mono: Duration::from_millis(ms) }
}

/// Plays `check` with each seed; the last that is printed is the one that failed.
fn for_each_seed(check: impl Fn(&mut ChaCha8Rng)) {
    for seed in 0..SEEDS {
        eprintln!("seed {seed}");
        check(&mut ChaCha8Rng::seed_from_u64(seed));
    }
}

/// An account of what the machine was shown, kept in another way: all of it, with the times.
#[derive(Default)]
struct Account {
    /// Images that count, with their time and what they say.
    seen: Vec<(SampleId, u64, Option<Label>)>,
    /// When a vote last came, in milliseconds, and for how long a state may be known by it.
    voted: Option<u64>,
}

impl Account {
    /// Takes in a step of this time; how many images count afterwards.
    fn note(&mut self, ms: u64, step: &Played, settings: &StateSettings) {
        let votes = |judgement: &Judgement| judgement.vote(&settings.thresholds).map(|vote| vote.class);
        let patience = settings.unknown_after.as_millis() as u64;
        match step {
            Played::Predicted(judgement) if !judgement.is_stale => {
                let vote = votes(judgement);
                self.voted = if vote.is_some() { Some(ms) } else { self.voted };
                self.seen.push((judgement.image, ms, vote));
            }
            Played::JudgedAgain(judgement) => {
                let last = self.seen.len().saturating_sub(settings.confirm.of());
                let Some(seen) = self.seen[last..].iter_mut().rev().find(|seen| seen.0 == judgement.image) else {
                    return;
                };
                let vote = votes(judgement);
                if vote.is_some() && ms - seen.1 < patience {
                    self.voted = self.voted.max(Some(seen.1));
                }
                seen.2 = vote;
            }
            Played::Predicted(_) | Played::Tick => {}
        }
    }

    fn votes_for(&self, class: &Label, of: usize) -> usize {
        self.seen.iter().rev().take(of).filter(|seen| seen.2.as_ref() == Some(class)).count()
    }
}

#[test]
fn a_state_has_its_votes_holds_and_ends_in_time() {
    for_each_seed(|rng| {
        let life = Life::drawn(rng);
        let (settings, mut machine) = (&life.settings, life.machine());
        let (hold, patience) = (settings.hold.as_millis() as u64, settings.unknown_after.as_millis() as u64);
        let (mut account, mut ms, mut changed_at) = (Account::default(), 0, None::<u64>);
        for (gap, step) in &life.steps {
            ms += gap;
            // First what time alone does, then the step.
            for step in [&Played::Tick, step] {
                let before = machine.view();
                let change = play(&mut machine, &Ages::believing(at(ms)), step);
                account.note(ms, step, settings);
                let view = machine.view();
                assert_eq!(change.publish, view.state != before.state, "{ms}: {before:?}, {view:?}");
                let overdue = account.voted.is_none_or(|voted| ms - voted >= patience);
                match view.state.class() {
                    Some(class) => {
                        assert!(!overdue, "{ms}: known without a vote for {patience} ms: {view:?}");
                        if change.publish {
                            let votes = account.votes_for(class, settings.confirm.of());
                            assert!(votes >= settings.confirm.votes(), "{ms}: {votes} votes: {view:?}");
                            assert_eq!(view.votes[0], votes, "{ms}");
                            let since = changed_at.map_or(hold, |at| ms - at);
                            assert!(since >= hold, "{ms}: two changes within {since} ms");
                        }
                    }
                    None => assert!(!change.publish || overdue, "{ms}: unknown too early: {before:?}"),
                }
                if change.publish {
                    assert_eq!(view.previous, Some(before.state), "{ms}");
                    assert_eq!(view.since, Some(at(ms).wall), "{ms}");
                    changed_at = Some(ms);
                } else {
                    assert_eq!((&view.previous, view.since), (&before.previous, view.since), "{ms}");
                }
                assert_eq!(view.votes[1], account.seen.len().min(settings.confirm.of()), "{ms}: {step:?}");
            }
        }
    });
}

#[test]
fn a_crash_at_any_step_changes_nothing() {
    for_each_seed(|rng| {
        let life = Life::drawn(rng);
        let (mut whole, mut crashing) = (life.machine(), life.machine());
        let (mut stored, mut ms, mut began) = (Vec::new(), 0, 0);
        for (gap, step) in &life.steps {
            ms += gap;
            let change = play(&mut whole, &Ages::believing(at(ms)), step);
            if !stored.is_empty() && rng.random_bool(0.3) {
                crashing =
                    StateMachine::new(life.settings.clone(), serde_json::from_slice::<StateRecord>(&stored).unwrap());
                began = ms;
            }
            let now = Now { mono: Duration::from_millis(ms - began), ..at(ms) };
            let same = play(&mut crashing, &Ages::believing(now), step);
            assert_eq!((same.publish, same.is_against), (change.publish, change.is_against), "{ms}: {step:?}");
            assert_eq!(crashing.view(), whole.view(), "{ms}: {step:?}");
            let record = serde_json::to_vec(crashing.record()).unwrap();
            if same.write {
                stored = record;
            } else {
                assert_eq!(record, stored, "{ms}: what changed was not to be stored");
            }
        }
    });
}

#[test]
fn clocks_that_are_set_by_years_change_only_the_times() {
    for_each_seed(|rng| {
        let life = Life::drawn(rng);
        let (mut right, mut jumping) = (life.machine(), life.machine());
        let (mut ms, mut set) = (0, 0);
        for (gap, step) in &life.steps {
            ms += gap;
            if rng.random_bool(0.1) {
                set = rng.random_range(-30..30) * 365 * 24 * 3_600_000;
            }
            let change = play(&mut right, &Ages::believing(at(ms)), step);
            let wall = Timestamp(at(ms).wall.0 + set);
            let same = play(&mut jumping, &Ages::believing(Now { wall, ..at(ms) }), step);
            assert_eq!((same.publish, same.is_against), (change.publish, change.is_against), "{ms}: {step:?}");
            let (view, mut expected) = (jumping.view(), right.view());
            for time in [&mut expected.since, &mut expected.last_seen].into_iter().flatten() {
                time.0 += set;
            }
            assert_eq!(view, expected, "{ms}: the clock is off by {set} ms");
        }
    });
}

#[test]
fn a_record_is_bounded_and_read_back_equal() {
    for_each_seed(|rng| {
        let life = Life::drawn(rng);
        let mut machine = life.machine();
        let mut ms = 0;
        for (gap, step) in &life.steps {
            ms += gap;
            play(&mut machine, &Ages::believing(at(ms)), step);
            let text = serde_json::to_string(machine.record()).unwrap();
            assert!(text.len() < 1000 + 250 * life.settings.confirm.of(), "{} bytes", text.len());
            let read: StateRecord = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    });
}
