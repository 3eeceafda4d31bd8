//! Floods from a camera that is broken: pictures that cannot be read while the broker is away, and the same picture
//! again and again under names that come and go.

use std::path::PathBuf;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::world::{Content, World};
use super::people::{self, Actions};
use super::rest;

/// Names of the first flood of repeated pictures; the second one has four times as many.
const NAMES: usize = 50;
/// Files that are there at a time.
const LIVING: usize = 8;
/// How many more bytes the engine's text may have after the longer flood: figures have more digits, and a training may
/// have ended. One name in a list would be more, three times [`NAMES`] times.
const MEMORY: usize = 4_000;
/// The same for each further task: what its errors are compared with is remembered in more parts.
const MEMORY_OF_TASK: usize = 500;

/// Which floods come in a life.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// The step at which broken pictures come.
    pub broken: Option<usize>,
    /// Whether repeated pictures come when everything has come to rest.
    pub repeated: bool,
}

impl Flood {
    pub fn random(rng: &mut ChaCha8Rng, steps: usize) -> Self {
        let broken = rng.random_bool(0.1).then(|| rng.random_range(steps / 4..steps));
        Self { broken, repeated: rng.random_bool(0.06) }
    }
}

/// Predictions wait for the broker; then 120 pictures come within four seconds that are none. Most are removed when
/// the broker is back.
pub fn broken_pictures(world: &mut World, actions: &mut Actions) {
    world.counts.floods += 1;
    // Where it refuses something it stays.
    if world.broker.refuses.is_none() {
        world.broker_goes();
    }
    for _ in 0..8 {
        people::an_image(world, actions);
    }
    let mut broken = Vec::new();
    for step in 0..40 {
        for n in 0..3 {
            let path = PathBuf::from(format!("/in/burst-{}-{step}-{n}.jpg", actions.images));
            actions.broken.insert(path.clone());
            world.create(path.clone(), Content::Hostile, 1);
            broken.push(path);
        }
        world.advance();
    }
    rest(world, 500, 40);
    world.broker.is_away = false;
    broken.iter().skip(5).for_each(|path| world.moves(path, None));
}

/// What a flood cost.
struct Cost {
    memory: usize,
    rows: usize,
    work: f64,
}

/// The same pictures come again under ever new names, and broken ones; what the engine remembers of it, the rows in the
/// store and the work for each do not depend on how many names there were.
pub fn repeated_pictures(world: &mut World, actions: &mut Actions) {
    world.counts.floods += 1;
    let numbers = [(); 3].map(|()| actions.next_number());
    let begin = actions.images;
    let mut flood = |names: usize| {
        let work = world.observed.bounds.work;
        for n in 0..names + LIVING {
            let name = |n: usize| PathBuf::from(format!("/in/again-{begin}-{names}-{n}.jpg"));
            if n < names {
                let content = if n % 4 == 3 { Content::Hostile } else { Content::Image(numbers[n % 3]) };
                world.create(name(n), content, 1);
            }
            if n >= LIVING {
                world.moves(&name(n - LIVING), None);
            }
            world.advance_by(250);
        }
        rest(world, 1_000, 70);
        let work = (world.observed.bounds.work - work) as f64 / names as f64;
        Cost { memory: world.memory(), rows: world.rows_of_files(), work }
    };
    let (short, long) = (flood(NAMES), flood(4 * NAMES));
    assert!(long.work < 1.2 * short.work + 1.0, "a name brings {:.1} changes, then {:.1}", short.work, long.work);
    assert_eq!(long.rows, short.rows, "rows of files stay as many");
    let room = MEMORY + (world.model.tasks.len() - 1) * MEMORY_OF_TASK;
    assert!(long.memory < short.memory + room, "{} bytes are remembered, then {}", short.memory, long.memory);
}
