//! Which images are known and how they are labelled; labels that wait for their image.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::{AwaitedLabel, LabelSource};
use crate::words::{Label, SampleId, Timestamp};

/// Labels kept for images not seen yet.
pub(super) const AWAITED_MAX: usize = 10_000;
/// How long they are kept.
const AWAITED_AGE_MAX: Duration = Duration::from_hours(30 * 24);

/// All samples with their labels, in memory: about 100 bytes each.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    samples: BTreeMap<SampleId, Option<(Label, LabelSource)>>,
    counts: BTreeMap<Label, usize>,
    awaited: BTreeMap<String, AwaitedLabel>,
}

/// Which image a prefix of a digest means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    Known(SampleId),
    Unknown,
    Ambiguous,
}

impl Catalogue {
    pub fn new(samples: Vec<(SampleId, Option<(Label, LabelSource)>)>, awaited: Vec<AwaitedLabel>) -> Self {
        let mut counts = BTreeMap::new();
        for (label, _) in samples.iter().filter_map(|(_, label)| label.as_ref()) {
            *counts.entry(label.clone()).or_default() += 1;
        }
        let awaited = awaited.into_iter().map(|label| (label.prefix.clone(), label)).collect();
        Self { samples: samples.into_iter().collect(), counts, awaited }
    }

    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn labelled(&self) -> usize {
        self.counts.values().sum()
    }

    /// Labelled samples of each class that has any.
    pub fn counts(&self) -> &BTreeMap<Label, usize> {
        &self.counts
    }

    pub fn contains(&self, id: &SampleId) -> bool {
        self.samples.contains_key(id)
    }

    pub fn label(&self, id: &SampleId) -> Option<&(Label, LabelSource)> {
        self.samples.get(id)?.as_ref()
    }

    /// Adds a sample without a label; no effect when it is known.
    pub fn add(&mut self, id: SampleId) {
        self.samples.entry(id).or_default();
    }

    /// Sets or removes a known sample's label; whether anything changed.
    pub fn set_label(&mut self, id: SampleId, label: Option<Label>, source: LabelSource) -> bool {
        let Some(slot) = self.samples.get_mut(&id) else { return false };
        if slot.as_ref().map(|(old, _)| old) == label.as_ref() {
            return false;
        }
        if let Some((old, _)) = slot.take()
            && let Some(count) = self.counts.get_mut(&old)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&old);
            }
        }
        if let Some(label) = &label {
            *self.counts.entry(label.clone()).or_default() += 1;
        }
        *slot = label.map(|label| (label, source));
        true
    }

    /// Which image is meant by the first digits of its digest (lowercase).
    pub fn resolve(&self, prefix: &str) -> Resolved {
        let Ok(first) = format!("{prefix:0<64}").parse::<SampleId>() else { return Resolved::Unknown };
        let mut matches =
            self.samples.range(first..).map(|(id, _)| *id).take_while(|id| id.to_string().starts_with(prefix));
        match (matches.next(), matches.next()) {
            (None, _) => Resolved::Unknown,
            (Some(id), None) => Resolved::Known(id),
            (Some(_), Some(_)) => Resolved::Ambiguous,
        }
    }

    /// Keeps a label for an image to come; returns the prefix that had to go for it.
    pub fn await_label(&mut self, label: AwaitedLabel) -> Option<String> {
        self.awaited.insert(label.prefix.clone(), label);
        if self.awaited.len() <= AWAITED_MAX {
            return None;
        }
        let oldest = self.awaited.values().min_by_key(|label| label.at).map(|label| label.prefix.clone())?;
        self.awaited.remove(&oldest);
        Some(oldest)
    }

    /// Forgets the label kept under exactly this prefix; whether there was one.
    pub fn forget_awaited(&mut self, prefix: &str) -> bool {
        self.awaited.remove(prefix).is_some()
    }

    /// Takes out every label that was kept for this image: the latest is the one that counts, the rest is older.
    pub fn claim(&mut self, id: &SampleId) -> Vec<AwaitedLabel> {
        let digits = id.to_string();
        let prefixes: Vec<String> = (8..=64).map(|length| digits[..length].to_owned()).collect();
        let mut claimed: Vec<_> = prefixes.iter().filter_map(|prefix| self.awaited.remove(prefix)).collect();
        claimed.sort_by_key(|label| label.at);
        claimed
    }

    /// Takes out the labels whose image did not come within thirty days.
    pub fn expire(&mut self, wall: Timestamp) -> Vec<String> {
        let old = |label: &AwaitedLabel| wall.since(label.at) > AWAITED_AGE_MAX;
        let prefixes: Vec<String> =
            self.awaited.values().filter(|label| old(label)).map(|label| label.prefix.clone()).collect();
        for prefix in &prefixes {
            self.awaited.remove(prefix);
        }
        prefixes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn id(first: u8, second: u8) -> SampleId {
        let mut bytes = [0; 32];
        (bytes[0], bytes[5]) = (first, second);
        SampleId(crate::words::Digest(bytes))
    }

    #[test]
    fn a_prefix_means_an_image_only_when_it_means_one() {
        let catalogue = Catalogue::new(vec![(id(0xab, 1), None), (id(0xab, 2), None), (id(0xac, 3), None)], vec![]);
        assert_eq!(catalogue.resolve("ab000000"), Resolved::Ambiguous);
        assert_eq!(catalogue.resolve("ab0000000001"), Resolved::Known(id(0xab, 1)));
        assert_eq!(catalogue.resolve(&id(0xac, 3).to_string()), Resolved::Known(id(0xac, 3)));
        assert_eq!(catalogue.resolve("ff000000"), Resolved::Unknown);
    }

    #[test]
    fn counts_follow_relabelling_and_removal() {
        let mut catalogue = Catalogue::new(vec![(id(1, 0), Some((label("nut"), LabelSource::Folder)))], vec![]);
        assert!(catalogue.set_label(id(1, 0), Some(label("gear")), LabelSource::Mqtt));
        assert!(
            !catalogue.set_label(id(1, 0), Some(label("gear")), LabelSource::Mqtt),
            "the same label again is no change"
        );
        assert_eq!(catalogue.counts().iter().map(|(l, n)| (l.as_str(), *n)).collect::<Vec<_>>(), [("gear", 1)]);
        assert!(catalogue.set_label(id(1, 0), None, LabelSource::Mqtt));
        assert_eq!(catalogue.labelled(), 0);
        assert!(!catalogue.set_label(id(9, 9), Some(label("nut")), LabelSource::Mqtt), "unknown images take no label");
    }

    #[test]
    fn labels_wait_for_their_image_and_the_oldest_go_past_the_bound() {
        let mut catalogue = Catalogue::default();
        let awaited = |n: usize| AwaitedLabel {
            prefix: format!("{n:08x}"),
            label: label("nut"),
            source: LabelSource::Mqtt,
            at: Timestamp(i64::try_from(n).unwrap()),
        };
        for n in 0..AWAITED_MAX {
            assert_eq!(catalogue.await_label(awaited(n)), None);
        }
        assert_eq!(catalogue.await_label(awaited(AWAITED_MAX)), Some("00000000".into()));
        let mut bytes = [0; 32];
        bytes[3] = 7;
        let image = SampleId(crate::words::Digest(bytes));
        assert_eq!(catalogue.claim(&image), [awaited(7)]);
        assert_eq!(catalogue.claim(&image), [], "a label is claimed once");
        assert_eq!(catalogue.expire(Timestamp(30 * 24 * 3_600_000 + 10)).len(), 8);
    }
}
