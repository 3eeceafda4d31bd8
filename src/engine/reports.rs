//! What is said of all that happens, and how it is numbered.
//!
//! Spooled messages (predictions, events, results, responses) become part of the step's transaction; the others are
//! the latest value of something and are published again at every connection.

use std::path::Path;
use std::time::Duration;

use super::Engine;
use super::effect::{Effect, OutboxMessage, Write};
use super::event::{EmbeddedImage, Scored, TrainingOutcome, Vitals};
use super::prediction::prediction_body;
use super::settings::Settings;
use super::snapshot::Spooled;
use super::under_way::Door;
use crate::eval::forgetting::Change;
use crate::wire::TrainingPhase;
use crate::wire::{
    AlertId, Announced, Answer, Command, Envelope, EventReport, Happening, Health, HealthFigures, Info, InfoHead,
    Payload, Prediction, Response, ReviewList, Said, Severity, Status, Topic, TrainResult, TrainState, Versions,
};
use crate::words::{Now, SampleId};

/// `seq` numbers taken from the store at a time, so that not every report is a write. Half of them are left at least, for
/// a time in which nothing can be stored: nine hours at five images a second.
const SEQ_BLOCK: u64 = 1_000_000;
/// `health` is published this often, and on change.
const HEALTH_EVERY: Duration = Duration::from_secs(30);
/// But not more often than this.
const HEALTH_MIN: Duration = Duration::from_secs(1);

/// `novel` is not reported more often than this.
const NOVEL_EVERY: Duration = Duration::from_mins(1);

/// Counters and latest values.
#[derive(Debug)]
pub(super) struct Reports {
    boot: String,
    seq: u64,
    reserved: u64,
    started_at: Duration,
    now: Duration,
    pub connected: bool,
    pub phase: TrainingPhase,
    progress: f64,
    reason: String,
    latest: Option<Said>,
    latest_result: Option<TrainResult>,
    health_at: Duration,
    health_said: Option<HealthFigures>,
    pub vitals: Vitals,
    pub images_total: u64,
    pub errors_total: u64,
    pub quarantined: u64,
    novel_at: Option<Duration>,
}

impl Reports {
    /// `seq`: no number above it has been used.
    pub fn new(boot: String, seq: u64, quarantined: u64) -> Self {
        Self {
            boot,
            seq,
            reserved: seq,
            started_at: Duration::ZERO,
            now: Duration::ZERO,
            connected: false,
            phase: TrainingPhase::Idle,
            progress: 0.0,
            reason: String::new(),
            latest: None,
            latest_result: None,
            health_at: Duration::ZERO,
            health_said: None,
            vitals: Vitals::default(),
            images_total: 0,
            errors_total: 0,
            quarantined,
            novel_at: None,
        }
    }

    pub fn started(&mut self, now: Now) {
        self.started_at = now.mono;
    }

    /// As the next engine takes it over.
    pub fn carried(self) -> Self {
        Self { phase: TrainingPhase::Idle, progress: 0.0, health_said: None, ..self }
    }
}

impl Engine {
    /// The next envelope; takes a block of numbers from the store when the last one is used up.
    fn envelope(&mut self, now: Now) -> Envelope {
        let reports = &mut self.reports;
        reports.seq += 1;
        if reports.seq + SEQ_BLOCK / 2 > reports.reserved {
            reports.reserved = reports.seq + SEQ_BLOCK;
            self.effects.push(Effect::Write(Write::SeqReserved(reports.reserved)));
        }
        Envelope::new(now.wall, reports.seq, reports.boot.clone())
    }

    /// Queues a message that must arrive; older ones go when the spool is full. While nothing can be stored it goes to the
    /// broker as it is, if that is there.
    fn spool<P: Payload>(&mut self, now: Now, topic: Topic, make: impl FnOnce(Envelope) -> P) -> P {
        let envelope = self.envelope(now);
        let seq = envelope.seq;
        let message = make(envelope);
        let payload = message.encode();
        if self.outage.lasts() {
            self.effects.push(Effect::Publish { topic, payload });
            return message;
        }
        let bytes = (payload.len() + topic.to_string().len()) as u64;
        let dropped = self.spool.push(Spooled { seq, bytes, made_at: now.wall });
        self.write(Write::Outbox(OutboxMessage { seq, topic, payload, made_at: now.wall }));
        self.drop_spooled(dropped);
        self.effects.push(Effect::SendOutbox);
        message
    }

    /// Says the latest value of something, to the broker if it is there and to who watches at the socket; the broker
    /// hears it again at every connection.
    pub(super) fn publish<P: Payload>(&mut self, now: Now, topic: Topic, make: impl FnOnce(&Self, Envelope) -> P) {
        let envelope = self.envelope(now);
        let payload = make(self, envelope).encode();
        self.effects.push(Effect::Publish { topic, payload });
    }

    pub(super) fn announce(&mut self, now: Now, happening: Happening) {
        self.spool(now, Topic::Event, |envelope| EventReport { envelope, happening });
    }

    /// Sends an answer to where its request came from.
    pub(super) fn respond(&mut self, now: Now, door: Door, name: &str, transaction: Option<String>, answer: Answer) {
        match door {
            Door::Broker(_) => {
                self.spool(now, Topic::Response(name.to_owned()), |envelope| Response {
                    envelope,
                    transaction,
                    answer,
                });
            }
            Door::Socket(ticket) => {
                let response = Box::new(Response { envelope: self.envelope(now), transaction, answer });
                self.effects.push(Effect::Answer { ticket, response });
            }
        }
    }

    /// Everything retained, again: the broker may have forgotten it.
    pub(super) fn connected(&mut self, now: Now) {
        self.reports.connected = true;
        self.clear(now, AlertId::BrokerCredentials);
        let status = Status::Online.as_str().as_bytes().to_vec();
        self.effects.push(Effect::Publish { topic: Topic::Status, payload: status });
        self.publish_discovery();
        self.publish_info(now);
        self.publish_health(now);
        self.publish_train_state(now);
        self.publish_review(now);
        self.publish_reported(now);
        for id in AlertId::ALL {
            self.publish_alert(now, id);
        }
        if let Some(latest) = self.reports.latest.clone() {
            self.publish(now, Topic::State, |_, envelope| Prediction { envelope, said: latest });
        }
        if let Some(result) = &self.reports.latest_result {
            self.effects.push(Effect::Publish { topic: Topic::TrainResult, payload: result.encode() });
        }
        self.updates_connected(now);
        self.effects.push(Effect::SendOutbox);
    }

    /// The link broke or was refused.
    pub(super) fn disconnected(&mut self, now: Now, reason: String, barred: bool) {
        self.reports.connected = false;
        if barred {
            self.raise(now, AlertId::BrokerCredentials, Severity::Error, reason);
        }
    }

    /// Announces the device to Home Assistant; where that is switched off, the empty message removes it there.
    pub(super) fn publish_discovery(&mut self) {
        let Settings { base, device_name, backbone, .. } = &self.settings;
        let announced = Announced { base, name: device_name, backbone: &backbone.name };
        let payload = if self.settings.home_assistant { announced.document().to_string() } else { String::new() };
        self.effects.push(Effect::Publish { topic: Topic::Discovery, payload: payload.into_bytes() });
    }

    pub(super) fn publish_info(&mut self, now: Now) {
        self.publish(now, Topic::Info, |engine, envelope| Info {
            envelope,
            versions: Versions {
                edgetuned: env!("CARGO_PKG_VERSION").to_owned(),
                onnxruntime: engine.settings.onnxruntime.clone(),
            },
            backbone: engine.settings.backbone.clone(),
            head: engine.heads.champion().map(|champion| InfoHead {
                id: champion.head.id.clone(),
                version: champion.head.version,
                classes: champion.classes.clone(),
                accuracy: champion.accuracy,
            }),
            capabilities: Command::NAMES.into_iter().chain(["update"]).map(str::to_owned).collect(),
            configuration: engine.settings.configuration.clone(),
        });
    }

    pub(super) fn publish_review(&mut self, now: Now) {
        self.publish(now, Topic::Review, |engine, envelope| {
            let asked = engine.asks.asked().clone();
            ReviewList { envelope, asked }
        });
    }

    /// An image of no known class is an event, but not each of a batch of them.
    pub(super) fn report_novel(&mut self, now: Now, image: SampleId, scored: &Scored) {
        let due = self.reports.novel_at.is_none_or(|at| now.mono.saturating_sub(at) >= NOVEL_EVERY);
        if let (Some(true), Some(novelty), true) = (scored.unknown, scored.novelty, due) {
            self.reports.novel_at = Some(now.mono);
            self.announce(now, Happening::Novel { image, novelty });
        }
    }

    pub(super) fn report_prediction(&mut self, now: Now, path: &Path, image: &EmbeddedImage, latency: Duration) {
        let (scored, replayed) = (image.prediction.as_ref(), !self.reports.connected);
        let said = prediction_body(image.id, path, scored, &self.settings.backbone.name, latency, replayed);
        self.spool(now, Topic::Prediction, |envelope| Prediction { envelope, said: said.clone() });
        self.publish(now, Topic::State, |_, envelope| Prediction { envelope, said: said.clone() });
        self.reports.latest = Some(said);
    }

    pub(super) fn report_training(
        &mut self,
        now: Now,
        outcome: &TrainingOutcome,
        promoted: bool,
        reason: &str,
        forgetting: Vec<Change>,
    ) {
        let TrainingOutcome { order, challenger, champion, verdict, suspicious_labels, .. } = outcome;
        let result = self.spool(now, Topic::TrainResult, |envelope| TrainResult {
            envelope,
            training: order.id,
            trigger: order.reason.clone(),
            head: challenger.head.clone(),
            backbone: challenger.backbone.clone(),
            classes: challenger.dense.classes.labels().to_vec(),
            facts: challenger.training.clone(),
            promoted,
            provisional: promoted && verdict.provisional,
            code: verdict.code.clone(),
            reason: reason.to_owned(),
            change: verdict.change,
            challenger: challenger.figures.clone(),
            champion: champion.clone(),
            forgetting,
            suspicious_labels: *suspicious_labels,
        });
        self.reports.latest_result = Some(result);
        self.announce(now, Happening::Trained { training: order.id, head: challenger.head.clone() });
    }

    pub(super) fn training_progress(&mut self, now: Now, phase: TrainingPhase, progress: f64) {
        self.reports.phase = phase;
        self.reports.progress = progress;
        self.reports.reason = self.schedule.running().map_or(String::new(), |order| order.reason.clone());
        self.publish_train_state(now);
    }

    fn publish_train_state(&mut self, now: Now) {
        self.publish(now, Topic::TrainState, |engine, envelope| TrainState {
            envelope,
            phase: engine.reports.phase,
            progress: engine.reports.progress,
            reason: engine.reports.reason.clone(),
        });
    }

    pub(super) fn health(&self) -> HealthFigures {
        let reports = &self.reports;
        let (samples, labelled) = (self.catalogue.len() as u64, self.catalogue.labelled() as u64);
        HealthFigures {
            samples,
            labelled,
            unlabelled: samples - labelled,
            queue: self.settling.len() as u64,
            quarantined: reports.quarantined,
            evicted: self.live.evicted,
            spooled: self.spool.len() as u64,
            store_bytes: reports.vitals.store_bytes,
            rss_bytes: reports.vitals.rss_bytes,
            images_total: reports.images_total,
            errors_total: reports.errors_total,
            last_train: self.schedule.memory().last,
            uptime_s: reports.now.saturating_sub(reports.started_at).as_secs(),
            temperature_c: reports.vitals.temperature_c,
            time_synced: reports.vitals.time_synced,
        }
    }

    pub(super) fn publish_health_when_due(&mut self, now: Now) {
        self.reports.now = now.mono;
        let since = now.mono.saturating_sub(self.reports.health_at);
        if since >= HEALTH_EVERY || (since >= HEALTH_MIN && self.health_changed()) {
            self.publish_health(now);
        }
    }

    /// Whether a count changed that people wait for; what changes with every breath (memory, uptime) does not count.
    fn health_changed(&self) -> bool {
        let counts = |health: &HealthFigures| {
            (
                health.samples,
                health.labelled,
                health.quarantined,
                health.images_total,
                health.errors_total,
                health.last_train,
            )
        };
        self.reports.health_said.as_ref().is_none_or(|said| counts(said) != counts(&self.health()))
    }

    fn publish_health(&mut self, now: Now) {
        self.publish(now, Topic::Health, |engine, envelope| Health { envelope, figures: engine.health() });
        self.reports.health_at = now.mono;
        self.reports.health_said = Some(self.health());
    }
}
