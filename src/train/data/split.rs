//! The split into folds: grouped (a group is never in two folds) and stratified by class.
//!
//! Each class is spread over the folds as evenly as its groups allow. The same samples and seed always give the same
//! folds, whatever order the samples come in.

use std::collections::BTreeMap;

use crate::train::Settings;
use crate::words::{ClassSet, Digest, Label, SampleId};

/// In place of a fold: the sample is in every training set and never held out.
pub(crate) const TRAIN_ONLY: usize = usize::MAX;

/// Fold of each sample, 0..`count`, or [`TRAIN_ONLY`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folds {
    /// Number of folds; 1 when no class can be divided, and then nothing can be held out.
    pub count: usize,
    /// (n,)
    pub of: Vec<usize>,
}

/// Divides samples with classes `y` (n,) and `groups` (n,) into `wanted` folds, or fewer when no class has as many
/// groups.
///
/// Classes go one after another, the one with fewest groups first; each of a class's groups, in the order of its
/// hash, goes to the fold with fewest samples of the class, then fewest of all.
pub(crate) fn folds(y: &[usize], groups: &[SampleId], wanted: usize, seed: u64) -> Folds {
    let mut members: BTreeMap<SampleId, Vec<usize>> = BTreeMap::new();
    for (sample, group) in groups.iter().enumerate() {
        members.entry(*group).or_default().push(sample);
    }
    let mut by_class: BTreeMap<usize, Vec<(Digest, Vec<usize>)>> = BTreeMap::new();
    for (group, samples) in members {
        let hash = Digest::of(&[&seed.to_le_bytes(), &group.0.0[..]].concat());
        by_class.entry(main_class(&samples, y)).or_default().push((hash, samples));
    }
    let most = by_class.values().map(Vec::len).max().unwrap_or(0);
    let count = wanted.min(most).max(1);
    let mut classes: Vec<_> = by_class.into_iter().collect();
    classes.sort_by_key(|(class, groups)| (groups.len(), *class));
    let (mut of, mut total) = (vec![0; y.len()], vec![0; count]);
    for (_, mut groups) in classes {
        groups.sort();
        let mut own = vec![0; count];
        for (_, samples) in groups {
            let fold = (0..count).min_by_key(|&fold| (own[fold], total[fold], fold)).unwrap_or(0);
            own[fold] += samples.len();
            total[fold] += samples.len();
            for sample in samples {
                of[sample] = fold;
            }
        }
    }
    Folds { count, of }
}

/// The fold (n,) that cross-validation deals to samples with these `labels` (n,) and `groups` (n,); all 0 when nothing
/// can be held out.
///
/// # Panics
/// When the lists differ in length.
#[must_use]
pub fn folds_of(labels: &[Label], groups: &[SampleId], seed: u64) -> Vec<usize> {
    assert_eq!(labels.len(), groups.len(), "each sample has a label and a group");
    let classes: ClassSet = labels.iter().cloned().collect();
    let y: Vec<usize> = labels.iter().filter_map(|label| classes.index_of(label)).collect();
    folds(&y, groups, Settings::default().folds, seed).of
}

/// The class that most of `samples` have; the lowest of equals.
fn main_class(samples: &[usize], y: &[usize]) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for &sample in samples {
        *counts.entry(y[sample]).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(class, count)| (count, std::cmp::Reverse(class))).map_or(0, |(class, _)| class)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(seed: u64) -> (Vec<usize>, Vec<SampleId>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (n, k) = (rng.random_range(1..150), rng.random_range(1..6));
        let groups: Vec<u8> = (0..n).map(|_| rng.random_range(0..60)).collect();
        (groups.iter().map(|g| usize::from(*g) % k).collect(), groups.iter().map(|g| SampleId::of(&[*g])).collect())
    }

    #[test]
    fn a_group_is_in_one_fold_and_a_class_with_two_groups_in_two() {
        for seed in 0..300 {
            let (y, groups) = random(seed);
            let folds = folds(&y, &groups, 5, seed);
            for i in 0..y.len() {
                for j in 0..i {
                    assert!(groups[i] != groups[j] || folds.of[i] == folds.of[j], "seed {seed}");
                    let alone = y[i] != y[j] || groups[i] == groups[j];
                    assert!(alone || (0..y.len()).any(|l| y[l] == y[i] && folds.of[l] != folds.of[i]), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn classes_are_spread_evenly_when_each_image_is_its_own_group() {
        let ids: Vec<_> = (0..103_u8).map(|i| SampleId::of(&[i])).collect();
        let y: Vec<usize> = (0..103).map(|i| i % 4).collect();
        let folds = folds(&y, &ids, 5, 0);
        for class in 0..4 {
            let sizes: Vec<_> =
                (0..5).map(|f| (0..103).filter(|&i| y[i] == class && folds.of[i] == f).count()).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
    }

    #[test]
    fn the_order_of_samples_does_not_matter_and_the_seed_does() {
        let (y, groups) = random(9);
        let forward = folds(&y, &groups, 5, 1);
        let backward = folds(
            &y.iter().rev().copied().collect::<Vec<_>>(),
            &groups.iter().rev().copied().collect::<Vec<_>>(),
            5,
            1,
        );
        assert_eq!(forward.of, backward.of.iter().rev().copied().collect::<Vec<_>>());
        assert_ne!(forward, folds(&y, &groups, 5, 2));
    }

    #[test]
    fn folds_by_name_are_those_of_a_training() {
        let names = ["nut", "bolt", "gear"].map(|name| Label::new(name).unwrap());
        let (y, groups) = random(4);
        let labels: Vec<Label> = y.iter().map(|class| names[class % 3].clone()).collect();
        // In the order of their names, as a training numbers classes.
        let by_name: Vec<usize> = y.iter().map(|class| [2, 0, 1][class % 3]).collect();
        assert_eq!(folds_of(&labels, &groups, 7), folds(&by_name, &groups, Settings::default().folds, 7).of);
    }

    #[test]
    fn single_groups_leave_one_fold() {
        let ids = [SampleId::of(b"a"), SampleId::of(b"b")];
        assert_eq!(folds(&[0, 1], &ids, 5, 0).count, 1);
    }
}
