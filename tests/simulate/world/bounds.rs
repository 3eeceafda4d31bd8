//! What stays bounded however much of one kind happens, and however many names are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use edgetuned::engine::{Act, OutboxMessage, Step, Worth, Write};
use serde_json::Value;

use super::World;

/// Events of one kind that may come at once; one a second after that.
const BURST: u64 = 20;
/// Changes and acts that one file may bring to each task, beside messages that have to go for it.
const ARRIVAL_MAX: usize = 32;

/// What this engine did.
#[derive(Debug, Default)]
pub struct Bounds {
    /// Events by their type.
    events: BTreeMap<String, u64>,
    began: Duration,
    /// Changes, acts, and recorded files looked at, ever.
    pub work: u64,
}

impl Bounds {
    /// Another engine begins.
    pub(super) fn engine_begins(&mut self, now: Duration) {
        (self.began, self.events) = (now, BTreeMap::new());
    }

    /// An event is reported.
    pub(super) fn count_event(&mut self, now: Duration, event: &Value) {
        let kind = event["event_type"].as_str().unwrap_or_default();
        // Errors are of several kinds.
        if kind == "error" {
            return;
        }
        let count = self.events.entry(kind.to_owned()).or_default();
        *count += 1;
        let most = BURST + now.saturating_sub(self.began).as_secs() + 1;
        assert!(*count <= most, "{count} events {kind} were reported, and at most {most} may be");
    }

    /// A step was made.
    pub(super) fn count_step(&mut self, is_arrival: bool, tasks: usize, step: &Step) {
        let is_work = |act: &&Act| !matches!(act, Act::Publish { .. } | Act::Systemd(_) | Act::LogEvent(_));
        let dropped = step.writes.iter().filter(|write| matches!(write, Write::DeleteMessage { .. })).count();
        let work = step.writes.len() - dropped + step.acts.iter().filter(is_work).count();
        assert!(!is_arrival || work <= ARRIVAL_MAX * tasks, "one file brings {work} changes and acts: {step:?}");
        self.work += work as u64;
    }
}

impl World {
    /// What the engine remembers, in bytes of its text.
    pub fn memory(&self) -> usize {
        format!("{:?}", self.engine).len()
    }

    /// Rows of files in the store.
    pub fn rows_of_files(&self) -> usize {
        self.model.files.len() + self.model.evicted.len()
    }

    /// Nothing goes for want of room while something is there that is worth less.
    pub(super) fn check_worth(&self, dropped: &OutboxMessage) {
        let worth = Worth::of(&dropped.topic);
        let is_less =
            |other: &&OutboxMessage| Worth::of(&other.topic) < worth && !self.received.contains_key(&other.seq);
        let less = self.model.outbox.values().find(is_less);
        let (seq, topic) = (dropped.seq, &dropped.topic);
        assert!(less.is_none(), "message {seq} on {topic} is dropped, and less is left: {less:?}");
    }
}
