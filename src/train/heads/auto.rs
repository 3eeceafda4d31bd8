//! The kind of head, chosen by cross-validation: the simplest that is not significantly worse than the best.
//!
//! Every kind is fitted with its own hyperparameters chosen, and compared with the others by the log-loss of its
//! out-of-fold logits at its own temperature. Simple means few parameters and few ways to fail: softmax first, then lda,
//! rp-ridge and mlp.

use super::{FittedHead, fit_kind};
use crate::head::Candidate;
use crate::train::cv::folds::CvPlan;
use crate::train::cv::model_choice::{Evaluated, best, paired_standard_error, simplest_not_worse};
use crate::train::{FitError, HeadKind, Progress, Settings, Watch};

/// Kinds that are tried, simplest first.
const KINDS: [HeadKind; 4] = [HeadKind::Softmax, HeadKind::Lda, HeadKind::RpRidge, HeadKind::Mlp];
/// A hidden layer is tried from this many samples on; with fewer it learns them by heart.
const ENOUGH_FOR_MLP: usize = 200;

/// The head of the chosen kind, with all candidates among its facts; softmax when nothing can be held out.
pub(super) fn fit(plan: &CvPlan<'_>, settings: &Settings, watch: Watch<'_>) -> Result<FittedHead, FitError> {
    if !plan.can_hold_out() {
        return fit_kind(plan, HeadKind::Softmax, settings, watch);
    }
    let enough = plan.data.n() >= ENOUGH_FOR_MLP;
    let kinds: Vec<HeadKind> = KINDS.into_iter().filter(|kind| enough || *kind != HeadKind::Mlp).collect();
    let (mut heads, mut evaluated) = (Vec::new(), Vec::new());
    for (place, kind) in kinds.iter().enumerate() {
        // Epochs of one kind among others would only confuse.
        let mut part = |progress: Progress| {
            watch(Progress { fraction: (place as f64 + progress.fraction) / kinds.len() as f64, epoch: None })
        };
        let mut head = fit_kind(plan, *kind, settings, &mut part)?;
        evaluated.push(Evaluated::tempered(plan, std::mem::take(&mut head.heldout)));
        heads.push(head);
    }
    let smallest_loss = &evaluated[best(&evaluated)];
    let candidate = |(kind, evaluated): (&HeadKind, &Evaluated)| Candidate {
        kind: kind.as_str().to_owned(),
        log_loss: evaluated.mean_loss,
        standard_error: paired_standard_error(plan, evaluated, smallest_loss),
    };
    let candidates = kinds.iter().zip(&evaluated).map(candidate).collect();
    let chosen = simplest_not_worse(plan, &evaluated);
    let mut head = heads.swap_remove(chosen);
    head.heldout = evaluated.swap_remove(chosen).logits;
    head.facts.candidates = candidates;
    Ok(head)
}
