//! Data sets of every shape that leave little or nothing to learn: each is trained, compared and calibrated, or refused
//! in words, and never ends the process.

use std::ops::ControlFlow;

use ndarray::Array2;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::gate::Rules;
use super::label_errors::label_errors;
use super::{calibrate, compare};
use crate::head::{BackboneRef, HeadRecord};
use crate::train::{BadData, Dataset, FitError, Fitted, HeadKind, LabelStats, OnlineLearner, Settings, Solver, fit};
use crate::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId, Timestamp};

const KINDS: [HeadKind; 5] = [HeadKind::Softmax, HeadKind::Lda, HeadKind::RpRidge, HeadKind::Mlp, HeadKind::Auto];
const SOLVERS: [Solver; 2] = [Solver::Lbfgs, Solver::Adam { epochs: 3, batch: 8, lr: 1e-2 }];

/// What is the matter with the embeddings.
#[derive(Debug, Clone, Copy)]
enum Matter {
    /// All are the same.
    Same,
    /// They differ by the last bit only.
    SameButRounding,
    /// One differs from all others.
    OneOther,
    /// There are two different ones, whatever the class.
    Two,
    /// One for each class.
    OneAClass,
    /// All but one value are constant.
    OneFeature,
    /// All are multiples of one.
    OneDirection,
    /// So large that squares overflow single precision.
    Huge,
    /// So small that squares vanish.
    Tiny,
    /// All values are zero but for one image.
    Black,
    /// Nothing; the groups are: all images are one burst.
    OneGroup,
    /// Nothing at all.
    None,
}

const MATTERS: [Matter; 12] = [
    Matter::Same,
    Matter::SameButRounding,
    Matter::OneOther,
    Matter::Two,
    Matter::OneAClass,
    Matter::OneFeature,
    Matter::OneDirection,
    Matter::Huge,
    Matter::Tiny,
    Matter::Black,
    Matter::OneGroup,
    Matter::None,
];

/// Embeddings (n, d) of images with classes `y`.
fn embeddings(rng: &mut ChaCha8Rng, matter: Matter, y: &[usize], d: usize) -> Array2<f32> {
    let n = y.len();
    let mut own = Array2::from_shape_simple_fn((n, d), || rng.random::<f32>() + 0.5);
    let first = own.row(0).to_owned();
    match matter {
        Matter::Same => Array2::from_shape_fn((n, d), |(_, j)| first[j]),
        Matter::SameButRounding => {
            Array2::from_shape_fn((n, d), |(i, j)| first[j] * (1.0 + f32::EPSILON * (i % 2) as f32))
        }
        Matter::OneOther => Array2::from_shape_fn((n, d), |(i, j)| own[[usize::from(i == n - 1), j]]),
        Matter::Two => Array2::from_shape_fn((n, d), |(i, j)| own[[i % 2, j]]),
        Matter::OneAClass => Array2::from_shape_fn((n, d), |(i, j)| own[[y[i], j]]),
        Matter::OneFeature => Array2::from_shape_fn((n, d), |(i, j)| if j == 0 { own[[i, 0]] } else { first[j] }),
        Matter::OneDirection => Array2::from_shape_fn((n, d), |(i, j)| first[j] * (i + 1) as f32),
        Matter::Huge => own * 1e30,
        Matter::Tiny => own * 1e-30,
        Matter::Black => Array2::from_shape_fn((n, d), |(i, j)| if i == 0 { first[j] } else { 0.0 }),
        Matter::OneGroup | Matter::None => {
            for (mut row, class) in own.rows_mut().into_iter().zip(y) {
                row[class % d] += 1.0;
            }
            own
        }
    }
}

/// A data set with this matter, of any size and number of classes.
fn dataset(rng: &mut ChaCha8Rng, matter: Matter) -> Dataset {
    let k = rng.random_range(2..6);
    let n = *[k, k + 1, 2 * k, 16, 40].choose(rng).unwrap();
    let n = n.max(k);
    let d = *[1, 2, 15, 16, 33, 200].choose(rng).unwrap();
    let y: Vec<usize> = (0..n).map(|i| if i < k { i } else { rng.random_range(0..k) }).collect();
    let x = embeddings(rng, matter, &y, d);
    let classes: ClassSet = (0..k).map(|class| Label::new(&format!("class {class}")).unwrap()).collect();
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: d };
    let ids: Vec<SampleId> = (0..n).map(|i| SampleId::of(&i.to_le_bytes())).collect();
    let groups = if matches!(matter, Matter::OneGroup) { vec![ids[0]; n] } else { ids.clone() };
    Dataset::new(space, x, y, classes, groups, ids).unwrap()
}

/// The head as it would go into service, after everything that is computed of it.
fn record(data: &Dataset, fitted: Fitted, champion: Option<&HeadRecord>) -> HeadRecord {
    let comparison = compare(data, &fitted, 2, champion, &Rules::default());
    assert!(label_errors(data, &fitted.dense, &fitted.heldout).len() <= data.n());
    let calibration = calibrate(data, &fitted, 0);
    let backbone = BackboneRef { name: "b".into(), sha256: data.space().backbone, dim: data.space().dim };
    fitted.into_record(1, Timestamp(0), backbone, comparison.challenger, calibration)
}

/// What learns between two trainings has to live with the same data; whether it can correct anything is its matter.
fn learn_online(data: &Dataset) {
    let mut statistics = LabelStats::new(data.space());
    let labels = data.classes().labels();
    let rows: Vec<Vec<f32>> = data.x().rows().into_iter().map(|row| row.to_vec()).collect();
    statistics.add_all((0..data.n()).map(|i| (data.ids()[i], &labels[data.y()[i]], rows[i].as_slice())));
    let _ = OnlineLearner::new(statistics).refactorise();
}

#[test]
fn whatever_the_shape_of_the_data_a_training_ends_with_a_head_or_a_reason() {
    for seed in 0..240 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let matter = MATTERS[seed as usize % MATTERS.len()];
        let data = dataset(&mut rng, matter);
        learn_online(&data);
        let (kind, solver) = (*KINDS.choose(&mut rng).unwrap(), *SOLVERS.choose(&mut rng).unwrap());
        let case =
            format!("seed {seed}: {matter:?}, {} images of {} values, {kind:?} {solver:?}", data.n(), data.space().dim);
        let settings = Settings { kind, solver, ..Settings::default() };
        let result = fit(&data, &settings, &mut |_| ControlFlow::Continue(()));
        let same = matches!(matter, Matter::Same | Matter::SameButRounding);
        match result {
            Err(FitError::SameEmbedding { images }) => assert!(same && images == data.n(), "{case}"),
            Err(error) => panic!("{case}: {error}"),
            Ok(fitted) => {
                assert!(!same, "{case}");
                let p = fitted.dense.probabilities_of(data.x()).unwrap();
                assert!(p.iter().all(|p| p.is_finite()), "{case}: {p}");
                let champion = record(&data, fitted.clone(), None);
                let again = record(&data, fitted, Some(&champion));
                assert!(HeadRecord::from_bytes(&again.to_bytes()).is_ok_and(|read| read == again), "{case}");
            }
        }
    }
}

#[test]
fn images_with_one_embedding_are_refused_with_their_number_and_what_to_look_at() {
    let y: Vec<usize> = (0..16).map(|i| i % 2).collect();
    let ids: Vec<SampleId> = (0..16_u8).map(|i| SampleId::of(&[i])).collect();
    let classes: ClassSet = ["a", "b"].iter().filter_map(|name| Label::new(name).ok()).collect();
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 64 };
    let data = Dataset::new(space, Array2::from_elem((16, 64), 0.25), y, classes.clone(), ids.clone(), ids).unwrap();
    let error = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().starts_with("cannot train: all 16 labelled images have the same embedding; "), "{error}");
    let empty =
        Dataset::new(EmbeddingSpace { dim: 0, ..space }, Array2::zeros((0, 0)), vec![], classes, vec![], vec![]);
    assert_eq!(empty.unwrap_err(), BadData::NoWidth);
}
