//! Statistics of fewer values than the embeddings have.
//!
//! `z -> P z` with `P` (m, d) of independent N(0, 1 / m) keeps distances up to a few percent (Johnson & Lindenstrauss 1984). A
//! head on `P z` is one on `z`: `W (P z) = (W P) z`.

use ndarray::Array2;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::head::Normal;
use crate::train::ClassStats;

/// Stream of its values, apart from other draws with the same seed.
const STREAM: u64 = 0x7072_6f6a;

/// How embeddings are made shorter, the same on every device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projection {
    /// m, at most d.
    pub values: usize,
    /// Of the draws.
    pub seed: u64,
}

impl Projection {
    /// P (m, d).
    #[must_use]
    pub fn matrix(self, d: usize) -> Array2<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(STREAM);
        let mut normal = Normal::new(rng);
        let scale = (self.values.max(1) as f64).sqrt().recip();
        Array2::from_shape_simple_fn((self.values, d), || scale * normal.draw())
    }

    /// The sums of projected embeddings: means `P mu_k`, scatter `P S P^T`.
    #[must_use]
    pub fn of_sums(self, sums: &ClassStats) -> ClassStats {
        let d = sums.dim();
        let p = self.matrix(d);
        let means = sums.means().dot(&p.t());
        let mut whole = Array2::zeros((d, d));
        for i in 0..d {
            for j in 0..=i {
                let value = sums.scatter()[i * (i + 1) / 2 + j];
                whole[[i, j]] = value;
                whole[[j, i]] = value;
            }
        }
        let projected = p.dot(&whole).dot(&p.t());
        let half = (0..self.values).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|at| projected[at]).collect();
        ClassStats::from_parts(sums.counts().to_vec(), means, half)
    }
}

#[cfg(test)]
mod tests {
    use super::super::statistics::tests::{apart, samples, source};
    use super::super::{Source, Statistics};
    use super::*;

    #[test]
    fn projected_sums_are_the_sums_of_projected_embeddings() {
        let projection = Projection { values: 5, seed: 3 };
        let (x, labels) = samples(1, &["gear", "nut", "bolt"], 20, 12);
        let projected = Source { projection: Some(projection), ..source(12) };
        let short = Statistics::gather(projected, x.view(), &labels, None, 1).unwrap();
        let p = projection.matrix(12).mapv(|value| value as f32);
        let direct = Statistics::gather(source(5), x.dot(&p.t()).view(), &labels, None, 1).unwrap();
        assert!(apart(&short.sums, &direct.sums) < 1e-6, "{}", apart(&short.sums, &direct.sums));
    }
}
