//! The heads in service, shared between the threads that replace them and the workers that ask them.
//!
//! Each task has its own. Three parts answer together: the champion; the corrections from labels newer than the last
//! verdict ([`crate::train::Overlay`]); and a challenger in shadow, whose answers are only compared. Each is replaced as a
//! whole, so every image is scored by one consistent state of each, and nobody computes while others wait.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::engine::{Scored, Shadowed};
use crate::head::{Doubt, DoubtRates, HeadRecord, SpaceMismatch};
use crate::train::Overlay;
use crate::words::{ClassSet, EmbeddingSpace, HeadRef, TaskId};

/// What the tails of heads in service make of an image: embeddings (dim,), each space once.
pub(super) type Tuned = [(EmbeddingSpace, Vec<f32>)];

/// How images are scored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scoring {
    /// Classes in the list of the best.
    pub top_k: usize,
    /// Error rates of sets and of unknown images.
    pub rates: DoubtRates,
}

#[derive(Debug, Default)]
struct State {
    champion: Option<Arc<HeadRecord>>,
    overlay: Option<Arc<Overlay>>,
    shadow: Option<Arc<HeadRecord>>,
}

/// The shared heads of a task.
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

    /// Replaces the champion; `None` takes it out of service. The corrections of the former one are dropped.
    pub fn set(&self, champion: Option<Arc<HeadRecord>>) {
        self.change(|state| {
            state.champion = champion;
            state.overlay = None;
        });
    }

    /// Replaces the corrections of the champion `over`, unless another one serves by now.
    pub fn correct(&self, over: &HeadRef, overlay: Option<Overlay>) {
        self.change(|state| {
            if state.champion.as_ref().is_some_and(|champion| champion.head == *over) {
                state.overlay = overlay.map(Arc::new);
            }
        });
    }

    /// Replaces the challenger in shadow; `None` ends the shadow phase.
    pub fn shadow(&self, record: Option<HeadRecord>) {
        self.change(|state| state.shadow = record.map(Arc::new));
    }

    /// The champion and the challenger in shadow, where they have tails.
    fn tailed(&self) -> impl Iterator<Item = Arc<HeadRecord>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let heads = [state.champion.clone(), state.shadow.clone()].into_iter().flatten();
        heads.filter(|head| head.tuning.is_some())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The prediction for an embedding (dim,) of the backbone's own, and what tails made of the same image; `None` without a
    /// head. Where the head's tail made nothing of it the head's first phase answers.
    pub fn score(&self, embedding: &[f32], tuned: &Tuned) -> Option<Scored> {
        let (champion, overlay, shadow) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.champion.clone()?, state.overlay.clone(), state.shadow.clone())
        };
        match scored(&champion, overlay.as_deref(), shadow.as_deref(), (embedding, tuned), self.scoring) {
            Ok(scored) => Some(scored),
            Err(error) => {
                tracing::error!(head = %champion.head, %error, "the head in service does not fit the backbone's \
                                                                embeddings");
                None
            }
        }
    }
}

/// The heads of every task of the configuration; another task has none.
#[derive(Debug, Clone)]
pub(super) struct Servings(Arc<BTreeMap<TaskId, Serving>>);

impl Servings {
    /// For these tasks, without a head yet.
    pub fn new(tasks: impl IntoIterator<Item = (TaskId, Scoring)>) -> Self {
        Self(Arc::new(tasks.into_iter().map(|(task, scoring)| (task, Serving::new(scoring))).collect()))
    }

    /// The heads of a task.
    pub fn of(&self, task: &TaskId) -> Option<&Serving> {
        self.0.get(task)
    }

    /// The prediction of a task for an embedding (dim,) of the backbone's own, and what tails made of the same image; `None`
    /// without a head.
    pub fn score(&self, task: &TaskId, embedding: &[f32], tuned: &Tuned) -> Option<Scored> {
        self.of(task)?.score(embedding, tuned)
    }

    /// The heads with tails of all tasks.
    pub fn tailed(&self) -> Vec<Arc<HeadRecord>> {
        self.0.values().flat_map(Serving::tailed).collect()
    }

    /// Whether a head of this task has a tail.
    pub fn has_tail(&self, task: &TaskId) -> bool {
        self.of(task).is_some_and(|serving| serving.tailed().next().is_some())
    }
}

fn scored(
    champion: &HeadRecord,
    overlay: Option<&Overlay>,
    shadow: Option<&HeadRecord>,
    (embedding, tuned): (&[f32], &Tuned),
    scoring: Scoring,
) -> Result<Scored, SpaceMismatch> {
    let own = probabilities(champion, embedding, tuned)?;
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
        // An image that a label has just corrected is known.
        unknown: unknown.map(|unknown| unknown && !instant),
        instant,
        shadow: match shadow {
            Some(shadow) => {
                let label = best(&shadow.dense.classes, &probabilities(shadow, embedding, tuned)?);
                label.map(|label| Shadowed { version: shadow.head.version, label })
            }
            None => None,
        },
    })
}

/// What `head` says of an image, by its tail where that made something of it.
fn probabilities(head: &HeadRecord, embedding: &[f32], tuned: &Tuned) -> Result<Vec<f32>, SpaceMismatch> {
    match tuned.iter().find(|(space, _)| head.tuning.is_some() && *space == head.dense.space) {
        Some((_, tuned)) => head.dense.probabilities(tuned),
        None => head.frozen().probabilities(embedding),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};

    use super::*;
    use crate::head::{BackboneRef, DenseHead};
    use crate::words::{Digest, EmbeddingSpace, Label, Timestamp};

    const SCORING: Scoring = Scoring { top_k: 1, rates: DoubtRates::DEFAULT };

    fn task(name: &str) -> TaskId {
        name.parse().unwrap()
    }

    /// A head of two classes, the first where the first value is positive.
    fn head(version: u64, labels: [&str; 2]) -> HeadRecord {
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 1 };
        let classes = labels.iter().map(|label| Label::new(label).unwrap()).collect();
        let weights = Array2::from_shape_vec((2, 1), vec![1.0, -1.0]).unwrap();
        let backbone = BackboneRef { name: "played".into(), sha256: Digest::of(b"m"), dim: 1 };
        HeadRecord::new(DenseHead::linear(space, classes, weights, Array1::zeros(2)), version, Timestamp(0), backbone)
    }

    fn best(servings: &Servings, of: &str) -> Option<String> {
        servings.score(&task(of), &[1.0], &[]).map(|scored| scored.top[0].0.to_string())
    }

    #[test]
    fn each_task_answers_with_its_own_heads() {
        let servings = Servings::new([(task("door"), SCORING), (task("bin"), Scoring { top_k: 2, ..SCORING })]);
        let [door, bin] = ["door", "bin"].map(|of| servings.of(&task(of)).unwrap());
        door.set(Some(Arc::new(head(1, ["closed", "open"]))));
        assert_eq!((best(&servings, "door").as_deref(), best(&servings, "bin")), (Some("closed"), None));
        bin.set(Some(Arc::new(head(1, ["empty", "full"]))));
        bin.shadow(Some(head(2, ["empty", "full"])));
        let [of_door, of_bin] = ["door", "bin"].map(|of| servings.score(&task(of), &[1.0], &[]).unwrap());
        assert_eq!((of_door.top.len(), of_bin.top.len()), (1, 2));
        assert_eq!((of_door.shadow, of_bin.shadow.map(|shadow| shadow.version)), (None, Some(2)));
        door.set(None);
        assert_eq!((best(&servings, "door"), best(&servings, "bin").as_deref()), (None, Some("empty")));
        assert!(servings.of(&task("van")).is_none() && best(&servings, "van").is_none());
    }
}
