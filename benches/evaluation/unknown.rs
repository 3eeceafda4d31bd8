//! One class is left out in turn: how well the novelty score separates its images from those of the others.

use std::ops::ControlFlow;

use edgetuned::eval::calibrate;
use edgetuned::train::{Settings, fit};
use edgetuned::words::Label;

use super::data::{Photographs, Set};
use super::peer;
use super::table::{Table, mean, percent, percent_or};

pub fn section(photographs: &[Photographs]) -> String {
    let mut text = String::from(
        "Trained without one class, tested on the test pictures of the others against all pictures of the one left out. \
         AUROC is the chance that a picture of the left-out class has the higher score; 50 is guessing. `max-softmax` is \
         one minus the largest probability of our head, the peer the same of scikit-learn's `LogisticRegression`. `false \
         alarms` are known pictures called unknown at the default percentile of 99, `found` pictures of the left-out \
         class called so. `far` is AUROC and found for pictures of the other set.\n\n",
    );
    let mut table =
        Table::new(&["backbone", "novelty", "max-softmax", "peer", "false alarms", "found", "far", "far, found"]);
    for photographs in photographs {
        let (mut ours, mut softmax, mut peers, mut alarms, mut found) = (vec![], vec![], vec![], vec![], vec![]);
        let (mut far, mut far_found) = (vec![], vec![]);
        for (set, other) in [("trashnet", "corn-color"), ("corn-color", "trashnet")] {
            let (train, test) = (photographs.get(&format!("{set}.train")), photographs.get(&format!("{set}.test")));
            for class in train.classes().labels() {
                let task = Task::new(train, test, class);
                let scored = score(&task, photographs.get(&format!("{other}.test")));
                ours.push(auroc(&scored.known, &scored.unknown));
                softmax.push(auroc(&scored.known_doubt, &scored.unknown_doubt));
                alarms.push(above(&scored.known, scored.threshold));
                found.push(above(&scored.unknown, scored.threshold));
                far.push(auroc(&scored.known, &scored.far));
                far_found.push(above(&scored.far, scored.threshold));
                peers.extend(peer_auroc(&task));
            }
        }
        table.row(&[
            photographs.backbone.clone(),
            percent(mean(&ours)),
            percent(mean(&softmax)),
            percent_or((!peers.is_empty()).then(|| mean(&peers))),
            percent(mean(&alarms)),
            percent(mean(&found)),
            percent(mean(&far)),
            percent(mean(&far_found)),
        ]);
    }
    text += &table.finish();
    text
}

/// Known classes to learn, and test pictures of them and of the class left out.
struct Task {
    train: Set,
    known: Set,
    unknown: Set,
}

impl Task {
    fn new(train: &Set, test: &Set, left_out: &Label) -> Self {
        let rows =
            |set: &Set, of: bool| (0..set.n()).filter(|&row| (set.labels[row] == *left_out) == of).collect::<Vec<_>>();
        let unknown = train.select(&rows(train, true)).with(&test.select(&rows(test, true)));
        Self { train: train.select(&rows(train, false)), known: test.select(&rows(test, false)), unknown }
    }
}

struct Scores {
    known: Vec<f64>,
    unknown: Vec<f64>,
    far: Vec<f64>,
    known_doubt: Vec<f64>,
    unknown_doubt: Vec<f64>,
    threshold: f64,
}

fn score(task: &Task, far: &Set) -> Scores {
    let data = task.train.dataset();
    let fitted = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(())).expect("sound data");
    let novelty = calibrate(&data, &fitted, 0).novelty.expect("enough is held out");
    let of = |set: &Set| set.z.rows().into_iter().map(|z| novelty.score(&z.to_vec())).collect::<Vec<f64>>();
    let doubt = |set: &Set| {
        let p = fitted.dense.probabilities_of(&set.z).expect("one space");
        p.rows().into_iter().map(|row| 1.0 - f64::from(row.fold(0.0, |top: f32, p| top.max(*p)))).collect::<Vec<f64>>()
    };
    Scores {
        known: of(&task.known),
        unknown: of(&task.unknown),
        far: of(far),
        known_doubt: doubt(&task.known),
        unknown_doubt: doubt(&task.unknown),
        threshold: novelty.threshold(99.0).expect("enough is held out"),
    }
}

fn peer_auroc(task: &Task) -> Option<f64> {
    let answer = peer::ask("msp", &task.train, &task.known.with(&task.unknown))?;
    let confidence: Vec<f64> = answer["confidence"].as_array()?.iter().filter_map(serde_json::Value::as_f64).collect();
    let doubt: Vec<f64> = confidence.iter().map(|confidence| 1.0 - confidence).collect();
    Some(auroc(&doubt[..task.known.n()], &doubt[task.known.n()..]))
}

/// The chance that one of `high` is above one of `low`; ties are half.
fn auroc(low: &[f64], high: &[f64]) -> f64 {
    let wins: f64 = high
        .iter()
        .map(|high| {
            low.iter().map(|low| if high > low { 1.0 } else { 0.5 * f64::from(u8::from(high >= low)) }).sum::<f64>()
        })
        .sum();
    wins / (low.len() * high.len()) as f64
}

fn above(scores: &[f64], threshold: f64) -> f64 {
    scores.iter().filter(|score| **score > threshold).count() as f64 / scores.len() as f64
}
