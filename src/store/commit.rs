//! What each [`Write`] does to the tables.
//!
//! Applying one a second time changes nothing.

use rusqlite::{OptionalExtension, Transaction, params};

use super::Precision;
use super::columns::{self, path_bytes};
use super::error::Fault;
use super::spaces::{SpacesInUse, add_space, listed};
use crate::engine::{
    FileDisposition, FileStamp, HeadStatus, LabelSource, NewSample, OutboxMessage, PendingLabel, Predicted,
    RememberedReply, Write,
};
use crate::head::HeadRecord;
use crate::words::{EmbeddingSpace, Label, SampleId, TaskId, Timestamp};

/// Applies writes inside one transaction.
pub(super) struct Applier<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) in_use: &'a SpacesInUse,
    /// The spaces in use with their numbers.
    pub(super) numbers: &'a [(EmbeddingSpace, i64)],
    pub(super) precision: Precision,
}

impl Applier<'_> {
    pub(super) fn apply(&self, write: &Write) -> Result<(), Fault> {
        match write {
            Write::Sample(sample) => self.sample(sample),
            Write::Embedding { id, space, embedding } => self.embedding(id, space, embedding),
            Write::Look { task, id, space } => self.look(task, id, space, None),
            Write::File { path, stamp, fate } => self.file(path_bytes(path), *stamp, fate),
            Write::Label { task, id, label, source, at, change } => {
                self.label(task, id, label.as_ref(), *source, *at, *change)
            }
            Write::Excluded { task, id, excluded, source, at, change } => {
                self.exclude(task, id, *excluded, *source, *at, *change)
            }
            Write::ChangeUndone { change } => {
                self.run("UPDATE label_history SET undone = 1 WHERE change = ?1", [change])
            }
            Write::Folder { task, id, class, in_doubt } => self.folder(task, id, class.as_ref(), *in_doubt),
            Write::ClassFolders(folders) => self.remember("UPDATE state SET class_folders = ?1", folders),
            Write::PendingLabel(awaited) => self.await_label(awaited),
            Write::DeletePendingLabel { task, prefix } => {
                self.run("DELETE FROM awaited_labels WHERE task = ?1 AND prefix = ?2", params![task, prefix])
            }
            Write::Outbox(message) => self.outbox(message),
            Write::Keep(report) => self.keep(report),
            Write::DeleteMessage { seq } => self.run("DELETE FROM outbox WHERE seq = ?1", [seq]),
            Write::SeqReserved(seq) => self.run("UPDATE state SET seq = max(seq, ?1)", [seq]),
            Write::Reply(entry) => self.ledger(entry),
            Write::DeleteReply { transaction } => {
                self.run(r#"DELETE FROM ledger WHERE "transaction" = ?1"#, [transaction])
            }
            Write::Head { task, record } => self.head(task, record),
            Write::HeadStatus { task, version, status, reason, at } => {
                self.head_status(task, *version, *status, reason, *at)
            }
            Write::TrainingState { task, state } => self.remember_of(task, "training", state),
            Write::Thumbnail { id, jpeg } => self.thumbnail(id, jpeg),
            Write::DeletePicture { id } => {
                self.run("DELETE FROM pictures WHERE sample = (SELECT number FROM samples WHERE image = ?1)", [id])
            }
            Write::DeleteSample { id } => self.evict(id),
            Write::DeleteFile { path } => self.forget_file(path_bytes(path)),
            Write::Statistics { task, file } => self.statistics(task, file),
            Write::DeleteOtherStatistics => self.forget_other_statistics(),
            Write::DeleteHead { task, version } => self.forget_head(task, *version),
            Write::ConfigPatchState(memory) => self.remember("UPDATE state SET twin = ?1", memory),
            Write::BackboneState(memory) => self.remember("UPDATE state SET backbone = ?1", memory),
            Write::DeleteOtherSpaces => {
                let in_use = listed(self.numbers.iter().map(|(_, number)| *number));
                let others = format!("space NOT IN ({in_use}) AND image IN (SELECT image FROM samples)");
                self.run(&format!("DELETE FROM embeddings WHERE {others}"), [])
            }
            Write::LiveState { task, state } => self.remember_of(task, "live", state),
            Write::StateRecord { task, record } => self.remember_of(task, "state", record),
            Write::PurgeTask { task } => self.purge(task),
            Write::BrokerRecord(memory) => self.remember("UPDATE state SET broker = ?1", memory),
            Write::DoubtedTimes(memory) => self.remember("UPDATE state SET doubted = ?1", memory),
            Write::UpdateState { kind, memory } => self.update(*kind, memory),
            Write::Chunk { kind, n, bytes } => self.chunk(*kind, *n, bytes),
            Write::DeleteChunks(kind) => self.run("DELETE FROM chunks WHERE kind = ?1", [kind.as_str()]),
        }
    }

    fn sample(&self, sample: &NewSample) -> Result<(), Fault> {
        self.run(
            "INSERT INTO samples (image, path, source, bytes, arrived_at, burst) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (image) DO NOTHING",
            params![
                sample.id,
                sample.origin.path().map(path_bytes),
                sample.origin.source(),
                sample.bytes,
                sample.arrived_at,
                sample.group
            ],
        )?;
        if let Some(jpeg) = &sample.thumbnail {
            self.thumbnail(&sample.id, jpeg)?;
        }
        if let Some(bytes) = &sample.picture {
            self.run(
                "INSERT INTO pictures (sample, bytes) SELECT number, ?2 FROM samples WHERE image = ?1
                 ON CONFLICT (sample) DO NOTHING",
                params![sample.id, bytes],
            )?;
        }
        for (space, embedding) in &sample.embeddings {
            self.embedding(&sample.id, space, embedding)?;
        }
        sample.looks.iter().try_for_each(|look| self.look(&look.task, &sample.id, &look.space, look.predicted.as_ref()))
    }

    fn thumbnail(&self, id: &SampleId, jpeg: &[u8]) -> Result<(), Fault> {
        self.run(
            "INSERT INTO thumbnails (sample, jpeg) SELECT number, ?2 FROM samples WHERE image = ?1
             ON CONFLICT (sample) DO NOTHING",
            params![id, jpeg],
        )
    }

    fn embedding(&self, id: &SampleId, space: &EmbeddingSpace, embedding: &[f32]) -> Result<(), Fault> {
        let number = self.number(space)?;
        insert_embedding(self.transaction, number, space.dim, self.precision, id, embedding)
    }

    /// What was predicted stays.
    fn look(
        &self,
        task: &TaskId,
        id: &SampleId,
        space: &EmbeddingSpace,
        predicted: Option<&Predicted>,
    ) -> Result<(), Fault> {
        let number = self.number(space)?;
        self.task(task)?;
        self.run(
            "INSERT INTO task_samples (sample, task, space, predicted, probability, predicted_head)
             SELECT number, ?2, ?3, ?4, ?5, ?6 FROM samples WHERE image = ?1
             ON CONFLICT (sample, task) DO UPDATE SET space = ?3 WHERE space IS NOT ?3",
            params![
                id,
                task,
                number,
                predicted.map(|predicted| &predicted.label),
                predicted.map(|predicted| predicted.probability),
                predicted.map(|predicted| predicted.head),
            ],
        )
    }

    /// The number of a space in use.
    fn number(&self, space: &EmbeddingSpace) -> Result<i64, Fault> {
        let known = self.numbers.iter().find(|(known, _)| known == space);
        known.map(|(_, number)| *number).ok_or_else(|| Fault::Refused(format!("{space:?} is not in use")))
    }

    /// Makes the row of a task that others refer to.
    pub(super) fn task(&self, task: &TaskId) -> Result<(), Fault> {
        self.run("INSERT INTO tasks (task) VALUES (?1) ON CONFLICT (task) DO NOTHING", [task])
    }

    fn folder(&self, task: &TaskId, id: &SampleId, class: Option<&Label>, in_doubt: bool) -> Result<(), Fault> {
        self.task(task)?;
        self.run(
            "INSERT INTO task_samples (sample, task, folder, in_doubt)
             SELECT number, ?2, ?3, ?4 FROM samples WHERE image = ?1
             ON CONFLICT (sample, task) DO UPDATE SET folder = ?3, in_doubt = ?4",
            params![id, task, class, in_doubt],
        )
    }

    fn file(&self, path: &[u8], stamp: FileStamp, fate: &FileDisposition) -> Result<(), Fault> {
        let (image, reason) = match fate {
            FileDisposition::Sample(id) => (Some(id), None),
            FileDisposition::Quarantined(reason) => (None, Some(reason)),
        };
        let former = self.image_at(path)?;
        self.run(
            "INSERT INTO files (path, size, mtime_ns, image, reason, ctime_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (path) DO UPDATE SET size = ?2, mtime_ns = ?3, image = ?4, reason = ?5, ctime_ns = ?6, evicted = 0",
            params![path, stamp.size, stamp.mtime_ns, image, reason, stamp.ctime_ns],
        )?;
        former.iter().chain(image).try_for_each(|id| self.path_that_lives(id))
    }

    /// The sample whose bytes the file at `path` had when it was read last.
    fn image_at(&self, path: &[u8]) -> Result<Option<SampleId>, Fault> {
        let mut find = self.transaction.prepare_cached("SELECT image FROM files WHERE path = ?1")?;
        Ok(find.query_row([path], |row| row.get(0)).optional()?.flatten())
    }

    /// The path of a sample is one of its files', and stays as it is while that one is there or there is no other.
    fn path_that_lives(&self, id: &SampleId) -> Result<(), Fault> {
        self.run(
            "UPDATE samples SET path = coalesce((SELECT min(path) FROM files WHERE image = ?1), path)
             WHERE image = ?1 AND NOT EXISTS (SELECT 1 FROM files WHERE files.path = samples.path AND files.image = ?1)",
            [id],
        )
    }

    fn label(
        &self,
        task: &TaskId,
        id: &SampleId,
        label: Option<&Label>,
        source: LabelSource,
        at: Timestamp,
        change: Option<u64>,
    ) -> Result<(), Fault> {
        self.task(task)?;
        let (source_now, at_now) = label.map(|_| (source, at)).unzip();
        let changed = self
            .transaction
            .prepare_cached(
                "INSERT INTO task_samples (sample, task, label, label_source, labelled_at)
                 SELECT number, ?2, ?3, ?4, ?5 FROM samples WHERE image = ?1
                 ON CONFLICT (sample, task) DO UPDATE SET label = ?3, label_source = ?4, labelled_at = ?5",
            )?
            .execute(params![id, task, label, source_now, at_now])?;
        if changed == 0 {
            return Err(Fault::Refused(format!("image {id:?} is to be labelled but is no sample")));
        }
        self.run(
            "INSERT INTO label_history (image, label, source, at, change, task) SELECT ?1, ?2, ?3, ?4, ?5, ?6
             WHERE NOT EXISTS (SELECT 1 FROM label_history WHERE image = ?1 AND label IS ?2 AND source = ?3
                               AND at = ?4 AND change IS ?5 AND task = ?6 AND excluded IS NULL)",
            params![id, label, source, at, change, task],
        )?;
        self.changed_by(change)
    }

    fn exclude(
        &self,
        task: &TaskId,
        id: &SampleId,
        excluded: bool,
        source: LabelSource,
        at: Timestamp,
        change: Option<u64>,
    ) -> Result<(), Fault> {
        let changed = self
            .transaction
            .prepare_cached(
                "UPDATE task_samples SET excluded = ?3
                 WHERE task = ?2 AND sample = (SELECT number FROM samples WHERE image = ?1)",
            )?
            .execute(params![id, task, excluded])?;
        if changed == 0 {
            return Err(Fault::Refused(format!("image {id:?} is to be excluded but is no sample{}", of(task))));
        }
        self.run(
            "INSERT INTO label_history (image, excluded, source, at, change, task) SELECT ?1, ?2, ?3, ?4, ?5, ?6
             WHERE NOT EXISTS (SELECT 1 FROM label_history WHERE image = ?1 AND excluded = ?2 AND source = ?3
                               AND at = ?4 AND change IS ?5 AND task = ?6)",
            params![id, excluded, source, at, change, task],
        )?;
        self.changed_by(change)
    }

    /// No later change gets this number, even when every trace of it is gone.
    fn changed_by(&self, change: Option<u64>) -> Result<(), Fault> {
        self.run("UPDATE state SET changes = ?1 WHERE changes < ?1", [change])
    }

    fn await_label(&self, awaited: &PendingLabel) -> Result<(), Fault> {
        self.task(&awaited.task)?;
        let (former, former_change) = awaited.former.as_ref().map(|(label, change)| (label, *change)).unzip();
        self.run(
            "INSERT OR REPLACE INTO awaited_labels (task, prefix, label, source, at, change, former, former_change)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                awaited.task,
                awaited.prefix,
                awaited.label,
                awaited.source,
                awaited.at,
                awaited.change,
                former,
                former_change
            ],
        )?;
        self.changed_by(awaited.change)
    }

    fn outbox(&self, message: &OutboxMessage) -> Result<(), Fault> {
        self.run(
            "INSERT INTO outbox (seq, topic, payload, made_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (seq) DO NOTHING",
            params![message.seq, message.topic.to_string(), message.payload, message.made_at],
        )
    }

    fn ledger(&self, entry: &RememberedReply) -> Result<(), Fault> {
        self.run(
            r#"INSERT INTO ledger ("transaction", name, answer, at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT ("transaction") DO NOTHING"#,
            params![entry.transaction, entry.name, entry.answer, entry.at],
        )
    }

    fn head(&self, task: &TaskId, record: &HeadRecord) -> Result<(), Fault> {
        self.task(task)?;
        let classes = serde_json::to_string(&record.dense.classes).expect("a list of strings is JSON");
        let space = add_space(self.transaction, &record.frozen().space, &record.backbone.name, None)?;
        self.run(
            "INSERT INTO heads (task, version, id, created, space, backbone, classes, accuracy, status, reason, file)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, '', ?10) ON CONFLICT (task, version) DO NOTHING",
            params![
                task,
                record.head.version,
                record.head.id.0,
                record.created,
                space,
                record.backbone.name,
                classes,
                record.figures.as_ref().map(|figures| figures.accuracy),
                HeadStatus::Kept,
                record.to_bytes(),
            ],
        )
    }

    fn head_status(
        &self,
        task: &TaskId,
        version: u64,
        status: HeadStatus,
        reason: &str,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let promoted_at = (status == HeadStatus::Champion).then_some(at);
        if status == HeadStatus::Champion {
            self.run(
                "UPDATE heads SET status = ?3 WHERE task = ?1 AND status = ?4 AND version <> ?2",
                params![task, version, HeadStatus::Kept, HeadStatus::Champion],
            )?;
        }
        let changed = self
            .transaction
            .prepare_cached(
                "UPDATE heads SET status = ?3, reason = ?4, promoted_at = coalesce(?5, promoted_at)
                 WHERE task = ?1 AND version = ?2",
            )?
            .execute(params![task, version, status, reason, promoted_at])?;
        if changed == 0 {
            let whose = of(task);
            return Err(Fault::Refused(format!("head {version}{whose} changes its status but is not stored")));
        }
        Ok(())
    }

    /// The rows of its files stay, so that a scan skips them.
    fn evict(&self, id: &SampleId) -> Result<(), Fault> {
        self.run("UPDATE files SET image = NULL, evicted = 1 WHERE image = ?1", [id])?;
        self.run("DELETE FROM label_history WHERE image = ?1", [id])?;
        self.run("DELETE FROM embeddings WHERE image = ?1", [id])?;
        for table in ["task_samples", "thumbnails", "pictures"] {
            let of_it = "sample = (SELECT number FROM samples WHERE image = ?1)";
            self.run(&format!("DELETE FROM {table} WHERE {of_it}"), [id])?;
        }
        self.run("DELETE FROM samples WHERE image = ?1", [id])
    }

    fn forget_file(&self, path: &[u8]) -> Result<(), Fault> {
        let image = self.image_at(path)?;
        self.run("DELETE FROM files WHERE path = ?1", [path])?;
        image.iter().try_for_each(|id| self.path_that_lives(id))
    }

    fn statistics(&self, task: &TaskId, file: &[u8]) -> Result<(), Fault> {
        let Some((_, first)) = self.in_use.of(task).first() else {
            return Err(Fault::Refused(format!("statistics{} have no space", of(task))));
        };
        self.task(task)?;
        self.run(
            "INSERT INTO statistics (task, space, file) VALUES (?1, ?2, ?3)
             ON CONFLICT (task, space) DO UPDATE SET file = ?3",
            params![task, self.number(first)?, file],
        )
    }

    fn forget_other_statistics(&self) -> Result<(), Fault> {
        let present = |task: &TaskId| -> Result<Option<String>, Fault> {
            let first = self.in_use.of(task).first();
            first.map(|(_, first)| Ok(format!("('{task}', {})", self.number(first)?))).transpose()
        };
        let present: Vec<String> =
            self.in_use.tasks().filter_map(|task| present(task).transpose()).collect::<Result<_, _>>()?;
        let others = if present.is_empty() {
            String::new()
        } else {
            format!(" WHERE (task, space) NOT IN (VALUES {})", present.join(", "))
        };
        self.run(&format!("DELETE FROM statistics{others}"), [])
    }

    fn forget_head(&self, task: &TaskId, version: u64) -> Result<(), Fault> {
        let mut find =
            self.transaction.prepare_cached("SELECT 1 FROM heads WHERE task = ?1 AND version = ?2 AND status = ?3")?;
        if find.exists(params![task, version, HeadStatus::Champion])? {
            let whose = of(task);
            return Err(Fault::Refused(format!("head {version}{whose} is to be forgotten but is the champion")));
        }
        self.run("DELETE FROM heads WHERE task = ?1 AND version = ?2", params![task, version])
    }

    fn purge(&self, task: &TaskId) -> Result<(), Fault> {
        for table in
            ["task_samples", "label_history", "awaited_labels", "heads", "statistics", "trainings", "events", "tasks"]
        {
            self.run(&format!("DELETE FROM {table} WHERE task = ?1"), [task])?;
        }
        Ok(())
    }

    /// Writes a part of what a task remembers, as JSON, into its row.
    fn remember_of(&self, task: &TaskId, column: &str, memory: &impl serde::Serialize) -> Result<(), Fault> {
        let json = serde_json::to_string(memory).map_err(|error| Fault::Refused(error.to_string()))?;
        self.task(task)?;
        self.run(&format!("UPDATE tasks SET {column} = ?2 WHERE task = ?1"), params![task, json])
    }

    /// Writes a part of the state, as JSON, into its one row.
    fn remember(&self, sql: &str, memory: &impl serde::Serialize) -> Result<(), Fault> {
        let json = serde_json::to_string(memory).map_err(|error| Fault::Refused(error.to_string()))?;
        self.run(sql, [json])
    }

    pub(super) fn run<P: rusqlite::Params>(&self, sql: &str, params: P) -> Result<(), Fault> {
        self.transaction.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }
}

/// What a message adds where there may be several tasks.
fn of(task: &TaskId) -> String {
    if task.is_default() { String::new() } else { format!(" of task {task}") }
}

/// Stores an embedding unless the file has one of this image in this space.
pub(super) fn insert_embedding(
    transaction: &Transaction<'_>,
    space: i64,
    dim: usize,
    precision: Precision,
    id: &SampleId,
    embedding: &[f32],
) -> Result<(), Fault> {
    if embedding.len() != dim {
        let found = embedding.len();
        return Err(Fault::Refused(format!("the embedding of image {id:?} has {found} values, its space {dim}")));
    }
    insert_row(transaction, space, id, &columns::encode_vector(embedding, precision))
}

/// Stores bytes of an image in a space unless the file has some.
pub(super) fn insert_row(transaction: &Transaction<'_>, space: i64, id: &SampleId, bytes: &[u8]) -> Result<(), Fault> {
    transaction
        .prepare_cached("INSERT INTO embeddings (image, space, vector) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![id, space, bytes])?;
    Ok(())
}
