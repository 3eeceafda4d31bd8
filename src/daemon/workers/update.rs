//! Verifies a complete update: its bytes against the manifest, and a head against this device's labelled images.
//!
//! It reads and compares; the engine decides what follows. A head file that makes it panic is refused.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::SyncSender;

use sha2::{Digest as _, Sha256};

use super::job::{self, AnyError, Control, Job};
use super::train::{TrainerSettings, champion};
use super::tuning::{self, Pictures};
use crate::engine::{Checked, CheckedHead, Event, UpdateChecked};
use crate::eval::{Comparison, compare_pushed};
use crate::head::{HeadRecord, SpaceMismatch};
use crate::shared::training_data;
use crate::store::{Reader, StoreError};
use crate::train::{BadData, Dataset};
use crate::update::{Code, Contents, Manifest, Refusal};
use crate::words::{Digest, EmbeddingSpace, HeadId, SampleId, error_chain};

/// Stored embeddings that a head must answer before it may serve.
const PROBES: usize = 256;

/// Starts the check; a head in the update gets this version and is for the task of `settings`. It ends with [`Event::Updater`].
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn spawn(
    manifest: Manifest,
    version: u64,
    reader: Reader,
    settings: TrainerSettings,
    events: SyncSender<Event>,
) -> std::io::Result<Job> {
    let (kind, sha256) = (manifest.contents.kind(), manifest.sha256);
    let (throttle, task) = (settings.throttle, settings.task.clone());
    let work = move |control: &Control| check(&manifest, version, &reader, &settings, control);
    job::spawn("update", throttle, events, work, move |result| {
        let outcome = match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                Err(Refusal::new(Code::NotPossible, format!("it cannot be read: {}", error_chain(&error))))
            }
            Err(panicked) => Err(Refusal::new(Code::BadContent, panicked.to_string())),
        };
        Some(Event::Updater(Box::new(UpdateChecked { kind, task, sha256, outcome })))
    })
}

fn check(
    manifest: &Manifest,
    version: u64,
    reader: &Reader,
    settings: &TrainerSettings,
    control: &Control,
) -> Result<Result<Checked, Refusal>, StoreError> {
    match &manifest.contents {
        Contents::Backbone { .. } => Ok(whole(manifest, reader, |_| {})?.map(|()| Checked::Backbone)),
        Contents::Head { space, .. } => {
            let mut bytes = Vec::with_capacity(manifest.size as usize);
            if let Err(refusal) = whole(manifest, reader, |chunk| bytes.extend_from_slice(chunk))? {
                return Ok(Err(refusal));
            }
            match readable(&bytes, version, *space) {
                Ok(record) => Ok(head(record, reader, settings, control)?.map(|head| Checked::Head(Box::new(head)))),
                Err(refusal) => Ok(Err(refusal)),
            }
        }
    }
}

/// Reads all chunks in order; refused unless together they have the size and the SHA-256 of the manifest.
fn whole(manifest: &Manifest, reader: &Reader, mut take: impl FnMut(&[u8])) -> Result<Result<(), Refusal>, StoreError> {
    let (mut hash, mut size, mut next) = (Sha256::new(), 0, 0);
    reader.chunks(manifest.contents.kind(), |n, chunk| {
        size += chunk.len() as u64;
        if n != next || size > manifest.size {
            return ControlFlow::Break(());
        }
        next += 1;
        hash.update(chunk);
        take(chunk);
        ControlFlow::Continue(())
    })?;
    let found = Digest(hash.finalize().into());
    if size == manifest.size && found == manifest.sha256 {
        return Ok(Ok(()));
    }
    let (expected, wanted) = (manifest.sha256.short(), manifest.size);
    let reason = format!(
        "the file that arrived has {size} bytes and SHA-256 {}, the manifest says {wanted} and {expected}; publish the \
         file that was signed, under a new manifest",
        found.short()
    );
    Ok(Err(Refusal::new(Code::Sha256, reason)))
}

/// The head in `bytes` as head `version` of this device, if it reads embeddings of `space`.
fn readable(bytes: &[u8], version: u64, space: EmbeddingSpace) -> Result<HeadRecord, Refusal> {
    let bad = |reason: String| Refusal::new(Code::BadContent, reason);
    let mut record = HeadRecord::from_bytes(bytes).map_err(|error| bad(error_chain(&error)))?;
    record.head.version = version;
    record.frozen().reads(&space).map_err(|error| Refusal::new(Code::WrongBackbone, error.to_string()))?;
    let classes = record.dense.classes.len();
    if classes < 2 {
        return Err(bad(format!("the head knows {classes} classes, at least 2 are needed")));
    }
    Ok(record)
}

/// Runs the head on probe embeddings and stored ones, and compares it with the one in service for its task.
fn head(
    mut record: HeadRecord,
    reader: &Reader,
    settings: &TrainerSettings,
    control: &Control,
) -> Result<Result<CheckedHead, Refusal>, StoreError> {
    let TrainerSettings { task, space, .. } = settings;
    let dim = space.dim;
    let recent = reader.recent(space, PROBES)?;
    let probes = [vec![0.0; dim], vec![1.0; dim], vec![-1.0; dim]];
    let embeddings = probes.iter().map(Vec::as_slice).chain(recent.iter().map(|recent| recent.embedding.as_slice()));
    for embedding in embeddings {
        if let Err(why) = answers(&record, embedding) {
            return Ok(Err(Refusal::new(Code::BadContent, why)));
        }
    }
    if let Err(why) = tuning::tail_runs(&record, &settings.tuner) {
        return Ok(Err(Refusal::new(Code::BadContent, why)));
    }
    let (against, champion) = champion(reader, task, *space)?;
    let labelled = training_data::labelled(reader, task, settings.max_samples, settings.fit.seed)?;
    let data = training_data::dataset(training_data::believed(reader, task, &labelled)?, *space);
    let data = match data {
        Ok(data) => Some(data),
        // Labels of one class, or none, measure nothing.
        Err(BadData::OneClass { .. }) => None,
        Err(error) => return Ok(Err(Refusal::new(Code::NotPossible, error.to_string()))),
    };
    let found = match &data {
        Some(data) => match by_tails(&[Some(&record), champion.as_ref()], data, reader, settings, control) {
            Ok(found) => found,
            Err(error) => return Ok(Err(Refusal::new(Code::NotPossible, error_chain(&*error)))),
        },
        None => BTreeMap::new(),
    };
    let by_tail = |head: &HeadRecord, id: &SampleId| found.get(&head.head.id)?.get(id).cloned();
    let Comparison { challenger, verdict, .. } =
        compare_pushed(data.as_ref(), &record, champion.as_ref(), &by_tail, &settings.rules);
    record.figures = challenger.or(record.figures);
    Ok(Ok(CheckedHead { record, verdict, against }))
}

/// What the tails of these heads make of the images of `data`, by the head.
fn by_tails(
    heads: &[Option<&HeadRecord>],
    data: &Dataset,
    reader: &Reader,
    settings: &TrainerSettings,
    control: &Control,
) -> Result<BTreeMap<HeadId, BTreeMap<SampleId, Vec<f32>>>, AnyError> {
    let pictures = Pictures::of(reader, &settings.task, data, &settings.tuner.folder)?;
    let of = |head: &HeadRecord| {
        Ok((head.head.id.clone(), tuning::by_tail(head, data, &pictures, &settings.tuner, control)?))
    };
    heads.iter().flatten().copied().filter(|head| head.tuning.is_some()).map(of).collect()
}

/// Fails unless every number that the head answers to an embedding is finite.
fn answers(record: &HeadRecord, embedding: &[f32]) -> Result<(), String> {
    let unreadable = |error: SpaceMismatch| error.to_string();
    let mut logits = vec![0.0; record.dense.classes.len()];
    record.dense.logits(embedding, &mut logits).map_err(unreadable)?;
    let p = record.dense.probabilities(embedding).map_err(unreadable)?;
    if let Some(value) = logits.iter().chain(&p).find(|value| !value.is_finite()) {
        return Err(format!("the head computes {value} for an embedding, expected finite numbers"));
    }
    let novelty = record.calibration.novelty.as_ref().map(|novelty| novelty.score(embedding));
    match novelty.filter(|novelty| !novelty.is_finite()) {
        Some(novelty) => {
            Err(format!("the head computes the novelty {novelty} for an embedding, expected a finite number"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
