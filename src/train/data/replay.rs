//! Gaussian replay: samples like those that were evicted, drawn from their class statistics.
//!
//! Evicted samples, and those that a bounded training leaves out, are still in the counts, means and pooled scatter. So
//! that a training does not forget them, it gets draws from `N(mu_k, Sigma)` in addition, as many as are missing, with
//! the shrunken covariance of an LDA of the same statistics. Every kind of head is trained on them as on images; they
//! are in every fold's training set and never evaluated. (Zhang et al. 2023, *SLCA*, arXiv 2303.05118.)

use ndarray::{Array2, Axis};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::Past;
use super::subset::waterfill;
use crate::head::Normal;
use crate::train::{ClassStats, Dataset};

/// Stream of the draws, apart from those of shuffles with the same seed.
const STREAM: u64 = 0x7265_706c;

/// `data` and the draws behind it; `None` when it remembers nothing that can be drawn from.
pub(crate) fn extended(data: &Dataset, seed: u64) -> Option<Dataset> {
    let Past { statistics, max } = data.past()?;
    let sums = statistics.sums();
    let place = |class: usize| data.classes().index_of(&statistics.classes()[class]);
    let sizes: Vec<usize> = sums
        .counts()
        .iter()
        .enumerate()
        .map(|(class, &count)| if place(class).is_some() { count as usize } else { 0 })
        .collect();
    let wanted = waterfill(&sizes, &vec![0; sizes.len()], *max);
    let classes: Vec<usize> = wanted.iter().enumerate().flat_map(|(class, &count)| vec![class; count]).collect();
    // Without scatter it is unknown how samples differ.
    let deviations = deviations(sums, classes.len(), seed).filter(|_| !classes.is_empty())?;
    let lengths = lengths(data);
    let (mut x, mut y) = (Array2::zeros((classes.len(), sums.dim())), Vec::with_capacity(classes.len()));
    for ((mut row, deviation), &class) in x.rows_mut().into_iter().zip(deviations.rows()).zip(&classes) {
        let own = place(class).expect("only classes of the data are drawn from");
        y.push(own);
        let values = sums.means().row(class).to_owned() + deviation;
        row.iter_mut().zip(&values).for_each(|(to, value)| *to = (lengths[own] * value) as f32);
    }
    Some(data.followed_by(&x, &y))
}

/// Mean length of each class's embeddings (k,), of a class without any that of all: the sums are of embeddings at unit
/// length.
fn lengths(data: &Dataset) -> Vec<f64> {
    let (mut sums, mut counts) = (vec![0.0; data.classes().len()], vec![0_u32; data.classes().len()]);
    for (z, &class) in data.x().axis_iter(Axis(0)).zip(data.y()) {
        sums[class] += z.iter().map(|z| f64::from(*z).powi(2)).sum::<f64>().sqrt();
        counts[class] += 1;
    }
    let all = sums.iter().sum::<f64>() / data.n() as f64;
    sums.iter().zip(counts).map(|(sum, count)| if count > 0 { sum / f64::from(count) } else { all }).collect()
}

/// `count` draws (count, d) from `N(0, Sigma)`, `Sigma = (1 - eps) S / (N - K) + eps tr S / (d (N - K)) I`; `None`
/// where there is no scatter.
pub(crate) fn deviations(sums: &ClassStats, count: usize, seed: u64) -> Option<Array2<f64>> {
    let eps = sums.oas_shrinkage().min(ClassStats::MAX_SHRINKAGE);
    if sums.degrees_of_freedom() < 1.0 || sums.trace() <= 0.0 {
        return None;
    }
    let factor = sums.factor(sums.ridge(eps)).ok()?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    let mut normal = Normal::new(rng);
    let values = Array2::from_shape_simple_fn((count, sums.dim()), || normal.draw());
    Some(factor.spread(&values) * ((1.0 - eps) / sums.degrees_of_freedom()).sqrt())
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::train::LabelStats;
    use crate::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId};

    const D: usize = 3;

    fn space() -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D }
    }

    fn labels() -> [Label; 2] {
        ["gear", "nut"].map(|name| Label::new(name).unwrap())
    }

    fn id(name: &str) -> SampleId {
        SampleId::of(name.as_bytes())
    }

    fn data() -> Dataset {
        let x = array![[3.0_f32, 0.1, 0.0], [3.0, 0.0, 0.2], [0.0, 2.0, 0.1], [0.1, 2.0, 0.0]];
        let ids: Vec<_> = ["a", "b", "c", "d"].map(id).to_vec();
        Dataset::new(space(), x, vec![0, 0, 1, 1], labels().into_iter().collect::<ClassSet>(), ids.clone(), ids)
            .unwrap()
    }

    /// Statistics of `count` samples a class that spread in one direction more than in the others.
    fn past(count: usize) -> LabelStats {
        let mut normal = Normal::new(ChaCha8Rng::seed_from_u64(3));
        let mut statistics = LabelStats::new(space());
        for i in 0..count {
            for (class, label) in labels().iter().enumerate() {
                let mut z = [0.02, 0.02, 0.3].map(|deviation| (deviation * normal.draw()) as f32);
                z[class] += 1.0;
                statistics.set(id(&format!("{class} {i}")), Some(label), &z);
            }
        }
        statistics
    }

    #[test]
    fn draws_have_the_mean_the_covariance_and_the_length_of_their_class() {
        let statistics = past(4_000);
        let extended = extended(&data().remembering(statistics.clone(), 20_000), 0).unwrap();
        assert_eq!((extended.n(), &extended.y()[..4]), (8_004, data().y()));
        let rest = extended.x().slice(ndarray::s![4.., ..]);
        let mut drawn = ClassStats::new(D);
        for (row, &class) in rest.rows().into_iter().zip(&extended.y()[4..]) {
            let length = if class == 0 { 3.0 } else { 2.0 };
            drawn.add(class, &row.iter().map(|z| z / length).collect::<Vec<_>>());
        }
        let expected = statistics.sums();
        assert_eq!(drawn.counts(), expected.counts());
        let gap = (&drawn.means() - &expected.means()).iter().fold(0.0_f64, |most, gap| most.max(gap.abs()));
        assert!(gap < 0.02, "means are {gap} apart");
        for (drawn, expected) in drawn.scatter().iter().zip(expected.scatter()) {
            assert!((drawn - expected).abs() < 0.05 * statistics.sums().trace(), "{drawn} for {expected}");
        }
    }

    #[test]
    fn draws_are_bounded_evenly_and_only_of_classes_that_are_there() {
        let mut statistics = past(30);
        statistics.set(id("other"), Some(&Label::new("washer").unwrap()), &[0.0, 0.0, 1.0]);
        let extended = extended(&data().remembering(statistics, 20), 0).unwrap();
        assert_eq!(extended.n(), 24);
        assert_eq!(extended.y()[4..].iter().filter(|class| **class == 1).count(), 10);
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        assert!(extended(&data(), 0).is_none());
        assert!(extended(&data().remembering(past(1), 10), 0).is_none(), "one sample a class has no scatter");
        assert!(extended(&data().remembering(past(30), 0), 0).is_none(), "no room");
    }
}
