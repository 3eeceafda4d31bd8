//! The promotion gate: the one place where a challenger is compared with the champion.
//!
//! It refuses, in this order: a challenger that lost a class, a comparison on too few samples, a challenger that is not
//! shown to be better than guessing, a class that significantly gets worse, a balanced accuracy that may be worse
//! (unless the log-loss significantly falls), a log-loss that significantly grows. What passes is promoted; a
//! challenger with the same predictions as the champion passes too (`not_worse`), since it has learnt from newer
//! labels. Every verdict gives its reason in words and numbers.
//!
//! On a class that only the challenger knows, the champion is always wrong, and that counts: such a challenger has to
//! be better on all classes together, or significantly to find it, and not to give up much on those that both know.
//!
//! A head that was sent (a signed update) has a gate of its own, [`judge_pushed`], and so has a second phase of training,
//! [`judge_second_phase`].
//!
//! A head of this device's own has to be shown no worse before it serves. One that was sent was chosen by its sender,
//! and may come from more images than there are here; it is kept out when the labels here show that it is worse, by the
//! same measures and bounds.

mod differences;
mod verdict;

use std::collections::BTreeSet;

use ndarray::Array2;

use super::figures::{Tally, score_rows, worst};
use super::statistics::{Draw, quantile, resample};
use crate::words::{Label, SampleId};
use differences::Differences;
use verdict::verdict;
pub use verdict::{Verdict, VerdictCode};

/// Held-out samples below which nothing is measured.
pub(super) const MIN_SAMPLES: usize = 20;
/// Groups below which nothing is measured: a bootstrap over fewer is a guess.
const MIN_GROUPS: usize = 10;
/// Recall that a class may lose when the challenger knows one that the champion did not, 0..1: the loss has to be worth
/// it on all classes together, and no class may be swallowed.
const MAX_LOSS_TO_NEW_CLASS: f64 = 0.5;

/// Standard errors by which a challenger has to be better than guessing.
///
/// On labels that have nothing to do with the images, champion and challenger both guess, and one guess beats another
/// by any margin now and then: without this, heads trained on shuffled labels were promoted when those same labels
/// measured them.
const ABOVE_CHANCE: f64 = 3.0;
/// The same where the champion is not that much better than guessing either: then the labels themselves are in doubt.
const ABOVE_CHANCE_IN_DOUBT: f64 = 4.0;
/// Standard errors by which new names have to be given to images of new classes more often than to others.
const NEW_CLASS_ERRORS: f64 = 4.0;

/// How strict the gate is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How far below zero the lower bound of the change in balanced accuracy may be, 0..1.
    pub margin: f64,
    /// Recall that a class with at least 20 held-out samples may significantly lose (its one-sided 95 % bound), 0..1.
    pub max_class_recall_loss: f64,
    /// Of the bootstrap.
    pub seed: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { margin: 0.005, max_class_recall_loss: 0.05, seed: 0 }
    }
}

/// Champion and challenger on the same samples, by models that had not seen them.
#[derive(Debug, Clone, Copy)]
pub struct PairedComparison<'a> {
    /// Version of the champion.
    pub champion: u64,
    /// Version of the challenger.
    pub challenger: u64,
    /// Whether the champion itself was measured when it was promoted.
    pub champion_measured: bool,
    /// Classes that only the challenger knows.
    pub gained: &'a [Label],
    /// Classes that only the champion knows.
    pub lost: &'a [Label],
    /// Predictions of both over the classes that both know.
    pub shared: PairedPredictions<'a>,
    /// Predictions of both over every class of the challenger; the same as `shared` when it gained none.
    pub all: PairedPredictions<'a>,
}

/// The probabilities that both gave the same samples, over the same classes.
#[derive(Debug, Clone, Copy)]
pub struct PairedPredictions<'a> {
    /// (k,)
    pub classes: &'a [Label],
    /// Index in `classes` of each sample (n,).
    pub y: &'a [usize],
    /// Group of each sample (n,).
    pub groups: &'a [SampleId],
    /// The champion's probabilities (n, k).
    pub old: &'a Array2<f32>,
    /// The challenger's probabilities (n, k).
    pub new: &'a Array2<f32>,
}

/// Whether the first head, with held-out `probabilities` (n, k), may serve: when its balanced accuracy is above
/// 1/k', what any answer blind to the image scores on k' classes, by a one-sided 5 % grouped-bootstrap bound.
///
/// With too little held out it is promoted provisionally, since the alternative is no answer at all.
#[must_use]
pub fn judge_first(
    version: u64,
    y: &[usize],
    groups: &[SampleId],
    probabilities: &Array2<f32>,
    rules: &Rules,
) -> Verdict {
    if let Some(few) = too_few(y, groups) {
        let reason = format!("promoted head {version} provisionally, the first one: {few}; label more images");
        return Verdict { promote: true, provisional: true, ..verdict(VerdictCode::TooFewHeldout, reason, None) };
    }
    let answers = score_rows(probabilities, y);
    let wrong = worst(&answers);
    let count = |counts: &[u32]| Tally::count(&answers, counts, probabilities.ncols());
    let measured = count(&vec![1; y.len()]).summary().balanced_accuracy;
    let many = resample(y, groups, rules.seed, |Draw { counts, unseen }| {
        count(counts).and(&wrong, unseen).summary().balanced_accuracy
    });
    let bound = quantile(&many, 0.05);
    let chance = 1.0 / y.iter().collect::<BTreeSet<_>>().len() as f64;
    let figures = format!(
        "balanced accuracy {:.1} % on {} held-out images, at least {:.1} % (5 % bound), chance {:.1} %",
        100.0 * measured,
        y.len(),
        100.0 * bound,
        100.0 * chance
    );
    if bound > chance {
        return verdict(VerdictCode::First, format!("promoted head {version}, the first one: {figures}"), None);
    }
    let next = "label more images and check the labels";
    verdict(
        VerdictCode::Chance,
        format!("head {version} does not serve: it is not significantly better than guessing: {figures}; {next}"),
        None,
    )
}

/// Whether the challenger may take the champion's place.
///
/// Promoted when its balanced accuracy is three standard errors above guessing (1/k on k classes; four where the
/// champion's is not three above it), the one-sided 5 % lower bound of the change in balanced accuracy (paired,
/// grouped bootstrap) is above `-margin`, no class with 20 or more samples significantly loses more than
/// `max_class_recall_loss` of its recall, none of which the champion found three or more is found no more, and the
/// change in log-loss is not significantly above zero. In place of the bound on balanced accuracy it is enough that
/// log-loss significantly falls and balanced accuracy by its estimate does not fall by more than `margin`: on a few
/// hundred samples the bound alone would refuse heads that are better.
///
/// A challenger with a new class is measured on all its classes, where the champion's recall of the new one is 0, and
/// log-loss decides nothing; in its place it is enough that the new names are given to images of the new classes more
/// often than to others, by four standard errors. No class may significantly lose 50 points of recall then; and on the
/// classes that both know, with predictions over those alone, balanced accuracy may not significantly fall by more than
/// `max_class_recall_loss`.
///
/// With too little held out the champion stays, unless it was never measured either: then the head that has learnt from
/// more labels serves, provisionally too.
#[must_use]
pub fn judge(paired: &PairedComparison<'_>, rules: &Rules) -> Verdict {
    let (kept, new) = (format!("kept head {}", paired.champion), format!("head {}", paired.challenger));
    if !paired.lost.is_empty() {
        let lost = names(paired.lost);
        return verdict(
            VerdictCode::ClassLost,
            format!("{kept}: {new} no longer knows {lost}; label images of it again"),
            None,
        );
    }
    if let Some(few) = too_few(paired.all.y, paired.all.groups) {
        if paired.champion_measured {
            return verdict(VerdictCode::TooFewHeldout, format!("{kept}: {few}; label more images"), None);
        }
        let old = paired.champion;
        let reason =
            format!("promoted {new} provisionally, head {old} was not evaluated either: {few}; label more images");
        return Verdict { promote: true, provisional: true, ..verdict(VerdictCode::TooFewHeldout, reason, None) };
    }
    let differences = Differences::compute(paired, rules);
    let change = Some(differences.balanced);
    // On the classes that both know, with predictions over those alone: with fewer classes to choose from a head is
    // right more often.
    let on_shared = (!paired.gained.is_empty())
        .then(|| Differences::compute(&PairedComparison { gained: &[], all: paired.shared, ..*paired }, rules));
    let scope =
        on_shared.as_ref().map_or(String::new(), |on_shared| differences.new_class_summary(paired.gained, on_shared));
    if let Some(figures) = differences.near_chance() {
        let next = "label more images and check the labels";
        return verdict(
            VerdictCode::Chance,
            format!("{kept}: {new} is not significantly better than guessing: {figures}{scope}; {next}"),
            change,
        );
    }
    let least = if on_shared.is_some() { MAX_LOSS_TO_NEW_CLASS } else { 0.0 };
    if let Some(loss) = differences.class_loss(rules.max_class_recall_loss.max(least)) {
        let gain = differences.best_gain().map_or(String::new(), |gain| format!("is better on {gain} but "));
        return verdict(VerdictCode::ClassRecallLoss, format!("{kept}: {new} {gain}loses {loss}{scope}"), change);
    }
    let points = format!(
        "balanced accuracy changes by {:+.1} points, at worst {:+.1} (5 % bound), on {} held-out images{scope}",
        100.0 * differences.balanced[0],
        100.0 * differences.balanced[1],
        paired.all.y.len()
    );
    let found = match &on_shared {
        Some(on_shared) => differences.decide_with_new_classes(on_shared, rules),
        None => differences.decide_on_same_classes(rules),
    };
    let old = paired.champion;
    match found {
        Err((code, why)) => verdict(code, format!("{kept}: {new} {why}: {points}"), change),
        Ok((VerdictCode::NotWorse, _)) => {
            verdict(VerdictCode::NotWorse, format!("promoted {new}, not worse than head {old}: {points}"), change)
        }
        Ok((code, why)) => verdict(code, format!("promoted {new}, better than head {old}: {why}{points}"), change),
    }
}

/// Whether a second phase of training, in which the last layers of the backbone were trained on too, may take the place of
/// the first: where [`judge`] would promote it, and log-loss falls by more than a standard error.
///
/// Both learned from the same labels, so what is only no worse has no reason to serve: it costs more than the first.
#[must_use]
pub fn judge_second_phase(paired: &PairedComparison<'_>, rules: &Rules) -> Verdict {
    let found = judge(paired, rules);
    if found.provisional {
        let few = too_few(paired.all.y, paired.all.groups).unwrap_or_default();
        let reason = format!("kept the first phase: {few}; label more images");
        return verdict(VerdictCode::TooFewHeldout, reason, None);
    }
    if !found.promote {
        let named = format!("kept head {}: head {}", paired.champion, paired.challenger);
        let reason = found.reason.replacen(&named, "kept the first phase: the second", 1);
        return Verdict { reason, ..found };
    }
    let Differences { log_loss: [log_loss, low, high], balanced: [balanced, _], .. } =
        Differences::compute(paired, rules);
    let error = (high - low) / (2.0 * Z_95);
    let figures = format!(
        "log-loss changes by {log_loss:+.3} (standard error {error:.3}), balanced accuracy by {:+.1} points, on {} held-out \
         images",
        100.0 * balanced,
        paired.all.y.len()
    );
    if log_loss < -error {
        return Verdict { reason: format!("the second phase is better than the first: {figures}"), ..found };
    }
    let reason = format!("kept the first phase: the second is not shown to be better: {figures}");
    verdict(VerdictCode::NotBetter, reason, found.change)
}

/// Standard deviations to the 95 % quantile of a normal distribution.
const Z_95: f64 = 1.645;

/// What becomes of a backbone for which no head can be made, there being too few labelled images: it may go without one
/// only where no head serves, given the version of the `champion`.
#[must_use]
pub fn judge_without_head(champion: Option<u64>) -> Verdict {
    let Some(champion) = champion else {
        return verdict(VerdictCode::First, "no head serves yet; the first training makes one".to_owned(), None);
    };
    let reason = format!(
        "too few labelled images can still be read from their files to compare it with head {champion}; label images, \
         or put the files back"
    );
    verdict(VerdictCode::NoLabels, reason, None)
}

/// The verdict on a challenger where `left_out` labels are no evidence and `left` remain, fewer than the `known` that the
/// champion learned from.
#[must_use]
pub fn judge_left_out(challenger: u64, champion: u64, left_out: usize, left: usize, known: usize) -> Verdict {
    let reason = format!(
        "kept head {champion}: {left_out} new labels are no evidence, and without them head {challenger} has {left} images \
         to learn from, head {champion} had {known}; correct the labels, or give them again to confirm them"
    );
    verdict(VerdictCode::LabelsLeftOut, reason, None)
}

/// A verdict's code and why, in words: reasons for promotion, or against it.
type Decision = Result<(VerdictCode, String), (VerdictCode, String)>;

/// What is missing for a measurement, if anything.
fn too_few(y: &[usize], groups: &[SampleId]) -> Option<String> {
    let (groups, classes) = (groups.iter().collect::<BTreeSet<_>>().len(), y.iter().collect::<BTreeSet<_>>().len());
    let enough = y.len() >= MIN_SAMPLES && groups >= MIN_GROUPS && classes >= 2;
    (!enough).then(|| {
        format!(
            "only {} images in {groups} groups of {classes} classes could be held out, {MIN_SAMPLES} in {MIN_GROUPS} \
             groups of 2 classes are needed to compare",
            y.len()
        )
    })
}

fn names(labels: &[Label]) -> String {
    labels.iter().map(|label| format!("'{label}'")).collect::<Vec<_>>().join(", ")
}

impl Differences<'_> {
    /// Whether a challenger of the champion's classes is as good or better.
    fn decide_on_same_classes(&self, rules: &Rules) -> Decision {
        let [log_loss, low, high] = self.log_loss;
        let is_sharper = high < 0.0 && self.balanced[0] >= -rules.margin;
        // No bound on few images is above the margin; but what loses nothing has learnt from newer labels for nothing.
        if self.balanced[1] <= -rules.margin && !is_sharper && self.lost > 0 {
            return Err((
                VerdictCode::Worse,
                format!("may be worse, the margin is {:+.1} points", -100.0 * rules.margin),
            ));
        }
        if low > 0.0 {
            let why = format!("is more confident in wrong answers (log-loss {log_loss:+.3}, at least {low:+.3})");
            return Err((VerdictCode::LogLoss, why));
        }
        if self.balanced[1] > 0.0 {
            return Ok((VerdictCode::Better, String::new()));
        }
        if is_sharper {
            return Ok((
                VerdictCode::Better,
                format!("log-loss falls by {:.3}, at least {:.3} (5 % bound); ", -log_loss, -high),
            ));
        }
        Ok((VerdictCode::NotWorse, String::new()))
    }

    /// Whether a challenger that knows more classes found them, and what it gave up is worth it; `on_shared` is on
    /// those that both know.
    fn decide_with_new_classes(&self, on_shared: &Self, rules: &Rules) -> Decision {
        if on_shared.upper_bound < -rules.max_class_recall_loss {
            let why = format!(
                "is worse on the classes that both know, at best by {:+.1} points",
                100.0 * on_shared.upper_bound
            );
            return Err((VerdictCode::Worse, why));
        }
        if self.balanced[1] > 0.0 {
            return Ok((VerdictCode::Better, String::new()));
        }
        let [above, error] = self.new_class_lift;
        let is_found = above > NEW_CLASS_ERRORS * error && self.balanced[0] >= -rules.margin;
        if self.balanced[1] <= -rules.margin && !is_found {
            return Err((
                VerdictCode::Worse,
                format!("may be worse, the margin is {:+.1} points", -100.0 * rules.margin),
            ));
        }
        if !is_found {
            return Ok((VerdictCode::NotWorse, String::new()));
        }
        let [above, error] = [above, error].map(|share| 100.0 * share);
        let why = format!(
            "images of new classes are recognised {above:+.1} points more often than others are taken for them \
             (standard error {error:.1}); "
        );
        Ok((VerdictCode::Better, why))
    }
}

/// Whether a head that was sent may take the champion's place.
///
/// It is refused when it does not know a class that the champion knows; when it is not significantly better than
/// guessing; when a class significantly loses more recall than `max_class_recall_loss`; when balanced accuracy
/// significantly falls by more than `margin` (its one-sided 95 % bound is below it); and when log-loss significantly
/// grows. With a class that only it knows, the bounds are those of [`judge`] for that case. With too little to measure
/// it on it is promoted provisionally.
#[must_use]
pub fn judge_pushed(paired: &PairedComparison<'_>, rules: &Rules) -> Verdict {
    let (kept, new) = (format!("kept head {}", paired.champion), format!("head {}", paired.challenger));
    if !paired.lost.is_empty() {
        let lost = names(paired.lost);
        return verdict(
            VerdictCode::ClassLost,
            format!("{kept}: {new} does not know {lost}; send one that does"),
            None,
        );
    }
    if let Some(few) = too_few(paired.all.y, paired.all.groups) {
        return unmeasured(paired.challenger, &few);
    }
    let differences = Differences::compute(paired, rules);
    let change = Some(differences.balanced);
    let on_shared = (!paired.gained.is_empty())
        .then(|| Differences::compute(&PairedComparison { gained: &[], all: paired.shared, ..*paired }, rules));
    if let Some(figures) = differences.near_chance() {
        let next = "check its classes against the labels here";
        return verdict(
            VerdictCode::Chance,
            format!("{kept}: {new} is not significantly better than guessing: {figures}; {next}"),
            change,
        );
    }
    let least = if on_shared.is_some() { MAX_LOSS_TO_NEW_CLASS } else { 0.0 };
    if let Some(loss) = differences.class_loss(rules.max_class_recall_loss.max(least)) {
        return verdict(VerdictCode::ClassRecallLoss, format!("{kept}: {new} loses {loss}"), change);
    }
    let points = format!(
        "balanced accuracy changes by {:+.1} points, at best {:+.1} (95 % bound), on {} labelled images",
        100.0 * differences.balanced[0],
        100.0 * differences.upper_bound,
        paired.all.y.len()
    );
    let (best, limit) = match &on_shared {
        Some(on_shared) => (on_shared.upper_bound, rules.max_class_recall_loss),
        None => (differences.upper_bound, rules.margin),
    };
    if best < -limit {
        return verdict(VerdictCode::Worse, format!("{kept}: {new} is worse: {points}"), change);
    }
    let [grows, low, _] = differences.log_loss;
    if on_shared.is_none() && low > 0.0 {
        let why = format!("is more confident in wrong answers (log-loss {grows:+.3}, at least {low:+.3})");
        return verdict(VerdictCode::LogLoss, format!("{kept}: {new} {why}: {points}"), change);
    }
    let code = if differences.balanced[1] > 0.0 { VerdictCode::Better } else { VerdictCode::NotWorse };
    verdict(code, format!("promoted {new}, not shown to be worse than head {}: {points}", paired.champion), change)
}

/// The verdict on a head that was sent and cannot be measured here, for the reason `few`: it serves, provisionally.
#[must_use]
pub fn unmeasured(version: u64, few: &str) -> Verdict {
    let reason = format!("promoted head {version} provisionally, since an update sent it: {few}");
    Verdict { promote: true, provisional: true, ..verdict(VerdictCode::TooFewHeldout, reason, None) }
}

#[cfg(test)]
mod acceptance_tests;
#[cfg(test)]
mod tests;
