//! Once there are labels: images that the head wavers about, far from each other.

use ndarray::Array2;

use super::{Pool, units};

/// Images on the shortlist for each that is wanted.
const SHORTLIST: usize = 5;

/// At most `most` of the candidates at `places`, which all have probabilities.
///
/// The five times as many with the smallest margin between their two likeliest classes are thinned by k-center greedy
/// (Sener & Savarese 2018, arXiv 1708.00489): each next one is the farthest from all that are labelled or chosen.
pub(super) fn wavering(pool: &Pool<'_>, places: &[usize], most: usize) -> Vec<usize> {
    let margin = |place: usize| {
        let p = pool.candidates[place].probabilities.as_deref().unwrap_or_default();
        let [first, second] = p
            .iter()
            .fold([0.0_f32; 2], |[first, second], &p| if p > first { [p, first] } else { [first, second.max(p)] });
        first - second
    };
    let mut short: Vec<(f32, usize)> = places.iter().map(|&place| (margin(place), place)).collect();
    let id = |place: usize| pool.candidates[place].id;
    short.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| id(a.1).cmp(&id(b.1))));
    short.truncate(SHORTLIST * most);
    let short: Vec<usize> = short.into_iter().map(|(_, place)| place).collect();
    let all: Vec<usize> = (0..pool.labelled.nrows()).collect();
    let order = spread(&units(pool.embeddings, &short), &units(pool.labelled, &all), most);
    order.into_iter().map(|row| short[row]).collect()
}

/// Rows of `x` (n, d), each of length 1, in the order of k-center greedy from `known` (l, d); the first row of equals.
fn spread(x: &Array2<f32>, known: &Array2<f32>, most: usize) -> Vec<usize> {
    // The largest cosine to what is covered; the smaller, the farther.
    let mut covered = vec![f32::NEG_INFINITY; x.nrows()];
    for block in known.axis_chunks_iter(ndarray::Axis(0), 256) {
        for cosines in block.dot(&x.t()).rows() {
            covered.iter_mut().zip(cosines).for_each(|(top, cosine)| *top = top.max(*cosine));
        }
    }
    let mut chosen = Vec::new();
    while chosen.len() < most.min(x.nrows()) {
        let free = (0..x.nrows()).filter(|row| !chosen.contains(row));
        let Some(next) = free.min_by(|&a, &b| covered[a].total_cmp(&covered[b])) else { break };
        for (top, cosine) in covered.iter_mut().zip(x.dot(&x.row(next))) {
            *top = top.max(cosine);
        }
        chosen.push(next);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn each_next_one_is_farthest_from_all_before() {
        let x = array![[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]];
        assert_eq!(spread(&x, &array![[1.0, 0.0]], 9), [3, 2, 1, 0]);
        assert_eq!(spread(&x, &Array2::zeros((0, 2)), 2), [0, 3]);
    }
}
