//! The pure core: [`Engine::step`] takes what happened and says what to do.
//!
//! It decides everything that happens over the daemon's life and touches nothing: no disk, no clock, no broker. So
//! a whole life, faults included, runs in a test in milliseconds from one seed (`tests/simulate`). It never
//! computes for long either: reading, embedding and fitting are effects whose results come back as events.
//!
//! Files: `settle` says which files are ready, `images` what an embedded image changes, `labels` what a label
//! changes, `commands` what a request may do, `schedule` when to train, `training` what becomes of a challenger
//! (the comparison itself is [`crate::eval::gate`]), `shadow` how a challenger answers unseen first, `live` how right
//! the head in service is and when it has to go, `drift` what follows when the stream changes, `asks` which images
//! are worth a label, `budget` when samples have to go, `reports` what is said of all that, `complaints` how
//! often errors are told of, `spool` what the outbox may hold.

mod asks;
mod budget;
mod catalogue;
mod commands;
mod complaints;
mod drift;
mod effect;
mod event;
mod heads;
mod images;
mod labels;
mod ledger;
mod live;
mod reports;
mod schedule;
mod settings;
mod settle;
mod shadow;
mod snapshot;
mod spool;
#[cfg(test)]
mod tests;
mod training;

use std::time::Duration;

pub use drift::DriftMemory;
pub use effect::{
    AwaitedLabel, Effect, Fate, HeadStatus, LabelSource, LedgerEntry, NewSample, OutboxMessage, Predicted,
    TrainingMemory, TrainingOrder, Write,
};
pub use event::{
    DeliveryId, Drifted, EmbeddedImage, Event, Evictable, FileStamp, Inbound, IngestOutcome, Ingested, Review, Scored,
    Shadowed, Sighting, TrainingOutcome, Vitals,
};
pub use heads::{Heads, Rollback};
pub use live::{LiveMemory, Measured};
pub use schedule::ScheduleSettings;
pub use settings::{PromotionPolicy, Root, Settings};
pub use settle::IN_FLIGHT_MAX;
pub use shadow::Shadow;
pub use snapshot::{HeadInfo, Snapshot, Spooled, StoredSample};

use crate::wire::{Happening, InboundTopic};
use crate::words::Now;
use asks::Asks;
use budget::Budget;
use catalogue::Catalogue;
use complaints::Complaints;
use drift::Streams;
use ledger::Ledger;
use reports::Reports;
use schedule::Schedule;
use settle::Settling;
use spool::Spool;

/// How often what waits for thirty days or the spool's age is looked through.
const HOUSEKEEPING: Duration = Duration::from_mins(1);

/// The deciding core of the daemon.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    settling: Settling,
    catalogue: Catalogue,
    schedule: Schedule,
    heads: Heads,
    ledger: Ledger,
    spool: Spool,
    reports: Reports,
    complaints: Complaints,
    live: LiveMemory,
    streams: Streams,
    asks: Asks,
    budget: Budget,
    housekeeping_at: Duration,
    /// Since when files wait without a pause.
    backlog_since: Option<Duration>,
    stopping: bool,
    effects: Vec<Effect>,
}

impl Engine {
    /// An engine that remembers what the store does.
    #[must_use]
    pub fn new(settings: Settings, snapshot: Snapshot) -> Self {
        Self {
            settling: Settling::default(),
            catalogue: Catalogue::new(snapshot.samples, snapshot.awaited),
            schedule: Schedule::new(settings.schedule.clone(), snapshot.training),
            heads: Heads::new(snapshot.heads, settings.space),
            ledger: Ledger::new(snapshot.ledger),
            spool: Spool::new(snapshot.outbox, settings.spool_bytes_max, settings.spool_age_max),
            reports: Reports::new(settings.boot.clone(), snapshot.seq, snapshot.quarantined),
            complaints: Complaints::default(),
            live: snapshot.live,
            streams: Streams::default(),
            asks: Asks::default(),
            budget: Budget::default(),
            housekeeping_at: Duration::ZERO,
            backlog_since: None,
            stopping: false,
            effects: Vec::new(),
            settings,
        }
    }

    /// What to do first: put the champion in service, go on with an interrupted training, say that the daemon is there.
    /// The watcher lists the folders by itself when it starts.
    pub fn start(&mut self, now: Now) -> Vec<Effect> {
        self.reports.started(now);
        self.announce(now, Happening::Started { version: env!("CARGO_PKG_VERSION").to_owned() });
        match (self.heads.champion(), self.heads.stranded()) {
            (Some(champion), _) => self.effects.push(Effect::Serve(Some(champion.head.version))),
            (None, Some(stranded)) => self.backbone_changed(now, &stranded.clone()),
            (None, None) => {}
        }
        self.resume_live();
        self.asks.outdated();
        self.begin_training(now);
        self.finish()
    }

    /// Takes in one event and returns what to do, in order.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Tick => self.tick(now),
            Event::Sighted(sighting) => self.sighted(now, &sighting),
            Event::Scanned { unreadable, .. } => self.scanned(now, unreadable),
            Event::Ingested(ingested) => self.ingested(now, ingested),
            Event::Inbound(inbound) => self.inbound(now, &inbound),
            Event::Connected => self.connected(now),
            Event::Disconnected { .. } => self.reports.connected = false,
            Event::Delivered { seq } => {
                if self.spool.delivered(seq) {
                    self.write(Write::OutboxRemove { seq });
                }
            }
            Event::TrainingProgress { phase, progress } => self.training_progress(now, phase, progress),
            Event::Trained(outcome) => self.trained(now, *outcome),
            Event::TrainingFailed { reason } => self.training_failed(now, &reason),
            Event::Fault { source, reason } => self.error(now, source, reason),
            Event::Vitals(vitals) => {
                self.reports.vitals = vitals;
                self.keep_within_quota();
            }
            Event::Reviewed(review) => self.reviewed(now, review),
            Event::Evictable(found) => self.evict(now, found),
            Event::Statistics(file) => self.statistics_settled(file),
            Event::Drifted(drifted) => self.embeddings_drifted(now, drifted),
            Event::Stop => self.stop(now),
        }
        self.finish()
    }

    fn tick(&mut self, now: Now) {
        let looks = self.settling.looks(now);
        self.effects.extend(looks);
        if self.schedule_allows(now) && self.schedule.look(now) {
            self.write(Write::Training(self.schedule.memory().clone()));
        }
        self.begin_training(now);
        self.ask_when_due(now);
        if now.mono >= self.housekeeping_at {
            self.housekeeping_at = now.mono + HOUSEKEEPING;
            for prefix in self.catalogue.expire(now.wall) {
                self.write(Write::ForgetAwaited { prefix });
            }
            let expired = self.spool.expire(now.wall);
            self.drop_spooled(expired);
        }
        self.complain_when_due(now);
        self.publish_health_when_due(now);
    }

    /// A message arrived: it is acknowledged when what it changes is durable, whatever it says.
    fn inbound(&mut self, now: Now, inbound: &Inbound) {
        match inbound.topic.parse() {
            Ok(InboundTopic::Label) => self.label_message(now, &inbound.payload),
            Ok(InboundTopic::Request(name)) => self.request_message(now, &name, inbound),
            Ok(
                InboundTopic::ConfigDesired
                | InboundTopic::UpdateDesired(_)
                | InboundTopic::UpdateChunk(..)
                | InboundTopic::Birth,
            ) => {}
            Err(why) => self.error_on_topic(now, &inbound.topic, why.to_string()),
        }
        self.effects.push(Effect::Ack(inbound.delivery));
    }

    fn stop(&mut self, now: Now) {
        if !std::mem::replace(&mut self.stopping, true) {
            self.complain_at_the_end(now);
            self.announce(now, Happening::Stopped { reason: "asked to stop".to_owned() });
            self.effects.push(Effect::Exit);
        }
    }

    fn write(&mut self, write: Write) {
        self.effects.push(Effect::Write(write));
    }

    fn finish(&mut self) -> Vec<Effect> {
        if !self.stopping {
            let next = self.settling.advance();
            self.effects.extend(next);
        }
        std::mem::take(&mut self.effects)
    }
}
