//! Wrong labels: how early they are shown, and what they cost.

use std::ops::ControlFlow;

use edgetuned::eval::label_errors::label_errors;
use edgetuned::train::{Settings, fit};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::accuracy;
use super::data::{Data, SETS, Set};
use super::figures::mean;
use super::parallel;
use super::table::{Table, percent};

const DRAWS: u64 = 5;
const FLIPPED: f64 = 0.1;
const LOOKED_AT: f64 = 0.15;

pub fn section(data: &Data) -> String {
    let mut text = format!(
        "A tenth of the labels is changed to another class at random ({DRAWS} draws). `found` is the share of the changed \
         ones among the first 15 % of the suspicious list; a list in random order finds 15. `loss` is the accuracy on \
         test pictures that the wrong labels cost.\n\n"
    );
    let mut table = Table::new(&["backbone, set", "found", "clean", "noisy", "loss"]);
    let jobs = data.backbones_and_sets();
    let measured = parallel::map(&jobs, |(photographs, set)| {
        let (train, test) = (photographs.get(&format!("{set}.train")), photographs.get(&format!("{set}.test")));
        let clean = accuracy::accuracy(&accuracy::head(train, 0), test);
        let outcomes: Vec<(f64, f64)> = (0..DRAWS).map(|seed| noisy(train, test, seed)).collect();
        let of = |pick: fn(&(f64, f64)) -> f64| mean(&outcomes.iter().map(pick).collect::<Vec<_>>());
        (of(|outcome| outcome.0), clean, of(|outcome| outcome.1))
    });
    for ((photographs, set), (found, clean, noisy)) in jobs.iter().zip(&measured) {
        let name = format!("{}, {set}", photographs.backbone);
        table.row(&[name, percent(*found), percent(*clean), percent(*noisy), percent(clean - noisy)]);
    }
    for name in SETS {
        let of_set: Vec<_> = jobs.iter().zip(&measured).filter(|((_, set), _)| *set == name).collect();
        let of = |pick: fn(&(f64, f64, f64)) -> f64| mean(&of_set.iter().map(|(_, row)| pick(row)).collect::<Vec<_>>());
        let (found, loss) = (of(|row| row.0), of(|row| row.1 - row.2));
        table.row(&[format!("mean, {name}"), percent(found), String::new(), String::new(), percent(loss)]);
    }
    text += &table.finish();
    text
}

/// Share of the flips that are found, and accuracy of the fit on the noisy labels.
fn noisy(train: &Set, test: &Set, seed: u64) -> (f64, f64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let classes = train.classes();
    let mut rows: Vec<usize> = (0..train.n()).collect();
    rows.shuffle(&mut random);
    let flipped = &rows[..(FLIPPED * train.n() as f64).round() as usize];
    let mut changed = train.clone();
    for &row in flipped {
        let others: Vec<_> = classes.labels().iter().filter(|label| **label != train.labels[row]).collect();
        changed.labels[row] = others[random.random_range(0..others.len())].clone();
    }
    let data = changed.dataset();
    let fitted = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(())).expect("sound data");
    let suspects = label_errors(&data, &fitted.dense, &fitted.heldout);
    let looked_at = (LOOKED_AT * train.n() as f64).round() as usize;
    let found = suspects.iter().take(looked_at).filter(|suspect| flipped.contains(&suspect.sample)).count();
    (found as f64 / flipped.len() as f64, accuracy::accuracy(&fitted.dense, test))
}
