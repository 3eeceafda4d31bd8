//! Which kind of head: the simplest that is as good as the best.
//!
//! Every kind is fitted with its own choices made, and compared with the others by log-loss on what its folds' models
//! had not seen, each at its own temperature. Simple means few parameters and few ways to go wrong: softmax first, then
//! lda, rp-ridge and mlp.

use std::ops::ControlFlow;

use super::contest::{Tried, best, error, simplest};
use super::fit::{Solved, solve};
use super::plan::Plan;
use super::{FitError, HeadKind, Progress, Settings};
use crate::head::Candidate;

/// Kinds that are tried, simplest first.
const KINDS: [HeadKind; 4] = [HeadKind::Softmax, HeadKind::Lda, HeadKind::RpRidge, HeadKind::Mlp];
/// A hidden layer is tried from this many samples on; with fewer it learns them by heart.
const ENOUGH_FOR_MLP: usize = 200;

/// The head of the chosen kind, with all candidates among its facts; softmax when nothing can be held out.
pub(super) fn choose(
    plan: &Plan<'_>,
    settings: &Settings,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Solved, FitError> {
    if !plan.can_hold_out() {
        return solve(plan, HeadKind::Softmax, settings, watch);
    }
    let enough = plan.data.n() >= ENOUGH_FOR_MLP;
    let kinds: Vec<HeadKind> = KINDS.into_iter().filter(|kind| enough || *kind != HeadKind::Mlp).collect();
    let (mut heads, mut tried) = (Vec::new(), Vec::new());
    for (place, kind) in kinds.iter().enumerate() {
        // Epochs of one kind among others would only confuse.
        let mut part = |progress: Progress| {
            watch(Progress { fraction: (place as f64 + progress.fraction) / kinds.len() as f64, epoch: None })
        };
        let mut solved = solve(plan, *kind, settings, &mut part)?;
        tried.push(Tried::new(plan, std::mem::take(&mut solved.heldout)));
        heads.push(solved);
    }
    let smallest = &tried[best(&tried)];
    let candidate = |(kind, tried): (&HeadKind, &Tried)| Candidate {
        kind: kind.as_str().to_owned(),
        log_loss: tried.mean,
        standard_error: error(plan, tried, smallest),
    };
    let candidates = kinds.iter().zip(&tried).map(candidate).collect();
    let chosen = simplest(plan, &tried);
    let mut solved = heads.swap_remove(chosen);
    solved.heldout = tried.swap_remove(chosen).logits;
    solved.facts.candidates = candidates;
    Ok(solved)
}
