//! What a rule is worth on evenings whose truth is known.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::rules::{Prediction, Rule};

/// Draws of the bootstrap over evenings.
pub const DRAWS: usize = 1000;
/// How often time alone is looked at, as a daemon's ticks do.
const TICK_S: f64 = 1.0;

/// One task's evening.
pub struct Watched {
    pub predictions: Vec<Prediction>,
    /// When the truth changes; it begins with class 0.
    pub changes: Vec<f64>,
    pub end_s: f64,
    /// Which evening it is: tasks of one evening are not independent.
    pub evening: usize,
}

impl Watched {
    /// The same with other predictions.
    pub fn with(&self, predictions: Vec<Prediction>) -> Self {
        Self { predictions, changes: self.changes.clone(), ..*self }
    }

    /// The class that is so.
    pub fn truth(&self, s: f64) -> usize {
        self.changes.iter().filter(|at| **at <= s).count() % 2
    }
}

/// Counts of one evening.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    hours: f64,
    /// Published changes to a class that was not so.
    false_changes: f64,
    /// Seconds from each change of the truth to the state that says so.
    delays: Vec<f64>,
    /// Changes of the truth that were over before they were said.
    missed: f64,
    changes: f64,
    unknown_s: f64,
    wrong_s: f64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.hours += other.hours;
        self.false_changes += other.false_changes;
        self.delays.extend(&other.delays);
        self.missed += other.missed;
        self.changes += other.changes;
        self.unknown_s += other.unknown_s;
        self.wrong_s += other.wrong_s;
    }
}

/// Plays `rule` over one evening.
pub fn play(watched: &Watched, rule: &mut dyn Rule) -> Counts {
    let mut said: Vec<(f64, Option<usize>)> = vec![(0.0, None)];
    let mut note = |s: f64, state: Option<usize>| {
        if said.last().is_some_and(|(_, last)| *last != state) {
            said.push((s, state));
        }
    };
    let mut frames = watched.predictions.iter().peekable();
    let mut s = 0.0;
    while s < watched.end_s {
        while let Some(prediction) = frames.next_if(|prediction| prediction.s <= s) {
            note(prediction.s, rule.predicted(prediction));
        }
        note(s, rule.waited(s));
        s += TICK_S;
    }
    let mut counts = Counts { hours: watched.end_s / 3600.0, ..Counts::default() };
    let ends = said.iter().skip(1).map(|(at, _)| *at).chain([watched.end_s]);
    for ((at, state), end) in said.iter().zip(ends.clone()) {
        match state {
            None => counts.unknown_s += end - at,
            Some(class) => {
                counts.false_changes += f64::from(u8::from(*class != watched.truth(*at)));
                let steps = ((end - at) / TICK_S) as usize;
                let is_wrong = |step: &usize| watched.truth(at + *step as f64 * TICK_S) != *class;
                counts.wrong_s += (0..steps).filter(is_wrong).count() as f64 * TICK_S;
            }
        }
    }
    for (i, change) in watched.changes.iter().enumerate() {
        let over = watched.changes.get(i + 1).copied().unwrap_or(watched.end_s);
        let new = (i + 1) % 2;
        let shown = said.iter().zip(ends.clone());
        let first =
            shown.filter(|((_, state), _)| *state == Some(new)).find(|((at, _), end)| *end > *change && *at < over);
        // What changes just before the end tells nothing.
        if first.is_none() && over >= watched.end_s && over - change < 120.0 {
            continue;
        }
        counts.changes += 1.0;
        match first {
            Some(((at, _), _)) => counts.delays.push((at - change).max(0.0)),
            None => counts.missed += 1.0,
        }
    }
    counts
}

/// A figure with its 95 % interval over evenings.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// The figures of a rule.
#[derive(Debug, Clone)]
pub struct Worth {
    pub false_an_hour: Figure,
    pub median_s: Figure,
    pub slow_s: Figure,
    pub missed: Figure,
    pub unknown: Figure,
    pub wrong: Figure,
    pub hours: f64,
    pub changes: f64,
    by_evening: Vec<Counts>,
}

/// Plays a rule, new for each by its place, over all of them; intervals come of so many draws.
pub fn worth(all: &[&Watched], draws: usize, new: &dyn Fn(usize) -> Box<dyn Rule>) -> Worth {
    let evenings = all.iter().map(|watched| watched.evening + 1).max().unwrap_or(0);
    let mut by_evening = vec![Counts::default(); evenings];
    for (at, watched) in all.iter().enumerate() {
        by_evening[watched.evening].add(&play(watched, &mut *new(at)));
    }
    by_evening.retain(|counts| counts.hours > 0.0);
    let figure = |of: &dyn Fn(&Counts) -> f64| interval(&by_evening, draws, of);
    let total = sum(by_evening.iter());
    Worth {
        false_an_hour: figure(&false_an_hour),
        median_s: figure(&|counts| quantile(&counts.delays, 0.5)),
        slow_s: figure(&|counts| quantile(&counts.delays, 0.9)),
        missed: figure(&|counts| counts.missed / counts.changes.max(1.0)),
        unknown: figure(&|counts| counts.unknown_s / (3600.0 * counts.hours)),
        wrong: figure(&|counts| counts.wrong_s / (3600.0 * counts.hours)),
        hours: total.hours,
        changes: total.changes,
        by_evening,
    }
}

/// Ours over the peer's false changes, with both drawn on the same evenings.
pub fn ratio(ours: &Worth, peer: &Worth) -> Figure {
    let pairs: Vec<(&Counts, &Counts)> = ours.by_evening.iter().zip(&peer.by_evening).collect();
    let of = |drawn: &[(&Counts, &Counts)]| {
        let ours: f64 = drawn.iter().map(|(ours, _)| ours.false_changes).sum();
        let peer: f64 = drawn.iter().map(|(_, peer)| peer.false_changes).sum();
        if peer > 0.0 { ours / peer } else { f64::NAN }
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let draws = (0..DRAWS)
        .map(|_| of(&(0..pairs.len()).map(|_| pairs[rng.random_range(0..pairs.len())]).collect::<Vec<_>>()))
        .filter(|ratio| !ratio.is_nan())
        .collect();
    between(of(&pairs), draws)
}

fn false_an_hour(counts: &Counts) -> f64 {
    counts.false_changes / counts.hours
}

fn sum<'a>(all: impl Iterator<Item = &'a Counts>) -> Counts {
    let mut total = Counts::default();
    all.for_each(|counts| total.add(counts));
    total
}

fn interval(by_evening: &[Counts], draws: usize, of: &dyn Fn(&Counts) -> f64) -> Figure {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let n = by_evening.len();
    let draws = (0..draws).map(|_| of(&sum((0..n).map(|_| &by_evening[rng.random_range(0..n)])))).collect();
    between(of(&sum(by_evening.iter())), draws)
}

fn between(value: f64, mut draws: Vec<f64>) -> Figure {
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| draws.get(((draws.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or(f64::NAN);
    Figure { value, low: at(0.025), high: at(0.975) }
}

/// The smallest value that is not below this share of them; NaN of none.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
