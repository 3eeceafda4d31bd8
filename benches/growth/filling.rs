//! Generated samples, written as the daemon writes them.

use std::error::Error;
use std::path::Path;

use edgetuned::backbone::Manifest;
use edgetuned::engine::{LabelSource, Look, NewSample, Write};
use edgetuned::store::{OpenOptions, Precision, SpacesInUse, Store};
use edgetuned::words::{EmbeddingSpace, Label, Origin, SampleId, TaskId, Timestamp};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Values of an embedding.
pub const DIM: usize = 512;
pub const CLASSES: u64 = 8;
/// One in so many has a label.
pub const LABELLED_ONE_OF: u64 = 5;
/// Images of a burst.
const BURST: u64 = 4;
/// Samples of a commit.
const COMMIT: u64 = 2_000;
/// Different deviations from the middle of a class; a sample has the sum of two.
const DEVIATIONS: usize = 509;

/// What samples are drawn from.
pub struct Generator {
    space: EmbeddingSpace,
    middles: Vec<Vec<f32>>,
    deviations: Vec<Vec<f32>>,
}

impl Generator {
    pub fn new(space: EmbeddingSpace) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(23);
        let mut rows = |count: usize, scale: f32| -> Vec<Vec<f32>> {
            (0..count).map(|_| (0..DIM).map(|_| random.random_range(-scale..scale)).collect()).collect()
        };
        Self { space, middles: rows(CLASSES as usize, 0.5), deviations: rows(DEVIATIONS, 1.0) }
    }

    /// (512,) of sample `n`.
    pub fn embedding(&self, n: u64) -> Vec<f32> {
        let middle = &self.middles[(n % CLASSES) as usize];
        let place = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % DEVIATIONS;
        let (one, other) = (&self.deviations[place(n)], &self.deviations[place(n + 1_000_003)]);
        middle.iter().zip(one).zip(other).map(|((middle, one), other)| middle + one + other).collect()
    }

    pub fn sample(&self, n: u64) -> Result<Write, Box<dyn Error>> {
        let look = Look { task: TaskId::default(), space: self.space, predicted: None };
        Ok(Write::Sample(Box::new(NewSample {
            id: id(n),
            origin: Origin::Source("porch".parse()?),
            bytes: 100_000,
            arrived_at: Timestamp(1_750_000_000_000 + n as i64 * 1_000),
            embeddings: vec![(self.space, self.embedding(n))],
            group: id(n / BURST * BURST),
            looks: vec![look],
            thumbnail: None,
            picture: None,
        })))
    }
}

pub fn id(n: u64) -> SampleId {
    SampleId::of(&n.to_le_bytes())
}

pub fn class(n: u64) -> String {
    format!("class {}", n % CLASSES)
}

/// The label of sample `n`.
pub fn label(n: u64) -> Result<Write, Box<dyn Error>> {
    let (label, at) = (Label::new(&class(n))?, Timestamp(1_750_000_000_500 + n as i64 * 1_000));
    let (task, source) = (TaskId::default(), LabelSource::Mqtt);
    Ok(Write::Label { task, id: id(n), label: Some(label), source, at, change: Some(n / COMMIT) })
}

/// The store in `folder`, as the daemon opens it.
pub fn open(folder: &Path, manifest: &Manifest) -> Result<Store, Box<dyn Error>> {
    let backbone = manifest.reference();
    let spaces = SpacesInUse::whole(manifest.space());
    Ok(Store::open(folder, &OpenOptions { spaces, backbone: &backbone, precision: Precision::F16 })?)
}

/// Adds the samples from `from` on, below `to`.
pub fn fill(store: &mut Store, generator: &Generator, from: u64, to: u64) -> Result<(), Box<dyn Error>> {
    for first in (from..to).step_by(COMMIT as usize) {
        let mut writes = Vec::new();
        for n in first..to.min(first + COMMIT) {
            writes.push(generator.sample(n)?);
            // Not in step with the classes.
            if (n / CLASSES).is_multiple_of(LABELLED_ONE_OF) {
                writes.push(label(n)?);
            }
        }
        store.commit(&writes)?;
    }
    Ok(())
}
