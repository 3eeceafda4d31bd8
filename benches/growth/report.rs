//! The table, the verdicts and the picture.

use std::fmt::Write as _;

use crate::log_panels::{self, Measure};
use crate::measuring::{Expected, Figure, Size};

/// Slopes below are flat, from the second one on linear.
const FLAT: f64 = 0.2;
const LINEAR: f64 = 0.8;

/// A line for each measure: its value at each size, with that of the plain table behind it, and what it comes to.
pub fn table(sizes: &[Size]) -> String {
    let heads: Vec<String> = sizes.iter().map(|size| log_panels::number(size.samples as f64)).collect();
    let (heads, rules) = (heads.join(" | "), " ---: |".repeat(sizes.len() + 1));
    let mut text = format!("| what | {heads} | slope | verdict |\n| --- |{rules} --- |\n");
    for place in 0..sizes.first().map_or(0, |size| size.figures.len()) {
        let figures: Vec<&Figure> = sizes.iter().map(|size| &size.figures[place]).collect();
        let values: Vec<String> = figures.iter().map(|figure| shown(figure)).collect();
        let slope = slope(&points(sizes, place, |figure| Some(figure.value)));
        let (what, verdict) = (figures[0].what, verdict(slope, figures[0].expected));
        writeln!(text, "| {what} | {} | {slope:.2} | {verdict} |", values.join(" | ")).expect("it is memory");
    }
    text
}

/// An SVG document.
pub fn drawn(sizes: &[Size]) -> String {
    let count = sizes.first().map_or(0, |size| size.figures.len());
    let measures: Vec<Measure> = (0..count)
        .map(|place| Measure {
            name: sizes[0].figures[place].what,
            points: points(sizes, place, |figure| Some(figure.value)),
            compared: points(sizes, place, |figure| figure.peer),
        })
        .collect();
    log_panels::draw(&measures, "a plain table of SQLite", "samples")
}

fn points(sizes: &[Size], place: usize, of: impl Fn(&Figure) -> Option<f64>) -> Vec<(f64, f64)> {
    // Half of the finest unit stands for none: it has no logarithm.
    sizes.iter().filter_map(|size| Some((size.samples as f64, of(&size.figures[place])?.max(0.0005)))).collect()
}

/// Of the last two thirds of the sizes, since what is small is drowned by what is always there: the least squares on
/// logarithmic axes.
fn slope(points: &[(f64, f64)]) -> f64 {
    let tail = &points[points.len() / 3..];
    let logs: Vec<(f64, f64)> = tail.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let n = logs.len() as f64;
    let (x_mean, y_mean) = (logs.iter().map(|(x, _)| x).sum::<f64>() / n, logs.iter().map(|(_, y)| y).sum::<f64>() / n);
    let square: f64 = logs.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    let both: f64 = logs.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    if square > 0.0 { both / square } else { 0.0 }
}

fn verdict(slope: f64, expected: Expected) -> &'static str {
    match (slope, expected) {
        (slope, _) if slope < FLAT => "flat",
        (slope, Expected::Linear) if slope < LINEAR => "below linear, as documented",
        (slope, Expected::Linear) if slope < 1.2 => "linear, as documented",
        (slope, Expected::Flat) if slope < LINEAR => "grows",
        _ => "GROWS",
    }
}

fn shown(Figure { value, peer, .. }: &Figure) -> String {
    let short = |value: f64| match value {
        value if value < 1.0 => format!("{value:.3}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => log_panels::number(value),
    };
    peer.map_or_else(|| short(*value), |peer| format!("{} ({})", short(*value), short(peer)))
}
