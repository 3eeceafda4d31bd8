//! The pure core: [`Engine::step`] takes what happened and says what to do.
//!
//! It decides everything that happens over the daemon's life and touches nothing: no disk, no clock, no broker. So
//! a whole life, faults included, runs in a test in milliseconds from one seed (`tests/simulate`). It never
//! computes for long either: reading, embedding and fitting are effects whose results come back as events.
//!
//! Files: `settle` says which files are ready, `images` what an embedded image changes, `labels` what a label
//! changes, `commands` what a request may do, `under_way` whose answer is being found out, `acks` when a message is
//! acknowledged, `schedule` when to train, `training` what becomes of a challenger
//! (the comparison itself is [`crate::eval::gate`]), `shadow` how a challenger answers unseen first, `live` how right
//! the head in service is and when it has to go, `drift` what follows when the stream changes, `asks` which images
//! are worth a label, `alerts` what needs a person, `tick` what time brings, `clock` whether it can be believed, `outage` what goes on while
//! nothing can be stored, `budget` when samples have to go, `updates` what becomes of signed updates, `reports` what is
//! said of all that, `watched` what is said of watched folders, `complaints` how often errors are told of, `service` what
//! the service manager is told, `spool` what the outbox may hold, `twin` which settings from
//! afar hold, `succession` when another backbone takes over, `trial` until when what is new can be taken back.

mod acks;
mod alerts;
mod asks;
mod budget;
mod catalogue;
mod clock;
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
mod outage;
mod prediction;
mod reports;
mod schedule;
mod service;
mod settings;
mod settle;
mod shadow;
mod snapshot;
mod spool;
mod startup;
mod succession;
#[cfg(test)]
mod tests;
mod tick;
mod training;
mod trial;
mod twin;
mod under_way;
mod updates;
mod watched;

use std::collections::BTreeMap;
use std::time::Duration;

pub use catalogue::AWAITED_MAX;
pub use drift::DriftMemory;
pub use effect::{
    AwaitedLabel, Effect, Fate, HeadStatus, LabelSource, LedgerEntry, NewSample, OutboxMessage, Predicted, Service,
    Task, TrainingMemory, TrainingOrder, Write,
};
pub use event::{
    Checked, CheckedHead, DeliveryId, Drifted, EmbeddedImage, Event, Evictable, FileStamp, Inbound, IngestOutcome,
    Ingested, Requested, Review, Scored, Shadowed, Sighting, Ticket, TrainingOutcome, UpdateChecked, Vitals,
    WatchState, Watched,
};
pub use heads::{Heads, Rollback};
pub use live::{LiveMemory, Measured};
pub use prediction::prediction_body;
pub use schedule::ScheduleSettings;
pub use settings::{PromotionPolicy, Root, Settings};
pub use settle::IN_FLIGHT_MAX;
pub use shadow::Shadow;
pub use snapshot::{HeadInfo, Snapshot, Spooled, StoredSample};
pub use startup::{StartDecision, StartupState, reverted_notice};
pub use succession::{
    BackboneMemory, FormerBackbone, InstalledBackbone, RevertedBackbone, Succession, SuccessionOrder,
};
pub use trial::Trial;
pub use twin::{Configure, Judge, TwinMemory};
pub use under_way::{JobId, UNDER_WAY_MAX};
pub use updates::{Refused, StoredUpdate, UpdateMemory, UpdateSettings};

use crate::update::Code;
use crate::wire::{BIRTH_ONLINE, Happening, InboundTopic, UpdateKind};
use crate::words::{Digest, Now};
use acks::Acks;
use alerts::Alerts;
use asks::Asks;
use budget::Budget;
use catalogue::Catalogue;
use clock::WallClock;
use commands::Asked;
use complaints::Complaints;
use drift::Streams;
use ledger::Ledger;
use outage::Outage;
use reports::Reports;
use schedule::Schedule;
use settle::Settling;
use spool::Spool;
use under_way::{Door, UnderWay};
use updates::Updates;
use watched::Watching;

/// What outlives an engine when everything but the link starts anew: counts since the start, and the numbers of
/// messages.
#[derive(Debug)]
pub struct Carried {
    reports: Reports,
    /// Which manifests were looked at.
    seen: BTreeMap<UpdateKind, Digest>,
    /// A flood of errors does not begin anew with it.
    complaints: Complaints,
    /// Nor is a clock believed for it.
    clock: WallClock,
}

impl Carried {
    /// The same without the link that the former engine had.
    #[must_use]
    pub fn cut_off(mut self) -> Self {
        self.reports.connected = false;
        self
    }
}

/// The deciding core of the daemon.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    settling: Settling,
    catalogue: Catalogue,
    schedule: Schedule,
    heads: Heads,
    ledger: Ledger,
    under_way: UnderWay,
    acks: Acks,
    spool: Spool,
    reports: Reports,
    complaints: Complaints,
    alerts: Alerts,
    clock: WallClock,
    outage: Outage,
    live: LiveMemory,
    streams: Streams,
    asks: Asks,
    budget: Budget,
    twin: TwinMemory,
    /// When this engine began.
    began: Duration,
    /// Whether there was one before it in this process.
    resumes: bool,
    updates: Updates,
    backbone: BackboneMemory,
    /// Images that the next backbone has embedded, and of how many, while one is readied.
    succeeding: Option<(u64, u64)>,
    housekeeping_at: Duration,
    /// What the service manager knows.
    said: service::Said,
    /// Since when files wait without a pause.
    backlog_since: Option<Duration>,
    /// Watched folders of which something has to be said.
    watching: Watching,
    stopping: bool,
    effects: Vec<Effect>,
}

impl Engine {
    /// An engine that remembers what the store does.
    #[must_use]
    pub fn new(settings: Settings, snapshot: Snapshot) -> Self {
        let reports = Reports::new(settings.boot.clone(), snapshot.seq, snapshot.quarantined);
        Self::with(settings, snapshot, reports)
    }

    /// The same, in the place of a former engine of this process.
    #[must_use]
    pub fn after(carried: Carried, settings: Settings, snapshot: Snapshot) -> Self {
        let mut engine = Self { resumes: true, ..Self::with(settings, snapshot, carried.reports) };
        engine.updates.saw(&carried.seen);
        engine.complaints = carried.complaints;
        engine.clock = carried.clock;
        engine
    }

    /// What the next engine of this process goes on with.
    #[must_use]
    pub fn carry(self) -> Carried {
        let Self { updates, reports, complaints, clock, .. } = self;
        Carried { seen: updates.seen(), reports: reports.carried(), complaints, clock }
    }

    fn with(settings: Settings, snapshot: Snapshot, reports: Reports) -> Self {
        let clock = WallClock::new(&snapshot);
        Self {
            clock,
            settling: Settling::default(),
            catalogue: Catalogue::new(snapshot.samples, snapshot.awaited),
            schedule: Schedule::new(settings.schedule.clone(), snapshot.training),
            heads: Heads::new(snapshot.heads, settings.space),
            ledger: Ledger::new(snapshot.ledger),
            under_way: UnderWay::default(),
            acks: Acks::default(),
            spool: Spool::new(snapshot.outbox, settings.spool_bytes_max, settings.spool_age_max),
            reports,
            complaints: Complaints::default(),
            alerts: Alerts::default(),
            outage: Outage::default(),
            live: snapshot.live,
            streams: Streams::default(),
            asks: Asks::default(),
            budget: Budget::default(),
            twin: snapshot.twin,
            began: Duration::ZERO,
            resumes: false,
            updates: Updates::new(snapshot.updates),
            backbone: snapshot.backbone,
            succeeding: None,
            housekeeping_at: Duration::ZERO,
            said: service::Said::default(),
            backlog_since: None,
            watching: Watching::default(),
            stopping: false,
            effects: Vec::new(),
            settings,
        }
    }

    /// What to do first: put the champion in service, go on with an interrupted training, say that the daemon is there.
    /// The watcher lists the folders by itself when it starts.
    pub fn start(&mut self, now: Now) -> Vec<Effect> {
        self.began = now.mono;
        if !self.resumes {
            self.reports.started(now);
            self.announce(now, Happening::Started { version: env!("CARGO_PKG_VERSION").to_owned() });
        }
        if let Some(reason) = self.settings.opening.take() {
            self.announce(now, Happening::ConfigChanged { reason });
        }
        self.tell_reverted(now);
        self.start_updates(now);
        match (self.heads.champion(), self.heads.stranded()) {
            (Some(champion), _) => self.effects.push(Effect::Serve(Some(champion.head.version))),
            (None, Some(stranded)) => self.backbone_changed(now, &stranded.clone()),
            (None, None) => {}
        }
        self.resume_live();
        self.asks.outdated();
        self.begin_training(now);
        if self.reports.connected {
            self.connected(now);
        }
        self.tell(Service::Ready);
        self.tell_standing();
        self.finish()
    }

    /// Whether a file is waited for, so that ticks have to come often.
    pub fn waits_for_files(&self) -> bool {
        self.settling.len() > 0
    }

    /// Takes in one event and returns what to do, in order.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Tick => self.tick(now),
            Event::Sighted(sighting) => self.sighted(now, &sighting),
            Event::Scanned { unreadable, .. } => self.scanned(now, unreadable),
            Event::Watched(Watched { root, state }) => self.watched(now, root, state),
            Event::Ingested(ingested) => self.ingested(now, ingested),
            Event::Inbound(inbound) if self.outage.lasts() => self.defer(now, inbound),
            Event::Inbound(inbound) => self.inbound(now, &inbound),
            Event::Request(Requested { name, payload, ticket }) => {
                let door = Door::Socket(ticket);
                self.asked(now, &Asked { door, name: &name, payload: &payload, retained: false });
            }
            Event::FoundOut { job, answer } => self.found_out(now, job, &answer),
            Event::Connected => self.connected(now),
            Event::Disconnected { reason, barred } => self.disconnected(now, reason, barred),
            Event::Delivered { seq } => {
                if self.spool.delivered(seq) {
                    self.write(Write::OutboxRemove { seq });
                }
            }
            Event::TrainingProgress { phase, progress } => self.training_progress(now, phase, progress),
            Event::Trained(outcome) => self.trained(now, *outcome),
            Event::TrainingFailed { reason } => self.training_failed(now, &reason),
            Event::Fault { source, reason } => self.fault(now, source, reason),
            Event::StoreFails { full, reason } => self.store_fails(now, full, &reason),
            Event::StoreWorks => self.store_works(now),
            Event::Vitals(vitals) => {
                self.reports.vitals = vitals;
                self.keep_within_quota();
            }
            Event::Reviewed(review) => self.reviewed(now, review),
            Event::Evictable(found) => self.evict(now, found),
            Event::FilesGone(gone) => self.forget_files(gone),
            Event::Statistics(file) => self.statistics_settled(file),
            Event::Drifted(drifted) => self.embeddings_drifted(now, drifted),
            Event::Succeeding { embedded, of } => self.succeeding(now, embedded, of),
            Event::Succeeds(succession) => self.succeeds(now, *succession),
            Event::SuccessionFailed { sha256, reason } => self.succession_failed(now, sha256, Code::BadContent, reason),
            Event::UpdateChecked(checked) => self.update_checked(now, *checked),
            Event::ServingFailed { version, reason } => self.serving_failed(now, version, &reason),
            Event::Reload => self.reload(now),
            Event::Reloaded => self.reloaded(now),
            Event::ReloadAsked => self.tell_of_reload(),
            Event::Stop => self.stop(now),
        }
        self.finish()
    }

    /// A message arrived: it is acknowledged when what it changes is durable, whatever it says.
    fn inbound(&mut self, now: Now, inbound: &Inbound) {
        self.acks.arrived(inbound.delivery);
        match inbound.topic.parse() {
            Ok(InboundTopic::Label) => self.label_message(now, &inbound.payload),
            Ok(InboundTopic::ConfigDesired) => self.desired_message(now, &inbound.payload),
            Ok(InboundTopic::Request(name)) => {
                let Inbound { payload, retained, delivery, .. } = inbound;
                let door = Door::Broker(*delivery);
                if !self.asked(now, &Asked { door, name: &name, payload, retained: *retained }) {
                    return;
                }
            }
            // Whatever else is said there is no news for the device.
            Ok(InboundTopic::Birth) if inbound.payload == BIRTH_ONLINE => self.publish_discovery(),
            Ok(InboundTopic::UpdateDesired(kind)) => self.update_desired(now, kind, &inbound.payload),
            Ok(InboundTopic::UpdateChunk(kind, sha256, n)) => {
                self.update_chunk(now, kind, sha256, n, &inbound.payload);
            }
            Ok(InboundTopic::Birth) => {}
            Err(why) => self.error_on_topic(now, &inbound.topic, why.to_string()),
        }
        self.acknowledge(inbound.delivery);
    }

    /// What a message asked for is durable once this step is.
    fn acknowledge(&mut self, delivery: DeliveryId) {
        self.effects.extend(self.acks.done(delivery).into_iter().map(Effect::Ack));
    }

    fn stop(&mut self, now: Now) {
        if !std::mem::replace(&mut self.stopping, true) {
            self.excuse_trials();
            self.complain_at_the_end(now);
            self.announce(now, Happening::Stopped { reason: "asked to stop".to_owned() });
            self.effects.extend(self.acks.rest().into_iter().map(Effect::Ack));
            self.tell(Service::Stopping);
            self.effects.push(Effect::Exit);
        }
    }

    fn write(&mut self, write: Write) {
        self.effects.push(Effect::Write(write));
    }

    fn finish(&mut self) -> Vec<Effect> {
        if !self.stopping {
            let next = self.settling.advance(self.outage.lasts());
            self.effects.extend(next);
        }
        std::mem::take(&mut self.effects)
    }
}
