use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

fn task(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

/// The labels of a sample that one task has a label for.
fn one(label: Option<&Label>) -> Vec<(TaskId, Label)> {
    label.map(|label| (TaskId::default(), label.clone())).into_iter().collect()
}

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
            Kept { id, group, labels: one(names.get(class)), arrived: i, audit: rng.random_bool(0.1) }
        })
        .collect();
    samples.sort_by_key(|sample| sample.id);
    samples
}

/// The same with labels of a second task, whose classes have nothing to do with those of the first.
fn shared(seed: u64) -> Vec<Kept> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed + 1_000);
    let (often, names) = (rng.random_range(0.0..1.0), ["open", "shut", "ajar"].map(|name| Label::new(name).unwrap()));
    let mut samples = cache(seed);
    for sample in &mut samples {
        let class = rng.random_range(0..3_usize) * rng.random_range(0..3) / 2;
        if rng.random_bool(often) {
            sample.labels.push((task("door"), names[class].clone()));
        }
    }
    samples
}

/// Embeddings that depend on task and identity alone.
fn embed(task: &TaskId, ids: &[SampleId]) -> Array2<f32> {
    let first = if task.is_default() { 0 } else { 4 };
    Array2::from_shape_fn((ids.len(), 4), |(i, j)| f32::from(ids[i].0.0[first + j]) - 100.0)
}

fn size(samples: &[Kept], class: &(TaskId, Label)) -> usize {
    samples.iter().filter(|sample| sample.labels.contains(class)).count()
}

/// What is left when so many are to go.
fn rest(samples: Vec<Kept>, count: usize) -> Vec<Kept> {
    let gone: BTreeMap<SampleId, Why> = evict(&samples, count, &mut embed).gone.into_iter().collect();
    samples.into_iter().filter(|sample| !gone.contains_key(&sample.id)).collect()
}

/// Samples without near-duplicates, by the labels that two tasks give so many of them.
fn labelled(parts: &[(usize, Option<&str>, Option<&str>)]) -> Vec<Kept> {
    let class = |name: &str, label: Option<&str>| label.map(|label| (task(name), Label::new(label).unwrap()));
    let labels = parts.iter().flat_map(|(count, first, second)| {
        let both: Vec<_> = class("default", *first).into_iter().chain(class("door", *second)).collect();
        vec![both; *count]
    });
    let sample = |(i, labels): (usize, Vec<(TaskId, Label)>)| {
        let id = SampleId::of(&i.to_le_bytes());
        Kept { id, group: id, labels, arrived: i as u64, audit: false }
    };
    labels.enumerate().map(sample).collect()
}

#[test]
fn exactly_as_many_go_as_asked_for_unless_what_is_left_has_to_stay() {
    for seed in 0..600 {
        let samples = if seed < 300 { cache(seed) } else { shared(seed) };
        let count = (seed as usize * 7) % 320;
        let Evicted { gone, short } = evict(&samples, count, &mut embed);
        assert_eq!(gone.len() + short, count, "seed {seed}");
        let gone: BTreeMap<SampleId, Why> = gone.into_iter().collect();
        assert_eq!(gone.len() + short, count, "seed {seed}: none goes twice");
        let left: Vec<Kept> = samples.iter().filter(|sample| !gone.contains_key(&sample.id)).cloned().collect();
        for sample in &samples {
            for class in &sample.labels {
                assert!(!sample.audit || !gone.contains_key(&sample.id), "seed {seed}: a labelled audit");
                let (before, after) = (size(&samples, class), size(&left, class));
                assert!(after >= MIN_CLASS.min(before), "seed {seed}: {after} of {before} '{}'", class.1);
            }
        }
        if short > 0 {
            let mut more = left.iter().filter(|sample| may_go(sample));
            let may = |sample: &Kept| sample.labels.iter().all(|class| size(&left, class) > MIN_CLASS);
            assert!(!more.any(may), "seed {seed}: something could have gone");
        }
    }
}

#[test]
fn what_goes_is_of_the_largest_class_that_is_the_rarest_of_a_sample() {
    for seed in 0..100 {
        let samples = shared(seed);
        let Evicted { gone, .. } = evict(&samples, samples.len(), &mut embed);
        let mut left = samples.clone();
        for (id, why) in gone {
            let mut sizes: BTreeMap<&(TaskId, Label), usize> = BTreeMap::new();
            left.iter().flat_map(|sample| &sample.labels).for_each(|class| *sizes.entry(class).or_default() += 1);
            let rarest = |sample: &Kept| sample.labels.iter().map(|class| sizes[class]).min();
            let sample = left.iter().find(|sample| sample.id == id).unwrap();
            if why == Why::Redundant {
                let most = left.iter().filter(|sample| may_go(sample)).filter_map(rarest).max();
                assert_eq!(rarest(sample), most, "seed {seed}");
            }
            left.retain(|sample| sample.id != id);
        }
    }
}

#[test]
fn many_labels_of_one_task_cost_another_none_of_its_few() {
    // The second task has labels for few images, some of them among the many of the first.
    let parts = [(400, Some("gear"), None), (300, Some("nut"), None), (15, Some("gear"), Some("open"))];
    let samples = labelled(&[&parts[..], &[(25, None, Some("open")), (45, Some("nut"), Some("shut"))]].concat());
    let left = rest(samples, 640);
    let sizes = [("default", "gear"), ("default", "nut"), ("door", "open"), ("door", "shut")]
        .map(|(name, label)| size(&left, &(task(name), Label::new(label).unwrap())));
    // The many are levelled down to the few: of 'gear' and 'nut' what the second task needs stays.
    assert_eq!((left.len(), &sizes[2..]), (145, &[40, 45][..]));
    assert!(sizes[0].abs_diff(sizes[1]) <= 1 && sizes[1] >= 45, "{sizes:?}");
    // Alone, or beside a task that has labels for nothing of it, each task has what it would have.
    let alone = |parts| rest(labelled(parts), 300).into_iter().map(|sample| sample.id).collect::<Vec<_>>();
    let beside = alone(&[(400, Some("gear"), None), (100, Some("nut"), None), (20, None, Some("open"))]);
    let only = alone(&[(400, Some("gear"), None), (100, Some("nut"), None)]);
    assert_eq!(beside[..only.len()], only);
}

#[test]
fn a_near_duplicate_goes_only_where_another_of_its_burst_has_its_labels_in_every_task() {
    let mut samples = labelled(&[(30, Some("gear"), None), (30, Some("gear"), Some("open"))]);
    let burst = samples[0].id;
    for sample in &mut samples {
        sample.group = burst;
    }
    let gone = evict(&samples, 2, &mut embed).gone;
    assert_eq!(gone, [(samples[59].id, Why::NearDuplicate), (samples[29].id, Why::NearDuplicate)]);
    samples.truncate(31);
    let gone = evict(&samples, 60, &mut embed).gone;
    assert!(gone.len() == 11 && gone.iter().all(|(id, _)| *id != samples[30].id), "the only one of 'open' stays");
}

#[test]
fn near_duplicates_go_before_images_without_a_label_and_those_before_redundant_ones() {
    for seed in 0..100 {
        let samples = shared(seed);
        let Evicted { gone, .. } = evict(&samples, samples.len(), &mut embed);
        assert!(gone.is_sorted_by_key(|(_, why)| *why), "seed {seed}");
        for (id, _) in gone.iter().filter(|(_, why)| *why == Why::NearDuplicate) {
            let sample = samples.iter().find(|sample| sample.id == *id).unwrap();
            let like = |other: &&Kept| other.group == sample.group && other.labels == sample.labels;
            assert!(samples.iter().filter(like).any(|other| other.arrived < sample.arrived), "seed {seed}");
        }
    }
}

#[test]
fn the_order_of_samples_does_not_matter() {
    for seed in 0..100 {
        let samples = shared(seed);
        let backward: Vec<Kept> = samples.iter().rev().cloned().collect();
        assert_eq!(evict(&samples, 90, &mut embed), evict(&backward, 90, &mut embed), "seed {seed}");
    }
}

#[test]
fn what_stays_without_a_label_does_not_depend_on_when_it_came_or_when_the_rest_went() {
    let image = |i: u64| {
        let id = SampleId::of(&i.to_le_bytes());
        Kept { id, group: id, labels: Vec::new(), arrived: i, audit: false }
    };
    let all: Vec<Kept> = (0..2_000).map(image).collect();
    let keep = |samples: Vec<Kept>, most: usize| {
        let count = samples.len().saturating_sub(most);
        rest(samples, count)
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
        Kept { id, group: id, labels: one(Label::new(name).ok().as_ref()), arrived: i, audit: i == 4 }
    };
    let samples: Vec<Kept> = (0..22).map(|i| sample(i, "gear")).chain((22..45).map(|i| sample(i, "nut"))).collect();
    // Nuts are on a circle one step apart; 30 is between 31 and 29, closer to 31.
    let place = |id: &SampleId| samples.iter().find(|sample| sample.id == *id).unwrap().arrived;
    let mut embedded = Vec::new();
    let mut read = |_: &TaskId, ids: &[SampleId]| {
        embedded.extend(ids.iter().map(place));
        Array2::from_shape_fn((ids.len(), 2), |(i, j)| {
            let at = if place(&ids[i]) == 30 { 30.8 } else { place(&ids[i]) as f32 };
            let angle = at / 10.0;
            if j == 0 { angle.cos() } else { angle.sin() }
        })
    };
    let Evicted { gone, short } = evict(&samples, 1, &mut read);
    assert_eq!((gone.len(), short, gone[0].1), (1, 0, Why::Redundant));
    assert!(matches!(place(&gone[0].0), 30 | 31), "{}", place(&gone[0].0));
    assert!(embedded.iter().all(|arrived| *arrived >= 22), "{embedded:?}");
    let Evicted { gone, short } = evict(&samples, 9, &mut embed);
    assert_eq!((gone.len(), short), (5, 4));
}

#[test]
fn a_class_larger_than_the_window_is_thinned_to_the_end() {
    let sample = |i: u64| {
        let id = SampleId::of(&i.to_le_bytes());
        Kept { id, group: id, labels: one(Label::new("gear").ok().as_ref()), arrived: i, audit: false }
    };
    let samples: Vec<Kept> = (0..1_300).map(sample).collect();
    let mut most = 0;
    let mut read = |task: &TaskId, ids: &[SampleId]| {
        most = most.max(ids.len());
        embed(task, ids)
    };
    let Evicted { gone, short } = evict(&samples, 2_000, &mut read);
    assert_eq!((gone.len(), short, most), (1_280, 720, 1_000));
}
