//! What came of it: figures, faults, a table of everything that was measured.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::time::Duration;

use edgetuned::backbone::Manifest;
use serde_json::Value;

use crate::measures::{Measure, Process};
use crate::plot;
use crate::traffic::Done;
use crate::trend::Trend;

/// A measure that must not grow.
pub struct Judged {
    /// As in the picture.
    pub name: &'static str,
    /// Of its values.
    pub unit: &'static str,
    /// What it may grow by, as a share of its level …
    pub share: f64,
    /// … or by this much, whichever is more.
    pub floor: f64,
    /// Read from one look; `None` where it has none.
    pub value: fn(&Measure) -> Option<f64>,
}

/// The measures that are judged.
pub const JUDGED: [Judged; 5] = [
    Judged { name: "memory", unit: "MiB", share: 0.05, floor: 4.0, value: |m| Some(m.process.rss_kib as f64 / 1024.0) },
    Judged { name: "file descriptors", unit: "", share: 0.0, floor: 2.0, value: |m| Some(m.process.files as f64) },
    Judged { name: "threads", unit: "", share: 0.0, floor: 1.0, value: |m| Some(m.process.threads as f64) },
    Judged {
        name: "store on disk",
        unit: "MiB",
        share: 0.05,
        floor: 0.5,
        value: |m| Some(m.store_bytes as f64 / f64::from(1 << 20)),
    },
    Judged { name: "latency", unit: "ms", share: 0.2, floor: 20.0, value: |m| m.latency_ms },
];

/// What a daemon costs that has nothing to do.
#[derive(Debug, Clone, Copy)]
pub struct Alone {
    /// How often its threads woke up in a second.
    pub wakes_a_second: f64,
    /// Processor time in a minute.
    pub cpu_ms_a_minute: f64,
    /// Bytes written in a minute.
    pub written_a_minute: f64,
}

impl Alone {
    /// From two looks that are `time` apart.
    pub fn between(before: &Process, after: &Process, time: Duration) -> Self {
        let minutes = time.as_secs_f64() / 60.0;
        Self {
            wakes_a_second: after.sleeps.saturating_sub(before.sleeps) as f64 / time.as_secs_f64(),
            cpu_ms_a_minute: (after.cpu_s - before.cpu_s) * 1_000.0 / minutes,
            written_a_minute: (after.written_bytes - before.written_bytes) as f64 / minutes,
        }
    }
}

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wakes_a_second, cpu_ms_a_minute, written_a_minute } = self;
        write!(
            f,
            "left alone: {wakes_a_second:.1} wake-ups a second, {cpu_ms_a_minute:.0} ms of processor time and \
             {:.0} KiB written a minute",
            written_a_minute / 1024.0
        )
    }
}

/// Everything that is known at the end.
pub struct Report {
    pub alone: Alone,
    pub measures: Vec<Measure>,
    pub done: Done,
    /// The daemon's own figures.
    pub status: Value,
    pub links: u64,
}

impl Report {
    fn trend(&self, judged: &Judged) -> Option<Trend> {
        Trend::of(self.measures.iter().filter_map(|m| Some((m.at.as_secs_f64(), (judged.value)(m)?))))
    }

    /// What must not be.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for judged in &JUDGED {
            let Judged { name, unit, share, floor, .. } = judged;
            match self.trend(judged) {
                Some(trend) if trend.growth() <= floor.max(share * trend.level) => {}
                Some(trend) => {
                    faults.push(format!("{name} grew by {:.1} {unit} at {:.1}", trend.growth(), trend.level));
                }
                None => faults.push(format!("{name} was not measured for long enough")),
            }
        }
        let Done { images, predicted, trainings, promoted, .. } = self.done;
        if predicted != images {
            faults.push(format!("{images} images have {predicted} predictions"));
        }
        if promoted == 0 {
            faults.push(format!("of {trainings} trainings none gave a head"));
        }
        if self.status["evicted"].as_u64().unwrap_or_default() == 0 {
            faults.push("the quota was not reached".to_owned());
        }
        faults
    }

    /// Writes `soak.csv` and `soak.svg` into `folder`.
    pub fn write(&self, folder: &Path) {
        let mut table =
            "seconds,rss_kib,files,threads,store_bytes,latency_ms,heard_ms,cpu_s,written_bytes,images\n".to_owned();
        for Measure { at, process, store_bytes, images, latency_ms, heard_ms } in &self.measures {
            let number = |value: &Option<f64>| value.map_or(String::new(), |value| format!("{value:.1}"));
            let Process { rss_kib, files, threads, cpu_s, written_bytes, .. } = process;
            let (latency, heard) = (number(latency_ms), number(heard_ms));
            let at = at.as_secs_f64();
            writeln!(
                table,
                "{at:.1},{rss_kib},{files},{threads},{store_bytes},{latency},{heard},{cpu_s},{written_bytes},{images}"
            )
            .expect("it is memory");
        }
        fs::create_dir_all(folder).expect("a folder for the table");
        fs::write(folder.join("soak.csv"), table).expect("the table can be written");
        let panels = JUDGED.iter().filter_map(|judged| Some((judged, self.trend(judged)?)));
        fs::write(folder.join("soak.svg"), plot::draw(&panels.collect::<Vec<_>>()))
            .expect("the picture can be written");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { images, predicted, labels, corrections, trainings, promoted, faults, errors } = self.done;
        writeln!(f, "{images} images, {predicted} predictions, {labels} labels ({corrections} of them corrected),")?;
        writeln!(
            f,
            "{trainings} trainings ({promoted} promoted), {faults} faults of the link, {} links, {errors} errors",
            self.links
        )?;
        writeln!(f, "the daemon's own figures: {}", self.status)?;
        writeln!(f, "{}", self.alone)?;
        for judged in &JUDGED {
            let Some(trend) = self.trend(judged) else { continue };
            let Judged { name, unit, share, floor, .. } = judged;
            let most = floor.max(share * trend.level);
            let (level, growth) = (trend.level, trend.growth());
            writeln!(f, "| {name} | {level:.1} {unit} | {growth:+.2} {unit} | {most:.1} {unit} |")?;
        }
        let (Some(first), Some(last)) = (self.measures.first(), self.measures.last()) else { return Ok(()) };
        let (seconds, taken) = (last.at.saturating_sub(first.at).as_secs_f64(), (last.images - first.images) as f64);
        let written = (last.process.written_bytes - first.process.written_bytes) as f64;
        let dim = Manifest::resolve("photo").map_or(0, |manifest| manifest.space().dim);
        // As the daemon reckons a sample: its embedding in f16, and rows and indices.
        let worth = (2 * dim + 400) as f64;
        writeln!(
            f,
            "written an image: {:.1} KiB; worth keeping of it: {worth:.0} bytes; {:.1} times as much",
            written / taken / 1024.0,
            written / taken / worth
        )?;
        let cpu = last.process.cpu_s - first.process.cpu_s;
        write!(
            f,
            "processor time: {:.1} % of one core, {:.0} ms an image",
            100.0 * cpu / seconds,
            1_000.0 * cpu / taken
        )
    }
}
