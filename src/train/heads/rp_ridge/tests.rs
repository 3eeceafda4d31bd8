//! `tests/data/heads.json` is made by `make_heads_golden.py` beside it (numpy).

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    ridge: Vec<GoldenRidge>,
}

#[derive(Deserialize)]
struct GoldenRidge {
    z: Vec<Vec<f32>>,
    y: Vec<usize>,
    weight: Vec<f64>,
    lambda: f64,
    coef: Vec<Vec<f64>>,
    intercept: Vec<f64>,
}

#[test]
fn the_minimum_is_that_of_least_squares_by_numpy() {
    let golden: Golden = serde_json::from_str(include_str!("../../../../tests/data/heads.json")).unwrap();
    assert_eq!(golden.ridge.len(), 3);
    for GoldenRidge { z, y, weight, lambda, coef, intercept } in golden.ridge {
        let x = Array2::from_shape_fn((z.len(), z[0].len()), |(i, j)| z[i][j]);
        let samples: Vec<usize> = (0..y.len()).collect();
        let moments = Moments::of_samples(&x, &y, intercept.len(), |sample| weight[sample], &samples);
        let theta = ridge(&moments, lambda);
        let expected: Vec<f64> = coef.into_iter().flatten().chain(intercept).collect();
        assert_eq!(theta.len(), expected.len());
        let worst = theta.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-8, "lambda {lambda}: {worst}");
    }
}

#[test]
fn without_a_penalty_dependent_features_do_not_break_it() {
    let x = Array2::from_shape_fn((6, 4), |(i, j)| if j % 2 == 0 { i as f32 } else { (i % 2) as f32 });
    let moments = Moments::of_samples(&x, &[0, 1, 0, 1, 0, 1], 3, |_| 1.0 / 6.0, &[0, 1, 2, 3, 4, 5]);
    let theta = ridge(&moments, 0.0);
    assert!(theta[14].is_infinite() && theta[14] < 0.0);
    assert!(theta[..14].iter().all(|value| value.is_finite()));
    let scores = linear_logits(&theta, &x, 3);
    assert!((0..6).all(|i| (scores[[i, i % 2]] - 1.0).abs() < 1e-3), "{scores}");
}
