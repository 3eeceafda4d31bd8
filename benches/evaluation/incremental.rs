//! Classes that arrive one after another, one label at a time, with trainings by the default schedule and the gate.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::ControlFlow;

use edgetuned::eval::compare;
use edgetuned::eval::gate::Rules;
use edgetuned::head::{BackboneRef, Calibration, HeadRecord};
use edgetuned::train::{LabelStats, Settings, fit, subset};
use edgetuned::words::{Digest, Timestamp};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::accuracy;
use super::data::{Data, Set};
use super::parallel;
use super::table::{Table, percent};

/// As `training.min_new_labels`.
const EVERY: usize = 10;
/// Orders of the classes.
const ORDERS: u64 = 5;
/// As `training.max_samples`.
const MAX_SAMPLES: usize = 20_000;

pub fn section(data: &Data) -> String {
    let mut text = format!(
        "All labels of one class come before the first of the next. A training follows every {EVERY} labels, the gate \
         decides, and the last one is at the end, as the nightly one. Means over {ORDERS} orders of the classes, with the \
         range. `offline` is one fit on everything. `tenth` keeps a tenth of the \
         samples (balanced and diverse) from the first to the last, and learns from the sums of those that went; \
         `forgetful` does not.\n\n"
    );
    let mut table = Table::new(&[
        "backbone, set",
        "offline",
        "stream",
        "of offline",
        "range",
        "promoted",
        "kept out",
        "tenth",
        "of offline",
        "range",
        "forgetful",
        "of offline",
    ]);
    let jobs = data.backbones_and_sets();
    let measured = parallel::map(&jobs, |(photographs, set)| {
        let (train, test) = (photographs.get(&format!("{set}.train")), photographs.get(&format!("{set}.test")));
        let offline = accuracy::accuracy(&accuracy::head(train, 0), test);
        let lives = |max, remembers| Lives::of((0..ORDERS).map(|seed| stream(train, test, max, remembers, seed)));
        let tenth = train.n() / 10;
        (offline, [lives(usize::MAX, true), lives(tenth, true), lives(tenth, false)])
    });
    let mut means = [0.0; 3];
    for ((photographs, set), (offline, all)) in jobs.iter().zip(&measured) {
        let [whole, tenth, forgetful] = all;
        let share = |accuracy: f64| format!("{:.3}", accuracy / offline);
        let range = |lives: &Lives| format!("{}-{}", share(lives.lowest), share(lives.highest));
        let mut row = vec![format!("{}, {set}", photographs.backbone), percent(*offline)];
        row.extend([percent(whole.accuracy), share(whole.accuracy), range(whole)]);
        row.extend([format!("{:.1}", whole.promoted), format!("{:.1}", whole.refused)]);
        row.extend([percent(tenth.accuracy), share(tenth.accuracy), range(tenth)]);
        row.extend([percent(forgetful.accuracy), share(forgetful.accuracy)]);
        table.row(&row);
        for (mean, lives) in means.iter_mut().zip(all) {
            *mean += lives.accuracy / offline / jobs.len() as f64;
        }
    }
    text += &table.finish();
    let _ = writeln!(
        text,
        "\nMean over the rows: {:.3} of offline; with a tenth {:.3}, without memory of the rest {:.3}.",
        means[0], means[1], means[2]
    );
    text
}

/// Several lives taken together: means, and the range of their accuracy.
struct Lives {
    accuracy: f64,
    lowest: f64,
    highest: f64,
    promoted: f64,
    refused: f64,
}

impl Lives {
    fn of(lives: impl Iterator<Item = Outcome>) -> Self {
        let lives: Vec<Outcome> = lives.collect();
        let mean = |of: &dyn Fn(&Outcome) -> f64| lives.iter().map(of).sum::<f64>() / lives.len() as f64;
        Self {
            accuracy: mean(&|life| life.accuracy),
            lowest: lives.iter().map(|life| life.accuracy).fold(f64::INFINITY, f64::min),
            highest: lives.iter().map(|life| life.accuracy).fold(0.0, f64::max),
            promoted: mean(&|life| life.promoted as f64),
            refused: mean(&|life| life.refused as f64),
        }
    }
}

struct Outcome {
    accuracy: f64,
    promoted: usize,
    refused: usize,
}

/// A life in which `max` samples at most are kept, and what goes is remembered by its sums or not at all.
fn stream(train: &Set, test: &Set, max: usize, remembers: bool, seed: u64) -> Outcome {
    let mut classes: Vec<Vec<usize>> = train.by_class().into_values().collect();
    classes.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let order: Vec<usize> = classes.into_iter().flatten().collect();
    let mut past = LabelStats::new(train.space);
    let (mut kept, mut champion): (Vec<usize>, Option<HeadRecord>) = (Vec::new(), None);
    let (mut promoted, mut refused) = (0, 0);
    for (count, &row) in order.iter().enumerate() {
        kept.push(row);
        if kept.len() > max {
            let part = train.select(&kept);
            let classes = part.classes();
            let chosen = subset(&part.y(&classes), &part.groups, &part.ids, max, 0);
            let chosen: Vec<usize> = chosen.into_iter().map(|place| kept[place]).collect();
            // What stays carries the information of its near-duplicates.
            let groups: BTreeSet<_> = chosen.iter().map(|row| train.groups[*row]).collect();
            let is_gone = |row: &&usize| !chosen.contains(row) && !groups.contains(&train.groups[**row]);
            for gone in kept.iter().filter(is_gone) {
                past.set(train.ids[*gone], Some(&train.labels[*gone]), &train.z.row(*gone).to_vec());
            }
            kept = chosen;
        }
        let part = train.select(&kept);
        if (count + 1) % EVERY != 0 && count + 1 < order.len() || part.classes().len() < 2 {
            continue;
        }
        let mut data = part.dataset();
        if remembers {
            let room = MAX_SAMPLES - data.n();
            data = data.remembering(past.clone(), room);
        }
        let fitted = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(())).expect("sound data");
        let version = champion.as_ref().map_or(1, |champion| champion.head.version + 1);
        let comparison = compare(&data, &fitted, version, champion.as_ref(), &Rules::default());
        if comparison.verdict.promote {
            promoted += 1;
            let backbone = BackboneRef { name: String::new(), sha256: Digest::of(b""), dim: train.space.dim };
            let (figures, calibration) = (comparison.challenger, Calibration::default());
            champion = Some(fitted.into_record(version, Timestamp(0), backbone, figures, calibration));
        } else {
            refused += 1;
        }
    }
    let champion = champion.expect("the first head serves");
    Outcome { accuracy: accuracy::accuracy(&champion.dense, test), promoted, refused }
}
