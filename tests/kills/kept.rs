//! The state folder as a kill left it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use edgetuned::engine::{Snapshot, StoredTask};
use edgetuned::head::{BackboneRef, HeadRecord};
use edgetuned::store::{OpenOptions, Precision, Reader, Store};
use edgetuned::words::{EmbeddingSpace, Label, SampleId, TaskId};
use tempfile::TempDir;

use crate::life::Deeds;
use crate::questions::{self, Question};

/// What a state folder has, of a daemon that is not running.
pub struct Kept {
    pub snapshot: Snapshot,
    pub reader: Reader,
    /// The labels of each task.
    pub labels: BTreeMap<(TaskId, SampleId), Label>,
    _copy: TempDir,
}

impl Kept {
    /// Looks at a copy, so that the next start finds the folder as the kill left it.
    pub fn open(state: &Path, questions: &[Question], whole: EmbeddingSpace) -> Result<Self, String> {
        let copy = tempfile::tempdir().unwrap();
        for file in ["edgetuned.db", "edgetuned.db-wal", "edgetuned.redo", "seq"] {
            if let Err(error) = fs::copy(state.join(file), copy.path().join(file)) {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{file}: {error}");
            }
        }
        let backbone = BackboneRef { name: "default".into(), sha256: whole.backbone, dim: whole.dim };
        let spaces = questions::spaces(questions, whole);
        let options = OpenOptions { spaces, backbone: &backbone, precision: Precision::F16 };
        let store = Store::open(copy.path(), &options).map_err(|error| format!("it does not open: {error}"))?;
        let snapshot = store.snapshot().map_err(|error| format!("it cannot be read: {error}"))?;
        let connection = rusqlite::Connection::open(copy.path().join("edgetuned.db")).unwrap();
        let check: String = connection.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
        if check != "ok" {
            return Err(check);
        }
        let reader = store.reader().unwrap();
        for question in questions {
            let Some(head) = reader.champion(&question.task).unwrap() else { continue };
            let record =
                HeadRecord::from_bytes(&head.bytes).map_err(|error| format!("the head in service: {error}"))?;
            if record.frozen().space != question.space(whole) {
                return Err(format!("the head in service of {} is of another backbone or region", question.task));
            }
        }
        let labels = snapshot.tasks.iter().flat_map(|(task, stored)| {
            let label = |(label, _): &(Label, _)| label.clone();
            stored
                .samples
                .iter()
                .filter_map(move |sample| Some(((task.clone(), sample.id), sample.label.as_ref().map(label)?)))
        });
        let labels = labels.collect();
        Ok(Self { snapshot, reader, labels, _copy: copy })
    }

    /// What a task knows.
    pub fn task(&self, task: &TaskId) -> StoredTask {
        self.snapshot.tasks.get(task).cloned().unwrap_or_default()
    }

    /// Whether an image has this label in this task, or will have it when it comes.
    pub fn has_label(&self, task: &TaskId, id: SampleId, label: &str) -> bool {
        let digits = id.to_string();
        let waits = self.snapshot.awaited.iter().any(|awaited| {
            awaited.task == *task && digits.starts_with(&awaited.prefix) && awaited.label.as_str() == label
        });
        waits || self.labels.get(&(task.clone(), id)).is_some_and(|has| has.as_str() == label)
    }

    /// Whether every label, of a sample or waiting for one, was given to its image in its task.
    pub fn has_no_other_labels(&self, deeds: &Deeds) -> Result<(), String> {
        for ((task, id), label) in &self.labels {
            if deeds.labels.get(&(task.clone(), *id)).is_none_or(|given| given != label.as_str()) {
                return Err(format!("image {id} has the label {label} in {task}, which nobody gave"));
            }
        }
        for awaited in &self.snapshot.awaited {
            let is_it = |((task, id), given): (&(TaskId, SampleId), &String)| {
                *task == awaited.task && id.to_string().starts_with(&awaited.prefix) && given == awaited.label.as_str()
            };
            if !deeds.labels.iter().any(is_it) {
                return Err(format!("a label waits that nobody gave: {awaited:?}"));
            }
        }
        Ok(())
    }
}
