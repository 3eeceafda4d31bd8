//! What the online worker knows of one task: its learner, its drift monitor, the corrections of its head, the samples that
//! leave its statistics. No task sees another's.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::online_learning::{OBSERVED, Observed};
use super::review_query;
use crate::daemon::serving::Serving;
use crate::engine::{EmbeddingDrift, Review, Scored};
use crate::eval::drift::Monitor;
use crate::head::HeadRecord;
use crate::shared::training_data;
use crate::store::{CurrentLabel, Reader, StoreError};
use crate::train::{self, LabelStats, OnlineLearner};
use crate::words::{Digest, EmbeddingSpace, SampleId, TaskId, Timestamp};

/// Samples read at a time.
const CHUNK: usize = 256;

/// What is a task's own.
#[derive(Debug)]
pub(crate) struct TaskParts {
    pub task: TaskId,
    /// Of the embeddings that it looks at.
    pub space: EmbeddingSpace,
    /// Its heads in service.
    pub serving: Serving,
    /// Labels given since then are evidence that no verdict has seen.
    pub folded_in_until: Option<Timestamp>,
    /// Whether labels correct predictions at once.
    pub instant: bool,
    pub seed: u64,
}

/// The labels of a task, learned one by one.
pub(super) struct TaskLearner {
    parts: TaskParts,
    learner: OnlineLearner,
    /// Digest of the statistics that were sent last.
    sent: Option<Digest>,
    champion: Option<Arc<HeadRecord>>,
    /// The time up to which a verdict has seen the labels.
    folded_in_until: Option<Timestamp>,
    monitor: Option<Monitor>,
    /// Samples that are to go and are still stored: near-duplicates, and what is forgotten by request. The statistics no
    /// longer hold them.
    leaving: Vec<SampleId>,
    /// Group and time of the images observed last.
    arrived: VecDeque<(SampleId, Timestamp)>,
}

impl TaskLearner {
    /// With the statistics of the store, brought up to date with the labels there.
    pub fn start(parts: TaskParts, reader: &Reader) -> Result<Self, StoreError> {
        let statistics = training_data::statistics(reader, &parts.task, parts.space)?;
        let (learner, folded_in_until) = (OnlineLearner::new(statistics), parts.folded_in_until);
        let arrived = VecDeque::new();
        let mut task = Self {
            parts,
            learner,
            sent: None,
            folded_in_until,
            champion: None,
            monitor: None,
            leaving: Vec::new(),
            arrived,
        };
        task.catch_up(reader)?;
        // Before the first verdict there is no head to correct.
        if task.folded_in_until.is_some() {
            for sample in reader.labelled_since(&task.parts.task, task.folded_in_until)? {
                task.take(&sample);
            }
        }
        Ok(task)
    }

    /// The sums over its labels.
    pub fn statistics(&self) -> &LabelStats {
        self.learner.statistics()
    }

    /// Another head serves: corrections apply to it, and drift is measured against its training data.
    pub fn serve(&mut self, reader: &Reader, champion: Option<Arc<HeadRecord>>) -> Result<(), StoreError> {
        self.champion = champion;
        self.correct();
        self.monitor = None;
        if let Some(champion) = &self.champion {
            self.monitor = review_query::monitor(reader, &self.parts.task, champion, self.parts.seed)?;
        }
        Ok(())
    }

    pub fn learn(&mut self, reader: &Reader, ids: &[SampleId]) -> Result<(), StoreError> {
        // What is learned stays after all.
        self.leaving.retain(|id| !ids.contains(id));
        // What is excluded goes at once, and not with the next verdict as a label that was taken away.
        let (excluded, others): (Vec<CurrentLabel>, Vec<CurrentLabel>) =
            reader.labels_of(&self.parts.task, ids)?.into_iter().partition(|sample| sample.excluded);
        for sample in &others {
            self.take(sample);
        }
        self.forget(&excluded);
        self.correct();
        Ok(())
    }

    /// What the head in service says of a stored image now, with the labels that correct it; nothing where there is no
    /// head, or the image is gone.
    pub fn judge(&self, reader: &Reader, image: SampleId) -> Result<Option<Scored>, StoreError> {
        let stored = reader.labels_of(&self.parts.task, &[image])?;
        Ok(stored.first().and_then(|sample| self.parts.serving.score(sample.embedding.as_ref()?, &[])))
    }

    /// Learns the current label of a sample, or that it has none any more.
    fn take(&mut self, sample: &CurrentLabel) {
        if let Some(embedding) = &sample.embedding {
            // A label that was removed has no time; the next verdict folds it in.
            let at = sample.labelled_at.unwrap_or(Timestamp(i64::MIN));
            self.learner.learn(sample.id, at, sample.label.as_ref(), embedding);
        }
    }

    /// A verdict has seen the labels before this time: they are folded into the statistics and stop acting as evidence.
    pub fn fold_in_labels(&mut self, reader: &Reader, before: Timestamp) -> Result<(), StoreError> {
        self.folded_in_until = Some(before);
        self.learner.fold_in(before);
        self.catch_up(reader)?;
        self.correct();
        Ok(())
    }

    /// Makes the statistics contain every label of the store that a verdict saw, also those that were too many to act
    /// at once or changed while the daemon was not running.
    fn catch_up(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let task = &self.parts.task;
        if let Some(folded_in_until) = self.folded_in_until {
            let newer = reader.labelled_since(task, Some(folded_in_until))?;
            let still = reader.labels_of(task, &self.leaving)?;
            self.leaving = still.into_iter().map(|sample| sample.id).collect();
            let waiting: BTreeSet<SampleId> =
                newer.iter().map(|sample| sample.id).chain(self.leaving.clone()).collect();
            let rows = training_data::TaskRows { reader, task };
            if let Some(statistics) = train::catch_up(&rows, self.learner.statistics(), &waiting)? {
                self.learner = OnlineLearner::new(statistics);
                for sample in &newer {
                    self.take(sample);
                }
            }
        }
        if self.learner.should_refactorise()
            && let Err(why) = self.learner.refactorise()
        {
            tracing::debug!(task = %self.parts.task, %why, "labels do not take effect at once yet");
        }
        Ok(())
    }

    /// Replaces the corrections of the head in service by those of the labels since the last verdict.
    pub fn correct(&self) {
        let Some(champion) = self.champion.as_ref().filter(|_| self.parts.instant) else { return };
        let (dense, classes) = (champion.frozen(), &champion.dense.classes);
        let probabilities = |z: &[f32]| dense.probabilities(z).unwrap_or_else(|_| vec![0.0; classes.len()]);
        let overlay = self.learner.overlay(classes, &probabilities);
        self.parts.serving.correct(&champion.head, Some(overlay).filter(|overlay| !overlay.is_empty()));
    }

    pub fn review(&self, reader: &Reader, since: Option<Timestamp>) -> Result<Review, StoreError> {
        let TaskParts { task, serving, seed, .. } = &self.parts;
        review_query::review(reader, task, self.champion.as_deref(), since, serving.rates().percentile, *seed)
    }

    /// Takes samples out of the statistics and the corrections, as if they had never had a label.
    pub fn let_go(&mut self, reader: &Reader, ids: &[SampleId]) -> Result<(), StoreError> {
        for ids in ids.chunks(CHUNK) {
            self.forget(&reader.labels_of(&self.parts.task, ids)?);
        }
        self.leaving.extend(ids);
        Ok(())
    }

    fn forget(&mut self, samples: &[CurrentLabel]) {
        self.learner.forget(samples.iter().filter_map(|sample| Some((sample.id, sample.embedding.as_deref()?))));
    }

    /// What this image, beside those before it, says of drift.
    pub fn observe(&mut self, image: &Observed) -> Option<EmbeddingDrift> {
        let (monitor, champion, predicted) =
            (self.monitor.as_mut()?, self.champion.as_ref()?, image.predicted.as_ref()?);
        let class = champion.dense.classes.index_of(predicted)?;
        self.arrived.push_back((image.group, image.arrived_at));
        if self.arrived.len() > OBSERVED {
            self.arrived.pop_front();
        }
        let found = monitor.observe(&image.embedding, image.group, class)?;
        let first = self.arrived.iter().find(|(group, _)| *group == found.recent_from);
        let since = first.map_or(image.arrived_at, |(_, at)| *at);
        Some(EmbeddingDrift { p_value: found.p_value, since })
    }

    /// How near its embeddings are to the alarm of drift; `None` where that is not known.
    pub fn nearness_to_alarm(&self) -> Option<f64> {
        self.monitor.as_ref().and_then(Monitor::nearness)
    }

    /// The statistics to be stored (1 MiB for 512 values); `None` where they are as they were sent last.
    pub fn changed_statistics(&mut self) -> Option<Vec<u8>> {
        let sent = self.sent;
        let file = self.send_statistics();
        (self.sent != sent).then_some(file)
    }

    /// The statistics to be stored, which count as sent.
    pub fn send_statistics(&mut self) -> Vec<u8> {
        let file = self.statistics().to_bytes();
        self.sent = Some(Digest::of(&file));
        file
    }

    /// Labels that act at once.
    #[cfg(test)]
    pub fn evidence(&self) -> usize {
        self.learner.evidence()
    }
}
