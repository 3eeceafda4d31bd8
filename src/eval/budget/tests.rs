use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Up to 300 samples of up to 4 classes of very different sizes and of none, in bursts.
fn cache(seed: u64) -> Vec<Kept> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = rng.random_range(1..300);
    let names = ["bolt", "gear", "nut", "washer"].map(|name| Label::new(name).unwrap());
    let mut samples: Vec<Kept> = (0..n)
        .map(|i: u64| {
            let id = SampleId::of(format!("{seed} {i}").as_bytes());
            let group = if rng.random_bool(0.3) { SampleId::of(&[rng.random_range(0..9)]) } else { id };
            let class = rng.random_range(0..5_usize) * rng.random_range(0..5) / 4;
            Kept { id, group, label: names.get(class).cloned(), arrived: i, audit: rng.random_bool(0.1) }
        })
        .collect();
    samples.sort_by_key(|sample| sample.id);
    samples
}

/// Embeddings that depend on the identity alone.
fn embed(ids: &[SampleId]) -> Array2<f32> {
    Array2::from_shape_fn((ids.len(), 4), |(i, j)| f32::from(ids[i].0.0[j]) - 100.0)
}

fn size(samples: &[Kept], label: Option<&Label>) -> usize {
    samples.iter().filter(|sample| sample.label.as_ref() == label).count()
}

#[test]
fn exactly_as_many_go_as_asked_for_unless_what_is_left_has_to_stay() {
    for seed in 0..300 {
        let (samples, count) = (cache(seed), (seed as usize * 7) % 320);
        let Evicted { gone, short } = evict(&samples, count, &mut embed);
        assert_eq!(gone.len() + short, count, "seed {seed}");
        let gone: BTreeMap<SampleId, Why> = gone.into_iter().collect();
        assert_eq!(gone.len() + short, count, "seed {seed}: none goes twice");
        let left: Vec<Kept> = samples.iter().filter(|sample| !gone.contains_key(&sample.id)).cloned().collect();
        for sample in &samples {
            let Some(label) = &sample.label else { continue };
            assert!(!sample.audit || !gone.contains_key(&sample.id), "seed {seed}: a labelled audit");
            let (before, after) = (size(&samples, Some(label)), size(&left, Some(label)));
            assert!(after >= MIN_CLASS.min(before), "seed {seed}: {after} of {before} '{label}'");
        }
        if short > 0 {
            let mut more = left.iter().filter(|sample| may_go(sample));
            let may = |sample: &Kept| sample.label.as_ref().is_none_or(|label| size(&left, Some(label)) > MIN_CLASS);
            assert!(!more.any(may), "seed {seed}: something could have gone");
        }
    }
}

#[test]
fn near_duplicates_go_before_images_without_a_label_and_those_before_redundant_ones() {
    for seed in 0..100 {
        let samples = cache(seed);
        let Evicted { gone, .. } = evict(&samples, samples.len(), &mut embed);
        assert!(gone.is_sorted_by_key(|(_, why)| *why), "seed {seed}");
        for (id, _) in gone.iter().filter(|(_, why)| *why == Why::NearDuplicate) {
            let sample = samples.iter().find(|sample| sample.id == *id).unwrap();
            let like = |other: &&Kept| other.group == sample.group && other.label == sample.label;
            assert!(samples.iter().filter(like).any(|other| other.arrived < sample.arrived), "seed {seed}");
        }
    }
}

#[test]
fn the_order_of_samples_does_not_matter() {
    for seed in 0..100 {
        let samples = cache(seed);
        let backward: Vec<Kept> = samples.iter().rev().cloned().collect();
        assert_eq!(evict(&samples, 90, &mut embed), evict(&backward, 90, &mut embed), "seed {seed}");
    }
}

#[test]
fn what_stays_without_a_label_does_not_depend_on_when_it_came_or_when_the_rest_went() {
    let image = |i: u64| {
        let id = SampleId::of(&i.to_le_bytes());
        Kept { id, group: id, label: None, arrived: i, audit: false }
    };
    let all: Vec<Kept> = (0..2_000).map(image).collect();
    let keep = |samples: Vec<Kept>, most: usize| -> Vec<Kept> {
        let gone = evict(&samples, samples.len().saturating_sub(most), &mut embed).gone;
        samples.into_iter().filter(|sample| !gone.iter().any(|(id, _)| *id == sample.id)).collect()
    };
    let at_once = keep(all.clone(), 200);
    let mut bit_by_bit = Vec::new();
    for batch in all.chunks(50) {
        bit_by_bit.extend_from_slice(batch);
        bit_by_bit = keep(bit_by_bit, 200);
    }
    assert_eq!(at_once, bit_by_bit);
    // A uniform sample: 100 of the first half expected, standard deviation 6.7.
    let early = at_once.iter().filter(|sample| sample.arrived < 1_000).count();
    assert!((75..125).contains(&early), "{early}");
}

#[test]
fn of_the_largest_class_one_of_the_closest_two_goes_and_only_its_embeddings_are_read() {
    let sample = |i: u64, name: &str| {
        let id = SampleId::of(&i.to_le_bytes());
        Kept { id, group: id, label: Some(Label::new(name).unwrap()), arrived: i, audit: i == 4 }
    };
    let samples: Vec<Kept> = (0..22).map(|i| sample(i, "gear")).chain((22..45).map(|i| sample(i, "nut"))).collect();
    // Nuts stand on a circle one step apart; 30 stands between 31 and 29, closer to 31.
    let place = |id: &SampleId| samples.iter().find(|sample| sample.id == *id).unwrap().arrived;
    let mut asked = Vec::new();
    let mut read = |ids: &[SampleId]| {
        asked.extend(ids.iter().map(place));
        Array2::from_shape_fn((ids.len(), 2), |(i, j)| {
            let at = if place(&ids[i]) == 30 { 30.8 } else { place(&ids[i]) as f32 };
            let angle = at / 10.0;
            if j == 0 { angle.cos() } else { angle.sin() }
        })
    };
    let Evicted { gone, short } = evict(&samples, 1, &mut read);
    assert_eq!((gone.len(), short, gone[0].1), (1, 0, Why::Redundant));
    assert!(matches!(place(&gone[0].0), 30 | 31), "{}", place(&gone[0].0));
    assert!(asked.iter().all(|arrived| *arrived >= 22), "{asked:?}");
    let Evicted { gone, short } = evict(&samples, 9, &mut embed);
    assert_eq!((gone.len(), short), (5, 4));
}

#[test]
fn a_class_larger_than_the_window_is_thinned_to_the_end() {
    let sample = |i: u64| {
        let id = SampleId::of(&i.to_le_bytes());
        Kept { id, group: id, label: Some(Label::new("gear").unwrap()), arrived: i, audit: false }
    };
    let samples: Vec<Kept> = (0..1_300).map(sample).collect();
    let mut most = 0;
    let mut read = |ids: &[SampleId]| {
        most = most.max(ids.len());
        embed(ids)
    };
    let Evicted { gone, short } = evict(&samples, 2_000, &mut read);
    assert_eq!((gone.len(), short, most), (1_280, 720, 1_000));
}
