//! The section's text and tables.

use std::fmt::Write as _;

use super::super::data::{Data, Photographs};
use super::super::document;
use super::super::figures::{Estimate, calibration_error, calibration_floor};
use super::super::table::Table;
use super::results::{Part, Quantity};
use super::{DRAWS, Method, Results, SHOTS, TESTS, bars};

/// All of [`TESTS`].
pub const EVERY_TEST: [usize; 3] = [0, 1, 2];
/// Places in [`SHOTS`] at which log-loss is shown.
const LOSS_AT: [usize; 3] = [0, 1, 3];

pub fn section(data: &Data, results: &Results) -> String {
    let every: Vec<usize> = (0..results.backbones.len()).collect();
    let mut text = format!("{}\n\n{}", document::block(&front(results)), about(results));
    text += &bars::subsection(results);
    text += "\n### Means over backbones\n\n";
    text += &table(results, &[("all of them", &every)], &EVERY_TEST);
    text += "\n### By backbone\n\nMeans over the three tests.\n\n";
    text += &by_backbone(results, &EVERY_TEST);
    for (test, name) in TESTS.iter().enumerate() {
        let _ = write!(text, "\n### On {name}, {} pictures\n\n", results.pictures(test));
        text += &by_backbone(results, &[test]);
    }
    text += &calibration(results);
    text + &provenance(data)
}

/// What `README.md` repeats: the default backbone's means over the three tests.
fn front(results: &Results) -> String {
    let mut methods = vec![Method::Ours];
    methods.extend(Method::PEERS);
    let mut columns = vec!["labels a class"];
    columns.extend(methods.iter().map(|method| method.name()));
    let mut table = Table::new(&columns);
    let Some(default) = results.backbones.iter().position(|backbone| backbone == "default") else {
        return "The backbone `default` was left out.".to_owned();
    };
    let part = Part { tests: &EVERY_TEST, quantity: Quantity::Accuracy };
    for (shots, name) in SHOTS.iter().enumerate() {
        let cell = |method: &Method| match results.estimate(&[default], *method, shots, part) {
            Some(estimate) => format!("{:.1}", 100.0 * estimate.mean),
            None => "not run".to_owned(),
        };
        let mut row = vec![named(*name)];
        row.extend(methods.iter().map(cell));
        table.row(&row);
    }
    format!("Accuracy in %, mean of three tests, backbone `default`:\n\n{}", table.finish())
}

fn about(results: &Results) -> String {
    format!(
        "Each head learned from 5, 10, 30 or all labelled pictures a class of a training split and was tested on all \
         test pictures; heads of corn-color are also tested on corn-segmented, leaves without background, which none saw. \
         5, 10 and 30 are means over {DRAWS} draws. Peers learned from the same draws of the same embeddings; \
         `benches/evaluation/peer.py` describes them: scikit-learn's LogisticRegressionCV (ten Cs, five folds, by \
         accuracy) and LogisticRegression (C = 1), both on standardised embeddings, the SGD of pycoral's training on the \
         device, the 5 nearest neighbours by cosine, and the nearest class mean by Euclidean distance of standardised \
         embeddings, which has no probabilities. Ours are heads of `edgetuned train` with its defaults.\n\n\
         `±` is one standard error. At 5, 10 and 30 it is that over draws, for these test pictures and {} backbones; at \
         all there are no draws, and it is that over the pictures of the test, the binomial one. In brackets is the \
         paired difference, ours minus the peer's on the same draws and pictures, with its standard error. Accuracy is in \
         %, log-loss in nats; no probability counts as less than 1e-6 there.\n",
        results.backbones.len(),
    )
}

/// `5`, `all`.
pub fn named(shots: Option<usize>) -> String {
    shots.map_or_else(|| "all".to_owned(), |shots| shots.to_string())
}

fn by_backbone(results: &Results, tests: &[usize]) -> String {
    let backbones: Vec<(&str, Vec<usize>)> =
        results.backbones.iter().enumerate().map(|(at, name)| (name.as_str(), vec![at])).collect();
    let rows: Vec<(&str, &[usize])> = backbones.iter().map(|(name, at)| (*name, at.as_slice())).collect();
    table(results, &rows, tests)
}

/// A row for each method of each of `rows`: a name, and the backbones of which it is the mean.
fn table(results: &Results, rows: &[(&str, &[usize])], tests: &[usize]) -> String {
    let mut columns = vec!["backbone".to_owned(), "head".to_owned()];
    columns.extend(SHOTS.map(named));
    columns.extend(LOSS_AT.map(|shots| format!("log-loss {}", named(SHOTS[shots]))));
    let mut table = Table::new(&columns.iter().map(String::as_str).collect::<Vec<_>>());
    for (name, backbones) in rows {
        for method in [Method::Ours].into_iter().chain(Method::PEERS) {
            let cell = |quantity, shots| cell(results, backbones, method, shots, Part { tests, quantity });
            let first = if method == Method::Ours { *name } else { "" };
            let mut row = vec![first.to_owned(), method.name().to_owned()];
            row.extend((0..SHOTS.len()).map(|shots| cell(Quantity::Accuracy, shots)));
            row.extend(LOSS_AT.map(|shots| cell(Quantity::Loss, shots)));
            table.row(&row);
        }
    }
    table.finish()
}

fn cell(results: &Results, backbones: &[usize], method: Method, shots: usize, part: Part<'_>) -> String {
    let (unit, digits) = match part.quantity {
        Quantity::Accuracy => (100.0, 1),
        Quantity::Loss if !method.has_probabilities() => return String::new(),
        Quantity::Loss => (1.0, 2),
    };
    let Some(Estimate { mean, error }) = results.estimate(backbones, method, shots, part) else {
        return "not run".to_owned();
    };
    let (mean, error) = (unit * mean, unit * error);
    match results.difference(backbones, method, shots, part).filter(|_| method != Method::Ours) {
        None => format!("{mean:.digits$} ± {error:.digits$}"),
        Some(paired) => {
            format!("{mean:.digits$} ({:+.digits$} ± {:.digits$})", unit * paired.mean, unit * paired.error)
        }
    }
}

/// Plays of a calibrated head.
const PLAYS: usize = 20;

fn calibration(results: &Results) -> String {
    let mut text = format!(
        "\n### Calibration\n\nThe calibration error (ECE, 15 bins) of all answers of the draws, tests and backbones \
         together. `chance` is what a perfectly calibrated head with the same probabilities shows, the mean of {PLAYS} \
         plays: with answers that have nothing in common, and with heads that are right and wrong on the same pictures. \
         The truth is between them: all answers are about {} pictures.\n\n",
        EVERY_TEST.iter().map(|test| results.pictures(*test)).sum::<usize>(),
    );
    let columns =
        ["labels a class, tests", "answers", "edgetuned", "chance", "chance, same pictures", "LogisticRegressionCV"];
    let mut table = Table::new(&columns);
    for (name, tests) in
        [("all three", &EVERY_TEST[..]), ("trashnet and corn-color", &[0, 1]), ("corn-segmented", &[2])]
    {
        for (shots, labels) in SHOTS.iter().enumerate() {
            let ours = results.judged(Method::Ours, &[shots], tests);
            let peer = results.judged(Method::CrossValidated, &[shots], tests).answers;
            let floor = |pictures: &mut dyn Iterator<Item = usize>| {
                let confidences: Vec<_> = ours.answers.iter().map(|(p, _)| *p).zip(pictures).collect();
                format!("{:.3}", calibration_floor(&confidences, PLAYS, 0))
            };
            table.row(&[
                format!("{}, {name}", named(*labels)),
                ours.answers.len().to_string(),
                format!("{:.3}", calibration_error(&ours.answers)),
                floor(&mut (0..)),
                floor(&mut ours.pictures.iter().copied()),
                if peer.is_empty() { "not run".to_owned() } else { format!("{:.3}", calibration_error(&peer)) },
            ]);
        }
    }
    text += &table.finish();
    text
}

/// What each backbone is and what it may have seen of these pictures.
fn provenance(data: &Data) -> String {
    let mut text = "\n### Backbones, and what they learned from\n\n".to_owned();
    let mut table = Table::new(&["backbone", "model", "input", "values", "saw pictures of these sets"]);
    for Photographs { backbone, manifest, .. } in &data.photographs {
        let seen = if manifest.name.starts_with("edgetuned-photo") {
            "the training pictures of trashnet and corn-color, without labels"
        } else {
            "none that is known"
        };
        let (height, width) = manifest.preprocess.size;
        table.row(&[
            backbone.clone(),
            manifest.name.clone(),
            format!("{width} x {height}"),
            manifest.space().dim.to_string(),
            seen.to_owned(),
        ]);
    }
    text += &table.finish();
    for reason in &data.left_out {
        let _ = write!(text, "\nLeft out: {reason}.\n");
    }
    text
}
