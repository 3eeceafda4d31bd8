//! Shares of independent cases: the interval that holds at the edges too.

/// Half of what a 95 % interval leaves out, at either end.
const TAIL: f64 = 0.025;
/// Halvings of the interval in which a bound lies: more than f64 has digits.
const HALVINGS: u32 = 60;

/// The 95 % interval of a share of which `right` out of `n` cases were seen (Clopper & Pearson 1934): the shares under
/// which neither as many nor as few right ones have a chance below 2.5 %. 0..=1 of none.
///
/// It holds the true share at least 95 times of 100 whatever that is: 24 of 24 leave room down to 85.8 %.
#[must_use]
pub fn clopper_pearson(right: u64, n: u64) -> [f64; 2] {
    [lower_bound(right, n, TAIL), 1.0 - lower_bound(n.saturating_sub(right), n, TAIL)]
}

/// The share under which `right` or more out of `n` have just the chance `tail`; 0 where none is right.
#[must_use]
pub fn lower_bound(right: u64, n: u64, tail: f64) -> f64 {
    if right == 0 || right > n {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let share = f64::midpoint(low, high);
        if incomplete_beta(share, right as f64, (n - right + 1) as f64) < tail { low = share } else { high = share }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function `I_x(a, b)`, by its continued fraction (Lentz's method; DLMF 8.17.22): for
/// whole numbers the chance of `a` or more successes in `a + b - 1` trials of chance x each.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    if x <= 0.0 {
        return 0.0;
    }
    let nonzero = |value: f64| if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value };
    let (mut c, mut d) = (1.0, 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    // Each numerator in turn; they converge within some tens.
    for m in (1_u32..500).map(f64::from) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for numerator in [even, odd] {
            d = 1.0 / nonzero(1.0 + numerator * d);
            c = nonzero(1.0 + numerator / c);
            fraction *= c * d;
        }
        if (fraction / before - 1.0).abs() < 1e-14 {
            break;
        }
    }
    let front = a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    front.exp() * fraction / a
}

/// Natural log of the gamma function of `x` >= 1: Stirling's series, for small ones that of `x + 10` stepped down.
fn ln_gamma(x: f64) -> f64 {
    let steps: f64 = (0..10).map(|step| (x + f64::from(step)).ln()).sum();
    let x = x + 10.0;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_the_exact_ones_and_hold_at_the_edges() {
        // The binomial sums of exact fractions in Python, solved by bisection.
        for (right, n, low, high) in
            [(9, 10, 0.554_983_9, 0.997_471_4), (3, 24, 0.026_559_3, 0.323_611_4), (97, 100, 0.914_824_0, 0.993_770_0)]
        {
            let [found_low, found_high] = clopper_pearson(right, n);
            assert!((found_low - low).abs() < 1e-6 && (found_high - high).abs() < 1e-6, "{right} of {n}: {found_low}");
        }
        // In closed form: all right leaves room down to the n-th root of the tail.
        for n in [1, 5, 24, 1_000, 100_000] {
            let root = |tail: f64| tail.powf(1.0 / n as f64);
            assert!(
                (clopper_pearson(n, n)[0] - root(0.025)).abs() < 1e-9 && clopper_pearson(n, n)[1] > 1.0 - 1e-9,
                "{n}"
            );
            assert!((lower_bound(n, n, 0.05) - root(0.05)).abs() < 1e-9, "{n}");
        }
        assert_eq!((clopper_pearson(0, 7)[0], clopper_pearson(0, 0)), (0.0, [0.0, 1.0]));
    }

    #[test]
    fn a_bound_leaves_just_the_chance_that_it_should() {
        let binomial = |right: u64, n: u64, p: f64| -> f64 {
            let choose = |k: u64| (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
            (right..=n).map(|k| choose(k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)).sum()
        };
        for (right, n) in [(1, 1), (1, 30), (17, 20), (29, 30), (15, 40)] {
            let chance = binomial(right, n, lower_bound(right, n, 0.05));
            assert!((chance - 0.05).abs() < 1e-9, "{right} of {n}: {chance}");
        }
    }
}
