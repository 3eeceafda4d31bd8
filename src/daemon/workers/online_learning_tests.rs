use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use super::*;
use crate::daemon::serving::Scoring;
use crate::engine::{LabelSource, NewSample, Write};
use crate::head::{BackboneRef, DoubtRates};
use crate::store::{OpenOptions, Precision, Store};

fn id(n: u8) -> SampleId {
    SampleId::of(&[n])
}

fn space() -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 2 }
}

fn label(n: u8, at: i64) -> Write {
    let label = Label::new(if n.is_multiple_of(2) { "gear" } else { "nut" }).ok();
    Write::Label { id: id(n), label, source: LabelSource::Mqtt, at: Timestamp(at) }
}

/// Forty samples, of which the first twenty are labelled.
fn store(folder: &Path) -> Store {
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"b"), dim: 2 };
    let options = OpenOptions { space: space(), backbone: &backbone, precision: Precision::F32 };
    let mut store = Store::open(folder, &options).unwrap();
    let sample = |n: u8| NewSample {
        id: id(n),
        path: PathBuf::from(format!("/srv/{n}.jpg")),
        bytes: 1,
        arrived_at: Timestamp(0),
        embedding: vec![1.0, f32::from(n)],
        group: id(n),
        predicted: None,
    };
    let samples = (0..40).map(|n| Write::Sample(Box::new(sample(n))));
    store.commit(&samples.chain((0..20).map(|n| label(n, 1))).collect::<Vec<_>>()).unwrap();
    store
}

#[test]
fn statistics_are_written_when_they_changed_and_not_at_every_eviction() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(folder.path());
    let (events, heard) = sync_channel(64);
    let mut worker = OnlineWorker::start(Parts {
        reader: store.reader().unwrap(),
        space: space(),
        serving: Serving::new(Scoring { top_k: 1, rates: DoubtRates::DEFAULT }),
        heartbeat: Heartbeat::default(),
        events,
        folded_in_until: None,
        instant: true,
        seed: 0,
    })
    .unwrap();
    let written =
        || heard.try_iter().filter(|event| matches!(event, Event::Adapter(AdapterEvent::StatsCheckpoint(_)))).count();
    worker.fold_in_labels(Timestamp(2)).unwrap();
    assert_eq!(written(), 1, "a verdict saw twenty labels");
    worker.evict(2).unwrap();
    worker.evict(2).unwrap();
    assert_eq!(written(), 0, "what nobody has labelled is in no sum");
    store.commit(&[label(30, 3)]).unwrap();
    worker.fold_in_labels(Timestamp(4)).unwrap();
    assert_eq!(written(), 1, "one more label");
    worker.fold_in_labels(Timestamp(5)).unwrap();
    assert_eq!(written(), 0);
}
