//! Events, reported without a flood.
//!
//! A sender of a thousand broken messages a second, or a camera of thirty broken pictures, must not fill the outbox and
//! the journal with as many events. So of each kind a burst is reported, then one a second with the number of those
//! left out. Kinds are few, whatever is sent: each type of event is one, and of errors the first level of a topic, and
//! parts of the daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::context::Cx;
use super::super::note::Note;
use super::super::write::Write;
use crate::wire::EventKind;
use crate::words::{Component, TaskId};

/// Events of one kind that are reported one by one.
const BURST: usize = 20;

/// After a burst, one event of its kind is reported in this time.
const EVERY: Duration = Duration::from_secs(1);

/// Messages that the outbox dropped are reported this often at most.
const DROPPED_EVERY: Duration = Duration::from_mins(1);

/// First levels of topics that are kinds of their own; all others are one.
const TOPICS: [&str; 5] = ["label", "request", "config", "update", "homeassistant"];

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
struct Report {
    /// Those of one kind share a burst.
    kind: String,
    /// The task that it is about, where messages name tasks.
    task: Option<TaskId>,
    /// What errors are counted by.
    source: &'static str,
    says: EventKind,
}

impl Report {
    fn of_type(says: EventKind) -> Self {
        Self { kind: format!("event {}", says.event_type()), task: None, source: Note::MESSAGES, says }
    }

    fn of_source(source: Component, reason: String) -> Self {
        let says = EventKind::Error { topic: None, source: Some(source.to_string()), reason };
        Self { kind: format!("source {source}"), task: None, source: source.as_str(), says }
    }

    fn of_topic(topic: &str, reason: String) -> Self {
        let first = topic.split('/').next().unwrap_or_default();
        let kind = format!("topic {}", TOPICS.into_iter().find(|known| *known == first).unwrap_or_default());
        let says = EventKind::Error { topic: Some(topic.to_owned()), source: None, reason };
        Self { kind, task: None, source: Note::MESSAGES, says }
    }

    /// The event that reports it, and that `left_out` others were not reported.
    fn into_event(mut self, left_out: u64) -> (Option<TaskId>, EventKind) {
        let what = if matches!(self.says, EventKind::Error { .. }) { "errors" } else { "events" };
        if left_out > 0
            && let Some(reason) = self.says.reason_mut()
        {
            *reason = format!("{reason} ({left_out} more {what} like this were not reported)");
        }
        (self.task, self.says)
    }
}

/// What one kind of event may still say.
#[derive(Debug)]
struct TokenBucket {
    tokens: usize,
    /// When the last token was added.
    filled_at: Duration,
    left_out: u64,
    /// The latest of those left out.
    latest: Option<Report>,
}

impl TokenBucket {
    fn new(now: Duration) -> Self {
        Self { tokens: BURST, filled_at: now, left_out: 0, latest: None }
    }

    /// Takes a token if there is one.
    fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled_at).as_secs() / EVERY.as_secs();
        if passed > 0 {
            self.tokens = usize::try_from(passed).unwrap_or(BURST).saturating_add(self.tokens).min(BURST);
            self.filled_at += EVERY * u32::try_from(passed).unwrap_or(u32::MAX);
        }
        let there = self.tokens > 0;
        self.tokens -= usize::from(there);
        there
    }
}

/// Which events were reported and which were left out.
#[derive(Debug, Default)]
pub(super) struct EventLimiter {
    buckets: BTreeMap<String, TokenBucket>,
    /// Messages dropped from the outbox and not reported yet.
    dropped: u64,
    dropped_said_at: Option<Duration>,
}

impl EventLimiter {
    /// What to say of `report` now, if anything.
    fn take(&mut self, now: Duration, report: Report) -> Option<(Option<TaskId>, EventKind)> {
        let bucket = self.buckets.entry(report.kind.clone()).or_insert_with(|| TokenBucket::new(now));
        if bucket.take(now) {
            bucket.latest = None;
            return Some(report.into_event(std::mem::take(&mut bucket.left_out)));
        }
        bucket.left_out += 1;
        bucket.latest = Some(report);
        None
    }

    /// Left-out events that may be reported now: the latest of each kind, with the number of the others.
    fn due(&mut self, now: Duration) -> Vec<(Option<TaskId>, EventKind)> {
        let mut due = Vec::new();
        for bucket in self.buckets.values_mut() {
            if let Some(latest) = bucket.latest.take_if(|_| bucket.left_out > 0) {
                if bucket.take(now) {
                    due.push(latest.into_event(std::mem::take(&mut bucket.left_out) - 1));
                } else {
                    bucket.latest = Some(latest);
                }
            }
        }
        due
    }

    /// How many messages were dropped, if that is to be reported now.
    fn dropped_due(&mut self, now: Duration) -> Option<u64> {
        let due = self.dropped_said_at.is_none_or(|at| now.saturating_sub(at) >= DROPPED_EVERY);
        (due && self.dropped > 0).then(|| {
            self.dropped_said_at = Some(now);
            std::mem::take(&mut self.dropped)
        })
    }
}

impl Cx<'_> {
    /// Reports that something went wrong; nothing else changes.
    pub fn error(&mut self, source: Component, reason: String) {
        self.report_error(Report::of_source(source, reason));
    }

    /// Reports what was wrong with a message; nothing else changes.
    pub fn error_on_topic(&mut self, topic: &str, reason: String) {
        self.report_error(Report::of_topic(topic, reason));
    }

    /// Reports that an update was refused or failed. Anybody can send unsigned updates, a thousand times a second;
    /// they must not get in the way of signed ones.
    pub fn update_failed(&mut self, signed: bool, says: EventKind) {
        let kind = if signed { "signed updates" } else { "updates" };
        let source = Component::Updates.as_str();
        self.report_error(Report { kind: kind.to_owned(), task: None, source, says });
    }

    /// Reports something that happened.
    pub fn emit_event(&mut self, kind: EventKind) {
        self.report(Report::of_type(kind));
    }

    fn report_error(&mut self, report: Report) {
        self.messages.reports.errors_total += 1;
        self.note(Note::Error { source: report.source });
        self.report(report);
    }

    fn report(&mut self, report: Report) {
        let report = Report { task: self.named_task(), ..report };
        if let Some((task, kind)) = self.messages.events.take(self.now.mono, report) {
            self.spool_event(task, kind);
        }
    }

    /// Takes messages out of the outbox that were never delivered, and counts them.
    pub fn drop_spooled(&mut self, dropped: Vec<u64>) {
        if self.settings().broker.is_some() {
            self.messages.events.dropped += dropped.len() as u64;
            if !dropped.is_empty() {
                self.note(Note::Dropped { messages: dropped.len() as u64 });
            }
        }
        for seq in &dropped {
            self.write(Write::DeleteMessage { seq: *seq });
        }
        // Only now what follows from it: where one was set aside that may be a report, which others have to go for.
        for seq in dropped {
            self.left_outbox(seq);
        }
    }

    /// Reports what was left out. What the outbox dropped is reported while connected: the event itself takes space,
    /// and while the broker is away one such event after another would push out what it speaks of.
    pub fn report_left_out_events(&mut self) {
        for (task, kind) in self.messages.events.due(self.now.mono) {
            self.spool_event(task, kind);
        }
        if self.messages.reports.connected
            && let Some(count) = self.messages.events.dropped_due(self.now.mono)
        {
            self.tell_dropped(count);
        }
    }

    /// At the end of the daemon: what would be forgotten with it.
    pub fn report_dropped_at_the_end(&mut self) {
        let count = std::mem::take(&mut self.messages.events.dropped);
        if count > 0 {
            self.tell_dropped(count);
        }
    }

    fn tell_dropped(&mut self, count: u64) {
        let reason = format!(
            "the outbox dropped {count} messages that were never delivered, events first and predictions last; raise mqtt.spool_mb or \
             mqtt.spool_max_age, or check the connection to the broker"
        );
        self.error(Component::Outbox, reason);
    }
}

#[cfg(test)]
#[path = "event_limiter_tests.rs"]
mod tests;
