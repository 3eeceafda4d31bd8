//! The second phase of a training, and what a head that had one makes of stored images: both need the pictures, not only
//! their embeddings.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::job::{self, AnyError, Control};
use super::train::TrainerSettings;
use crate::backbone::{Manifest, OnnxBackbone, Way};
use crate::eval::gate::Verdict;
use crate::eval::{Comparison, compare, compare_across, compare_phases};
use crate::head::{Calibration, HeadRecord, Tuning};
use crate::image::{Limits, Preprocess, Rgb};
use crate::ports::{Embedder as _, TailedEmbedder as _};
use crate::shared::files::living;
use crate::shared::tuning::{Trunk, report};
use crate::store::{Cache, CacheOptions, Reader, SpacesInUse, StoreError};
use crate::train::{Dataset, FitError, Fitted, Latents, Progress, TuneError, TuneSettings, Tuned, tune};
use crate::wire::SecondPhase;
use crate::words::{Digest, EmbeddingSpace, Precision, Region, SampleId, TaskId, Timestamp, error_chain};

/// Images a class in the mean below which there is no second phase: it learns them by heart.
const ENOUGH: usize = 20;
/// Images that are read between two commits of what the tail begins with.
const BATCH: usize = 16;

/// What the second phase of a task's trainings needs.
#[derive(Debug, Clone)]
pub(crate) struct TunerSettings {
    pub recipe: TuneSettings,
    pub manifest: Manifest,
    pub threads: usize,
    /// How the backbone's sessions are made.
    pub way: Way,
    /// The state folder.
    pub folder: PathBuf,
    /// Bytes that may be kept of what the tail begins with.
    pub latents_max: u64,
}

#[cfg(test)]
impl TunerSettings {
    /// With the small bundled backbone, and no state folder.
    pub fn for_test() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-test.yaml");
        Self {
            recipe: TuneSettings::default(),
            manifest: Manifest::load(&manifest).expect("it is bundled"),
            threads: 1,
            way: Way::on_cpu(1),
            folder: PathBuf::from("/nowhere"),
            latents_max: 1 << 20,
        }
    }
}

/// Where the pictures of samples are.
pub(super) struct Pictures {
    files: BTreeMap<SampleId, Vec<PathBuf>>,
    folder: PathBuf,
    /// The one region that the task looks at; `None` where it looks at several, which a second phase would have to tell apart.
    region: Option<Region>,
}

impl Pictures {
    /// Of the samples of `data`, which `task` looks at; `folder` is that of the state.
    pub fn of(reader: &Reader, task: &TaskId, data: &Dataset, folder: &Path) -> Result<Self, StoreError> {
        let files = |id: &SampleId| Ok((*id, reader.files_of(id)?));
        let region = match reader.spaces().of(task) {
            [(region, _)] => Some(region.clone()),
            _ => None,
        };
        let files = data.ids().iter().map(files).collect::<Result<_, StoreError>>()?;
        Ok(Self { files, folder: folder.to_owned(), region })
    }

    /// The pixels of a sample, decoded for a region; `None` where neither a file nor the store has them any more.
    fn read(&self, id: &SampleId, preprocess: &Preprocess, region: &Region) -> Result<Option<Rgb>, StoreError> {
        let limits = Limits::default();
        let files = self.files.get(id).map_or(&[][..], Vec::as_slice);
        let bytes = match living(id, files, &limits) {
            Some((_, bytes)) => Some(bytes),
            None => Reader::open(&self.folder, SpacesInUse::default())?.picture(id)?,
        };
        Ok(bytes.and_then(|bytes| preprocess.decode(&bytes, &limits, region).ok()))
    }
}

/// A training after its phases.
pub(super) struct Phases {
    /// What it learned from.
    pub data: Dataset,
    pub fitted: Fitted,
    /// Of a head of the second phase.
    pub tuning: Option<Tuning>,
    /// Of a second phase that was asked for.
    pub report: Option<SecondPhase>,
}

/// A second phase that was run.
struct Second {
    /// What both phases learned from: the data of the training, less images that cannot be read any more.
    pub data: Dataset,
    pub fitted: Fitted,
    pub tuning: Tuning,
    /// Whether it is better than the first.
    pub verdict: Verdict,
    pub report: SecondPhase,
}

/// The training with the second phase behind the `first`, where it is better, and with the report of it; `None` when the job was
/// cancelled. `progress` hears the share that is done, 0..1.
///
/// # Errors
/// When the store or the backbone fails, or it took longer than `training.time_limit`.
pub(super) fn with_second_phase(
    first: Phases,
    version: u64,
    pictures: Option<&Pictures>,
    settings: &TrainerSettings,
    control: &Control,
    progress: impl Fn(f64),
) -> Result<Option<Phases>, AnyError> {
    let found = match pictures.and_then(|pictures| Some((pictures, pictures.region.as_ref()?))) {
        None => Some(Err(
            "the task looks at several regions, and only a task of one has a second phase; set training.tune.when to never"
                .into(),
        )),
        Some((pictures, region)) => {
            second_phase((&first.data, &first.fitted, version), region, pictures, settings, control, progress)?
        }
    };
    Ok(found.map(|found| match found {
        Err(reason) => Phases { report: Some(SecondPhase::not_run(reason)), ..first },
        Ok(second) if second.verdict.promote => Phases {
            data: second.data,
            fitted: second.fitted,
            tuning: Some(second.tuning),
            report: Some(second.report),
        },
        Ok(second) => Phases { report: Some(second.report), ..first },
    }))
}

/// The second phase behind the `first`, which was fitted on `data` to be head `version`; why there is none, in words; or
/// `None` when the job was cancelled. `progress` hears the share that is done, 0..1.
///
/// # Errors
/// When the store or the backbone fails, or it took longer than `training.time_limit`.
fn second_phase(
    (data, first, version): (&Dataset, &Fitted, u64),
    region: &Region,
    pictures: &Pictures,
    settings: &TrainerSettings,
    control: &Control,
    progress: impl Fn(f64),
) -> Result<Option<Result<Second, String>>, AnyError> {
    let TunerSettings { recipe, manifest, threads, .. } = &settings.tuner;
    if first.facts.kind != "softmax" {
        return Ok(Some(Err(format!(
            "a head of kind {} has no second phase; set training.head to softmax",
            first.facts.kind
        ))));
    }
    if data.n() < ENOUGH * data.classes().len() {
        let (found, wanted) = (data.n(), ENOUGH * data.classes().len());
        return Ok(Some(Err(format!(
            "too few labels: {found} of the {wanted} images that these classes need; label more"
        ))));
    }
    let mut trunk = match Trunk::open(manifest, recipe.layers, *threads) {
        Ok(trunk) => trunk,
        Err(why) => return Ok(Some(Err(why.to_string()))),
    };
    let Some((latents, gone)) = latents(&mut trunk, data, region, pictures, settings, control)? else {
        return Ok(None);
    };
    let left = if gone.is_empty() { None } else { Some(data.without(&gone)) };
    let (data, first) = match left {
        None => (data.clone(), first.clone()),
        Some(Ok(left)) if 2 * left.n() > data.n() && left.classes().len() == data.classes().len() => {
            let Some(first) = job::fit(&left, &settings.fit, control, |_| {})? else { return Ok(None) };
            (left, first)
        }
        Some(_) => {
            let (gone, of) = (gone.len(), data.n());
            return Ok(Some(Err(format!(
                "{gone} of {of} labelled images cannot be read any more; put their files back"
            ))));
        }
    };
    progress(0.2);
    let started = Instant::now();
    let tuned = run(&data, &latents, &trunk, &first, recipe, control, |done| progress(0.2 + 0.8 * done))?;
    let Some(Tuned { tail, mut fitted, epochs }) = tuned else { return Ok(None) };
    fitted.facts.fit_seconds = started.elapsed().as_secs_f64();
    let record =
        first.clone().into_record(version, Timestamp(0), settings.backbone.clone(), None, Calibration::default());
    let compared = compare_phases(&data, &fitted, version, &record, &settings.rules);
    let figures = compared.champion.clone();
    let phases = [(compared.champion, first.facts.fit_seconds), (compared.challenger, fitted.facts.fit_seconds)];
    let report = report(&epochs, phases, compared.verdict.promote, compared.verdict.reason.clone());
    let tuning = Tuning { tail, first: first.dense, figures };
    Ok(Some(Ok(Second { data, fitted, tuning, verdict: compared.verdict, report })))
}

/// Trains by the `recipe`, with the pauses and the time limit of `training.*`; `None` when the job was cancelled.
fn run(
    data: &Dataset,
    latents: &Latents,
    trunk: &Trunk,
    first: &Fitted,
    recipe: &TuneSettings,
    control: &Control,
    progress: impl Fn(f64),
) -> Result<Option<Tuned>, AnyError> {
    let mut throttle = control.throttle();
    let mut watch = |step: Progress| {
        progress(step.fraction);
        control.wait(&mut throttle);
        if control.is_cancelled() || throttle.is_late() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    match tune(data, latents, &trunk.network, first, recipe, &mut watch) {
        Ok(tuned) => Ok(Some(tuned)),
        Err(TuneError::Fit(FitError::Cancelled)) if control.is_cancelled() => Ok(None),
        Err(TuneError::Fit(FitError::Cancelled)) => Err(throttle.late().into()),
        Err(error) => Err(error.into()),
    }
}

/// What the tail begins with, of each image of `data` that can be read; and the places of those that cannot. Kept in the store
/// as far as there is room. `None` when the job was cancelled.
fn latents(
    trunk: &mut Trunk,
    data: &Dataset,
    region: &Region,
    pictures: &Pictures,
    settings: &TrainerSettings,
    control: &Control,
) -> Result<Option<(Latents, BTreeSet<usize>)>, AnyError> {
    let TunerSettings { recipe, folder, latents_max, .. } = &settings.tuner;
    let space = space(trunk, &settings.tuner, region);
    let options = CacheOptions { space, backbone: &settings.backbone, precision: Precision::default() };
    let mut cache = Cache::open(folder, &options)?;
    let (mut latents, mut gone, mut fresh) = (trunk.latents(), BTreeSet::new(), Vec::new());
    let mut kept = 0;
    let mut throttle = control.throttle();
    for (place, id) in data.ids().iter().enumerate() {
        control.wait(&mut throttle);
        if control.is_cancelled() {
            return Ok(None);
        }
        if let Some(bytes) = cache.get_bytes(id)?
            && latents.push_stored(&bytes).is_ok()
        {
            kept += bytes.len() as u64;
            continue;
        }
        let Some(picture) = pictures.read(id, trunk.preprocess(), region)? else {
            gone.insert(place);
            continue;
        };
        let values = trunk.views(*id, &picture, region, recipe.views)?;
        latents.push(&values)?;
        let bytes = latents.stored(latents.pictures() - 1);
        kept += bytes.len() as u64;
        if kept <= *latents_max {
            fresh.push((*id, bytes));
        }
        if fresh.len() >= BATCH {
            keep(&mut cache, &mut fresh)?;
        }
    }
    keep(&mut cache, &mut fresh)?;
    Ok(Some((latents, gone)))
}

fn keep(cache: &mut Cache, fresh: &mut Vec<(SampleId, Vec<u8>)>) -> Result<(), StoreError> {
    cache.put_bytes(fresh.iter().map(|(id, bytes)| (id, bytes.as_slice())))?;
    fresh.clear();
    Ok(())
}

/// The space of what the tail begins with, of so many views of one part of pictures.
fn space(trunk: &Trunk, tuner: &TunerSettings, region: &Region) -> EmbeddingSpace {
    let whole = tuner.manifest.trunk();
    let what = format!("latents {} {} {}", whole.backbone, trunk.network.input(), tuner.recipe.views);
    let dim = trunk.network.cut().values();
    EmbeddingSpace { backbone: Digest::of(what.as_bytes()), dim, ..whole }.within(region)
}

/// The challenger, fitted on `data` to be head `version`, beside the champion; one with a tail is asked by that about images that
/// it was not trained on, as far as they can be read. `None` when the job was cancelled.
///
/// # Errors
/// When the store or the backbone fails.
pub(super) fn compare_with(
    (data, fitted, version): (&Dataset, &Fitted, u64),
    champion: Option<&HeadRecord>,
    pictures: Option<&Pictures>,
    settings: &TrainerSettings,
    control: &Control,
) -> Result<Option<Comparison>, AnyError> {
    let tuned = champion.filter(|champion| champion.tuning.is_some());
    let (Some(tuned), Some(pictures)) = (tuned, pictures) else {
        return Ok(Some(compare(data, fitted, version, champion, &settings.rules)));
    };
    let by_tail = by_tail(tuned, data, pictures, &settings.tuner, control)?;
    let embedding = |id: &SampleId| by_tail.get(id).cloned();
    let compared = || compare_across(data, fitted, version, Some(tuned), &embedding, &settings.rules);
    Ok((!control.is_cancelled()).then(compared))
}

/// Fails, with the reason in words, where the tail of `head` does not run behind the backbone, as a head from elsewhere may have
/// one: with a tensor or weights that the model does not have, or with values that overflow.
pub(super) fn tail_runs(head: &HeadRecord, tuner: &TunerSettings) -> Result<(), String> {
    if head.tuning.is_none() {
        return Ok(());
    }
    let no_fit = |why: String| format!("its last layers do not fit the backbone of this device: {why}");
    let mut backbone = OnnxBackbone::open_by(&tuner.manifest, &tuner.way).map_err(|error| error_chain(&error))?;
    backbone.follow(&[Arc::new(head.clone())]).map_err(no_fit)?;
    let probe = vec![0.0; backbone.preprocess().tensor_len()];
    let rows = backbone.embed_tailed(&probe, 1).map_err(|error| no_fit(error_chain(&error)))?;
    match rows.first().map(|(_, made)| made.len()) {
        Some(1) => Ok(()),
        _ => Err(no_fit("they compute numbers that are not finite".into())),
    }
}

/// What the tail of `head` makes of images of `data` that it was not trained on, as far as they can be read; nothing where
/// it has none, or the job was cancelled.
///
/// # Errors
/// When the store or the backbone fails.
pub(super) fn by_tail(
    head: &HeadRecord,
    data: &Dataset,
    pictures: &Pictures,
    tuner: &TunerSettings,
    control: &Control,
) -> Result<BTreeMap<SampleId, Vec<f32>>, AnyError> {
    let Some(tail) = head.tail() else { return Ok(BTreeMap::new()) };
    let known: BTreeSet<SampleId> = head.heldout.ids.iter().copied().collect();
    let unseen: Vec<SampleId> = data.ids().iter().filter(|id| !known.contains(id)).copied().collect();
    if unseen.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut backbone = OnnxBackbone::open_by(&tuner.manifest.clone().with_tail(Some(tail.clone())), &tuner.way)?;
    let preprocess = backbone.preprocess().clone();
    let mut throttle = control.throttle();
    let mut found = BTreeMap::new();
    for id in unseen {
        control.wait(&mut throttle);
        if control.is_cancelled() {
            break;
        }
        if let Some(picture) = pictures.read(&id, &preprocess, &head.region)? {
            let tensor = preprocess.apply(&picture.part(&head.region, preprocess.pad));
            found.insert(id, backbone.embed(&tensor, 1)?);
        }
    }
    Ok(found)
}
