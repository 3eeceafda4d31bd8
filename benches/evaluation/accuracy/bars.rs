//! What the figures have to reach, and whether they do.

use super::super::figures::{Bar, calibration_error};
use super::super::table::Table;
use super::report::{EVERY_TEST, named};
use super::results::{Part, Quantity};
use super::{Method, Results, SHOTS, TESTS};

/// Of accuracy over `LogisticRegressionCV`, in points: place in [`SHOTS`], at least.
const OVER_PEER: [(usize, f64); 3] = [(0, 4.0), (1, 2.0), (3, 1.0)];
/// Of log-loss, in nats: at most.
const LOSS: [(usize, f64); 2] = [(0, 0.95), (1, 0.75)];
/// Of accuracy with the backbone `default`, in %: at least.
const DEFAULT: [(usize, f64); 3] = [(0, 71.0), (1, 76.0), (3, 83.0)];
/// Of the calibration error: at most.
const CALIBRATION: f64 = 0.03;

pub fn subsection(results: &Results) -> String {
    let mut table = Table::new(&["what", "labels a class", "bar", "measured", "verdict"]);
    let every: Vec<usize> = (0..results.backbones.len()).collect();
    let accuracy = Part { tests: &EVERY_TEST, quantity: Quantity::Accuracy };
    let loss = Part { tests: &EVERY_TEST, quantity: Quantity::Loss };
    let mut row = |what: &str, shots: usize, bar: Bar, measured: Option<(f64, f64)>, digits: usize| {
        let (measured, verdict) = match measured {
            None => ("not run".to_owned(), "unknown"),
            Some((mean, error)) if error.is_nan() => (format!("{mean:.digits$}"), bar.verdict(mean)),
            Some((mean, error)) => (format!("{mean:.digits$} ± {error:.digits$}"), bar.verdict(mean)),
        };
        let wanted = match bar {
            Bar::AtLeast(bar) => format!("at least {bar}"),
            Bar::AtMost(bar) => format!("at most {bar}"),
        };
        table.row(&[what.to_owned(), named(SHOTS[shots]), wanted, measured, verdict.to_owned()]);
    };
    for (shots, bar) in OVER_PEER {
        let paired = results.difference(&every, Method::CrossValidated, shots, accuracy);
        let measured = paired.map(|paired| (100.0 * paired.mean, 100.0 * paired.error));
        row("points over LogisticRegressionCV, mean over backbones", shots, Bar::AtLeast(bar), measured, 2);
    }
    for (shots, bar) in LOSS {
        let measured = results.estimate(&every, Method::Ours, shots, loss).map(|loss| (loss.mean, loss.error));
        row("log-loss, mean over backbones", shots, Bar::AtMost(bar), measured, 3);
    }
    let default = results.backbones.iter().position(|backbone| backbone == "default");
    for (shots, bar) in DEFAULT {
        let estimate = default.and_then(|default| results.estimate(&[default], Method::Ours, shots, accuracy));
        let measured = estimate.map(|accuracy| (100.0 * accuracy.mean, 100.0 * accuracy.error));
        row("accuracy with `default`, %", shots, Bar::AtLeast(bar), measured, 1);
    }
    for shots in 0..SHOTS.len() {
        let judged = results.judged(Method::Ours, &[shots], &EVERY_TEST);
        let measured = (calibration_error(&judged.answers), f64::NAN);
        row("calibration error, pooled", shots, Bar::AtMost(CALIBRATION), Some(measured), 3);
    }
    format!(
        "\n### Bars\n\nMeans over {}; the verdict is on the figure before it is rounded. The bar of unknown images is \
         in their section, that of time in the output of `cargo bench --bench embed`.\n\n{}",
        TESTS.join(", "),
        table.finish()
    )
}
