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
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    /// Kernel, classes and recent images of points that are `shift` away on the recent side; class c is at 3 c.
    fn samples(rng: &mut ChaCha8Rng, reference: &[usize], recent: &[usize], shift: f32) -> (Array2<f32>, Vec<usize>) {
        let class: Vec<usize> = reference.iter().chain(recent).copied().collect();
        let mut point = |i: usize| -> Vec<f32> {
            let moved = if i < reference.len() { 0.0 } else { shift };
            // A sum of four uniform numbers is normal enough.
            let mut noise = || (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>();
            (0..4).map(|_| 3.0 * class[i] as f32 + moved + noise()).collect()
        };
        let points: Vec<Vec<f32>> = (0..class.len()).map(&mut point).collect();
        let kernel = Array2::from_shape_fn((class.len(), class.len()), |(i, j)| {
            (-points[i].iter().zip(&points[j]).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / 4.0).exp()
        });
        (kernel, class)
    }

    /// The statistic from its definition: shares, and means over pairs of different images.
    fn by_definition(samples: &Samples<'_>, recent: &[usize]) -> f64 {
        let side = |new: bool, class: usize| -> Vec<usize> {
            (0..samples.class.len()).filter(|i| samples.class[*i] == class && recent.contains(i) == new).collect()
        };
        let mean = |a: &[usize], b: &[usize]| {
            let pairs = a.iter().flat_map(|i| b.iter().map(move |j| (*i, *j))).filter(|(i, j)| i != j);
            let (sum, n) = pairs.fold((0.0, 0), |(sum, n), at| (sum + f64::from(samples.kernel[at]), n + 1));
            if n == 0 { 0.0 } else { sum / f64::from(n) }
        };
        let present: Vec<usize> = (0..3).filter(|&class| !side(true, class).is_empty()).collect();
        let mut sum = 0.0;
        for &c in &present {
            for &other in &present {
                let share = (side(true, c).len() * side(true, other).len()) as f64 / (recent.len() as f64).powi(2);
                let parts = [(true, true, 1.0), (false, false, 1.0), (true, false, -1.0), (false, true, -1.0)];
                sum += share * parts.iter().map(|&(a, b, sign)| sign * mean(&side(a, c), &side(b, other))).sum::<f64>();
            }
        }
        sum
    }

    #[test]
    fn the_statistic_is_its_definition_for_every_division_of_the_images() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (kernel, class) = samples(&mut rng, &[0, 0, 0, 1, 1, 1, 1, 2, 2], &[0, 0, 1, 1, 1], 0.4);
        let samples = Samples { kernel: &kernel, class: &class, recent: &[9, 10, 11, 12, 13] };
        let sums = Sums::new(&samples);
        for recent in [[9, 10, 11, 12, 13], [0, 9, 3, 4, 13], [1, 2, 4, 5, 11]] {
            let (found, expected) = (sums.mmd2(&recent), by_definition(&samples, &recent));
            assert!((found - expected).abs() < 1e-6, "{recent:?}: {found} instead of {expected}");
        }
    }

    #[test]
    fn p_values_without_drift_are_even_whatever_the_mix_of_classes() {
        let reference: Vec<usize> = (0..60).map(|i| i % 3).collect();
        for (seed, recent) in [(1, vec![0; 12]), (2, [[0, 2], [0, 0], [2, 0]].concat()), (3, vec![0, 1, 2])] {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut p_values: Vec<f64> = (0..300)
                .map(|_| {
                    let (kernel, class) = samples(&mut rng, &reference, &recent, 0.0);
                    let at: Vec<usize> = (60..60 + recent.len()).collect();
                    test(&Samples { kernel: &kernel, class: &class, recent: &at }, 99, f64::INFINITY, &mut rng).p_value
                })
                .collect();
            p_values.sort_by(f64::total_cmp);
            // Kolmogorov's distance of 300 even numbers stays below 1.63 / sqrt(300) = .094 in 99 of 100 cases; the
            // step of a p-value of 99 permutations is .01.
            let even = |(i, p): (usize, &f64)| ((i as f64 + 0.5) / 300.0 - p).abs();
            let distance = p_values.iter().enumerate().map(even).fold(0.0, f64::max);
            assert!(distance < 0.094 + 0.01, "seed {seed}: {distance}");
        }
    }

    #[test]
    fn the_estimate_without_drift_is_zero_on_average() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (reference, recent) = ([0, 1].repeat(20), [0, 1, 0, 0, 0, 1]);
        let estimates: Vec<f64> = (0..400)
            .map(|_| {
                let (kernel, class) = samples(&mut rng, &reference, &recent, 0.0);
                let at: Vec<usize> = (40..46).collect();
                test(&Samples { kernel: &kernel, class: &class, recent: &at }, 1, 1.0, &mut rng).mmd2
            })
            .collect();
        let mean = estimates.iter().sum::<f64>() / 400.0;
        let error = (estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / 400.0 / 400.0).sqrt();
        assert!(mean.abs() < 3.0 * error, "{mean} with standard error {error}");
    }

    #[test]
    fn a_shift_within_the_classes_has_the_smallest_p_value_and_no_shift_ends_the_test_early() {
        let (reference, recent) = ([0, 1, 2].repeat(30), [0, 1, 2, 0].repeat(4));
        let at: Vec<usize> = (90..106).collect();
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (kernel, class) = samples(&mut rng, &reference, &recent, 0.8);
            let found = test(&Samples { kernel: &kernel, class: &class, recent: &at }, 499, 0.01, &mut rng);
            assert!((found.p_value - 0.002).abs() < 1e-9 && found.mmd2 > 0.0, "seed {seed}: {found:?}");
            let (kernel, class) = samples(&mut rng, &reference, &recent, 0.0);
            let found = test(&Samples { kernel: &kernel, class: &class, recent: &at }, 499, 0.01, &mut rng);
            assert!(found.p_value >= 0.01, "seed {seed}: {found:?}");
        }
    }
}
