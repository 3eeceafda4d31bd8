//! Weighted sums over samples that determine a ridge regression: a fold's sums are subtracted to hold it out.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, Axis};

use super::super::cv::CvPlan;

/// Rows handled at once, so that they stay in the cache.
const BLOCK: usize = 128;

/// Weighted sums over samples x (r,) with classes y.
#[derive(Clone)]
pub(crate) struct Moments {
    /// `sum w` of each class (k,).
    pub weight: Array1<f64>,
    /// `sum w x` of each class (k, r).
    pub sums: Array2<f64>,
    /// `sum w x x^T` (r, r).
    pub second: Array2<f64>,
}

/// The moments of all samples and of each fold.
pub(crate) struct FoldMoments {
    pub all: Moments,
    folds: Vec<Moments>,
}

impl Moments {
    fn zeros(k: usize, r: usize) -> Self {
        Self { weight: Array1::zeros(k), sums: Array2::zeros((k, r)), second: Array2::zeros((r, r)) }
    }

    /// The moments of `samples`, rows of `x` (n, r).
    pub fn of_samples(
        x: &Array2<f32>,
        y: &[usize],
        k: usize,
        weight: impl Fn(usize) -> f64,
        samples: &[usize],
    ) -> Self {
        let mut moments = Self::zeros(k, x.ncols());
        for block in samples.chunks(BLOCK) {
            let rows = x.select(Axis(0), block).mapv(f64::from);
            let mut weighted = rows.clone();
            for ((mut row, plain), &sample) in weighted.rows_mut().into_iter().zip(rows.rows()).zip(block) {
                let weight = weight(sample);
                row *= weight;
                moments.weight[y[sample]] += weight;
                moments.sums.row_mut(y[sample]).scaled_add(weight, &plain);
            }
            general_mat_mul(1.0, &weighted.t(), &rows, 1.0, &mut moments.second);
        }
        moments
    }

    fn add(&mut self, other: &Self) {
        self.weight += &other.weight;
        self.sums += &other.sums;
        self.second += &other.second;
    }

    fn minus(&self, other: &Self) -> Self {
        Self {
            weight: &self.weight - &other.weight,
            sums: &self.sums - &other.sums,
            second: &self.second - &other.second,
        }
    }
}

impl FoldMoments {
    /// Of features `x` (n, r), each sample counting `weight`.
    pub fn new(plan: &CvPlan<'_>, x: &Array2<f32>, weight: impl Fn(usize) -> f64) -> Self {
        let (n, k) = (plan.data.n(), plan.data.classes().len());
        let of = |samples: &[usize]| Moments::of_samples(x, plan.data.y(), k, &weight, samples);
        if !plan.can_hold_out() {
            return Self { all: of(&(0..n).collect::<Vec<_>>()), folds: vec![] };
        }
        let in_fold = |fold: usize| (0..n).filter(|&sample| plan.folds.of[sample] == fold).collect::<Vec<_>>();
        let folds: Vec<Moments> = (0..plan.training_sets.len()).map(|fold| of(&in_fold(fold))).collect();
        let mut whole = of(&plan.train_only().collect::<Vec<_>>());
        for fold in &folds {
            whole.add(fold);
        }
        Self { all: whole, folds }
    }

    /// The moments of all samples outside `fold`.
    pub fn outside(&self, fold: usize) -> Moments {
        self.all.minus(&self.folds[fold])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_sums_written_out_and_subtracting_a_part_leaves_the_rest() {
        let x = Array2::from_shape_fn((300, 3), |(i, j)| ((i * 7 + j * 13) % 17) as f32 / 4.0 - 2.0);
        let y: Vec<usize> = (0..300).map(|i| i % 2).collect();
        let weight = |sample: usize| 0.5 + (sample % 3) as f64;
        let of = |samples: Vec<usize>| Moments::of_samples(&x, &y, 2, weight, &samples);
        let (all, some, rest) = (of((0..300).collect()), of((0..300).step_by(5).collect()), {
            of((0..300).filter(|sample| sample % 5 != 0).collect())
        });
        let left = all.minus(&some);
        let gap = |a: &Array2<f64>, b: &Array2<f64>| (a - b).mapv(f64::abs).fold(0.0, |worst, gap| gap.max(worst));
        assert!(gap(&left.second, &rest.second) < 1e-9 && gap(&left.sums, &rest.sums) < 1e-9);
        assert!((&left.weight - &rest.weight).iter().all(|gap| gap.abs() < 1e-9));
        let written = |i: usize, j: usize| -> f64 {
            (0..300).map(|s| weight(s) * f64::from(x[[s, i]]) * f64::from(x[[s, j]])).sum()
        };
        assert!((all.second[[0, 2]] - written(0, 2)).abs() < 1e-9 && (all.second[[1, 1]] - written(1, 1)).abs() < 1e-9);
    }
}
