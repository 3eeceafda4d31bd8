//! Whether probabilities and sets keep what they promise, on pictures that took no part.

use std::ops::ControlFlow;

use edgetuned::eval::calibrate;
use edgetuned::train::{Settings, fit};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::data::{Data, Set};
use super::figures::{calibration_error, calibration_floor, mean};
use super::parallel;
use super::table::{Table, percent};

/// Divisions of all pictures of a set into training and test, in the proportion of the given split.
const SPLITS: u64 = 10;
const ALPHAS: [f64; 3] = [0.05, 0.1, 0.2];

pub fn section(data: &Data) -> String {
    let mut text = format!(
        "The calibration error (ECE, 15 bins) of one split of 80 to 108 pictures is mostly the estimate's own error: \
         `floor` is what a perfectly calibrated head with the same probabilities would show. So the figure that counts is \
         pooled over the given split and {SPLITS} others, stratified. `coverage` is the share of pictures whose set holds \
         their class, for alpha = 0.05, 0.1 and 0.2; `size 1` the share of sets of one class at 0.1.\n\n"
    );
    let mut table = Table::new(&[
        "backbone, set",
        "ECE, given split",
        "mean of one split",
        "floor",
        "pooled",
        "coverage 95",
        "90",
        "80",
        "size 1",
    ]);
    let mut all = Pool::default();
    let jobs = data.backbones_and_sets();
    let pools = parallel::map(&jobs, |(photographs, set)| {
        let (train, test) = (photographs.get(&format!("{set}.train")), photographs.get(&format!("{set}.test")));
        let mut pool = Pool::default();
        pool.add(train, test, 0);
        let whole = train.with(test);
        for seed in 1..=SPLITS {
            let (train, test) = divided(&whole, test.n() as f64 / whole.n() as f64, seed);
            pool.add(&train, &test, seed);
        }
        pool
    });
    for ((photographs, set), pool) in jobs.iter().zip(pools) {
        table.row(&pool.row(&format!("{}, {set}", photographs.backbone), pool.splits[0]));
        all.merge(pool);
    }
    let given = mean(&all.splits);
    table.row(&all.row("everything", given));
    text += &table.finish();
    text
}

/// Test pictures of several splits, as their heads saw them.
#[derive(Default)]
struct Pool {
    /// Probability of the answer, and whether it was right.
    answers: Vec<(f64, bool)>,
    splits: Vec<f64>,
    floors: Vec<f64>,
    covered: [Vec<bool>; 3],
    single: Vec<bool>,
}

impl Pool {
    fn add(&mut self, train: &Set, test: &Set, seed: u64) {
        let data = train.dataset();
        let fitted = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(())).expect("sound data");
        let conformal = calibrate(&data, &fitted, 0).conformal.expect("enough is held out");
        let p = fitted.dense.probabilities_of(&test.z).expect("one space");
        let y = test.y(data.classes());
        let mut answers = Vec::new();
        for (row, &truth) in p.rows().into_iter().zip(&y) {
            let row = row.to_vec();
            let predicted = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
            answers.push((f64::from(row[predicted]), predicted == truth));
            for (covered, alpha) in self.covered.iter_mut().zip(ALPHAS) {
                covered.push(conformal.set(&row, alpha).contains(&truth));
            }
            self.single.push(conformal.set(&row, 0.1).len() == 1);
        }
        self.splits.push(calibration_error(&answers));
        let confidences: Vec<_> = answers.iter().map(|(p, _)| *p).zip(0..).collect();
        self.floors.push(calibration_floor(&confidences, 1, seed));
        self.answers.extend(answers);
    }

    fn merge(&mut self, other: Self) {
        self.answers.extend(other.answers);
        self.splits.extend(other.splits);
        self.floors.extend(other.floors);
        self.single.extend(other.single);
        for (own, others) in self.covered.iter_mut().zip(other.covered) {
            own.extend(others);
        }
    }

    fn row(&self, name: &str, given: f64) -> Vec<String> {
        let share = |held: &[bool]| percent(held.iter().filter(|held| **held).count() as f64 / held.len() as f64);
        let number = |error: f64| format!("{error:.3}");
        let mut row = vec![name.to_owned(), number(given), number(mean(&self.splits))];
        row.extend([number(mean(&self.floors)), number(calibration_error(&self.answers))]);
        row.extend(self.covered.iter().map(|covered| share(covered)));
        row.push(share(&self.single));
        row
    }
}

/// A stratified division; `share` of each class is for testing.
fn divided(whole: &Set, share: f64, seed: u64) -> (Set, Set) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for mut rows in whole.by_class().into_values() {
        rows.shuffle(&mut random);
        let cut = (share * rows.len() as f64).round() as usize;
        test.extend_from_slice(&rows[..cut]);
        train.extend_from_slice(&rows[cut..]);
    }
    (whole.select(&train), whole.select(&test))
}
