//! Live accuracy of the head in service, by the labels that arrive for predicted images.
//!
//! A label that arrives for an image already predicted scores that prediction before anything learns from it
//! (prequential, or test-then-train: Gama, Sebastião and Rodrigues 2013, doi 10.1007/s10994-012-5320-9). Two figures
//! result, never mixed: over *all* labels, which is the accuracy on what people label, and over the *audit* images, a tenth designated before any model looked ([`crate::words::is_audit`]), which alone is unbiased.
//! [`fell`] decides by the audit whether the head has become worse than it was when it was promoted.

use serde::{Deserialize, Serialize};

use super::proportion::clopper_pearson;

/// Audited predictions below which nothing is called a fall.
const MIN_AUDITS: u64 = 10;
/// Chance, over a head's whole service, of calling a fall where there is none.
const ALPHA: f64 = 0.01;
/// Accuracies that the alternative is spread over.
const GRID: u32 = 64;
/// No record counts as better: one miss must not outweigh it.
const MOST: f64 = 0.99;

/// Right predictions among so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Score {
    /// How many were right.
    pub right: u64,
    /// How many there were.
    pub n: u64,
}

impl Score {
    fn add(&mut self, right: bool) {
        self.right += u64::from(right);
        self.n += 1;
    }

    /// Share of right ones; `None` of none.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        (self.n > 0).then(|| self.right as f64 / self.n as f64)
    }

    /// Its 95 % interval ([`clopper_pearson`]); `None` of none.
    #[must_use]
    pub fn interval(&self) -> Option<[f64; 2]> {
        (self.n > 0).then(|| clopper_pearson(self.right, self.n))
    }
}

/// Live results since the head in service was promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Of every label that came for an image already predicted; biased towards what people label.
    pub all: Score,
    /// Of those among them that are audits; unbiased.
    pub audit: Score,
}

impl Tally {
    /// Counts a label that agrees with the prediction, or does not.
    pub fn add(&mut self, right: bool, audit: bool) {
        self.all.add(right);
        if audit {
            self.audit.add(right);
        }
    }
}

/// What a head was found to be worth when it was promoted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Accuracy on what was held out, 0..=1.
    pub accuracy: f64,
    /// Its lower 95 % bound.
    pub low: f64,
}

/// In words and numbers, that the `audited` predictions since promotion show an accuracy under the lower bound of the
/// champion's `record`; `None` as long as they do not.
///
/// It may be called after every audit: while the accuracy is `p0 = min(low, 0.99)` or more, the chance that it ever
/// answers is at most 1 %. The evidence is the likelihood ratio `E = mean_j (p_j/p0)^right ((1-p_j)/(1-p0))^(n-right)`
/// over 64 accuracies `p_j` evenly spread below p0. Each factor expects at most 1 where p >= p0, so E is a
/// supermartingale and by Ville's inequality ever reaches 1/0.01 with that chance at most (method of mixtures: Robbins
/// 1970; Howard et al. 2021, arXiv 1810.08240). E depends on the counts alone, so nothing else is kept.
#[must_use]
pub fn fell(record: &Record, audited: Score) -> Option<String> {
    let Score { right, n } = audited;
    if n < MIN_AUDITS || record.low.is_nan() {
        return None;
    }
    let evidence = log_evidence(record.low.min(MOST), right, n);
    if evidence < (1.0 / ALPHA).ln() {
        return None;
    }
    let [low, high] = clopper_pearson(right, n).map(|bound| 100.0 * bound);
    Some(format!(
        "{right} of {n} audited predictions since promotion were right, {:.1} % ({low:.1} to {high:.1}), below the \
         {:.1} % (at least {:.1}) that the head was promoted with",
        100.0 * right as f64 / n.max(1) as f64,
        100.0 * record.accuracy,
        100.0 * record.low
    ))
}

/// Natural log of E for the null accuracy `p0`; minus infinity where `p0` leaves nothing below it.
fn log_evidence(p0: f64, right: u64, n: u64) -> f64 {
    if p0 <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let (right, wrong) = (right as f64, n.saturating_sub(right) as f64);
    let step = |j: u32| {
        let p = p0 * (f64::from(j) + 0.5) / f64::from(GRID);
        right * (p / p0).ln() + wrong * ((1.0 - p) / (1.0 - p0)).ln()
    };
    let terms: Vec<f64> = (0..GRID).map(step).collect();
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + (terms.iter().map(|term| (term - top).exp()).sum::<f64>() / f64::from(GRID)).ln()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const RECORD: Record = Record { accuracy: 0.9, low: 0.86 };

    /// After how many of `most` audits of a head that is right with chance `p` a fall is called.
    fn called(record: &Record, p: f64, most: u64, seed: u64) -> Option<u64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut tally = Tally::default();
        (1..=most).find(|_| {
            tally.add(rng.random_bool(p), true);
            fell(record, tally.audit).is_some()
        })
    }

    #[test]
    fn a_head_as_good_as_its_bound_is_called_fallen_in_one_life_of_a_hundred_at_most() {
        // The worst case that the promise covers: the accuracy is the lower bound itself.
        let false_alarms = (0..200).filter(|&seed| called(&RECORD, 0.86, 1_000, seed).is_some()).count();
        // 2 expected at most, standard deviation 1.4.
        assert!(false_alarms <= 6, "{false_alarms} of 200");
    }

    #[test]
    fn a_head_as_good_as_its_record_is_never_called_fallen_in_these_lives() {
        assert!((0..200).all(|seed| called(&RECORD, 0.9, 1_000, seed).is_none()));
    }

    #[test]
    fn a_fall_from_ninety_to_seventy_is_found_within_160_audits_nine_times_of_ten() {
        let mut found: Vec<u64> = (0..200).map(|seed| called(&RECORD, 0.7, 1_000, seed).unwrap_or(u64::MAX)).collect();
        found.sort_unstable();
        assert!(found[100] <= 80 && found[180] <= 160, "median {}, 90 % {}", found[100], found[180]);
    }

    #[test]
    fn the_words_carry_the_counts_and_both_accuracies() {
        let words = fell(&RECORD, Score { right: 30, n: 60 }).unwrap();
        assert!(words.starts_with("30 of 60 audited predictions since promotion were right, 50.0 % (36.8 to 63.2)"));
        assert!(words.ends_with("below the 90.0 % (at least 86.0) that the head was promoted with"), "{words}");
    }

    #[test]
    fn a_handful_of_misses_and_odd_records_call_nothing() {
        assert_eq!(fell(&Record { accuracy: 1.0, low: 1.0 }, Score { right: 0, n: 9 }), None);
        assert_eq!(fell(&Record { accuracy: 1.0, low: 1.0 }, Score { right: 11, n: 12 }), None);
        assert_eq!(fell(&Record { accuracy: 0.0, low: 0.0 }, Score { right: 0, n: 500 }), None);
        assert_eq!(fell(&Record { accuracy: f64::NAN, low: f64::NAN }, Score { right: 0, n: 500 }), None);
        assert_eq!(fell(&RECORD, Score::default()), None);
    }

    #[test]
    fn audits_count_twice_and_a_tally_survives_its_own_text() {
        let mut tally = Tally::default();
        for (right, audit) in [(true, false), (false, true), (true, true)] {
            tally.add(right, audit);
        }
        assert_eq!((tally.all, tally.audit), (Score { right: 2, n: 3 }, Score { right: 1, n: 2 }));
        assert_eq!(tally.audit.accuracy(), Some(0.5));
        let text = serde_json::to_string(&tally).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), tally);
    }
}
