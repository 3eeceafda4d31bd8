//! What the redo log holds, for whoever reads the database beside its writer.
//!
//! A reader that asks about something in the log has the log brought into the database first; the outbox is read with
//! what the log has of it. So nobody sees less than was committed, and most reads need no write.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::columns::path_bytes;
use crate::engine::{FileDisposition, FileStamp, NewSample, OutboxMessage, Write};
use crate::words::SampleId;

/// Shared by the writer and the readers of one process.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Pending(Arc<Mutex<Held>>);

/// What the log holds of one generation.
#[derive(Debug, Default)]
pub(in crate::store) struct Held {
    generation: u64,
    /// Acknowledged records.
    records: u32,
    /// Whether there is more than messages among them.
    rows: bool,
    /// Whether something changes of samples that the database has.
    alters: bool,
    added: HashSet<SampleId>,
    samples: HashSet<SampleId>,
    /// Of these, the ones that came with an embedding for every task that looks at them.
    whole: HashSet<SampleId>,
    files: HashMap<PathBuf, (FileStamp, Option<SampleId>)>,
    messages: BTreeMap<u64, OutboxMessage>,
    /// Messages of the database that were delivered or dropped.
    gone: BTreeSet<u64>,
}

/// What a reader asks about.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum About<'a> {
    /// Anything.
    All,
    /// Samples with a label: the log has none of them, but it may have what was added to one.
    Labelled,
    /// These samples and no others.
    Samples(&'a [SampleId]),
    /// What the redo log never holds, or what may be a little behind.
    Settled,
}

impl Pending {
    pub(in crate::store) fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the database alone would give another answer.
    pub(in crate::store) fn concerns(&self, about: About<'_>) -> bool {
        let held = self.held();
        match about {
            About::All => held.rows,
            About::Labelled => held.alters,
            About::Samples(ids) => ids.iter().any(|id| held.samples.contains(id)),
            About::Settled => false,
        }
    }
}

impl Held {
    /// How many records of which generation were acknowledged.
    pub(super) fn acknowledged(&self) -> (u64, u32) {
        (self.generation, self.records)
    }

    /// The log holds these as well.
    pub(super) fn add(&mut self, generation: u64, writes: &[Write]) {
        self.generation = generation;
        self.records += 1;
        for write in writes {
            self.rows |= !matches!(write, Write::Outbox(_) | Write::DeleteMessage { .. });
            match write {
                Write::Sample(sample) => {
                    self.samples.insert(sample.id);
                    self.added.insert(sample.id);
                    if is_whole(sample) {
                        self.whole.insert(sample.id);
                    }
                }
                Write::Embedding { id, .. } | Write::Look { id, .. } | Write::Thumbnail { id, .. } => {
                    self.samples.insert(*id);
                    self.alters |= !self.added.contains(id);
                    if matches!(write, Write::Look { .. }) {
                        self.whole.remove(id);
                    }
                }
                Write::File { path, stamp, fate } => {
                    let image = if let FileDisposition::Sample(id) = fate { Some(*id) } else { None };
                    self.samples.extend(image);
                    self.files.insert(path.clone(), (*stamp, image));
                }
                Write::Outbox(message) => {
                    self.messages.insert(message.seq, message.clone());
                }
                Write::DeleteMessage { seq } if self.messages.remove(seq).is_none() => {
                    self.gone.insert(*seq);
                }
                _ => {}
            }
        }
    }

    /// The database has all of it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the file at `path` need not be read again as it is now, as [`super::super::Reader::file_is_known`] has it;
    /// `None` where the log does not know it, or not enough of it.
    pub(in crate::store) fn file_is_known(&self, path: &Path, stamp: FileStamp) -> Option<bool> {
        let (held, image) = self.files.get(path)?;
        let is_it = held.size == stamp.size
            && held.mtime_ns == stamp.mtime_ns
            && (held.ctime_ns == 0 || held.ctime_ns == stamp.ctime_ns);
        if is_it && image.is_some_and(|id| !self.whole.contains(&id)) { None } else { Some(is_it) }
    }

    /// The files in the log at `place` or below it after `after`, which the database may have as well.
    pub(in crate::store) fn files_below(&self, place: &Path, after: &Path) -> BTreeSet<PathBuf> {
        let is_meant = |path: &&PathBuf| path.starts_with(place) && path_bytes(path) > path_bytes(after);
        self.files.keys().filter(is_meant).cloned().collect()
    }

    /// Whether the log has the file at `path`.
    pub(in crate::store) fn has_file(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    pub(super) fn holds(&self, id: &SampleId) -> bool {
        self.samples.contains(id)
    }

    /// `stored` messages of the database, of those after `seq` that are meant, at most `limit`, with those in the log.
    pub(in crate::store) fn with_messages(
        &self,
        stored: Vec<OutboxMessage>,
        seq: u64,
        limit: usize,
        is_meant: impl Fn(&OutboxMessage) -> bool,
    ) -> Vec<OutboxMessage> {
        let mut all: BTreeMap<u64, OutboxMessage> = stored.into_iter().map(|message| (message.seq, message)).collect();
        all.retain(|seq, _| !self.gone.contains(seq));
        let added = self.messages.range(seq.saturating_add(1)..).filter(|(_, message)| is_meant(message));
        all.extend(added.map(|(seq, message)| (*seq, message.clone())));
        all.into_values().take(limit).collect()
    }

    /// How many messages of the database the log takes away.
    pub(in crate::store) fn gone(&self) -> usize {
        self.gone.len()
    }

    /// The highest `seq` of the messages in the log and of those in the database, whose highest ones are `stored`.
    pub(in crate::store) fn newest(&self, stored: &[u64]) -> u64 {
        let stored = stored.iter().filter(|seq| !self.gone.contains(seq)).max();
        stored.max(self.messages.keys().next_back()).copied().unwrap_or(0)
    }
}

fn is_whole(sample: &NewSample) -> bool {
    sample.looks.iter().all(|look| sample.embeddings.iter().any(|(space, _)| *space == look.space))
}
