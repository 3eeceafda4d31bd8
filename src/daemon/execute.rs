//! Carries out the engine's effects; [`super::commit`] decides which of them have to wait for the store.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use tracing::{debug, error, info, warn};

use super::commit::{Delivered, Unstored};
use super::error::RunError;
use super::heartbeat::Heartbeats;
use super::os;
use super::process::{Link, Process, Socket};
use super::serving::Serving;
use super::workers::backbone_swap;
use super::workers::ingest::{self, Ingest};
use super::workers::job::Job;
use super::workers::online_learning;
use super::workers::query::{self, QueryWorker};
use super::workers::train::{self, TrainerSettings};
use super::workers::update;
use crate::engine::{Effect, Event, Service, SuccessionOrder, Vitals, Write};
use crate::head::HeadRecord;
use crate::store::{Reader, Store, StoreError};
use crate::systemd;
use crate::watch;
use crate::wire::Topic;
use crate::words::error_chain;

/// Everything around one engine that touches the world. It lives until the daemon ends or restarts within the process.
pub(super) struct Runtime {
    /// The one writer of the database.
    pub store: Store,
    /// Reads heads and counts, in parallel to the writer.
    pub reader: Reader,
    /// The heads that answer; shared with the workers that ask them.
    pub serving: Serving,
    /// The threads that run all the time.
    pub workers: Workers,
    /// The link to the broker; `None` without one.
    pub link: Option<Link>,
    /// The socket for local requests; taken when the daemon is about to end.
    pub socket: Option<Socket>,
    /// What each training, and each check of an update, gets.
    pub trainer: TrainerSettings,
    /// The training in progress or ended last.
    pub training: Option<Job>,
    /// The preparation of another backbone in progress or ended last.
    pub backbone_swap: Option<Job>,
    /// Where backbones that came as updates are stored.
    pub backbone_dir: backbone_swap::BackboneDir,
    /// The queue of the loop, for workers that are started later.
    pub events: SyncSender<Event>,
    /// Results of acts for the engine's next step; the queue could be full of events that wait for this loop.
    pub feedback: Vec<Event>,
    /// Changes that could not be committed, with the acts that wait for them.
    pub unstored: Option<Unstored>,
    /// Deliveries that go into the next commit.
    pub delivered: Delivered,
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
}

/// What the loop does after a batch of effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Continue.
    Run,
    /// Leave the loop and restart everything but the link.
    Restart,
    /// Leave the loop for good.
    Exit,
}

impl Runtime {
    /// Commits every write among `effects` in one transaction, then does the rest in order; where the store takes
    /// nothing, what promises nothing.
    ///
    /// # Errors
    /// [`RunError`] when the store fails permanently, or a worker is gone.
    pub fn run(&mut self, effects: Vec<Effect>) -> Result<Next, RunError> {
        let mut writes = Vec::new();
        let mut acts = Vec::new();
        let messages = self.messages_to_watch(&effects);
        for effect in effects {
            match effect {
                Effect::Write(write) => writes.push(write),
                act => acts.push(act),
            }
        }
        let acts = self.made_durable(writes, acts)?;
        for (topic, payload) in messages {
            self.socket.iter().for_each(|socket| socket.handle.broadcast(&topic, &payload));
        }
        let mut next = Next::Run;
        let mut outbox_changed = false;
        for act in acts {
            match act {
                Effect::SendOutbox => outbox_changed = true,
                Effect::Restart => next = Next::Restart,
                Effect::Exit => next = Next::Exit,
                act => self.act(act)?,
            }
        }
        if let Some(link) = self.link.as_ref().filter(|_| outbox_changed) {
            link.handle.outbox_changed();
        }
        Ok(next)
    }

    /// The messages among `effects`, spooled or not, in order; none where no client watches.
    fn messages_to_watch(&self, effects: &[Effect]) -> Vec<(Topic, Vec<u8>)> {
        let message = |effect: &Effect| match effect {
            Effect::Publish { topic, payload } => Some((topic.clone(), payload.clone())),
            Effect::Write(Write::Outbox(message)) => Some((message.topic.clone(), message.payload.clone())),
            _ => None,
        };
        let watched = self.socket.as_ref().is_some_and(|socket| socket.handle.is_watched());
        if watched { effects.iter().filter_map(message).collect() } else { Vec::new() }
    }

    fn act(&mut self, act: Effect) -> Result<(), RunError> {
        match act {
            Effect::Write(_) | Effect::SendOutbox | Effect::Restart | Effect::Exit => unreachable!("handled before"),
            Effect::Publish { topic, payload } => {
                if let Some(link) = &self.link {
                    link.handle.publish(topic, payload);
                }
            }
            Effect::Ack(delivery) => {
                if let Some(link) = &self.link {
                    link.handle.ack(delivery);
                }
            }
            Effect::Answer { ticket, response } => {
                if let Some(socket) = &self.socket {
                    socket.handle.answer(ticket, *response);
                }
            }
            Effect::FindOut { job, task } => {
                let handed_out = self.workers.queries.jobs.send(query::Job { job, task });
                handed_out.map_err(|_| RunError::WorkerEnded { worker: "answer" })?;
            }
            Effect::Ingest { root, path } => {
                debug!(path = %path.display(), "reading");
                self.workers
                    .ingest
                    .jobs
                    .send(ingest::Job { root, path })
                    .map_err(|_| RunError::WorkerEnded { worker: "ingest" })?;
            }
            Effect::Look { root, path } => self.workers.watch.look(root, path),
            Effect::Scan => self.workers.watch.scan(),
            Effect::Hold(held) => self.workers.watch.hold(held),
            Effect::Train(order) => {
                info!(training = order.id, reason = order.reason, "training");
                // A former one has ended: the engine orders one at a time.
                let reader = self.store.reader()?;
                let training = train::spawn(order, reader, self.trainer.clone(), self.events.clone());
                self.training = Some(training.map_err(RunError::Thread)?);
            }
            Effect::Serve(version) => self.serve(version)?,
            Effect::Shadow(version) => {
                let head = version.map(|version| self.head(version)).transpose()?.flatten();
                self.serving.shadow(head);
            }
            Effect::Learn(ids) => self.workers.online.learn(ids),
            Effect::Settle(before) => self.workers.online.fold_in_labels(before),
            Effect::Review { since } => self.workers.online.review(since),
            Effect::Evict { count } => self.workers.online.evict(count),
            Effect::LookForGone => self.workers.online.look_for_gone(),
            Effect::Succeed(order) => self.prepare_backbone(*order)?,
            Effect::ForgetBackbone(sha256) => self.backbone_dir.forget(&sha256),
            Effect::Service(word) => self.notify_systemd(&word),
            Effect::CheckUpdate(manifest) => {
                info!(update = %manifest, "all chunks have arrived");
                let (reader, settings) = (self.store.reader()?, self.trainer.clone());
                update::spawn(*manifest, reader, settings, self.events.clone()).map_err(RunError::Thread)?;
            }
        }
        Ok(())
    }

    /// Notifies the service manager; its watchdog is pinged only while no worker is stuck.
    fn notify_systemd(&mut self, word: &Service) {
        match word {
            Service::Ready => systemd::ready(),
            Service::Reloading => systemd::reloading(),
            Service::Stopping => systemd::stopping(),
            Service::Status(words) => systemd::status(words),
            Service::Alive => match self.heartbeats.stuck(systemd::watchdog_timeout()) {
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
                    self.feedback.push(Event::Fault { source: "watchdog", reason });
                }
                Some(_) => {}
            },
        }
    }

    /// Starts to prepare another backbone, in place of one that was being prepared.
    fn prepare_backbone(&mut self, order: SuccessionOrder) -> Result<(), RunError> {
        if let Some(former) = self.backbone_swap.take() {
            former.cancel();
        }
        info!(backbone = order.name, "preparing another backbone");
        let parts = backbone_swap::Parts {
            order,
            reader: self.store.reader()?,
            dir: self.backbone_dir.clone(),
            trainer: self.trainer.clone(),
            events: self.events.clone(),
        };
        self.backbone_swap = Some(backbone_swap::spawn(parts).map_err(RunError::Thread)?);
        Ok(())
    }

    /// Puts a head in service; one whose file cannot be read is reported, and the one before it stays.
    fn serve(&mut self, version: Option<u64>) -> Result<(), RunError> {
        let champion = match version {
            None => None,
            Some(version) => {
                let Some(record) = self.head(version)? else {
                    let reason = "its file is not in the store or cannot be read; the log says why".to_owned();
                    self.feedback.push(Event::ServingFailed { version, reason });
                    return Ok(());
                };
                info!(head = %record.head, classes = record.dense.classes.len(), "in service");
                Some(Arc::new(record))
            }
        };
        self.serving.set(champion.clone());
        self.workers.online.serve(champion);
        Ok(())
    }

    /// A stored head; `None`, and a line in the log, when it is missing or cannot be read.
    fn head(&self, version: u64) -> Result<Option<HeadRecord>, RunError> {
        let Some(stored) = self.reader.head(version)? else {
            warn!(version, "the head to serve is not in the store");
            return Ok(None);
        };
        let record = HeadRecord::from_bytes(&stored.bytes);
        if let Err(error) = &record {
            error!(head = %stored.info.head, error = error_chain(error), "cannot serve; retrain or roll back");
        }
        Ok(record.ok())
    }

    /// The current metrics of the system.
    pub fn vitals(&self) -> Result<Vitals, RunError> {
        Ok(os::measure(self.reader.counts()?.store_bytes))
    }
}
