use std::path::Path;
use std::time::Duration;

use ndarray::{Array1, Array2};

use super::super::train::champion_of;
use super::*;
use crate::daemon::throttle::ThrottleSettings;
use crate::engine::{HeadInfo, LabelSource, Look, NewSample, Write};
use crate::eval::gate::{Rules, VerdictCode};
use crate::head::{BackboneRef, DenseHead};
use crate::store::{OpenOptions, Precision, SpacesInUse, Store, StoredHead};
use crate::train;
use crate::wire::UpdateKind;
use crate::words::{Label, Origin, SampleId, TaskId, Timestamp};

fn space(backbone: &[u8]) -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(backbone), preprocessing: Digest::of(b"p"), dim: 2 }
}

fn backbone() -> BackboneRef {
    BackboneRef { name: "tiny".into(), sha256: Digest::of(b"m"), dim: 2 }
}

fn settings() -> TrainerSettings {
    TrainerSettings {
        task: TaskId::default(),
        fit: train::Settings::default(),
        rules: Rules::default(),
        backbone: backbone(),
        space: space(b"b"),
        parts: vec![2],
        max_samples: 1_000,
        throttle: ThrottleSettings {
            time_limit: Duration::from_mins(1),
            low_priority: false,
            pause_above_c: None,
            pause_above_load: None,
        },
        tuner: tuning::TunerSettings::for_test(),
    }
}

/// A head of `labels`, in their order by name, that tells the first two by the sign of the first value, times `sign`.
fn head(labels: &[&str], sign: f32, backbone_digest: &[u8]) -> HeadRecord {
    let mut weights = Array2::zeros((labels.len(), 2));
    if labels.len() > 1 {
        (weights[[0, 0]], weights[[1, 0]]) = (3.0 * sign, -3.0 * sign);
    }
    let classes = labels.iter().map(|label| Label::new(label).unwrap()).collect();
    let dense = DenseHead::linear(space(backbone_digest), classes, weights, Array1::zeros(labels.len()));
    HeadRecord::new(dense, 1, Timestamp(0), backbone())
}

fn store(folder: &Path) -> Store {
    let backbone = backbone();
    Store::open(
        folder,
        &OpenOptions { spaces: SpacesInUse::whole(space(b"b")), backbone: &backbone, precision: Precision::F32 },
    )
    .unwrap()
}

/// Forty labelled images of two classes, told apart by the sign of their first value.
fn labelled() -> Vec<Write> {
    let one = |n: u8| {
        let (class, side) = if n.is_multiple_of(2) { ("bolt", 1.0) } else { ("nut", -1.0) };
        let sample = NewSample {
            id: SampleId::of(&[n]),
            origin: Origin::File(format!("/srv/{n}.jpg").into()),
            bytes: 1,
            arrived_at: Timestamp(0),
            embeddings: vec![(space(b"b"), vec![side, f32::from(n) / 40.0])],
            group: SampleId::of(&[n]),
            looks: vec![Look { task: TaskId::default(), space: space(b"b"), predicted: None }],
            thumbnail: None,
            picture: None,
        };
        let label = Some(Label::new(class).unwrap());
        let label = Write::Label {
            task: TaskId::default(),
            id: sample.id,
            label,
            source: LabelSource::Mqtt,
            at: Timestamp(1),
            change: None,
        };
        [Write::Sample(Box::new(sample)), label]
    };
    (0..40).flat_map(one).collect()
}

/// The result of the check when these chunks have arrived and the manifest is of the file `signed`, a head of our backbone.
fn found(chunks: &[(u32, &[u8])], signed: &[u8], more: &[Write]) -> Result<Checked, Code> {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let chunk = |(n, bytes): &(u32, &[u8])| Write::Chunk { kind: UpdateKind::Head, n: *n, bytes: bytes.to_vec() };
    let writes: Vec<Write> = more.iter().cloned().chain(chunks.iter().map(chunk)).collect();
    store.commit(&writes).unwrap();
    let manifest = Manifest {
        name: "parts".into(),
        version: 5,
        size: signed.len() as u64,
        sha256: Digest::of(signed),
        chunk_bytes: 1_024,
        created: Timestamp(0),
        expires: Timestamp(1),
        devices: None,
        contents: Contents::Head { task: None, backbone: backbone(), space: space(b"b") },
        signed_by: "0".into(),
    };
    check(&manifest, 2, &store.reader().unwrap(), &settings(), &Control::for_test(settings().throttle))
        .unwrap()
        .map_err(|refusal| refusal.code)
}

fn head_found(bytes: &[u8], more: &[Write]) -> CheckedHead {
    let middle = bytes.len() / 2;
    match found(&[(0, &bytes[..middle]), (1, &bytes[middle..])], bytes, more) {
        Ok(Checked::Head(head)) => *head,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_head_is_found_and_measured_on_the_labels_that_are_here() {
    let bytes = head(&["bolt", "nut"], 1.0, b"b").to_bytes();
    let without = head_found(&bytes, &[]);
    assert!(without.verdict.promote && without.verdict.provisional && without.record.figures.is_none());
    let with = head_found(&bytes, &labelled());
    assert_eq!((with.verdict.code, with.against), (VerdictCode::First, None));
    let right = with.record.figures.map(|figures| figures.confusion);
    assert_eq!(right, Some(vec![vec![20, 0], vec![0, 20]]));
    let wrong = head(&["bolt", "nut"], -1.0, b"b").to_bytes();
    assert_eq!(head_found(&wrong, &labelled()).verdict.code, VerdictCode::Chance);
}

#[test]
fn a_head_is_held_against_the_one_in_service() {
    let champion = head(&["bolt", "nut"], 1.0, b"b");
    let mut writes = labelled();
    writes.push(Write::Head { task: TaskId::default(), record: Box::new(champion) });
    let (status, reason) = (crate::engine::HeadStatus::Champion, String::new());
    writes.push(Write::HeadStatus { task: TaskId::default(), version: 1, status, reason, at: Timestamp(0) });
    let wrong = head_found(&head(&["bolt", "nut"], -1.0, b"b").to_bytes(), &writes);
    assert_eq!((wrong.verdict.promote, wrong.against, wrong.record.head.version), (false, Some(1), 2));
    let other = head_found(&head(&["bolt", "nut", "washer"], 1.0, b"b").to_bytes(), &writes);
    assert!(other.verdict.promote, "{:?}", other.verdict);
    let lost = head_found(&head(&["bolt", "gear"], 1.0, b"b").to_bytes(), &writes);
    assert_eq!(lost.verdict.code, VerdictCode::ClassLost);
}

#[test]
fn a_head_is_held_against_the_one_of_its_own_task() {
    let door = TaskId::new("door").unwrap();
    let (status, reason) = (crate::engine::HeadStatus::Champion, String::new());
    let bytes = head(&["bolt", "nut"], 1.0, b"b").to_bytes();
    let with_champion_of = |task: TaskId| {
        let mut writes = labelled();
        writes.push(Write::Head { task: task.clone(), record: Box::new(head(&["bolt", "gear"], 1.0, b"b")) });
        writes.push(Write::HeadStatus { task, version: 1, status, reason: reason.clone(), at: Timestamp(0) });
        head_found(&bytes, &writes)
    };
    let other = with_champion_of(door);
    assert_eq!((other.against, other.verdict.code), (None, VerdictCode::First));
    let own = with_champion_of(TaskId::default());
    assert_eq!((own.against, own.verdict.code), (Some(1), VerdictCode::ClassLost));
}

#[test]
fn a_file_that_is_not_what_the_manifest_says_is_refused() {
    let bytes = head(&["bolt", "nut"], 1.0, b"b").to_bytes();
    let (first, second) = bytes.split_at(100);
    let mut flipped = second.to_vec();
    flipped[7] ^= 1;
    for chunks in [
        &[(0, first), (1, &flipped[..])][..],
        &[(0, second), (1, first)],
        &[(0, first)],
        &[(1, first), (2, second)],
        &[(0, first), (1, second), (2, b"x")],
        &[],
    ] {
        assert_eq!(found(chunks, &bytes, &[]).err(), Some(Code::Sha256), "{} chunks", chunks.len());
    }
}

#[test]
fn what_is_no_head_or_one_of_another_backbone_is_refused_though_it_was_signed() {
    let whole = |bytes: &[u8]| found(&[(0, bytes)], bytes, &[]).err();
    assert_eq!(whole(b"no head at all"), Some(Code::BadContent));
    let good = head(&["bolt", "nut"], 1.0, b"b").to_bytes();
    assert_eq!(whole(&good[..good.len() - 1]), Some(Code::BadContent));
    assert_eq!(whole(&head(&["bolt", "nut"], 1.0, b"another").to_bytes()), Some(Code::WrongBackbone));
    assert_eq!(whole(&head(&["bolt"], 1.0, b"b").to_bytes()), Some(Code::BadContent));
    let mut huge = head(&["bolt", "nut"], 1.0, b"b");
    huge.dense.weights.fill(f32::MAX);
    huge.head.id = huge.dense.id();
    assert_eq!(whole(&huge.to_bytes()), Some(Code::BadContent), "finite weights, and logits that are not");
}

#[test]
fn a_champion_whose_file_is_damaged_is_the_one_that_serves_all_the_same() {
    let info = HeadInfo::of(&head(&["bolt", "nut"], 1.0, b"b"), "better".into());
    let (against, record) = champion_of(&StoredHead { info, bytes: b"no head".to_vec() });
    assert_eq!((against, record.is_none()), (Some(1), true), "the engine compares this version with its own");
}
