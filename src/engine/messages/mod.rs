//! Everything that is published: to the broker, to clients, to the service manager; with numbering and limits.
//!
//! The other machines hand it what there is to say ([`super::context::Cx`] has a method for each kind of message) and
//! read nothing back but whether the broker is connected. The state that it publishes is passed to it.

mod alerts;
mod broker_record;
mod broker_terms;
mod event_limiter;
mod outbox_limits;
mod pending;
mod predictions;
mod refusal_report;
mod refusals;
mod removed_tasks;
mod reports;
mod requests;
mod systemd_status;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use super::event::SystemMetrics;
use super::settings::Settings;
use super::snapshot::{HeadInfo, Snapshot};
use crate::wire::{AlertId, Ignored, SourceHealth, TaskHealth, TrainingPhase, Warning};
use crate::words::{SourceId, TaskId, Timestamp};
use alerts::Alerts;
pub use broker_record::BrokerRecord;
pub use broker_terms::{Item, Terms, Unanswered};
use event_limiter::EventLimiter;
use outbox_limits::OutboxLimits;
pub(super) use pending::ReplyTo;
use pending::{Acks, IdempotencyCache, PendingRequests};
pub use pending::{JobId, UNDER_WAY_MAX};
pub use predictions::prediction_body;
use refusals::Refusals;
use removed_tasks::removed_tasks;
use reports::Reports;
pub(super) use requests::{Admission, IncomingRequest};
use systemd_status::LastStatus;

/// The sink of all messages.
#[derive(Debug)]
pub(super) struct Messages {
    reports: Reports,
    outbox: OutboxLimits,
    events: EventLimiter,
    alerts: Alerts,
    systemd: LastStatus,
    refusals: Refusals,
    /// Topics whose kept message is too long, as was reported.
    oversized: BTreeSet<String>,
    replies: IdempotencyCache,
    pending: PendingRequests,
    acks: Acks,
    /// Tasks that the configuration names no more.
    removed_tasks: Vec<TaskId>,
}

/// State for the next engine of this process: counts since the start, the numbers of messages, and that a
/// flood of events does not start again.
#[derive(Debug)]
pub(super) struct Carried {
    reports: Reports,
    events: EventLimiter,
    /// For the ages of messages.
    outbox: OutboxLimits,
    /// What the broker answered on the link that is up.
    refusals: Option<Refusals>,
}

impl Carried {
    /// The same without the previous engine's connection.
    pub fn cut_off(&mut self) {
        self.reports.connected = false;
        self.refusals = None;
    }

    /// The same for an engine with these settings, which may have other tasks.
    pub fn keep_what_is_asked(&mut self, settings: &Settings) {
        self.reports.keep_what_is_asked(settings);
    }
}

/// What messages say of the other machines.
#[derive(Debug)]
pub(super) struct Overview<'a> {
    pub samples: usize,
    pub labelled: usize,
    /// Files that wait to be read.
    pub waiting_files: usize,
    /// Files that are put aside now.
    pub quarantined: usize,
    /// What the last listing passed over.
    pub ignored: Ignored,
    /// How each source fares.
    pub sources: BTreeMap<SourceId, SourceHealth>,
    /// Samples ever dropped to keep the store within its quota.
    pub evicted: u64,
    /// New labels that trainings leave out.
    pub disbelieved: u64,
    /// When the last training ended.
    pub last_train: Option<Timestamp>,
    pub phase: TrainingPhase,
    /// The head in service; of several tasks, that of the first.
    pub champion: Option<&'a HeadInfo>,
    /// Each task.
    pub tasks: BTreeMap<TaskId, TaskHealth>,
}

impl Messages {
    /// Of what the store has, which is taken.
    pub fn new(settings: &Settings, snapshot: &mut Snapshot) -> Self {
        let removed_tasks = removed_tasks(settings, snapshot);
        let Snapshot { outbox, ledger, broker, seq, .. } = snapshot;
        let (outbox, replies, broker) = (mem::take(outbox), mem::take(ledger), mem::take(broker));
        Self {
            reports: Reports::new(settings.boot.clone(), *seq),
            outbox: OutboxLimits::new(outbox, settings.spool_bytes_max, settings.spool_age_max),
            events: EventLimiter::default(),
            alerts: Alerts::default(),
            systemd: LastStatus::default(),
            refusals: Refusals::new(broker),
            oversized: BTreeSet::new(),
            replies: IdempotencyCache::new(replies),
            pending: PendingRequests::default(),
            acks: Acks::default(),
            removed_tasks,
        }
    }

    /// An alert that was up before a restart, and whose cause is remembered.
    pub fn restore_alert(&mut self, id: AlertId, warning: Warning) {
        self.alerts.restore(id, warning);
    }

    /// The same, replacing an earlier engine of this process.
    pub fn resume(&mut self, carried: Carried) {
        self.reports = carried.reports;
        self.events = carried.events;
        self.outbox.resume(&carried.outbox);
        if let Some(former) = carried.refusals {
            self.refusals.resume(former);
        }
    }

    /// State for the next engine of this process.
    pub fn into_carried(self) -> Carried {
        let refusals = Some(self.refusals);
        Carried { reports: self.reports.carried(), events: self.events, outbox: self.outbox, refusals }
    }

    /// Whether the broker is connected.
    pub fn is_connected(&self) -> bool {
        self.reports.connected
    }

    /// When `health` is published next, if no count changes before.
    pub fn health_due(&self) -> Duration {
        self.reports.health_at + reports::HEALTH_EVERY
    }

    /// Whether the clock follows a time server, where the kernel reports it.
    pub fn time_synced(&self) -> Option<bool> {
        self.reports.metrics.time_synced
    }

    /// Bytes of messages that were not delivered yet.
    pub fn outbox_bytes(&self) -> u64 {
        self.outbox.bytes()
    }

    /// Bytes of the state folder beside samples and unsent messages, as the shell measured them last.
    pub fn store_beside_bytes(&self) -> u64 {
        self.reports.metrics.store_beside_bytes
    }

    /// What the shell measured last.
    pub fn take_metrics(&mut self, metrics: SystemMetrics) {
        self.reports.metrics = metrics;
    }

    /// One more image was read.
    pub fn count_image(&mut self) {
        self.reports.images_total += 1;
    }
}
