//! Sufficient statistics of linear discriminant analysis, exact under additions and removals, and the head they give.
//!
//! Counts, means and the pooled scatter are sums, so removing a sample undoes adding it, and any order of additions,
//! removals and merges gives what the batch gives, to rounding (Chan, Golub & `LeVeque` 1979; Hayes & Kanan
//! 2020, arXiv 1909.01520, whose published recursion drifts at small n and is not the one here). Nothing is decayed.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::train::cholesky::{Cholesky, NoFactor, add_scaled};

/// Rows of the scatter that one matrix product makes.
const TILE: usize = 128;

/// Counts `n_k`, means `mu_k` (d) and the pooled scatter `S = sum_i (z_i - mu_{y_i})(z_i - mu_{y_i})^T` (d, d), all
/// f64.
///
/// Only the half of S on and below its diagonal is kept: 6.6 MB at d = 1280. A class without samples has count 0.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassStats {
    dim: usize,
    counts: Vec<u64>,
    /// One row a class (k, d); zeros where the count is 0.
    means: Array2<f64>,
    /// Row i has its i + 1 values from i (i + 1) / 2 on.
    scatter: Vec<f64>,
}

/// `S += weight direction direction^T` and `mu_class += step direction`: the change by one sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RankOneUpdate {
    /// The sample's class.
    pub class: usize,
    /// (d,): the sample less its class's mean before (add) or after (remove); the sample itself where it was the
    /// first or the last of its class.
    pub direction: Vec<f64>,
    /// 0 where the class appears or goes: one sample has no scatter.
    pub weight: f64,
    /// 1 where the class appears, -1 where it goes.
    pub step: f64,
}

impl ClassStats {
    /// No samples of embeddings `dim` wide.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { dim, counts: Vec::new(), means: Array2::zeros((0, dim)), scatter: vec![0.0; dim * (dim + 1) / 2] }
    }

    /// From what [`ClassStats::counts`], [`ClassStats::means`] and [`ClassStats::scatter`] gave.
    pub(crate) fn from_parts(counts: Vec<u64>, means: Array2<f64>, scatter: Vec<f64>) -> Self {
        assert_eq!(means.nrows(), counts.len(), "one mean a class");
        assert_eq!(scatter.len(), means.ncols() * (means.ncols() + 1) / 2, "the half of a square");
        Self { dim: means.ncols(), counts, means, scatter }
    }

    /// S on and below its diagonal, row by row.
    pub(crate) fn scatter(&self) -> &[f64] {
        &self.scatter
    }

    /// d.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// `n_k`, one a class ever added to.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// `mu_k`, row by row (k, d); zeros where the count is 0.
    #[must_use]
    pub fn means(&self) -> ArrayView2<'_, f64> {
        self.means.view()
    }

    /// N - K, the samples minus the classes that have any; at least 1.
    #[must_use]
    pub fn degrees_of_freedom(&self) -> f64 {
        let spare: u64 = self.counts.iter().map(|count| count.saturating_sub(1)).sum();
        spare.max(1) as f64
    }

    /// Adds one sample `z` (d,) of `class`.
    ///
    /// # Panics
    /// When `z` is not d long.
    pub fn add(&mut self, class: usize, z: &[f32]) {
        self.add_traced(class, z);
    }

    pub(crate) fn add_traced(&mut self, class: usize, z: &[f32]) -> RankOneUpdate {
        assert_eq!(z.len(), self.dim, "one value a column of the means");
        self.grow(class + 1);
        let n = self.counts[class] as f64;
        let mut direction: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
        let (weight, step) = (n / (n + 1.0), 1.0 / (n + 1.0));
        let mut mean = self.means.row_mut(class);
        direction.iter_mut().zip(&mean).for_each(|(z, mean)| *z -= mean);
        mean.iter_mut().zip(&direction).for_each(|(mean, delta)| *mean += step * delta);
        self.counts[class] += 1;
        self.add_outer(weight, &direction);
        RankOneUpdate { class, direction, weight, step }
    }

    /// Removes `z` from `class`; the same value must have been added.
    ///
    /// # Panics
    /// When `z` is not d long or `class` has no samples.
    pub fn remove(&mut self, class: usize, z: &[f32]) {
        self.remove_traced(class, z);
    }

    pub(crate) fn remove_traced(&mut self, class: usize, z: &[f32]) -> RankOneUpdate {
        assert_eq!(z.len(), self.dim, "one value a column of the means");
        assert!(self.counts.get(class).is_some_and(|count| *count > 0), "the sample was added to its class");
        let n = self.counts[class] as f64;
        let mut direction: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
        self.counts[class] -= 1;
        let mut mean = self.means.row_mut(class);
        if self.counts[class] == 0 {
            direction.iter_mut().zip(&mean).for_each(|(z, mean)| *z = *mean);
            mean.fill(0.0);
            return RankOneUpdate { class, direction, weight: 0.0, step: -1.0 };
        }
        mean.iter_mut().zip(&direction).for_each(|(mean, z)| *mean = (n * *mean - z) / (n - 1.0));
        direction.iter_mut().zip(&mean).for_each(|(z, mean)| *z -= mean);
        let weight = -(n - 1.0) / n;
        self.add_outer(weight, &direction);
        RankOneUpdate { class, direction, weight, step: -1.0 / n }
    }

    /// Adds the samples `x` (n, d) of classes `y` (n,) at once, by matrix products.
    ///
    /// # Panics
    /// When the shapes differ.
    #[allow(clippy::needless_pass_by_value, reason = "a view is made to be passed on")]
    pub fn add_all(&mut self, x: ArrayView2<'_, f32>, y: &[usize]) {
        assert_eq!(x.dim(), (y.len(), self.dim), "one row a class number, one value a column of the means");
        let classes = y.iter().max().map_or(0, |class| class + 1);
        let mut counts = vec![0; classes];
        let mut means = Array2::<f64>::zeros((classes, self.dim));
        for (row, &class) in x.rows().into_iter().zip(y) {
            counts[class] += 1;
            means.row_mut(class).zip_mut_with(&row, |sum, z| *sum += f64::from(*z));
        }
        for (mut mean, &count) in means.rows_mut().into_iter().zip(&counts) {
            mean.mapv_inplace(|sum| sum / (count.max(1) as f64));
        }
        for (rows, classes) in x.axis_chunks_iter(Axis(0), 4 * TILE).zip(y.chunks(4 * TILE)) {
            let mut centred = rows.mapv(f64::from);
            for (mut row, &class) in centred.rows_mut().into_iter().zip(classes) {
                row -= &means.row(class);
            }
            self.add_gram(&centred);
        }
        self.merge_means(&counts, &means);
    }

    /// Adds all that `other` holds; class numbers mean the same in both.
    ///
    /// # Panics
    /// When the widths differ.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.dim, other.dim, "one width");
        add_scaled(&mut self.scatter, 1.0, &other.scatter);
        self.merge_means(&other.counts, &other.means);
    }

    /// Undoes a merge of `part`.
    ///
    /// # Panics
    /// When the widths differ, or `part` holds more of a class.
    pub(crate) fn subtract(&mut self, part: &Self) {
        assert_eq!(self.dim, part.dim, "one width");
        let mut differences = Vec::new();
        for (class, (&count, theirs)) in part.counts.iter().zip(part.means.rows()).enumerate() {
            assert!(count <= self.counts[class], "no more than there is");
            let (n, b) = (self.counts[class] as f64, count as f64);
            let mut ours = self.means.row_mut(class);
            self.counts[class] -= count;
            if self.counts[class] == 0 {
                ours.fill(0.0);
                continue;
            }
            // The mean of the rest is on the other side: mu_A - mu = b / a (mu - mu_B).
            let a = n - b;
            let difference = &ours - &theirs;
            differences.extend(difference.iter().map(|value| value * (b * n / a).sqrt()));
            ours.scaled_add(b / a, &difference);
        }
        // S_A = S - S_B - a b / n (mu_A - mu_B)(mu_A - mu_B)^T, and mu_A - mu_B = n / a (mu - mu_B).
        let rows = Array2::from_shape_vec((differences.len() / self.dim.max(1), self.dim), differences);
        let mut off = Self { scatter: part.scatter.clone(), ..Self::new(self.dim) };
        off.add_gram(&rows.expect("whole rows were appended"));
        add_scaled(&mut self.scatter, -1.0, &off.scatter);
    }

    /// The means' part of a merge: `S += n_A n_B / (n_A + n_B) D D^T`, `D = mu_A - mu_B`.
    fn merge_means(&mut self, counts: &[u64], means: &Array2<f64>) {
        self.grow(counts.len());
        let mut differences = Vec::new();
        for (class, (&count, theirs)) in counts.iter().zip(means.rows()).enumerate().filter(|(_, (n, _))| **n > 0) {
            let (a, b) = (self.counts[class] as f64, count as f64);
            let mut ours = self.means.row_mut(class);
            let difference = &theirs - &ours;
            differences.extend(difference.iter().map(|value| value * (a * b / (a + b)).sqrt()));
            ours.scaled_add(b / (a + b), &difference);
            self.counts[class] += count;
        }
        let rows = Array2::from_shape_vec((differences.len() / self.dim.max(1), self.dim), differences);
        self.add_gram(&rows.expect("whole rows were appended"));
    }

    fn grow(&mut self, classes: usize) {
        if classes > self.counts.len() {
            self.counts.resize(classes, 0);
            let mut means = Array2::zeros((classes, self.dim));
            means.slice_mut(s![..self.means.nrows(), ..]).assign(&self.means);
            self.means = means;
        }
    }

    /// `S += weight v v^T`.
    fn add_outer(&mut self, weight: f64, v: &[f64]) {
        if weight == 0.0 {
            return;
        }
        let mut rest = self.scatter.as_mut_slice();
        for (i, value) in v.iter().enumerate() {
            let (row, below) = rest.split_at_mut(i + 1);
            add_scaled(row, weight * value, &v[..=i]);
            rest = below;
        }
    }

    /// `R^T R` on and below its diagonal, row by row, of `rows` R (n, d).
    pub(crate) fn gram(rows: &Array2<f64>) -> Vec<f64> {
        let mut sums = Self::new(rows.ncols());
        sums.add_gram(rows);
        sums.scatter
    }

    /// `S += R^T R` for `rows` R (n, d).
    fn add_gram(&mut self, rows: &Array2<f64>) {
        for start in (0..self.dim).step_by(TILE) {
            let end = (start + TILE).min(self.dim);
            let tile = rows.slice(s![.., start..end]).t().dot(&rows.slice(s![.., ..end]));
            for (i, sums) in (start..end).zip(tile.rows()) {
                let row = &mut self.scatter[i * (i + 1) / 2..][..=i];
                row.iter_mut().zip(&sums).for_each(|(value, sum)| *value += sum);
            }
        }
    }

    /// Trace of S.
    #[must_use]
    pub fn trace(&self) -> f64 {
        (0..self.dim).map(|i| self.scatter[i * (i + 1) / 2 + i]).sum()
    }

    /// Oracle-approximating shrinkage of `S / (N - K)`, within (0, 1]: 1 where there is no scatter yet.
    ///
    /// Chen, Wiesel, Eldar & Hero 2010, *Shrinkage Algorithms for MMSE Covariance Estimation*, equation 23.
    #[must_use]
    pub fn oas_shrinkage(&self) -> f64 {
        let (n, d) = (self.degrees_of_freedom(), self.dim as f64);
        let trace = self.trace() / n;
        let diagonal: f64 = (0..self.dim).map(|i| self.scatter[i * (i + 1) / 2 + i].powi(2)).sum();
        let square = (2.0 * self.scatter.iter().map(|value| value * value).sum::<f64>() - diagonal) / (n * n);
        let above = (1.0 - 2.0 / d) * square + trace * trace;
        let below = (n + 1.0 - 2.0 / d) * (square - trace * trace / d);
        if below > 0.0 { (above / below).min(1.0) } else { 1.0 }
    }

    /// Factor of `S + ridge I`.
    ///
    /// # Errors
    /// [`NoFactor`] when that is not positive definite.
    pub fn factor(&self, ridge: f64) -> Result<Cholesky, NoFactor> {
        let mut matrix = Array2::zeros((self.dim, self.dim));
        for (i, mut row) in matrix.rows_mut().into_iter().enumerate() {
            let half = &self.scatter[i * (i + 1) / 2..][..=i];
            row.iter_mut().zip(half).for_each(|(value, from)| *value = *from);
            row[i] += ridge;
        }
        Cholesky::of(matrix)
    }

    /// The most that a covariance is shrunk: at 1 nothing of it would be left to scale.
    pub const MAX_SHRINKAGE: f64 = 1.0 - 1e-6;

    /// The ridge with which `S + ridge I` is the shrunken covariance times `(N - K) / (1 - eps)`:
    /// `eps tr S / (d (1 - eps))`.
    #[must_use]
    pub fn ridge(&self, eps: f64) -> f64 {
        let eps = eps.min(Self::MAX_SHRINKAGE);
        eps * self.trace() / (self.dim as f64 * (1.0 - eps))
    }

    /// `w_k = Sigma^-1 mu_k` (k, d) and `b_k = -1/2 mu_k . w_k - log K` (k,), uniform priors, with
    /// `Sigma = (1 - eps) S / (N - K) + eps tr S / (d (N - K)) I`; a class without samples has bias -inf.
    ///
    /// # Errors
    /// [`NoFactor`] when the shrunken covariance is not positive definite (no scatter at all, or `eps` 0).
    pub fn head(&self, eps: f64) -> Result<(Array2<f64>, Array1<f64>), NoFactor> {
        let eps = eps.min(Self::MAX_SHRINKAGE);
        let factor = self.factor(self.ridge(eps))?;
        let solved = factor.solve(self.means.t().to_owned()) * (self.degrees_of_freedom() / (1.0 - eps));
        let weights = solved.reversed_axes().as_standard_layout().into_owned();
        let bias = self.biases(&weights);
        Ok((weights, bias))
    }

    /// `-1/2 mu_k . w_k - log K` (k,) of `weights` (k, d), -inf for a class without samples.
    pub(crate) fn biases(&self, weights: &Array2<f64>) -> Array1<f64> {
        let known = self.counts.iter().filter(|count| **count > 0).count() as f64;
        let rows = self.counts.iter().zip(self.means.rows()).zip(weights.rows());
        rows.map(|((&count, mean), w)| if count == 0 { f64::NEG_INFINITY } else { -0.5 * mean.dot(&w) - known.ln() })
            .collect()
    }
}

#[cfg(test)]
mod tests;
