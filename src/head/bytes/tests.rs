use ndarray::array;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::head::dense::tests::head;

fn record() -> HeadRecord {
    let dense = head();
    HeadRecord {
        head: HeadRef { id: dense.id(), version: 7 },
        created: Timestamp(1_700_000_000_120),
        backbone: BackboneRef { name: "tiny".into(), sha256: Digest::of(b"model"), dim: 2 },
        training: TrainingFacts {
            solver: "lbfgs".into(),
            lambda: 0.1,
            lambda_path: vec![(1.0, 0.7), (0.1, 1.0 / 3.0)],
            loss: 0.123_456_789_012_345_6,
            iterations: 12,
            converged: true,
            n_train: 2,
            seed: 3,
            fit_seconds: 0.25,
        },
        figures: None,
        heldout: HeldOut {
            ids: vec![SampleId::of(b"a"), SampleId::of(b"b")],
            logits: array![[1.0, -2.0, f32::NEG_INFINITY], [0.5, 0.25, 3.0]],
        },
        dense,
    }
}

/// The record's bytes after `edit` changed the document in its header (checksums are not renewed).
fn edited(edit: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    rebuilt(&record().to_bytes(), |header| {
        let text = header["__metadata__"][KEY].as_str().unwrap();
        let mut document = serde_json::from_str(text).unwrap();
        edit(&mut document);
        header["__metadata__"][KEY] = document.to_string().into();
    })
}

/// `bytes` with another container header.
fn rebuilt(bytes: &[u8], edit: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    edit(&mut header);
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]].concat()
}

fn refusal(bytes: &[u8]) -> String {
    HeadRecord::from_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn a_record_comes_back_as_it_was_and_its_bytes_never_vary() {
    let record = record();
    let bytes = record.to_bytes();
    assert_eq!(HeadRecord::from_bytes(&bytes).unwrap(), record);
    assert!((0..8).all(|_| record.to_bytes() == bytes));
}

#[test]
fn a_head_without_held_out_samples_comes_back_too() {
    let record = HeadRecord { heldout: HeldOut { ids: vec![], logits: Array2::zeros((0, 3)) }, ..record() };
    assert_eq!(HeadRecord::from_bytes(&record.to_bytes()).unwrap(), record);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = record().to_bytes();
    for length in 0..bytes.len() {
        assert!(HeadRecord::from_bytes(&bytes[..length]).is_err(), "the first {length} bytes passed");
    }
}

#[test]
fn mutated_bytes_never_panic_and_never_change_what_the_head_says() {
    let (record, bytes) = (record(), record().to_bytes());
    for seed in 0..5000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut mutant = bytes.clone();
        for _ in 0..rng.random_range(1..4_u32) {
            let place = rng.random_range(0..mutant.len());
            mutant[place] = rng.random();
        }
        if let Ok(read) = HeadRecord::from_bytes(&mutant) {
            assert_eq!((&read.dense, &read.heldout), (&record.dense, &record.heldout), "seed {seed}");
        }
    }
}

#[test]
fn lengths_that_lie_are_refused_without_allocating_them() {
    let bytes = record().to_bytes();
    for length in [u64::MAX, 1 << 40, 99_000_000, 0, 1] {
        let lying = [&length.to_le_bytes(), &bytes[8..]].concat();
        assert!(HeadRecord::from_bytes(&lying).is_err(), "{length}");
    }
    let huge = rebuilt(&bytes, |header| header["weights"]["shape"] = serde_json::json!([u64::MAX, 8]));
    assert!(HeadRecord::from_bytes(&huge).is_err());
}

#[test]
fn changed_weights_are_caught_and_both_checksums_named() {
    let (record, mut bytes) = (record(), record().to_bytes());
    let one = bytes.windows(4).rposition(|word| word == 1e4_f32.to_le_bytes()).unwrap();
    bytes[one..one + 4].copy_from_slice(&2e4_f32.to_le_bytes());
    let mut changed = record.dense.clone();
    changed.weights[[2, 1]] = 2e4;
    let message = refusal(&bytes);
    assert!(message.contains(&changed.id().0) && message.contains(&record.head.id.0), "{message}");
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut record = record();
        record.dense.weights[[0, 0]] = value;
        record.head.id = record.dense.id();
        assert!(refusal(&record.to_bytes()).contains("weights is"), "{value}");
    }
    for value in [0.0, -1.0, f32::NAN] {
        let mut record = record();
        record.dense.temperature = value;
        record.head.id = record.dense.id();
        assert!(refusal(&record.to_bytes()).contains("temperature is"), "{value}");
    }
}

#[test]
fn classes_twice_or_out_of_order_and_shapes_that_disagree_are_refused() {
    assert!(refusal(&edited(|d| d["classes"] = serde_json::json!(["bolt", "bolt", "nut"]))).contains("class list"));
    assert!(refusal(&edited(|d| d["classes"] = serde_json::json!(["nut", "gear", "bolt"]))).contains("class list"));
    assert!(refusal(&edited(|d| d["classes"] = serde_json::json!(["bolt", "nut"]))).contains("weights is"));
    assert!(refusal(&edited(|d| d["space"]["dim"] = 3.into())).contains("weights is"));
    let flat = rebuilt(&record().to_bytes(), |header| header["heldout.ids"]["shape"] = serde_json::json!([64]));
    assert!(refusal(&flat).contains("heldout.ids"));
}

#[test]
fn a_newer_format_is_told_from_a_damaged_file() {
    assert!(refusal(&edited(|document| document["format"] = 2.into())).contains("format 2"));
    assert!(refusal(&edited(|document| *document = serde_json::json!({}))).contains("does not describe"));
}
