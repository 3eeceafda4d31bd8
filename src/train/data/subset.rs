//! The samples of a training when there are more than `training.max_samples`.
//!
//! A bound on samples is a bound on time and memory; of many classes [`sample_limit`] is the narrower one. Samples are left out evenly: no class gives up one
//! while another keeps more, and a burst is thinned before single images are. The choice depends on identities alone,
//! so it hardly changes when samples are added.

use std::collections::BTreeMap;

use crate::words::{SampleId, draw};

/// Samples times classes at most. A training keeps a few logits of every pair, ten of 4 bytes along the
/// path of penalties and some more, up to 60 bytes: half a gigabyte.
const MAX_PAIRS: usize = 8_000_000;

/// The most samples in a training on `classes` classes whose setting allows `max`: at least one of every class.
#[must_use]
pub fn sample_limit(max: usize, classes: usize) -> usize {
    max.min((MAX_PAIRS / classes.max(1)).max(classes))
}

/// The places of at most `max` samples, rising, of those with classes `labels` (n,), `groups` (n,) and `ids` (n,).
///
/// Every class gets the same share and passes on what it does not need (waterfilling); what is left over after that
/// goes to one class each, by a draw. Within a class, each group first gives its first sample, then its second, and so
/// on; whatever is first is decided by a draw of `seed` and identity.
///
/// # Panics
/// When the lengths disagree.
#[must_use]
pub fn choose(labels: &[usize], groups: &[SampleId], ids: &[SampleId], max: usize, seed: u64) -> Vec<usize> {
    assert!(labels.len() == groups.len() && groups.len() == ids.len(), "one label and group a sample");
    if labels.len() <= max {
        return (0..labels.len()).collect();
    }
    let mut classes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (sample, &class) in labels.iter().enumerate() {
        classes.entry(class).or_default().push(sample);
    }
    let purpose = format!("subset {seed}");
    let ordered: Vec<Vec<usize>> =
        classes.into_values().map(|samples| in_order(samples, groups, ids, &purpose)).collect();
    let sizes: Vec<usize> = ordered.iter().map(Vec::len).collect();
    // The first sample of a class identifies the class: its place in the list changes when classes are added.
    let lots: Vec<u64> = ordered.iter().map(|samples| draw(&ids[samples[0]], &purpose)).collect();
    let shares = waterfill(&sizes, &lots, max);
    let mut chosen: Vec<usize> =
        ordered.iter().zip(shares).flat_map(|(samples, share)| samples.iter().copied().take(share)).collect();
    chosen.sort_unstable();
    chosen
}

/// The `samples` of one class: first of every group, then second of every group, by draws within.
fn in_order(samples: Vec<usize>, groups: &[SampleId], ids: &[SampleId], purpose: &str) -> Vec<usize> {
    let mut drawn: Vec<(u64, usize)> =
        samples.into_iter().map(|sample| (draw(&ids[sample], purpose), sample)).collect();
    drawn.sort_by_key(|&(lot, sample)| (lot, ids[sample]));
    let mut seen: BTreeMap<SampleId, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, usize)> = drawn
        .into_iter()
        .map(|(_, sample)| {
            let place = seen.entry(groups[sample]).or_default();
            *place += 1;
            (*place, sample)
        })
        .collect();
    // Stable: within a rank the draws decide.
    ranked.sort_by_key(|&(place, _)| place);
    ranked.into_iter().map(|(_, sample)| sample).collect()
}

/// How much each of `sizes` gets of `max`: all alike, none more than its size; odd ones by `lots`, lowest first.
pub(crate) fn waterfill(sizes: &[usize], lots: &[u64], max: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&class| (sizes[class], lots[class], class));
    let (mut left, mut shares) = (max, vec![0; sizes.len()]);
    for (done, &class) in order.iter().enumerate() {
        shares[class] = sizes[class].min(left / (sizes.len() - done));
        left -= shares[class];
    }
    let mut thirsty: Vec<usize> = (0..sizes.len()).filter(|&class| shares[class] < sizes[class]).collect();
    thirsty.sort_by_key(|&class| (shares[class], lots[class], class));
    for class in thirsty.into_iter().take(left) {
        shares[class] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    struct Samples {
        labels: Vec<usize>,
        groups: Vec<SampleId>,
        ids: Vec<SampleId>,
    }

    /// Up to 200 samples of up to 6 classes of very different sizes, in bursts.
    fn random(seed: u64) -> Samples {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (n, k) = (rng.random_range(1..200_u32), rng.random_range(1..6_u32));
        let label = |_| (rng.random_range(0..k) * rng.random_range(0..k) / k) as usize;
        let labels: Vec<usize> = (0..n).map(label).collect();
        let groups = (0..n).map(|_| SampleId::of(&rng.random_range(0..60_u32).to_le_bytes())).collect();
        let ids = (0..n).map(|i| SampleId::of(format!("{seed} {i}").as_bytes())).collect();
        Samples { labels, groups, ids }
    }

    impl Samples {
        fn chosen(&self, max: usize, seed: u64) -> Vec<usize> {
            choose(&self.labels, &self.groups, &self.ids, max, seed)
        }

        fn count(&self, chosen: &[usize], class: usize) -> usize {
            chosen.iter().filter(|&&sample| self.labels[sample] == class).count()
        }
    }

    #[test]
    fn hundreds_of_classes_bound_the_samples_and_never_below_one_of_each() {
        assert_eq!([2, 400].map(|classes| sample_limit(20_000, classes)), [20_000; 2]);
        assert_eq!(sample_limit(20_000, 1_000), 8_000);
        assert_eq!(sample_limit(20_000, 5_000), 5_000);
        assert_eq!(sample_limit(300, 1_000), 300, "the setting is never exceeded");
    }

    #[test]
    fn the_bound_is_used_up_and_no_class_loses_while_another_keeps_more() {
        for seed in 0..300 {
            let samples = random(seed);
            let (all, max) = ((0..samples.ids.len()).collect::<Vec<_>>(), seed as usize % 80);
            let chosen = samples.chosen(max, seed);
            assert_eq!(chosen.len(), max.min(all.len()), "seed {seed}");
            for class in 0..6 {
                let kept = samples.count(&chosen, class);
                let most = (0..6).map(|other| samples.count(&chosen, other)).max().unwrap();
                assert!(kept == samples.count(&all, class) || most <= kept + 1, "seed {seed}");
            }
        }
    }

    #[test]
    fn no_group_gives_a_second_sample_of_a_class_before_each_has_given_one() {
        for seed in 0..300 {
            let samples = random(seed);
            let chosen: BTreeSet<usize> = samples.chosen(40, seed).into_iter().collect();
            let given = |class: usize, group: SampleId| {
                chosen.iter().filter(|&&i| samples.labels[i] == class && samples.groups[i] == group).count()
            };
            for i in (0..samples.ids.len()).filter(|i| !chosen.contains(i)) {
                let mine = given(samples.labels[i], samples.groups[i]);
                let most = samples.groups.iter().map(|group| given(samples.labels[i], *group)).max().unwrap();
                assert!(most <= mine + 1, "seed {seed}");
            }
        }
    }

    #[test]
    fn one_more_sample_changes_the_choice_by_a_few_and_their_order_by_none() {
        for seed in 0..300 {
            let samples = random(seed);
            let names = |part: &Samples, chosen: Vec<usize>| -> BTreeSet<SampleId> {
                chosen.into_iter().map(|i| part.ids[i]).collect()
            };
            let after = names(&samples, samples.chosen(40, 1));
            let backward = Samples {
                labels: samples.labels.iter().rev().copied().collect(),
                groups: samples.groups.iter().rev().copied().collect(),
                ids: samples.ids.iter().rev().copied().collect(),
            };
            assert_eq!(after, names(&backward, backward.chosen(40, 1)), "seed {seed}");
            let last = samples.ids.len() - 1;
            let fewer = Samples {
                labels: samples.labels[..last].to_vec(),
                groups: samples.groups[..last].to_vec(),
                ids: samples.ids[..last].to_vec(),
            };
            let before = names(&fewer, fewer.chosen(40, 1));
            assert!(after.symmetric_difference(&before).count() <= 4, "seed {seed}");
        }
    }

    #[test]
    fn everything_is_taken_when_it_fits_and_the_seed_decides_when_it_does_not() {
        let samples = random(3);
        assert_eq!(samples.chosen(500, 0), (0..samples.ids.len()).collect::<Vec<_>>());
        assert_eq!(samples.chosen(20, 0), samples.chosen(20, 0));
        assert_ne!(samples.chosen(20, 0), samples.chosen(20, 1));
        assert_eq!(samples.chosen(0, 0), Vec::<usize>::new());
    }
}
