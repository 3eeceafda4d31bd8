//! Whether recent embeddings look like reference embeddings of the same predicted classes: a permutation test on the
//! maximum mean discrepancy.
//!
//! With `pi_c` the share of class c among the recent images, the statistic estimates
//! `|| sum_c pi_c (m_c - m'_c) ||^2`, m and m' the mean embeddings of recent and reference images of class c in the
//! space of the kernel `k(x, y) = exp(-|x - y|^2 / (2 h^2))`. Under the hypothesis of no drift a class's images may
//! change sides, so images are permuted within their class; the mix of classes plays no part. With one class it is
//! the unbiased `MMD^2` of Gretton et al., A Kernel Two-Sample Test, 2012.

use ndarray::Array2;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// Images of both sides with their kernel matrix, permuted by index.
pub(super) struct Samples<'a> {
    /// (n, n), symmetric.
    pub kernel: &'a Array2<f32>,
    /// The class of each image (n,), 0..classes.
    pub class: &'a [usize],
    /// The recent ones among them; all others are reference. Every class of a recent one has two reference images.
    pub recent: &'a [usize],
}

/// What a test found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    /// `(b + 1) / (m + 1)`; where the test ended early, not below what would have interested.
    pub p_value: f64,
    /// The estimate of `MMD^2`; about 0 without drift, and then as often below it.
    pub mmd2: f64,
}

/// Tests with `permutations` permutations, fewer as soon as the p-value cannot be below `interesting` any more.
pub(super) fn test(samples: &Samples<'_>, permutations: usize, interesting: f64, rng: &mut ChaCha8Rng) -> Outcome {
    let sums = Sums::new(samples);
    let mut recent = samples.recent.to_vec();
    recent.sort_by_key(|&i| samples.class[i]);
    let observed = sums.mmd2(&recent);
    let mut pools = sums.pools(samples);
    let mut drawn = Vec::with_capacity(samples.recent.len());
    let (mut done, mut beyond) = (0, 0);
    let p_value = |done: usize, beyond: usize| (beyond + 1) as f64 / (done + 1) as f64;
    while done < permutations && p_value(permutations, beyond) < interesting {
        drawn.clear();
        for (pool, count) in &mut pools {
            for place in 0..*count {
                let other = rng.random_range(place..pool.len());
                pool.swap(place, other);
            }
            drawn.extend_from_slice(&pool[..*count]);
        }
        done += 1;
        beyond += usize::from(sums.mmd2(&drawn) >= observed);
    }
    Outcome { p_value: p_value(done, beyond), mmd2: observed }
}

/// What all permutations share: sums over the kernel matrix, so that one costs the square of the recent images only.
struct Sums<'a> {
    samples: &'a Samples<'a>,
    /// Weight of a recent image.
    recent: f64,
    classes: Vec<Class>,
    /// `sum_j a_j k_ij` over all j other than i (n,), a the weight of a reference image of j's class.
    weighted: Vec<f64>,
    /// What the weight of each image grows by when it goes over to the recent side (n,).
    step: Vec<f64>,
    /// `sum_j k_ij` over all j other than i of i's class (n,).
    own: Vec<f64>,
    /// `sum_ij a_i a_j k_ij`, i other than j.
    all: f64,
}

/// One class's part.
#[derive(Clone, Default)]
struct Class {
    recent: usize,
    reference: usize,
    /// Weight of a reference image: the class's share of the recent images, divided.
    weight: f64,
    /// `sum k_ij` over pairs i < j of the class.
    pairs: f64,
    /// What a recent pair, and a reference pair, of the class counts more than the product of its weights: the
    /// difference between n (n - 1) and n^2 in the denominator.
    excess: [f64; 2],
}

impl<'a> Sums<'a> {
    fn new(samples: &'a Samples<'a>) -> Self {
        let n = samples.class.len();
        let mut classes = vec![Class::default(); samples.class.iter().max().map_or(0, |last| last + 1)];
        samples.class.iter().for_each(|&class| classes[class].reference += 1);
        for &i in samples.recent {
            classes[samples.class[i]].recent += 1;
            classes[samples.class[i]].reference -= 1;
        }
        let recent = 1.0 / samples.recent.len() as f64;
        let excess = |share: f64, n: usize| {
            let n = n as f64;
            if n > 1.0 { share * share * (1.0 / (n * (n - 1.0)) - 1.0 / (n * n)) } else { 0.0 }
        };
        for class in classes.iter_mut().filter(|class| class.recent > 0) {
            let share = class.recent as f64 * recent;
            class.weight = share / class.reference as f64;
            class.excess = [excess(share, class.recent), excess(share, class.reference)];
        }
        let (mut weighted, mut own) = (vec![0.0; n], vec![0.0; n]);
        for i in 0..n {
            let mut by_class = vec![0.0; classes.len()];
            for (j, (k, &class)) in samples.kernel.row(i).iter().zip(samples.class).enumerate() {
                by_class[class] += if i == j { 0.0 } else { f64::from(*k) };
            }
            weighted[i] = by_class.iter().zip(&classes).map(|(sum, class)| sum * class.weight).sum();
            own[i] = by_class[samples.class[i]];
            classes[samples.class[i]].pairs += own[i] / 2.0;
        }
        let all = weighted.iter().zip(samples.class).map(|(sum, &class)| sum * classes[class].weight).sum();
        let step = samples.class.iter().map(|&class| recent + classes[class].weight).collect();
        Self { samples, recent, classes, weighted, step, own, all }
    }

    /// The images of each class that a recent one has, and how many of them are recent.
    fn pools(&self, samples: &Samples<'_>) -> Vec<(Vec<usize>, usize)> {
        let members = |class: usize| (0..samples.class.len()).filter(|&i| samples.class[i] == class).collect();
        let present = self.classes.iter().enumerate().filter(|(_, class)| class.recent > 0);
        present.map(|(place, class)| (members(place), class.recent)).collect()
    }

    /// The statistic with the images `recent` on the recent side, class by class; each class has its number of them.
    fn mmd2(&self, recent: &[usize]) -> f64 {
        let mut sum = self.all;
        let mut start = 0;
        for class in self.classes.iter().filter(|class| class.recent > 0) {
            let (earlier, same) = (&recent[..start], &recent[start..start + class.recent]);
            let step = self.recent + class.weight;
            // Pairs of the class: recent ones, and ordered ones of a recent with any image.
            let (mut pairs, mut any) = (0.0, 0.0);
            for (place, &i) in same.iter().enumerate() {
                let row = self.samples.kernel.row(i);
                let across: f64 = earlier.iter().map(|&j| self.step[j] * f64::from(row[j])).sum();
                let within: f64 = same[..place].iter().map(|&j| f64::from(row[j])).sum();
                sum += 2.0 * step * (across + step * within - self.weighted[i]);
                pairs += within;
                any += self.own[i];
            }
            let reference = class.pairs - (any - pairs);
            sum += 2.0 * (class.excess[0] * pairs + class.excess[1] * reference);
            start += class.recent;
        }
        sum
    }
}

#[cfg(test)]
mod tests;
