//! The head in service, shared between those who change it and the worker that asks it.
//!
//! Three things answer together: the champion; what labels newer than the last verdict correct at once
//! ([`crate::train::Overlay`]); and, unseen, a head in shadow. Each is replaced whole, so every image is scored by one state of
//! each or the next.

use std::sync::{Arc, PoisonError, RwLock};

use crate::engine::{Scored, Shadowed};
use crate::head::{DenseHead, Doubt, DoubtRates, HeadRecord, Unreadable};
use crate::train::Overlay;
use crate::words::{ClassSet, HeadRef};

/// How images are scored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scoring {
    /// Classes listed.
    pub top_k: usize,
    /// Of its doubts.
    pub rates: DoubtRates,
}

#[derive(Debug, Default)]
struct State {
    champion: Option<Arc<HeadRecord>>,
    overlay: Option<Arc<Overlay>>,
    shadow: Option<Arc<(HeadRef, DenseHead)>>,
}

/// The place of what is in service.
#[derive(Debug, Clone)]
pub(super) struct Serving {
    state: Arc<RwLock<State>>,
    scoring: Scoring,
}

impl Serving {
    pub fn new(scoring: Scoring) -> Self {
        Self { state: Arc::default(), scoring }
    }

    /// The rates at which predictions doubt.
    pub fn rates(&self) -> DoubtRates {
        self.scoring.rates
    }

    /// Puts a head in service, or takes the present one out. What corrected the former one does not fit the new one
    /// and goes too.
    pub fn set(&self, champion: Option<Arc<HeadRecord>>) {
        self.change(|state| {
            state.champion = champion;
            state.overlay = None;
        });
    }

    /// Puts corrections over the champion `over`, unless another one serves by now.
    pub fn correct(&self, over: &HeadRef, overlay: Option<Overlay>) {
        self.change(|state| {
            if state.champion.as_ref().is_some_and(|champion| champion.head == *over) {
                state.overlay = overlay.map(Arc::new);
            }
        });
    }

    /// Lets a head answer unseen, or ends that.
    pub fn shadow(&self, record: Option<HeadRecord>) {
        self.change(|state| state.shadow = record.map(|record| Arc::new((record.head, record.dense))));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// What is said of an embedding (dim,); `None` without a head.
    pub fn score(&self, embedding: &[f32]) -> Option<Scored> {
        let (champion, overlay, shadow) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.champion.clone()?, state.overlay.clone(), state.shadow.clone())
        };
        match scored(&champion, overlay.as_deref(), shadow.as_deref(), embedding, self.scoring) {
            Ok(scored) => Some(scored),
            Err(error) => {
                tracing::error!(head = %champion.head, %error, "the head in service cannot read the backbone's embeddings");
                None
            }
        }
    }
}

fn scored(
    champion: &HeadRecord,
    overlay: Option<&Overlay>,
    shadow: Option<&(HeadRef, DenseHead)>,
    embedding: &[f32],
    scoring: Scoring,
) -> Result<Scored, Unreadable> {
    let own = champion.dense.probabilities(embedding)?;
    let best = |classes: &ClassSet, p: &[f32]| classes.top(p, 1).pop().map(|(label, _)| label);
    let blended = overlay.and_then(|overlay| overlay.blend(&champion.dense.classes, &own, embedding));
    let before = best(&champion.dense.classes, &own);
    let (classes, p) = blended.unwrap_or_else(|| (champion.dense.classes.clone(), own));
    let instant = best(&classes, &p) != before;
    let Doubt { set, novelty, percentile, unknown } = champion.calibration.doubt(&p, embedding, scoring.rates);
    Ok(Scored {
        head: champion.head.clone(),
        top: classes.top(&p, scoring.top_k),
        set: set.map(|members| classes.likeliest(&p, members)),
        novelty,
        novelty_rank: percentile.map(|percentile| percentile / 100.0),
        // What a label has just named is known.
        unknown: unknown.map(|unknown| unknown && !instant),
        instant,
        shadow: match shadow {
            Some((head, dense)) => {
                let label = best(&dense.classes, &dense.probabilities(embedding)?);
                label.map(|label| Shadowed { version: head.version, label })
            }
            None => None,
        },
    })
}
