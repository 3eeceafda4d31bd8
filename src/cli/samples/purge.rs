//! `edgetuned samples purge`: the end of a task that is no longer in the configuration.

use serde_json::json;

use super::{Ownership, owned};
use crate::cli::ctl;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::config::Config;
use crate::engine::Write;
use crate::shared::to_purge;
use crate::store::Store;
use crate::wire::command::{Purge, Purged};
use crate::words::TaskId;

pub fn purge(config: &Config, task: Option<&TaskId>, output: Output) -> Result<(), Failure> {
    let task = task.ok_or_else(|| Failure::usage("name the task that is to end with --task"))?;
    let configured: Vec<TaskId> = config.all_tasks().into_iter().map(|task| task.id).collect();
    if configured.contains(task) {
        return Err(Failure::failed(Purged::still_there(task)));
    }
    let purged = match owned(Store::open_existing(&config.store.path))? {
        Ownership::Here(mut store) => {
            let purged = to_purge(&store.reader()?, task, &configured)?.map_err(Failure::failed)?;
            store.commit(&[Write::PurgeTask { task: task.clone() }])?;
            purged
        }
        Ownership::Daemon => ctl::ask::<Purge>(config, json!({ "task": task }))?,
    };
    let Purged { task, samples, labels, awaited, heads } = &purged;
    output.print(&purged, |out| {
        writeln!(out, "task {task} has ended: {labels} labels of {samples} images, {heads} heads, and {awaited} labels that waited for their image")
    })
}
