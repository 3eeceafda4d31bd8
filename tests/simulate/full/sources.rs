//! The cameras of a life with named tasks: none to three, at which some tasks look beside files, and some alone.

use std::time::Duration;

use edgetuned::engine::{Settings, SourceSettings};
use edgetuned::words::{Keep, SourceId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::world::World;
use super::rest;
use super::tasks::Drawn;

/// The names that sources have.
const NAMES: [&str; 3] = ["gate", "yard", "line"];

/// Adds the cameras of the life of this seed to its settings. Drawn apart, so that what else happens stays.
pub fn draw(seed: u64, drawn: &mut Drawn, settings: &mut Settings) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0073_6f75_7263_6573);
    let count = [0, 0, 1, 1, 2, 3][rng.random_range(0..6)];
    for name in &NAMES[..count] {
        settings.sources.push(SourceSettings {
            id: SourceId::new(name).expect("a plain word"),
            gap: Duration::from_millis([0, 200, 1_000][rng.random_range(0..3)]),
            bursts: rng.random_bool(0.3),
            unknown_after: Duration::ZERO,
            keep: [Keep::None, Keep::Changed, Keep::Labelled, Keep::All][rng.random_range(0..4)],
            tasks: 0,
        });
    }
    let newcomer = drawn.newcomer.as_ref().map(|(_, task)| task);
    let tasks: Vec<_> = drawn.tasks.iter().chain(newcomer).cloned().collect();
    for (place, task) in tasks.iter().enumerate() {
        let eyes = drawn.eyes.entry(task.id.clone()).or_default();
        eyes.sources = [0, 1, 2].map(|source| source < count && rng.random_bool(0.6));
        let is_by_folder = task.label_levels.iter().any(Option::is_some);
        if place > 0 && !is_by_folder && eyes.sources.contains(&true) && rng.random_bool(0.4) {
            eyes.roots = [false; 2];
        }
    }
}

/// When everything has come to rest, cameras that were away for long come back with one picture each, which may be the one
/// that a training waited for.
pub fn come_back(world: &mut World) {
    world.cameras_return();
    if world.cameras.are_there() {
        rest(world, 1_000, 270);
    }
}
