//! The training worker: from the store's labels to a challenger and a verdict, on a thread of its own.
//!
//! It reads, fits and compares; what follows from the verdict is the engine's matter. A training that panics has failed
//! and is reported; the daemon goes on with the head in service.

use std::sync::mpsc::SyncSender;

use super::belief::Origins;
use super::job::{self, AnyError, Control, Job, fit};
use super::tuning::{self, Phases, Pictures, TunerSettings};
use crate::daemon::throttle::ThrottleSettings;
use crate::engine::{Event, TrainerEvent, TrainingOrder, TrainingOutcome};
use crate::eval::belief::disbelieved;
use crate::eval::gate::Rules;
use crate::eval::label_errors::label_errors;
use crate::eval::{Comparison, calibrate, held_out_answers};
use crate::head::{BackboneRef, DenseHead, HeadRecord};
use crate::shared::training_data;
use crate::store::{Reader, StoreError, StoredHead};
use crate::train;
use crate::wire::TrainingPhase;
use crate::words::{EmbeddingSpace, Region, TaskId, Timestamp, error_chain};

/// What every training of a task needs.
#[derive(Debug, Clone)]
pub(crate) struct TrainerSettings {
    pub task: TaskId,
    pub fit: train::Settings,
    pub rules: Rules,
    pub backbone: BackboneRef,
    /// Of the embeddings that the task looks at.
    pub space: EmbeddingSpace,
    /// Widths of the parts of an embedding.
    pub parts: Vec<usize>,
    /// The largest number of samples in a training.
    pub max_samples: usize,
    pub throttle: ThrottleSettings,
    /// Of a second phase.
    pub tuner: TunerSettings,
}

/// Starts a training of the task of `settings`, whose challenger gets this version; it ends with
/// [`TrainerEvent::Finished`] or [`TrainerEvent::Failed`], unless it is cancelled.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn spawn(
    order: TrainingOrder,
    version: u64,
    reader: Reader,
    settings: TrainerSettings,
    events: SyncSender<Event>,
) -> std::io::Result<Job> {
    let (throttle, task) = (settings.throttle, settings.task.clone());
    let run = TrainingRun { reader, settings, events: events.clone() };
    let work = move |control: &Control| run.run(order, version, control);
    job::spawn("train", throttle, events, work, |result| {
        let event = match result {
            Ok(Ok(Some(outcome))) => TrainerEvent::Finished(Box::new(outcome)),
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => TrainerEvent::Failed { reason: error_chain(&*error) },
            Err(panicked) => TrainerEvent::Failed { reason: panicked.to_string() },
        };
        Some(Event::Trainer(task, event))
    })
}

struct TrainingRun {
    reader: Reader,
    settings: TrainerSettings,
    events: SyncSender<Event>,
}

impl TrainingRun {
    /// The challenger and its verdict; `None` when it was cancelled.
    fn run(self, order: TrainingOrder, version: u64, control: &Control) -> Result<Option<TrainingOutcome>, AnyError> {
        let Self { reader, settings, events } = self;
        let task = &settings.task;
        // Progress is dropped when the queue is full.
        let report = |phase: TrainingPhase, progress: f64| {
            let _ = events.try_send(Event::Trainer(task.clone(), TrainerEvent::Progress { phase, progress }));
        };
        let labelled = training_data::labelled(&reader, task, settings.max_samples, settings.fit.seed)?;
        let data = training_data::dataset(labelled, settings.space)?.in_parts(&settings.parts);
        let data = training_data::with_replay(&reader, task, data, settings.max_samples)?;
        let (against, champion) = champion(&reader, task, settings.space)?;
        let region = reader.spaces().first(task).map_or(Region::WHOLE, |(region, _)| region.clone());
        let origins = Origins::read(&reader, task, &data)?;
        let is_tuned = champion.as_ref().is_some_and(|champion| champion.tuning.is_some());
        let needs_pictures = order.tune || is_tuned;
        let prior = prior(champion.as_ref(), settings.space);
        let data = match prior.clone().filter(|_| !needs_pictures && settings.fit.kind.builds_on_a_head()) {
            Some(prior) => data.building_on(prior),
            None => data,
        };
        let pictures =
            needs_pictures.then(|| Pictures::of(&reader, task, &data, &settings.tuner.folder)).transpose()?;
        // The rest takes longer than a stop waits, which leaves the store in one file when nobody reads it any more.
        drop(reader);
        let until = if order.tune { 0.1 } else { 0.9 };
        let progress = |done: f64| report(TrainingPhase::Fitting, done * until);
        let Some(fitted) = fit(&data, &settings.fit, control, progress)? else { return Ok(None) };
        let disbelieved = champion.as_ref().map(|champion| disbelieved(&data, &origins.given, champion, &fitted));
        let disbelieved = disbelieved.unwrap_or_default();
        let left_out = origins.report(&data, &disbelieved);
        let (data, fitted) = match disbelieved.believed(&data).filter(|_| left_out.is_some()) {
            None => (data, fitted),
            Some(believed) => {
                let Some(fitted) = fit(&believed, &settings.fit, control, progress)? else { return Ok(None) };
                (believed, fitted)
            }
        };
        let tuned = |done: f64| report(TrainingPhase::Tuning, until + done * (0.9 - until));
        let first = Phases { data, fitted, tuning: None, report: None };
        let phases = if order.tune {
            tuning::with_second_phase(first, version, pictures.as_ref(), &settings, control, tuned)?
        } else {
            Some(first)
        };
        let Some(Phases { data, fitted, tuning, report: second }) = phases else { return Ok(None) };
        report(TrainingPhase::Evaluating, 0.9);
        let challenger = (&data, &fitted, version);
        let compared = tuning::compare_with(challenger, champion.as_ref(), pictures.as_ref(), &settings, control)?;
        let Some(mut comparison) = compared else { return Ok(None) };
        if let Some(verdict) = champion.as_ref().and_then(|champion| disbelieved.verdict(version, champion)) {
            comparison.verdict = verdict;
        }
        let suspects = label_errors(&data, &fitted.dense, &fitted.heldout);
        let suspicious_labels = suspects.iter().filter(|suspect| suspect.flagged).count() as u64;
        let answers = held_out_answers(&data, &fitted);
        let calibration = calibrate(&data, &fitted, settings.fit.seed);
        let created = Timestamp(jiff::Timestamp::now().as_millisecond());
        let backbone = settings.backbone;
        let challenger = fitted.into_record(version, created, backbone, comparison.challenger, calibration);
        let challenger = HeadRecord { region, tuning, prior, ..challenger };
        let Comparison { champion, verdict, changes, .. } = comparison;
        Ok(Some(TrainingOutcome {
            order,
            challenger,
            champion,
            against,
            verdict,
            changes,
            suspicious_labels,
            left_out,
            answers,
            second,
        }))
    }
}

/// The fleet's head that trainings build on, unless it reads other embeddings. A second phase does not: it moves what the fleet's
/// weights are of.
fn prior(champion: Option<&HeadRecord>, space: EmbeddingSpace) -> Option<DenseHead> {
    champion.and_then(|champion| champion.prior.clone()).filter(|prior| prior.space == space)
}

/// The version of a task's champion, unless it reads other embeddings, and the champion itself, unless its file is damaged.
pub(super) fn champion(
    reader: &Reader,
    task: &TaskId,
    space: EmbeddingSpace,
) -> Result<(Option<u64>, Option<HeadRecord>), StoreError> {
    let stored = reader.champion(task)?.filter(|stored| stored.info.space == space);
    Ok(stored.as_ref().map_or((None, None), champion_of))
}

/// A champion whose file is damaged is compared with nothing, but is the one that serves; the log says why.
pub(super) fn champion_of(StoredHead { info, bytes }: &StoredHead) -> (Option<u64>, Option<HeadRecord>) {
    let record = HeadRecord::from_bytes(bytes);
    if let Err(error) = &record {
        tracing::error!(head = %info.head, error = error_chain(error), "the champion's file cannot be read");
    }
    (Some(info.head.version), record.ok())
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
