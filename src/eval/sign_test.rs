//! Whether one of two is worse, by the cases on which they differ.

/// The chance that a fair coin wins `won` or fewer of `won + lost` tosses: the one-sided exact sign test (of
/// `McNemar` when the cases are those that exactly one of two classifiers got right).
#[must_use]
pub fn sign_test(won: u64, lost: u64) -> f64 {
    let n = won + lost;
    // ln of n choose i over 2^n, one i after another; n is at most some ten thousand.
    let mut term = -(n as f64) * 2.0_f64.ln();
    let mut sum = term.exp();
    for i in 1..=won.min(n) {
        term += ((n - i + 1) as f64).ln() - (i as f64).ln();
        sum += term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chances_are_those_of_the_binomial() {
        // scipy.stats.binom.cdf([0, 3, 3, 100, 0], [0, 10, 6, 220, 5], 0.5)
        for (won, lost, expected) in
            [(0, 0, 1.0), (3, 7, 0.171_875), (3, 3, 0.656_25), (100, 120, 0.100_046_1), (0, 5, 0.031_25)]
        {
            assert!((sign_test(won, lost) - expected).abs() < 1e-6, "{won} {lost}: {}", sign_test(won, lost));
        }
        assert!((sign_test(7, 0) - 1.0).abs() < 1e-9);
    }
}
