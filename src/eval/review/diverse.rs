//! While labels are few: one typical image of each part of the space that has no label yet.

use ndarray::{Array2, Axis, concatenate};

use super::kmeans::{kmeans, squared};
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
