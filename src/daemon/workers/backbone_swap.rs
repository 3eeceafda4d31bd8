//! Prepares another backbone while the current one serves: its files, a probe image, the embeddings of every stored
//! image that can still be read, a head fitted on them, and the gate's comparison with the pair in service.
//!
//! Embeddings are stored under the new backbone's own space as they are made, so that a restart continues where it
//! stopped; nothing else changes until the engine accepts the result.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use tracing::{debug, info, warn};

use super::job::{self, AnyError, Control, Job, fit};
use super::train::TrainerSettings;
use super::training_data;
use crate::backbone::{Manifest, OnnxBackbone, embed_all};
use crate::engine::{Event, ModelSource, SwapEvent, SwapOrder, SwapResult};
use crate::eval::gate::{Verdict, judge_without_head};
use crate::eval::{Comparison, calibrate, compare_across};
use crate::head::{BackboneRef, HeadRecord};
use crate::image::{self, BadImage, Limits, Rgb};
use crate::ports::Embedder;
use crate::shared::files::{PictureError, read_picture};
use crate::store::files::{self, NewFile};
use crate::store::{Cache, CacheOptions, Precision, Reader, SpacesInUse, StoredHead};
use crate::wire::UpdateKind;
use crate::words::{Digest, EmbeddingSpace, SampleId, TaskId, Timestamp, error_chain};

/// Embeddings in one commit.
const BATCH: usize = 16;

/// What the preparation needs.
pub(crate) struct Parts {
    pub order: SwapOrder,
    /// Of the current space.
    pub reader: Reader,
    pub dir: BackboneDir,
    pub trainer: TrainerSettings,
    pub events: SyncSender<Event>,
}

/// Where backbones are stored, and how they are opened.
#[derive(Debug, Clone)]
pub(crate) struct BackboneDir {
    /// The state folder.
    pub folder: PathBuf,
    pub threads: usize,
    pub precision: Precision,
}

impl BackboneDir {
    /// Removes the files of a backbone that are called so.
    pub fn forget(&self, files: &Digest) {
        for extension in ["onnx", "yaml"] {
            remove(&self.folder.join(FOLDER).join(format!("{files}.{extension}")));
        }
    }

    /// Removes what a crash left of backbones that were not taken; `keeps` says whose files stay. Files that are called
    /// otherwise are not ours.
    pub fn tidy(&self, keeps: impl Fn(Digest) -> bool) {
        let Ok(entries) = fs::read_dir(self.folder.join(FOLDER)) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let digest = name.split('.').next().and_then(|digest| digest.parse::<Digest>().ok());
            if digest.is_some_and(|digest| !keeps(digest)) {
                remove(&path);
            }
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(path = %path.display(), %error, "cannot remove a file of a previous backbone; remove it yourself");
    }
}

/// Why an image cannot be embedded again.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    File(#[from] PictureError),
    #[error(transparent)]
    Image(#[from] BadImage),
    #[error("no file has its bytes any more")]
    Gone,
}

/// Starts to prepare a backbone; it ends with [`SwapEvent::Ready`] or [`SwapEvent::Failed`], unless it is
/// cancelled.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn spawn(parts: Parts) -> std::io::Result<Job> {
    let (throttle, events, files) = (parts.trainer.throttle, parts.events.clone(), parts.order.files);
    let work = move |control: &Control| Preparation { parts, control: control.clone() }.run();
    job::spawn("succeed", throttle, events, work, move |result| match result {
        Ok(Ok(Some(succession))) => Some(Event::Swap(SwapEvent::Ready(Box::new(succession)))),
        Ok(Ok(None)) => None,
        Ok(Err(error)) => Some(Event::Swap(SwapEvent::Failed { files, reason: error_chain(&*error) })),
        Err(panicked) => Some(Event::Swap(SwapEvent::Failed { files, reason: panicked.to_string() })),
    })
}

/// A head on the new embeddings, if one can be made, and how it compares.
#[derive(Debug)]
struct Compared {
    challenger: Option<HeadRecord>,
    verdict: Verdict,
    /// Version of the champion that it was compared with.
    against: Option<u64>,
}

struct Preparation {
    parts: Parts,
    control: Control,
}

impl Preparation {
    /// The prepared backbone; `None` when it was cancelled.
    fn run(&self) -> Result<Option<SwapResult>, AnyError> {
        let manifest = self.stage()?;
        let mut backbone = OnnxBackbone::open(&manifest, self.parts.dir.threads)?;
        let space = backbone.space();
        let reference = BackboneRef { name: backbone.name().to_owned(), sha256: backbone.sha256(), dim: space.dim };
        info!(backbone = reference.name, dim = reference.dim, "the next backbone answered a probe image");
        let Some((embedded, missing)) = self.embed(&mut backbone, space, &reference)? else { return Ok(None) };
        drop(backbone);
        let Some(Compared { challenger, verdict, against }) = self.compare(space, &reference)? else { return Ok(None) };
        let files = self.parts.order.files;
        let manifest = manifest.path;
        Ok(Some(SwapResult { files, backbone: reference, manifest, challenger, verdict, against, embedded, missing }))
    }

    /// Writes the model and its manifest into the state folder, whole or not at all.
    fn stage(&self) -> Result<Manifest, AnyError> {
        let Parts { order, reader, dir, .. } = &self.parts;
        let folder = dir.folder.join(FOLDER);
        files::create_folder(&folder)?;
        let model = folder.join(format!("{}.onnx", order.files));
        if !model.exists() {
            let mut file = NewFile::begin(&model)?;
            match &order.model {
                ModelSource::Chunks => {
                    let mut written = Ok(());
                    reader.chunks(UpdateKind::Backbone, |_, bytes| {
                        written = file.write_all(bytes);
                        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                    })?;
                    written?;
                }
                ModelSource::File { path, .. } => copy(path, &mut file)?,
            }
            file.put()?;
        }
        let path = folder.join(format!("{}.yaml", order.files));
        // JSON is YAML.
        files::write(&path, text(order).as_bytes())?;
        let manifest = Manifest::load(&path)?;
        match order.model {
            ModelSource::File { space, .. } if space != manifest.space() => Err(format!(
                "the manifest that was written from the one of {} makes other embeddings; report this with that manifest",
                order.name
            )
            .into()),
            _ => Ok(manifest),
        }
    }

    /// Embeds what has no embedding in `space` yet; how many have one now, and of how many no file can be read any
    /// more.
    fn embed(
        &self,
        backbone: &mut OnnxBackbone,
        space: EmbeddingSpace,
        reference: &BackboneRef,
    ) -> Result<Option<(u64, u64)>, AnyError> {
        let Parts { reader, dir: BackboneDir { folder, precision, .. }, .. } = &self.parts;
        let mut cache = Cache::open(folder, &CacheOptions { space, backbone: reference, precision: *precision })?;
        let mut kept = reader.sample_rows(&TaskId::default())?;
        // Labelled images first, then the newest.
        kept.sort_by_key(|sample| (sample.label.is_none(), std::cmp::Reverse(sample.number)));
        let of = kept.len() as u64;
        let mut jobs = Vec::new();
        for sample in kept {
            if cache.get(&sample.id)?.is_none() {
                let paths = reader.files_of(&sample.id)?;
                jobs.push((sample.id, paths));
            }
        }
        let mut embedded = of - jobs.len() as u64;
        let (mut missing, mut failed) = (0, None);
        let mut batch: Vec<(SampleId, Vec<f32>)> = Vec::new();
        // Embedding pauses like a training but has no time limit: after a restart it continues where it stopped.
        let mut throttle = self.control.throttle();
        embed_all(
            backbone,
            jobs,
            |(id, paths)| read(*id, paths),
            |(id, _), embedding| {
                match embedding {
                    Ok(embedding) => {
                        embedded += 1;
                        batch.push((id, embedding));
                    }
                    Err(why) => {
                        missing += 1;
                        debug!(image = %id, %why, "not embedded again");
                    }
                }
                if batch.len() == BATCH {
                    failed = store_batch(&mut cache, &mut batch).err();
                    self.report(embedded, of);
                }
                self.control.wait(&mut throttle);
                if failed.is_some() || self.control.is_cancelled() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        )?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        store_batch(&mut cache, &mut batch)?;
        Ok((!self.control.is_cancelled()).then_some((embedded, missing)))
    }

    /// A head on the new embeddings, and the gate's verdict against the one in service. Too few labels make none;
    /// it may go without one only where none serves now. `None` when it was cancelled.
    fn compare(&self, space: EmbeddingSpace, reference: &BackboneRef) -> Result<Option<Compared>, AnyError> {
        let Parts { reader, dir: BackboneDir { folder, .. }, trainer, .. } = &self.parts;
        let champion = champion(reader, trainer.space)?;
        let against = champion.as_ref().map(|champion| champion.head.version);
        let fresh = Reader::open(folder, SpacesInUse::whole(space))?;
        let labelled = training_data::labelled(&fresh, trainer.max_samples, trainer.fit.seed)?;
        let data = match training_data::dataset(training_data::believed(reader, &labelled)?, space) {
            Ok(data) if data.classes().len() > 1 => data,
            _ => return Ok(Some(Compared { challenger: None, verdict: judge_without_head(against), against })),
        };
        let Some(fitted) = fit(&data, &trainer.fit, &self.control, |_| {})? else { return Ok(None) };
        let version = self.parts.order.version;
        let before = reader.labelled_of(&TaskId::default(), data.ids())?;
        let rows: BTreeMap<SampleId, usize> = before.ids.iter().copied().zip(0..).collect();
        let old = |id: &SampleId| rows.get(id).map(|&row| before.embeddings.row(row).to_vec());
        let Comparison { challenger: figures, verdict, .. } =
            compare_across(&data, &fitted, version, champion.as_ref(), &old, &trainer.rules);
        let calibration = calibrate(&data, &fitted, trainer.fit.seed);
        let created = Timestamp(jiff::Timestamp::now().as_millisecond());
        let challenger = fitted.into_record(version, created, reference.clone(), figures, calibration);
        Ok(Some(Compared { challenger: Some(challenger), verdict, against }))
    }

    fn report(&self, embedded: u64, of: u64) {
        // Progress is dropped when the queue is full.
        let _ = self.parts.events.try_send(Event::Swap(SwapEvent::Progress { embedded, of }));
    }
}

/// The manifest file of the model: its keys, with name, file and digest of the order.
fn text(order: &SwapOrder) -> String {
    let model = match order.model {
        ModelSource::Chunks => order.files,
        ModelSource::File { sha256, .. } => sha256,
    };
    let mut fields = order.manifest.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("name".into(), order.name.clone().into());
        fields.insert("file".into(), format!("{}.onnx", order.files).into());
        fields.insert("sha256".into(), model.to_string().into());
    }
    fields.to_string()
}

/// Writes the model at `path` into `file`.
fn copy(path: &Path, file: &mut NewFile) -> Result<(), AnyError> {
    let copied = fs::File::open(path).and_then(|mut model| std::io::copy(&mut model, file));
    copied.map(drop).map_err(|error| {
        format!(
            "cannot copy the model {} into the state folder: {error}; check that it is there, and the room",
            path.display()
        )
        .into()
    })
}

/// The folder of models that took over on this device, below the state folder.
pub(crate) const FOLDER: &str = "backbones";

/// The image of a sample from the first of its files that still has it.
fn read(id: SampleId, paths: &[PathBuf]) -> Result<Rgb, ReadError> {
    let limits = Limits::default();
    for path in paths {
        match read_picture(path, &limits) {
            Ok(picture) if picture.id == id => return Ok(image::decode(&picture.bytes, &limits)?),
            Ok(_) => {}
            Err(error) => debug!(%error, "a file of a stored image"),
        }
    }
    Err(ReadError::Gone)
}

fn store_batch(cache: &mut Cache, batch: &mut Vec<(SampleId, Vec<f32>)>) -> Result<(), crate::store::StoreError> {
    cache.put(batch.iter().map(|(id, embedding)| (id, embedding.as_slice())))?;
    batch.clear();
    Ok(())
}

/// The head in service.
fn champion(reader: &Reader, space: EmbeddingSpace) -> Result<Option<HeadRecord>, AnyError> {
    let Some(StoredHead { info, bytes }) = reader.champion(&TaskId::default())? else { return Ok(None) };
    Ok(if info.space == space { Some(HeadRecord::from_bytes(&bytes)?) } else { None })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use super::*;
    use crate::daemon::throttle::ThrottleSettings;
    use crate::engine::{LabelSource, Look, NewSample, Write};
    use crate::eval::gate::Rules;
    use crate::store::{OpenOptions, Store};
    use crate::train;
    use crate::words::Label;

    fn space(backbone: &[u8]) -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(backbone), preprocessing: Digest::of(b"p"), dim: 2 }
    }

    fn reference(backbone: &[u8]) -> BackboneRef {
        BackboneRef { name: "tiny".into(), sha256: Digest::of(backbone), dim: 2 }
    }

    /// Twenty labelled samples, embedded by the present backbone and by the next one.
    fn store(folder: &Path) -> Store {
        let (present, next) = (reference(b"b"), reference(b"next"));
        let options = |space, backbone| CacheOptions { space, backbone, precision: Precision::F32 };
        let spaces = SpacesInUse::whole(space(b"b"));
        let now = OpenOptions { spaces, backbone: &present, precision: Precision::F32 };
        let mut store = Store::open(folder, &now).unwrap();
        let mut cache = Cache::open(folder, &options(space(b"next"), &next)).unwrap();
        for n in 0..20_u8 {
            let (id, embedding) = (SampleId::of(&[n]), vec![f32::from(n % 2), f32::from(n) / 20.0]);
            cache.put([(&id, embedding.as_slice())]).unwrap();
            let sample = NewSample {
                id,
                path: PathBuf::from(format!("/srv/{n}.jpg")),
                bytes: 1,
                arrived_at: Timestamp(0),
                embeddings: vec![(space(b"b"), embedding)],
                group: id,
                looks: vec![Look { task: TaskId::default(), space: space(b"b"), predicted: None }],
            };
            let label = Label::new(if n.is_multiple_of(2) { "gear" } else { "nut" }).ok();
            let label = Write::Label {
                task: TaskId::default(),
                id,
                label,
                source: LabelSource::Mqtt,
                at: Timestamp(1),
                change: None,
            };
            store.commit(&[Write::Sample(Box::new(sample)), label]).unwrap();
        }
        store
    }

    /// What comes of the comparison of a head for the next backbone under these settings.
    fn compared(throttle: ThrottleSettings) -> Result<Option<Compared>, AnyError> {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let order = SwapOrder {
            files: Digest::of(b"next"),
            name: "tiny".into(),
            manifest: serde_json::json!({}),
            model: ModelSource::Chunks,
            version: 7,
        };
        let trainer = TrainerSettings {
            fit: train::Settings::default(),
            rules: Rules::default(),
            backbone: reference(b"b"),
            space: space(b"b"),
            max_samples: 1_000,
            throttle,
        };
        let parts = Parts {
            order,
            reader: store.reader().unwrap(),
            dir: BackboneDir { folder: folder.path().to_owned(), threads: 1, precision: Precision::F32 },
            trainer,
            events: sync_channel(1).0,
        };
        let preparation = Preparation { parts, control: Control::for_test(throttle) };
        preparation.compare(space(b"next"), &reference(b"next"))
    }

    const PATIENT: ThrottleSettings = ThrottleSettings {
        time_limit: Duration::from_hours(1),
        low_priority: false,
        pause_above_c: None,
        pause_above_load: None,
    };

    #[test]
    fn what_a_crash_left_of_other_backbones_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let dir = BackboneDir { folder: folder.path().to_owned(), threads: 1, precision: Precision::F32 };
        let (kept, left) = (Digest::of(b"kept"), Digest::of(b"left"));
        dir.tidy(|_| false);
        let place = folder.path().join(FOLDER);
        fs::create_dir(&place).unwrap();
        let names = |digest: Digest| ["onnx", "yaml", "onnx.part"].map(|ending| format!("{digest}.{ending}"));
        for name in [names(kept), names(left)].concat().iter().map(String::as_str).chain(["notes.txt", "mine.onnx"]) {
            fs::write(place.join(name), "").unwrap();
        }
        dir.tidy(|digest| digest == kept);
        let mut there: Vec<String> =
            fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut expected = [names(kept).to_vec(), vec!["notes.txt".into(), "mine.onnx".into()]].concat();
        there.sort();
        expected.sort();
        assert_eq!(there, expected);
    }

    #[test]
    fn a_head_for_the_next_backbone_is_fitted_within_the_time_limit_of_trainings() {
        let Compared { challenger, verdict, against } = compared(PATIENT).unwrap().unwrap();
        let head = challenger.unwrap();
        assert_eq!((head.dense.space, head.head.version, against), (space(b"next"), 7, None), "{verdict:?}");
        assert!(verdict.reason.contains("head 7"), "{verdict:?}");
        let late = compared(ThrottleSettings { time_limit: Duration::ZERO, ..PATIENT }).unwrap_err();
        assert!(late.to_string().contains("training.time_limit"), "{late}");
    }
}
