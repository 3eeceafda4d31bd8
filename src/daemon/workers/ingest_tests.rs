//! Workers whose backbone panics or never returns, and files of samples that were let go.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use super::super::online_learning::TaskParts;
use super::*;
use crate::config::{self, Layer, Source};
use crate::daemon::serving::Scoring;
use crate::engine::{FileDisposition, Look, NewSample, Write};
use crate::head::{BackboneRef, DoubtRates};
use crate::image::{Channels, Decode, Layout, Resize};
use crate::ports::Embedder;
use crate::shared::views;
use crate::store::{OpenOptions, Precision, Store};
use crate::words::{Digest, EmbeddingSpace, Origin, TaskId};

#[path = "ingest_view_tests.rs"]
mod of_tasks;

const PATIENCE: Duration = Duration::from_mins(1);

/// What it does with an image.
enum Does {
    Panic,
    /// Waits for a word, as a library does that hangs; then embeds.
    Hang(Receiver<()>),
}

struct Faulty {
    preprocess: Preprocess,
    does: Does,
}

fn preprocess() -> Preprocess {
    let (size, layout, channels) = ((2, 2), Layout::Nchw, Channels::Rgb);
    let (mean, std, scale) = ([0.0; 3], [1.0; 3], [1.0; 3]);
    Preprocess {
        size,
        layout,
        channels,
        mean,
        std,
        scale,
        resize: Resize::Stretch,
        pad: Preprocess::PAD,
        decode: Decode::Exact,
    }
}

fn space(preprocess: &Preprocess) -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: preprocess.digest(), dim: 2 }
}

impl TailedEmbedder for Faulty {}

impl Embedder for Faulty {
    fn space(&self) -> EmbeddingSpace {
        space(&self.preprocess)
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn embed(&mut self, _: &[f32], _: usize) -> Result<Vec<f32>, EmbedError> {
        match &self.does {
            Does::Panic => panic!("as played"),
            Does::Hang(word) => {
                word.recv().expect("the test lets it go on");
                Ok(vec![1.0, 2.0])
            }
        }
    }
}

/// A 2 x 2 picture of black pixels, as a BMP file.
fn picture() -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    bytes.extend([70_u32, 0, 54, 40, 2, 2].iter().flat_map(|field| field.to_le_bytes()));
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0_u32, 16, 2_835, 2_835, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
    bytes.extend([0; 16]);
    bytes
}

/// An ingest worker with one picture in hand; its heartbeats, and what it reports.
fn working(folder: &Path, does: Does) -> (Ingest, Heartbeats, Receiver<Event>) {
    working_on(folder, does, |_| Vec::new())
}

/// The same with a store that has what is `known` of the picture at this path.
fn working_on(
    folder: &Path,
    does: Does,
    known: impl FnOnce(&Path) -> Vec<Write>,
) -> (Ingest, Heartbeats, Receiver<Event>) {
    let path = folder.join("picture.bmp");
    fs::write(&path, picture()).unwrap();
    let embedder = Faulty { preprocess: preprocess(), does };
    let Stage { ingest, heartbeats, heard, .. } = Stage::set(folder, Box::new(embedder), "", |_| known(&path));
    ingest.jobs.send(Job::File(File { root: 0, path })).unwrap();
    (ingest, heartbeats, heard)
}

/// An ingest worker with all that is around it.
struct Stage {
    ingest: Ingest,
    plan: ViewPlan,
    heartbeats: Heartbeats,
    heard: Receiver<Event>,
    servings: Servings,
}

impl Stage {
    /// It watches `folder/a` and `folder/b`, or only `folder` where the configuration names no tasks, and has in its
    /// store what `known` makes of its plan; `tasks` are lines of the configuration.
    fn set(
        folder: &Path,
        embedder: Box<dyn TailedEmbedder>,
        tasks: &str,
        known: impl FnOnce(&ViewPlan) -> Vec<Write>,
    ) -> Self {
        let (at, whole) = (folder.display(), embedder.space());
        let watch = if tasks.is_empty() {
            format!("watch: [{{ path: {at} }}]\nstore: {{ path: /state }}")
        } else {
            format!("watch: [{{ path: {at}/a }}, {{ path: {at}/b }}]\nstore: {{ path: {at}/state }}\n{tasks}")
        };
        let layer = Layer { name: "config.yaml".into(), source: Source::Yaml(watch) };
        let config = config::load(&[layer], "host").unwrap().config;
        let plan = ViewPlan::new(&config, whole);
        let backbone = BackboneRef { name: "played".into(), sha256: Digest::of(b"m"), dim: whole.dim };
        let spaces = views::spaces_in_use(&config, whole);
        let options = OpenOptions { spaces, backbone: &backbone, precision: Precision::F32 };
        let mut store = Store::open(&folder.join("state"), &options).unwrap();
        store.commit(&known(&plan)).unwrap();
        let scoring = Scoring { top_k: 3, rates: DoubtRates::DEFAULT };
        let servings = Servings::new(config.all_tasks().into_iter().map(|task| (task.id, scoring)));
        let (events, heard) = sync_channel(64);
        let (heartbeats, metrics) = (Heartbeats::default(), Arc::new(Metrics::new()));
        let of_task = |task: config::Task| TaskParts {
            space: views::space(&views::regions(&task), whole),
            serving: servings.of(&task.id).unwrap().clone(),
            task: task.id,
            folded_in_until: None,
            instant: true,
            seed: 0,
        };
        let parts = online_learning::Parts {
            reader: store.reader().unwrap(),
            tasks: config.all_tasks().into_iter().map(of_task).collect(),
            heartbeat: heartbeats.adapt.clone(),
            metrics: Arc::clone(&metrics),
            events: events.clone(),
        };
        let (online, _) = online_learning::spawn(parts).unwrap();
        let ingest = spawn(Parts {
            embedder,
            reader: store.reader().unwrap(),
            slots: Arc::new(Slots::new(|| true)),
            plan: plan.clone(),
            thumbnails: true,
            scenes: Scenes::default(),
            groupers: Groupers::default(),
            servings: servings.clone(),
            burst_gaps: vec![Duration::ZERO; 2],
            online,
            heartbeats: heartbeats.clone(),
            metrics,
            events,
        })
        .unwrap();
        Self { ingest, plan, heartbeats, heard, servings }
    }
}

/// Waits until it is so.
fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        thread::yield_now();
    }
}

#[test]
fn a_panic_of_the_backbone_ends_its_thread_which_the_loop_looks_for() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ingest, _, _heard) = working(folder.path(), Does::Panic);
    wait_until("the end of the thread", || ingest.threads.iter().any(JoinHandle::is_finished));
    let ended = ingest.threads.iter().position(JoinHandle::is_finished).unwrap();
    assert!(ingest.threads.swap_remove(ended).join().is_err(), "it panicked, and is not taken for a quiet end");
}

#[test]
fn a_backbone_that_does_not_return_shows_in_its_heartbeat_for_as_long_as_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (go_on, word) = channel();
    let (_ingest, heartbeats, heard) = working(folder.path(), Does::Hang(word));
    wait_until("the image to be in the backbone", || heartbeats.embed.busy().is_some());
    let seen = heartbeats.embed.busy().unwrap();
    wait_until("time to pass", || heartbeats.embed.busy().is_some_and(|busy| busy > seen));
    go_on.send(()).unwrap();
    let ingested = heard.recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(&ingested, Event::Ingest(done) if matches!(done.outcome, IngestOutcome::Image(_))),
        "{ingested:?}"
    );
    wait_until("its rest", || heartbeats.embed.busy().is_none());
}

#[test]
fn a_file_whose_sample_was_let_go_is_not_taken_in_until_it_changes() {
    for changes in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (word, released) = channel();
        let known = |path: &Path| {
            let id = SampleId::of(&picture());
            let sample = NewSample {
                id,
                origin: Origin::File(path.to_owned()),
                bytes: 70,
                arrived_at: Timestamp(1),
                embeddings: vec![(space(&preprocess()), vec![1.0, 2.0])],
                group: id,
                looks: vec![Look { task: TaskId::default(), space: space(&preprocess()), predicted: None }],
                thumbnail: None,
                picture: None,
            };
            let mut stamp = read_picture(path, &Limits::default()).unwrap().stamp;
            stamp.mtime_ns -= i64::from(changes);
            let file = Write::File { path: path.to_owned(), stamp, fate: FileDisposition::Sample(id) };
            vec![Write::Sample(Box::new(sample)), file, Write::DeleteSample { id }]
        };
        let (_ingest, _, heard) = working_on(folder.path(), Does::Hang(released), known);
        word.send(()).unwrap();
        let Event::Ingest(ingested) = heard.recv_timeout(PATIENCE).unwrap() else { panic!("it reports the file") };
        let is_taken_in = matches!(ingested.outcome, IngestOutcome::Image(_));
        assert!(is_taken_in == changes && (changes || matches!(ingested.outcome, IngestOutcome::LetGo)));
    }
}
