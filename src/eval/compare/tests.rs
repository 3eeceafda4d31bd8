use std::ops::ControlFlow;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::super::gate::VerdictCode;
use super::*;
use crate::head::{BackboneRef, Calibration};
use crate::train::{L2, Settings, fit};
use crate::words::{Digest, EmbeddingSpace, Timestamp};

const D: usize = 8;

/// One image: number, class name, embedding.
type Image = (u16, &'static str, Vec<f32>);

/// Images `numbers` of well separated classes, so that a head learns them from a few.
fn images(numbers: std::ops::Range<u16>, names: &[&'static str]) -> Vec<Image> {
    let all = ["bolt", "gear", "nut", "washer"];
    let image = |number: u16| {
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(number));
        let name = names[usize::from(number) % names.len()];
        let centre = all.iter().position(|other| *other == name).unwrap();
        let place = |j: usize| f32::from(u8::from(j == centre)) * 2.0 + rng.random::<f32>();
        (number, name, (0..D).map(place).collect())
    };
    numbers.map(image).collect()
}

fn id(number: u16) -> SampleId {
    SampleId::of(&number.to_le_bytes())
}

fn dataset(images: &[Image]) -> Dataset {
    let classes: ClassSet = images.iter().map(|(_, name, _)| Label::new(name).unwrap()).collect();
    let y = images.iter().map(|(_, name, _)| classes.index_of(&Label::new(name).unwrap()).unwrap()).collect();
    let ids: Vec<_> = images.iter().map(|(number, ..)| id(*number)).collect();
    let x = Array2::from_shape_fn((images.len(), D), |(i, j)| images[i].2[j]);
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D };
    Dataset::new(space, x, y, classes, ids.clone(), ids).unwrap()
}

fn trained(data: &Dataset) -> Fitted {
    let settings = Settings { l2: L2::Fixed(0.05), ..Settings::default() };
    fit(data, &settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn record(fitted: Fitted) -> HeadRecord {
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"m"), dim: D };
    fitted.into_record(6, Timestamp(0), backbone, None, Calibration::default())
}

fn against(data: &Dataset, fitted: &Fitted, champion: &HeadRecord) -> Comparison {
    compare(data, fitted, 7, Some(champion), &Rules::default())
}

#[test]
fn the_same_training_again_ties_with_itself() {
    let data = dataset(&images(0..60, &["bolt", "gear", "nut"]));
    let fitted = trained(&data);
    let result = against(&data, &fitted, &record(fitted.clone()));
    assert_eq!(result.verdict.code, VerdictCode::NotWorse);
    assert!(
        result.verdict.change.is_some_and(|[change, low]| change.abs() < 1e-9 && low < 0.0),
        "{:?}",
        result.verdict
    );
    assert_eq!(result.challenger, result.champion);
}

#[test]
fn the_champion_is_scored_out_of_fold_on_what_it_was_trained_on() {
    let data = dataset(&images(0..60, &["bolt", "gear", "nut"]));
    let fitted = trained(&data);
    let mut champion = record(fitted.clone());
    // Its weights would be right everywhere; what its folds predicted is wrong everywhere.
    champion.heldout.logits.mapv_inplace(|logit| -logit);
    let result = against(&data, &fitted, &champion);
    assert!(result.champion.is_some_and(|figures| figures.n == 60 && figures.accuracy < 0.1));
    assert_eq!(result.verdict.code, VerdictCode::Better);
}

#[test]
fn later_samples_are_scored_by_the_champions_weights_unless_it_has_seen_their_group() {
    let old = dataset(&images(0..30, &["bolt", "gear", "nut"]));
    let champion = record(trained(&old));
    let now = images(0..60, &["bolt", "gear", "nut"]);
    let data = dataset(&now);
    let mut groups = data.ids().to_vec();
    // Image 45 is a near-duplicate of image 0.
    groups[45] = id(0);
    let (x, y, ids) = (data.x().clone(), data.y().to_vec(), data.ids().to_vec());
    let burst = Dataset::new(data.space(), x, y, data.classes().clone(), groups, ids).unwrap();
    assert_eq!(against(&data, &trained(&data), &champion).champion.map(|figures| figures.n), Some(60));
    assert_eq!(against(&burst, &trained(&burst), &champion).champion.map(|figures| figures.n), Some(59));
}

#[test]
fn a_relabelled_sample_is_compared_with_its_present_label() {
    let before = images(0..60, &["bolt", "gear", "nut"]);
    let champion = record(trained(&dataset(&before)));
    let mut after = before;
    after[0].1 = "nut";
    let data = dataset(&after);
    let result = against(&data, &trained(&data), &champion);
    assert_eq!(result.champion.map(|figures| figures.confusion[2][0]), Some(1));
}

#[test]
fn a_class_that_is_new_counts_for_the_challenger_and_is_left_out_of_the_champions_figures() {
    let champion = record(trained(&dataset(&images(0..60, &["bolt", "gear", "nut"]))));
    let mut now = images(0..60, &["bolt", "gear", "nut"]);
    now.extend(images(60..80, &["washer"]));
    let data = dataset(&now);
    let result = against(&data, &trained(&data), &champion);
    assert!(result.verdict.reason.contains("'washer' is new (20 of 20 right), the 3 classes"), "{:?}", result.verdict);
    assert_eq!(result.verdict.code, VerdictCode::Better);
    assert_eq!(result.champion.map(|figures| (figures.n, figures.per_class.len())), Some((60, 3)));
    assert_eq!(result.challenger.map(|figures| (figures.n, figures.per_class.len())), Some((80, 4)));
}

#[test]
fn a_class_without_labels_any_more_keeps_the_champion() {
    let champion = record(trained(&dataset(&images(0..60, &["bolt", "gear", "nut"]))));
    let data = dataset(&images(0..60, &["bolt", "gear"]));
    assert_eq!(against(&data, &trained(&data), &champion).verdict.code, VerdictCode::ClassLost);
}

#[test]
fn a_champion_of_another_space_leaves_the_challenger_the_first() {
    let data = dataset(&images(0..60, &["bolt", "gear", "nut"]));
    let fitted = trained(&data);
    let mut champion = record(fitted.clone());
    champion.dense.space.backbone = Digest::of(b"other");
    let result = against(&data, &fitted, &champion);
    assert_eq!((result.verdict.code, result.champion), (VerdictCode::First, None));
}

#[test]
fn challengers_on_shuffled_labels_lose_and_single_groups_leave_nothing_to_measure() {
    let good = images(0..60, &["bolt", "gear", "nut"]);
    let champion = record(trained(&dataset(&good)));
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut shuffled = good.clone();
        for image in &mut shuffled {
            image.1 = ["bolt", "gear", "nut"][rng.random_range(0..3)];
        }
        // What was labelled so is what it is measured by; the champion was trained on the truth.
        let fitted = trained(&dataset(&shuffled));
        let result = against(&dataset(&good), &fitted, &champion);
        assert!(!result.verdict.promote, "seed {seed}: {:?}", result.verdict);
    }
    let few = dataset(&images(0..3, &["bolt", "gear", "nut"]));
    let result = compare(&few, &trained(&few), 1, None, &Rules::default());
    assert!(result.challenger.is_none() && result.verdict.provisional, "{:?}", result.verdict);
}

/// A head trained elsewhere, on 60 other images of these classes.
fn pushed(names: &[&'static str]) -> HeadRecord {
    let mut record = record(trained(&dataset(&images(1_000..1_060, names))));
    record.head.version = 7;
    record
}

/// The gate's verdict on `pushed` by `data`, beside a champion trained on it.
fn sent(data: &Dataset, pushed: &HeadRecord) -> VerdictCode {
    let champion = record(trained(data));
    let result = compare_pushed(Some(data), pushed, Some(&champion), &|_, _| None, &Rules::default());
    let Verdict { promote, provisional, code, reason, .. } = result.verdict;
    assert_eq!(promote, code.promotes() || code == VerdictCode::TooFewHeldout, "{code}: {reason}");
    assert_eq!(provisional, code == VerdictCode::TooFewHeldout);
    code
}

#[test]
fn a_head_that_was_sent_serves_unless_it_is_shown_to_be_worse() {
    let names = ["bolt", "gear", "nut"];
    let data = dataset(&images(0..60, &names));
    let good = pushed(&names);
    assert_eq!(sent(&data, &good), VerdictCode::NotWorse);
    let mut deaf = good.clone();
    deaf.dense.bias[1] -= 1e3;
    assert_eq!(sent(&data, &deaf), VerdictCode::ClassRecallLoss);
    let mut blind = good.clone();
    blind.dense.weights.fill(0.0);
    assert_eq!(sent(&data, &blind), VerdictCode::Chance);
    let mut sure = good;
    sure.dense.weights.mapv_inplace(|weight| -weight);
    assert_eq!(sent(&data, &sure), VerdictCode::Chance, "worse than guessing");
    assert_eq!(sent(&data, &pushed(&["bolt", "gear"])), VerdictCode::ClassLost);
    assert_eq!(
        sent(&data, &pushed(&["bolt", "gear", "nut", "washer"])),
        VerdictCode::NotWorse,
        "a class more is no harm"
    );
}

#[test]
fn without_enough_labels_that_it_has_not_seen_a_head_that_was_sent_serves_provisionally() {
    let names = ["bolt", "gear", "nut"];
    let data = dataset(&images(0..60, &names));
    assert_eq!(sent(&dataset(&images(0..12, &names)), &pushed(&names)), VerdictCode::TooFewHeldout);
    // The images here are those that it was trained on, whatever its own folds predicted for them.
    let own = record(trained(&data));
    assert_eq!(sent(&data, &own), VerdictCode::TooFewHeldout);
    let result = compare_pushed(None, &pushed(&names), Some(&own), &|_, _| None, &Rules::default());
    assert!(result.verdict.promote && result.verdict.provisional && result.challenger.is_none());
    let first = compare_pushed(Some(&data), &pushed(&names), None, &|_, _| None, &Rules::default());
    assert_eq!(first.verdict.code, VerdictCode::First);
    assert_eq!(first.challenger.map(|figures| figures.n), Some(60));
}
