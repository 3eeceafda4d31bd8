//! One class is left out in turn: how well the novelty score separates its images from those of the others.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use edgetuned::eval::calibrate;
use edgetuned::train::{Settings, fit};
use edgetuned::words::Label;

use super::data::{Data, Photographs, Set};
use super::figures::{Bar, mean};
use super::table::{Table, percent, percent_or};
use super::{parallel, peer};

/// Of AUROC with the backbone `default`, in %.
const BAR: f64 = 85.0;

pub fn section(data: &Data) -> String {
    let mut text = String::from(
        "Trained without one class, tested on the test pictures of the others against all pictures of the one left out; \
         means over the six classes of trashnet and the four of corn-color. AUROC is the chance that a picture of the \
         left-out class has the higher score; 50 is guessing. `max-softmax` is one minus the largest probability of our \
         head, the peer the same of scikit-learn's `LogisticRegression`. `false alarms` are known pictures called unknown \
         at the default percentile of 99, `found` pictures of the left-out class called so. `far` is AUROC and found for \
         pictures of the other set.\n\n",
    );
    let mut table =
        Table::new(&["backbone", "novelty", "max-softmax", "peer", "false alarms", "found", "far", "far, found"]);
    let jobs: Vec<_> = data
        .photographs
        .iter()
        .flat_map(|photographs| {
            [("trashnet", "corn-color"), ("corn-color", "trashnet")].map(|sets| (photographs, sets))
        })
        .collect();
    let measured = parallel::map(&jobs, |(photographs, (set, other))| Measured::of(photographs, set, other));
    for (photographs, sets) in data.photographs.iter().zip(measured.chunks(2)) {
        let of = |pick: fn(&Measured) -> &Vec<f64>| mean(&sets.iter().flat_map(pick).copied().collect::<Vec<_>>());
        let novelty = of(|measured| &measured.novelty);
        if photographs.backbone == "default" {
            let verdict = Bar::AtLeast(BAR).verdict(100.0 * novelty);
            let measured = percent(novelty);
            let _ = write!(text, "Bar, with `default`: AUROC at least {BAR}; measured is {measured}: {verdict}.\n\n");
        }
        table.row(&[
            photographs.backbone.clone(),
            percent(novelty),
            percent(of(|measured| &measured.softmax)),
            percent_or(sets.iter().all(|set| !set.peer.is_empty()).then(|| of(|measured| &measured.peer))),
            percent(of(|measured| &measured.alarms)),
            percent(of(|measured| &measured.found)),
            percent(of(|measured| &measured.far)),
            percent(of(|measured| &measured.far_found)),
        ]);
    }
    text += &table.finish();
    text
}

/// Figures of one set, by the class left out.
#[derive(Default)]
struct Measured {
    novelty: Vec<f64>,
    softmax: Vec<f64>,
    /// Empty where it did not run.
    peer: Vec<f64>,
    alarms: Vec<f64>,
    found: Vec<f64>,
    far: Vec<f64>,
    far_found: Vec<f64>,
}

impl Measured {
    fn of(photographs: &Photographs, set: &str, other: &str) -> Self {
        let (train, test) = (photographs.get(&format!("{set}.train")), photographs.get(&format!("{set}.test")));
        let mut measured = Self { peer: peer_aurocs(train, test).unwrap_or_default(), ..Self::default() };
        for class in train.classes().labels() {
            let scored = score(&Task::new(train, test, class), photographs.get(&format!("{other}.test")));
            measured.novelty.push(auroc(&scored.known, &scored.unknown));
            measured.softmax.push(auroc(&scored.known_doubt, &scored.unknown_doubt));
            measured.alarms.push(above(&scored.known, scored.threshold));
            measured.found.push(above(&scored.unknown, scored.threshold));
            measured.far.push(auroc(&scored.known, &scored.far));
            measured.far_found.push(above(&scored.far, scored.threshold));
        }
        measured
    }
}

/// Known classes to learn, and test pictures of them and of the class left out.
struct Task {
    train: Set,
    known: Set,
    unknown: Set,
}

impl Task {
    fn new(train: &Set, test: &Set, left_out: &Label) -> Self {
        let unknown = train.select(&rows(train, left_out, true)).with(&test.select(&rows(test, left_out, true)));
        let of = |set: &Set| set.select(&rows(set, left_out, false));
        Self { train: of(train), known: of(test), unknown }
    }
}

/// Those of the class, or those of all others.
fn rows(set: &Set, class: &Label, of_it: bool) -> Vec<usize> {
    (0..set.n()).filter(|&row| (set.labels[row] == *class) == of_it).collect()
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

/// By the class left out; `None` where the peer cannot run.
fn peer_aurocs(train: &Set, test: &Set) -> Option<Vec<f64>> {
    let classes = train.classes();
    let draws: Vec<_> = classes.labels().iter().map(|class| rows(train, class, false)).collect();
    let job = peer::Job { train, tests: &[test, train], draws: &draws, methods: &["lr"] };
    let answers = peer::ask(&job)?.remove("lr")?;
    let of = |(class, by_set): (&Label, Vec<_>)| {
        let [of_test, of_train]: [ndarray::Array2<f32>; 2] = by_set.try_into().ok()?;
        let doubt = |p: &ndarray::Array2<f32>, rows: Vec<usize>| {
            rows.into_iter().map(|row| 1.0 - f64::from(p.row(row).fold(0.0, |top: f32, p| top.max(*p)))).collect()
        };
        let known: Vec<f64> = doubt(&of_test, rows(test, class, false));
        let mut unknown: Vec<f64> = doubt(&of_test, rows(test, class, true));
        unknown.append(&mut doubt(&of_train, rows(train, class, true)));
        Some(auroc(&known, &unknown))
    };
    classes.labels().iter().zip(answers).map(of).collect()
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
