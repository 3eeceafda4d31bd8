//! Files of heads: what is written is read back equal; whatever else is read is refused, or answers with finite
//! probabilities that sum to 1.
//!
//! An input is a file as it comes (first byte even), or values of which a file is made (odd). Files have checksums,
//! which no mutation hits; they are set right before a file is read.
#![no_main]

use edgetuned::head::{
    BackboneRef, Calibration, Conformal, DenseHead, HeadRecord, HeldOut, Hidden, Novelty, NoveltyParts, Origin, Ranked,
};
use edgetuned::words::{Digest, HeadRef, Label, SampleId};
use edgetuned_fuzz::{fits_on_a_screen, record, space, with_right_checksums};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use ndarray::{Array1, Array2};

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    if kind % 2 == 0 {
        read(rest);
        read(&with_right_checksums(rest));
    } else {
        let mut values = Unstructured::new(rest);
        let Ok(made) = made(&mut values) else { return };
        let mut bytes = made.to_bytes();
        match HeadRecord::from_bytes(&bytes) {
            Ok(again) => assert_eq!(again, made),
            Err(bad) => assert!(!sound(&made), "a head that was written is not read: {bad}"),
        }
        while let (Ok(at), Ok(byte)) = (values.arbitrary::<u16>(), values.arbitrary::<u8>()) {
            let length = bytes.len();
            bytes[usize::from(at) % length] = byte;
            if values.is_empty() {
                break;
            }
        }
        read(&bytes);
        read(&with_right_checksums(&bytes));
    }
});

/// What is taken is written and read back equal, and answers.
fn read(bytes: &[u8]) {
    let record = match HeadRecord::from_bytes(bytes) {
        Ok(record) => record,
        Err(bad) => return fits_on_a_screen(&bad.to_string()),
    };
    let again =
        HeadRecord::from_bytes(&record.to_bytes()).unwrap_or_else(|bad| panic!("written, it is refused: {bad}"));
    assert_eq!(again, record);
    assert!(sound(&record));
    let d = record.dense.space.dim;
    for embedding in [vec![0.0; d], vec![-1.0; d], (0..d).map(|i| (i as f32 - 2.0) * 1e3).collect(), vec![3e38; d]] {
        answers(&record, &embedding);
    }
}

/// Whether a head may be in a file.
fn sound(record: &HeadRecord) -> bool {
    let DenseHead { hidden, weights, bias, temperature, .. } = &record.dense;
    let layers = hidden.iter().flat_map(|hidden| {
        let kept: Box<dyn Iterator<Item = &f32>> = match &hidden.origin {
            Origin::Learned => Box::new([].iter()),
            Origin::Projection { mean, inverse, .. } => Box::new(mean.iter().chain(inverse)),
        };
        kept.chain(&hidden.weights).chain(&hidden.bias)
    });
    let mut all = layers.chain(weights).chain(bias);
    let heldout = record.heldout.logits.iter().all(|logit| !logit.is_nan() && *logit != f32::INFINITY);
    all.all(|value| value.is_finite()) && heldout && temperature.is_finite() && *temperature > 0.0
}

fn answers(record: &HeadRecord, embedding: &[f32]) {
    let p = record.dense.probabilities(embedding).expect("it is as wide as the head reads");
    assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{p:?}");
    let sum: f64 = p.iter().copied().map(f64::from).sum();
    assert!(p.is_empty() || (sum - 1.0).abs() < 1e-5, "{p:?} sum to {sum}");
    let together = Array2::from_shape_vec((1, embedding.len()), embedding.to_vec()).expect("one row");
    let together = record.dense.probabilities_of(&together).expect("it is as wide as the head reads");
    assert!(together.iter().all(|p| (0.0..=1.0).contains(p)), "{together}");
    let doubt = record.calibration.doubt(&p, embedding, edgetuned::head::DoubtRates::DEFAULT);
    assert!(doubt.set.into_iter().flatten().all(|class| class < p.len()), "a class that is none");
    assert!(doubt.percentile.is_none_or(|percentile| (0.0..=100.0).contains(&percentile)), "{:?}", doubt.percentile);
}

/// A head with whatever numbers the input has.
fn made(values: &mut Unstructured<'_>) -> Result<HeadRecord> {
    let (k, d) = (values.int_in_range(1..=5)?, values.int_in_range(1..=6)?);
    let hidden = match values.int_in_range(0..=2)? {
        0 => None,
        1 => {
            let m = values.int_in_range(1..=4)?;
            let (weights, bias) = (matrix(values, m, d)?, numbers(values, m)?);
            Some(Hidden { weights, bias: bias.into(), origin: Origin::Learned })
        }
        _ => {
            let (seed, m) = (values.arbitrary()?, values.int_in_range(1..=4)?);
            let (mean, inverse) = (numbers(values, d)?, numbers(values, d)?);
            Some(Hidden::projection(seed, m, mean.into(), inverse.into()))
        }
    };
    let inputs = hidden.as_ref().map_or(d, Hidden::width);
    let classes = (0..k).map(|class| Label::new(&format!("class {class}")).expect("it is a word")).collect();
    let (weights, bias) = (matrix(values, k, inputs)?, Array1::from(numbers(values, k)?));
    let dense = DenseHead { space: space(d), classes, hidden, weights, bias, temperature: number(values)? };
    let n = values.int_in_range(0..=3)?;
    let ids = (0..n).map(|id: usize| SampleId::of(&id.to_le_bytes())).collect();
    let heldout = HeldOut { ids, logits: matrix(values, n, k)? };
    let calibration = calibration(values, k, d)?;
    let backbone = BackboneRef { name: "net".into(), sha256: Digest::of(b"net"), dim: d };
    let head = HeadRef { id: dense.id(), version: values.arbitrary()? };
    Ok(HeadRecord { head, backbone, dense, heldout, calibration, ..record(space(d)) })
}

fn calibration(values: &mut Unstructured<'_>, k: usize, d: usize) -> Result<Calibration> {
    let count = values.int_in_range(0..=30)?;
    let conformal = Ranked::new(numbers(values, count)?).and_then(Conformal::new);
    if !values.ratio(1, 2)? {
        return Ok(Calibration { conformal, novelty: None });
    }
    let m = values.int_in_range(1..=3)?;
    let codes = (0..m * d).map(|_| values.arbitrary()).collect::<Result<Vec<i8>>>()?;
    let (means, centre, four) = (matrix(values, k, d)?, numbers(values, d)?, numbers(values, 4)?);
    let Some(heldout) = Ranked::new(numbers(values, count)?) else {
        return Ok(Calibration { conformal, novelty: None });
    };
    let novelty = Novelty::new(NoveltyParts {
        means,
        centre: centre.into(),
        references: Array2::from_shape_vec((m, d), codes).expect("as many as that"),
        location: [four[0], four[1]],
        scale: [four[2], four[3]],
        heldout,
    });
    Ok(Calibration { conformal, novelty: novelty.ok() })
}

/// Mostly a number of usual size, else any bits.
fn number(values: &mut Unstructured<'_>) -> Result<f32> {
    Ok(match values.arbitrary::<i8>()? {
        i8::MIN => f32::from_bits(values.arbitrary()?),
        usual => f32::from(usual) / 16.0,
    })
}

fn numbers(values: &mut Unstructured<'_>, count: usize) -> Result<Vec<f32>> {
    (0..count).map(|_| number(values)).collect()
}

fn matrix(values: &mut Unstructured<'_>, rows: usize, columns: usize) -> Result<Array2<f32>> {
    Ok(Array2::from_shape_vec((rows, columns), numbers(values, rows * columns)?).expect("as many as that"))
}
