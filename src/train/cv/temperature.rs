//! Temperature scaling: probabilities as cautious as the model is uncertain.
//!
//! `T = argmin NLL(softmax(logits / T))` on out-of-fold logits, by golden section on log T in [-3, 3]
//! (Guo et al. 2017, arXiv 1706.04599). It changes no answer, only how sure the answer is.

use crate::train::softmax_loss::log_sum_exp;

/// T for `scored`: the logits (k,) of held-out samples with their classes; 1 when there are none.
///
/// Samples whose own class has logit -inf say nothing about T and must be left out.
#[must_use]
pub fn fit(scored: &[(Vec<f64>, usize)]) -> f64 {
    if scored.is_empty() {
        return 1.0;
    }
    let loss = |log_t: f64| -> f64 {
        let beta = (-log_t).exp();
        let nll = |(logits, y): &(Vec<f64>, usize)| {
            let scaled: Vec<f64> = logits.iter().map(|logit| beta * logit).collect();
            log_sum_exp(&scaled) - scaled[*y]
        };
        scored.iter().map(nll).sum()
    };
    golden_section(-3.0, 3.0, loss).exp()
}

/// The minimum of a unimodal function on [low, high], to 1e-4.
fn golden_section(mut low: f64, mut high: f64, function: impl Fn(f64) -> f64) -> f64 {
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_a, mut at_b) = (function(a), function(b));
    while high - low > 1e-4 {
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - ratio * (high - low);
            at_a = function(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + ratio * (high - low);
            at_b = function(b);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn logits_made_too_sure_by_a_factor_get_that_factor_as_temperature() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        for factor in [0.5, 1.0, 4.0] {
            let draw = |_| {
                let logits: Vec<f64> = (0..3).map(|_| 4.0 * rng.random::<f64>()).collect();
                let (mut left, total) = (rng.random::<f64>(), log_sum_exp(&logits));
                let y = logits.iter().position(|logit| {
                    left -= (logit - total).exp();
                    left < 0.0
                });
                (logits.iter().map(|logit| factor * logit).collect(), y.unwrap_or(2))
            };
            let scored: Vec<(Vec<f64>, usize)> = (0..20_000).map(draw).collect();
            let found = fit(&scored);
            assert!((found / factor - 1.0).abs() < 0.05, "factor {factor}: {found}");
        }
    }

    #[test]
    fn classes_that_a_fold_did_not_know_do_no_harm() {
        assert!(fit(&[(vec![1.0, f64::NEG_INFINITY, 0.0], 0), (vec![0.0, f64::NEG_INFINITY, 0.5], 0)]).is_finite());
        assert!((fit(&[]) - 1.0).abs() < 1e-12);
    }
}
