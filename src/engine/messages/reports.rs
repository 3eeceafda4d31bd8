//! What is published about everything that happens, and its numbering.
//!
//! Spooled messages (predictions, events, results, responses) become part of the step's transaction; the others are
//! the latest value of something and are published again at every connection.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::context::Cx;
use super::super::event::{SystemMetrics, Ticket, TrainingOutcome};
use super::super::settings::Settings;
use super::super::snapshot::Worth;
use super::super::step::Act;
use super::super::write::{KeptReport, OutboxMessage, Write};
use super::{Overview, ReplyTo, Unanswered};
use crate::eval::forgetting::{Best, Change};
use crate::wire::{
    AlertId, Announced, AnnouncedTask, Answer, BestRecall, Envelope, EventKind, EventReport, Health, HealthFigures,
    Link, Payload, PredictionBody, RecallChange, Response, Severity, Status, TaskTopic, Topic, TrainResult,
};
use crate::words::{Now, SourceId, TaskId};

/// What the answer to a posted picture is called.
const IMAGE: &str = "image";

/// `seq` numbers taken from the store at a time, so that not every report is a write. Half of them are left at least,
/// for a time in which nothing can be stored: nine hours at five images a second.
const SEQ_BLOCK: u64 = 1_000_000;
/// `health` is published this often, and on change.
pub(super) const HEALTH_EVERY: Duration = Duration::from_secs(30);
/// But not more often than this.
const HEALTH_MIN: Duration = Duration::from_secs(1);

/// Counters and latest values.
#[derive(Debug)]
pub(super) struct Reports {
    boot: String,
    seq: u64,
    reserved: u64,
    started_at: Duration,
    now: Duration,
    pub connected: bool,
    /// Why there is no connection.
    broker_reason: Option<String>,
    /// The latest prediction of each task.
    pub(super) latest: BTreeMap<TaskId, PredictionBody>,
    /// The latest result of a training of each task.
    latest_result: BTreeMap<TaskId, TrainResult>,
    /// The tasks as they were announced to Home Assistant last.
    announced: Vec<AnnouncedTask>,
    pub(super) health_at: Duration,
    health_said: Option<HealthFigures>,
    pub metrics: SystemMetrics,
    pub images_total: u64,
    pub errors_total: u64,
    pub(super) novel_at: Option<Duration>,
}

impl Reports {
    /// `seq`: no number above it has been used.
    pub fn new(boot: String, seq: u64) -> Self {
        Self {
            boot,
            seq,
            reserved: seq,
            started_at: Duration::ZERO,
            now: Duration::ZERO,
            connected: false,
            broker_reason: None,
            latest: BTreeMap::new(),
            latest_result: BTreeMap::new(),
            announced: Vec::new(),
            health_at: Duration::ZERO,
            health_said: None,
            metrics: SystemMetrics::default(),
            images_total: 0,
            errors_total: 0,
            novel_at: None,
        }
    }

    pub fn started(&mut self, now: Now) {
        self.started_at = now.mono;
    }

    /// As the next engine takes it over.
    pub fn carried(self) -> Self {
        Self { health_said: None, ..self }
    }

    /// Forgets what was said last of tasks that are gone, and predictions where a state is said instead now.
    pub fn keep_what_is_asked(&mut self, settings: &Settings) {
        let is_named = |task: Option<&TaskId>| task.is_some() == settings.names_tasks;
        let says_predictions = |task: &TaskId| settings.task(task).is_some_and(|task| task.state.is_none());
        self.latest.retain(|task, body| says_predictions(task) && is_named(body.task.as_ref()));
        let is_there = |task: &TaskId| settings.task(task).is_some();
        self.latest_result.retain(|task, result| is_there(task) && is_named(result.task.as_ref()));
    }
}

impl Cx<'_> {
    /// The next envelope; takes a block of numbers from the store when the last one is used up.
    fn envelope(&mut self) -> Envelope {
        let reports = &mut self.messages.reports;
        reports.seq += 1;
        if reports.seq + SEQ_BLOCK / 2 > reports.reserved {
            reports.reserved = reports.seq + SEQ_BLOCK;
            let reserved = reports.reserved;
            self.write(Write::SeqReserved(reserved));
        }
        let reports = &self.messages.reports;
        Envelope::new(self.now.wall, reports.seq, reports.boot.clone())
    }

    /// Queues a message that must arrive; older ones go when the spool is full. While nothing can be stored it goes to
    /// the broker directly, if it is connected.
    fn spool<P: Payload>(&mut self, topic: Topic, make: impl FnOnce(Envelope) -> P) -> P {
        let envelope = self.envelope();
        let seq = envelope.seq;
        let message = make(envelope);
        let payload = message.encode();
        if self.storage_is_out() || self.settings().broker.is_none() {
            self.act(Act::Publish { topic, payload });
            return message;
        }
        let bytes = (payload.len() + topic.to_string().len()) as u64;
        let dropped = self.messages.outbox.push(seq, Worth::of(&topic), bytes, self.now.mono);
        self.write(Write::Outbox(OutboxMessage { seq, topic, payload, made_at: self.now.wall }));
        self.drop_spooled(dropped);
        self.act(Act::SendOutbox);
        message
    }

    /// Publishes the latest value of something, to the broker if it is connected and to watchers at the socket; the
    /// broker gets it again at every connection.
    pub fn publish<P: Payload>(&mut self, topic: Topic, make: impl FnOnce(Envelope) -> P) {
        let envelope = self.envelope();
        let payload = make(envelope).encode();
        self.act(Act::Publish { topic, payload });
    }

    /// Publishes the latest value of something of the task that is acted for.
    pub fn publish_of_task<P: Payload>(
        &mut self,
        topic: TaskTopic,
        mut make: impl FnMut(Envelope, Option<TaskId>) -> P,
    ) {
        let task = self.named_task();
        for topic in topic.topics(task.as_ref()) {
            self.publish(topic, |envelope| make(envelope, task.clone()));
        }
    }

    /// Queues a message of the task that is acted for; returns it.
    pub(super) fn spool_of_task<P: Payload>(
        &mut self,
        topic: TaskTopic,
        mut make: impl FnMut(Envelope, Option<TaskId>) -> P,
    ) -> Option<P> {
        let task = self.named_task();
        let mut message = None;
        for topic in topic.topics(task.as_ref()) {
            message = Some(self.spool(topic, |envelope| make(envelope, task.clone())));
        }
        message
    }

    /// Queues an event that the limits let through.
    pub(super) fn spool_event(&mut self, task: Option<TaskId>, kind: EventKind) {
        let report = self.spool(Topic::Event, |envelope| EventReport { envelope, task, kind });
        let (seq, task, payload) = (report.envelope.seq, report.task.clone(), report.encode());
        self.keep(KeptReport::Event { seq, task, payload });
        self.act(Act::LogEvent(Box::new(report)));
    }

    /// Keeps a report, in the commit that has its message.
    fn keep(&mut self, report: KeptReport) {
        if !self.storage_is_out() {
            self.write(Write::Keep(report));
        }
    }

    /// Sends an answer to where its request came from.
    pub fn respond(&mut self, to: ReplyTo, name: &str, transaction: Option<String>, answer: Answer) {
        match to {
            ReplyTo::Broker(_) => {
                self.spool(Topic::Response(name.to_owned()), |envelope| Response { envelope, transaction, answer });
            }
            ReplyTo::Socket(ticket) => {
                let response = Box::new(Response { envelope: self.envelope(), transaction, answer });
                self.act(Act::Answer { ticket, response });
            }
        }
    }

    /// The process started.
    pub fn started(&mut self) {
        self.messages.reports.started(self.now);
        self.emit_event(EventKind::Started { version: env!("CARGO_PKG_VERSION").to_owned() });
    }

    /// The broker is connected: first everything retained, which it may have lost.
    pub fn connected(&mut self, tasks: Vec<AnnouncedTask>) {
        self.messages.reports.connected = true;
        self.messages.reports.broker_reason = None;
        self.clear(AlertId::BrokerCredentials);
        let status = Status::Online.as_str().as_bytes().to_vec();
        self.act(Act::Publish { topic: Topic::Status, payload: status });
        self.publish_discovery(tasks);
    }

    /// What was published last of alerts, predictions and trainings, again.
    pub fn publish_latest(&mut self) {
        let tasks = if self.settings().names_tasks { self.settings().task_ids() } else { Vec::new() };
        let sources: Vec<SourceId> = self.settings().sources.iter().map(|source| source.id.clone()).collect();
        for id in AlertId::possible(&tasks, &sources) {
            self.publish_alert(id);
        }
        self.clear_removed_tasks();
        for (task, latest) in self.messages.reports.latest.clone() {
            self.of(&task).publish_latest_prediction(&latest);
        }
        for result in self.messages.reports.latest_result.clone().into_values() {
            let payload = result.encode();
            for topic in TaskTopic::TrainResult.topics(result.task.as_ref()) {
                self.act(Act::Publish { topic, payload: payload.clone() });
            }
        }
    }

    /// The link broke or was refused.
    pub fn disconnected(&mut self, reason: String, barred: bool, unanswered: Option<Unanswered>) {
        self.messages.reports.connected = false;
        self.messages.reports.broker_reason = Some(reason.clone());
        self.link_lost();
        self.cut(unanswered);
        if barred {
            self.raise(AlertId::BrokerCredentials, Severity::Error, reason);
        }
    }

    /// How the connection to the broker is.
    pub fn link(&self) -> Link {
        match (&self.settings().broker, self.messages.reports.connected) {
            (None, _) => Link::Off,
            (Some(_), true) => Link::Connected,
            (Some(_), false) => Link::Disconnected,
        }
    }

    /// Why there is no connection.
    pub fn broker_reason(&self) -> Option<String> {
        let reason = self.messages.reports.broker_reason.clone();
        reason.filter(|_| self.link() == Link::Disconnected)
    }

    /// Queues the removal of a document that announced the device under earlier settings.
    pub(super) fn take_away(&mut self, topic: String) {
        let Envelope { seq, .. } = self.envelope();
        let (topic, made_at) = (Topic::FormerDiscovery(topic), self.now.wall);
        let bytes = topic.to_string().len() as u64;
        let dropped = self.messages.outbox.push(seq, Worth::of(&topic), bytes, self.now.mono);
        self.write(Write::Outbox(OutboxMessage { seq, topic, payload: Vec::new(), made_at }));
        self.drop_spooled(dropped);
        self.act(Act::SendOutbox);
    }

    /// Announces the device to Home Assistant, with the tasks that the configuration names.
    pub fn publish_discovery(&mut self, tasks: Vec<AnnouncedTask>) {
        if !self.settings().home_assistant {
            return;
        }
        let Settings { base, device_name, backbone, .. } = self.settings();
        let removed = &self.messages.removed_tasks;
        let announced = Announced { base, name: device_name, backbone: &backbone.name, tasks: &tasks, removed };
        let payload = announced.document().to_string().into_bytes();
        self.act(Act::Publish { topic: Topic::Discovery, payload });
        self.messages.reports.announced = tasks;
    }

    /// Announces the device anew where a task has other classes than those it was announced with.
    pub fn announce_when_changed(&mut self, tasks: Vec<AnnouncedTask>) {
        if self.messages.reports.connected && self.messages.reports.announced != tasks {
            self.publish_discovery(tasks);
        }
    }

    /// Answers somebody who posted a picture, where anybody waits.
    pub fn answer_frame(&mut self, waiter: Option<Ticket>, answer: Answer) {
        if let Some(ticket) = waiter {
            self.respond(ReplyTo::Socket(ticket), IMAGE, None, answer);
        }
    }

    /// Queues the result of a training.
    pub fn report_training(&mut self, outcome: &TrainingOutcome, promoted: bool, reason: &str, forgetting: &[Change]) {
        let TrainingOutcome {
            order, challenger, champion, verdict, suspicious_labels, left_out, answers, second, ..
        } = outcome;
        let result = self.spool_of_task(TaskTopic::TrainResult, |envelope, task| TrainResult {
            envelope,
            task,
            training: order.id,
            trigger: order.reason.clone(),
            head: challenger.head.clone(),
            backbone: challenger.backbone.clone(),
            classes: challenger.dense.classes.labels().to_vec(),
            facts: challenger.training.clone(),
            promoted,
            provisional: promoted && verdict.provisional,
            code: verdict.code.to_string(),
            reason: reason.to_owned(),
            change: verdict.change,
            challenger: challenger.figures.clone(),
            champion: champion.clone(),
            forgetting: forgetting.iter().cloned().map(RecallChange::from).collect(),
            suspicious_labels: *suspicious_labels,
            disbelieved_labels: left_out.as_ref().map_or(0, |left_out| left_out.images.len() as u64),
            second: second.clone(),
        });
        let task = self.task_id();
        if let Some(result) = result {
            let (training, payload, answers) = (order.id, result.encode(), answers.clone());
            self.keep(KeptReport::Training { task: task.clone(), training, payload, answers });
            self.messages.reports.latest_result.insert(task, result);
        }
        self.emit_event(EventKind::Trained { training: order.id, head: challenger.head.clone() });
    }

    /// All figures of `health`.
    pub fn health(&self, overview: &Overview<'_>) -> HealthFigures {
        let reports = &self.messages.reports;
        let (samples, labelled) = (overview.samples as u64, overview.labelled as u64);
        HealthFigures {
            samples,
            labelled,
            unlabelled: samples - labelled,
            queue: overview.waiting_files as u64,
            quarantined: overview.quarantined as u64,
            ignored: overview.ignored.clone(),
            evicted: overview.evicted,
            spooled: self.messages.outbox.len() as u64,
            store_bytes: reports.metrics.store_bytes,
            rss_bytes: reports.metrics.rss_bytes,
            images_total: reports.images_total,
            errors_total: reports.errors_total,
            disbelieved: overview.disbelieved,
            tasks: if self.settings().names_tasks { overview.tasks.clone() } else { BTreeMap::new() },
            sources: overview.sources.clone(),
            last_train: overview.last_train,
            uptime_s: reports.now.saturating_sub(reports.started_at).as_secs(),
            temperature_c: reports.metrics.temperature_c,
            time_synced: reports.metrics.time_synced,
        }
    }

    /// How long the oldest message of the outbox has waited.
    pub fn oldest_message(&self) -> Option<Duration> {
        self.messages.outbox.oldest(&self.ages())
    }

    /// Publishes `health` every so often, and where a count changed.
    pub fn publish_health_when_due(&mut self, overview: &Overview<'_>) {
        self.messages.reports.now = self.now.mono;
        let since = self.now.mono.saturating_sub(self.messages.reports.health_at);
        if since >= HEALTH_EVERY || (since >= HEALTH_MIN && self.health_changed(overview)) {
            self.publish_health(overview);
        }
    }

    /// Whether a count changed that people wait for; what changes with every breath (memory, uptime) does not count.
    fn health_changed(&self, overview: &Overview<'_>) -> bool {
        let counts = |health: &HealthFigures| {
            (
                health.samples,
                health.labelled,
                health.quarantined,
                health.ignored.clone(),
                health.images_total,
                health.errors_total,
                health.last_train,
                health.tasks.clone(),
            )
        };
        self.messages.reports.health_said.as_ref().is_none_or(|said| counts(said) != counts(&self.health(overview)))
    }

    /// Publishes `health` now.
    pub fn publish_health(&mut self, overview: &Overview<'_>) {
        let figures = self.health(overview);
        self.messages.reports.health_at = self.now.mono;
        self.messages.reports.health_said = Some(figures.clone());
        let only = overview.tasks.values().next().filter(|_| !self.settings().names_tasks);
        let live = only.and_then(|task| task.live);
        self.publish(Topic::Health, |envelope| Health { envelope, figures, live });
    }
}

impl From<Change> for RecallChange {
    fn from(measured: Change) -> Self {
        let Change { class, support, recall, change, best, under_best, forgotten } = measured;
        let best = best.map(|Best { recall, support, version }| BestRecall { recall, support, version });
        Self { class, support, recall, change, best, under_best, forgotten }
    }
}
