//! Whether samples changed since somebody looked, without looking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Write;

/// How often samples are read until they do not change meanwhile.
const TRIES: usize = 4;

/// Counts the commits that may have changed samples, their labels, predictions or embeddings, or labels alone, since the store was
/// opened.
///
/// It grows before such a commit and after it: an even count stands for one state of the samples.
#[derive(Debug, Clone, Default)]
pub struct Revision(Arc<AtomicU64>);

impl Revision {
    /// The count.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// What `read` finds in the store, with the count that it belongs to: `None` where samples changed all the time that it
    /// was tried.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn of<T, E>(&self, mut read: impl FnMut() -> Result<T, E>) -> Result<(T, Option<u64>), E> {
        for _ in 1..TRIES {
            let before = self.now();
            let found = read()?;
            if self.now() == before && before.is_multiple_of(2) {
                return Ok((found, Some(before)));
            }
        }
        Ok((read()?, None))
    }

    /// Counts `commit` where one of `writes` matters.
    pub(super) fn counted<T>(&self, matters: fn(&Write) -> bool, writes: &[Write], commit: impl FnOnce() -> T) -> T {
        let step = u64::from(writes.iter().any(matters));
        self.0.fetch_add(step, Ordering::SeqCst);
        let committed = commit();
        self.0.fetch_add(step, Ordering::SeqCst);
        committed
    }
}

/// Whether labels and what is left out may be others afterwards.
pub(super) fn changes_labels(write: &Write) -> bool {
    use Write::{DeleteSample, Excluded, Label, PurgeTask};
    matches!(write, Label { .. } | Excluded { .. } | DeleteSample { .. } | PurgeTask { .. })
}

/// Whether a list of samples may be another one afterwards. What is not named here may.
pub(super) fn changes_samples(write: &Write) -> bool {
    !matches!(
        write,
        Write::Outbox(_)
            | Write::Keep(_)
            | Write::DeleteMessage { .. }
            | Write::SeqReserved(_)
            | Write::Reply(_)
            | Write::DeleteReply { .. }
            | Write::File { .. }
            | Write::DeleteFile { .. }
            | Write::Folder { .. }
            | Write::ClassFolders(_)
            | Write::PendingLabel(_)
            | Write::DeletePendingLabel { .. }
            | Write::Head { .. }
            | Write::HeadStatus { .. }
            | Write::DeleteHead { .. }
            | Write::TrainingState { .. }
            | Write::LiveState { .. }
            | Write::StateRecord { .. }
            | Write::Thumbnail { .. }
            | Write::DeletePicture { .. }
            | Write::Statistics { .. }
            | Write::DeleteOtherStatistics
            | Write::BackboneState(_)
            | Write::ConfigPatchState(_)
            | Write::BrokerRecord(_)
            | Write::DoubtedTimes(_)
            | Write::UpdateState { .. }
            | Write::Chunk { .. }
            | Write::DeleteChunks(_)
    )
}
