//! While labels are few: one typical image of each part of the space that has no label yet.

use ndarray::{Array2, ArrayView1, Axis, concatenate};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Pool, units};

/// Neighbours that density is measured by.
const NEIGHBOURS: usize = 20;

/// At most `most` of the candidates at `places`, the image of the largest cluster first.
///
/// `TypiClust` (Hacohen, Dekel, Weinshall 2022, arXiv 2202.02794): K-means with as many clusters as there are labels and
/// images wanted; of the clusters with fewest labels the largest gives its densest image, the one with the smallest
/// mean distance to its up to 20 nearest neighbours in the cluster, until enough are found.
pub(super) fn typical(pool: &Pool<'_>, places: &[usize], most: usize, seed: u64) -> Vec<usize> {
    let own = units(pool.embeddings, places);
    let labelled = units(pool.labelled, &(0..pool.labelled.nrows()).collect::<Vec<_>>());
    let x = if labelled.is_empty() { own } else { both(&own, &labelled) };
    let k = pool.labelled.nrows() + most;
    let of = kmeans(&x, k, seed);
    let mut clusters: Vec<Cluster> = (0..k).map(|_| Cluster::default()).collect();
    for (row, &cluster) in of.iter().enumerate() {
        clusters[cluster].size += 1;
        if row < places.len() {
            clusters[cluster].rows.push(row);
        } else {
            clusters[cluster].labels += 1;
        }
    }
    for cluster in &mut clusters {
        cluster.densest_last(&x);
    }
    let mut chosen = Vec::new();
    while chosen.len() < most {
        let open = clusters.iter_mut().filter(|cluster| !cluster.rows.is_empty());
        let Some(next) = open.min_by_key(|cluster| (cluster.labels, std::cmp::Reverse(cluster.size))) else { break };
        next.labels += 1;
        chosen.extend(next.rows.pop().map(|row| places[row]));
    }
    chosen
}

#[derive(Default)]
struct Cluster {
    /// Labelled images, and those chosen.
    labels: usize,
    size: usize,
    /// Candidates, once sorted the densest last.
    rows: Vec<usize>,
}

impl Cluster {
    fn densest_last(&mut self, x: &Array2<f32>) {
        let sparseness = |row: usize| {
            let others = self.rows.iter().filter(|&&other| other != row);
            let mut distances: Vec<f64> = others.map(|&other| squared(&x.row(row), &x.row(other)).sqrt()).collect();
            distances.sort_by(f64::total_cmp);
            distances.truncate(NEIGHBOURS);
            distances.iter().sum::<f64>() / distances.len().max(1) as f64
        };
        let mut sorted: Vec<(f64, usize)> = self.rows.iter().map(|&row| (sparseness(row), row)).collect();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        self.rows = sorted.into_iter().map(|(_, row)| row).collect();
    }
}

fn both(a: &Array2<f32>, b: &Array2<f32>) -> Array2<f32> {
    concatenate(Axis(0), &[a.view(), b.view()]).expect("embeddings of one pool have one width")
}

/// Rounds of Lloyd's algorithm at most.
const ROUNDS: usize = 25;

/// The cluster, 0..`k`, of each row of `x` (n, d): K-means by squared distance, at most n clusters, some maybe empty.
///
/// Centres start by k-means++ (Arthur & Vassilvitskii 2007): each next one is a row drawn in proportion to its squared
/// distance to the nearest centre so far.
pub(super) fn kmeans(x: &Array2<f32>, k: usize, seed: u64) -> Vec<usize> {
    let (n, k) = (x.nrows(), k.min(x.nrows()));
    if k == 0 {
        return vec![0; n];
    }
    let mut centres = x.select(Axis(0), &start(x, k, seed));
    let mut of = Vec::new();
    for _ in 0..ROUNDS {
        let next = nearest(x, &centres);
        if next == of {
            break;
        }
        of = next;
        let mut counts = vec![0.0_f32; k];
        let mut sums = Array2::<f32>::zeros(centres.dim());
        for (row, &cluster) in x.rows().into_iter().zip(&of) {
            sums.row_mut(cluster).zip_mut_with(&row, |sum, z| *sum += z);
            counts[cluster] += 1.0;
        }
        // A cluster that lost all its rows keeps its centre.
        for (cluster, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0.0) {
            sums.row_mut(cluster).mapv_inplace(|sum| sum / count);
            centres.row_mut(cluster).assign(&sums.row(cluster));
        }
    }
    of
}

/// Rows of `x` to start at.
fn start(x: &Array2<f32>, k: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = vec![rng.random_range(0..x.nrows())];
    let mut distances = vec![f64::INFINITY; x.nrows()];
    while chosen.len() < k {
        let last = x.row(chosen[chosen.len() - 1]);
        for (distance, row) in distances.iter_mut().zip(x.rows()) {
            *distance = distance.min(squared(&row, &last));
        }
        let mut left = rng.random::<f64>() * distances.iter().sum::<f64>();
        let next = distances.iter().position(|distance| {
            left -= distance;
            *distance > 0.0 && left <= 0.0
        });
        // Fewer different rows than centres: any will do.
        chosen.push(next.unwrap_or(chosen.len()));
    }
    chosen
}

/// The nearest of `centres` (k, d) of each row of `x` (n, d), the first of equals.
fn nearest(x: &Array2<f32>, centres: &Array2<f32>) -> Vec<usize> {
    let halves: Vec<f32> = centres.rows().into_iter().map(|centre| centre.dot(&centre) / 2.0).collect();
    let dots = x.dot(&centres.t());
    let best = |row: ArrayView1<'_, f32>| {
        let score = |cluster: usize| row[cluster] - halves[cluster];
        (0..row.len()).rev().max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(0)
    };
    dots.rows().into_iter().map(best).collect()
}

/// Squared distance.
pub(super) fn squared(a: &ArrayView1<'_, f32>, b: &ArrayView1<'_, f32>) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_that_stand_apart_are_found_from_any_seed() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let x = Array2::from_shape_fn((60, 5), |(i, j)| 9.0 * f32::from(u8::from(i % 4 == j)) + rng.random::<f32>());
        for seed in 0..20 {
            let of = kmeans(&x, 4, seed);
            assert!((0..60).all(|i| (of[i] == of[0]) == (i % 4 == 0)), "seed {seed}: {of:?}");
            assert_eq!(of, kmeans(&x, 4, seed));
        }
    }

    #[test]
    fn more_clusters_than_rows_or_than_different_rows_are_no_trouble() {
        assert_eq!(kmeans(&Array2::zeros((0, 3)), 4, 0), Vec::<usize>::new());
        assert!(kmeans(&Array2::ones((5, 3)), 9, 0).iter().all(|&cluster| cluster < 5));
        assert_eq!(kmeans(&Array2::ones((5, 3)), 0, 0), [0; 5]);
    }
}
