//! Heads of each camera, and their predictions of its evenings.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use edgetuned::eval::calibrate;
use edgetuned::head::{Calibration, DenseHead, DoubtRates};
use edgetuned::train::{Dataset, Grouper, Settings, fit};
use edgetuned::words::{ClassSet, Label};
use ndarray::Array2;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::evening::{EVERY_S, Evening, FRAMES, TASKS};
use super::frames::{Crop, Embedded, pictures};
use super::measure::Watched;
use super::parallel;
use super::rules::Prediction;
use super::scene::Site;

/// Cameras, each over a yard of its own.
pub const SITES: u64 = 3;
/// Labelled frames of each class.
pub const SHOTS: usize = 15;
/// Seeds of the evenings: the one that labels come from, those that settings are chosen on, and those of the test.
pub const LABELLED: u64 = 1;
pub const TUNING: [u64; 2] = [11, 12];
pub const TEST: [u64; 12] = [31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42];

/// A watched evening of one task.
pub struct Played {
    pub task: usize,
    pub watched: Watched,
    pub classes: Vec<Label>,
    calibration: Calibration,
}

impl Played {
    /// The same with sets at another `prediction.abstain.alpha`.
    pub fn at_alpha(&self, alpha: f64) -> Vec<Prediction> {
        let conformal = self.calibration.conformal.as_ref().filter(|conformal| conformal.quantile(alpha).is_finite());
        let with = |prediction: &Prediction| Prediction {
            set: conformal.map(|conformal| conformal.set(&prediction.p, alpha)),
            ..prediction.clone()
        };
        self.watched.predictions.iter().map(with).collect()
    }
}

/// All that was predicted.
pub struct Yards {
    pub tuning: Vec<Played>,
    pub test: Vec<Played>,
}

/// A task's head.
struct Head {
    dense: DenseHead,
    calibration: Calibration,
}

pub fn load(cache: &Path, is_tuning: bool) -> Result<Yards, Box<dyn Error>> {
    let sites: Vec<u64> = (0..SITES).collect();
    let seeds: Vec<u64> = TUNING.into_iter().chain(TEST.into_iter().filter(|_| !is_tuning)).collect();
    let of_site = |number: &u64| site(*number, &seeds, cache).map_err(|error| error.to_string());
    let mut yards = Yards { tuning: Vec::new(), test: Vec::new() };
    for by_seed in parallel::map(&sites, of_site) {
        for (seed, played) in by_seed? {
            if TUNING.contains(&seed) { yards.tuning.extend(played) } else { yards.test.extend(played) }
        }
    }
    Ok(yards)
}

type BySeed = Vec<(u64, Vec<Played>)>;

fn site(number: u64, seeds: &[u64], cache: &Path) -> Result<BySeed, Box<dyn Error>> {
    let site = Site::new(number);
    let mut embedded = Embedded::open(&cache.join(format!("site-{number}")))?;
    let labelled = Evening::new(number, LABELLED);
    let drawn = [0, 1, 2].map(|task| draw(&labelled, task, number));
    let crops = embedded.crops(pictures(&site, &labelled, LABELLED), |task, frame| drawn[task].contains(&frame))?;
    let heads: Vec<Head> = crops
        .iter()
        .enumerate()
        .map(|(task, crops)| train(crops, &labelled, task, &embedded))
        .collect::<Result<_, Box<dyn Error>>>()?;
    let mut played = Vec::new();
    for (at, &seed) in seeds.iter().enumerate() {
        let evening = Evening::new(number, seed);
        let crops = embedded.crops(pictures(&site, &evening, seed), |_, _| true)?;
        let which = number as usize * seeds.len() + at;
        let tasks = crops.iter().enumerate().map(|(task, crops)| watch(&heads[task], crops, &evening, task, which));
        played.push((seed, tasks.collect::<Result<_, Box<dyn Error>>>()?));
    }
    Ok(played)
}

/// Frames of an evening that somebody labels: so many of each class, at random.
fn draw(evening: &Evening, task: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut by_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for frame in 0..FRAMES {
        by_class.entry(evening.truth(task, (frame as f64 + 0.5) * EVERY_S)).or_default().push(frame);
    }
    let mut drawn = Vec::new();
    for mut frames in by_class.into_values() {
        frames.shuffle(&mut rng);
        frames.truncate(SHOTS);
        drawn.extend(frames);
    }
    drawn
}

fn class_set(task: usize) -> ClassSet {
    TASKS[task].1.iter().map(|class| Label::new(class).expect("a word")).collect()
}

fn train(crops: &[Crop], evening: &Evening, task: usize, embedded: &Embedded) -> Result<Head, Box<dyn Error>> {
    let mut grouper = Grouper::default();
    let groups = crops.iter().map(|crop| grouper.assign(crop.image, &crop.embedding)).collect();
    let y = crops.iter().map(|crop| evening.truth(task, crop.s)).collect();
    let values: Vec<f32> = crops.iter().flat_map(|crop| crop.embedding.iter().copied()).collect();
    let z = Array2::from_shape_vec((crops.len(), embedded.space().dim), values)?;
    let ids = crops.iter().map(|crop| crop.image).collect();
    let data = Dataset::new(embedded.space(), z, y, class_set(task), groups, ids)?.in_parts(&embedded.parts());
    let fitted = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(()))?;
    Ok(Head { calibration: calibrate(&data, &fitted, 0), dense: fitted.dense })
}

fn watch(head: &Head, crops: &[Crop], evening: &Evening, task: usize, which: usize) -> Result<Played, Box<dyn Error>> {
    let mut predictions = Vec::new();
    for crop in crops {
        let p = head.dense.probabilities(&crop.embedding)?;
        let set = head.calibration.doubt(&p, &crop.embedding, DoubtRates::DEFAULT).set;
        predictions.push(Prediction { s: crop.s, image: crop.image, p, set });
    }
    let end_s = EVERY_S * FRAMES as f64;
    let watched = Watched { predictions, changes: evening.changes(task), end_s, evening: which };
    let classes = class_set(task).labels().to_vec();
    Ok(Played { task, watched, classes, calibration: head.calibration.clone() })
}
