//! Which samples there are, whichever task looks at them.

use std::collections::BTreeSet;

use crate::words::SampleId;

/// Every sample of the store.
#[derive(Debug, Default)]
pub(super) struct KnownSamples(BTreeSet<SampleId>);

/// Which image a prefix of a digest means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    Known(SampleId),
    Unknown,
    Ambiguous,
}

impl FromIterator<SampleId> for KnownSamples {
    fn from_iter<I: IntoIterator<Item = SampleId>>(ids: I) -> Self {
        Self(ids.into_iter().collect())
    }
}

impl KnownSamples {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn contains(&self, id: &SampleId) -> bool {
        self.0.contains(id)
    }

    pub fn add(&mut self, id: SampleId) {
        self.0.insert(id);
    }

    /// Forgets a sample; whether it was there.
    pub fn remove(&mut self, id: &SampleId) -> bool {
        self.0.remove(id)
    }

    /// Which image is meant by the first digits of its digest (lowercase).
    pub fn resolve(&self, prefix: &str) -> Resolved {
        let Ok(first) = format!("{prefix:0<64}").parse::<SampleId>() else { return Resolved::Unknown };
        let mut matches = self.0.range(first..).take_while(|id| id.to_string().starts_with(prefix));
        match (matches.next(), matches.next()) {
            (None, _) => Resolved::Unknown,
            (Some(id), None) => Resolved::Known(*id),
            (Some(_), Some(_)) => Resolved::Ambiguous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: u8, second: u8) -> SampleId {
        let mut bytes = [0; 32];
        (bytes[0], bytes[5]) = (first, second);
        SampleId(crate::words::Digest(bytes))
    }

    #[test]
    fn a_prefix_means_an_image_only_when_it_means_one() {
        let known: KnownSamples = [id(0xab, 1), id(0xab, 2), id(0xac, 3)].into_iter().collect();
        assert_eq!(known.resolve("ab000000"), Resolved::Ambiguous);
        assert_eq!(known.resolve("ab0000000001"), Resolved::Known(id(0xab, 1)));
        assert_eq!(known.resolve(&id(0xac, 3).to_string()), Resolved::Known(id(0xac, 3)));
        assert_eq!(known.resolve("ff000000"), Resolved::Unknown);
    }
}
