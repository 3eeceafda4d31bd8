//! The gate for a head that somebody who may do so sent.
//!
//! A head of this device's own has to be shown no worse before it serves. One that was sent has somebody behind it who
//! knows why, and may come from more images than there are here; it is kept out when the labels here show that it is
//! worse, by the same measures and bounds.

use super::{Contest, MAX_LOSS_TO_NEW_CLASS, Measured, Rules, Verdict, VerdictCode, names, too_few, verdict};

/// Whether a head that was sent may take the champion's place.
///
/// It is refused when it does not know a class that the champion knows; when it is not surely better than guessing;
/// when a class surely loses more recall than `max_class_recall_loss`; when balanced accuracy surely falls by more than
/// `margin` (its one-sided 95 % bound is below it); and when log-loss surely grows. With a class that only it knows,
/// the bounds are those of [`super::judge`] for that case. With too little to measure it on it is promoted
/// provisionally.
#[must_use]
pub fn judge_pushed(contest: &Contest<'_>, rules: &Rules) -> Verdict {
    let (kept, new) = (format!("kept head {}", contest.champion), format!("head {}", contest.challenger));
    if !contest.lost.is_empty() {
        let lost = names(contest.lost);
        return verdict(
            VerdictCode::ClassLost,
            format!("{kept}: {new} does not know {lost}; send one that does"),
            None,
        );
    }
    if let Some(few) = too_few(contest.all.y, contest.all.groups) {
        return unmeasured(contest.challenger, &few);
    }
    let measured = Measured::compute(contest, rules);
    let change = Some(measured.balanced);
    let narrow = (!contest.gained.is_empty())
        .then(|| Measured::compute(&Contest { gained: &[], all: contest.shared, ..*contest }, rules));
    if let Some(figures) = measured.guesses() {
        let next = "check its classes against the labels here";
        return verdict(
            VerdictCode::Chance,
            format!("{kept}: {new} is not significantly better than guessing: {figures}; {next}"),
            change,
        );
    }
    let least = if narrow.is_some() { MAX_LOSS_TO_NEW_CLASS } else { 0.0 };
    if let Some(loss) = measured.class_loss(rules.max_class_recall_loss.max(least)) {
        return verdict(VerdictCode::ClassRecallLoss, format!("{kept}: {new} loses {loss}"), change);
    }
    let points = format!(
        "balanced accuracy changes by {:+.1} points, at best {:+.1} (95 % bound), on {} labelled images",
        100.0 * measured.balanced[0],
        100.0 * measured.best,
        contest.all.y.len()
    );
    let (best, limit) = match &narrow {
        Some(narrow) => (narrow.best, rules.max_class_recall_loss),
        None => (measured.best, rules.margin),
    };
    if best < -limit {
        return verdict(VerdictCode::Worse, format!("{kept}: {new} is worse: {points}"), change);
    }
    let [grows, low, _] = measured.log_loss;
    if narrow.is_none() && low > 0.0 {
        let why = format!("is more confident in wrong answers (log-loss {grows:+.3}, at least {low:+.3})");
        return verdict(VerdictCode::LogLoss, format!("{kept}: {new} {why}: {points}"), change);
    }
    let code = if measured.balanced[1] > 0.0 { VerdictCode::Better } else { VerdictCode::NotWorse };
    verdict(code, format!("promoted {new}, not shown to be worse than head {}: {points}", contest.champion), change)
}

/// The verdict on a head that was sent and cannot be measured here, for the reason `few`: it serves, provisionally.
#[must_use]
pub fn unmeasured(version: u64, few: &str) -> Verdict {
    let reason = format!("promoted head {version} provisionally, since an update sent it: {few}");
    Verdict { promote: true, provisional: true, ..verdict(VerdictCode::TooFewHeldout, reason, None) }
}
