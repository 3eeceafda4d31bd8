//! The pure core: [`Engine::step`] takes an event and returns what to do.
//!
//! It makes every decision of the daemon and performs no I/O: no disk, no clock, no broker. So
//! a whole life, faults included, runs in a test in milliseconds from one seed (`tests/simulate`). It never
//! computes for long either: reading, embedding and fitting are effects whose results come back as events.
//!
//! Six machines decide, each with private state in a folder of its own (decision 21). Events and requests go to the
//! machine that they concern; what one machine has to tell another is a `fact::Fact`, handed out first in, first out.
//!
//! | machine | decides | its files |
//! | --- | --- | --- |
//! | `files` | which files are ready, what happens to them, the health of watched folders | `readiness`, `unseen`, `watch_health` |
//! | `sources` | when a frame of a camera is looked at, how each camera fares, when it is looked at more closely | |
//! | `labels` | which samples are known and how they are labelled, which are worth a label, which go | `arrivals`, `awaited`, `class_folders`, `last_word`, `labelling`, `importing`, `undoing`, `forgetting`, `sheet`, `index`, `known`, `living`, `review_list`, `eviction` |
//! | `model` | when to train, which head serves and why, how right it is | `schedule`, `training`, `promotion`, `in_service`, `shadow`, `live_accuracy`, `drift`, `registry`, `state`; `models`: what tasks share |
//! | `remote` | settings, heads and backbones that are sent; their probation | `config_patch`, `updates`, `backbone_swap`, `backbone_switch` |
//! | `messages` | what is published, its numbers and limits; the life of a request | `reports`, `alerts`, `requests`, `event_limiter`, `outbox_limits`, `refusals`, `broker_terms`, `pending`, `systemd_status` |
//!
//! `states` turns the predictions of a task into what is so; it is handed the time as [`Ages`] and publishes nothing itself.
//!
//! Labels and heads are by task (decision 40). `context` is what all of them are handed: the time, the task and the `clock`, settings, whether the store takes writes
//! (`storage_outage`), and the step that they fill. This file, `commands` and `dispatch` only route.

mod commands;
mod context;
mod dispatch;
mod event;
mod fact;
mod files;
mod gauges;
mod labels;
mod messages;
mod model;
mod note;
mod remote;
mod settings;
mod snapshot;
mod sources;
mod startup;
mod states;
mod step;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

pub use context::{Ages, DoubtedTimes};
pub use event::{
    AdapterEvent, BrokerEvent, Checked, CheckedHead, DeliveryId, EmbeddedImage, EmbeddingDrift, Event,
    EvictionCandidate, FileStamp, FolderHealth, FrameOutcome, FrameRead, Inbound, IngestOutcome, Ingested, LeftOut,
    PictureRead, ProcessEvent, Review, Scored, Shadowed, Sighting, SocketRequest, SourceCounts, SourceNews, StoreEvent,
    SwapEvent, SystemMetrics, Ticket, TrainerEvent, TrainingOutcome, Unseen, UpdateChecked, View, WatchEvent,
    WatchState,
};
pub use files::IN_FLIGHT_MAX;
pub use gauges::{Gauges, TaskGauges};
pub use labels::{Before, ChangedImage, NothingToUndo, PENDING_MAX, StoredChange};
pub use messages::{BrokerRecord, Item, JobId, Terms, UNDER_WAY_MAX, Unanswered, prediction_body};
pub use model::{DriftState, LiveAccuracy, Measured, Registry, Rollback, ScheduleSettings, Shadow};
pub use note::{Certainty, ImageResult, Note, TrainingResult};
pub use remote::{
    BackboneState, BackboneSwitch, ConfigPatch, Configure, FoundBackbone, GoodPatch, InstalledBackbone, Judge,
    ModelSource, PreviousBackbone, Probation, Refused, RevertedBackbone, StoredUpdate, SwapOrder, SwapPair, SwapResult,
    SwitchEnd, UpdateRecord, UpdateSettings,
};
pub use settings::{PromotionPolicy, Root, Settings, SourceSettings, TaskSettings, TuneWhen};
pub use snapshot::{HeadInfo, Snapshot, Spooled, StoredPicture, StoredSample, StoredTask, Worth};
pub use sources::FRAMES_IN_FLIGHT_MAX;
pub use startup::{
    BackboneChoice, BackboneFacts, BackboneGone, BundledBackbone, ServedBackbone, StartDecision, StartupState,
    reverted_notice,
};
pub use states::{
    BadConfirm, Change, Confirm, Judgement, State, StateMachine, StateRecord, StateSettings, StateView, UNMEASURED,
};
pub use step::{Act, Next, Query, Step, Systemd, TaskAct};
pub use write::{
    ClassFolders, Disbelieved, FileDisposition, HeadStatus, KeptReport, LabelSource, Look, NewSample, OutboxMessage,
    PendingLabel, Predicted, RememberedReply, TrainingOrder, TrainingState, Write,
};

use crate::wire::{AlertId, AnnouncedTask, EventKind, Severity, TaskHealth, UpdateKind};
use crate::words::{Digest, Now};
use context::{Context, Cx, WallClock};
use files::Files;
use labels::Labels;
use messages::{Messages, Overview};
use model::Models;
use remote::Remote;
use sources::Sources;

/// State that outlives an engine when everything but the broker's connection restarts.
#[derive(Debug)]
pub struct Carried {
    messages: messages::Carried,
    /// Which manifests were checked.
    seen: BTreeMap<UpdateKind, Digest>,
    context: context::Carried,
}

impl Carried {
    /// The same without the previous engine's connection.
    #[must_use]
    pub fn cut_off(mut self) -> Self {
        self.messages.cut_off();
        self.context.cut_off();
        self
    }
}

/// The deciding core of the daemon.
#[derive(Debug)]
pub struct Engine {
    files: Files,
    sources: Sources,
    labels: Labels,
    models: Models,
    remote: Remote,
    messages: Messages,
    context: Context,
}

impl Engine {
    /// An engine that remembers what the store does.
    #[must_use]
    pub fn new(settings: Settings, mut snapshot: Snapshot) -> Self {
        let clock = WallClock::new(&snapshot);
        let remote = Remote::new(&mut snapshot);
        let mut files = Files::new(&settings, &snapshot.files);
        let mut labels = Labels::new(&settings, &mut snapshot);
        if settings.names_tasks || !labels.are_all_looked_at() {
            files.search_unseen();
        }
        let mut messages = Messages::new(&settings, &mut snapshot);
        let mut models = Models::new(&settings, snapshot.tasks);
        models.may_come_back(remote.former_champions());
        for (task, counts) in labels.counts() {
            models.labels_counted(task, counts);
        }
        for (task, alert, warning) in models.alerts() {
            messages.restore_alert(alert.of(Some(task).filter(|_| settings.names_tasks)), warning);
        }
        for (task, model) in models.iter() {
            labels.left_out(task, model.disbelieved().map(|left_out| left_out.images.clone()).unwrap_or_default());
        }
        let sources = Sources::new(&settings);
        Self { files, sources, labels, models, remote, messages, context: Context::new(settings, clock) }
    }

    /// The same, replacing an earlier engine of this process.
    #[must_use]
    pub fn after(mut carried: Carried, settings: Settings, snapshot: Snapshot) -> Self {
        carried.messages.keep_what_is_asked(&settings);
        let mut engine = Self::new(settings, snapshot);
        engine.messages.resume(carried.messages);
        engine.remote.saw_manifests(&carried.seen);
        engine.context.resume(carried.context);
        engine
    }

    /// State for the next engine of this process.
    #[must_use]
    pub fn carry(self) -> Carried {
        Carried {
            seen: self.remote.seen_manifests(),
            messages: self.messages.into_carried(),
            context: self.context.into_carried(),
        }
    }

    /// What to do first: put the champion in service, resume an interrupted training, publish that the daemon is
    /// online. The watcher lists the folders when it starts.
    pub fn start(&mut self, now: Now) -> Step {
        let resumes = self.context.begin(now);
        let opening = self.context.take_opening();
        let mut cx = self.cx(now);
        if !resumes {
            cx.started();
        }
        if let Some(reason) = opening {
            cx.emit_event(EventKind::ConfigChanged { reason });
        }
        if let Some(text) = cx.settings().provider.fallback() {
            cx.raise(AlertId::Provider, Severity::Warning, text);
        }
        cx.begin_with_broker(resumes);
        let stored = self.models.champions();
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        self.remote.start(cx, &stored);
        self.hand_out_facts(now);
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        self.models.start(cx, &stored);
        self.files.start(cx);
        self.sources.start(now);
        self.labels.start(cx);
        self.models.begin_training(cx);
        self.hand_out_facts(now);
        if self.messages.is_connected() {
            self.connected(now);
        }
        for inbound in self.cx(now).take_deferred() {
            self.message(now, &inbound);
        }
        let overview = overview(&self.files, &self.sources, &self.labels, &self.models);
        let mut cx = Cx::new(now, &mut self.messages, &mut self.context);
        cx.notify(Systemd::Ready);
        cx.notify_status(&overview);
        self.finish(now)
    }

    /// Whether a file or a frame is waited for, so that ticks have to come often.
    pub fn waits_for_files(&self) -> bool {
        self.files.waiting() > 0 || self.sources.is_busy()
    }

    /// What falls due next by time alone, where that is not within seconds, so that ticks may come rarely: nothing is waited
    /// for, the store takes changes, and no source and no state has times of its own.
    pub fn sleeps_until(&self) -> Option<Duration> {
        let is_busy = self.context.has_times() || self.waits_for_files() || self.labels.are_busy();
        (!is_busy).then(|| self.messages.health_due())
    }

    /// Takes in one event and returns what to do, in order.
    pub fn step(&mut self, now: Now, event: Event) -> Step {
        self.dispatch(now, event);
        self.hand_out_facts(now);
        self.finish(now)
    }

    fn finish(&mut self, now: Now) -> Step {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        self.files.hand_out(cx);
        self.sources.hand_out(cx);
        self.context.take_step()
    }

    fn cx(&mut self, now: Now) -> Cx<'_> {
        Cx::new(now, &mut self.messages, &mut self.context)
    }
}

/// The tasks as Home Assistant is told of them, where the configuration names any: with the classes of the head in
/// service, and those that only labels name so far.
fn announced(labels: &Labels, models: &Models, settings: &Settings) -> Vec<AnnouncedTask> {
    let task = |task: &TaskSettings| {
        let head = models.get(&task.id).and_then(|model| model.champion());
        let mut classes = head.map_or_else(Vec::new, |head| head.classes.clone());
        let more = labels.classes_of(&task.id).filter(|class| !classes.contains(class)).cloned().collect::<Vec<_>>();
        classes.extend(more);
        AnnouncedTask { id: task.id.clone(), classes, has_state: task.state.is_some() }
    };
    if settings.names_tasks { settings.tasks.iter().map(task).collect() } else { Vec::new() }
}

/// What messages say of the machines.
fn overview<'a>(files: &Files, sources: &Sources, labels: &Labels, models: &'a Models) -> Overview<'a> {
    let (samples, labelled) = labels.samples();
    let tasks = models.health().map(|(task, health)| {
        let (samples, labelled) = labels.samples_of(task);
        let (samples, labelled) = (samples as u64, labelled as u64);
        (
            task.clone(),
            TaskHealth { samples, labelled, unlabelled: samples - labelled, unseen: files.missing(task), ..health },
        )
    });
    Overview {
        samples,
        labelled,
        waiting_files: files.waiting(),
        quarantined: files.quarantined(),
        ignored: files.ignored(),
        sources: sources.health(),
        evicted: models.evicted(),
        disbelieved: models.disbelieved(),
        last_train: models.last_train(),
        phase: models.phase(),
        champion: models.first().champion(),
        tasks: tasks.collect(),
    }
}
