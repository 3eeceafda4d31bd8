//! Labels that wait for their image: at most so many, and so long.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::context::{Ages, Made};
use super::super::write::PendingLabel;
use crate::words::{Label, Now, SampleId, Timestamp};

/// Labels kept for images not seen yet.
pub const PENDING_MAX: usize = 10_000;
/// How long they are kept.
const PENDING_AGE_MAX: Duration = Duration::from_hours(30 * 24);

/// All of them, by the digits that they are kept under.
#[derive(Debug, Default)]
pub(super) struct AwaitedLabels {
    labels: BTreeMap<String, Awaited>,
}

/// A label that waits for its image.
#[derive(Debug)]
struct Awaited {
    label: PendingLabel,
    made: Made,
}

impl Awaited {
    /// By when they came, even if the clock was set between two of them.
    fn order(&self) -> (Duration, Timestamp) {
        let Made::InThisRun(made) = self.made else { return (Duration::ZERO, self.label.at) };
        (made, self.label.at)
    }
}

impl AwaitedLabels {
    /// Those that the store has.
    pub fn new(labels: Vec<PendingLabel>) -> Self {
        let labels = labels.into_iter().map(|label| Awaited { made: Made::Before(label.at), label });
        Self { labels: labels.map(|awaited| (awaited.label.prefix.clone(), awaited)).collect() }
    }

    /// The label kept under exactly this prefix.
    pub fn get(&self, prefix: &str) -> Option<&PendingLabel> {
        self.labels.get(prefix).map(|awaited| &awaited.label)
    }

    /// Those of this class.
    pub fn of_class(&self, label: &Label) -> Vec<PendingLabel> {
        self.filtered(|awaited| awaited.label == *label)
    }

    /// Those that this change has a part in.
    pub fn of_change(&self, change: u64) -> Vec<PendingLabel> {
        self.filtered(|awaited| awaited.is_of(change))
    }

    fn filtered(&self, is: impl Fn(&&PendingLabel) -> bool) -> Vec<PendingLabel> {
        self.labels.values().map(|awaited| &awaited.label).filter(is).cloned().collect()
    }

    /// Keeps a label for an image to come; returns the prefix that had to go for it.
    pub fn insert(&mut self, label: PendingLabel, now: Now) -> Option<String> {
        self.labels.insert(label.prefix.clone(), Awaited { label, made: Made::InThisRun(now.mono) });
        if self.labels.len() <= PENDING_MAX {
            return None;
        }
        let oldest = self.labels.iter().min_by_key(|(_, awaited)| awaited.order()).map(|(prefix, _)| prefix.clone())?;
        self.labels.remove(&oldest);
        Some(oldest)
    }

    /// Forgets the label kept under exactly this prefix; whether there was one.
    pub fn remove(&mut self, prefix: &str) -> bool {
        self.labels.remove(prefix).is_some()
    }

    /// Takes out every label that was kept for this image: the latest is the one that counts, the rest is older.
    pub fn claim(&mut self, id: &SampleId) -> Vec<PendingLabel> {
        let digits = id.to_string();
        let prefixes: Vec<String> = (8..=64).map(|length| digits[..length].to_owned()).collect();
        let mut claimed: Vec<_> = prefixes.iter().filter_map(|prefix| self.labels.remove(prefix)).collect();
        claimed.sort_by_key(Awaited::order);
        claimed.into_iter().map(|awaited| awaited.label).collect()
    }

    /// Takes out the labels whose image did not come within thirty days.
    pub fn expire(&mut self, ages: &Ages) -> Vec<String> {
        let is_old = |_: &String, awaited: &mut Awaited| ages.of(awaited.made).is_some_and(|age| age > PENDING_AGE_MAX);
        self.labels.extract_if(.., is_old).map(|(prefix, _)| prefix).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::write::LabelSource;
    use super::*;
    use crate::words::TaskId;

    #[test]
    fn labels_wait_for_their_image_and_the_oldest_go_past_the_bound() {
        let mut labels = AwaitedLabels::default();
        let awaited = |n: usize| PendingLabel {
            task: TaskId::default(),
            prefix: format!("{n:08x}"),
            label: Label::new("nut").unwrap(),
            source: LabelSource::Mqtt,
            at: Timestamp(i64::try_from(n).unwrap()),
            change: None,
            former: None,
        };
        let now = |ms: u64| Now { wall: Timestamp(0), mono: Duration::from_millis(ms) };
        for n in 0..PENDING_MAX {
            assert_eq!(labels.insert(awaited(n), now(0)), None);
        }
        assert_eq!(labels.insert(awaited(PENDING_MAX), now(0)), Some("00000000".into()));
        let mut bytes = [0; 32];
        bytes[3] = 7;
        let image = SampleId(crate::words::Digest(bytes));
        assert_eq!(labels.claim(&image), [awaited(7)]);
        assert_eq!(labels.claim(&image), [], "a label is claimed once");
        assert_eq!(labels.insert(awaited(PENDING_MAX + 1), now(5)), None);
        let expired = labels.expire(&Ages::believing(now(30 * 24 * 3_600_000 + 5)));
        assert_eq!(expired.len(), PENDING_MAX - 1, "all but the last one");
    }
}
