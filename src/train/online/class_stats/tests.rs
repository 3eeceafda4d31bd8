use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Counts, means and the lower half of S of `samples` by their definitions.
fn batch(samples: &[(usize, Vec<f32>)], dim: usize) -> ClassStats {
    let mut stats = ClassStats::new(dim);
    stats.grow(samples.iter().map(|(class, _)| class + 1).max().unwrap_or(0));
    for class in 0..stats.counts.len() {
        let of: Vec<_> = samples.iter().filter(|(y, _)| *y == class).map(|(_, z)| z).collect();
        stats.counts[class] = of.len() as u64;
        for j in 0..dim {
            let sum: f64 = of.iter().map(|z| f64::from(z[j])).sum();
            stats.means[[class, j]] = sum / (of.len().max(1) as f64);
        }
        for z in of {
            let centred: Vec<f64> = (0..dim).map(|j| f64::from(z[j]) - stats.means[[class, j]]).collect();
            for i in 0..dim {
                for j in 0..=i {
                    stats.scatter[i * (i + 1) / 2 + j] += centred[i] * centred[j];
                }
            }
        }
    }
    stats
}

#[track_caller]
fn check_same(found: &ClassStats, expected: &ClassStats, about: &str) {
    let classes = expected.counts.len();
    assert_eq!(found.counts[..classes], expected.counts[..], "{about}");
    assert!(found.counts[classes..].iter().all(|count| *count == 0), "{about}");
    let off = |a: &mut dyn Iterator<Item = (f64, f64)>, size: f64| {
        a.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size.max(1e-300)
    };
    let size = expected.means.iter().map(|value| value.abs()).fold(0.0, f64::max);
    let means = off(&mut found.means.iter().copied().zip(expected.means.iter().copied()), size);
    let size = expected.scatter.iter().map(|value| value.abs()).fold(0.0, f64::max);
    let scatter = off(&mut found.scatter.iter().copied().zip(expected.scatter.iter().copied()), size);
    assert!(means < 1e-10 && scatter < 1e-10, "{about}: means {means:e}, scatter {scatter:e}");
}

fn sample(rng: &mut ChaCha8Rng, dim: usize) -> (usize, Vec<f32>) {
    let class = rng.random_range(0..4);
    (class, (0..dim).map(|_| 3.0 * rng.random::<f32>() + class as f32).collect())
}

#[test]
fn any_order_of_additions_removals_moves_and_merges_is_the_batch() {
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let dim = rng.random_range(1..12);
        let mut halves = [ClassStats::new(dim), ClassStats::new(dim)];
        let mut inside: [Vec<(usize, Vec<f32>)>; 2] = Default::default();
        for _ in 0..rng.random_range(2..120) {
            let half = rng.random_range(0..2);
            let (stats, inside) = (&mut halves[half], &mut inside[half]);
            match rng.random_range(0..5) {
                0 if !inside.is_empty() => {
                    let (class, z) = inside.swap_remove(rng.random_range(0..inside.len()));
                    stats.remove(class, &z);
                }
                1 if !inside.is_empty() => {
                    let at = rng.random_range(0..inside.len());
                    let to = rng.random_range(0..4);
                    stats.remove(inside[at].0, &inside[at].1);
                    stats.add(to, &inside[at].1);
                    inside[at].0 = to;
                }
                2 => {
                    let many: Vec<_> = (0..rng.random_range(0..9)).map(|_| sample(&mut rng, dim)).collect();
                    let x = Array2::from_shape_fn((many.len(), dim), |(i, j)| many[i].1[j]);
                    stats.add_all(x.view(), &many.iter().map(|(class, _)| *class).collect::<Vec<_>>());
                    inside.extend(many);
                }
                _ => {
                    let (class, z) = sample(&mut rng, dim);
                    stats.add(class, &z);
                    inside.push((class, z));
                }
            }
        }
        check_same(&halves[0], &batch(&inside[0], dim), &format!("seed {seed}"));
        let mut merged = halves[0].clone();
        merged.merge(&halves[1]);
        check_same(&merged, &batch(&inside.concat(), dim), &format!("seed {seed}, merged"));
        let mut other = halves[1].clone();
        other.merge(&halves[0]);
        check_same(&other, &merged, &format!("seed {seed}, merged the other way"));
    }
}

#[test]
fn what_is_taken_off_leaves_the_batch_of_the_rest() {
    for seed in 0..30 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let samples: Vec<_> = (0..60).map(|_| sample(&mut rng, 5)).collect();
        let (gone, rest) = samples.split_at(rng.random_range(0..45));
        let mut whole = batch(&samples, 5);
        whole.subtract(&batch(gone, 5));
        check_same(&whole, &batch(rest, 5), &format!("seed {seed}"));
    }
}

#[test]
fn a_removal_cancels_the_addition_even_far_from_the_origin() {
    for seed in 0..30 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut stats = ClassStats::new(6);
        let far = |(class, z): (usize, Vec<f32>)| (class, z.iter().map(|z| z + 1000.0).collect::<Vec<_>>());
        for _ in 0..40 {
            let (class, z) = far(sample(&mut rng, 6));
            stats.add(class, &z);
        }
        let before = stats.clone();
        let (class, z) = far(sample(&mut rng, 6));
        stats.add(class, &z);
        assert_ne!(stats, before, "seed {seed}");
        stats.remove(class, &z);
        check_same(&stats, &before, &format!("seed {seed}"));
    }
}

#[test]
fn a_class_whose_last_sample_goes_has_no_mean_and_no_scatter() {
    let mut stats = ClassStats::new(2);
    stats.add(1, &[3.0, 4.0]);
    stats.add(1, &[5.0, 4.0]);
    stats.remove(1, &[3.0, 4.0]);
    stats.remove(1, &[5.0, 4.0]);
    assert_eq!((stats.counts(), stats.trace()), (&[0, 0][..], 0.0));
    assert!(stats.means().iter().all(|mean| *mean == 0.0));
    assert!((stats.oas_shrinkage() - 1.0).abs() < 1e-12 && stats.head(0.5).is_err());
}
