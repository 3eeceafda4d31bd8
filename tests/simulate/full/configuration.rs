//! Who writes the configuration anew in the course of a life: a task is added, one is taken out, comes back at times, and
//! is ended for good at times.

use std::time::Duration;

use edgetuned::engine::{Root, Settings};
use edgetuned::words::TaskId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::world::{Change, World, space_within};
use super::rest;
use super::tasks::Drawn;

/// What is written when.
#[derive(Default)]
pub struct Writer {
    pub changes: Vec<(Duration, Change)>,
    /// A task that is taken out and that people want to end at times.
    pub ends: Option<TaskId>,
}

impl Writer {
    /// Of a life with these tasks, to which another one comes at times. Drawn apart, so that what else happens stays.
    pub fn of(seed: u64, drawn: &Drawn, moves: Vec<(Duration, Change)>) -> Self {
        let (tasks, newcomer) = (&drawn.tasks, drawn.newcomer.clone());
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0063_6f6e_6669_6775);
        let mut writer = Self::default();
        // Who names no task means the same before and after.
        let is_default_there = tasks.iter().any(|task| task.id.is_default());
        if tasks.len() > if is_default_there { 1 } else { 2 } && rng.random_bool(0.8) {
            let leaver = tasks[rng.random_range(1..tasks.len())].clone();
            let seconds = rng.random_range(3..40);
            writer.changes.push((Duration::from_secs(seconds), Change::Goes(leaver.id.clone())));
            writer.ends = rng.random_bool(0.6).then(|| leaver.id.clone());
            if rng.random_bool(0.6) {
                let seconds = seconds + rng.random_range(1..30);
                writer.changes.push((Duration::from_secs(seconds), Change::Comes(Box::new(leaver))));
            }
        }
        writer.changes.extend(moves);
        writer.changes.extend(newcomer.map(|(from, task)| (from, Change::Comes(Box::new(task)))));
        writer.changes.sort_by_key(|(at, _)| *at);
        writer
    }
}

/// In more than half of the lives with several tasks these look through regions, and some at one of two watched folders
/// only; in most of them a region is moved, and at times moved back. Drawn apart, as above.
pub fn regions(seed: u64, drawn: &mut Drawn, settings: &mut Settings) -> Vec<(Duration, Change)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0072_6567_696f_6e73);
    if !rng.random_bool(0.6) {
        return Vec::new();
    }
    settings.roots.push(Root { path: "/side".into(), ..settings.roots[0].clone() });
    let newcomer = drawn.newcomer.as_mut().map(|(_, task)| task);
    for (place, task) in drawn.tasks.iter_mut().chain(newcomer).enumerate() {
        let eyes = drawn.eyes.entry(task.id.clone()).or_default();
        eyes.region = [0, 0, 1, 2][rng.random_range(0..4)];
        let is_by_folder = task.label_levels[0].is_some();
        eyes.roots = match rng.random_range(0..5) {
            0 if place > 0 => [true, false],
            1 if place > 0 && !is_by_folder => [false, true],
            _ => [true, true],
        };
        task.label_levels.push(None);
        task.space = space_within(settings.space, eyes.region);
    }
    let mut changes = Vec::new();
    if rng.random_bool(0.7) {
        let task = drawn.tasks[rng.random_range(0..drawn.tasks.len())].id.clone();
        let (seconds, before) = (rng.random_range(3..45), drawn.eyes[&task].region);
        changes.push((Duration::from_secs(seconds), Change::Moves(task.clone(), 3)));
        if rng.random_bool(0.3) {
            let seconds = seconds + rng.random_range(1..20);
            changes.push((Duration::from_secs(seconds), Change::Moves(task, before)));
        }
    }
    changes
}

/// Has a task ended, through either door; one that is there is not.
pub fn a_purge(world: &mut World, task: Option<&TaskId>) {
    let Some(task) = task else { return };
    let payload = format!(r#"{{"task": "{task}"}}"#);
    if world.rng.random_bool(0.5) {
        world.publish("request/purge", payload);
    } else {
        world.ask("purge", payload);
    }
}

/// The daemon reads a configuration that was written anew.
pub fn is_read(world: &mut World) {
    while world.configuration_changed() {
        world.reload();
        rest(world, 1_000, 4);
    }
}

/// When everything has come to rest: a task that is out is ended where somebody wants that, and comes back with nothing.
pub fn ends(world: &mut World, task: &TaskId) {
    if !world.removed_tasks().contains(task) {
        return;
    }
    world.check_removed_tasks();
    for _ in 0..2 {
        a_purge(world, Some(task));
        rest(world, 1_000, 8);
        assert!(world.is_ended(task), "{task} is out of the configuration and is ended");
    }
}
