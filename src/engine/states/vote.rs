//! Which predictions are evidence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::words::{Label, SampleId};

/// The least probability of a vote where there is neither a conformal set nor a threshold: nothing is known of how right
/// such a head is, and a fixed bound on its own word is what is left.
pub const UNMEASURED: f32 = 0.8;

/// What the head in service says of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The image.
    pub image: SampleId,
    /// The best class; `None` while there is no head.
    pub label: Option<Label>,
    /// Its probability, 0..1.
    pub probability: f32,
    /// Classes that cannot be ruled out; `None` with too little held out to say.
    pub set: Option<Vec<Label>>,
    /// Whether it is a retained frame, from a time that nobody knows.
    pub is_stale: bool,
}

/// A vote for a class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Vote {
    pub class: Label,
    /// With which probability.
    pub probability: f32,
}

impl Judgement {
    /// The class that it votes for: the only one of its set, and the best one, and as likely as the class's threshold.
    pub(super) fn vote(&self, thresholds: &BTreeMap<Label, f32>) -> Option<Vote> {
        let class = self.label.as_ref()?;
        let is_alone = self.set.as_ref().is_none_or(|set| set.as_slice() == std::slice::from_ref(class));
        let least = thresholds.get(class).copied().or(self.set.is_none().then_some(UNMEASURED)).unwrap_or(0.0);
        let is_likely = (least..=1.0).contains(&self.probability);
        (!self.is_stale && is_alone && is_likely).then(|| Vote { class: class.clone(), probability: self.probability })
    }
}
