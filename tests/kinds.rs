//! Kinds of head behind one interface: what each promises, whatever the data.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::ops::ControlFlow;

use edgetuned::head::{BackboneRef, Calibration, HeadRecord, Origin};
use edgetuned::train::{ClassWeights, Dataset, FitError, Fitted, HeadKind, L2, LabelStats, Settings, Solver, fit};
use edgetuned::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId, Timestamp};
use ndarray::{Array2, Axis};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const KINDS: [HeadKind; 5] = [HeadKind::Softmax, HeadKind::Lda, HeadKind::RpRidge, HeadKind::Mlp, HeadKind::Auto];

fn dataset(x: Array2<f32>, y: &[usize], groups: Vec<SampleId>) -> Dataset {
    let k = y.iter().max().unwrap() + 1;
    let classes: ClassSet = (0..k).map(|class| Label::new(&format!("class {class}")).unwrap()).collect();
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: x.ncols() };
    Dataset::new(space, x, y.to_vec(), classes, groups, ids(y.len())).unwrap()
}

fn ids(n: usize) -> Vec<SampleId> {
    (0..n).map(|i| SampleId::of(&i.to_le_bytes())).collect()
}

/// `n` samples of `k` classes, `apart` from one another; every `burst` samples are one group and almost the same.
fn clusters(seed: u64, n: usize, k: usize, apart: f32, burst: usize) -> Dataset {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let y: Vec<usize> = (0..n).map(|i| i / burst % k).collect();
    let mut x = Array2::from_shape_simple_fn((n, 12), || 4.0 * rng.random::<f32>());
    for i in 0..n {
        let (first, own) = (x.row(i - i % burst).to_owned(), x.row(i).to_owned());
        x.row_mut(i).assign(&(&first * 0.99 + &own * 0.01));
        x[[i, y[i]]] += apart;
    }
    let groups = (0..n).map(|i| SampleId::of(&(i - i % burst).to_le_bytes())).collect();
    dataset(x, &y, groups)
}

/// Two classes of which one surrounds the other: no linear head separates them.
fn ring(seed: u64, n: usize) -> Dataset {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let x = Array2::from_shape_simple_fn((n, 3), || 4.0 * rng.random::<f32>() - 2.0);
    let y: Vec<usize> = x.rows().into_iter().map(|row| usize::from(row.dot(&row) < 3.2)).collect();
    dataset(x, &y, ids(n))
}

fn of(kind: HeadKind) -> Settings {
    Settings { kind, ..Settings::default() }
}

fn run(data: &Dataset, settings: &Settings) -> Fitted {
    fit(data, settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn accuracy(logits: &Array2<f32>, y: &[usize]) -> f64 {
    let right = |(row, y): (ndarray::ArrayView1<'_, f32>, &usize)| {
        (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])) == Some(*y)
    };
    logits.rows().into_iter().zip(y).filter(|pair| right((pair.0, pair.1))).count() as f64 / y.len() as f64
}

#[test]
fn every_kind_learns_well_separated_classes_and_its_held_out_figures_show_it() {
    let data = clusters(1, 120, 4, 8.0, 1);
    for kind in KINDS {
        let fitted = run(&data, &of(kind));
        let (seen, unseen) = (fitted.dense.logits_of(data.x()).unwrap(), &fitted.heldout.logits);
        assert!(accuracy(&seen, data.y()) > 0.95 && accuracy(unseen, data.y()) > 0.9, "{kind:?}");
        assert_eq!((fitted.facts.n_train, &fitted.heldout.ids[..]), (120, data.ids()));
        // Every answer is right, and still none is taken for certain beyond all measure.
        let largest = unseen.iter().fold(0.0, |largest: f32, logit| largest.max(logit.abs()));
        assert!(largest / fitted.dense.temperature < 1e4, "{kind:?}: {largest} / {}", fitted.dense.temperature);
        let expected = if kind == HeadKind::Auto { HeadKind::Softmax } else { kind };
        assert_eq!(fitted.facts.kind, expected.as_str());
    }
}

#[test]
fn every_kind_learns_from_replay_and_is_evaluated_on_real_samples_alone() {
    let all = clusters(1, 400, 4, 2.5, 1);
    let (kept, gone): (Vec<usize>, Vec<usize>) = (0..400).partition(|i| i % 25 == 0 || i % 25 == 1);
    let part = |rows: &[usize]| {
        let y: Vec<usize> = rows.iter().map(|&i| all.y()[i]).collect();
        let ids: Vec<SampleId> = rows.iter().map(|&i| all.ids()[i]).collect();
        let x = all.x().select(Axis(0), rows);
        Dataset::new(all.space(), x, y, all.classes().clone(), ids.clone(), ids).unwrap()
    };
    let mut past = LabelStats::new(all.space());
    for &i in &gone {
        past.set(all.ids()[i], Some(&all.classes().labels()[all.y()[i]]), &all.x().row(i).to_vec());
    }
    let test = clusters(7, 2_000, 4, 2.5, 1);
    for kind in KINDS {
        let settings = of(kind);
        let forgetful = run(&part(&kept), &settings);
        let remembering = run(&part(&kept).remembering(past.clone(), 10_000), &settings);
        assert_eq!(remembering.heldout.ids, forgetful.heldout.ids, "{kind:?}");
        assert_eq!(remembering.heldout.logits.dim(), (kept.len(), 4), "{kind:?}");
        assert_eq!((remembering.facts.n_train, remembering.facts.hyper["replayed"]), (32, 368.0), "{kind:?}");
        let of = |fitted: &Fitted| accuracy(&fitted.dense.logits_of(test.x()).unwrap(), test.y());
        let (without, with) = (of(&forgetful), of(&remembering));
        assert!(with > without + 0.02, "{kind:?}: {with} with, {without} without");
        assert_eq!(remembering, run(&part(&kept).remembering(past.clone(), 10_000), &settings), "{kind:?}: again");
    }
}

#[test]
fn near_duplicates_never_leak_into_the_held_out_figures() {
    for kind in KINDS {
        // Nothing to learn but the bursts themselves.
        let data = clusters(2, 160, 2, 0.0, 4);
        let honest = accuracy(&run(&data, &of(kind)).heldout.logits, data.y());
        assert!(honest < 0.7, "{kind:?}: {honest}");
    }
}

#[test]
fn the_same_data_and_seed_give_the_same_head_bit_by_bit() {
    let data = clusters(3, 60, 3, 2.0, 2);
    for kind in KINDS {
        let first = run(&data, &of(kind));
        assert_eq!(first, run(&data, &of(kind)), "{kind:?}");
        let other = run(&data, &Settings { seed: 1, ..of(kind) });
        assert!(!matches!(kind, HeadKind::Mlp | HeadKind::RpRidge) || other.dense.id() != first.dense.id(), "{kind:?}");
    }
}

#[test]
fn progress_rises_to_one_and_the_caller_can_cancel_every_kind_anywhere() {
    let data = clusters(4, 40, 2, 2.0, 1);
    for kind in KINDS {
        let (mut last, mut calls) = (0.0, 0);
        let watched = fit(&data, &of(kind), &mut |progress| {
            assert!(
                progress.fraction >= last && progress.fraction <= 1.0 + 1e-12,
                "{kind:?}: {progress:?} after {last}"
            );
            (last, calls) = (progress.fraction, calls + 1);
            ControlFlow::Continue(())
        });
        assert!(watched.is_ok() && (last - 1.0).abs() < 1e-9 && calls > 4, "{kind:?}: {last} after {calls} calls");
        for end in [0, calls / 2, calls - 1] {
            let mut left = end;
            let ended = fit(&data, &of(kind), &mut |_| {
                left -= 1;
                if left < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert_eq!(ended.unwrap_err(), FitError::Cancelled, "{kind:?} at call {end}");
        }
    }
}

#[test]
fn with_nothing_to_hold_out_every_kind_still_gives_a_head() {
    let x = ndarray::array![[4.0, 0.0, 0.1], [0.0, 4.0, 0.2], [4.1, 0.0, 0.0], [0.0, 4.1, 0.1]];
    let mut groups = ids(4);
    (groups[2], groups[3]) = (groups[0], groups[1]);
    let data = dataset(x.clone(), &[0, 1, 0, 1], groups);
    for kind in KINDS {
        let fitted = run(&data, &of(kind));
        assert!(fitted.heldout.logits.iter().all(|logit| *logit == f32::NEG_INFINITY), "{kind:?}");
        assert!((accuracy(&fitted.dense.logits_of(&x).unwrap(), data.y()) - 1.0).abs() < 1e-12, "{kind:?}");
        assert!((fitted.dense.temperature - 1.0).abs() < 1e-6 && fitted.facts.candidates.is_empty());
    }
    // One image a class.
    let pair = dataset(x.select(Axis(0), &[0, 1]), &[0, 1], ids(2));
    for kind in KINDS {
        let dense = run(&pair, &of(kind)).dense;
        assert!(dense.probabilities_of(pair.x()).unwrap().iter().all(|p| p.is_finite()), "{kind:?}");
    }
}

#[test]
fn a_class_that_a_fold_does_not_know_has_no_logit_there() {
    let mut data = clusters(5, 60, 2, 4.0, 1);
    let mut y = data.y().to_vec();
    let mut groups = data.groups().to_vec();
    (y[0], y[1], groups[1]) = (2, 2, groups[0]);
    data = dataset(data.x().clone(), &y, groups);
    for kind in KINDS {
        let logits = run(&data, &of(kind)).heldout.logits;
        assert!(logits.row(0).iter().all(|logit| *logit == f32::NEG_INFINITY), "{kind:?}");
        assert!(logits.rows().into_iter().skip(2).all(|row| row[0].is_finite() && row[1].is_finite()), "{kind:?}");
        assert!(logits.column(2).iter().any(|logit| logit.is_finite()), "{kind:?}");
    }
}

#[test]
fn what_no_linear_head_separates_the_others_do_and_auto_chooses_them() {
    let (data, test) = (ring(6, 300), ring(7, 300));
    let right = |kind| accuracy(&run(&data, &of(kind)).dense.logits_of(test.x()).unwrap(), test.y());
    assert!(right(HeadKind::Softmax) < 0.75 && right(HeadKind::Lda) < 0.75);
    assert!(right(HeadKind::RpRidge) > 0.9, "{}", right(HeadKind::RpRidge));
    let fitted = run(&data, &of(HeadKind::Auto));
    assert!(["rp-ridge", "mlp"].contains(&fitted.facts.kind.as_str()), "{:?}", fitted.facts.candidates);
    let names: Vec<&str> = fitted.facts.candidates.iter().map(|candidate| candidate.kind.as_str()).collect();
    assert_eq!(names, ["softmax", "lda", "rp-ridge", "mlp"]);
    let loss = |kind: &str| fitted.facts.candidates.iter().find(|candidate| candidate.kind == kind).unwrap();
    let chosen = loss(&fitted.facts.kind);
    assert!(loss("softmax").log_loss > chosen.log_loss + 1.96 * loss("softmax").standard_error);
}

#[test]
fn a_head_of_every_kind_is_read_back_as_it_was_written() {
    let data = clusters(8, 60, 3, 4.0, 1);
    for kind in KINDS {
        let backbone = BackboneRef { name: "b".into(), sha256: data.space().backbone, dim: 12 };
        let record = run(&data, &of(kind)).into_record(1, Timestamp(0), backbone, None, Calibration::default());
        assert_eq!(HeadRecord::from_bytes(&record.to_bytes()).unwrap(), record, "{kind:?}");
        let projected = record.dense.hidden.as_ref().is_some_and(|hidden| hidden.origin != Origin::Learned);
        assert_eq!(projected, kind == HeadKind::RpRidge);
    }
}

#[test]
fn penalties_given_are_kept_and_the_solver_is_that_of_softmax_alone() {
    let data = clusters(9, 60, 3, 4.0, 1);
    for kind in [HeadKind::Mlp, HeadKind::RpRidge] {
        let fitted = run(&data, &Settings { l2: L2::Fixed(0.25), ..of(kind) });
        assert!((fitted.facts.lambda - 0.25).abs() < 1e-12, "{kind:?}");
    }
    let adam = Solver::Adam { epochs: 2, batch: 16, lr: 1e-2 };
    for (kind, solver) in [(HeadKind::Softmax, "adam"), (HeadKind::Lda, "cholesky"), (HeadKind::RpRidge, "cholesky")] {
        assert_eq!(run(&data, &Settings { solver: adam, ..of(kind) }).facts.solver, solver);
    }
}

#[test]
fn lda_counts_on_the_shares_of_classes_where_they_are_not_balanced() {
    // Nothing separates the classes, and one is four times as frequent.
    let mut rng = ChaCha8Rng::seed_from_u64(10);
    let x = Array2::from_shape_simple_fn((200, 3), || rng.random::<f32>());
    let y: Vec<usize> = (0..200).map(|i| usize::from(i % 5 == 0)).collect();
    let data = dataset(x, &y, ids(200));
    let mean = |class_weights| {
        let p = run(&data, &Settings { class_weights, ..of(HeadKind::Lda) }).dense.probabilities_of(data.x()).unwrap();
        p.column(0).mean().unwrap()
    };
    let (shares, balanced) = (mean(ClassWeights::None), mean(ClassWeights::Balanced));
    assert!(shares > balanced + 0.1 && (balanced - 0.5).abs() < 0.1, "{shares} {balanced}");
}
