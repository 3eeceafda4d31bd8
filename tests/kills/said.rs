//! What the daemon said, and whether its state folder still knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use edgetuned::wire::UpdateKind;
use edgetuned::words::{HeadRef, SampleId, TaskId};
use serde_json::{Map, Value};

use crate::daemon::Message;
use crate::kept::Kept;
use crate::life::{Asked, Deeds};
use crate::questions::{Question, task_of};
use crate::states::States;

/// What was heard in one life, in whichever of its processes.
#[derive(Default, Clone)]
pub struct Said {
    /// When it last came online.
    pub online: Option<Instant>,
    pub states: States,
    /// `seq` of each image's prediction in each task.
    predictions: BTreeMap<(TaskId, String), u64>,
    /// `status`, `data` and `error` by transaction.
    answers: BTreeMap<String, Value>,
    /// The head of each training of a task.
    trainings: BTreeMap<(TaskId, u64), Value>,
    /// Trainings whose result has no report of a second phase.
    without_second_phase: BTreeSet<u64>,
    /// How often a second phase was said to run.
    tuning: u64,
    /// The highest version of settings that was taken.
    patch: u64,
    /// Versions of heads from afar that were installed, and why others were not.
    installed: BTreeSet<u64>,
    refused: BTreeSet<String>,
}

impl Said {
    /// Nothing yet, by a daemon that is asked these questions.
    pub fn new(questions: &[Question]) -> Self {
        Self { states: States::new(questions), ..Self::default() }
    }

    /// Takes a message in; what is said again is the same again.
    pub fn hear(&mut self, message: &Message) {
        let json = &message.json;
        let (task, topic) = task_of(&message.topic);
        // An event names its task beside what happened.
        let of = json["task"].as_str().map_or(task.clone(), |task| task.parse().unwrap());
        if let Err(untrue) = self.states.hear(&of, topic, json) {
            panic!("{}: {untrue}", message.topic);
        }
        match topic {
            "status" if json == "online" && !message.retained => self.online = Some(message.at),
            "prediction" => {
                let image = json["image"].as_str().unwrap().to_owned();
                let seq = json["seq"].as_u64().unwrap();
                let first = *self.predictions.entry((task, image)).or_insert(seq);
                assert_eq!(first, seq, "predicted twice: {json}");
            }
            "config/reported" if json["state"] == "trial" => {
                self.patch = self.patch.max(json["version"].as_u64().unwrap_or(0));
            }
            "update/head/state" => {
                self.installed
                    .extend(json["installed_version"].as_str().and_then(|version| version.parse::<u64>().ok()));
                self.refused.extend(json["error"]["code"].as_str().map(str::to_owned));
            }
            "train/state" if json["phase"] == "tuning" => self.tuning += 1,
            "train/result" => {
                let training = json["training"].as_u64().unwrap();
                if !json["tune_reason"].is_string() {
                    self.without_second_phase.insert(training);
                }
                let head = self.trainings.entry((task, training)).or_insert_with(|| json["head"].clone());
                assert_eq!(*head, json["head"], "one training, two heads: {json}");
            }
            topic if topic.starts_with("response/") => self.hear_answer(json),
            _ => {}
        }
    }

    fn hear_answer(&mut self, json: &Value) {
        // Not done and not remembered: it may be asked again.
        if json["error"]["code"] == "busy" {
            return;
        }
        let Some(transaction) = json["transaction"].as_str() else { return };
        let members = ["status", "data", "error"].into_iter().filter_map(|name| Some((name, json.get(name)?.clone())));
        let answer = Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>());
        let first = self.answers.entry(transaction.to_owned()).or_insert_with(|| answer.clone());
        assert_eq!(*first, answer, "transaction {transaction} got two answers");
    }

    pub fn answers(&self, transaction: &str) -> bool {
        self.answers.contains_key(transaction)
    }

    pub fn predicts(&self, task: &TaskId, image: SampleId) -> bool {
        self.predictions.contains_key(&(task.clone(), image.to_string()))
    }

    /// Whether every training of these transactions that was accepted has its result.
    pub fn has_trained(&self, deeds: &Deeds) -> bool {
        self.accepted(deeds).all(|(task, training)| self.trainings.contains_key(&(task.clone(), training)))
    }

    /// Trainings that were accepted, each with its task.
    fn accepted<'a>(&'a self, deeds: &'a Deeds) -> impl Iterator<Item = (&'a TaskId, u64)> {
        deeds.asked.iter().filter_map(|(transaction, asked)| match asked {
            Asked::Training(task) => Some((task, self.answers.get(transaction)?["data"]["training"].as_u64()?)),
            Asked::Label(..) => None,
        })
    }

    /// Trainings that were accepted and have no result.
    pub fn not_ended(&self, deeds: &Deeds) -> Vec<u64> {
        let open =
            self.accepted(deeds).filter(|(task, training)| !self.trainings.contains_key(&((*task).clone(), *training)));
        open.map(|(_, training)| training).collect()
    }

    /// As if the result of a training of the default task had never been heard.
    pub fn forget_result(&mut self, training: u64) {
        self.trainings.remove(&(TaskId::default(), training));
    }

    /// How often a second phase was said to run.
    pub fn tuning(&self) -> u64 {
        self.tuning
    }

    /// The trainings so far were to have no second phase.
    pub fn forget_first_phase(&mut self) {
        self.without_second_phase.clear();
    }

    /// Trainings whose result has no report of a second phase.
    pub fn without_second_phase(&self) -> &BTreeSet<u64> {
        &self.without_second_phase
    }

    pub fn trainings(&self) -> usize {
        self.trainings.len()
    }

    pub fn patches(&self) -> u64 {
        self.patch
    }

    /// Heads from afar that were installed, and reasons for which others were not: which of them depends on whether a
    /// training was faster.
    pub fn updates(&self) -> usize {
        self.installed.len() + self.refused.len()
    }

    pub fn told(&self) -> String {
        let (states, unknown) = self.states.count();
        let states = if states > 0 { format!(", {states} states, {unknown} of them unknown") } else { String::new() };
        format!(
            "{} predictions, {} answers, {} trainings{states}, settings up to version {}, heads from afar {:?} installed, \
             others refused for {:?}",
            self.predictions.len(),
            self.answers.len(),
            self.trainings.len(),
            self.patch,
            self.installed,
            self.refused
        )
    }

    /// Whether the state folder knows all of it, and no label that was not given.
    pub fn is_in(&self, kept: &Kept, deeds: &Deeds) -> Result<(), String> {
        self.predictions_are_in(kept)?;
        self.answers_are_in(kept)?;
        self.labels_are_in(kept, deeds)?;
        self.trainings_are_in(kept, deeds)?;
        let snapshot = &kept.snapshot;
        if snapshot.twin.applied_version < self.patch {
            return Err(format!("settings {} were taken, {} are known", self.patch, snapshot.twin.applied_version));
        }
        let known = &snapshot.updates[&UpdateKind::Head].memory;
        let held = known.installed.as_ref().map_or(0, |held| held.version);
        match self.installed.last() {
            Some(version) if held < *version && !known.failed.contains(version) => {
                Err(format!("update {version} was installed, and nothing is known of it: {known:?}"))
            }
            _ => Ok(()),
        }
    }

    fn predictions_are_in(&self, kept: &Kept) -> Result<(), String> {
        let of_task = |(task, stored): (&TaskId, &edgetuned::engine::StoredTask)| {
            let samples = stored.samples.iter().map(|sample| sample.id.to_string());
            samples.map(|image| (task.clone(), image)).collect::<Vec<_>>()
        };
        let samples: BTreeSet<(TaskId, String)> = kept.snapshot.tasks.iter().flat_map(of_task).collect();
        match self.predictions.iter().find(|(sample, _)| !samples.contains(sample)) {
            Some(((task, image), _)) => Err(format!("image {image} was predicted and is no sample of {task}")),
            None => Ok(()),
        }?;
        match self.predictions.iter().find(|(_, seq)| **seq > kept.snapshot.seq) {
            Some((_, seq)) => Err(format!("{seq} was the number of a prediction and is free")),
            None => Ok(()),
        }
    }

    fn answers_are_in(&self, kept: &Kept) -> Result<(), String> {
        let remembered: BTreeMap<&str, Value> = (kept.snapshot.ledger.iter())
            .map(|entry| (entry.transaction.as_str(), serde_json::from_slice(&entry.answer).unwrap()))
            .collect();
        for (transaction, answer) in &self.answers {
            let found = remembered.get(transaction.as_str()).unwrap_or(&Value::Null);
            if ["status", "data", "error"].iter().any(|name| found.get(*name) != answer.get(*name)) {
                return Err(format!("transaction {transaction} was answered {answer}, and {found} is remembered"));
            }
        }
        Ok(())
    }

    /// A label is acknowledged by the answer to its request, or by the prediction of its image in a class folder.
    fn labels_are_in(&self, kept: &Kept, deeds: &Deeds) -> Result<(), String> {
        kept.has_no_other_labels(deeds)?;
        let requested = deeds.asked.iter().filter_map(|(transaction, asked)| match asked {
            Asked::Label(task, id, label) if self.answers.get(transaction)?["status"] == "ok" => {
                Some((task, *id, label))
            }
            _ => None,
        });
        let sorted = deeds.labels.iter().filter_map(|((task, id), label)| {
            (deeds.sorted.contains(&(task.clone(), *id)) && self.predicts(task, *id)).then_some((task, *id, label))
        });
        match requested.chain(sorted).find(|(task, id, label)| !kept.has_label(task, *id, label)) {
            Some((task, id, label)) => Err(format!("image {id} was labelled {label} in {task}, and that is not known")),
            None => Ok(()),
        }
    }

    /// A head whose training has a result is there, unless it was one too many; an order has its number.
    fn trainings_are_in(&self, kept: &Kept, deeds: &Deeds) -> Result<(), String> {
        for ((task, training), head) in &self.trainings {
            let (stored, head) = (kept.task(task), serde_json::from_value::<HeadRef>(head.clone()).unwrap());
            let is_deleted = stored.training.deleted_version.is_some_and(|deleted| head.version <= deleted);
            if !is_deleted && !stored.heads.iter().any(|kept| kept.head == head) {
                return Err(format!("training {training} of {task} made {head}, which is not known"));
            }
        }
        let said = self.trainings.keys().map(|(task, training)| (task, *training));
        match said.chain(self.accepted(deeds)).find(|(task, training)| kept.task(task).training.next_id < *training) {
            Some((task, training)) => Err(format!("training {training} of {task} was accepted, and is not known")),
            None => Ok(()),
        }
    }
}
