//! `tests/data/heads.json` is made by `make_heads_golden.py` beside it (scikit-learn 1.9).

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    lda: Vec<GoldenLda>,
}

#[derive(Deserialize)]
struct GoldenLda {
    z: Vec<Vec<f32>>,
    y: Vec<usize>,
    eps: f64,
    coef: Vec<Vec<f64>>,
    intercept: Vec<f64>,
}

fn statistics(z: &[Vec<f32>], y: &[usize]) -> ClassStats {
    let mut stats = ClassStats::new(z[0].len());
    stats.add_all(Array2::from_shape_fn((z.len(), z[0].len()), |(i, j)| z[i][j]).view(), y);
    stats
}

#[test]
fn coefficients_are_those_of_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("../../../../tests/data/heads.json")).unwrap();
    assert_eq!(golden.lda.len(), 3);
    for GoldenLda { z, y, eps, coef, intercept } in golden.lda {
        let (n, d, k) = (y.len() as f64, z[0].len(), y.iter().max().unwrap() + 1);
        let theta = discriminant(&statistics(&z, &y), k, d, eps, false);
        // Its covariance is divided by N, this one by N - K.
        let scale = (n - k as f64) / n;
        let shares: Vec<f64> = (0..k).map(|class| y.iter().filter(|y| **y == class).count() as f64 / n).collect();
        // Of two classes it gives the difference of the rows.
        let row = |class: usize| -> Vec<f64> { theta[class * d..][..d].to_vec() };
        let linear = |class: usize| theta[k * d + class] - shares[class].ln();
        let found: Vec<(Vec<f64>, f64, f64)> = if k == 2 {
            let weights = row(1).iter().zip(row(0)).map(|(a, b)| a - b).collect();
            vec![(weights, linear(1) - linear(0), (shares[1] / shares[0]).ln())]
        } else {
            (0..k).map(|class| (row(class), linear(class), shares[class].ln())).collect()
        };
        for ((weights, bias, prior), (coef, intercept)) in found.iter().zip(coef.iter().zip(&intercept)) {
            let worst = weights.iter().zip(coef).map(|(a, b)| (a - b * scale).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-8, "eps {eps}: {worst}");
            assert!((bias - (intercept - prior) * scale).abs() < 1e-8, "eps {eps}: {bias} {intercept}");
        }
    }
}

#[test]
fn a_class_without_samples_is_never_chosen_and_one_sample_a_class_still_gives_a_head() {
    let z = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
    let theta = discriminant(&statistics(&z, &[0, 2]), 3, 2, 0.5, true);
    let logits = linear_logits(&theta, &ndarray::array![[1.0, 0.0], [0.0, 1.0]], 3);
    assert!(logits.column(1).iter().all(|logit| *logit == f64::NEG_INFINITY));
    assert!(logits[[0, 0]] > logits[[0, 2]] && logits[[1, 2]] > logits[[1, 0]], "{logits}");
}
