//! The figures of `benches/evaluation` and the document that it writes; that program has no test harness of its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../benches/evaluation/document.rs"]
mod document;
#[allow(dead_code, reason = "shared with the program that measures")]
#[path = "../benches/evaluation/figures.rs"]
mod figures;
#[path = "support/skip.rs"]
mod skip;

use std::process::Command;

use document::{Section, assemble, block, find_block, with_block};
use edgetuned::eval::figures as program_figures;
use edgetuned::head::EvaluatedOn;
use edgetuned::words::{ClassSet, Label, SampleId};
use figures::{Answers, Bar, Estimate, average, calibration_error, calibration_floor, difference, mean};
use ndarray::Array2;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

fn played(seed: u64, n: usize) -> (Array2<f32>, Vec<usize>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut p = Array2::from_shape_simple_fn((n, 3), || random.random::<f32>());
    for mut row in p.rows_mut() {
        let sum = row.sum();
        row /= sum;
    }
    (p, (0..n).map(|_| random.random_range(0..3)).collect())
}

#[test]
fn figures_are_those_of_the_program() {
    for seed in 0..5 {
        let (p, y) = played(seed, 40);
        let classes: ClassSet = ["a", "b", "c"].iter().map(|name| Label::new(name).unwrap()).collect();
        let groups: Vec<_> = (0..40_u8).map(|i| SampleId::of(&[i])).collect();
        let wanted = program_figures(&p, &y, &groups, &classes, EvaluatedOn::Test, 0).unwrap();
        let answers = Answers::of(&p, &y);
        let judged = answers.judged();
        assert!((mean(&answers.right) - wanted.accuracy).abs() < 1e-12, "seed {seed}");
        assert!((mean(&answers.loss) - wanted.log_loss).abs() < 1e-9, "seed {seed}");
        assert!((calibration_error(&judged) - wanted.ece).abs() < 1e-9, "seed {seed}");
    }
}

#[test]
fn a_picture_that_is_surely_wrong_costs_a_bounded_loss_and_ties_go_to_the_first_class() {
    let answers = Answers::of(&ndarray::array![[1.0, 0.0], [0.5, 0.5]], &[1, 0]);
    assert_eq!(answers.right, [0.0, 1.0]);
    assert!((answers.loss[0] - 13.815_510).abs() < 1e-5);
}

#[test]
fn the_error_over_draws_is_that_of_their_means_and_with_one_draw_binomial() {
    let draws = vec![vec![1.0, 0.0], vec![1.0, 1.0], vec![0.0, 0.0]];
    let estimate = Estimate::over(&[draws]);
    // Means .5, 1 and 0: deviation .5, of three draws.
    assert!((estimate.mean - 0.5).abs() < 1e-12 && (estimate.error - 0.5 / 3_f64.sqrt()).abs() < 1e-12);
    let pictures: Vec<f64> = (0..101).map(|i| f64::from(u8::from(i < 75))).collect();
    let estimate = Estimate::over(&[vec![pictures.clone()]]);
    let p = 75.0 / 101.0;
    assert!((estimate.error - (p * (1.0 - p) / 100.0_f64).sqrt()).abs() < 1e-12);
    let twice = Estimate::over(&[vec![pictures.clone()], vec![pictures]]);
    assert!((twice.error - estimate.error / 2_f64.sqrt()).abs() < 1e-12);
}

#[test]
fn draws_of_tests_with_one_head_do_not_count_as_independent() {
    let test = vec![vec![1.0], vec![0.0]];
    let one = Estimate::over(std::slice::from_ref(&test));
    assert_eq!(Estimate::over(&[test.clone(), test]), one);
}

#[test]
fn differences_are_taken_picture_by_picture() {
    let (a, b) = (vec![vec![1.0, 1.0, 0.0]], vec![vec![1.0, 0.0, 0.0]]);
    assert_eq!(difference(&a, &b), [[0.0, 1.0, 0.0]]);
    assert_eq!(average(&[a.clone(), b]), [[1.0, 0.5, 0.0]]);
    assert!(Estimate::over(&[difference(&a, &a)]).error.abs() < 1e-12);
}

#[test]
fn a_calibrated_head_shows_its_floor_and_an_overconfident_one_more() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let judged: Vec<(f64, bool)> = (0..4_000)
        .map(|_| {
            let p = 0.3 + 0.7 * random.random::<f64>();
            (p, random.random_bool(p))
        })
        .collect();
    let confidences = |pictures: usize| judged.iter().map(|(p, _)| *p).zip((0..pictures).cycle()).collect::<Vec<_>>();
    let floor = calibration_floor(&confidences(4_000), 20, 0);
    assert!(calibration_error(&judged) < 2.0 * floor && floor > 0.005, "{floor}");
    // The same answers about a hundredth of the pictures say less.
    let shared = calibration_floor(&confidences(40), 20, 0);
    assert!(shared > 3.0 * floor, "{shared}, {floor}");
    let sure: Vec<_> = judged.iter().map(|(p, right)| (p.sqrt(), *right)).collect();
    assert!(calibration_error(&sure) > 0.08);
}

#[test]
fn a_bar_is_kept_by_the_figure_itself_not_by_its_rounding() {
    assert_eq!(Bar::AtLeast(4.0).verdict(3.999), "missed");
    assert_eq!(Bar::AtLeast(4.0).verdict(4.0), "reached");
    assert_eq!(Bar::AtMost(0.95).verdict(0.9501), "missed");
}

#[test]
fn a_section_that_was_measured_replaces_its_old_one_and_leaves_the_others() {
    let old = "# Old\n\nhead\n\n## A\n\na1\n\n### sub\n\na2\n\n## B\n\nb\n\n## Gone\n\ng\n";
    let fresh = Section::new("B", "new\n");
    let text = assemble("# New\n", &["A", "B", "C"], fresh.clone(), old);
    assert_eq!(text, "# New\n\n## A\n\na1\n\n### sub\n\na2\n\n## B\n\nnew\n");
    assert_eq!(assemble("# New\n", &["A", "B", "C"], fresh, &text), text);
}

#[test]
fn a_block_is_put_into_its_place_and_nowhere_else() {
    let page = format!("before\n{}\nafter", block("old"));
    let replaced = with_block(&page, &block("| new |")).unwrap();
    assert!(replaced.starts_with("before\n<!--") && replaced.ends_with("-->\nafter"));
    assert_eq!(find_block(&replaced), Some(block("| new |").as_str()));
    assert_eq!(with_block("no marks", "x"), None);
}

/// `peer.py --check` compares the shortcuts of the peers with their plain forms.
#[test]
fn shortcuts_of_peers_answer_as_their_plain_forms() {
    let python = std::env::var("EDGETUNED_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_sklearn = Command::new(&python).args(["-c", "import sklearn"]).output();
    if !has_sklearn.is_ok_and(|output| output.status.success()) {
        return skip::not_here(format!("{python} has no scikit-learn; name one that has in EDGETUNED_PYTHON"));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/evaluation/peer.py");
    let output = Command::new(python).args([script, "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
}
