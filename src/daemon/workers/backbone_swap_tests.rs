use std::fs;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use super::*;
use crate::engine::{LabelSource, Look, ModelSource, NewSample, Write};
use crate::eval::gate::Rules;
use crate::store::{Cache, CacheOptions, OpenOptions, Precision, Store};
use crate::train;
use crate::words::{Digest, Execution, Label, Origin, Region};

fn space(backbone: &[u8]) -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(backbone), preprocessing: Digest::of(b"p"), dim: 2 }
}

fn reference(backbone: &[u8]) -> BackboneRef {
    BackboneRef { name: "tiny".into(), sha256: Digest::of(backbone), dim: 2 }
}

fn door() -> TaskId {
    TaskId::new("door").unwrap()
}

/// The door is in the left half of pictures.
fn left() -> Region {
    Region::rectangle([0.0, 0.0, 0.5, 1.0]).unwrap()
}

/// What two tasks look through.
fn spaces(backbone: &[u8]) -> SpacesInUse {
    SpacesInUse::whole(space(backbone)).with(door(), vec![(left(), space(backbone).within(&left()))])
}

/// Twenty samples, labelled in two tasks, embedded by the present backbone and by the next one.
fn store(folder: &Path) -> Store {
    let (present, next) = (reference(b"b"), reference(b"next"));
    let options = OpenOptions { spaces: spaces(b"b"), backbone: &present, precision: Precision::F32 };
    let mut store = Store::open(folder, &options).unwrap();
    let mut caches = spaces(b"next").all().into_iter().map(|(_, space)| {
        Cache::open(folder, &CacheOptions { space, backbone: &next, precision: Precision::F32 }).unwrap()
    });
    let (mut whole, mut part) = (caches.next().unwrap(), caches.next().unwrap());
    for n in 0..20_u8 {
        let (id, half) = (SampleId::of(&[n]), f32::from(n) / 20.0);
        let embedded = [vec![f32::from(n % 2), half], vec![half, f32::from(n / 10)]];
        whole.put([(&id, embedded[0].as_slice())]).unwrap();
        part.put([(&id, embedded[1].as_slice())]).unwrap();
        let (mut embeddings, mut looks, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let given = [if n.is_multiple_of(2) { "gear" } else { "nut" }, if n < 10 { "open" } else { "shut" }];
        for ((task, embedding), label) in [TaskId::default(), door()].into_iter().zip(embedded).zip(given) {
            let space = spaces(b"b").of(&task)[0].1;
            embeddings.push((space, embedding));
            looks.push(Look { task: task.clone(), space, predicted: None });
            let label = Label::new(label).ok();
            labels.push(Write::Label { task, id, label, source: LabelSource::Mqtt, at: Timestamp(1), change: None });
        }
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
        store.commit(&[Write::Sample(Box::new(sample))]).unwrap();
        store.commit(&labels).unwrap();
    }
    store
}

/// A training under these settings.
fn trainer(task: TaskId, throttle: ThrottleSettings) -> TrainerSettings {
    TrainerSettings {
        fit: train::Settings::default(),
        rules: Rules::default(),
        backbone: reference(b"b"),
        space: spaces(b"b").of(&task)[0].1,
        parts: vec![2],
        task,
        max_samples: 1_000,
        throttle,
        tuner: crate::daemon::workers::tuning::TunerSettings::for_test(),
    }
}

/// What comes of the comparison of heads of these tasks for the next backbone.
fn compared(trainers: &[TrainerSettings]) -> Result<Option<Vec<SwapPair>>, AnyError> {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let order = SwapOrder {
        files: Digest::of(b"next"),
        name: "tiny".into(),
        manifest: serde_json::json!({}),
        model: ModelSource::Chunks,
        versions: [(TaskId::default(), 7), (door(), 3)].into(),
    };
    let parts = Parts {
        order,
        reader: store.reader().unwrap(),
        dir: BackboneDir {
            folder: folder.path().to_owned(),
            execution: Execution::on_cpu(1),
            precision: Precision::F32,
        },
        trainers: trainers.iter().map(|trainer| (trainer.task.clone(), trainer.clone())).collect(),
        events: sync_channel(1).0,
    };
    let preparation = Preparation { parts, control: Control::for_test(PATIENT) };
    preparation.compare(&spaces(b"next"), Next { whole: space(b"next"), parts: &[2], reference: &reference(b"next") })
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
    let dir =
        BackboneDir { folder: folder.path().to_owned(), execution: Execution::on_cpu(1), precision: Precision::F32 };
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
    let pairs = compared(&[trainer(TaskId::default(), PATIENT)]).unwrap().unwrap();
    let [SwapPair { task, challenger: Some(head), verdict, against }] = &pairs[..] else { panic!("{pairs:?}") };
    assert!(task.is_default());
    assert_eq!((head.dense.space, head.head.version, *against), (space(b"next"), 7, None), "{verdict:?}");
    assert!(verdict.reason.contains("head 7"), "{verdict:?}");
    let hasty = ThrottleSettings { time_limit: Duration::ZERO, ..PATIENT };
    let late = compared(&[trainer(TaskId::default(), PATIENT), trainer(door(), hasty)]).unwrap_err();
    assert!(late.to_string().contains("training.time_limit"), "{late}");
}

#[test]
fn each_task_gets_a_head_and_a_verdict_of_its_own() {
    let both = compared(&[trainer(TaskId::default(), PATIENT), trainer(door(), PATIENT)]).unwrap().unwrap();
    let alone = compared(&[trainer(TaskId::default(), PATIENT)]).unwrap().unwrap();
    let [gears, doors] = &both[..] else { panic!("{both:?}") };
    let [gears_alone] = &alone[..] else { panic!("{alone:?}") };
    let untimed = |pair: &SwapPair| {
        let mut head = pair.challenger.clone().unwrap();
        (head.created, head.training.fit_seconds) = (Timestamp(0), 0.0);
        head.to_bytes()
    };
    assert_eq!(untimed(gears), untimed(gears_alone), "another task moves no bit of it");
    let head = doors.challenger.as_ref().unwrap();
    assert_eq!((&doors.task, head.head.version), (&door(), 3));
    assert_eq!((head.dense.space, &head.region), (space(b"next").within(&left()), &left()));
    let classes: Vec<&str> = head.dense.classes.labels().iter().map(Label::as_str).collect();
    assert_eq!(classes, ["open", "shut"]);
    assert!(doors.verdict.promote && gears.verdict.promote, "{both:?}");
}

#[test]
fn what_is_for_all_tasks_waits_when_a_training_of_one_would() {
    let hot = ThrottleSettings { pause_above_c: Some(70.0), pause_above_load: Some(3.0), ..PATIENT };
    let busy = ThrottleSettings { low_priority: true, pause_above_load: Some(1.5), ..PATIENT };
    let all = strictest([PATIENT, hot, busy].into_iter());
    assert_eq!((all.low_priority, all.pause_above_c, all.pause_above_load), (true, Some(70.0), Some(1.5)));
}
