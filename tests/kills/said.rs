//! What the daemon said, and whether its state folder still knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use edgetuned::engine::Snapshot;
use edgetuned::head::{BackboneRef, HeadRecord};
use edgetuned::store::{OpenOptions, Precision, SpacesInUse, Store};
use edgetuned::wire::UpdateKind;
use edgetuned::words::{EmbeddingSpace, SampleId, TaskId};
use serde_json::{Map, Value};

use crate::daemon::Message;

/// What was heard in one life, in whichever of its processes.
#[derive(Default)]
pub struct Said {
    /// When it last came online.
    pub online: Option<Instant>,
    /// `seq` of each image's prediction.
    predictions: BTreeMap<String, u64>,
    /// `status`, `data` and `error` by transaction.
    answers: BTreeMap<String, Value>,
    trainings: BTreeMap<u64, Value>,
    /// The highest version of settings that was taken.
    patch: u64,
    /// Versions of heads from afar that were installed, and why others were not.
    installed: BTreeSet<u64>,
    refused: BTreeSet<String>,
}

impl Said {
    /// Takes a message in; what is said again is the same again.
    pub fn hear(&mut self, message: &Message) {
        let json = &message.json;
        match message.topic.as_str() {
            "status" if json == "online" && !message.retained => self.online = Some(message.at),
            "prediction" => {
                let image = json["image"].as_str().unwrap().to_owned();
                let seq = json["seq"].as_u64().unwrap();
                let first = *self.predictions.entry(image).or_insert(seq);
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
            "train/result" => {
                let training = json["training"].as_u64().unwrap();
                let head = self.trainings.entry(training).or_insert_with(|| json["head"].clone());
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

    pub fn predicts(&self, image: SampleId) -> bool {
        self.predictions.contains_key(&image.to_string())
    }

    pub fn trainings(&self) -> usize {
        self.trainings.len()
    }

    pub fn patches(&self) -> u64 {
        self.patch
    }

    pub fn installed(&self) -> usize {
        self.installed.len()
    }

    pub fn told(&self) -> String {
        format!(
            "{} predictions, {} answers, {} trainings, settings up to version {}, heads from afar {:?} installed, others refused for {:?}",
            self.predictions.len(),
            self.answers.len(),
            self.trainings.len(),
            self.patch,
            self.installed,
            self.refused
        )
    }

    /// Whether the state folder of a daemon that is not running knows all of it. A copy is looked at, so that the next
    /// start finds the folder as the kill left it.
    pub fn is_kept(&self, state: &Path, space: EmbeddingSpace) -> Result<(), String> {
        let copy = tempfile::tempdir().unwrap();
        for file in ["edgetuned.db", "edgetuned.db-wal"] {
            if let Err(error) = fs::copy(state.join(file), copy.path().join(file)) {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{file}: {error}");
            }
        }
        let backbone = BackboneRef { name: "default".into(), sha256: space.backbone, dim: space.dim };
        let options = OpenOptions { spaces: SpacesInUse::whole(space), backbone: &backbone, precision: Precision::F16 };
        let store = Store::open(copy.path(), &options).map_err(|error| format!("it does not open: {error}"))?;
        let snapshot = store.snapshot().map_err(|error| format!("it cannot be read: {error}"))?;
        let connection = rusqlite::Connection::open(copy.path().join("edgetuned.db")).unwrap();
        let check: String = connection.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
        if check != "ok" {
            return Err(check);
        }
        self.is_in(&snapshot)?;
        let Some(head) = store.reader().unwrap().champion(&TaskId::default()).unwrap() else { return Ok(()) };
        let record = HeadRecord::from_bytes(&head.bytes).map_err(|error| format!("the head in service: {error}"))?;
        if record.dense.space == space { Ok(()) } else { Err("the head in service is of another backbone".into()) }
    }

    fn is_in(&self, snapshot: &Snapshot) -> Result<(), String> {
        let samples: Vec<String> = snapshot.samples.iter().map(ToString::to_string).collect();
        if let Some(image) = self.predictions.keys().find(|image| !samples.contains(image)) {
            return Err(format!("image {image} was predicted and is no sample"));
        }
        let remembered: BTreeMap<&str, Value> = (snapshot.ledger.iter())
            .map(|entry| (entry.transaction.as_str(), serde_json::from_slice(&entry.answer).unwrap()))
            .collect();
        for (transaction, answer) in &self.answers {
            let found = remembered.get(transaction.as_str()).unwrap_or(&Value::Null);
            if ["status", "data", "error"].iter().any(|name| found.get(*name) != answer.get(*name)) {
                return Err(format!("transaction {transaction} was answered {answer}, and {found} is remembered"));
            }
        }
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
}
