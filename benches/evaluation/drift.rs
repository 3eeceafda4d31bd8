//! Whether a change of the camera's pictures is noticed, and nothing else.

use std::ops::ControlFlow;

use edgetuned::eval::drift::{Monitor, Reference};
use edgetuned::head::DenseHead;
use edgetuned::train::{Settings, fit};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::data::{Data, Set};
use super::parallel;
use super::table::{Table, percent};

const ORDERS: u64 = 100;
const DIVISIONS: u64 = 20;
/// In each division.
const RUNS: u64 = 50;
const LENGTH: usize = 200;

pub fn section(data: &Data) -> String {
    let mut text = format!(
        "The reference is what the champion learned from (corn-color, training split). `found` within 60 pictures after \
         the camera changed to leaves without background, in {ORDERS} orders of the pictures, with the median and the \
         latest; before it, 48 pictures without a change. `false alarms` in {} runs of {LENGTH} pictures without a change: \
         all pictures of the set are divided {DIVISIONS} times into reference and stream, and {RUNS} streams of each \
         division are drawn with replacement.\n\n",
        DIVISIONS * RUNS
    );
    let mut table = Table::new(&["backbone", "found", "median", "latest", "false alarms"]);
    let rows = parallel::map(&data.some(), |photographs| {
        let (train, test) = (photographs.get("corn-color.train"), photographs.get("corn-color.test"));
        let segmented = photographs.get("corn-segmented.test");
        let learned = head(train);
        let detect = |seed| detect(&learned, train, test, segmented, seed);
        let mut found: Vec<Option<usize>> = (0..ORDERS).map(detect).collect();
        found.sort_by_key(|found| found.unwrap_or(usize::MAX));
        let shown = |found: Option<usize>| found.map_or_else(|| "never".to_owned(), |images| images.to_string());
        let within = found.iter().filter(|found| found.is_some_and(|images| images <= 60)).count();
        let whole = train.with(test);
        let alarms: usize = (0..DIVISIONS).map(|seed| false_alarms(&whole, seed)).sum();
        [
            photographs.backbone.clone(),
            percent(within as f64 / ORDERS as f64),
            shown(found[found.len() / 2]),
            shown(found[found.len() - 1]),
            percent(alarms as f64 / (DIVISIONS * RUNS) as f64),
        ]
    });
    for row in rows {
        table.row(&row);
    }
    text += &table.finish();
    text
}

/// A head on `train`, and the classes that models of other folds gave each picture.
fn head(train: &Set) -> (DenseHead, Vec<usize>) {
    let fitted = fit(&train.dataset(), &Settings::default(), &mut |_| ControlFlow::Continue(())).expect("sound data");
    let predicted = fitted.heldout.logits.rows().into_iter().map(|row| best(&row.to_vec())).collect();
    (fitted.dense, predicted)
}

fn best(row: &[f32]) -> usize {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0)
}

/// Pictures of `changed` until the alarm.
fn detect(
    (dense, predicted): &(DenseHead, Vec<usize>),
    train: &Set,
    before: &Set,
    changed: &Set,
    seed: u64,
) -> Option<usize> {
    let reference = Reference { z: &train.z, groups: &train.groups, predicted };
    let mut monitor = Monitor::new(&reference, seed).expect("enough pictures");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut order = |n: usize| {
        let mut rows: Vec<usize> = (0..n).collect();
        rows.shuffle(&mut random);
        rows
    };
    for row in order(before.n()).into_iter().take(48) {
        observe(&mut monitor, dense, before, row);
    }
    let rows = order(changed.n());
    rows.into_iter().position(|row| observe(&mut monitor, dense, changed, row)).map(|place| place + 1)
}

/// Shows the picture of `row`; whether that set the alarm off.
fn observe(monitor: &mut Monitor, dense: &DenseHead, set: &Set, row: usize) -> bool {
    let z = set.z.row(row).to_vec();
    let mut logits = vec![0.0; dense.classes.len()];
    dense.logits(&z, &mut logits).expect("one space");
    monitor.observe(&z, set.ids[row], best(&logits)).is_some()
}

/// Runs of one division in which something is found.
fn false_alarms(whole: &Set, seed: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: Vec<usize> = (0..whole.n()).collect();
    rows.shuffle(&mut random);
    let (first, second) = rows.split_at(whole.n() / 2);
    let (train, stream) = (whole.select(first), whole.select(second));
    let (dense, predicted) = head(&train);
    let reference = Reference { z: &train.z, groups: &train.groups, predicted: &predicted };
    let mut alarm = |run: &u64| {
        let mut monitor = Monitor::new(&reference, seed * RUNS + run).expect("enough pictures");
        (0..LENGTH).any(|_| {
            let row = random.random_range(0..stream.n());
            observe(&mut monitor, &dense, &stream, row)
        })
    };
    (0..RUNS).filter(|run| alarm(run)).count()
}
