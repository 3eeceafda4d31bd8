//! Labels newer than the last training's verdict, and what they change at once in the served prediction.
//!
//! The statistics hold the labels that the last verdict saw; newer labels are *evidence* beside them, so a label that
//! is withdrawn leaves no trace, bit for bit. [`OnlineLearner`] belongs to a background worker; serving reads the
//! [`Overlay`] it makes.
//! A class that the champion does not know gets one component; a correction gets a local one that reaches like images
//! alone. Nothing here knows the time except by argument, and nothing here is a promotion.
//!
//! The correction that labels since the last verdict make to a served prediction: a few rows of weights.
//!
//! Immutable and cheap to clone behind an `Arc`; `learner` makes it. It knows no statistics, time or samples.

use std::collections::BTreeMap;

use super::label_stats::LabelStats;
use super::online_lda::{OnlineLda, Shrinkage};
use crate::head::{softmax_in_place, unit};
use crate::train::cholesky::{NoFactor, add_scaled, dot};
use crate::words::{ClassSet, Label, SampleId, Timestamp};

/// Labels that take effect at once; the oldest beyond it wait for the next training.
const EVIDENCE: usize = 256;
/// The share of the expected excess distance from a mean of few samples that a new class is allowed: with one label,
/// and with more.
///
/// Trashnet and corn-color, one class held out, two backbones: of the new class half of it finds 3 to 31 % at the first
/// label and costs the others 1 point at most; three quarters find 23 to 53 % at the second and cost up to 2; all of it
/// finds 33 to 63 % and costs up to 11. Corrections are allowed nothing, and reach flipped, cropped, brighter and
/// turned copies all the same.
const ALLOWANCE: [f64; 2] = [0.5, 0.75];

/// One label that no verdict has seen.
#[derive(Debug, Clone)]
struct Evidence {
    at: Timestamp,
    /// None: the sample's label was taken away.
    label: Option<Label>,
    /// As the backbone gave it (d,).
    z: Vec<f32>,
    /// `M^-1 z` at unit length; empty while there is no discriminant.
    solved: Vec<f64>,
}

/// The statistics of what was judged, the discriminant that follows them, and the evidence since.
#[derive(Debug, Clone)]
pub struct OnlineLearner {
    statistics: LabelStats,
    live: Option<OnlineLda>,
    evidence: BTreeMap<SampleId, Evidence>,
}

/// The sums of one component's samples.
struct ComponentSum {
    sum: Vec<f64>,
    solved: Vec<f64>,
    allowance: f64,
}

impl OnlineLearner {
    /// A learner that starts from `statistics`; it adds nothing until [`OnlineLearner::refactorise`] has succeeded.
    #[must_use]
    pub fn new(statistics: LabelStats) -> Self {
        Self { statistics, live: None, evidence: BTreeMap::new() }
    }

    /// What the last verdict saw.
    #[must_use]
    pub fn statistics(&self) -> &LabelStats {
        &self.statistics
    }

    /// How many labels take effect at once and wait for the next verdict.
    #[must_use]
    pub fn evidence(&self) -> usize {
        self.evidence.len()
    }

    /// Takes in the `label` that `id`, of embedding `z` (d,), got at `at`; None takes its label away.
    ///
    /// A label that the statistics hold already replaces what was given in between. Beyond 256 labels the oldest no
    /// longer takes effect: the id that made room is returned, and waits for the next training like everything else.
    ///
    /// # Panics
    /// When `z` is not d long.
    pub fn learn(&mut self, id: SampleId, at: Timestamp, label: Option<&Label>, z: &[f32]) -> Option<SampleId> {
        assert_eq!(z.len(), self.statistics.space().dim, "one value a column");
        self.evidence.remove(&id);
        if self.statistics.class_of(&id) == label {
            return None;
        }
        let solved = self.live.as_ref().map_or_else(Vec::new, |live| solve(live, z));
        self.evidence.insert(id, Evidence { at, label: label.cloned(), z: z.to_vec(), solved });
        if self.evidence.len() <= EVIDENCE {
            return None;
        }
        let oldest = self.evidence.iter().min_by_key(|(id, evidence)| (evidence.at, **id)).map(|(id, _)| *id);
        oldest.inspect(|id| {
            self.evidence.remove(id);
        })
    }

    /// Moves evidence older than `before` into the statistics: a verdict has seen it, and it has no effect of its own
    /// any more.
    pub fn fold_in(&mut self, before: Timestamp) {
        let seen: Vec<SampleId> =
            self.evidence.iter().filter(|(_, evidence)| evidence.at < before).map(|(id, _)| *id).collect();
        for id in seen {
            if let Some(evidence) = self.evidence.remove(&id) {
                self.change(id, evidence.label.as_ref(), &evidence.z);
            }
        }
        self.solve_again();
    }

    /// Takes samples, each with its embedding (d,), out of the statistics and the evidence, as if they had never had a
    /// label. Without any it costs nothing.
    ///
    /// # Panics
    /// When an embedding is not d long.
    pub fn forget<'a>(&mut self, samples: impl IntoIterator<Item = (SampleId, &'a [f32])>) {
        let mut is_changed = false;
        for (id, z) in samples {
            self.evidence.remove(&id);
            self.change(id, None, z);
            is_changed = true;
        }
        // To solve takes as long as several labels do.
        if is_changed {
            self.solve_again();
        }
    }

    fn change(&mut self, id: SampleId, label: Option<&Label>, z: &[f32]) {
        let live = &mut self.live;
        self.statistics.set_traced(id, label, z, |sums, change| {
            if let Some(live) = live {
                live.rank_one_update(sums, change);
            }
        });
    }

    /// Whether to call [`OnlineLearner::refactorise`], outside a label's way.
    #[must_use]
    pub fn should_refactorise(&self) -> bool {
        self.live.as_ref().is_none_or(OnlineLda::should_refactorise)
    }

    /// Factors the covariance again.
    ///
    /// # Errors
    /// [`NoFactor`] when there are too few samples to have any scatter; no label takes effect at once until then.
    pub fn refactorise(&mut self) -> Result<(), NoFactor> {
        // The old factor goes first: the two need not be in memory together.
        self.live = None;
        let factorised = OnlineLda::factorise(self.statistics.sums(), Shrinkage::Oas);
        self.live = factorised.map(Some)?;
        self.solve_again();
        Ok(())
    }

    fn solve_again(&mut self) {
        if let Some(live) = &self.live {
            self.evidence.values_mut().for_each(|evidence| evidence.solved = solve(live, &evidence.z));
        }
    }

    /// What the evidence adds to a champion of classes `champion`, which gives an embedding the probabilities
    /// `predict`.
    ///
    /// Evidence is taken in the order of time. A label that the champion predicts already adds nothing; one that an
    /// earlier correction predicts joins that correction; any other starts a component of its own. The result depends
    /// on the evidence that is there, not on the calls that led to it.
    #[must_use]
    pub fn overlay(&self, champion: &ClassSet, predict: &dyn Fn(&[f32]) -> Vec<f32>) -> Overlay {
        let Some(live) = &self.live else {
            return Overlay::new(champion, Vec::new());
        };
        let (weights, bias) = live.head(self.statistics.sums());
        let rows = weights.rows().into_iter().zip(&bias).filter(|(_, b)| b.is_finite());
        let uniform = self.statistics.sums().counts().iter().filter(|count| **count > 0).count().max(1) as f64;
        // The priors are uniform over classes and components alike, so they are left out.
        let rows = rows.map(|(w, b)| Row { w: w.iter().map(|w| *w as f32).collect(), b: b + uniform.ln() });
        let mut overlay = Overlay::new(champion, rows.collect());
        let mut gathered: Vec<ComponentSum> = Vec::new();
        let scale = live.precision_scale(self.statistics.sums());
        let mut evidence: Vec<_> = self.evidence.iter().collect();
        evidence.sort_by_key(|(id, evidence)| (evidence.at, **id));
        for (_, evidence) in evidence {
            let Some(label) = &evidence.label else { continue };
            let z = unit(&evidence.z);
            let new = champion.index_of(label).is_none();
            let to = if new {
                overlay.components.iter().position(|component| component.label == *label)
            } else {
                match correction(&overlay, champion, &predict(&evidence.z), &evidence.z, label) {
                    Correction::None => continue,
                    Correction::Joins(component) => Some(component),
                    Correction::New => None,
                }
            };
            let to = to.unwrap_or_else(|| {
                let d = z.len();
                let allowance = if new { live.expected_distance() } else { 0.0 };
                gathered.push(ComponentSum { sum: vec![0.0; d], solved: vec![0.0; d], allowance });
                let row = Row { w: Vec::new(), b: 0.0 };
                overlay.push(Component { label: label.clone(), n: 0, row });
                gathered.len() - 1
            });
            let (component, gathered) = (&mut overlay.components[to], &mut gathered[to]);
            component.n += 1;
            gathered.sum.iter_mut().zip(&z).for_each(|(sum, z)| *sum += f64::from(*z));
            add_scaled(&mut gathered.solved, 1.0, &evidence.solved);
            component.row = gathered.row(component.n as f64, scale);
        }
        overlay
    }
}

impl ComponentSum {
    /// The discriminant of the mean of `n` samples: `E |z - mean|^2` exceeds that from the true mean by one part in n,
    /// of which a part of `forgiven` is given back.
    fn row(&self, n: f64, scale: f64) -> Row {
        let w = self.solved.iter().map(|value| (scale / n * value) as f32).collect();
        let part = ALLOWANCE[usize::from(n > 1.0)];
        let b = -0.5 * scale * dot(&self.sum, &self.solved) / (n * n) + 0.5 * part * self.allowance / n;
        Row { w, b }
    }
}

/// What a label of a class that the champion knows adds.
enum Correction {
    /// Nothing: the champion predicts it already.
    None,
    /// A sample to that component, which predicts it already.
    Joins(usize),
    /// A component of its own: another class is predicted.
    New,
}

fn correction(overlay: &Overlay, champion: &ClassSet, p: &[f32], z: &[f32], label: &Label) -> Correction {
    let best = |classes: &ClassSet, p: &[f32]| {
        let top = (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b]).then(b.cmp(&a)));
        top.is_some_and(|top| classes.labels()[top] == *label)
    };
    let is_predicted = best(champion, p);
    match overlay.blend(champion, p, z) {
        None if is_predicted => Correction::None,
        Some((union, blended)) if best(&union, &blended) => {
            if is_predicted {
                return Correction::None;
            }
            let shares = overlay.shares(&unit(z));
            let same = (0..shares.len()).filter(|&component| overlay.components[component].label == *label);
            same.max_by(|&a, &b| shares[a].total_cmp(&shares[b])).map_or(Correction::New, Correction::Joins)
        }
        _ => Correction::New,
    }
}

fn solve(live: &OnlineLda, z: &[f32]) -> Vec<f64> {
    live.solve(&unit(z).into_iter().map(f64::from).collect::<Vec<_>>())
}

/// `w . z + b` for an embedding z at unit length.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub w: Vec<f32>,
    pub b: f64,
}

impl Row {
    fn score(&self, z: &[f32]) -> f64 {
        self.b + self.w.iter().zip(z).map(|(w, z)| f64::from(*w) * f64::from(*z)).sum::<f64>()
    }
}

/// Evidence of one kind: labels of one new class, or corrections of like images.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Component {
    pub label: Label,
    /// How many labels it is made of.
    pub n: usize,
    pub row: Row,
}

/// The champion's classes, the discriminants of the classes that are known, and those of the evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlay {
    champion: ClassSet,
    union: ClassSet,
    known: Vec<Row>,
    pub(crate) components: Vec<Component>,
}

impl Overlay {
    pub(crate) fn new(champion: &ClassSet, known: Vec<Row>) -> Self {
        Self { champion: champion.clone(), union: champion.clone(), known, components: Vec::new() }
    }

    /// Appends a component.
    pub(crate) fn push(&mut self, component: Component) {
        if self.union.index_of(&component.label).is_none() {
            self.union = self.union.labels().iter().chain([&component.label]).cloned().collect();
        }
        self.components.push(component);
    }

    /// Whether it changes no prediction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    /// `sum_e share_e [y_e] + (1 - sum_e share_e) p` over the union of classes, for the champion's probabilities
    /// `p` (k,) of the embedding `z` (d,) as it comes from the backbone; the sum is 1 as far as that of `p` is.
    ///
    /// The share of component e is its part of the softmax over all discriminants, times `(n_e + 1) / (n_e + 2)`, the
    /// rule of succession: one label is never quite sure. Costs one product a class and component.
    ///
    /// None when there is no evidence, or when `champion` are not the classes this was made for: another head has
    /// come into service, and its overlay is on its way.
    ///
    /// # Panics
    /// When `p` has not a value a class.
    #[must_use]
    pub fn blend(&self, champion: &ClassSet, p: &[f32], z: &[f32]) -> Option<(ClassSet, Vec<f32>)> {
        if self.components.is_empty() || *champion != self.champion {
            return None;
        }
        assert_eq!(p.len(), champion.len(), "one probability a class");
        let shares = self.shares(&unit(z));
        let rest = 1.0 - shares.iter().sum::<f32>();
        let mut out = vec![0.0; self.union.len()];
        let mut add = |label: &Label, share: f32| {
            if let Some(class) = self.union.index_of(label) {
                out[class] += share;
            }
        };
        champion.labels().iter().zip(p).for_each(|(label, p)| add(label, rest * p));
        self.components.iter().zip(&shares).for_each(|(component, share)| add(&component.label, *share));
        Some((self.union.clone(), out))
    }

    /// Share of each component for `z` at unit length.
    pub(crate) fn shares(&self, z: &[f32]) -> Vec<f32> {
        let rows = self.components.iter().map(|component| &component.row).chain(&self.known);
        let scores: Vec<f64> = rows.map(|row| row.score(z)).collect();
        // Scores run to thousands; only their differences matter, and those survive f32 after the shift.
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut shares: Vec<f32> = scores.iter().map(|score| (score - top) as f32).collect();
        softmax_in_place(&mut shares, 1.0);
        shares.truncate(self.components.len());
        for (share, component) in shares.iter_mut().zip(&self.components) {
            *share *= (component.n + 1) as f32 / (component.n + 2) as f32;
        }
        shares
    }
}

#[cfg(test)]
mod tests;
