//! Accuracy and log-loss on test pictures, of heads that learned from 5, 10, 30 and all pictures a class, beside peers
//! on the same embeddings and the same draws.

mod bars;
mod report;
mod results;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use edgetuned::head::DenseHead;
use edgetuned::train::{Settings, fit};

use super::data::{Data, Photographs, Set};
use super::figures::{Answers, mean};
use super::{parallel, peer};
pub use results::{Method, Results};

/// A split that heads learn from, and those that they are tested on.
const TASKS: [(&str, &[&str]); 2] =
    [("trashnet.train", &["trashnet.test"]), ("corn-color.train", &["corn-color.test", "corn-segmented.test"])];
/// The tests in the order of [`TASKS`].
pub const TESTS: [&str; 3] = ["trashnet", "corn-color", "corn-segmented"];
/// Pictures a class; `None` is all.
pub const SHOTS: [Option<usize>; 4] = [Some(5), Some(10), Some(30), None];
/// Draws of those that are not all.
pub const DRAWS: u64 = 10;

/// A head as `edgetuned train` fits it, with the seed of its command line.
pub fn head(train: &Set, seed: u64) -> DenseHead {
    let settings = Settings { seed, ..Settings::default() };
    fit(&train.dataset(), &settings, &mut |_| ControlFlow::Continue(())).expect("sound data").dense
}

/// Share of test pictures named rightly; those of a class that the head does not know are not.
pub fn accuracy(head: &DenseHead, test: &Set) -> f64 {
    let is_known = |row: &usize| head.classes.index_of(&test.labels[*row]).is_some();
    let known: Vec<usize> = (0..test.n()).filter(is_known).collect();
    if known.is_empty() {
        return 0.0;
    }
    let right = mean(&answers(head, &test.select(&known)).right);
    right * known.len() as f64 / test.n() as f64
}

fn answers(head: &DenseHead, test: &Set) -> Answers {
    Answers::of(&head.probabilities_of(&test.z).expect("one space"), &test.y(&head.classes))
}

pub fn section(data: &Data) -> String {
    report::section(data, &measure(&data.photographs))
}

/// Rows of each draw, by shots.
fn draws(train: &Set) -> Vec<Vec<Vec<usize>>> {
    let of = |shots: &Option<usize>| match shots {
        Some(shots) => (0..DRAWS).map(|seed| train.draw(*shots, seed)).collect(),
        None => vec![(0..train.n()).collect()],
    };
    SHOTS.iter().map(of).collect()
}

/// By method, shots, and test of the task: the answers of each draw.
type OfTask = BTreeMap<(Method, usize, usize), Vec<Answers>>;

fn measure(photographs: &[Photographs]) -> Results {
    let mut jobs = Vec::new();
    for by_peers in [true, false] {
        jobs.extend((0..photographs.len()).flat_map(|backbone| TASKS.map(|task| (backbone, task, by_peers))));
    }
    let measured = parallel::map(&jobs, |(backbone, (train, tests), by_peers)| {
        let photographs = &photographs[*backbone];
        let tests: Vec<&Set> = tests.iter().map(|test| photographs.get(test)).collect();
        let work = if *by_peers { peers } else { ours };
        work(photographs.get(train), &tests)
    });
    let mut results = Results::new(photographs.iter().map(|photographs| photographs.backbone.clone()).collect());
    for ((backbone, (_, tests), _), of_task) in jobs.iter().zip(measured) {
        for ((method, shots, test), answers) in of_task {
            let name = tests[test].trim_end_matches(".test");
            let test = TESTS.iter().position(|test| *test == name).expect("TESTS has every test");
            results.insert(*backbone, method, shots, test, answers);
        }
    }
    results
}

fn ours(train: &Set, tests: &[&Set]) -> OfTask {
    let mut all = OfTask::new();
    for (shots, draws) in draws(train).into_iter().enumerate() {
        for (seed, rows) in draws.iter().enumerate() {
            let head = head(&train.select(rows).regrouped(), seed as u64);
            for (test, set) in tests.iter().enumerate() {
                all.entry((Method::Ours, shots, test)).or_default().push(answers(&head, set));
            }
        }
    }
    all
}

/// Empty where they cannot run.
fn peers(train: &Set, tests: &[&Set]) -> OfTask {
    let by_shots = draws(train);
    let methods = Method::PEERS.map(Method::key);
    let job = peer::Job { train, tests, draws: &by_shots.concat(), methods: &methods };
    let Some(mut answer) = peer::ask(&job) else { return OfTask::new() };
    let y: Vec<_> = tests.iter().map(|test| test.y(&train.classes())).collect();
    let mut all = OfTask::new();
    for method in Method::PEERS {
        let mut answers = answer.remove(method.key()).expect("what was asked for").into_iter();
        for (shots, draws) in by_shots.iter().enumerate() {
            for by_test in answers.by_ref().take(draws.len()) {
                for (test, p) in by_test.iter().enumerate() {
                    all.entry((method, shots, test)).or_default().push(Answers::of(p, &y[test]));
                }
            }
        }
    }
    all
}
