//! Prepares another backbone while the current one serves: its files, a probe image, the embeddings of every stored
//! image that can still be read, a head for each task fitted on them, and the gate's comparison with what serves.
//!
//! Embeddings are stored under the new backbone's own spaces as they are made, so that a restart continues where it
//! stopped; nothing else changes until the engine accepts the result.

mod embedding;
mod files;

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tracing::info;

use self::embedding::Embedding;
pub(crate) use self::files::BackboneDir;
#[cfg(test)]
use self::files::FOLDER;
use super::job::{self, AnyError, Control, Job, fit};
use super::train::TrainerSettings;
use crate::backbone::OnnxBackbone;
use crate::daemon::throttle::ThrottleSettings;
use crate::engine::{Event, SwapEvent, SwapOrder, SwapPair, SwapResult};
use crate::eval::gate::judge_without_head;
use crate::eval::{Comparison, calibrate, compare_across};
use crate::head::{BackboneRef, HeadRecord};
use crate::ports::Embedder;
use crate::shared::training_data;
use crate::shared::views;
use crate::store::{Reader, SpacesInUse, StoredHead};
use crate::words::{EmbeddingSpace, Region, SampleId, TaskId, Timestamp, error_chain};

/// What the preparation needs.
pub(crate) struct Parts {
    pub order: SwapOrder,
    /// Of the current spaces.
    pub reader: Reader,
    pub dir: BackboneDir,
    /// Of each task.
    pub trainers: BTreeMap<TaskId, TrainerSettings>,
    pub events: SyncSender<Event>,
}

/// Starts to prepare a backbone; it ends with [`SwapEvent::Ready`] or [`SwapEvent::Failed`], unless it is
/// cancelled.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn spawn(parts: Parts) -> std::io::Result<Job> {
    let (events, files) = (parts.events.clone(), parts.order.files);
    let throttle = strictest(parts.trainers.values().map(|trainer| trainer.throttle));
    let work = move |control: &Control| Preparation { parts, control: control.clone() }.run();
    job::spawn("succeed", throttle, events, work, move |result| match result {
        Ok(Ok(Some(succession))) => Some(Event::Swap(SwapEvent::Ready(Box::new(succession)))),
        Ok(Ok(None)) => None,
        Ok(Err(error)) => Some(Event::Swap(SwapEvent::Failed { files, reason: error_chain(&*error) })),
        Err(panicked) => Some(Event::Swap(SwapEvent::Failed { files, reason: panicked.to_string() })),
    })
}

/// When what is for all tasks may be done: when a training of any of them might run. It has no time limit.
fn strictest(each: impl Iterator<Item = ThrottleSettings>) -> ThrottleSettings {
    let none = ThrottleSettings {
        time_limit: Duration::MAX,
        low_priority: false,
        pause_above_c: None,
        pause_above_load: None,
    };
    let least = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).min_by(f64::total_cmp);
    each.fold(none, |all, one| ThrottleSettings {
        low_priority: all.low_priority || one.low_priority,
        pause_above_c: least(all.pause_above_c, one.pause_above_c),
        pause_above_load: least(all.pause_above_load, one.pause_above_load),
        ..all
    })
}

/// The backbone that is prepared.
#[derive(Clone, Copy)]
struct Next<'a> {
    /// Its embeddings of whole pictures.
    whole: EmbeddingSpace,
    /// Widths of the parts of one.
    parts: &'a [usize],
    reference: &'a BackboneRef,
}

struct Preparation {
    parts: Parts,
    control: Control,
}

impl Preparation {
    /// The prepared backbone; `None` when it was cancelled.
    fn run(&self) -> Result<Option<SwapResult>, AnyError> {
        let Parts { order, reader, dir, .. } = &self.parts;
        let manifest = files::stage(order, reader, dir)?;
        let (mut backbone, _) = OnnxBackbone::open_on(&manifest, &dir.execution)?;
        let space = backbone.space();
        let reference = BackboneRef { name: backbone.name().to_owned(), sha256: backbone.sha256(), dim: space.dim };
        info!(backbone = reference.name, dim = reference.dim, "the next backbone answered a probe image");
        let spaces = reader.spaces().of_backbone(space);
        let embedding = Embedding {
            reader,
            folder: &dir.folder,
            precision: dir.precision,
            backbone: &reference,
            spaces: &spaces,
            control: &self.control,
        };
        let report = |embedded, of| self.report(embedded, of);
        let Some((embedded, missing)) = embedding.run(&mut backbone, report)? else { return Ok(None) };
        let parts = backbone.parts();
        drop(backbone);
        let next = Next { whole: space, parts: &parts, reference: &reference };
        let Some(pairs) = self.compare(&spaces, next)? else { return Ok(None) };
        let (files, manifest) = (order.files, manifest.path);
        Ok(Some(SwapResult { files, backbone: reference, manifest, pairs, embedded, missing }))
    }

    /// A head of each task on the new embeddings, with its verdict; `None` when it was cancelled.
    fn compare(&self, spaces: &SpacesInUse, next: Next<'_>) -> Result<Option<Vec<SwapPair>>, AnyError> {
        let fresh = Reader::open(&self.parts.dir.folder, spaces.clone())?;
        let mut pairs = Vec::new();
        for trainer in self.parts.trainers.values() {
            let Some(pair) = self.compare_task(trainer, &fresh, next)? else { return Ok(None) };
            pairs.push(pair);
        }
        Ok(Some(pairs))
    }

    /// A head of one task on the new embeddings, which `fresh` reads, and the gate's verdict against the one in service.
    /// Too few labels make none; it may go without one only where none serves now. `None` when it was cancelled.
    fn compare_task(
        &self,
        trainer: &TrainerSettings,
        fresh: &Reader,
        next: Next<'_>,
    ) -> Result<Option<SwapPair>, AnyError> {
        let Parts { reader, order, .. } = &self.parts;
        let TrainerSettings { task, rules, .. } = trainer;
        let champion = champion(reader, task, trainer.space)?;
        let against = champion.as_ref().map(|champion| champion.head.version);
        let labelled = training_data::labelled(fresh, task, trainer.max_samples, trainer.fit.seed)?;
        let believed = training_data::believed(reader, task, &labelled)?;
        let regions: Vec<Region> = fresh.spaces().of(task).iter().map(|(region, _)| region.clone()).collect();
        let data = training_data::dataset(believed, views::space(&regions, next.whole)).ok();
        let data = data.map(|data| data.in_parts(next.parts));
        let found = regions.into_iter().next().zip(data.filter(|data| data.classes().len() > 1));
        let Some((region, data)) = found else {
            let (task, verdict) = (task.clone(), judge_without_head(against));
            return Ok(Some(SwapPair { task, challenger: None, verdict, against }));
        };
        let version =
            *order.versions.get(task).ok_or_else(|| format!("the order has no version for a head of {task}"))?;
        let control = self.control.within(trainer.throttle);
        let Some(fitted) = fit(&data, &trainer.fit, &control, |_| {})? else { return Ok(None) };
        let before = reader.labelled_of(task, data.ids())?;
        let rows: BTreeMap<SampleId, usize> = before.ids.iter().copied().zip(0..).collect();
        // What its tail makes of an image is not stored.
        let is_tuned = champion.as_ref().is_some_and(|champion| champion.tuning.is_some());
        let old = |id: &SampleId| rows.get(id).filter(|_| !is_tuned).map(|&row| before.embeddings.row(row).to_vec());
        let Comparison { challenger: figures, verdict, .. } =
            compare_across(&data, &fitted, version, champion.as_ref(), &old, rules);
        let calibration = calibrate(&data, &fitted, trainer.fit.seed);
        let created = Timestamp(jiff::Timestamp::now().as_millisecond());
        let challenger = fitted.into_record(version, created, next.reference.clone(), figures, calibration);
        let challenger = Some(HeadRecord { region, ..challenger });
        Ok(Some(SwapPair { task: task.clone(), challenger, verdict, against }))
    }

    fn report(&self, embedded: u64, of: u64) {
        // Progress is dropped when the queue is full.
        let _ = self.parts.events.try_send(Event::Swap(SwapEvent::Progress { embedded, of }));
    }
}

/// The head of a task that is in service.
fn champion(reader: &Reader, task: &TaskId, space: EmbeddingSpace) -> Result<Option<HeadRecord>, AnyError> {
    let Some(StoredHead { info, bytes }) = reader.champion(task)? else { return Ok(None) };
    Ok(if info.space == space { Some(HeadRecord::from_bytes(&bytes)?) } else { None })
}

#[cfg(test)]
#[path = "backbone_swap_tests.rs"]
mod tests;
