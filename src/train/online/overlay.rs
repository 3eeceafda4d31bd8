//! The correction that labels since the last verdict make to a served prediction: a few rows of weights.
//!
//! Immutable and cheap to clone behind an `Arc`; `learner` makes it. It knows no statistics, time or samples.

use crate::head::{softmax_in_place, unit};
use crate::words::{ClassSet, Label};

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
