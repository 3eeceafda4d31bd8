use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use ndarray::{Array1, array};

use super::*;
use crate::daemon::serving::{Scoring, Serving};
use crate::engine::{LabelSource, Look, NewSample, Scored, Write};
use crate::head::{BackboneRef, DenseHead, DoubtRates};
use crate::store::{OpenOptions, Precision, SpacesInUse, Store};
use crate::train::LabelStats;
use crate::words::{Digest, EmbeddingSpace, Origin, Region};

fn id(n: u8) -> SampleId {
    SampleId::of(&[n])
}

fn space() -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 2 }
}

fn backbone() -> BackboneRef {
    BackboneRef { name: "tiny".into(), sha256: Digest::of(b"b"), dim: 2 }
}

fn only() -> TaskId {
    TaskId::default()
}

fn door() -> TaskId {
    TaskId::new("door").unwrap()
}

fn labelled_as(task: TaskId, n: u8, label: &str, at: i64) -> Write {
    let label = Label::new(label).ok();
    Write::Label { task, id: id(n), label, source: LabelSource::Mqtt, at: Timestamp(at), change: None }
}

fn label(n: u8, at: i64) -> Write {
    labelled_as(only(), n, if n.is_multiple_of(2) { "gear" } else { "nut" }, at)
}

/// Forty samples at which two tasks look, of which the first twenty are labelled in the default one.
fn store(folder: &Path) -> Store {
    let spaces = SpacesInUse::whole(space()).with(door(), vec![(Region::WHOLE, space())]);
    let options = OpenOptions { spaces, backbone: &backbone(), precision: Precision::F32 };
    let mut store = Store::open(folder, &options).unwrap();
    let sample = |n: u8| NewSample {
        id: id(n),
        origin: Origin::File(PathBuf::from(format!("/srv/{n}.jpg"))),
        bytes: 1,
        arrived_at: Timestamp(0),
        embeddings: vec![(space(), vec![1.0, f32::from(n)])],
        group: id(n),
        looks: [only(), door()].map(|task| Look { task, space: space(), predicted: None }).to_vec(),
        thumbnail: None,
        picture: None,
    };
    let samples = (0..40).map(|n| Write::Sample(Box::new(sample(n))));
    store.commit(&samples.chain((0..20).map(|n| label(n, 1))).collect::<Vec<_>>()).unwrap();
    store
}

/// A worker for these tasks, in whose statistics the labels before this time are.
fn worker_of(
    store: &Store,
    tasks: &[(TaskId, &Serving)],
    until: Option<i64>,
    events: SyncSender<Event>,
) -> OnlineWorker {
    let task = |(task, serving): &(TaskId, &Serving)| TaskParts {
        task: task.clone(),
        space: space(),
        serving: (*serving).clone(),
        folded_in_until: until.map(Timestamp),
        instant: true,
        seed: 0,
    };
    let tasks = tasks.iter().map(task).collect();
    let reader = store.reader().unwrap();
    OnlineWorker::start(Parts {
        reader,
        tasks,
        heartbeat: Heartbeat::default(),
        metrics: Arc::new(Metrics::new()),
        events,
    })
    .unwrap()
}

fn serving() -> Serving {
    Serving::new(Scoring { top_k: 2, rates: DoubtRates::DEFAULT })
}

fn worker(store: &Store, events: SyncSender<Event>) -> OnlineWorker {
    worker_of(store, &[(only(), &serving())], None, events)
}

impl OnlineWorker {
    fn fold_in(&mut self, task: TaskId, before: i64) {
        self.for_task(task, TaskJob::FoldInLabels(Timestamp(before))).unwrap();
    }

    fn learn(&mut self, task: TaskId, n: u8) {
        self.for_task(task, TaskJob::Learn(vec![id(n)])).unwrap();
    }

    /// Samples in the statistics of a task.
    fn held(&self, task: &TaskId) -> Vec<SampleId> {
        held(self.tasks[task].statistics())
    }
}

fn held(statistics: &LabelStats) -> Vec<SampleId> {
    statistics.contributors().map(|(id, _)| *id).collect()
}

#[test]
fn what_is_forgotten_is_in_no_statistics_before_and_after_it_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let (events, heard) = sync_channel(64);
    let mut worker = worker_of(&store, &[(only(), &serving()), (door(), &serving())], None, events);
    let doors: Vec<Write> = (0..10).map(|n| labelled_as(door(), n, "open", 1)).collect();
    store.commit(&doors).unwrap();
    worker.fold_in(only(), 2);
    worker.fold_in(door(), 2);
    store.commit(&[label(30, 3), labelled_as(door(), 31, "shut", 3)]).unwrap();
    worker.learn(only(), 30);
    worker.learn(door(), 31);
    let known = |worker: &OnlineWorker, task| (worker.held(&task).len(), worker.tasks[&task].evidence());
    assert_eq!((known(&worker, only()), known(&worker, door())), ((20, 1), (10, 1)));
    worker.forget(7, vec![id(0), id(30), id(31), id(39)]).unwrap();
    // A verdict comes before they are deleted.
    worker.fold_in(only(), 9);
    worker.fold_in(door(), 9);
    let sent = |event: Event| match event {
        Event::Adapter(AdapterEvent::StatisticsWithout { job: 7, ids, files }) => Some((ids, files)),
        _ => None,
    };
    let (ids, files) = heard.try_iter().find_map(sent).unwrap();
    store.commit(&ids.iter().map(|id| Write::DeleteSample { id: *id }).collect::<Vec<_>>()).unwrap();
    worker.fold_in(only(), 10);
    worker.fold_in(door(), 10);
    assert_eq!(files.len(), 2, "of each task");
    for ((task, file), count) in files.into_iter().zip([19, 9]) {
        let stored = LabelStats::from_bytes(&file).unwrap();
        for held in [held(&stored), worker.held(&task)] {
            assert_eq!(held.len(), count, "{task}");
            assert!(ids.iter().all(|id| !held.contains(id)), "{task}");
        }
        assert_eq!(worker.tasks[&task].evidence(), 0, "corrections of {task} let go of them too");
    }
}

#[test]
fn what_is_excluded_is_in_no_statistics_at_once_and_comes_back_with_its_label() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let (events, _heard) = sync_channel(64);
    let mut worker = worker_of(&store, &[(only(), &serving()), (door(), &serving())], None, events);
    store.commit(&[labelled_as(door(), 0, "open", 1)]).unwrap();
    worker.fold_in(only(), 2);
    worker.fold_in(door(), 2);
    store.commit(&[label(30, 3)]).unwrap();
    worker.learn(only(), 30);
    let exclude = |store: &mut Store, excluded| {
        let (task, source, change) = (only(), LabelSource::Mqtt, Some(1));
        let of = |n| Write::Excluded { task: task.clone(), id: id(n), excluded, source, at: Timestamp(4), change };
        store.commit(&[0, 30].map(of)).unwrap();
    };
    exclude(&mut store, true);
    worker.for_task(only(), TaskJob::Learn(vec![id(0), id(30)])).unwrap();
    let known = |worker: &OnlineWorker| (worker.held(&only()).len(), worker.tasks[&only()].evidence());
    assert_eq!((known(&worker), worker.held(&door())), ((19, 0), vec![id(0)]), "another task goes on with it");
    // Neither a verdict nor a restart brings it back.
    worker.fold_in(only(), 9);
    assert_eq!(known(&worker), (19, 0));
    let restarted = worker_of(&store, &[(only(), &serving())], Some(9), sync_channel(64).0);
    assert_eq!(known(&restarted), (19, 0));
    exclude(&mut store, false);
    worker.for_task(only(), TaskJob::Learn(vec![id(0), id(30)])).unwrap();
    assert_eq!(known(&worker), (19, 2), "they act at once");
    worker.fold_in(only(), 10);
    assert_eq!(known(&worker), (21, 0));
}

#[test]
fn what_stays_after_all_is_learned_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (events, _heard) = sync_channel(64);
    let mut worker = worker(&store, events);
    worker.fold_in(only(), 2);
    worker.forget(7, vec![id(0)]).unwrap();
    worker.learn(only(), 0);
    worker.fold_in(only(), 9);
    assert_eq!(worker.held(&only()).len(), 20);
}

#[test]
fn statistics_are_written_when_they_changed_and_not_at_every_eviction() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let (events, heard) = sync_channel(64);
    let mut worker = worker(&store, events);
    let written =
        || heard.try_iter().filter(|event| matches!(event, Event::Adapter(AdapterEvent::StatsCheckpoint(..)))).count();
    worker.fold_in(only(), 2);
    assert_eq!(written(), 1, "a verdict saw twenty labels");
    worker.evict(2).unwrap();
    worker.evict(2).unwrap();
    assert_eq!(written(), 0, "what nobody has labelled is in no sum");
    store.commit(&[label(30, 3)]).unwrap();
    worker.fold_in(only(), 4);
    assert_eq!(written(), 1, "one more label");
    worker.fold_in(only(), 5);
    assert_eq!(written(), 0);
}

/// A head of two classes that tells nothing.
fn head(classes: [&str; 2]) -> Arc<HeadRecord> {
    let classes = classes.into_iter().filter_map(|name| Label::new(name).ok()).collect();
    let weights = array![[0.0, 0.01], [0.0, -0.01]];
    let dense = DenseHead::linear(space(), classes, weights, Array1::zeros(2));
    Arc::new(HeadRecord::new(dense, 1, Timestamp(0), backbone()))
}

#[test]
fn a_label_of_one_task_moves_nothing_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let doors: Vec<Write> = (0..20).map(|n| labelled_as(door(), n, if n < 10 { "open" } else { "shut" }, 1)).collect();
    store.commit(&doors).unwrap();
    let (events, heard) = sync_channel(64);
    let servings = [serving(), serving()];
    let mut worker = worker_of(&store, &[(only(), &servings[0]), (door(), &servings[1])], Some(2), events);
    for ((task, serving), classes) in
        [only(), door()].into_iter().zip(&servings).zip([["gear", "nut"], ["open", "shut"]])
    {
        serving.set(Some(head(classes)));
        worker.for_task(task, TaskJob::Serve(Some(head(classes)))).unwrap();
    }
    let scored = |serving: &Serving| {
        (0..40).filter_map(|n| serving.score(&[1.0, f32::from(n as u8)], &[])).collect::<Vec<Scored>>()
    };
    let statistics = |worker: &OnlineWorker, task| worker.tasks[&task].statistics().to_bytes();
    for (task, other) in [(0, 1), (1, 0)] {
        let names = [only(), door()];
        let before = (scored(&servings[other]), statistics(&worker, names[other].clone()));
        let own = scored(&servings[task]);
        let given: Vec<Write> =
            (30..36).map(|n| labelled_as(names[task].clone(), n, "third", 3 + task as i64)).collect();
        store.commit(&given).unwrap();
        (30..36).for_each(|n| worker.learn(names[task].clone(), n));
        assert_ne!(scored(&servings[task]), own, "{}: its labels act at once", names[task]);
        worker.fold_in(names[task].clone(), 9);
        assert_eq!(worker.held(&names[task]).len(), 26);
        assert_eq!((scored(&servings[other]), statistics(&worker, names[other].clone())), before, "{}", names[other]);
        let sent = |event| match event {
            Event::Adapter(AdapterEvent::StatsCheckpoint(task, _)) => Some(task),
            _ => None,
        };
        assert_eq!(heard.try_iter().filter_map(sent).collect::<Vec<_>>(), [names[task].clone()]);
    }
}

#[test]
fn what_a_task_needs_is_evicted_when_its_own_statistics_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let gone = TaskId::new("gone").unwrap();
    let both: Vec<Write> = (0..39).map(|n| labelled_as(only(), n, "gear", 1)).collect();
    store.commit(&both).unwrap();
    store.commit(&(0..30).map(|n| labelled_as(door(), n, "open", 1)).collect::<Vec<_>>()).unwrap();
    store.commit(&[labelled_as(gone, 39, "red", 1)]).unwrap();
    let (events, heard) = sync_channel(64);
    let mut worker = worker_of(&store, &[(only(), &serving()), (door(), &serving())], None, events);
    let found = |worker: &mut OnlineWorker| {
        worker.evict(40).unwrap();
        let sent = |event| match event {
            Event::Adapter(AdapterEvent::EvictionCandidates(found)) => Some(found),
            _ => None,
        };
        heard.try_iter().find_map(sent).unwrap()
    };
    assert_eq!(found(&mut worker), [], "no statistics hold a label, and the last image has one of a task that is away");
    worker.fold_in(only(), 2);
    let first = found(&mut worker);
    assert_eq!(first, [], "nine are labelled in one task alone, fewer than always stay");
    worker.fold_in(door(), 2);
    let second = found(&mut worker);
    assert_eq!(second.len(), 19, "twenty of 'gear' stay, of 'open' too");
    let labels = |n: u8| {
        let all = [(only(), "gear"), (door(), "open")].map(|(task, label)| (task, Label::new(label).unwrap()));
        all[..if n < 30 { 2 } else { 1 }].to_vec()
    };
    for candidate in second {
        let n = (0..39).find(|n| id(*n) == candidate.id).unwrap();
        assert_eq!((candidate.labels, candidate.why), (labels(n), Why::Redundant));
    }
}

#[test]
fn images_of_one_task_leave_room_for_those_of_another() {
    let (handle, jobs) = queue([only(), door()].into_iter());
    let image = || Observed { group: id(0), embedding: vec![1.0, 0.0], predicted: None, arrived_at: Timestamp(0) };
    (0..100).for_each(|_| handle.observe(&only(), image()));
    (0..10).for_each(|_| handle.observe(&door(), image()));
    handle.observe(&TaskId::new("gone").unwrap(), image());
    let mut waiting: BTreeMap<TaskId, usize> = BTreeMap::new();
    for job in jobs.try_iter() {
        let Job::Task(task, TaskJob::Observed(_)) = job else { panic!("only images were queued") };
        *waiting.entry(task).or_default() += 1;
    }
    assert_eq!(waiting, BTreeMap::from([(only(), OBSERVED), (door(), 10)]));
}
