use ndarray::{Array1, Array2, array};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::head::dense::tests::{deep, head, projected};
use crate::head::{Calibration, Candidate, Conformal, Novelty, NoveltyParts, Ranked, Tail, TailWeight, Tuning};

fn record() -> HeadRecord {
    record_of(head())
}

fn record_of(dense: DenseHead) -> HeadRecord {
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"model"), dim: 2 };
    HeadRecord {
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
            ..TrainingFacts::default()
        },
        heldout: HeldOut {
            ids: vec![SampleId::of(b"a"), SampleId::of(b"b")],
            logits: array![[1.0, -2.0, f32::NEG_INFINITY], [0.5, 0.25, 3.0]],
        },
        ..HeadRecord::new(dense, 7, Timestamp(1_700_000_000_120), backbone)
    }
}

/// The record's bytes after `edit` changed the document in its header (checksums are not renewed).
fn edited(edit: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    edited_of(&record(), edit)
}

fn edited_of(record: &HeadRecord, edit: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    rebuilt(&record.to_bytes(), |header| {
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

fn calibrated() -> HeadRecord {
    let ranked = |values: &[f32]| Ranked::new(values.to_vec()).unwrap();
    let novelty = Novelty::new(NoveltyParts {
        means: array![[1.0, 0.0], [0.0, 1.0]],
        centre: Array1::from_vec(vec![0.5, 0.25]),
        references: array![[127, -128], [3, 0]],
        location: [0.1, -0.9],
        scale: [0.1, 0.2],
        heldout: ranked(&[-1.0, 0.5, 3.0]),
    });
    let calibration = Calibration { conformal: Conformal::new(ranked(&[0.1, 0.9])), novelty: Some(novelty.unwrap()) };
    HeadRecord { calibration, ..record() }
}

#[test]
fn a_detector_of_the_embedding_alone_comes_back_as_it_was_and_a_wider_one_is_refused() {
    let novelty = |d: usize| {
        let parts = NoveltyParts {
            means: Array2::ones((2, d)),
            centre: Array1::zeros(d),
            references: Array2::ones((1, d)),
            location: [0.1, -0.9],
            scale: [0.1, 0.2],
            heldout: Ranked::new(vec![-1.0, 0.5, 3.0]).unwrap(),
        };
        let calibration = Calibration { conformal: None, novelty: Some(Novelty::new(parts).unwrap()) };
        HeadRecord { calibration, ..record() }
    };
    let narrow = novelty(1);
    assert_eq!(HeadRecord::from_bytes(&narrow.to_bytes()).unwrap(), narrow);
    assert!(HeadRecord::from_bytes(&novelty(3).to_bytes()).is_err(), "the record's embeddings have two values");
}

#[test]
fn a_calibration_comes_back_as_it_was_whole_or_in_part() {
    let whole = calibrated();
    assert_eq!(HeadRecord::from_bytes(&whole.to_bytes()).unwrap(), whole);
    for calibration in [
        Calibration { conformal: None, ..whole.calibration.clone() },
        Calibration { novelty: None, ..whole.calibration.clone() },
    ] {
        let part = HeadRecord { calibration, ..record() };
        assert_eq!(HeadRecord::from_bytes(&part.to_bytes()).unwrap(), part);
    }
}

#[test]
fn a_calibration_that_was_changed_is_refused() {
    let changes: [(&str, serde_json::Value, &str); 4] = [
        ("sha256", Digest::of(b"x").to_string().into(), "checksum"),
        ("sets", 5.into(), "sets.scores is 2 values of 5"),
        ("novelty", 2000.into(), "novelty.scores is 3 values of 2000"),
        ("sets", serde_json::Value::Null, "checksum"),
    ];
    for (field, value, expected) in changes {
        let bytes = edited_of(&calibrated(), |document| document["calibration"][field] = value.clone());
        assert!(refusal(&bytes).contains(expected), "{field}: {}", refusal(&bytes));
    }
    let mut bytes = calibrated().to_bytes();
    let scores: Vec<u8> = [0.1_f32, 0.9].iter().flat_map(|value| value.to_le_bytes()).collect();
    let place = bytes.windows(8).position(|window| window == scores).unwrap();
    bytes[place] ^= 1;
    assert!(refusal(&bytes).contains("checksum"), "{}", refusal(&bytes));
}

#[test]
fn a_head_without_held_out_samples_comes_back_too() {
    let record = HeadRecord { heldout: HeldOut { ids: vec![], logits: Array2::zeros((0, 3)) }, ..record() };
    assert_eq!(HeadRecord::from_bytes(&record.to_bytes()).unwrap(), record);
}

#[test]
fn heads_with_a_hidden_layer_come_back_and_of_a_projection_only_the_seed_is_kept() {
    for dense in [deep(), projected()] {
        let mut record = record_of(dense);
        record.training.kind = "rp-ridge".into();
        record.training.hyper = [("width".to_owned(), 5.0)].into();
        record.training.candidates = vec![Candidate { kind: "lda".into(), log_loss: 0.5, standard_error: 0.125 }];
        let bytes = record.to_bytes();
        assert_eq!(HeadRecord::from_bytes(&bytes).unwrap(), record);
        assert!((0..8).all(|_| record.to_bytes() == bytes));
    }
    let wide = Hidden::projection(1, 4096, Array1::ones(2), Array1::ones(2));
    let mut dense = DenseHead { hidden: Some(wide), weights: Array2::zeros((3, 4096)), ..head() };
    let length = record_of(dense.clone()).to_bytes().len();
    assert!(length < 3 * 4 * 4096 + 4096, "{length} bytes hold more than the output layer");
    dense.hidden.as_mut().unwrap().origin = Origin::Learned;
    assert!(record_of(dense).to_bytes().len() > 6 * 4 * 4096);
}

#[test]
fn a_region_comes_back_is_left_out_for_whole_pictures_and_is_refused_when_it_was_changed() {
    let whole = record().to_bytes();
    assert!(!whole.windows(6).any(|window| window == b"region"), "files are as before there were regions");
    for text in ["0,0.25,0.3,0.85", "[[0.1,0.1],[0.9,0.2],[0.4,0.95]]"] {
        let record = HeadRecord { region: text.parse().unwrap(), ..record() };
        let bytes = record.to_bytes();
        assert_eq!(HeadRecord::from_bytes(&bytes).unwrap(), record);
        assert!((0..8).all(|_| record.to_bytes() == bytes));
        let changes: [(&str, serde_json::Value, &str); 5] = [
            ("shape", serde_json::json!([0.0, 0.25, 0.3, 0.86]), "checksum"),
            ("shape", serde_json::json!([0.0, 0.0, 1.0, 1.0]), "left out for the whole picture"),
            ("shape", serde_json::json!([0.0, 0.25, 0.3, 1.85]), "header does not describe a head"),
            ("shape", "door".into(), "header does not describe a head"),
            ("sha256", Digest::of(b"x").to_string().into(), "checksum"),
        ];
        for (field, value, expected) in changes {
            let bytes = edited_of(&record, |document| document["region"][field] = value.clone());
            assert!(refusal(&bytes).contains(expected), "{field} of {text}: {}", refusal(&bytes));
        }
    }
}

#[test]
fn the_path_of_a_manifest_comes_back_and_is_in_the_way_of_nothing() {
    let record = HeadRecord { manifest: Some("/home/pi/models/tiny.yaml".into()), ..record() };
    let bytes = record.to_bytes();
    assert_eq!(HeadRecord::from_bytes(&bytes).unwrap(), record);
    let without = HeadRecord::from_bytes(&edited_of(&record, |d| _ = d.as_object_mut().unwrap().remove("manifest")));
    assert_eq!(without.unwrap(), HeadRecord { manifest: None, ..record });
}

#[test]
fn linear_heads_keep_the_bytes_that_they_had_before_there_were_hidden_layers() {
    assert_eq!(
        Digest::of(&record().to_bytes()).to_string(),
        "46e6197e95f8a19e4e8f93f5b1a50d118a208f3cc68e61cf0eec9be4e5bd1b72"
    );
    assert!(refusal(&edited_of(&record_of(deep()), |d| d["format"] = 1.into())).contains("format is 1, expected 2"));
    assert!(refusal(&edited(|d| d["format"] = 2.into())).contains("format is 2, expected 1"));
}

/// A head with a second phase: its layer reads what its tail makes.
fn tuned() -> HeadRecord {
    let weight = |name: &str, shape: &[usize], values: &[f32]| TailWeight {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values: values.to_vec(),
    };
    let weights = vec![weight("last.weight", &[1, 2, 1, 1], &[0.5, -1.0]), weight("last.bias", &[1], &[0.25])];
    let tail = Tail { input: "block/out".to_owned(), weights };
    let first = head();
    let dense = DenseHead { space: tail.space(first.space), bias: array![0.0, 1.0, 0.5], ..head() };
    HeadRecord { tuning: Some(Tuning { tail, first, figures: None }), ..record_of(dense) }
}

#[test]
fn a_second_phase_comes_back_whole_and_every_damage_to_it_is_found() {
    let record = tuned();
    let bytes = record.to_bytes();
    assert_eq!(HeadRecord::from_bytes(&bytes).unwrap(), record);
    assert_ne!(record.head.id, head().id(), "another head than that of the first phase");
    let damaged = |edit: &dyn Fn(&mut Tuning)| {
        let mut other = record.clone();
        other.tuning.as_mut().map(edit);
        refusal(&other.to_bytes())
    };
    assert!(damaged(&|tuning| tuning.tail.weights[0].values[1] = 1.0).contains("checksum"));
    assert!(damaged(&|tuning| tuning.tail.input.push('x')).contains("checksum"));
    assert!(damaged(&|tuning| tuning.tail.weights[1].values[0] = f32::NAN).contains("tail is"));
    assert!(damaged(&|tuning| tuning.tail.weights.clear()).contains("tail is 0"));
    assert!(refusal(&edited_of(&record, |d| d["tuning"]["first"] = "000000000000".into())).contains("checksum"));
    assert!(refusal(&edited_of(&record, |d| d["format"] = 1.into())).contains("format is 1, expected 3"));
    for length in 0..bytes.len() {
        assert!(HeadRecord::from_bytes(&bytes[..length]).is_err(), "the first {length} bytes passed");
    }
}

/// Heads of 6 values and 3 classes that were fitted when each value was divided by its own deviation, and what they said
/// of two pictures.
#[test]
fn a_head_that_is_built_on_comes_back_whole_and_every_damage_to_it_is_found() {
    let classes = ["bolt", "gear", "nut", "washer"].into_iter().filter_map(|name| Label::new(name).ok()).collect();
    let own = head();
    let weights = Array2::from_shape_fn((4, own.space.dim), |(class, value)| (class * 10 + value) as f32);
    let layer = DenseHead::linear(own.space, classes, weights, array![0.5, 0.25, 0.0, -1.0]);
    let record = HeadRecord { prior: Some(DenseHead { temperature: 1.5, ..layer }), ..record() };
    let bytes = record.to_bytes();
    assert_eq!(HeadRecord::from_bytes(&bytes).unwrap(), record);
    assert_eq!(
        HeadRecord::from_bytes(&rebuilt(&bytes, |d| drop(d.as_object_mut().unwrap().remove("prior")))).unwrap().dense,
        own
    );
    assert!(refusal(&edited_of(&record, |d| d["prior"]["id"] = "000000000000".into())).contains("checksum"));
    assert!(
        refusal(&edited_of(&record, |d| d["prior"]["classes"] = serde_json::json!(["nut", "bolt"])))
            .contains("class list")
    );
    assert!(
        refusal(&edited_of(&record, |d| d["prior"]["classes"] = serde_json::json!(["bolt", "nut"])))
            .contains("prior.weights")
    );
    for length in 0..bytes.len() {
        assert!(HeadRecord::from_bytes(&bytes[..length]).is_err(), "the first {length} bytes passed");
    }
}

#[test]
fn a_head_keeps_the_scale_that_it_was_fitted_with() {
    let pictures = array![
        [1.036_455_5, 0.036_927_063, 1.512_726_1, 0.000_704_883_25, 0.025_271_803, 0.369_518_34],
        [0.590_690_2, 0.083_693_36, 3.105_227_7, 0.000_980_846, 0.430_443_53, 0.326_875_45],
    ];
    let softmax = include_bytes!("../../../tests/data/heads/softmax.safetensors").as_slice();
    let lda = include_bytes!("../../../tests/data/heads/lda.safetensors").as_slice();
    let rp_ridge = include_bytes!("../../../tests/data/heads/rp-ridge.safetensors").as_slice();
    let mlp = include_bytes!("../../../tests/data/heads/mlp.safetensors").as_slice();
    for (kind, bytes, said) in [
        ("softmax", softmax, [[0.986_573_04, 0.007_749_908], [0.001_349_547_1, 0.055_675_387]]),
        ("lda", lda, [[0.990_043_2, 0.005_396_226_4], [0.003_856_113_6, 0.142_215_28]]),
        ("rp-ridge", rp_ridge, [[0.993_524_2, 0.002_041_081_7], [0.001_431_384_4, 0.101_738_47]]),
        ("mlp", mlp, [[0.923_097_7, 0.039_084_435], [0.017_839_497, 0.047_781_833]]),
    ] {
        let record = HeadRecord::from_bytes(bytes).unwrap();
        assert_eq!(record.training.kind, kind);
        assert_eq!(record.to_bytes(), bytes, "{kind}");
        let p = record.dense.probabilities_of(&pictures).unwrap();
        for (found, said) in p.rows().into_iter().zip(said) {
            assert!(found.iter().zip(said).all(|(p, said)| (p - said).abs() < 1e-5), "{kind}: {found} {said:?}");
        }
    }
}

#[test]
fn hidden_layers_of_wrong_shape_or_size_or_without_their_tensors_are_refused() {
    let refused = |dense: DenseHead, part: &str, edit: &dyn Fn(&mut serde_json::Value)| {
        let message = refusal(&edited_of(&record_of(dense), edit));
        assert!(message.contains(part), "{message}");
    };
    for width in [5_u64, 3, 0, 1 << 20, u64::MAX] {
        refused(deep(), "hidden", &|d| d["hidden"]["width"] = width.into());
    }
    for width in [4_u64, 6, 16_384] {
        refused(projected(), "weights is", &|d| d["hidden"]["width"] = width.into());
    }
    for width in [0, 16_385, u64::MAX] {
        refused(projected(), "width is", &|d| d["hidden"]["width"] = width.into());
    }
    // The seed decides, so the checksum covers it.
    refused(projected(), "checksum", &|d| d["hidden"]["seed"] = 1.into());
    refused(projected(), "hidden.mean", &|d| d["space"]["dim"] = u64::MAX.into());
    refused(deep(), "hidden.weights", &|d| d["space"]["dim"] = (1_u64 << 60).into());
    refused(deep(), "damaged", &|d| d["hidden"] = serde_json::json!({ "origin": "projection", "width": 4, "seed": 1 }));
    refused(deep(), "does not describe", &|d| d["hidden"]["origin"] = "elsewhere".into());
    refused(projected(), "does not describe", &|d| d["hidden"]["seed"] = (-1).into());
}

#[test]
fn a_projection_too_large_for_its_file_is_refused_before_it_is_made() {
    let d = 4096;
    let hidden = Hidden {
        bias: Array1::zeros(16_384),
        weights: Array2::zeros((0, d)),
        origin: Origin::Projection { seed: 1, mean: Array1::zeros(d), inverse: Array1::zeros(d) },
    };
    let mut dense = DenseHead { hidden: Some(hidden), weights: Array2::zeros((3, 16_384)), ..head() };
    dense.space.dim = d;
    assert!(refusal(&record_of(dense).to_bytes()).contains("at most 33554432 values"));
}

#[test]
fn hidden_layers_that_are_no_numbers_are_refused() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut learned = deep();
        learned.hidden.as_mut().unwrap().weights[[0, 0]] = value;
        assert!(refusal(&record_of(learned).to_bytes()).contains("hidden.weights is"), "{value}");
        let mut made = projected();
        made.hidden = Some(Hidden::projection(1, 5, array![value, 0.0], array![1.0, 1.0]));
        assert!(refusal(&record_of(made).to_bytes()).contains("hidden.mean is"), "{value}");
    }
    let mut made = projected();
    made.hidden = Some(Hidden::projection(1, 5, array![f32::MAX, 0.0], array![f32::MAX, 1.0]));
    assert!(refusal(&record_of(made).to_bytes()).contains("hidden layer is"));
}

#[test]
fn every_truncation_is_refused() {
    for dense in [head(), deep(), projected()] {
        let bytes = record_of(dense).to_bytes();
        for length in 0..bytes.len() {
            assert!(HeadRecord::from_bytes(&bytes[..length]).is_err(), "the first {length} bytes passed");
        }
    }
}

#[test]
fn mutated_bytes_never_panic_and_never_change_the_predictions() {
    for dense in [head(), deep(), projected()] {
        let record = record_of(dense);
        let bytes = record.to_bytes();
        for seed in 0..4000 {
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
}

#[test]
fn false_lengths_are_refused_without_allocating_them() {
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
fn a_newer_format_is_not_reported_as_a_damaged_file() {
    assert!(refusal(&edited(|document| document["format"] = 4.into())).contains("format 4"));
    assert!(refusal(&edited(|document| document["format"] = 0.into())).contains("format 0"));
    assert!(refusal(&edited(|document| *document = serde_json::json!({}))).contains("does not describe"));
}
