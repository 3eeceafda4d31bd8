//! Who gets what: events by their source, then the facts that follow, in their order.

use super::context::Cx;
use super::event::{
    AdapterEvent, BrokerEvent, Event, Inbound, ProcessEvent, SocketRequest, StoreEvent, SwapEvent, TrainerEvent,
    WatchEvent,
};
use super::fact::Fact;
use super::messages::{IncomingRequest, ReplyTo};
use super::model::Model;
use super::step::{Act, Next, Systemd};
use super::{Engine, announced, overview};
use crate::update::Code;
use crate::wire::{BIRTH_ONLINE, EventKind, InboundTopic};
use crate::words::{Component, Now, TaskId};

/// Why a retained label is refused, as a retained request is.
const RETAINED_LABEL: &str = "a retained label is ignored: the broker would deliver it at every connection and undo \
                              labels given since; publish it without the retain flag, and an empty retained message \
                              to remove this one";

impl Engine {
    /// Hands an event to the machine that it concerns.
    pub(super) fn dispatch(&mut self, now: Now, event: Event) {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        match event {
            Event::Tick => self.tick(now),
            Event::Watch(WatchEvent::FilesChecked(images)) => self.labels.files_checked(cx, &images),
            Event::Watch(event) => self.files.on_watch(cx, event),
            Event::Ingest(ingested) => self.files.ingested(cx, ingested),
            Event::Picture(read) => self.files.picture_read(cx, read),
            Event::Frames { news, dropped } => self.sources.on_news(cx, news, dropped),
            Event::Frame(read) => self.sources.frame_read(cx, read),
            Event::Broker(event) => self.broker(now, event),
            Event::Socket(SocketRequest { name, payload, ticket }) => {
                let reply_to = ReplyTo::Socket(ticket);
                self.request(now, &IncomingRequest { reply_to, name: &name, payload: &payload, retained: false });
            }
            Event::WatchBegan => self.watch_began(now),
            Event::QueryAnswered { job, answer } => self.query_answered(now, job, &answer),
            Event::ChangeFound { job, found } => self.change_found(now, job, found),
            Event::Trainer(task, event) => {
                let Some(model) = self.models.of(&task) else { return };
                let cx = &mut cx.of(&task);
                match event {
                    TrainerEvent::Progress { phase, progress } => model.training_progress(cx, phase, progress),
                    TrainerEvent::Finished(outcome) => model.trained(cx, *outcome),
                    TrainerEvent::Failed { reason } => model.training_failed(cx, &reason),
                }
            }
            Event::Adapter(event) => self.adapted(now, event),
            Event::JudgedAgain { task, image, scored } => {
                if let Some(model) = self.models.of(&task) {
                    model.judged_again(&mut cx.of(&task), image, &scored);
                }
            }
            Event::Updater(checked) => self.remote.update_checked(cx, *checked),
            Event::Swap(event) => match event {
                SwapEvent::Found { job, found } => self.backbone_found(now, job, found),
                SwapEvent::Progress { embedded, of } => self.remote.swap_progress(cx, embedded, of),
                SwapEvent::Ready(result) => self.remote.swap_ready(cx, *result),
                SwapEvent::Failed { files, reason } => {
                    self.remote.swap_failed(cx, files, Code::BadContent, reason);
                }
            },
            Event::HeadLoadFailed { task, version, reason } => {
                let champion = self.models.of(&task).and_then(|model| model.champion());
                let serves = champion.is_some_and(|champion| champion.head.version == version);
                self.remote.head_load_failed(&mut cx.of(&task), version, serves, &reason);
            }
            Event::Store(StoreEvent::Unavailable { full, reason }) => cx.storage_failed(full, &reason),
            Event::Store(StoreEvent::Recovered) => {
                for inbound in cx.storage_recovered() {
                    self.message(now, &inbound);
                }
            }
            Event::Process(event) => match event {
                ProcessEvent::ReloadRequested => cx.reload(),
                ProcessEvent::ConfigReady => self.remote.config_ready(cx),
                ProcessEvent::StopRequested => self.stop(now),
            },
            Event::SystemMetrics(metrics) => {
                cx.messages.take_metrics(metrics);
                self.labels.keep_within_quota(cx);
            }
            Event::ComponentError { source: Component::Watch, reason } => self.remote.watch_failed(cx, reason),
            Event::ComponentError { source, reason } => cx.error(source, reason),
        }
    }

    /// Hands over what the worker that learns between trainings found.
    fn adapted(&mut self, now: Now, event: AdapterEvent) {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        match event {
            AdapterEvent::EmbeddingDrift(task, drifted) => {
                if let Some(model) = self.models.of(&task) {
                    model.embeddings_drifted(&mut cx.of(&task), drifted);
                }
            }
            AdapterEvent::ReviewListReady(task, review) => self.labels.reviewed(cx, &task, review),
            AdapterEvent::EvictionCandidates(found) => self.labels.evict(cx, found),
            AdapterEvent::StatsCheckpoint(task, file) => self.labels.statistics_stored(cx, task, file),
            AdapterEvent::StatisticsWithout { job, ids, files } => self.forgotten(now, job, &ids, files),
        }
    }

    /// Hands out the facts that the machines posted, until none is left.
    pub(super) fn hand_out_facts(&mut self, now: Now) {
        loop {
            let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
            self.remote.post_comparing(cx);
            let Some((task, fact)) = cx.next_fact() else { return };
            match task {
                None => self.fact(now, fact),
                Some(task) => self.fact_of_task(now, &task, fact),
            }
        }
    }

    /// A fact about the device.
    fn fact(&mut self, now: Now, fact: Fact) {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        match fact {
            Fact::FilesWaiting { waiting, backlog_waits } => {
                self.labels.files_waiting(waiting, backlog_waits);
                self.models.files_waiting(waiting);
            }
            Fact::FilesGone(paths) => self.labels.files_gone(cx, &paths),
            Fact::ImageRead(read) => self.labels.image_read(cx, *read),
            Fact::PictureRead(image) => self.labels.picture_read(cx, *image),
            Fact::FrameRead { source, image } => self.labels.frame_read(cx, source, *image),
            Fact::WatchFailed { reason } => self.remote.watch_failed(cx, reason),
            Fact::SamplesEvicted { count } => {
                self.count_labels();
                let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
                self.models.samples_evicted(cx, count);
            }
            Fact::ComparingHead(is_comparing) => self.models.comparing(is_comparing),
            Fact::TrainingDue => self.models.begin_training(cx),
            Fact::HeadsChanged => self.models.publish_info(cx),
            Fact::TrainingRuns(runs) => self.remote.training_runs(runs),
            Fact::BackboneVerified(order) => self.models.prepare_backbone(cx, order),
            Fact::BackboneCompared(result) => self.models.backbone_compared(cx, *result),
            Fact::BackboneAccepted { result, former } => self.remote.backbone_accepted(cx, *result, former),
            Fact::BackboneOutdated => self.remote.backbone_outdated(cx),
            Fact::BackboneRefused(result) => self.remote.backbone_refused(cx, &result),
            Fact::UpdateHeadOutdated => self.remote.update_head_outdated(),
            fact => unreachable!("{fact:?} is about a task, and is posted for it"),
        }
    }

    /// A fact about a task.
    fn fact_of_task(&mut self, now: Now, task: &TaskId, fact: Fact) {
        let mut cx = Cx::new(now, &mut self.messages, &mut self.context);
        let cx = &mut cx.of(task);
        let Some(model) = self.models.of(task) else { return };
        match fact {
            Fact::ImagePredicted { id, scored } => model.image_predicted(cx, id, &scored),
            Fact::ImageJudged { id, source, scored } => model.judged(cx, id, source.as_ref(), &scored),
            Fact::LabelLearnable => model.label_learnable(cx),
            Fact::LabelSet { id, label, predicted, counts } => {
                model.labels_counted(counts);
                model.label_set(cx, id, label, predicted);
            }
            Fact::SampleExcluded { id, is_labelled, counts } => {
                model.labels_counted(counts);
                model.sample_excluded(cx, &id, is_labelled);
            }
            Fact::SamplesForgotten { labelled } => {
                self.files.samples_forgotten();
                model.samples_forgotten(cx, labelled);
                self.count_labels();
            }
            Fact::LabelsLeftOut(images) => self.labels.left_out(task, images),
            Fact::HeadJudged => {
                let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
                self.labels.ask(cx, task);
            }
            Fact::HeadRolledBack { from, reason } => self.remote.update_rolled_back(cx, &from, &reason),
            Fact::UpdateHeadRefused { reason } => self.remote.update_head_refused(cx, reason),
            Fact::UpdateHeadInstalled { head } => self.remote.update_head_installed(cx, head),
            Fact::UpdateHeadCompared { update, found } => model.update_compared(cx, &update, *found),
            Fact::UpdateHeadFailed { head, reason } => model.update_head_failed(cx, &head, &reason),
            Fact::UpdateWhole(manifest) => model.verify_update(cx, manifest),
            // About the device, whichever task was acted for when it was found.
            fact => self.fact(now, fact),
        }
    }

    fn count_labels(&mut self) {
        for (task, counts) in self.labels.counts() {
            self.models.labels_counted(task, counts);
        }
    }

    /// What time brings. What a machine posts reaches the others before it is their turn.
    fn tick(&mut self, now: Now) {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        cx.look_at_clock();
        self.files.tick(cx);
        self.sources.tick(cx);
        if cx.try_refused_again() {
            self.connected(now);
        }
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        self.models.each(cx, Model::look_at_state);
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        if !cx.storage_is_out() {
            self.tick_of_what_is_stored(now);
        }
        let overview = overview(&self.files, &self.sources, &self.labels, &self.models);
        let mut cx = Cx::new(now, &mut self.messages, &mut self.context);
        let tasks = announced(&self.labels, &self.models, cx.settings());
        cx.announce_when_changed(tasks);
        cx.report_left_out_events();
        cx.publish_health_when_due(&overview);
        cx.notify_when_due(&overview);
    }

    /// What is due and would have to be durable.
    fn tick_of_what_is_stored(&mut self, now: Now) {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        self.models.tick(cx);
        if self.labels.are_going() {
            self.labels.evict_some(cx);
        }
        self.labels.look_at_doubts(cx);
        self.labels.ask_when_due(cx);
        self.hand_out_facts(now);
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        self.remote.tick(cx);
        if cx.housekeeping_is_due() {
            self.labels.expire(cx);
            cx.expire_outbox();
        }
        self.remote.confirm(cx);
        self.hand_out_facts(now);
    }

    fn broker(&mut self, now: Now, event: BrokerEvent) {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        match event {
            BrokerEvent::Message(inbound) if cx.storage_is_out() => cx.defer(inbound),
            BrokerEvent::Message(inbound) => self.message(now, &inbound),
            BrokerEvent::Connected { refused, downgraded } => {
                cx.subscribed(refused, downgraded);
                self.connected(now);
            }
            BrokerEvent::Disconnected { reason, barred, unanswered } => cx.disconnected(reason, barred, unanswered),
            BrokerEvent::Delivered { seq } => cx.delivered(seq),
            BrokerEvent::Oversized { topic, bytes, retained, delivery } => {
                cx.arrived(delivery);
                cx.report_oversized(&topic, bytes, retained);
                cx.acknowledge(delivery);
            }
            BrokerEvent::Taken(item) => {
                if cx.taken(&item) {
                    self.connected(now);
                }
            }
        }
    }

    /// A message arrived: it is acknowledged when what it changes is durable, whatever it says.
    pub(super) fn message(&mut self, now: Now, inbound: &Inbound) {
        let Inbound { topic, payload, retained, delivery } = inbound;
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        cx.arrived(*delivery);
        match topic.parse() {
            Ok(InboundTopic::Label) if *retained => cx.error_on_topic("label", RETAINED_LABEL.to_owned()),
            Ok(InboundTopic::Label) => self.labels.label_message(cx, payload),
            Ok(InboundTopic::ConfigDesired) => self.remote.desired_message(cx, payload),
            Ok(InboundTopic::Request(name)) => {
                let reply_to = ReplyTo::Broker(*delivery);
                let incoming = IncomingRequest { reply_to, name: &name, payload, retained: *retained };
                if !self.request(now, &incoming) {
                    return;
                }
            }
            // Other messages on this topic do not concern the device.
            Ok(InboundTopic::Birth) if payload == BIRTH_ONLINE => {
                let tasks = announced(&self.labels, &self.models, cx.settings());
                cx.publish_discovery(tasks);
                // Home Assistant forgets attributes that came before it knew that the device is there.
                if cx.settings().names_tasks {
                    cx.publish_latest();
                    self.models.each(cx, |model, cx| model.publish_state(cx));
                    self.labels.publish_reviews(cx);
                }
            }
            Ok(InboundTopic::UpdateDesired(kind)) => self.remote.update_desired(cx, kind, payload),
            Ok(InboundTopic::UpdateChunk(kind, sha256, n)) => {
                self.remote.update_chunk(cx, kind, sha256, n, payload);
            }
            Ok(InboundTopic::Birth) => {}
            Err(why) => cx.error_on_topic(topic, why.to_string()),
        }
        self.hand_out_facts(now);
        self.cx(now).acknowledge(*delivery);
    }

    /// Everything retained, again: the broker may have forgotten it.
    pub(super) fn connected(&mut self, now: Now) {
        let mut cx = Cx::new(now, &mut self.messages, &mut self.context);
        let tasks = announced(&self.labels, &self.models, cx.settings());
        cx.connected(tasks);
        self.publish_what_holds(now);
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        self.remote.updates_connected(cx);
        cx.act(Act::SendOutbox);
    }

    /// The latest values of everything but updates.
    fn publish_what_holds(&mut self, now: Now) {
        let mut cx = Cx::new(now, &mut self.messages, &mut self.context);
        self.models.publish_info(&mut cx);
        cx.publish_health(&overview(&self.files, &self.sources, &self.labels, &self.models));
        self.models.each(&mut cx, |model, cx| {
            model.publish_train_state(cx);
            model.publish_state(cx);
        });
        self.labels.publish_reviews(&mut cx);
        self.remote.publish_reported(&mut cx);
        cx.publish_latest();
    }

    /// A client that begins to watch gets everything retained, as a subscriber at the broker does.
    fn watch_began(&mut self, now: Now) {
        let before = self.context.acts_so_far();
        self.publish_what_holds(now);
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        self.remote.publish_updates(cx);
        self.context.show_only(before);
    }

    fn stop(&mut self, now: Now) {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        if cx.end(Next::Exit) {
            self.remote.uncount_starts(cx);
            cx.report_dropped_at_the_end();
            cx.emit_event(EventKind::Stopped { reason: "asked to stop".to_owned() });
            cx.acknowledge_the_rest();
            cx.notify(Systemd::Stopping);
        }
    }
}
