//! By what each value of the embedding is divided before a head is fitted on it.
//!
//! `t = (s^2 + (FLOOR mean(s))^2)^(1/4)`, s the standard deviation of a value over the samples and `mean(s)` that of all
//! values, and then all t times one number, so that the mean square of what is divided is 1, as with the deviations
//! themselves: a penalty means the same with either. It is the square root of the deviation (Pareto scaling, van den
//! Berg et al. 2006, doi 10.1186/1471-2164-7-142), half-way between the deviation and one number for all, with a small
//! floor.
//! Divided by its own deviation, a value that is nearly constant in a few samples is blown up to the weight of all
//! others, and one image in which it is not gets logits of some hundred. Where penalties do not bound what a value can
//! do (random projections, the start of a network), the floor does. (Decision 37.)
//!
//! Inner values are of other sizes than the embedding, so each part of a row is brought to a mean square of 1 on its own
//! (decision 50).

/// Floor of a deviation in units of the mean deviation.
const FLOOR: f64 = 0.1;
/// Standard deviations below this share of the largest one are taken for rounding noise of a constant.
const CONSTANT: f64 = 1e-6;

/// `1 / t` (d,) for standard deviations `s` (d,), whose parts have these widths; 0 for a value that never varied, so that
/// it has no part in the head.
///
/// # Panics
/// When the widths are not d together.
pub(crate) fn inverse_scales(s: &[f64], parts: &[usize]) -> Vec<f64> {
    assert_eq!(parts.iter().sum::<usize>(), s.len(), "the parts are all of it");
    let mut rest = s;
    let mut inverse = Vec::with_capacity(s.len());
    for &width in parts {
        let (part, after) = rest.split_at(width);
        inverse.extend(of_part(part));
        rest = after;
    }
    inverse
}

fn of_part(s: &[f64]) -> Vec<f64> {
    let constant = CONSTANT * s.iter().copied().fold(0.0, f64::max);
    let varying = || s.iter().copied().filter(|s| *s > constant);
    let count = varying().count().max(1) as f64;
    let floor = FLOOR * varying().sum::<f64>() / count;
    let root = |s: f64| s.hypot(floor).sqrt();
    let size = (varying().map(|s| (s / root(s)).powi(2)).sum::<f64>() / count).sqrt();
    s.iter().map(|&s| if s > constant { 1.0 / (size * root(s)) } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_divided_has_a_mean_square_of_one_and_does_not_depend_on_the_unit() {
        let s = [0.5, 2.0, 1e-4, 0.0, 1.0];
        for unit in [1e-3, 1.0, 1e4] {
            let scaled: Vec<f64> = s.iter().map(|s| unit * s).collect();
            let inverse = inverse_scales(&scaled, &[5]);
            let values: Vec<f64> = scaled.iter().zip(&inverse).map(|(s, inverse)| s * inverse).collect();
            let mean = values.iter().map(|value| value * value).sum::<f64>() / 4.0;
            assert!((mean - 1.0).abs() < 1e-12, "unit {unit}: {mean}");
            assert!(inverse[3] == 0.0, "a constant value has a scale");
        }
    }

    #[test]
    fn a_value_that_hardly_varies_is_not_blown_up() {
        let mut s = vec![0.1; 99];
        s.push(1e-4);
        let inverse = inverse_scales(&s, &[100]);
        assert!(inverse[99] < 4.0 * inverse[0], "{} and {}", inverse[99], inverse[0]);
    }

    #[test]
    fn values_of_one_deviation_are_divided_by_it_and_nothing_but_constants_by_nothing() {
        assert!(inverse_scales(&[0.25; 7], &[7]).iter().all(|inverse| (inverse - 4.0).abs() < 1e-12));
        assert_eq!(inverse_scales(&[0.0; 3], &[3]), [0.0; 3]);
    }

    #[test]
    fn a_part_is_scaled_as_if_it_were_alone() {
        let (small, large) = ([0.5, 2.0, 1e-4], [0.0, 300.0, 1000.0, 20.0]);
        let together = inverse_scales(&[&small[..], &large[..]].concat(), &[3, 4]);
        let alone = [inverse_scales(&small, &[3]), inverse_scales(&large, &[4])].concat();
        assert_eq!(together, alone);
        assert_ne!(together, inverse_scales(&[&small[..], &large[..]].concat(), &[7]));
    }
}
