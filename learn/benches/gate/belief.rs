//! Labels that are no evidence: what they cost, and what honest labels that look odd are taken for.

use edgetuned_learn::eval::belief::{Given, disbelieved};
use edgetuned_learn::eval::compare;
use edgetuned_learn::eval::gate::Rules;
use edgetuned_learn::words::Timestamp;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::world::{CREATED, Labelled, World, accuracy, champion, dataset, labelled, trained};

/// A row for each kind of wrong and of right labels, over the seeds `from..from + seeds`.
pub fn section(seeds: u64, from: u64) -> String {
    let mut text = "| labels | promoted | falls over 2 points | worst fall | left out in | labels left out | of these right | accuracy before | after |\n\
                    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    let seeds = from..from + seeds;
    for corruption in [Corruption::Shuffled, Corruption::Exchanged, Corruption::Renamed, Corruption::Noise] {
        for on_all in [true, false] {
            let name = format!("{}, {}", corruption.name(), if on_all { "all labels" } else { "a batch" });
            text += &row(&name, &seeds.clone().map(|seed| corrupted(seed, corruption, on_all)).collect::<Vec<_>>());
        }
    }
    for honest in [Honest::Plain, Honest::NewClass, Honest::Drift, Honest::Correction] {
        text += &row(honest.name(), &seeds.clone().map(|seed| self::honest(seed, honest)).collect::<Vec<_>>());
    }
    text
}

fn row(name: &str, outcomes: &[Outcome]) -> String {
    let count = |is: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let sum = |of: &dyn Fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let mean = |of: &dyn Fn(&Outcome) -> f64| 100.0 * outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
    let worst = outcomes.iter().map(|outcome| 100.0 * (outcome.before - outcome.after)).fold(0.0, f64::max);
    format!(
        "| {name} | {} | {} | {worst:.1} | {} | {} of {} | {} | {:.1} | {:.1} |\n",
        count(&|outcome| outcome.promoted),
        count(&|outcome| outcome.before - outcome.after > 0.02),
        count(&|outcome| outcome.disbelieved > 0),
        sum(&|outcome| outcome.disbelieved),
        sum(&|outcome| outcome.new),
        sum(&|outcome| outcome.doubted_right),
        mean(&|outcome| outcome.before),
        mean(&|outcome| outcome.after),
    )
}

/// How labels go wrong.
#[derive(Clone, Copy, Debug)]
enum Corruption {
    Shuffled,
    Exchanged,
    Renamed,
    Noise,
}

impl Corruption {
    fn name(self) -> &'static str {
        match self {
            Self::Shuffled => "shuffled",
            Self::Exchanged => "two classes exchanged",
            Self::Renamed => "one class named as another",
            Self::Noise => "30 % at random",
        }
    }
}

/// What is labelled rightly and contradicts the champion.
#[derive(Clone, Copy, Debug)]
enum Honest {
    Plain,
    NewClass,
    Drift,
    Correction,
}

impl Honest {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "more of the same",
            Self::NewClass => "a new class",
            Self::Drift => "drifted pictures",
            Self::Correction => "a mistake of the champion corrected",
        }
    }
}

/// What became of one device.
struct Outcome {
    new: usize,
    disbelieved: usize,
    doubted_right: usize,
    promoted: bool,
    /// True accuracy before, and of what serves afterwards.
    before: f64,
    after: f64,
}

fn corrupted(seed: u64, corruption: Corruption, on_all: bool) -> Outcome {
    let mut world = World::new(seed, 0);
    let k = world.k;
    let old = world.rng.random_range(40..160);
    let old = labelled(world.pictures(old.max(12 * k), k), false);
    let mut samples = old.clone();
    if on_all {
        let mut changed = old.clone();
        corrupt(&mut world, &mut changed, corruption);
        for (sample, changed) in samples.iter_mut().zip(changed) {
            sample.is_new = sample.label != changed.label;
            sample.label = changed.label;
        }
    } else {
        let n = world.rng.random_range(30..160);
        let mut batch = labelled(world.pictures(n, k), true);
        corrupt(&mut world, &mut batch, corruption);
        samples.extend(batch);
    }
    outcome(world, k, &old, &samples, seed)
}

fn corrupt(world: &mut World, samples: &mut [Labelled], corruption: Corruption) {
    let (k, n) = (world.k, samples.len());
    match corruption {
        Corruption::Shuffled => {
            let mut labels: Vec<usize> = samples.iter().map(|sample| sample.label).collect();
            labels.shuffle(&mut world.rng);
            samples.iter_mut().zip(labels).for_each(|(sample, label)| sample.label = label);
        }
        Corruption::Exchanged => samples.iter_mut().filter(|s| s.label < 2).for_each(|s| s.label = 1 - s.label),
        Corruption::Renamed => samples.iter_mut().filter(|s| s.label == 0).for_each(|s| s.label = 1),
        Corruption::Noise => {
            let mut places: Vec<usize> = (0..n).collect();
            places.shuffle(&mut world.rng);
            for &place in &places[..n * 3 / 10] {
                samples[place].label = (samples[place].label + world.rng.random_range(1..k)) % k;
            }
        }
    }
}

fn honest(seed: u64, honest: Honest) -> Outcome {
    let more = usize::from(matches!(honest, Honest::NewClass));
    let mut world = World::new(seed, more);
    let known = world.k - more;
    let n_old = world.rng.random_range(40..160).max(12 * known);
    let n_new = world.rng.random_range(30..160);
    let mut old = labelled(world.pictures(n_old, known), false);
    let mut samples;
    match honest {
        Honest::Plain => {
            samples = old.clone();
            samples.extend(labelled(world.pictures(n_new, known), true));
        }
        Honest::NewClass => {
            samples = old.clone();
            samples.extend(labelled(world.pictures(n_new, world.k), true));
        }
        Honest::Drift => {
            samples = old.clone();
            let length = world.rng.random_range(1.0..5.0);
            let shift = world.direction(length);
            let mut batch = world.pictures(n_new, known);
            for picture in &mut batch {
                picture.z.iter_mut().zip(&shift).for_each(|(z, shift)| *z += shift);
            }
            samples.extend(labelled(batch, true));
        }
        Honest::Correction => {
            // One kind of the pictures of class 0 had been called 1: those far out in one direction.
            let side = world.direction(1.0);
            let of = |z: &[f32]| z.iter().zip(&side).map(|(z, s)| z * s).sum::<f32>();
            let mut along: Vec<f32> = old.iter().filter(|s| s.label == 0).map(|s| of(&s.picture.z)).collect();
            along.sort_by(f32::total_cmp);
            let cut = along[along.len() * 2 / 3];
            let mut wrong = Vec::new();
            for (place, sample) in old.iter_mut().enumerate() {
                if sample.label == 0 && of(&sample.picture.z) > cut {
                    sample.label = 1;
                    wrong.push(place);
                }
            }
            samples = old.clone();
            for place in wrong {
                (samples[place].label, samples[place].is_new) = (0, true);
            }
            samples.extend(labelled(world.pictures(n_new, known), true));
        }
    }
    let k = world.k;
    outcome(world, k, &old, &samples, seed)
}

fn outcome(mut world: World, k: usize, old: &[Labelled], samples: &[Labelled], seed: u64) -> Outcome {
    let test = world.test(k);
    let champion = champion(&dataset(old).expect("two classes"));
    let before = accuracy(&champion.dense, &test);
    let new = samples.iter().filter(|sample| sample.is_new).count();
    let mut result = Outcome { new, disbelieved: 0, doubted_right: 0, promoted: false, before, after: before };
    let Some(data) = dataset(samples) else { return result };
    let given: Vec<Given> = samples
        .iter()
        .map(|sample| Given {
            at: Timestamp(if sample.is_new { CREATED.0 + 1 } else { 0 }),
            is_confirmed: false,
            was_left_out: false,
        })
        .collect();
    let (mut data, mut fitted) = (data, None);
    let all = trained(&data);
    let found = disbelieved(&data, &given, &champion, &all);
    let is_right = |&&sample: &&usize| samples[sample].label == samples[sample].picture.truth;
    result.disbelieved = found.samples.len();
    result.doubted_right = found.samples.keys().filter(is_right).count();
    if found.verdict(2, &champion).is_some() {
        return result;
    }
    if let Some(believed) = found.believed(&data) {
        fitted = Some(trained(&believed));
        data = believed;
    }
    let fitted = fitted.unwrap_or(all);
    let comparison = compare(&data, &fitted, 2, Some(&champion), &Rules { seed, ..Rules::default() });
    result.promoted = comparison.verdict.promote;
    if result.promoted {
        result.after = accuracy(&fitted.dense, &test);
    }
    result
}
