//! `edgetuned samples undo`: the labels as they were before a change.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Ownership, count_new_labels, owned};
use crate::cli::ctl;
use crate::cli::failure::Failure;
use crate::cli::now;
use crate::cli::output::{self, Output};
use crate::config::Config;
use crate::engine::{ChangedImage, LabelSource, StoredChange, StoredTask, Write};
use crate::store::Store;
use crate::wire::command::{Restored, Undo, Undone};
use crate::words::{Label, SampleId, TaskId};

pub fn undo(config: &Config, change: Option<u64>, output: Output) -> Result<(), Failure> {
    let undone = match owned(Store::open_existing(&config.store.path))? {
        Ownership::Here(store) => undo_stored(*store, change)?,
        Ownership::Daemon => ctl::ask::<Undo>(config, json!({ "change": change }))?,
    };
    output.print(&undone, |out| output::undone(&undone, out))
}

fn undo_stored(mut store: Store, asked: Option<u64>) -> Result<Undone, Failure> {
    let mut snapshot = store.snapshot()?;
    let found = store.reader()?.change(asked, snapshot.changes)?;
    let change = StoredChange::to_undo(asked, found).map_err(Failure::failed)?;
    let StoredTask { samples, training, .. } = std::mem::take(snapshot.default_task());
    let labels = samples.into_iter().map(|sample| (sample.id, sample.label.map(|(label, _)| label)));
    let mut labels: BTreeMap<SampleId, Option<Label>> = labels.collect();
    let (source, at) = (LabelSource::Undo, now());
    let mut undone = change.begin();
    let mut writes = vec![Write::ChangeUndone { change: change.number }];
    for ChangedImage { id, is_present, before, .. } in change.images {
        let instead_of = labels.remove(&id).flatten();
        if !is_present {
            undone.kept += 1;
        } else if instead_of != before {
            writes.push(Write::Label { task: TaskId::default(), id, label: before.clone(), source, at, change: None });
            undone.restore(Restored { image: id, label: before, instead_of });
        }
    }
    for awaited in snapshot.awaited.into_iter().filter(|awaited| awaited.is_of(change.number)) {
        let is_present = awaited.change == Some(change.number);
        *(if is_present { &mut undone.awaited } else { &mut undone.kept }) += 1;
        let prefix = awaited.prefix.clone();
        writes.push(
            awaited
                .without(change.number)
                .map_or(Write::DeletePendingLabel { task: TaskId::default(), prefix }, Write::PendingLabel),
        );
    }
    writes.push(count_new_labels(&training, undone.changed));
    store.commit(&writes)?;
    Ok(undone)
}
