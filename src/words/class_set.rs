//! The classes a head tells apart, in a fixed order.

use serde::{Deserialize, Serialize};

use super::Label;

/// Distinct labels in lexical order; position in it is the class index everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Label>", into = "Vec<Label>")]
pub struct ClassSet(Vec<Label>);

impl ClassSet {
    /// Index of `label`, if it is one of them.
    #[must_use]
    pub fn index_of(&self, label: &Label) -> Option<usize> {
        self.0.binary_search(label).ok()
    }

    /// The labels in class order.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.0
    }

    /// The labels of the classes `members`, those with the largest value in `p` (k,) first, ties in class order.
    #[must_use]
    pub fn likeliest(&self, p: &[f32], mut members: Vec<usize>) -> Vec<Label> {
        members.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
        members.into_iter().map(|class| self.0[class].clone()).collect()
    }

    /// The `count` classes with the largest value in `p` (k,), with it; ties in class order.
    #[must_use]
    pub fn top(&self, p: &[f32], count: usize) -> Vec<(Label, f32)> {
        let mut top: Vec<_> = self.0.iter().zip(p.iter().copied()).collect();
        top.sort_by(|a, b| b.1.total_cmp(&a.1));
        top.into_iter().take(count).map(|(label, p)| (label.clone(), p)).collect()
    }

    /// Number of classes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no class.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Label>> for ClassSet {
    fn from(mut labels: Vec<Label>) -> Self {
        labels.sort();
        labels.dedup();
        Self(labels)
    }
}

impl From<ClassSet> for Vec<Label> {
    fn from(classes: ClassSet) -> Self {
        classes.0
    }
}

impl FromIterator<Label> for ClassSet {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        labels.into_iter().collect::<Vec<_>>().into()
    }
}
