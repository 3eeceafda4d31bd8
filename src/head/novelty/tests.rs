use ndarray::{Array1, array};

use super::*;

fn parts(n: usize) -> NoveltyParts {
    NoveltyParts {
        means: array![[0.8, 0.0, 0.0], [0.0, 0.6, 0.0]],
        centre: Array1::from_vec(vec![0.4, 0.3, 0.0]),
        references: array![[127, -64, 0], [-85, 127, 3]],
        location: [0.5, -0.25],
        scale: [0.25, 2.0],
        heldout: Ranked::new((0..n).map(|i| i as f32).collect()).unwrap(),
    }
}

#[test]
fn the_score_is_the_formula_and_does_not_depend_on_the_length_of_the_embedding() {
    let novelty = Novelty::new(parts(30)).unwrap();
    // u = (.6, .8, 0): distances sqrt(.04 + .64) and sqrt(.36 + .04); u - c = (.2, .5, 0).
    let distance = 0.4_f64.sqrt();
    let cosine = (-85.0 * 0.2 + 127.0 * 0.5) / (0.29_f64.sqrt() * (85.0_f64 * 85.0 + 127.0 * 127.0 + 9.0).sqrt());
    let expected = (distance - 0.5) / 0.25 + 0.5 * (0.25 - cosine);
    for length in [1e-3, 1.0, 5e3] {
        let found = novelty.score(&[0.6 * length, 0.8 * length, 0.0]);
        assert!((found - expected).abs() < 1e-5, "{length}: {found} {expected}");
    }
    assert!(novelty.score(&[0.0; 3]).is_finite());
}

#[test]
fn the_threshold_is_a_percentile_and_too_few_scores_have_none() {
    let novelty = |n| Novelty::new(parts(n)).unwrap();
    assert_eq!(novelty(199).threshold(99.0), Some(197.0));
    assert_eq!(novelty(199).threshold(90.0), Some(179.0));
    assert_eq!(novelty(98).threshold(99.0), Some(97.0));
    assert_eq!(novelty(Novelty::NEEDED).threshold(99.0), Some(19.0));
    assert_eq!(novelty(Novelty::NEEDED - 1).threshold(99.0), None);
    assert!((novelty(200).percentile_of(150.0) - 75.0).abs() < 1e-9);
    assert!((novelty(200).percentile_of(1e9) - 100.0).abs() < 1e-9);
}

#[test]
fn parts_come_back_and_damaged_ones_are_refused_by_name() {
    let novelty = Novelty::new(parts(30)).unwrap();
    assert_eq!(Novelty::new(novelty.parts().clone()), Ok(novelty));
    let broken = [
        ("means", NoveltyParts { means: Array2::zeros((0, 3)), ..parts(30) }),
        ("means", NoveltyParts { means: array![[f32::NAN, 0.0, 0.0]], ..parts(30) }),
        ("centre", NoveltyParts { centre: Array1::zeros(2), ..parts(30) }),
        ("centre", NoveltyParts { centre: Array1::from_elem(3, f32::INFINITY), ..parts(30) }),
        ("references", NoveltyParts { references: Array2::zeros((0, 3)), ..parts(30) }),
        ("references", NoveltyParts { references: array![[1, 0]], ..parts(30) }),
        ("references", NoveltyParts { references: array![[1, 0, 0], [0, 0, 0]], ..parts(30) }),
        ("location and scale", NoveltyParts { scale: [0.0, 1.0], ..parts(30) }),
        ("location and scale", NoveltyParts { location: [f32::NAN, 1.0], ..parts(30) }),
    ];
    for (part, parts) in broken {
        let error = Novelty::new(parts).unwrap_err();
        assert!(error.part == part && error.to_string().contains("train again"), "{error}");
    }
}

#[test]
fn products_do_not_depend_on_the_number_of_lanes() {
    for n in [0, 1, 7, 8, 9, 31] {
        let a: Vec<f32> = (0..n).map(|i| i as f32 - 3.0).collect();
        let b: Vec<f32> = (0..n).map(|i| 0.5 * i as f32).collect();
        let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        assert!((dot(&a, &b, |v| v) - expected).abs() < 1e-3, "{n}");
    }
}
