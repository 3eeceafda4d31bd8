#![allow(clippy::float_cmp, reason = "counts are whole, and figures come back as they were set")]

use std::collections::BTreeSet;

use super::families::{ALL, Kind};
use super::*;
use crate::engine::TaskGauges;
use crate::head::BackboneRef;
use crate::ports::Metrics as _;
use crate::wire::{AlertId, HealthFigures, Link, LiveFigure, LiveFigures, ReviewReason, Severity};
use crate::words::{Digest, HeadId, HeadRef, Timestamp};

fn tasks(names: &[&str]) -> Vec<TaskId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn class(n: usize) -> Label {
    Label::new(&format!("class {n}")).unwrap()
}

/// How a device with these tasks, and so many classes in each, is; it has a broker, and everything happened to it.
fn gauges(ids: &[TaskId], classes: usize) -> Gauges {
    let names_tasks = ids != [TaskId::default()];
    let live = LiveFigure { n: 80, right: 77, accuracy: Some(0.9625), accuracy_interval: Some([0.89, 0.99]) };
    let task = TaskGauges {
        head: Some(HeadRef { id: HeadId("0123456789ab".into()), version: 7 }),
        promoted_at: Some(Timestamp(1_764_500_000_000)),
        trained_at: Some(Timestamp(1_764_500_000_000)),
        labels: (0..classes).map(|n| (class(n), 20)).collect(),
        live: LiveFigures { prequential: live, audit: live },
        is_drifting: false,
        drift: vec![("confidence", 0.125), ("novelty", 0.5), ("error", 0.0)],
        review: [(ReviewReason::Uncertain, 12)].into(),
    };
    let named = if names_tasks { ids } else { &[] };
    let alerts = AlertId::possible(named, &["yard".parse().unwrap()]);
    Gauges {
        names_tasks,
        backbone: BackboneRef { name: "efficientnet-lite0".into(), sha256: Digest::of(b"b"), dim: 1280 },
        health: HealthFigures {
            samples: 12_345,
            queue: 3,
            store_bytes: 123_456_789,
            spooled: 2,
            temperature_c: Some(51.5),
            ..HealthFigures::default()
        },
        quota_bytes: 512 << 20,
        link: Link::Connected,
        oldest_message: Some(Duration::from_secs(5)),
        alerts: alerts.into_iter().map(|id| (id, None)).collect(),
        tasks: ids.iter().map(|id| (id.clone(), task.clone())).collect(),
    }
}

/// What is measured where everything happened once.
fn busy(ids: &[TaskId], classes: usize) -> Metrics {
    let metrics = Metrics::new();
    metrics.show(gauges(ids, classes));
    let mut notes = vec![
        Note::Image(ImageResult::Predicted),
        Note::Arrived { settled: Some(Duration::from_millis(100)), ready_at: Duration::from_secs(1) },
        Note::Error { source: "mqtt" },
        Note::Dropped { messages: 4 },
    ];
    for task in ids {
        let prediction = |n| {
            let certainty = Certainty::ALL[n % 3];
            Note::Prediction { task: task.clone(), class: class(n), certainty }
        };
        notes.extend((0..classes).map(prediction));
        notes.push(Note::Training { task: task.clone(), result: TrainingResult::Promoted });
        metrics.embeddings_drift(task, 0.25);
        let recall = (0..classes).map(|n| (class(n), 0.9, 20)).collect();
        let figures = HeadFigures { accuracy: 0.91, balanced_accuracy: 0.9, recall };
        metrics.counts().heads.insert(task.clone(), figures);
    }
    let labels = ids.iter().flat_map(|task| ["folder", "mqtt"].map(|source| (task.clone(), source))).collect();
    let written = Written { labels, messages: vec![1] };
    metrics.committed(Some(Duration::from_millis(3)), written, notes, Duration::from_secs(2));
    for stage in ["decode", "embed", "predict"] {
        metrics.took(stage, Duration::from_millis(20));
    }
    metrics.heard(&Event::Broker(BrokerEvent::Delivered { seq: 1 }));
    (0..3).for_each(|_| metrics.heard(&Event::Broker(BrokerEvent::connected())));
    metrics.training_begins();
    for phase in [Some(TrainingPhase::Fitting), Some(TrainingPhase::Evaluating), None] {
        metrics.trains(phase);
    }
    for (route, status) in [(Some("/metrics"), 200), (Some("/api/v1/{name}"), 200), (None, 401)] {
        metrics.answered(route, status, Duration::from_millis(2));
    }
    metrics
}

/// The values of a metric's series, by their labels as they are written.
fn series(text: &str, name: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let lines = lines.filter(|rest| rest.starts_with([' ', '{']));
    lines
        .map(|rest| rest.rsplit_once(' ').unwrap())
        .map(|(labels, n)| (labels.to_owned(), n.parse().unwrap()))
        .collect()
}

/// What a text says that there is: name and kind.
fn kinds(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    lines.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

#[test]
fn where_everything_happened_every_metric_is_there_and_no_other() {
    let text = busy(&tasks(&["default"]), 4).text(2);
    let expected: BTreeSet<_> =
        ALL.iter().map(|family| (family.name.to_owned(), word(family.kind).to_owned())).collect();
    assert_eq!(kinds(&text), expected);
    for family in ALL {
        let bare =
            if family.kind == Kind::Histogram { format!("{}_count", family.name) } else { family.name.to_owned() };
        let labels = series(&text, &bare).into_keys().next().unwrap_or_else(|| panic!("{} has no series", family.name));
        let names: Vec<_> =
            labels.trim_matches(['{', '}']).split("\",").filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
        let mut expected = family.labels.to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected, "{}", family.name);
        assert!(text.contains(&format!("# HELP {} {}\n", family.name, family.help)));
    }
}

#[test]
fn figures_are_what_happened() {
    let text = busy(&tasks(&["default"]), 4).text(2);
    let one = |name: &str| series(&text, name)[""];
    assert_eq!(one("edgetuned_http_watchers"), 2.0);
    assert_eq!(one("edgetuned_mqtt_reconnects_total"), 2.0);
    assert_eq!(one("edgetuned_mqtt_published_messages_total"), 1.0);
    assert_eq!(one("edgetuned_mqtt_dropped_messages_total"), 4.0);
    assert!((5.0..60.0).contains(&one("edgetuned_outbox_oldest_age_seconds")));
    assert!((one("edgetuned_image_latency_seconds_sum") - 1.1).abs() < 1e-9, "settling and waiting");
    assert!(one("process_resident_memory_bytes") > 1e6 && one("process_open_fds") > 2.0);
    let of = |name: &str, labels: &str| series(&text, name)[labels];
    assert_eq!(of("edgetuned_images_total", "{result=\"predicted\"}"), 1.0);
    assert_eq!(of("edgetuned_images_total", "{result=\"duplicate\"}"), 0.0, "there before it happens");
    assert_eq!(of("edgetuned_predictions_total", "{class=\"class 1\",outcome=\"ambiguous\"}"), 1.0);
    assert_eq!(of("edgetuned_trainings_total", "{result=\"promoted\"}"), 1.0);
    assert_eq!(of("edgetuned_review_items", "{reason=\"uncertain\"}"), 12.0);
    assert_eq!(of("edgetuned_drift_score", "{kind=\"embedding\"}"), 0.25);
    assert_eq!(of("edgetuned_http_requests_total", "{code=\"401\",route=\"other\"}"), 1.0);
    assert_eq!(series(&text, "edgetuned_alert_active").len(), AlertId::PLAIN.len() + 3, "all of them, up or not");
    assert_eq!(series(&text, "edgetuned_stage_duration_seconds_count").len(), 6);
}

#[test]
fn an_alert_that_is_up_is_one_of_its_severity() {
    let (metrics, ids) = (Metrics::new(), tasks(&["bin", "door"]));
    let mut gauges = gauges(&ids, 1);
    for (id, severity) in &mut gauges.alerts {
        if ["clock", "drift_door", "source_yard"].contains(&id.to_string().as_str()) {
            *severity = Some(Severity::Warning);
        }
    }
    metrics.show(gauges);
    let up = series(&metrics.text(0), "edgetuned_alert_active").into_iter().filter(|(_, up)| *up == 1.0);
    let alerts = [("clock", ""), ("drift", "door"), ("source", "")];
    let expected = alerts.map(|(alert, task)| format!("{{alert=\"{alert}\",severity=\"warning\",task=\"{task}\"}}"));
    assert_eq!(up.map(|(labels, _)| labels).collect::<Vec<_>>(), expected);
}

#[test]
fn tasks_are_named_where_the_configuration_names_them() {
    let ids = tasks(&["bin", "door"]);
    let text = busy(&ids, 4).text(0);
    for family in ALL.iter().filter(|family| family.is_of_task) {
        let series = series(&text, family.name);
        assert!(
            !series.is_empty() && series.keys().all(|labels| labels.contains("task=\"")),
            "{}: {series:?}",
            family.name
        );
    }
    for family in ALL.iter().filter(|family| !family.is_of_task) {
        assert!(series(&text, family.name).keys().all(|labels| !labels.contains("task=\"")), "{}", family.name);
    }
    let alone = Metrics::new();
    alone.show(gauges(&ids[..1], 4));
    assert_eq!(series(&alone.text(0), "edgetuned_trainings_total").len(), TrainingResult::ALL.len());
}

#[test]
fn without_a_broker_or_a_sensor_nothing_is_said_of_it_and_before_the_start_nothing_of_the_engine() {
    let metrics = Metrics::new();
    let text = metrics.text(0);
    assert!(text.contains("edgetuned_build_info") && !text.contains("edgetuned_samples"));
    let mut gauges = gauges(&tasks(&["default"]), 2);
    gauges.link = Link::Off;
    gauges.health.temperature_c = None;
    metrics.show(gauges);
    let text = metrics.text(0);
    assert!(text.contains("edgetuned_samples"));
    for gone in ["mqtt_", "outbox", "temperature"] {
        assert!(!text.contains(&format!("edgetuned_{gone}")), "{gone}");
    }
}

#[test]
fn a_usual_device_has_15_kb_and_any_number_of_classes_has_a_bound() {
    let usual = busy(&tasks(&["default"]), 4).text(2);
    assert!(usual.len() <= 15 << 10, "{} bytes:\n{usual}", usual.len());
    let ids = tasks(&["bin", "door"]);
    let many = busy(&ids, 1_000).text(0);
    for family in ALL.iter().filter(|family| family.labels.contains(&"class")) {
        let found = series(&many, family.name);
        assert!(found.len() <= 100 && found.keys().any(|labels| labels.contains("class=\"other\"")), "{}", family.name);
    }
}

#[test]
fn messages_that_wait_for_long_are_timed_within_bounds() {
    let metrics = Metrics::new();
    let written = Written { messages: (0..5_000).collect(), ..Written::default() };
    metrics.committed(None, written, Vec::new(), Duration::ZERO);
    assert_eq!(lock(&metrics.spooled).len(), TIMED);
}

#[test]
fn the_page_about_metrics_lists_those_that_there_are() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `edgetuned_") || line.starts_with("| `process_"));
    let listed: Vec<Vec<String>> =
        rows.map(|row| row.split('|').skip(1).take(3).map(|cell| cell.trim().replace('`', "")).collect()).collect();
    let expected: Vec<Vec<String>> = ALL
        .iter()
        .map(|family| {
            let labels: Vec<_> = family.labels.iter().copied().chain(family.is_of_task.then_some("(task)")).collect();
            vec![family.name.to_owned(), word(family.kind).to_owned(), labels.join(", ")]
        })
        .collect();
    assert_eq!(listed, expected, "docs/metrics.md and the program differ");
}
