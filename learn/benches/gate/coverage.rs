//! How often the interval of accuracy holds the true accuracy, at the edges too.

use std::fmt::Write as _;

use edgetuned_learn::eval::figures;
use edgetuned_learn::eval::proportion::clopper_pearson;
use edgetuned_learn::head::EvaluatedOn;
use edgetuned_learn::words::{ClassSet, Label, SampleId};
use ndarray::Array2;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const SIZES: [usize; 4] = [5, 24, 100, 1_000];
const SHARES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];
/// Images of a burst, and the share of bursts whose images are right or wrong together.
const BURSTS: [(usize, f64); 3] = [(1, 0.0), (5, 0.5), (5, 1.0)];

/// A table of coverages in percent over `lives` draws each, from `seed` on.
pub fn section(lives: u64, seed: u64) -> String {
    let mut text =
        "| images | bursts of | alike | p = .5 | .9 | .99 | 1 |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
    for n in SIZES {
        for (burst, alike) in BURSTS {
            let covered = SHARES.map(|share| format!("{:.1}", covered(n, share, burst, alike, lives, seed)));
            let _ = writeln!(text, "| {n} | {burst} | {:.0} % | {} |", 100.0 * alike, covered.join(" | "));
        }
    }
    for n in SIZES {
        let covered = SHARES.map(|share| format!("{:.1}", covered_live(n, share, lives, seed)));
        let _ = writeln!(text, "| {n} live | 1 | 0 % | {} |", covered.join(" | "));
    }
    text
}

fn covered(n: usize, share: f64, burst: usize, alike: f64, lives: u64, seed: u64) -> f64 {
    let groups: Vec<SampleId> = (0..n).map(|i| SampleId::of(&(i / burst).to_le_bytes())).collect();
    let classes: ClassSet = ["a", "b"].iter().filter_map(|name| Label::new(name).ok()).collect();
    // The images of a burst are of one class.
    let y: Vec<usize> = (0..n).map(|i| i / burst % 2).collect();
    let held = (seed..seed + lives).filter(|&seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut right, mut common) = (vec![false; n], None);
        for (i, right) in right.iter_mut().enumerate() {
            if i % burst == 0 {
                common = rng.random_bool(alike).then(|| rng.random_bool(share));
            }
            *right = common.unwrap_or_else(|| rng.random_bool(share));
        }
        let p = Array2::from_shape_fn((n, 2), |(i, class)| if (class == y[i]) == right[i] { 0.9 } else { 0.1 });
        let found = figures(&p, &y, &groups, &classes, EvaluatedOn::HeldOut, seed).expect("samples");
        let [low, high] = found.accuracy_interval;
        low <= share && share <= high
    });
    100.0 * held.count() as f64 / lives as f64
}

/// The same of the live figures, which know no bursts.
fn covered_live(n: usize, share: f64, lives: u64, seed: u64) -> f64 {
    let held = (seed..seed + lives).filter(|&seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let right = (0..n).filter(|_| rng.random_bool(share)).count() as u64;
        let [low, high] = clopper_pearson(right, n as u64);
        low <= share && share <= high
    });
    100.0 * held.count() as f64 / lives as f64
}
