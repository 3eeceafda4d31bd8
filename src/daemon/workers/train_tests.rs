use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::*;
use crate::engine::{HeadStatus, LabelSource, Look, NewSample, Write};
use crate::store::{OpenOptions, Precision, SpacesInUse, Store};
use crate::train::LabelStats;
use crate::words::{Digest, Label, Origin, SampleId};

fn space() -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 2 }
}

fn backbone() -> BackboneRef {
    BackboneRef { name: "tiny".into(), sha256: Digest::of(b"b"), dim: 2 }
}

/// The default task, and one that looks at the left half of pictures.
fn tasks() -> [TaskId; 2] {
    [TaskId::default(), TaskId::new("door").unwrap()]
}

fn spaces() -> SpacesInUse {
    let left = Region::rectangle([0.0, 0.0, 0.5, 1.0]).unwrap();
    let of_door = vec![(left.clone(), space().within(&left))];
    let [_, door] = tasks();
    SpacesInUse::whole(space()).with(door, of_door)
}

fn labelled_as(task: &TaskId, n: u8, label: &str) -> Write {
    let (task, id, label) = (task.clone(), SampleId::of(&[n]), Label::new(label).ok());
    Write::Label { task, id, label, source: LabelSource::Mqtt, at: Timestamp(1), change: None }
}

/// Forty samples at which both tasks look, labelled in the default one.
fn store(folder: &Path) -> Store {
    let options = OpenOptions { spaces: spaces(), backbone: &backbone(), precision: Precision::F32 };
    let mut store = Store::open(folder, &options).unwrap();
    for n in 0..40_u8 {
        let (id, at) = (SampleId::of(&[n]), f32::from(n) / 40.0);
        let embedded = [vec![f32::from(n % 2), at], vec![f32::from(n / 20), at]];
        let views = tasks().map(|task| (spaces().of(&task)[0].1, task));
        let looks =
            views.iter().map(|(space, task)| Look { task: task.clone(), space: *space, predicted: None }).collect();
        let embeddings = views.into_iter().map(|(space, _)| space).zip(embedded).collect();
        let path = format!("/srv/{n}.jpg").into();
        let sample = NewSample {
            id,
            origin: Origin::File(path),
            bytes: 1,
            arrived_at: Timestamp(0),
            embeddings,
            group: id,
            looks,
            thumbnail: None,
            picture: None,
        };
        let label = labelled_as(&tasks()[0], n, if n.is_multiple_of(2) { "gear" } else { "nut" });
        store.commit(&[Write::Sample(Box::new(sample)), label]).unwrap();
    }
    store
}

/// What comes of a training of this task, without the time that it took.
fn trained(store: &Store, task: &TaskId, version: u64, max_samples: usize) -> TrainingOutcome {
    let throttle = ThrottleSettings {
        time_limit: Duration::from_hours(1),
        low_priority: false,
        pause_above_c: None,
        pause_above_load: None,
    };
    let settings = TrainerSettings {
        task: task.clone(),
        fit: train::Settings::default(),
        rules: Rules::default(),
        backbone: backbone(),
        space: spaces().of(task)[0].1,
        parts: vec![2],
        max_samples,
        throttle,
        tuner: TunerSettings::for_test(),
    };
    let run = TrainingRun { reader: store.reader().unwrap(), settings, events: sync_channel(64).0 };
    let order = TrainingOrder { id: 1, reason: "request".into(), tune: false };
    let mut outcome = run.run(order, version, &Control::for_test(throttle)).unwrap().unwrap();
    (outcome.challenger.created, outcome.challenger.training.fit_seconds) = (Timestamp(0), 0.0);
    outcome
}

/// A head takes over, with the statistics of its labels.
fn promote(store: &mut Store, task: &TaskId, head: &HeadRecord) {
    let mut statistics = LabelStats::new(head.dense.space);
    let labelled = store.reader().unwrap().labelled(task).unwrap();
    for (row, (id, label)) in labelled.ids.iter().zip(&labelled.labels).enumerate() {
        statistics.set(*id, Some(label), &labelled.embeddings.row(row).to_vec());
    }
    let (task, version, reason) = (task.clone(), head.head.version, String::new());
    let writes = [
        Write::Head { task: task.clone(), record: Box::new(head.clone()) },
        Write::HeadStatus { task: task.clone(), version, status: HeadStatus::Champion, reason, at: Timestamp(2) },
        Write::Statistics { task, file: statistics.to_bytes() },
    ];
    store.commit(&writes).unwrap();
}

#[test]
fn a_training_of_one_task_moves_no_bit_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let [gears, door] = tasks();
    let first = trained(&store, &gears, 1, 1_000);
    promote(&mut store, &gears, &first.challenger);
    let again = trained(&store, &gears, 2, 1_000);
    let stored = |store: &Store, task: &TaskId| {
        let reader = store.reader().unwrap();
        (reader.champion(task).unwrap(), reader.statistics(task).unwrap(), reader.heads(task).unwrap())
    };
    let before = stored(&store, &gears);
    assert!(before.0.is_some() && before.1.is_some());

    let given: Vec<Write> = (0..30).map(|n| labelled_as(&door, n, if n < 20 { "open" } else { "shut" })).collect();
    store.commit(&given).unwrap();
    let of_door = trained(&store, &door, 1, 1_000);
    assert_eq!((of_door.against, of_door.verdict.promote), (None, true), "the champion of another task is none of its");
    promote(&mut store, &door, &of_door.challenger);
    let HeadRecord { dense, region, training, .. } = &of_door.challenger;
    let classes: Vec<&str> = dense.classes.labels().iter().map(Label::as_str).collect();
    assert_eq!((classes, dense.space, training.n_train), (vec!["open", "shut"], spaces().of(&door)[0].1, 30));
    assert_eq!(*region, spaces().of(&door)[0].0);

    assert_eq!(stored(&store, &gears), before);
    let later = trained(&store, &gears, 2, 1_000);
    assert_eq!(later.challenger.to_bytes(), again.challenger.to_bytes());
    assert_eq!((later.against, &later.verdict), (Some(1), &again.verdict));
    assert_eq!(trained(&store, &door, 2, 1_000).against, Some(1));
}

#[test]
fn the_held_out_answers_are_those_that_the_figures_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let [_, door] = tasks();
    let given: Vec<Write> = (0..40).map(|n| labelled_as(&door, n, ["open", "shut", "ajar"][n as usize % 3])).collect();
    store.commit(&given).unwrap();
    let outcome = trained(&store, &door, 1, 1_000);
    let counted = outcome.challenger.figures.expect("enough is held out").confusion;
    assert_eq!(outcome.answers.table(3), counted);
    let wrong = outcome.answers.cells(1_000).iter().filter(|((truth, answer), _)| truth != answer).count();
    assert!(wrong > 0, "labels that say nothing of the picture: {counted:?}");
}

#[test]
fn each_task_has_a_bound_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let [gears, door] = tasks();
    let given: Vec<Write> = (0..40).map(|n| labelled_as(&door, n, if n < 20 { "open" } else { "shut" })).collect();
    store.commit(&given).unwrap();
    let counts =
        [(&gears, 1_000), (&door, 24)].map(|(task, max)| trained(&store, task, 1, max).challenger.training.n_train);
    assert_eq!(counts, [40, 24]);
}

#[test]
fn a_training_builds_on_the_head_of_a_fleet_and_so_do_those_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let [gears, _] = tasks();
    let classes = ["gear", "nut", "washer"].iter().map(|name| Label::new(name).unwrap()).collect();
    let (weights, bias) = (ndarray::array![[-1.0, 0.0], [1.0, 0.0], [0.0, 4.0]], ndarray::array![0.5, -0.5, -3.0]);
    let of_fleet = DenseHead::linear(space(), classes, weights, bias);
    let pushed = HeadRecord::new(of_fleet.clone(), 1, Timestamp(0), backbone());
    promote(&mut store, &gears, &HeadRecord { prior: Some(of_fleet.clone()), ..pushed });
    for version in 2..4 {
        let outcome = trained(&store, &gears, version, 1_000);
        let HeadRecord { dense, prior, .. } = &outcome.challenger;
        assert_eq!((prior.as_ref(), &dense.classes), (Some(&of_fleet), &of_fleet.classes));
        let washer = dense.probabilities(&[0.5, 3.0]).unwrap();
        assert!(washer[2] > 0.5, "version {version} forgot what was never seen here: {washer:?}");
        assert!(outcome.verdict.promote, "{:?}", outcome.verdict);
        promote(&mut store, &gears, &outcome.challenger);
    }
    // Sums of another backbone say nothing of these embeddings.
    let foreign = DenseHead { space: EmbeddingSpace { backbone: Digest::of(b"other"), ..space() }, ..of_fleet };
    let (_, serving) = champion(&store.reader().unwrap(), &gears, space()).unwrap();
    let mut moved = HeadRecord { prior: Some(foreign), ..serving.unwrap() };
    moved.head.version = 4;
    promote(&mut store, &gears, &moved);
    let outcome = trained(&store, &gears, 5, 1_000);
    assert_eq!((&outcome.challenger.prior, outcome.challenger.dense.classes.len()), (&None, 2));
}
