//! Classes that arrive one after another, one label at a time, with trainings by the default schedule and the gate.

use std::ops::ControlFlow;

use edgetuned::eval::compare;
use edgetuned::eval::gate::Rules;
use edgetuned::head::{BackboneRef, Calibration, HeadRecord};
use edgetuned::train::{Learner, Settings, Statistics, fit, subset};
use edgetuned::words::{Digest, HeadRef, Timestamp};

use super::accuracy;
use super::data::{Photographs, Set};
use super::table::{Table, percent};

/// As `training.min_new_labels`.
const EVERY: usize = 10;

pub fn section(photographs: &[Photographs]) -> String {
    let mut text = format!(
        "All labels of one class come before the first of the next. A training follows every {EVERY} labels, the gate \
         decides, and labels correct at once in between; the last training is at the end, as the nightly one. `offline` \
         is one fit on everything. `tenth` keeps a tenth of the samples (balanced and diverse) from the first to the \
         last; `statistics` is the discriminant of the exact sums of all labels, which needs no sample at all.\n\n"
    );
    let mut table = Table::new(&[
        "backbone, set",
        "offline",
        "stream",
        "of offline",
        "promoted",
        "kept out",
        "tenth",
        "of offline",
        "statistics",
        "of offline",
    ]);
    for photographs in photographs {
        for set in ["trashnet", "corn-color"] {
            let (train, test) = (photographs.get(&format!("{set}.train")), photographs.get(&format!("{set}.test")));
            let offline = accuracy::of(train, test);
            let whole = stream(train, test, usize::MAX);
            let tenth = stream(train, test, train.n() / 10);
            let mut row = vec![format!("{}, {set}", photographs.backbone), percent(offline)];
            row.extend([percent(whole.accuracy), format!("{:.3}", whole.accuracy / offline)]);
            row.extend([whole.promoted.to_string(), whole.refused.to_string()]);
            row.extend([percent(tenth.accuracy), format!("{:.3}", tenth.accuracy / offline)]);
            row.extend([percent(whole.statistics), format!("{:.3}", whole.statistics / offline)]);
            table.row(&row);
        }
    }
    text += &table.finish();
    text
}

struct Outcome {
    accuracy: f64,
    statistics: f64,
    promoted: usize,
    refused: usize,
}

/// A life in which `max` samples at most are kept.
fn stream(train: &Set, test: &Set, max: usize) -> Outcome {
    let order: Vec<usize> = train.by_class().into_values().flatten().collect();
    let mut learner = Learner::new(Statistics::new(train.space));
    let (mut kept, mut champion): (Vec<usize>, Option<HeadRecord>) = (Vec::new(), None);
    let (mut promoted, mut refused) = (0, 0);
    for (count, &row) in order.iter().enumerate() {
        learner.learn(train.ids[row], Timestamp(count as i64), Some(&train.labels[row]), &values(train, row));
        kept.push(row);
        if kept.len() > max {
            let part = train.select(&kept);
            let classes = part.classes();
            let chosen = subset(&part.y(&classes), &part.groups, &part.ids, max, 0);
            kept = chosen.into_iter().map(|place| kept[place]).collect();
        }
        let part = train.select(&kept);
        if (count + 1) % EVERY != 0 && count + 1 < order.len() || part.classes().len() < 2 {
            continue;
        }
        let data = part.dataset();
        let fitted = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(())).expect("sound data");
        let version = champion.as_ref().map_or(1, |champion| champion.head.version + 1);
        let comparison = compare(&data, &fitted, version, champion.as_ref(), &Rules::default());
        if comparison.verdict.promote {
            promoted += 1;
            champion = Some(HeadRecord {
                head: HeadRef { id: fitted.dense.id(), version },
                created: Timestamp(0),
                backbone: BackboneRef { name: String::new(), sha256: Digest::of(b""), dim: train.space.dim },
                dense: fitted.dense,
                training: fitted.facts,
                figures: comparison.challenger,
                heldout: fitted.heldout,
                calibration: Calibration::default(),
            });
        } else {
            refused += 1;
        }
        learner.settle(Timestamp(count as i64 + 1));
        if learner.is_due() {
            // Too few labels to have any scatter yet.
            let _ = learner.anchor();
        }
    }
    let champion = champion.expect("the first head serves");
    Outcome {
        accuracy: accuracy::accuracy(&champion.dense, test),
        statistics: statistics(&learner, test),
        promoted,
        refused,
    }
}

fn values(set: &Set, row: usize) -> Vec<f32> {
    set.z.row(row).to_vec()
}

/// Accuracy of the discriminant of the statistics alone.
fn statistics(learner: &Learner, test: &Set) -> f64 {
    let Some((weights, bias)) = learner.head() else { return 0.0 };
    let classes = learner.statistics().classes();
    let right = (0..test.n()).filter(|&row| {
        let z = values(test, row);
        let length = z.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let score = |class: usize| {
            weights.row(class).iter().zip(&z).map(|(w, v)| w * f64::from(*v) / length).sum::<f64>() + bias[class]
        };
        let best = (0..classes.len()).max_by(|a, b| score(*a).total_cmp(&score(*b)));
        best.is_some_and(|best| classes[best] == test.labels[row])
    });
    right.count() as f64 / test.n() as f64
}
