//! A training on the labels that are believed: `eval::belief` decides which, here they are looked up and counted.

use std::collections::BTreeMap;

use crate::engine::{LabelSource, LeftOut};
use crate::eval::belief::{Disbelief, Given};
use crate::store::{LabelOrigin, Reader, StoreError};
use crate::train::Dataset;
use crate::words::{Label, SampleId, TaskId, Timestamp};

/// How the labels of a data set came about.
pub(super) struct Origins {
    /// (n,)
    pub given: Vec<Given>,
    sources: Vec<LabelSource>,
}

impl Origins {
    /// Of the labels in `data`, which `task` has.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn read(reader: &Reader, task: &TaskId, data: &Dataset) -> Result<Self, StoreError> {
        let (origins, left_out): (BTreeMap<SampleId, LabelOrigin>, _) =
            (reader.label_origins(task)?, reader.disbelieved(task)?);
        // A label that went since the data set was read is an old one: the next training sees that it went.
        let gone = LabelOrigin { at: Timestamp(i64::MIN), source: LabelSource::Undo, is_confirmed: true };
        let of = |id: &SampleId| origins.get(id).copied().unwrap_or(gone);
        Ok(Self {
            given: data
                .ids()
                .iter()
                .map(|id| Given {
                    at: of(id).at,
                    is_confirmed: of(id).is_confirmed,
                    was_left_out: left_out.contains(id),
                })
                .collect(),
            sources: data.ids().iter().map(|id| of(id).source).collect(),
        })
    }

    /// The report about `disbelieved` labels of `data`; `None` where none is.
    pub fn report(&self, data: &Dataset, disbelieved: &Disbelief) -> Option<LeftOut> {
        let mut sources: BTreeMap<&str, (LabelSource, u64)> = BTreeMap::new();
        let mut pairs: BTreeMap<(&Label, &Label), u64> = BTreeMap::new();
        for (&sample, expected) in &disbelieved.samples {
            let source = self.sources[sample];
            sources.entry(source.as_str()).or_insert((source, 0)).1 += 1;
            *pairs.entry((&data.classes().labels()[data.y()[sample]], expected)).or_default() += 1;
        }
        let ((given, expected), _) =
            pairs.into_iter().filter(|((given, expected), _)| given != expected).max_by_key(|(_, count)| *count)?;
        let mut sources: Vec<(LabelSource, u64)> = sources.into_values().collect();
        sources.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Some(LeftOut {
            images: disbelieved.samples.keys().map(|&sample| data.ids()[sample]).collect(),
            of: disbelieved.of as u64,
            sources,
            mostly: (given.clone(), expected.clone()),
        })
    }
}
