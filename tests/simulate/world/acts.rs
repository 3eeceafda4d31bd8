//! What is done with a step: one commit, then its acts in their order, with a crash possible between any two.

use edgetuned::engine::{Act, AdapterEvent, Event, Next, Review, Step, TaskAct, UNDER_WAY_MAX};
use edgetuned::words::{SampleId, TaskId};

use super::World;
use super::workers::Work;

impl World {
    /// One transaction for all writes, then the acts; the process may die before, between and after.
    pub(super) fn apply(&mut self, step: Step) {
        if self.happens(self.crash_probability()) {
            return self.crash();
        }
        let Step { writes, acts, then, .. } = step;
        let (acts, then) = if self.is_full {
            self.made_durable(writes, acts, then)
        } else {
            self.model.commit(&writes);
            (acts, then)
        };
        let (processes, boots) = (self.processes, self.boots);
        // Nothing depends on a line in the journal, so no crash is drawn for it.
        for act in acts.into_iter().filter(|act| !matches!(act, Act::LogEvent(_))) {
            if self.happens(self.crash_probability()) {
                return self.crash();
            }
            self.act(act);
        }
        if then != Next::Continue && self.happens(self.crash_probability()) {
            return self.crash();
        }
        match then {
            Next::Continue => {}
            Next::Restart => self.restart(),
            Next::Exit => {
                self.counts.stops += 1;
                self.note_deliveries();
                self.process_ends();
            }
        }
        if self.is_full && self.processes == processes {
            self.check_batch();
            if self.boots == boots && self.storage.waits_since().is_none() {
                self.check_live();
            }
        }
    }

    #[allow(clippy::too_many_lines, reason = "a few lines for each kind of act")]
    fn act(&mut self, act: Act) {
        if self.is_traced && !matches!(act, Act::Publish { .. } | Act::Stat { .. } | Act::Systemd(_)) {
            eprintln!("        {act:.200?}");
        }
        match act {
            // The simulated cameras send as they like.
            Act::SendOutbox | Act::Systemd(_) | Act::LogEvent(_) | Act::Burst(_) => {}
            // Nobody watches.
            Act::Show { .. } => unreachable!("no client began to watch"),
            Act::IngestFrame { source } => self.read_frame(source),
            Act::IngestPicture { id } => self.read_picture(id),
            Act::AdaptToBroker(terms) => self.adapt(*terms),
            Act::Publish { topic, payload } => {
                if self.is_full {
                    self.receive(&topic, payload);
                }
            }
            Act::PauseScans(held) => self.listings_are_held = held && self.is_full,
            Act::Task(task, TaskAct::FoldInLabels(before)) => {
                if self.is_full {
                    self.fold_in(&task, before);
                }
            }
            Act::CheckFiles(images) => self.check_files(images),
            Act::PrepareBackbone(order) => self.begin_preparation(*order),
            Act::DeleteBackbone(sha256) => self.delete_backbone(sha256),
            Act::Ack(ticket) => self.acknowledged(ticket),
            Act::Answer { ticket, response } => {
                assert!(self.waiting.remove(&ticket), "ticket {ticket} was answered twice, or never given");
                if self.is_full {
                    self.check_tuning_answer(&serde_json::to_value(&*response).expect("plain fields"));
                }
                self.answered.push(*response);
            }
            Act::Query { job, query } => {
                self.under_way += 1;
                assert!(self.under_way <= UNDER_WAY_MAX, "the answering worker's queue is bounded");
                self.answer_query(job, &query);
            }
            Act::Ingest { root, path } => {
                assert!(self.in_flight.insert(path.clone()), "{} was handed to the worker twice", path.display());
                assert!(self.in_flight.len() <= 8, "the worker's queue is bounded");
                self.check_open(&path);
                let ingested = self.read(root, path);
                self.later(2_000, Event::Ingest(ingested));
            }
            Act::Stat { root, path } => self.stat(root, path),
            Act::Rescan => self.scan(),
            Act::FindUnseen { after, limit } => self.find_unseen(after, limit),
            Act::Task(task, TaskAct::Train { order, version }) if self.is_full => {
                self.training_begins(&task, &order);
                self.work_within(300, Work::Train(task, order, version));
            }
            Act::Task(_, TaskAct::Train { order, version }) => {
                let outcome = self.train(order, version);
                self.later(5_000, outcome);
            }
            Act::Task(task, TaskAct::Shadow(version)) => {
                let heads = &self.model.of(&task).heads;
                let stored = |version: u64| heads.iter().any(|head| head.head.version == version);
                assert!(version.is_none_or(stored), "head {version:?} of {task} is in shadow but is not stored");
                match version {
                    Some(version) => _ = self.shadow.insert(task, version),
                    None => _ = self.shadow.remove(&task),
                }
            }
            Act::Task(task, TaskAct::UpdateOnline(ids)) => {
                // A sample may go in the same commit.
                let known = |id: &SampleId| self.model.samples.contains(id) || self.observed.was_let_go(id);
                assert!(ids.iter().all(known), "only what is stored can be learned");
                for id in &ids {
                    self.observed.untold.remove(&(task.clone(), *id));
                }
                self.learn_after_all(&ids);
            }
            Act::Task(task, TaskAct::JudgeAgain(image)) => self.judge_again(task, image),
            Act::Task(task, TaskAct::Review { .. }) if self.is_full => self.review(task),
            Act::Task(_, TaskAct::Review { .. }) => {
                self.later(3_000, Event::Adapter(AdapterEvent::ReviewListReady(TaskId::default(), Review::default())));
            }
            Act::Evict { count } => self.look_for_evictable(count),
            Act::VerifyUpdate { task, manifest, version } => {
                self.work_within(500, Work::Verify(task, manifest, version));
            }
            Act::Task(task, TaskAct::Serve(version)) => self.serve(task, version),
            Act::Task(task, TaskAct::Resume(version)) => self.serve(task, Some(version)),
        }
    }

    /// A head comes into service; one whose file cannot be read does not, and the one before it goes on.
    fn serve(&mut self, task: TaskId, version: Option<u64>) {
        let Some(version) = version else {
            self.serving.remove(&task);
            return;
        };
        let heads = &self.model.of(&task).heads;
        let head = heads.iter().map(|head| &head.head).find(|head| head.version == version).cloned();
        let Some(head) = head else {
            // It was replaced and deleted in the commit that this act waited for.
            let champion = self.model.of(&task).champion().map(|head| head.head.version);
            assert_ne!(champion, Some(version), "head {version} of {task} serves but is not stored");
            let reason = "its file is not in the store".into();
            return self.feedback.push(Event::HeadLoadFailed { task, version, reason });
        };
        let key = (task.clone(), version);
        if !self.readable.contains(&key) && !self.damaged.contains(&key) {
            let is_damaged = self.chance(self.chances.damage);
            self.counts.damaged_heads += u64::from(is_damaged);
            if is_damaged {
                self.damaged.insert(key.clone())
            } else {
                self.readable.insert(key.clone())
            };
        }
        if self.damaged.contains(&key) {
            let reason = "its file cannot be read".into();
            return self.feedback.push(Event::HeadLoadFailed { task, version, reason });
        }
        self.serving.insert(task, head);
    }
}
