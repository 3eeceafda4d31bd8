//! The choice of settings on tuning evenings, the figures of the test, and what a vote costs.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use edgetuned::engine::{StateMachine, StateRecord, StateSettings};
use edgetuned::head::DoubtRates;
use edgetuned::ports::Embedder as _;
use edgetuned::words::Label;

use super::evening::{EVERY_S, FRAMES, TASKS};
use super::frames::Embedded;
use super::measure::{DRAWS, Figure, Watched, Worth, ratio, worth};
use super::rules::{Frigate, Ours, Rule, VisionState, ages};
use super::table::{Table, percent};
use super::yard::{Played, SHOTS, SITES, TEST, TUNING, Yards};

pub const HEADING: &str = "States from frames";

/// What the choice is among; thresholds are the same for both classes.
const CONFIRM: [&str; 6] = ["2 of 2", "2 of 3", "3 of 3", "3 of 4", "3 of 5", "4 of 5"];
const HOLD_S: [u64; 2] = [0, 10];
const THRESHOLD: [f32; 3] = [0.0, 0.8, 0.95];
const ALPHA: [f64; 3] = [0.05, 0.1, 0.2];
/// At the same median delay, at most this part of the better peer's false changes.
const BAR: f64 = 1.0 / 3.0;
/// A vote costs at most this part of an embedding.
const COST_BAR: f64 = 0.01;

/// What a reader of the table has to know beside it.
const TRIED: &str = "\
The test evenings were read once. What was tried on tuning evenings beside the settings above: sets that are \
emptied where an image is of no known class, without fewer false changes; and 10 labels a class instead of \
15 (`SHOTS` in `benches/states/yard.rs`), where sets rest on 20 held-out answers and the defaults were worse \
than Frigate's rule: 2.00 against 0.75 false changes an hour. Fewer false changes are paid for with missed \
ones: every setting of ours misses more changes than the peers do.";

type Peer = (&'static str, fn() -> Box<dyn Rule>);
const PEERS: [Peer; 2] = [
    ("Frigate: 0.8, three in a row", || Box::new(Frigate::default())),
    ("VisionState: 0.7, two in a row", || Box::new(VisionState::default())),
];

/// One of those settings.
#[derive(Debug, Clone, Copy)]
struct Setting {
    confirm: &'static str,
    hold_s: u64,
    threshold: f32,
    /// Of the conformal sets.
    alpha: f64,
}

impl Setting {
    fn of(self, classes: &[Label]) -> StateSettings {
        StateSettings {
            confirm: self.confirm.parse().expect("one of them"),
            hold: Duration::from_secs(self.hold_s),
            thresholds: classes.iter().map(|class| (class.clone(), self.threshold)).collect(),
            ..StateSettings::default()
        }
    }

    fn has_default_sets(self) -> bool {
        (self.alpha - DoubtRates::DEFAULT.alpha).abs() < 1e-9
    }

    fn name(self) -> String {
        let threshold = if self.threshold > 0.0 { format!(", threshold {}", self.threshold) } else { String::new() };
        let alpha = if self.has_default_sets() { String::new() } else { format!(", alpha {}", self.alpha) };
        format!("`confirm: {}`, `hold: {}s`{threshold}{alpha}", self.confirm, self.hold_s)
    }
}

/// Ours with these settings.
fn ours(played: &[Played], draws: usize, setting: Option<Setting>) -> Worth {
    let rule = |at: usize| -> Box<dyn Rule> {
        let classes = &played[at].classes;
        let settings = setting.map_or_else(StateSettings::default, |setting| setting.of(classes));
        Box::new(Ours::new(settings, classes.clone()))
    };
    match setting {
        Some(setting) if !setting.has_default_sets() => {
            let other: Vec<Watched> =
                played.iter().map(|played| played.watched.with(played.at_alpha(setting.alpha))).collect();
            worth(&other.iter().collect::<Vec<_>>(), draws, &rule)
        }
        _ => worth(&watched(played), draws, &rule),
    }
}

fn watched(played: &[Played]) -> Vec<&Watched> {
    played.iter().map(|played| &played.watched).collect()
}

/// For each peer its settings of ours: as quick in the median, with the fewest false changes.
pub struct Choice {
    pub text: String,
    matched: [Setting; 2],
    /// Which peer makes fewer false changes.
    better: usize,
}

pub fn choose(yards: &Yards) -> Choice {
    let mut text = String::new();
    for (task, (name, _)) in TASKS.iter().enumerate() {
        let (mut n, mut right, mut single, mut wrong, mut sure, mut sure_wrong) = (0, 0, 0, 0, 0, 0);
        for played in yards.tuning.iter().filter(|played| played.task == task) {
            for prediction in &played.watched.predictions {
                let (best, p) = prediction.best();
                let is_right = best == played.watched.truth(prediction.s);
                let is_single = prediction.set.as_ref().is_some_and(|set| set.len() == 1);
                n += 1;
                right += usize::from(is_right);
                single += usize::from(is_single);
                wrong += usize::from(is_single && !is_right);
                sure += usize::from(p >= 0.8);
                sure_wrong += usize::from(p >= 0.8 && !is_right);
            }
        }
        let _ = writeln!(
            text,
            "{name}: {n} predictions, {right} right, {single} with one class in the set of which {wrong} wrong, {sure} \
             with 0.8 or more of which {sure_wrong} wrong"
        );
    }
    let all = watched(&yards.tuning);
    let peers = PEERS.map(|(_, new)| worth(&all, 0, &|_| new()));
    let mut tried: Vec<(Setting, Worth)> = Vec::new();
    for confirm in CONFIRM {
        for (hold_s, threshold) in HOLD_S.into_iter().flat_map(|hold_s| THRESHOLD.map(|threshold| (hold_s, threshold)))
        {
            for alpha in ALPHA {
                let setting = Setting { confirm, hold_s, threshold, alpha };
                tried.push((setting, ours(&yards.tuning, 0, Some(setting))));
            }
        }
    }
    let plain = |name: &str, worth: &Worth| {
        format!(
            "{name:56} false an hour {:5.2}, median {:5.1} s, 90 % {:6.1} s, missed {:.3}, unknown {:.3}, wrong {:.3}\n",
            worth.false_an_hour.value,
            worth.median_s.value,
            worth.slow_s.value,
            worth.missed.value,
            worth.unknown.value,
            worth.wrong.value
        )
    };
    for ((name, _), worth) in PEERS.iter().zip(&peers) {
        text += &plain(name, worth);
    }
    for (setting, worth) in &tried {
        text += &plain(&setting.name(), worth);
    }
    let matched = [0, 1].map(|peer: usize| {
        let quick = tried.iter().filter(|(_, worth)| worth.median_s.value <= peers[peer].median_s.value);
        let cost =
            |worth: &Worth| (worth.false_an_hour.value, worth.missed.value, worth.wrong.value + worth.unknown.value);
        let best = quick.min_by(|(_, a), (_, b)| cost(a).partial_cmp(&cost(b)).unwrap_or(std::cmp::Ordering::Equal));
        best.unwrap_or(&tried[0]).0
    });
    for ((name, _), setting) in PEERS.iter().zip(matched) {
        let _ = writeln!(text, "as quick as {name}: {}", setting.name());
    }
    let better = usize::from(peers[1].false_an_hour.value < peers[0].false_an_hour.value);
    Choice { text, matched, better }
}

const COLUMNS: [&str; 7] = [
    "rule",
    "false changes an hour",
    "median delay, s",
    "90 % delay, s",
    "missed changes, %",
    "unknown, % of the time",
    "wrong, % of the time",
];

/// A figure times `by`, and its interval.
fn with(figure: Figure, digits: usize, by: f64) -> String {
    let number = |value: f64| format!("{:.digits$}", value * by);
    format!("{} [{}, {}]", number(figure.value), number(figure.low), number(figure.high))
}

/// What a rule is worth, under [`COLUMNS`].
fn row(name: &str, worth: &Worth) -> [String; 7] {
    [
        name.to_owned(),
        with(worth.false_an_hour, 2, 1.0),
        with(worth.median_s, 0, 1.0),
        with(worth.slow_s, 0, 1.0),
        with(worth.missed, 1, 100.0),
        with(worth.unknown, 1, 100.0),
        with(worth.wrong, 1, 100.0),
    ]
}

/// The section of `docs/evaluation.md`.
pub fn section(yards: &Yards, choice: &Choice, cost: &str) -> String {
    let all = watched(&yards.test);
    let peers = PEERS.map(|(_, new)| worth(&all, DRAWS, &|_| new()));
    let default = ours(&yards.test, DRAWS, None);
    let matched = choice.matched.map(|setting| ours(&yards.test, DRAWS, Some(setting)));
    let mut table = Table::new(&COLUMNS);
    table.row(&row("edgetuned, defaults", &default));
    for (peer, (name, _)) in PEERS.iter().enumerate() {
        table.row(&row(&format!("edgetuned, {}", choice.matched[peer].name()), &matched[peer]));
        table.row(&row(name, &peers[peer]));
    }
    let better = choice.better;
    let part = ratio(&matched[better], &peers[better]);
    let is_quick = matched[better].median_s.value <= peers[better].median_s.value;
    // A few false changes on either side settle nothing.
    let verdict = match part {
        part if part.value > BAR || !is_quick => "missed",
        part if part.high > BAR => "not settled",
        _ => "reached",
    };
    let count = |worth: &Worth| worth.false_an_hour.value * worth.hours;
    let (few, many) = (count(&matched[better]), count(&peers[better]));
    let (of_default, other) = (ratio(&default, &peers[better]), ratio(&matched[1 - better], &peers[1 - better]));
    format!(
        "Made by `make bench-states`. A drawn camera looks at a yard's gate and two lamps, a frame every {EVERY_S:.0} s, \
         through an evening of {:.0} minutes in which daylight goes (`benches/states/scene.rs`, `evening.rs`, which has the \
         rates): people pass and wait before the gate, vans stand before it, the low sun and headlights shine into the \
         lens, leaves throw shadows, insects and dirt sit on the lens, haze, gain, noise, shake and exposure vary, frames \
         are JPEG. {SITES} yards; for each of its {} tasks a head learned by the daemon's own training from {SHOTS} random \
         labelled frames a class of one evening, of the region alone, with the backbone `default`. Its predictions of other \
         evenings went to every rule alike; peers' rules are their own, their models are not. {} evenings (seeds {TUNING:?}) \
         served to choose settings (`-- --tune` prints all that were tried), {} others (seeds {TEST:?}) to measure: {:.1} \
         hours of tasks with {:.0} changes. In brackets are 95 % intervals, a bootstrap over evenings.\n\n\
         A false change is one that is published to a class that is not so at that moment; a change to unknown is none. A \
         delay runs from the change of the truth to the state that says so; a change that was over before is missed. \
         Settings of ours beside a peer are those with the fewest false changes on tuning evenings among those that were no \
         slower there in the median. Frigate looks again every half second while a change is pending, which this does not \
         play: it would be quicker, and its three votes would be of one moment.\n\n{TRIED}\n\n{}\n\
         | what | bar | measured | verdict |\n| --- | ---: | ---: | ---: |\n\
         | false changes, part of the better peer's ({}) at its median delay | at most 0.33 | {}, {few:.0} against {many:.0} | {verdict} |\n\
         | the same with the defaults, whatever their delay | | {} | |\n\
         | false changes, part of the other peer's at its median delay | | {} | |\n{cost}",
        EVERY_S * FRAMES as f64 / 60.0,
        TASKS.len(),
        SITES as usize * TUNING.len(),
        SITES as usize * TEST.len(),
        default.hours,
        default.changes,
        table.finish(),
        PEERS[better].0.split(':').next().unwrap_or_default(),
        with(part, 2, 1.0),
        with(of_default, 2, 1.0),
        with(other, 2, 1.0),
    )
}

/// What a vote costs beside an embedding: medians, and the bar's row.
pub fn cost(cache: &Path, yards: &Yards) -> Result<String, Box<dyn Error>> {
    let mut backbone = Embedded::open(&cache.join("site-0"))?.backbone;
    let tensor = vec![0.1; backbone.preprocess().tensor_len()];
    let embed = median(30, || backbone.embed(&tensor, 1).map(drop))?;
    let played = yards.test.first().ok_or("there are no test evenings")?;
    let judgements: Vec<_> =
        played.watched.predictions.iter().map(|p| (p.s, Ours::judgement(p, &played.classes))).collect();
    let evening = median(30, || {
        let mut machine = StateMachine::new(StateSettings::default(), StateRecord::default());
        for (s, judgement) in &judgements {
            machine.predicted(&ages(*s), judgement);
            std::hint::black_box(machine.view());
        }
        Ok::<_, std::convert::Infallible>(())
    })?;
    let vote = evening / judgements.len() as f64;
    let verdict = if vote / embed <= COST_BAR { "reached" } else { "missed" };
    Ok(format!(
        "| a vote and its view, {:.1} us, beside an embedding, {:.1} ms | at most {}% | {}% | {verdict} |\n",
        1e6 * vote,
        1e3 * embed,
        percent(COST_BAR),
        format_args!("{:.3}", 100.0 * vote / embed),
    ))
}

/// Median seconds of so many runs.
fn median<E>(runs: usize, mut work: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut taken = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        work()?;
        taken.push(started.elapsed().as_secs_f64());
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken[runs / 2])
}
