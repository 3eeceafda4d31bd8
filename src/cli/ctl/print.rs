//! Answers for people.

use std::io::{self, Write};

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::CtlCommand;
use crate::cli::failure::{Failure, one_line, whence};
use crate::cli::output::{self, Output, by_ending};
use crate::wire::command::{self, Excluded, Spec};
use crate::wire::{
    AlertId, Exported, Forgotten, Ignored, LabelsTaken, Link, PredictionBody, Promoted, Raised, ReviewItems,
    RolledBack, SourceHealth, StatusReport, TaskHealth, Topic, TrainAccepted, TrainResult,
};
use crate::words::{HeadRef, TaskId, Timestamp};

/// Prints an answer's data: unchanged for programs, as text for people.
pub fn print(command: &CtlCommand, data: &Value, output: Output) -> Result<(), Failure> {
    let mut words = Vec::new();
    if !output.json {
        in_words(command, data, &mut words).map_err(|error| {
            let version = env!("CARGO_PKG_VERSION");
            Failure::failed(format!(
                "this program ({version}) does not understand the daemon's answer: {error}; use --json"
            ))
        })?;
    }
    output.print(data, |out| out.write_all(&words))
}

/// Prints the body of an answer: as it came, or for programs as the JSON that it is, else as a string.
pub fn body(bytes: &[u8], output: Output) -> Result<(), Failure> {
    let value = serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into());
    output.print::<Value>(&value, |out| out.write_all(bytes))
}

/// The data of an answer to `C`.
fn of<C: Spec>(data: &Value) -> io::Result<C::Data> {
    C::Data::deserialize(data).map_err(io::Error::from)
}

fn in_words(command: &CtlCommand, data: &Value, out: &mut Vec<u8>) -> io::Result<()> {
    match command {
        CtlCommand::Status => status(&of::<command::Status>(data)?, out),
        CtlCommand::Train => {
            let TrainAccepted { training } = of::<command::Train>(data)?;
            writeln!(out, "training {training} is accepted; 'edgetuned ctl watch' shows its result")
        }
        CtlCommand::Rescan => writeln!(out, "the watched folders are listed again"),
        CtlCommand::Rollback => {
            let RolledBack { head, from } = of::<command::Rollback>(data)?;
            writeln!(out, "{} serves, {from} is rejected", named(head.as_ref()))
        }
        CtlCommand::Promote { .. } => match of::<command::Promote>(data)? {
            Promoted { head, from: Some(from) } if head == from => writeln!(out, "{head} serves already"),
            Promoted { head, from } => writeln!(out, "{head} serves, before it {}", named(from.as_ref())),
        },
        CtlCommand::Label { .. } => match of::<command::Label>(data)? {
            LabelsTaken { set: 1.., .. } => writeln!(out, "done"),
            LabelsTaken { kept: 1.., .. } => writeln!(out, "no such image yet; its label is kept for it"),
            LabelsTaken { .. } => writeln!(out, "no such image; no label is kept for it"),
        },
        CtlCommand::Relabel { dry_run, .. } => {
            let LabelsTaken { set, kept, change } = of::<command::Relabel>(data)?;
            let would = if *dry_run { "that would change" } else { "changed" };
            writeln!(out, "labels {would}: {set}, and of those that wait for their image: {kept}")?;
            takes_it_back(change, out)
        }
        CtlCommand::Exclude { include, .. } => {
            let Excluded { excluded, change } = of::<command::Exclude>(data)?;
            let what = if *include { "no longer excluded" } else { "excluded" };
            writeln!(out, "images {what}: {excluded}")?;
            takes_it_back(change, out)
        }
        CtlCommand::Undo { .. } => output::undone(&of::<command::Undo>(data)?, out),
        CtlCommand::Forget(_) => {
            let Forgotten { samples, awaited } = of::<command::Forget>(data)?;
            writeln!(out, "samples forgotten: {samples}, and labels that waited for their image: {awaited}")
        }
        CtlCommand::Review => review(&of::<command::Review>(data)?, out),
        CtlCommand::Heads => output::heads(&of::<command::Heads>(data)?, out),
        CtlCommand::Samples(_) => output::samples(&of::<command::Samples>(data)?, out),
        CtlCommand::Predict { .. } => predicted(&of::<command::Predict>(data)?, out),
        CtlCommand::Export => {
            let Exported { path, bytes, head, .. } = of::<command::Export>(data)?;
            writeln!(out, "{} ({bytes} bytes): {head} with its backbone", one_line(&path))
        }
        CtlCommand::Reload => writeln!(out, "the configuration's files are good; they take effect now"),
        CtlCommand::Trainings(_) => trainings(&Vec::deserialize(data)?, out),
        CtlCommand::Events(_) => events(data, out),
        CtlCommand::Watch | CtlCommand::Get { .. } | CtlCommand::Statistics(_) | CtlCommand::Request { .. } => {
            serde_json::to_writer_pretty(&mut *out, data)?;
            writeln!(out)
        }
    }
}

fn trainings(trainings: &[TrainResult], out: &mut Vec<u8>) -> io::Result<()> {
    for TrainResult { envelope, training, trigger, head, promoted, reason, .. } in trainings {
        let (ts, trigger) = (envelope.ts, one_line(trigger));
        let serves = if *promoted { "promoted" } else { "not promoted" };
        writeln!(out, "{ts}  training {training} ({trigger}): {head}, {serves}: {}", one_line(reason))?;
    }
    Ok(())
}

fn events(events: &Value, out: &mut Vec<u8>) -> io::Result<()> {
    for event in events.as_array().into_iter().flatten() {
        let line = json!({ "topic": event["ts"], "payload": event }).to_string();
        writeln!(out, "{}", one_line(&message(&line)))?;
    }
    Ok(())
}

fn takes_it_back(change: Option<u64>, out: &mut Vec<u8>) -> io::Result<()> {
    change.map_or(Ok(()), |change| writeln!(out, "'edgetuned ctl undo {change}' takes it back"))
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never yet".into(), |at| at.to_string())
}

fn named(head: Option<&HeadRef>) -> String {
    head.map_or_else(|| "none".into(), ToString::to_string)
}

fn status(report: &StatusReport, out: &mut Vec<u8>) -> io::Result<()> {
    let StatusReport { health, task, head, backbone, phase, live, shadow, switch, broker, broker_reason, alerts } =
        report;
    let phase = format!("{phase:?}").to_lowercase();
    let broker = match (broker, broker_reason) {
        (Link::Off, _) => "off: mqtt.url is null".to_owned(),
        (Link::Connected, _) => format!("connected, {} messages wait for it", health.spooled),
        (Link::Disconnected, None) => format!("disconnected, {} messages wait for it", health.spooled),
        (Link::Disconnected, Some(reason)) => {
            format!("disconnected, {} messages wait for it: {}", health.spooled, one_line(reason))
        }
    };
    for Raised { id, warning } in alerts {
        writeln!(out, "ALERT      {id} since {}: {}", warning.since, one_line(&warning.text))?;
    }
    let of_task = task.as_ref().map_or_else(String::new, |task| format!(", of task {task}"));
    writeln!(out, "head       {}{of_task}", named(head.as_ref()))?;
    if let Some(shadow) = shadow {
        writeln!(out, "shadow     {shadow}")?;
    }
    writeln!(out, "backbone   {}", one_line(backbone))?;
    if let Some(switch) = switch {
        writeln!(out, "switch     {}", one_line(&output::switch(switch)))?;
    }
    if let Some(accuracy) = live.prequential.accuracy {
        let n = live.prequential.n;
        writeln!(out, "live       {:.1} % of {n} images that got a label later", 100.0 * accuracy)?;
    }
    writeln!(out, "samples    {}, of these {} labelled", health.samples, health.labelled)?;
    writeln!(out, "files      {} queued, {} quarantined", health.queue, health.quarantined)?;
    if health.ignored != Ignored::default() {
        writeln!(out, "           passed over: {}", ignored(&health.ignored))?;
    }
    for (id, task) in &health.tasks {
        let TaskHealth { samples, labelled, last_train, head, .. } = task;
        let (head, last) = (named(head.as_ref()), time(*last_train));
        writeln!(out, "task       {id}: {samples} samples, {labelled} labelled, head {head}, last training {last}")?;
    }
    for (id, source) in &health.sources {
        let SourceHealth { frames, skipped, frozen, failed, last } = source;
        let last = time(*last);
        writeln!(
            out,
            "source     {id}: {frames} frames, {skipped} skipped, {frozen} frozen, {failed} failed, last {last}"
        )?;
    }
    let last = time(health.last_train);
    writeln!(out, "training   {phase}, last {last}")?;
    writeln!(out, "broker     {broker}")?;
    let (store, memory) = (health.store_bytes as f64 / 1e6, health.rss_bytes as f64 / 1e6);
    writeln!(out, "size       {store:.1} MB on the disk, {memory:.1} MB in memory")?;
    writeln!(out, "running    {} s, {} errors", health.uptime_s, health.errors_total)
}

/// What a listing passed over, in words.
fn ignored(ignored: &Ignored) -> String {
    let Ignored { other_names, other_pictures, links, excluded, special, unreadable } = ignored;
    let other_kinds = match by_ending(other_pictures) {
        pictures if pictures.is_empty() => "other kinds of files".to_owned(),
        pictures => format!("other kinds of files, of these pictures: {pictures}"),
    };
    let counts = [
        (other_names, other_kinds.as_str()),
        (links, "links that lead out of the folder"),
        (excluded, "excluded names"),
        (special, "pipes, sockets and devices"),
        (unreadable, "folders that cannot be read"),
    ];
    let some = counts.iter().filter(|(count, _)| **count > 0).map(|(count, what)| format!("{count} {what}"));
    some.collect::<Vec<_>>().join(", ")
}

fn review(list: &ReviewItems, out: &mut Vec<u8>) -> io::Result<()> {
    if list.items.is_empty() {
        writeln!(out, "no image needs a label now")?;
    }
    for item in &list.items {
        let reason = format!("{:?}", item.reason).to_lowercase();
        let guess = match (&item.suggestion, item.probability) {
            (Some(label), Some(probability)) => format!("{label}, {:.1} %", 100.0 * probability),
            (Some(label), None) => label.to_string(),
            (None, _) => "-".into(),
        };
        let whence = whence(item.path.as_deref(), item.source.as_ref());
        writeln!(out, "{}  {reason:10}  {guess:24}  {whence}", item.image.0.short())?;
    }
    if let Some(advice) = &list.advice {
        writeln!(out, "more labels of {} would help most", advice.class)?;
    }
    Ok(())
}

fn predicted(said: &PredictionBody, out: &mut Vec<u8>) -> io::Result<()> {
    let path = whence(said.path.as_deref(), said.source.as_ref());
    if said.top.is_empty() {
        return writeln!(out, "{path}: no head is in service");
    }
    let top: Vec<String> =
        said.top.iter().map(|best| format!("{} {:.1} %", best.label, 100.0 * best.probability)).collect();
    let unknown = if said.unknown == Some(true) { "; it may be none of them" } else { "" };
    writeln!(out, "{path}: {}{unknown}", top.join(", "))
}

/// Whether a message is about this task.
pub fn is_about(line: &str, task: &TaskId) -> bool {
    let said = serde_json::from_str::<Value>(line).unwrap_or_default();
    match said["topic"].as_str().map(str::parse) {
        Some(Ok(Topic::Task(of, _) | Topic::Alert(AlertId::OfTask(_, of)))) => of == *task,
        _ => said["payload"]["task"] == task.as_str(),
    }
}

/// A message in one line: its topic and its fields, without the envelope.
pub fn message(line: &str) -> String {
    let Ok(Value::Object(mut said)) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let topic = said.get("topic").and_then(Value::as_str).unwrap_or_default().to_owned();
    let payload = match said.remove("payload") {
        Some(Value::Object(mut fields)) => {
            for field in ["v", "ts", "seq", "boot"] {
                fields.remove(field);
            }
            Value::Object(fields).to_string()
        }
        Some(Value::String(text)) => text,
        Some(Value::Null) | None => "(cleared)".into(),
        Some(other) => other.to_string(),
    };
    format!("{topic} {payload}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_topic_and_what_it_carries() {
        let line = r#"{"topic":"event","payload":{"v":1,"ts":"x","seq":3,"boot":"b","event_type":"stopped"}}"#;
        assert_eq!(message(line), r#"event {"event_type":"stopped"}"#);
        assert_eq!(message(r#"{"topic":"status","payload":"online"}"#), "status online");
        assert_eq!(message(r#"{"topic":"alert/drift","payload":null}"#), "alert/drift (cleared)");
    }

    #[test]
    fn events_are_a_line_each_that_begins_with_their_time() {
        let list =
            json!([{ "v": 1, "ts": "2026-01-02T03:04:05.006Z", "seq": 3, "boot": "b", "event_type": "stopped" }]);
        let mut out = Vec::new();
        events(&list, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "2026-01-02T03:04:05.006Z {\"event_type\":\"stopped\"}\n");
    }

    #[test]
    fn a_message_is_about_the_task_of_its_topic_or_its_field() {
        let door = TaskId::new("door").unwrap();
        for (line, is) in [
            (r#"{"topic":"task/door/state","payload":{"task":"door"}}"#, true),
            (r#"{"topic":"event","payload":{"task":"door","event_type":"trained"}}"#, true),
            (r#"{"topic":"alert/drift_door","payload":null}"#, true),
            (r#"{"topic":"task/bin/state","payload":{"task":"bin"}}"#, false),
            (r#"{"topic":"event","payload":{"event_type":"started"}}"#, false),
            (r#"{"topic":"alert/drift","payload":null}"#, false),
            (r#"{"topic":"status","payload":"online"}"#, false),
            ("nonsense", false),
        ] {
            assert_eq!(is_about(line, &door), is, "{line}");
        }
    }
}
