//! The tasks of a life: half of the lives have one without a name, the others one to six with names.

use std::collections::BTreeMap;
use std::time::Duration;

use edgetuned::engine::{Confirm, PromotionPolicy, ScheduleSettings, Settings, StateSettings, TaskSettings, TuneWhen};
use edgetuned::words::TaskId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::world::Eyes;

/// The names that tasks have. None is called `gate`, which people name nevertheless.
const NAMES: [&str; 7] = ["default", "door", "bin", "lid", "belt", "lamp", "bell"];

/// The named tasks of a life.
pub struct Drawn {
    pub tasks: Vec<TaskSettings>,
    pub eyes: BTreeMap<TaskId, Eyes>,
    /// The one that the configuration names from this time on.
    pub newcomer: Option<(Duration, TaskSettings)>,
    /// Whether people have labels changed into others and take changes back.
    pub revises: bool,
}

impl Drawn {
    /// The tasks of the life of this seed; `None` where it has one without a name. Drawn apart, so that such a life is
    /// what it was.
    pub fn of(seed: u64, settings: &Settings) -> Option<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0000_0074_6173_6b73);
        if rng.random_bool(0.5) {
            return None;
        }
        let count = rng.random_range(1..=6);
        let first = rng.random_range(0..2);
        let by_folder = rng.random_bool(0.7).then(|| rng.random_range(0..count));
        let mut drawn = Self { tasks: Vec::new(), eyes: BTreeMap::new(), newcomer: None, revises: false };
        for place in 0..count {
            let id: TaskId = NAMES[first + place].parse().expect("a plain word");
            let is_by_folder = by_folder == Some(place);
            // Every image is one of the first task's.
            let one_of = if place == 0 || rng.random_bool(0.6) { 1 } else { [2, 4][rng.random_range(0..2)] };
            let shift = if is_by_folder { 0 } else { rng.random_range(0..3) };
            drawn.eyes.insert(id.clone(), Eyes { one_of, shift, ..Eyes::default() });
            drawn.tasks.push(task(&mut rng, settings, id, is_by_folder));
        }
        // Who names no task means the same before and after.
        if count > 2 && rng.random_bool(0.4) {
            let from = Duration::from_secs(rng.random_range(10..50));
            drawn.newcomer = drawn.tasks.pop().map(|task| (from, task));
        }
        drawn.revises = rng.random_bool(0.15);
        tune(seed, drawn.tasks.iter_mut().chain(drawn.newcomer.as_mut().map(|(_, task)| task)));
        Some(drawn)
    }
}

fn task(rng: &mut ChaCha8Rng, settings: &Settings, id: TaskId, is_by_folder: bool) -> TaskSettings {
    let cron = rng.random_bool(0.8).then(|| format!("*/{} * * * *", rng.random_range(1..5)));
    let state = rng.random_bool(0.6).then(|| {
        let of = rng.random_range(1..6);
        StateSettings {
            confirm: Confirm::new(rng.random_range(1..=of), of).expect("at most as many votes as predictions"),
            hold: Duration::from_secs([0, 0, 3, 20][rng.random_range(0..4)]),
            thresholds: BTreeMap::new(),
            unknown_after: Duration::from_secs(rng.random_range(20..200)),
        }
    });
    TaskSettings {
        id,
        space: settings.space,
        label_levels: vec![is_by_folder.then_some(1)],
        schedule: ScheduleSettings {
            cron: cron.map(|cron| cron.parse().expect("a plain pattern")),
            zone: jiff::tz::TimeZone::UTC,
            min_new_labels: rng.random_range(2..8),
            cooldown: Duration::from_secs(rng.random_range(1..15)),
            tunes: false,
        },
        tune: TuneWhen::Never,
        promotion: match rng.random_range(0..10) {
            0 => PromotionPolicy::Always,
            1 => PromotionPolicy::Manual,
            _ => PromotionPolicy::Gated,
        },
        shadow_images: if rng.random_bool(0.5) { 3 } else { 0 },
        state,
    }
}

/// Which of the tasks have a second phase, and when. Drawn apart, so that what else they are stays.
pub fn tune<'a>(seed: u64, tasks: impl Iterator<Item = &'a mut TaskSettings>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0000_0074_756e_6573);
    for task in tasks {
        task.tune = [TuneWhen::Never, TuneWhen::Manual, TuneWhen::Schedule][rng.random_range(0..3)];
        task.schedule.tunes = task.tune == TuneWhen::Schedule;
    }
}
