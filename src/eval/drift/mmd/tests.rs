use rand::SeedableRng as _;

use super::*;

/// Kernel, classes and recent images of points that are `shift` away on the recent side; class c stands at 3 c.
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
        // Kolmogorov's distance of 300 even numbers stays below 1.63 / sqrt(300) = .094 in 99 of 100 cases; the step
        // of a p-value of 99 permutations is .01.
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
