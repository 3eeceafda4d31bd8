//! What tasks see of an image: one decoding, one batch, a view each.

use std::sync::{Arc, Mutex};

use ndarray::{Array1, Array2};

use super::*;
use crate::head::{DenseHead, HeadRecord};
use crate::ports::Embedder;
use crate::words::Label;

/// Two tasks look at halves of the pictures in `a`, a third at the left one too; one looks at those in `b` as they are.
const TASKS: &str = "tasks:
  - { id: left, from: [{ watch: FOLDER/a, region: [0, 0, 0.5, 1] }] }
  - { id: right, from: [{ watch: FOLDER/a, region: [0.5, 0, 1, 1] }] }
  - { id: too, from: [{ watch: FOLDER/a, region: [0, 0, 0.5, 1] }] }";

/// Embeds a picture as its mean brightness and one, and remembers how many were in each batch.
struct Mean {
    preprocess: Preprocess,
    batches: Arc<Mutex<Vec<usize>>>,
}

impl TailedEmbedder for Mean {}

impl Embedder for Mean {
    fn space(&self) -> EmbeddingSpace {
        space(&self.preprocess)
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn embed(&mut self, tensors: &[f32], n: usize) -> Result<Vec<f32>, EmbedError> {
        self.batches.lock().unwrap().push(n);
        let means: Vec<f32> =
            tensors.chunks_exact(tensors.len() / n).map(|one| one.iter().sum::<f32>() / 12.0).collect();
        match means.iter().position(|mean| mean.round() as u8 == 13) {
            Some(image) => Err(EmbedError::NotFinite { image, place: 0, value: f32::NAN }),
            None => Ok(means.into_iter().flat_map(|mean| [mean, 1.0]).collect()),
        }
    }
}

/// A 4 x 2 picture with halves of these greys, as a BMP file.
fn halves(left: u8, right: u8) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    bytes.extend([78_u32, 0, 54, 40, 4, 2].iter().flat_map(|field| field.to_le_bytes()));
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0_u32, 24, 2_835, 2_835, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
    let row = [[left; 6], [right; 6]].concat();
    bytes.extend([row.clone(), row].concat());
    bytes
}

struct Played {
    folder: tempfile::TempDir,
    stage: Stage,
    batches: Arc<Mutex<Vec<usize>>>,
}

impl Played {
    fn new(known: impl FnOnce(&ViewPlan) -> Vec<Write>) -> Self {
        Self::of(TASKS, known)
    }

    fn of(tasks: &str, known: impl FnOnce(&ViewPlan) -> Vec<Write>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let batches = Arc::default();
        let embedder = Mean { preprocess: preprocess(), batches: Arc::clone(&batches) };
        let tasks = tasks.replace("FOLDER", &folder.path().display().to_string());
        let stage = Stage::set(folder.path(), Box::new(embedder), &tasks, known);
        Self { folder, stage, batches }
    }

    /// What becomes of a file of these bytes in the watched folder number `root`.
    fn read(&self, root: usize, bytes: &[u8]) -> IngestOutcome {
        let folder = self.folder.path().join(["a", "b"][root]);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("picture.bmp");
        fs::write(&path, bytes).unwrap();
        self.stage.ingest.jobs.send(Job::File(File { root, path })).unwrap();
        match self.stage.heard.recv_timeout(PATIENCE).unwrap() {
            Event::Ingest(ingested) => ingested.outcome,
            other => panic!("{other:?} is no report of a file"),
        }
    }

    fn image(&self, root: usize, bytes: &[u8]) -> EmbeddedImage {
        match self.read(root, bytes) {
            IngestOutcome::Image(image) => *image,
            other => panic!("{other:?} is no image"),
        }
    }

    fn batches(&self) -> Vec<usize> {
        std::mem::take(&mut self.batches.lock().unwrap())
    }
}

/// The tasks that see an image, what each sees of it, and whether it is new to it.
fn seen(image: &EmbeddedImage) -> Vec<(&str, f32, bool)> {
    let first = |view: &View| of(&image.embeddings, &view.space).unwrap()[0];
    image.views.iter().map(|view| (view.task.as_str(), first(view), view.is_new)).collect()
}

/// The picture as a stored sample that the tasks number `by` of the plan look at.
fn stored(plan: &ViewPlan, bytes: &[u8], by: &[usize]) -> Write {
    let (id, views) = (SampleId::of(bytes), plan.of_root(0));
    let looks: Vec<Look> = by
        .iter()
        .map(|&task| Look { task: views[task].task.clone(), space: views[task].space, predicted: None })
        .collect();
    let embedding = |look: &Look| (look.space, vec![99.0, 1.0]);
    let mut embeddings: Vec<_> = looks.iter().map(embedding).collect();
    embeddings.dedup_by_key(|(space, _)| *space);
    Write::Sample(Box::new(NewSample {
        id,
        origin: Origin::File("/srv/picture.bmp".into()),
        bytes: 78,
        arrived_at: Timestamp(1),
        embeddings,
        group: id,
        looks,
        thumbnail: None,
        picture: None,
    }))
}

#[test]
fn an_image_with_several_regions_is_one_batch_and_each_task_sees_its_own() {
    let played = Played::new(|_| Vec::new());
    let image = played.image(0, &halves(10, 50));
    assert_eq!(seen(&image), [("left", 10.0, true), ("right", 50.0, true), ("too", 10.0, true)]);
    assert_eq!((played.batches(), image.embeddings.len()), (vec![2], 2), "what two tasks see is embedded once");
    assert!(image.views.iter().all(|view| view.prediction.is_none()));
}

#[test]
fn only_what_the_store_lacks_is_embedded() {
    let bytes = halves(10, 50);
    let played = Played::new(|plan| vec![stored(plan, &bytes, &[0])]);
    let image = played.image(0, &bytes);
    assert_eq!(seen(&image), [("left", 99.0, false), ("right", 50.0, true), ("too", 99.0, true)]);
    assert_eq!(played.batches(), [1]);
    assert!(!image.embed.is_zero());

    let played = Played::new(|plan| vec![stored(plan, &bytes, &[0, 1, 2])]);
    let image = played.image(0, &bytes);
    assert_eq!(seen(&image), [("left", 99.0, false), ("right", 99.0, false), ("too", 99.0, false)]);
    assert_eq!((played.batches(), image.embed), (vec![], Duration::ZERO));
}

#[test]
fn what_nobody_looks_at_is_an_image_without_views_or_put_aside() {
    let played = Played::new(|_| Vec::new());
    let image = played.image(1, &halves(10, 50));
    assert_eq!((image.views.len(), image.embeddings.len(), image.group), (0, 0, image.id));
    assert!(matches!(
        played.read(1, b"BM is not all that it takes"),
        IngestOutcome::Bad { .. } | IngestOutcome::Incomplete { .. }
    ));
    assert!(played.batches().is_empty());
}

#[test]
fn a_region_without_an_embedding_costs_only_those_who_look_at_it() {
    let played = Played::new(|_| Vec::new());
    assert_eq!(seen(&played.image(0, &halves(13, 50))), [("right", 50.0, true)]);
    assert!(matches!(played.read(0, &halves(13, 13)), IngestOutcome::Bad { .. }));
}

#[test]
fn bursts_are_found_once_an_image_in_the_first_view() {
    let played = Played::new(|_| Vec::new());
    let first = played.image(0, &halves(10, 50));
    let again = played.image(0, &halves(10, 90));
    assert_eq!((first.group, again.group), (first.id, first.id), "its left half is the same");
    let other = played.image(0, &halves(90, 50));
    assert_eq!(other.group, other.id);
}

#[test]
fn each_task_predicts_with_its_own_head() {
    let played = Played::new(|_| Vec::new());
    let head = |labels: [&str; 2]| {
        let whole = space(&preprocess());
        let classes = labels.iter().map(|label| Label::new(label).unwrap()).collect();
        // The first class below 30.
        let weights = Array2::from_shape_vec((2, 2), vec![-1.0, 30.0, 1.0, -30.0]).unwrap();
        let backbone = BackboneRef { name: "played".into(), sha256: Digest::of(b"m"), dim: 2 };
        HeadRecord::new(DenseHead::linear(whole, classes, weights, Array1::zeros(2)), 1, Timestamp(0), backbone)
    };
    for (task, labels) in [("left", ["closed", "open"]), ("right", ["empty", "full"])] {
        played.stage.servings.of(&task.parse().unwrap()).unwrap().set(Some(Arc::new(head(labels))));
    }
    let image = played.image(0, &halves(10, 50));
    let best = |view: &View| view.prediction.as_ref().map(|scored| scored.top[0].0.to_string());
    let said: Vec<_> = image.views.iter().map(best).collect();
    assert_eq!(said, [Some("closed".into()), Some("full".into()), None]);
}

#[test]
fn a_thumbnail_is_made_of_what_the_store_has_none_of() {
    let bytes = halves(10, 50);
    let played = Played::new(|plan| vec![stored(plan, &bytes, &[0, 1, 2])]);
    let image = played.image(0, &bytes);
    let small = crate::image::decode(image.thumbnail.as_ref().unwrap(), &Limits::default()).unwrap();
    assert_eq!((small.width(), small.height()), (4, 2));
    assert_eq!(played.batches(), [0; 0], "its embeddings are there");
    let Write::Sample(mut with_thumbnail) = stored(&played.stage.plan, &bytes, &[0, 1, 2]) else { unreachable!() };
    with_thumbnail.thumbnail = Some(vec![1]);
    let played = Played::new(|_| vec![Write::Sample(with_thumbnail)]);
    assert_eq!(played.image(0, &bytes).thumbnail, None);
}

#[test]
fn a_kept_frame_is_embedded_again_for_a_task_that_has_not_seen_it() {
    let tasks = "sources: [{ id: gate }]
tasks:
  - { id: left, from: [{ source: gate, region: [0, 0, 0.5, 1] }] }
  - { id: right, from: [{ source: gate, region: [0.5, 0, 1, 1] }] }";
    let (bytes, gate): (_, SourceId) = (halves(10, 50), "gate".parse().unwrap());
    let frame = |plan: &ViewPlan, picture: Option<Vec<u8>>| {
        let left = &plan.of_source(&gate)[0];
        Write::Sample(Box::new(NewSample {
            id: SampleId::of(&bytes),
            origin: Origin::Source(gate.clone()),
            bytes: 78,
            arrived_at: Timestamp(1),
            embeddings: vec![(left.space, vec![99.0, 1.0])],
            group: SampleId::of(&bytes),
            looks: vec![Look { task: left.task.clone(), space: left.space, predicted: None }],
            thumbnail: None,
            picture,
        }))
    };
    let read = |played: &Played| {
        played.stage.ingest.jobs.send(Job::Picture(SampleId::of(&bytes))).unwrap();
        match played.stage.heard.recv_timeout(PATIENCE).unwrap() {
            Event::Picture(read) => read.image,
            other => panic!("{other:?} is no report of a picture"),
        }
    };
    let played = Played::of(tasks, |plan| vec![frame(plan, Some(bytes.clone()))]);
    let image = read(&played).expect("its bytes are kept");
    assert_eq!(seen(&image), [("left", 99.0, false), ("right", 50.0, true)]);
    assert_eq!(played.batches(), [1]);
    assert!(read(&Played::of(tasks, |plan| vec![frame(plan, None)])).is_none());
    assert!(read(&Played::of(tasks, |plan| vec![frame(plan, Some(b"half".to_vec()))])).is_none());
}
