//! The fit for another backbone, without a model: its embeddings are in the store already.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::*;
use crate::daemon::throttle::ThrottleSettings;
use crate::engine::{LabelSource, NewSample, Write};
use crate::eval::gate::Rules;
use crate::store::Store;
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
    let options = |space, backbone| OpenOptions { space, backbone, precision: Precision::F32 };
    let mut store = Store::open(folder, &options(space(b"b"), &present)).unwrap();
    let mut cache = Cache::open(folder, &options(space(b"next"), &next)).unwrap();
    for n in 0..20_u8 {
        let (id, embedding) = (SampleId::of(&[n]), vec![f32::from(n % 2), f32::from(n) / 20.0]);
        cache.put([(&id, embedding.as_slice())]).unwrap();
        let sample = NewSample {
            id,
            path: PathBuf::from(format!("/srv/{n}.jpg")),
            bytes: 1,
            arrived_at: Timestamp(0),
            embedding,
            group: id,
            predicted: None,
        };
        let label = Label::new(if n.is_multiple_of(2) { "gear" } else { "nut" }).ok();
        let label = Write::Label { id, label, source: LabelSource::Mqtt, at: Timestamp(1) };
        store.commit(&[Write::Sample(Box::new(sample)), label]).unwrap();
    }
    store
}

/// What comes of the comparison of a head for the next backbone under these settings.
fn compared(throttle: ThrottleSettings) -> Result<Option<Compared>, AnyError> {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let order =
        SwapOrder { sha256: Digest::of(b"next"), name: "tiny".into(), manifest: serde_json::json!({}), version: 7 };
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
fn a_head_for_the_next_backbone_is_fitted_within_the_time_limit_of_trainings() {
    let Compared { challenger, verdict, against } = compared(PATIENT).unwrap().unwrap();
    let head = challenger.unwrap();
    assert_eq!((head.dense.space, head.head.version, against), (space(b"next"), 7, None), "{verdict:?}");
    assert!(verdict.reason.contains("head 7"), "{verdict:?}");
    let late = compared(ThrottleSettings { time_limit: Duration::ZERO, ..PATIENT }).unwrap_err();
    assert!(late.to_string().contains("training.time_limit"), "{late}");
}
