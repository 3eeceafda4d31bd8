//! The text of a scrape: from the snapshot, what is counted, and what the system says of the process.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use prometheus::TextEncoder;
use rustix::time::{ClockId, clock_gettime};

use super::classes::bounded;
use super::families as f;
use super::page::{Page, Row};
use super::{Counts, HeadFigures, Metrics};
use crate::daemon::process::rss_bytes;
use crate::engine::{Gauges, TaskGauges, TrainingResult};
use crate::wire::{AlertId, Link, LiveFigure, ReviewReason, TaskAlert};
use crate::words::{Keyword as _, TaskId, Timestamp};

/// What alerts of sources are called: which source it is, `status` says.
const SOURCE: &str = "source";
/// The name of the loop among the workers.
const LOOP: &str = "main";

impl Metrics {
    /// Everything, in Prometheus' text format.
    pub(super) fn scrape(&self, watchers: usize) -> String {
        let counts = self.counts().clone();
        let page = Page::new(counts.gauges.as_ref().is_some_and(|(_, gauges)| gauges.names_tasks));
        page.rows(&f::BUILD, [(None, vec![env!("CARGO_PKG_VERSION")], 1.0)]);
        page.one(&f::START, self.started);
        page.one(&f::WATCHERS, watchers as f64);
        process(&page);
        let now = Instant::now();
        let ages = counts.heartbeats.busy();
        let loop_age = counts.gauges.as_ref().map(|(at, _)| (LOOP, now.duration_since(*at)));
        let ages = ages.into_iter().chain(loop_age);
        page.rows(&f::HEARTBEAT, ages.map(|(worker, age)| (None, vec![worker], seconds(age))));
        if let Some((at, gauges)) = &counts.gauges {
            device(&page, gauges);
            link(&page, gauges, &counts, now.duration_since(*at));
            alerts(&page, gauges);
            tasks(&page, gauges);
            heads(&page, gauges, &counts.heads);
            counted(&page, gauges, &counts);
        }
        let mut families = page.gather();
        families.extend(self.registry.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be written; report this");
            String::new()
        })
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn unix(at: Timestamp) -> f64 {
    at.0 as f64 / 1_000.0
}

/// What the system says of the process; what it does not say is left out.
fn process(page: &Page) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    page.one(&f::CPU, cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    page.known(&f::MEMORY, rss_bytes().map(|bytes| bytes as f64));
    // The folder that is read is one of them.
    page.known(&f::FILES, fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as f64));
}

fn device(page: &Page, gauges: &Gauges) {
    let health = &gauges.health;
    let dim = gauges.backbone.dim.to_string();
    page.rows(&f::BACKBONE, [(None, vec![gauges.backbone.name.as_str(), &dim], 1.0)]);
    page.one(&f::QUEUE, health.queue as f64);
    page.one(&f::QUARANTINED, health.quarantined as f64);
    page.one(&f::SAMPLES, health.samples as f64);
    page.one(&f::STORE, health.store_bytes as f64);
    page.one(&f::QUOTA, gauges.quota_bytes as f64);
    page.one(&f::EVICTED, health.evicted as f64);
    page.known(&f::TEMPERATURE, health.temperature_c);
}

/// The broker; without one there is nothing to say. `age` is that of the snapshot.
fn link(page: &Page, gauges: &Gauges, counts: &Counts, age: Duration) {
    if gauges.link == Link::Off {
        return;
    }
    page.one(&f::CONNECTED, truth(gauges.link == Link::Connected));
    page.one(&f::RECONNECTS, counts.connections.saturating_sub(1) as f64);
    page.one(&f::PUBLISHED, counts.published as f64);
    page.one(&f::DROPPED, counts.dropped as f64);
    page.one(&f::OUTBOX, gauges.health.spooled as f64);
    // Where none waits the oldest is of no age; where the clock cannot tell, nothing is said.
    let oldest = gauges.oldest_message.map(|oldest| seconds(oldest + age));
    page.known(&f::OLDEST, if gauges.health.spooled == 0 { Some(0.0) } else { oldest });
}

/// All alerts with every severity that each can have, up or not.
fn alerts(page: &Page, gauges: &Gauges) {
    let mut rows: BTreeMap<(Option<&TaskId>, String, &str), bool> = BTreeMap::new();
    for (id, raised) in &gauges.alerts {
        let (task, name) = match id {
            // Each task has these for itself.
            AlertId::Drift | AlertId::Labels | AlertId::Model if gauges.names_tasks => continue,
            AlertId::OfTask(alert, task) => (Some(task), TaskAlert::as_str(*alert).to_owned()),
            AlertId::Source(_) => (None, SOURCE.to_owned()),
            plain => (None, plain.to_string()),
        };
        for severity in id.severities() {
            *rows.entry((task, name.clone(), severity.as_str())).or_default() |= *raised == Some(*severity);
        }
    }
    let rows = rows.iter().map(|((task, name, severity), up)| (*task, vec![name.as_str(), severity], truth(*up)));
    page.rows(&f::ALERTS, rows);
}

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// A row for a task of which `value` is known.
fn row((task, value): (&TaskId, Option<f64>)) -> Option<Row<'_>> {
    Some((Some(task), Vec::new(), value?))
}

fn tasks(page: &Page, gauges: &Gauges) {
    let each = || gauges.tasks.iter();
    let time = |of: fn(&TaskGauges) -> Option<Timestamp>| each().map(move |(id, task)| (id, of(task).map(unix)));
    page.rows(&f::TRAINED, time(|task| task.trained_at).filter_map(row));
    page.rows(&f::PROMOTED, time(|task| task.promoted_at).filter_map(row));
    page.rows(&f::DRIFTING, each().map(|(id, task)| (Some(id), Vec::new(), truth(task.is_drifting))));

    let heads: Vec<_> = each()
        .filter_map(|(id, task)| task.head.as_ref().map(|head| (id, head.id.to_string(), head.version.to_string())))
        .collect();
    page.rows(&f::HEAD, heads.iter().map(|(id, name, version)| (Some(*id), vec![name.as_str(), version], 1.0)));

    let labels = each().flat_map(|(id, task)| task.labels.iter().map(move |(class, n)| (id, class, *n, *n)));
    let labels = bounded(labels, |rest| rest.iter().map(|(n, _)| n).sum());
    page.rows(&f::LABELS, labels.into_iter().map(|(id, class, n)| (Some(id), vec![class], n as f64)));

    let live = |(id, task): (&'_ TaskId, &'_ TaskGauges)| {
        [("audit", task.live.audit), ("prequential", task.live.prequential)]
            .map(|(kind, live)| (id.clone(), kind, live))
    };
    let live: Vec<(TaskId, &str, LiveFigure)> = each().flat_map(live).collect();
    let judged = live.iter().map(|(id, kind, live)| (Some(id), vec![*kind], live.n as f64));
    page.rows(&f::JUDGED, judged);
    let right = live.iter().filter_map(|(id, kind, live)| Some((Some(id), vec![*kind], live.accuracy?)));
    page.rows(&f::LIVE, right);

    let review = each().flat_map(|(id, task)| {
        ReviewReason::ALL.iter().map(move |reason| {
            let items = task.review.get(reason).copied().unwrap_or_default();
            (Some(id), vec![reason.as_str()], items as f64)
        })
    });
    page.rows(&f::REVIEW, review);
}

/// What the heads in service were measured at.
fn heads(page: &Page, gauges: &Gauges, heads: &BTreeMap<TaskId, HeadFigures>) {
    let each = || heads.iter().filter(|(task, _)| gauges.tasks.contains_key(task));
    page.rows(&f::ACCURACY, each().map(|(task, head)| (Some(task), Vec::new(), head.accuracy)));
    page.rows(&f::BALANCED, each().map(|(task, head)| (Some(task), Vec::new(), head.balanced_accuracy)));
    let recall = each().flat_map(|(task, head)| {
        head.recall.iter().map(move |(class, recall, support)| (task, class, *recall, *support))
    });
    // Of the rest together: the share of its images that are right.
    let merged = |rest: &[(f64, u64)]| {
        let images: u64 = rest.iter().map(|(_, support)| support).sum();
        rest.iter().map(|(recall, support)| recall * *support as f64).sum::<f64>() / images as f64
    };
    let recall = bounded(recall, merged);
    page.rows(&f::RECALL, recall.into_iter().map(|(task, class, recall)| (Some(task), vec![class], recall)));
}

/// What was counted of tasks that there still are.
fn counted(page: &Page, gauges: &Gauges, counts: &Counts) {
    let is_there = |task: &TaskId| gauges.tasks.contains_key(task);
    let predictions = counts.predictions.iter().filter(|((task, ..), _)| is_there(task));
    page.rows(
        &f::PREDICTIONS,
        predictions.map(|((task, class, sure), n)| (Some(task), vec![class.as_str(), sure.as_str()], *n as f64)),
    );
    let changes = counts.label_changes.iter().filter(|((task, _), _)| is_there(task));
    page.rows(&f::LABEL_CHANGES, changes.map(|((task, source), n)| (Some(task), vec![*source], *n as f64)));
    let trainings = gauges.tasks.keys().flat_map(|task| {
        TrainingResult::ALL.iter().map(move |result| {
            let n = counts.trainings.get(&(task.clone(), *result)).copied().unwrap_or_default();
            (Some(task), vec![result.as_str()], n as f64)
        })
    });
    page.rows(&f::TRAININGS, trainings);
    let drift = gauges.tasks.iter().flat_map(|(task, of_task)| {
        let embedding = counts.embedding_drift.get(task).map(|nearness| ("embedding", *nearness));
        let streams = of_task.drift.iter().copied().chain(embedding);
        streams.map(move |(kind, nearness)| (Some(task), vec![kind], nearness))
    });
    page.rows(&f::DRIFT, drift);
}
