//! Accuracy on test pictures: trained on everything, and on 5 and 10 pictures a class.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use edgetuned::train::{Settings, fit};

use super::data::{Photographs, Set};
use super::peer;
use super::table::{Table, mean, percent, percent_or, spread};

/// Trained on, tested on.
const TASKS: [(&str, &str); 3] = [
    ("trashnet.train", "trashnet.test"),
    ("corn-color.train", "corn-color.test"),
    ("corn-color.train", "corn-segmented.test"),
];
const DRAWS: u64 = 10;

/// Share of test pictures named rightly by a head fitted with the defaults.
pub fn of(train: &Set, test: &Set) -> f64 {
    let fitted = fit(&train.dataset(), &Settings::default(), &mut |_| ControlFlow::Continue(())).expect("sound data");
    accuracy(&fitted.dense, test)
}

pub fn accuracy(head: &edgetuned::head::DenseHead, test: &Set) -> f64 {
    let p = head.probabilities_of(&test.z).expect("one space");
    let right = p.rows().into_iter().zip(&test.labels).filter(|(row, label)| {
        let best = head.classes.top(&row.to_vec(), 1);
        best.first().is_some_and(|(class, _)| class == *label)
    });
    right.count() as f64 / test.n() as f64
}

pub fn section(photographs: &[Photographs]) -> String {
    let mut text = String::from(
        "Trained on all pictures of the training split. The peer is scikit-learn's `LogisticRegressionCV` (ten Cs, five \
         folds, standardised).\n\n",
    );
    let mut table = Table::new(&["backbone, tested on", "edgetuned", "LogisticRegressionCV", "difference"]);
    let mut differences = Vec::new();
    for photographs in photographs {
        for (train, test) in TASKS {
            let (train, tested) = (photographs.get(train), photographs.get(test));
            let ours = of(train, tested);
            let peer = peer::ask("cv", train, tested).and_then(|answer| answer["accuracy"].as_f64());
            let difference = peer.map(|peer| ours - peer);
            if photographs.backbone != "edgetuned-photo" {
                differences.extend(difference);
            }
            table.row(&[
                format!("{}, {}", photographs.backbone, test.trim_end_matches(".test")),
                percent(ours),
                percent_or(peer),
                difference.map_or_else(String::new, |difference| format!("{:+.1}", 100.0 * difference)),
            ]);
        }
    }
    text += &table.finish();
    if !differences.is_empty() {
        let _ = write!(
            text,
            "\nMean difference over the {} rows of the four classic models: {:+.2} points.\n",
            differences.len(),
            100.0 * mean(&differences)
        );
    }
    text + &few_shots(photographs)
}

fn few_shots(photographs: &[Photographs]) -> String {
    let mut text = format!(
        "\nFew pictures a class: mean and standard deviation over {DRAWS} draws. The peer is `LogisticRegression` (C = 1, \
         standardised) on the same draws.\n\n"
    );
    let mut table = Table::new(&["backbone, set", "5: edgetuned", "5: peer", "10: edgetuned", "10: peer"]);
    for photographs in photographs {
        for (train, test) in &TASKS[..2] {
            let (train, tested) = (photographs.get(train), photographs.get(test));
            let mut cells = vec![format!("{}, {}", photographs.backbone, test.trim_end_matches(".test"))];
            for shots in [5, 10] {
                let draws: Vec<Set> = (0..DRAWS).map(|seed| train.draw(shots, seed)).collect();
                let ours: Vec<f64> = draws.iter().map(|drawn| of(drawn, tested)).collect();
                let peers: Option<Vec<f64>> =
                    draws.iter().map(|drawn| peer::ask("lr", drawn, tested)?["accuracy"].as_f64()).collect();
                cells.push(format!("{} ± {}", percent(mean(&ours)), percent(spread(&ours))));
                cells.push(percent_or(peers.map(|peers| mean(&peers))));
            }
            table.row(&cells);
        }
    }
    text += &table.finish();
    text
}
