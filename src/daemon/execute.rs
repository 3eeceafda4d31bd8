//! Carries out the engine's effects; [`super::commit`] decides which of them have to wait for the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use tracing::{debug, error, info, warn};

use super::RunError;
use super::commit::{Committer, Durable};
use super::heartbeat::Heartbeats;
use super::metrics::Metrics;
use super::process::{self, Link, Process, Socket};
use super::serving::Servings;
use super::workers::ingest::{self, Ingest};
use super::workers::job::Job;
use super::workers::query::{self, QueryWorker};
use super::workers::train::{self, TrainerSettings};
use super::workers::{backbone_swap, online_learning, update};
use crate::engine::{
    Act, BrokerEvent, Event, Next, OutboxMessage, Query, Step, StoreEvent, SwapOrder, SystemMetrics, Systemd, TaskAct,
    Write,
};
use crate::head::HeadRecord;
use crate::source::poll;
use crate::store::{Reader, Room, StoreError};
use crate::wire::{EventReport, Level, Payload, Topic};
use crate::words::{Component, Digest, TaskId, error_chain};
use crate::{systemd, watch};

/// Everything around one engine that touches the world. It lives until the daemon ends or restarts within the process.
pub(super) struct Runtime {
    /// Makes changes durable.
    pub committer: Committer,
    /// Reads heads and counts, in parallel to the writer.
    pub reader: Reader,
    /// The heads that answer; shared with the workers that ask them.
    pub servings: Servings,
    /// The threads that run all the time.
    pub workers: Workers,
    /// The link to the broker; `None` without one.
    pub link: Option<Link>,
    /// The socket for local requests; taken when the daemon is about to end.
    pub socket: Option<Socket>,
    /// What each training of a task, and each check of an update for it, gets.
    pub trainers: BTreeMap<TaskId, TrainerSettings>,
    /// The training in progress or ended last.
    pub training: Option<Job>,
    /// The preparation of another backbone in progress or ended last.
    pub backbone_swap: Option<Job>,
    /// What the files of that backbone are called.
    pub preparing: Option<Digest>,
    /// The check of an update in progress or ended last.
    pub update: Option<Job>,
    /// Where backbones that took over are stored.
    pub backbone_dir: backbone_swap::BackboneDir,
    /// The queue of the loop, for workers that are started later.
    pub events: SyncSender<Event>,
    /// Results of acts for the engine's next step; the queue could be full of events that wait for this loop.
    pub feedback: Vec<Event>,
    /// Whether the link has messages to send, after the acts of this step.
    pub outbox_changed: bool,
    /// Since when each worker has been busy, for the watchdog.
    pub heartbeats: Heartbeats,
    /// Whether a worker is stuck and that was reported.
    pub stuck: bool,
    /// What outlives this runtime.
    pub process: Process,
}

/// The threads that run as long as the engine does; one that ends by itself ends the daemon.
pub(super) struct Workers {
    /// Reads, decodes and embeds files.
    pub ingest: Ingest,
    /// Answers requests that take time.
    pub queries: QueryWorker,
    /// The way to the worker that learns labels at once.
    pub online: online_learning::Handle,
    /// Its thread; taken when its end was noticed.
    pub online_thread: Option<JoinHandle<Result<(), StoreError>>>,
    /// Lists the watched folders and checks single files.
    pub watch: watch::Handle,
    /// Ask cameras for their pictures.
    pub cameras: poll::Handle,
}

impl Runtime {
    /// Commits the writes of `step` in one transaction, then does its acts in order; where the store takes nothing,
    /// those that promise nothing.
    ///
    /// # Errors
    /// [`RunError`] when the store fails in a way that does not pass by itself, or a worker is gone.
    pub fn run(&mut self, mut step: Step) -> Result<Next, RunError> {
        let messages = self.messages_to_watch(&step);
        let (notes, written) = (std::mem::take(&mut step.notes), Metrics::written(&step.writes));
        let link = self.link.as_ref();
        let publish = |message: &OutboxMessage| {
            link.is_some_and(|link| link.handle.publish(message.topic.clone(), message.payload.clone()))
        };
        let Durable { acts, then, event, published, took } = self.committer.make_durable(step, &publish)?;
        self.process.metrics.committed(took, written, notes, self.process.clock.now().mono);
        if let (Some(socket), Some(event)) = (&self.socket, &event) {
            socket.handle.stores(matches!(event, StoreEvent::Recovered));
        }
        self.feedback.extend(event.map(Event::Store));
        let delivered = published.into_iter().map(|seq| Event::Broker(BrokerEvent::Delivered { seq }));
        self.feedback.extend(delivered);
        for (topic, payload) in messages {
            self.socket.iter().for_each(|socket| socket.handle.broadcast(&topic, &payload));
        }
        for act in acts {
            self.act(act)?;
        }
        if std::mem::take(&mut self.outbox_changed)
            && let Some(link) = &self.link
        {
            link.handle.outbox_changed();
        }
        Ok(then)
    }

    /// The messages of `step`, the spooled ones first; none where no client watches.
    fn messages_to_watch(&self, step: &Step) -> Vec<(Topic, Vec<u8>)> {
        if !self.socket.as_ref().is_some_and(|socket| socket.handle.is_watched()) {
            return Vec::new();
        }
        let spooled = step.writes.iter().filter_map(|write| match write {
            Write::Outbox(message) => Some((message.topic.clone(), message.payload.clone())),
            _ => None,
        });
        let at_once = step.acts.iter().filter_map(|act| match act {
            Act::Publish { topic, payload } | Act::Show { topic, payload } => Some((topic.clone(), payload.clone())),
            _ => None,
        });
        spooled.chain(at_once).collect()
    }

    fn act(&mut self, act: Act) -> Result<(), RunError> {
        match act {
            // Once for all messages, when the other acts are done.
            Act::SendOutbox => self.outbox_changed = true,
            Act::Publish { topic, payload } => {
                if let Some(link) = &self.link {
                    link.handle.publish(topic, payload);
                }
            }
            // Whoever watches has it from `messages_to_watch`.
            Act::Show { .. } => {}
            Act::AdaptToBroker(terms) => {
                if let Some(link) = &self.link {
                    link.handle.adapt(*terms);
                }
            }
            Act::Ack(delivery) => {
                if let Some(link) = &self.link {
                    link.handle.ack(delivery);
                }
            }
            Act::Answer { ticket, response } => {
                if let Some(socket) = &self.socket {
                    socket.handle.answer(ticket, *response);
                }
            }
            Act::Query { job, query: Query::Forget(ids) } => self.workers.online.forget(job, ids),
            Act::Query { job, query } => self.answer_later(query::Job::Answer { job, query })?,
            Act::FindUnseen { after, limit } => self.answer_later(query::Job::FindUnseen { after, limit })?,
            Act::Ingest { root, path } => {
                debug!(path = %path.display(), "reading");
                self.ingest(ingest::Job::File(ingest::File { root, path }))?;
            }
            Act::IngestFrame { source } => self.ingest(ingest::Job::Frame(source))?,
            Act::IngestPicture { id } => self.ingest(ingest::Job::Picture(id))?,
            Act::Burst(source) => self.workers.cameras.burst(&source),
            Act::Stat { root, path } => self.workers.watch.look(root, path),
            Act::CheckFiles(images) => self.workers.watch.check(images),
            Act::Rescan => self.workers.watch.scan(),
            Act::PauseScans(held) => self.workers.watch.hold(held),
            Act::Task(task, act) => self.act_for_task(task, act)?,
            Act::Evict { count } => self.workers.online.evict(count),
            Act::PrepareBackbone(order) => self.prepare_backbone(*order)?,
            Act::DeleteBackbone(files) => {
                self.backbone_swap.iter().filter(|_| self.preparing == Some(files)).for_each(Job::cancel);
                self.backbone_dir.forget(&files);
            }
            Act::Systemd(word) => self.notify_systemd(&word),
            Act::LogEvent(report) => log_event(&report),
            Act::VerifyUpdate { task, manifest, version } => {
                info!(update = %manifest, "all chunks have arrived");
                let reader = self.committer.reader()?;
                let check = update::spawn(*manifest, version, reader, self.trainer(&task), self.events.clone());
                self.update = Some(check.map_err(RunError::Thread)?);
            }
        }
        Ok(())
    }

    fn act_for_task(&mut self, task: TaskId, act: TaskAct) -> Result<(), RunError> {
        match act {
            TaskAct::Train { order, version } => {
                info!(%task, training = order.id, reason = order.reason, "training");
                self.process.metrics.training_begins();
                // A former one has ended: the engine orders one at a time.
                let reader = self.committer.reader()?;
                let training = train::spawn(order, version, reader, self.trainer(&task), self.events.clone());
                self.training = Some(training.map_err(RunError::Thread)?);
            }
            TaskAct::Serve(version) => self.serve(task, version)?,
            TaskAct::Resume(version) => self.serve(task, Some(version))?,
            TaskAct::Shadow(version) => {
                let head = version.map(|version| self.head(&task, version)).transpose()?.flatten();
                if let Some(serving) = self.servings.of(&task) {
                    serving.shadow(head);
                }
            }
            TaskAct::UpdateOnline(ids) => self.workers.online.learn(&task, ids),
            TaskAct::FoldInLabels(before) => self.workers.online.fold_in_labels(&task, before),
            TaskAct::JudgeAgain(image) => self.workers.online.judge(&task, image),
            TaskAct::Review { since } => self.workers.online.review(&task, since),
        }
        Ok(())
    }

    /// What a training of a task, or the check of an update for it, gets.
    fn trainer(&self, task: &TaskId) -> TrainerSettings {
        self.trainers.get(task).cloned().expect("the engine names tasks of its settings, and each has a trainer's")
    }

    fn answer_later(&self, job: query::Job) -> Result<(), RunError> {
        self.workers.queries.jobs.send(job).map_err(|_| RunError::WorkerEnded { worker: "answer" })
    }

    /// Notifies the service manager; its watchdog is pinged only while no worker is stuck.
    fn notify_systemd(&mut self, word: &Systemd) {
        match word {
            Systemd::Ready => systemd::ready(),
            Systemd::Reloading => systemd::reloading(),
            Systemd::Stopping => systemd::stopping(),
            Systemd::Status(words) => systemd::status(words),
            Systemd::WatchdogPing => match self.heartbeats.stuck(systemd::watchdog_timeout()) {
                None => {
                    self.stuck = false;
                    systemd::alive();
                }
                Some(stuck) if !std::mem::replace(&mut self.stuck, true) => {
                    let reason = format!(
                        "the {} worker has been busy with one task for {} s, {} are allowed; the watchdog restarts the \
                         daemon, without one restart it yourself",
                        stuck.worker,
                        stuck.busy.as_secs(),
                        stuck.may.as_secs()
                    );
                    error!(reason, "stuck");
                    self.feedback.push(Event::ComponentError { source: Component::Watchdog, reason });
                }
                Some(_) => {}
            },
        }
    }

    /// Hands a file or a frame to the ingest worker.
    fn ingest(&self, job: ingest::Job) -> Result<(), RunError> {
        self.workers.ingest.jobs.send(job).map_err(|_| RunError::WorkerEnded { worker: "ingest" })
    }

    /// Starts to prepare another backbone, in place of one that was being prepared.
    fn prepare_backbone(&mut self, order: SwapOrder) -> Result<(), RunError> {
        if let Some(former) = self.backbone_swap.take() {
            former.cancel();
        }
        info!(backbone = order.name, "preparing another backbone");
        let parts = backbone_swap::Parts {
            order,
            reader: self.committer.reader()?,
            dir: self.backbone_dir.clone(),
            trainers: self.trainers.clone(),
            events: self.events.clone(),
        };
        self.preparing = Some(parts.order.files);
        self.backbone_swap = Some(backbone_swap::spawn(parts).map_err(RunError::Thread)?);
        Ok(())
    }

    /// Puts a head in service; one whose file cannot be read is reported, and the one before it stays.
    fn serve(&mut self, task: TaskId, version: Option<u64>) -> Result<(), RunError> {
        let champion = match version {
            None => None,
            Some(version) => {
                let Some(record) = self.head(&task, version)? else {
                    let reason = "its file is not in the store or cannot be read; the log says why".to_owned();
                    self.feedback.push(Event::HeadLoadFailed { task, version, reason });
                    return Ok(());
                };
                info!(%task, head = %record.head, classes = record.dense.classes.len(), "in service");
                Some(Arc::new(record))
            }
        };
        self.process.metrics.serves(&task, champion.as_deref());
        if let Some(serving) = self.servings.of(&task) {
            serving.set(champion.clone());
        }
        self.workers.online.serve(&task, champion);
        Ok(())
    }

    /// A stored head; `None`, and a line in the log, when it is missing or cannot be read.
    fn head(&self, task: &TaskId, version: u64) -> Result<Option<HeadRecord>, RunError> {
        let Some(stored) = self.reader.head(task, version)? else {
            warn!(%task, version, "the head to serve is not in the store");
            return Ok(None);
        };
        let record = HeadRecord::from_bytes(&stored.bytes);
        if let Err(error) = &record {
            error!(%task, head = %stored.info.head, error = error_chain(error), "cannot serve; retrain or roll back");
        }
        Ok(record.ok())
    }

    /// Whether ticks have to come every second: something waits for the next commit, or somebody scrapes.
    pub fn has_times(&self) -> bool {
        self.committer.waits() || self.process.metrics.are_scraped()
    }

    /// The current metrics of the system.
    pub fn vitals(&self) -> Result<SystemMetrics, RunError> {
        let Room { store_bytes, beside_bytes } = self.reader.room()?;
        Ok(process::measure(store_bytes, beside_bytes))
    }
}

fn log_event(report: &EventReport) {
    let event = String::from_utf8_lossy(&report.encode()).into_owned();
    match report.kind.level() {
        Level::Warning => warn!(%event),
        Level::Info => info!(%event),
    }
}
