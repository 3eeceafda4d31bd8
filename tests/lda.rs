//! The discriminant head against scikit-learn.
//!
//! `data/lda.json` is made by `data/make_lda_golden.py` (scikit-learn 1.9.1) from generated numbers; the script
//! explains how the two covariances relate.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use edgetuned::train::{ClassStats, OnlineLda, Shrinkage};
use ndarray::Array2;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    eps: f64,
    y: Vec<usize>,
    z: Vec<Vec<f32>>,
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    oas: f64,
}

#[test]
fn heads_and_shrinkage_are_those_of_scikit_learn_and_of_the_paper() {
    let golden: Golden = serde_json::from_str(include_str!("data/lda.json")).unwrap();
    for (number, case) in golden.cases.into_iter().enumerate() {
        let x = Array2::from_shape_fn((case.z.len(), case.z[0].len()), |(i, j)| case.z[i][j]);
        let mut stats = ClassStats::new(x.ncols());
        stats.add_all(x.view(), &case.y);
        assert!(
            (stats.oas_shrinkage() / case.oas - 1.0).abs() < 1e-9,
            "{number}: {} against {}",
            stats.oas_shrinkage(),
            case.oas
        );
        let (n, k) = (case.y.len() as f64, case.intercepts.len() as f64);
        let ratio = n / (n - k);
        let live = OnlineLda::factorise(&stats, Shrinkage::Fixed(case.eps)).unwrap();
        for (weights, bias) in [stats.head(case.eps).unwrap(), live.head(&stats)] {
            let expected = case.coefficients.iter().flatten();
            let size = expected.clone().map(|value| value.abs()).fold(0.0, f64::max);
            let off = weights.iter().zip(expected).map(|(ours, theirs)| (ours * ratio - theirs).abs());
            let off = off.fold(0.0, f64::max) / size;
            assert!(off < 1e-8, "{number}: weights differ by {off:e}");
            for (class, theirs) in case.intercepts.iter().enumerate() {
                let prior = (stats.counts()[class] as f64 / n).ln();
                let ours = (bias[class] + k.ln()) * ratio + prior;
                assert!((ours - theirs).abs() < 1e-8 * (1.0 + theirs.abs()), "{number}: {ours} against {theirs}");
            }
        }
    }
}
