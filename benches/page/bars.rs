//! Figures beside their bars, as a table.

use std::fmt;
use std::time::Duration;

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Ms,
    /// Of 1,000 bytes.
    Kb,
    /// Of 1,048,576 bytes.
    Mib,
    Count,
    Percent,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ms if value < 10.0 => format!("{value:.2} ms"),
            Self::Ms => format!("{value:.0} ms"),
            Self::Kb => format!("{value:.1} KB"),
            Self::Mib => format!("{value:.1} MiB"),
            Self::Count => format!("{value:.0}"),
            Self::Percent => format!("{value:.1} %"),
        }
    }
}

struct Bar {
    what: String,
    unit: Unit,
    value: f64,
    /// The most that is good; a figure without a bar is there to be known.
    most: Option<f64>,
    beside: String,
}

/// All of them, in the order in which they were measured.
#[derive(Default)]
pub struct Bars {
    bars: Vec<Bar>,
    missing: Vec<&'static str>,
}

impl Bars {
    /// A figure that should be at most `most`; `beside` is a peer's figure, or a word about this one.
    pub fn most(&mut self, what: &str, unit: Unit, value: f64, most: f64, beside: &str) {
        self.push(what, unit, value, Some(most), beside);
    }

    /// A figure without a bar.
    pub fn known(&mut self, what: &str, unit: Unit, value: f64, beside: &str) {
        self.push(what, unit, value, None, beside);
    }

    fn push(&mut self, what: &str, unit: Unit, value: f64, most: Option<f64>, beside: &str) {
        eprintln!("  {what}: {}", unit.show(value));
        self.bars.push(Bar { what: what.to_owned(), unit, value, most, beside: beside.to_owned() });
    }

    /// A part that ended before it had all its figures.
    pub fn not_measured(&mut self, part: &'static str) {
        self.missing.push(part);
    }
}

impl fmt::Display for Bars {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| what | measured | bar | | beside it |\n| --- | ---: | ---: | --- | --- |")?;
        for Bar { what, unit, value, most, beside } in &self.bars {
            let bar = most.map_or_else(String::new, |most| unit.show(most).replace(".0 ", " ").replace(".00 ", " "));
            let is = match most {
                None => "",
                Some(most) if value <= most => "reached",
                Some(_) => "missed",
            };
            writeln!(out, "| {what} | {} | {bar} | {is} | {beside} |", unit.show(*value))?;
        }
        if !self.missing.is_empty() {
            writeln!(out, "\nnot measured in full: {}", self.missing.join(", "))?;
        }
        let judged = self.bars.iter().filter(|bar| bar.most.is_some());
        let reached = judged.clone().filter(|bar| bar.most.is_some_and(|most| bar.value <= most)).count();
        writeln!(out, "\n{reached} of {} bars reached", judged.count())
    }
}

/// Milliseconds of a duration.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The value that this part of the values is not above.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The 95th percentile.
pub fn p95(values: &[f64]) -> f64 {
    quantile(values, 0.95)
}

/// The numbers of a list in JSON.
pub fn numbers(list: &serde_json::Value) -> Vec<f64> {
    list.as_array().unwrap().iter().filter_map(serde_json::Value::as_f64).collect()
}
