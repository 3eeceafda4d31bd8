//! `edgetuned samples undo`: the labels as they were before a change.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Ownership, count_new_labels, owned};
use crate::cli::ctl;
use crate::cli::failure::Failure;
use crate::cli::now;
use crate::cli::output::{self, Output};
use crate::cli::task::Meant;
use crate::config::Config;
use crate::engine::{
    Before, ChangedImage, LabelSource, PendingLabel, StoredChange, StoredSample, StoredTask, TrainingState, Write,
};
use crate::store::Store;
use crate::wire::command::{Restored, Undo, Undone};
use crate::words::{SampleId, TaskId};

pub fn undo(config: &Config, task: &Meant, change: Option<u64>, output: Output) -> Result<(), Failure> {
    let undone = match owned(Store::open_existing(&config.store.path))? {
        Ownership::Here(store) => undo_stored(*store, config, change)?,
        Ownership::Daemon => ctl::ask::<Undo>(config, task.asks(json!({ "change": change })))?,
    };
    output.print(&undone, |out| output::undone(&undone, out))
}

/// A change may be of several tasks; what it did in those that the configuration has is undone.
fn undo_stored(mut store: Store, config: &Config, asked: Option<u64>) -> Result<Undone, Failure> {
    let mut snapshot = store.snapshot()?;
    let found = store.reader()?.change(asked, snapshot.changes)?;
    let change = StoredChange::to_undo(asked, found).map_err(Failure::failed)?;
    let tasks = config.all_tasks().into_iter();
    let mut tasks: BTreeMap<TaskId, Labels> =
        tasks.map(|task| (task.id.clone(), snapshot.tasks.remove(&task.id).unwrap_or_default().into())).collect();
    let (source, at) = (LabelSource::Undo, now());
    let mut undone = change.begin();
    let mut writes = vec![Write::ChangeUndone { change: change.number }];
    for ChangedImage { task, id, is_present, before } in change.images {
        let Some(of_task) = tasks.get_mut(&task) else { continue };
        let Some(StoredSample { label, excluded: is_excluded, .. }) = of_task.by_image.get(&id) else { continue };
        let instead_of = label.as_ref().map(|(label, _)| label.clone());
        match before {
            _ if !is_present => undone.kept += 1,
            Before::Label(label) if label != instead_of => {
                of_task.changed += usize::from(!is_excluded);
                writes.push(Write::Label { task, id, label: label.clone(), source, at, change: None });
                undone.restore(Restored { image: id, label, instead_of, excluded: None });
            }
            Before::Excluded(excluded) if excluded != *is_excluded => {
                of_task.exclusions += usize::from(instead_of.is_some());
                writes.push(Write::Excluded { task, id, excluded, source, at, change: None });
                let label = instead_of.clone();
                undone.restore(Restored { image: id, label, instead_of, excluded: Some(excluded) });
            }
            Before::Label(_) | Before::Excluded(_) => {}
        }
    }
    let is_undone = |awaited: &PendingLabel| awaited.is_of(change.number) && tasks.contains_key(&awaited.task);
    for awaited in snapshot.awaited.into_iter().filter(is_undone) {
        let is_present = awaited.change == Some(change.number);
        *(if is_present { &mut undone.awaited } else { &mut undone.kept }) += 1;
        let (task, prefix) = (awaited.task.clone(), awaited.prefix.clone());
        let without = awaited.without(change.number);
        writes.push(without.map_or(Write::DeletePendingLabel { task, prefix }, Write::PendingLabel));
    }
    let counted = tasks.iter().filter(|(_, of_task)| of_task.changed + of_task.exclusions > 0);
    writes.extend(counted.map(|(task, of_task)| {
        let exclusions = of_task.training.exclusions + of_task.exclusions as u64;
        count_new_labels(task, &TrainingState { exclusions, ..of_task.training.clone() }, of_task.changed)
    }));
    store.commit(&writes)?;
    Ok(undone)
}

/// The labels of a task before the change is undone.
struct Labels {
    training: TrainingState,
    by_image: BTreeMap<SampleId, StoredSample>,
    /// How many labels that are learned are others than before.
    changed: usize,
    /// How many labelled images are excluded, or no longer.
    exclusions: usize,
}

impl From<StoredTask> for Labels {
    fn from(StoredTask { samples, training, .. }: StoredTask) -> Self {
        let by_image = samples.into_iter().map(|sample| (sample.id, sample)).collect();
        Self { training, by_image, changed: 0, exclusions: 0 }
    }
}
