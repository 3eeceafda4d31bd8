//! The training worker: one thread for each training, from the store's labels to a verdict.
//!
//! It reads, fits and compares; what follows from the verdict is the engine's matter. A training that panics has
//! failed and is reported; the daemon goes on with the head that serves. It runs at low priority, waits while the machine
//! is hot or busy, and ends at its time limit ([`crate::daemon::throttle`]).

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Instant;

use super::training_data;
use crate::daemon::throttle::{Throttle, ThrottleSettings};
use crate::engine::{Event, TrainingOrder, TrainingOutcome};
use crate::eval::gate::Rules;
use crate::eval::suspicious::suspicious;
use crate::eval::{Comparison, calibrate, compare};
use crate::head::{BackboneRef, HeadRecord};
use crate::store::{Reader, StoredHead};
use crate::train::{self, FitError};
use crate::wire::TrainingPhase;
use crate::words::{EmbeddingSpace, HeadRef, Timestamp, told};

/// What every training needs.
#[derive(Debug, Clone)]
pub(crate) struct TrainerSettings {
    pub fit: train::Settings,
    pub rules: Rules,
    pub backbone: BackboneRef,
    pub space: EmbeddingSpace,
    /// Samples at most.
    pub max_samples: usize,
    pub throttle: ThrottleSettings,
}

/// A training under way.
pub(crate) struct Training {
    cancelled: Arc<AtomicBool>,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Training {
    /// Starts one; it ends with [`Event::Trained`] or [`Event::TrainingFailed`], unless it is cancelled.
    pub fn spawn(
        order: TrainingOrder,
        reader: Reader,
        settings: TrainerSettings,
        events: SyncSender<Event>,
    ) -> std::io::Result<Self> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&cancelled);
        thread::Builder::new().name("train".into()).spawn(move || {
            settings.throttle.lower_priority();
            let round = Round { reader, settings, events: events.clone(), cancelled: watched };
            let event = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| round.run(order))) {
                Ok(Ok(Some(outcome))) => Event::Trained(Box::new(outcome)),
                Ok(Ok(None)) => return,
                Ok(Err(error)) => Event::TrainingFailed { reason: told(&*error) },
                Err(_) => {
                    Event::TrainingFailed { reason: "it panicked; the log has the place, please report it".into() }
                }
            };
            // Nobody listens only when the daemon ends; the order is then carried out at the next start.
            let _ = events.send(event);
        })?;
        Ok(Self { cancelled })
    }

    /// Asks it to end at its next step. Nobody has to wait for that: it changes nothing outside itself.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

struct Round {
    reader: Reader,
    settings: TrainerSettings,
    events: SyncSender<Event>,
    cancelled: Arc<AtomicBool>,
}

impl Round {
    /// `None` when it was cancelled.
    fn run(&self, order: TrainingOrder) -> Result<Option<TrainingOutcome>, AnyError> {
        let space = self.settings.space;
        let labelled = training_data::labelled(&self.reader, self.settings.max_samples, self.settings.fit.seed)?;
        let data = training_data::remembering(
            &self.reader,
            training_data::dataset(labelled, space)?,
            self.settings.max_samples,
        )?;
        let champion = self.champion()?;
        let started = Instant::now();
        let mut throttle = Throttle::begin(self.settings.throttle);
        let cancelled = || self.cancelled.load(Ordering::Relaxed);
        let mut watch = |progress: train::Progress| {
            self.report(TrainingPhase::Fitting, progress.fraction * 0.9);
            throttle.wait(&cancelled);
            if cancelled() || throttle.is_late() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut fitted = match train::fit(&data, &self.settings.fit, &mut watch) {
            Ok(fitted) => fitted,
            Err(FitError::Cancelled) if cancelled() => return Ok(None),
            Err(FitError::Cancelled) => return Err(throttle.late().into()),
            Err(error) => return Err(error.into()),
        };
        fitted.facts.fit_seconds = started.elapsed().as_secs_f64();
        self.report(TrainingPhase::Evaluating, 0.9);
        let version = self.reader.heads()?.last().map_or(0, |head| head.head.version) + 1;
        let comparison = compare(&data, &fitted, version, champion.as_ref(), &self.settings.rules);
        let suspects = suspicious(&data, &fitted.dense, &fitted.heldout);
        let suspicious_labels = suspects.iter().filter(|suspect| suspect.flagged).count() as u64;
        let calibration = calibrate(&data, &fitted, self.settings.fit.seed);
        let challenger = HeadRecord {
            head: HeadRef { id: fitted.dense.id(), version },
            created: Timestamp(jiff::Timestamp::now().as_millisecond()),
            backbone: self.settings.backbone.clone(),
            dense: fitted.dense,
            training: fitted.facts,
            figures: comparison.challenger,
            heldout: fitted.heldout,
            calibration,
        };
        let Comparison { champion, verdict, changes, .. } = comparison;
        Ok(Some(TrainingOutcome { order, challenger, champion, verdict, changes, suspicious_labels }))
    }

    /// The champion, unless it reads other embeddings or its file is damaged; the log then says so.
    fn champion(&self) -> Result<Option<HeadRecord>, AnyError> {
        let Some(StoredHead { info, bytes }) = self.reader.champion()? else { return Ok(None) };
        if self.settings.space != info.space {
            return Ok(None);
        }
        match HeadRecord::from_bytes(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                tracing::error!(head = %info.head, error = told(&error), "the champion's file cannot be read");
                Ok(None)
            }
        }
    }

    fn report(&self, phase: TrainingPhase, progress: f64) {
        // Progress that nobody has room for is not worth waiting for.
        let _ = self.events.try_send(Event::TrainingProgress { phase, progress });
    }
}
