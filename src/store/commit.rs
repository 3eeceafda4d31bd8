//! What each [`Write`] does to the tables.
//!
//! Applying one a second time changes nothing.

use rusqlite::{OptionalExtension, Transaction, params};

use super::Precision;
use super::columns::{self, path_bytes};
use super::database::add_space;
use super::error::Fault;
use crate::engine::{
    FileDisposition, FileStamp, HeadStatus, LabelSource, NewSample, OutboxMessage, PendingLabel, RememberedReply,
    TrainingState, Write,
};
use crate::head::HeadRecord;
use crate::words::{Label, SampleId, Timestamp};

/// Applies writes inside one transaction.
pub(super) struct Applier<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) space: i64,
    pub(super) dim: usize,
    pub(super) precision: Precision,
}

impl Applier<'_> {
    pub(super) fn apply(&self, write: &Write) -> Result<(), Fault> {
        match write {
            Write::Sample(sample) => self.sample(sample),
            Write::Embedding { id, embedding } => self.embedding(id, embedding),
            Write::File { path, stamp, fate } => self.file(path_bytes(path), *stamp, fate),
            Write::Label { id, label, source, at, change } => self.label(id, label.as_ref(), *source, *at, *change),
            Write::ChangeUndone { change } => {
                self.run("UPDATE label_history SET undone = 1 WHERE change = ?1", [change])
            }
            Write::Folder { id, class, in_doubt } => {
                self.run("UPDATE samples SET folder = ?2, in_doubt = ?3 WHERE image = ?1", params![id, class, in_doubt])
            }
            Write::ClassFolders(folders) => self.remember("UPDATE state SET class_folders = ?1", folders),
            Write::PendingLabel(awaited) => self.await_label(awaited),
            Write::DeletePendingLabel { prefix } => self.run("DELETE FROM awaited_labels WHERE prefix = ?1", [prefix]),
            Write::Outbox(message) => self.outbox(message),
            Write::DeleteMessage { seq } => self.run("DELETE FROM outbox WHERE seq = ?1", [seq]),
            Write::SeqReserved(seq) => self.run("UPDATE state SET seq = max(seq, ?1)", [seq]),
            Write::Reply(entry) => self.ledger(entry),
            Write::DeleteReply { transaction } => {
                self.run(r#"DELETE FROM ledger WHERE "transaction" = ?1"#, [transaction])
            }
            Write::Head(record) => self.head(record),
            Write::HeadStatus { version, status, reason, at } => self.head_status(*version, *status, reason, *at),
            Write::TrainingState(memory) => self.training(memory),
            Write::DeleteSample { id } => self.evict(id),
            Write::DeleteFile { path } => self.forget_file(path_bytes(path)),
            Write::Statistics { file } => self.statistics(file),
            Write::DeleteOtherStatistics => self.run("DELETE FROM statistics WHERE space <> ?1", [self.space]),
            Write::DeleteHead { version } => self.forget_head(*version),
            Write::ConfigPatchState(memory) => self.remember("UPDATE state SET twin = ?1", memory),
            Write::BackboneState(memory) => self.remember("UPDATE state SET backbone = ?1", memory),
            Write::DeleteOtherSpaces => self
                .run("DELETE FROM embeddings WHERE space <> ?1 AND image IN (SELECT image FROM samples)", [self.space]),
            Write::LiveState(memory) => self.remember("UPDATE state SET live = ?1", memory),
            Write::BrokerRecord(memory) => self.remember("UPDATE state SET broker = ?1", memory),
            Write::DoubtedTimes(memory) => self.remember("UPDATE state SET doubted = ?1", memory),
            Write::UpdateState { kind, memory } => self.update(*kind, memory),
            Write::Chunk { kind, n, bytes } => self.chunk(*kind, *n, bytes),
            Write::DeleteChunks(kind) => self.run("DELETE FROM chunks WHERE kind = ?1", [kind.as_str()]),
        }
    }

    fn sample(&self, sample: &NewSample) -> Result<(), Fault> {
        let predicted = sample.predicted.as_ref();
        self.run(
            "INSERT INTO samples (image, path, bytes, arrived_at, burst, predicted, probability, predicted_head)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (image) DO NOTHING",
            params![
                sample.id,
                path_bytes(&sample.path),
                sample.bytes,
                sample.arrived_at,
                sample.group,
                predicted.map(|predicted| &predicted.label),
                predicted.map(|predicted| predicted.probability),
                predicted.map(|predicted| predicted.head),
            ],
        )?;
        self.embedding(&sample.id, &sample.embedding)
    }

    fn embedding(&self, id: &SampleId, embedding: &[f32]) -> Result<(), Fault> {
        insert_embedding(self.transaction, self.space, self.dim, self.precision, id, embedding)
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
        id: &SampleId,
        label: Option<&Label>,
        source: LabelSource,
        at: Timestamp,
        change: Option<u64>,
    ) -> Result<(), Fault> {
        let (source_now, at_now) = label.map(|_| (source, at)).unzip();
        let changed = self
            .transaction
            .prepare_cached("UPDATE samples SET label = ?2, label_source = ?3, labelled_at = ?4 WHERE image = ?1")?
            .execute(params![id, label, source_now, at_now])?;
        if changed == 0 {
            return Err(Fault::Refused(format!("image {id:?} is to be labelled but is no sample")));
        }
        self.run(
            "INSERT INTO label_history (image, label, source, at, change) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS
             (SELECT 1 FROM label_history
              WHERE image = ?1 AND label IS ?2 AND source = ?3 AND at = ?4 AND change IS ?5)",
            params![id, label, source, at, change],
        )?;
        self.changed_by(change)
    }

    /// No later change gets this number, even when every trace of it is gone.
    fn changed_by(&self, change: Option<u64>) -> Result<(), Fault> {
        self.run("UPDATE state SET changes = ?1 WHERE changes < ?1", [change])
    }

    fn await_label(&self, awaited: &PendingLabel) -> Result<(), Fault> {
        let (former, former_change) = awaited.former.as_ref().map(|(label, change)| (label, *change)).unzip();
        self.run(
            "INSERT OR REPLACE INTO awaited_labels (prefix, label, source, at, change, former, former_change)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![awaited.prefix, awaited.label, awaited.source, awaited.at, awaited.change, former, former_change],
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

    fn head(&self, record: &HeadRecord) -> Result<(), Fault> {
        let classes = serde_json::to_string(&record.dense.classes).expect("a list of strings is JSON");
        let space = add_space(self.transaction, &record.dense.space, &record.backbone.name)?;
        self.run(
            "INSERT INTO heads (version, id, created, space, backbone, classes, accuracy, status, reason, file)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, '', ?9) ON CONFLICT (version) DO NOTHING",
            params![
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

    fn head_status(&self, version: u64, status: HeadStatus, reason: &str, at: Timestamp) -> Result<(), Fault> {
        let promoted_at = (status == HeadStatus::Champion).then_some(at);
        if status == HeadStatus::Champion {
            self.run(
                "UPDATE heads SET status = ?2 WHERE status = ?3 AND version <> ?1",
                params![version, HeadStatus::Kept, HeadStatus::Champion],
            )?;
        }
        let changed = self
            .transaction
            .prepare_cached(
                "UPDATE heads SET status = ?2, reason = ?3, promoted_at = coalesce(?4, promoted_at) WHERE version = ?1",
            )?
            .execute(params![version, status, reason, promoted_at])?;
        if changed == 0 {
            return Err(Fault::Refused(format!("head {version} changes its status but is not stored")));
        }
        Ok(())
    }

    fn training(&self, memory: &TrainingState) -> Result<(), Fault> {
        let json = serde_json::to_string(memory).expect("plain fields are JSON");
        self.run("UPDATE state SET training = ?1", [json])
    }

    /// The rows of its files stay, so that a scan skips them.
    fn evict(&self, id: &SampleId) -> Result<(), Fault> {
        self.run("UPDATE files SET image = NULL, evicted = 1 WHERE image = ?1", [id])?;
        self.run("DELETE FROM label_history WHERE image = ?1", [id])?;
        self.run("DELETE FROM embeddings WHERE image = ?1", [id])?;
        self.run("DELETE FROM samples WHERE image = ?1", [id])
    }

    fn forget_file(&self, path: &[u8]) -> Result<(), Fault> {
        let image = self.image_at(path)?;
        self.run("DELETE FROM files WHERE path = ?1", [path])?;
        image.iter().try_for_each(|id| self.path_that_lives(id))
    }

    fn statistics(&self, file: &[u8]) -> Result<(), Fault> {
        self.run(
            "INSERT INTO statistics (space, file) VALUES (?1, ?2) ON CONFLICT (space) DO UPDATE SET file = ?2",
            params![self.space, file],
        )
    }

    fn forget_head(&self, version: u64) -> Result<(), Fault> {
        let mut find = self.transaction.prepare_cached("SELECT 1 FROM heads WHERE version = ?1 AND status = ?2")?;
        if find.exists(params![version, HeadStatus::Champion])? {
            return Err(Fault::Refused(format!("head {version} is to be forgotten but is the champion")));
        }
        self.run("DELETE FROM heads WHERE version = ?1", [version])
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
    transaction
        .prepare_cached("INSERT INTO embeddings (image, space, vector) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![id, space, columns::encode_vector(embedding, precision)])?;
    Ok(())
}
