//! What the broker keeps of tasks that the configuration names no more: it is taken away at every connection, or a state that
//! nobody looks after would stand there for ever. A task whose data was deleted while there was no connection is remembered
//! until one has held.

use std::collections::BTreeSet;

use super::super::context::Cx;
use super::super::settings::Settings;
use super::super::snapshot::Snapshot;
use super::super::step::Act;
use crate::wire::{AlertId, TaskTopic, Topic};
use crate::words::TaskId;

/// Topics of a task whose latest message the broker keeps.
const KEPT: [TaskTopic; 4] = [TaskTopic::State, TaskTopic::TrainState, TaskTopic::TrainResult, TaskTopic::Review];

/// The tasks that the store or the broker knows and the configuration does not name; the default one is there in every store,
/// and counts where it has anything.
pub fn removed_tasks(settings: &Settings, snapshot: &Snapshot) -> Vec<TaskId> {
    let is_named = |task: &TaskId| settings.tasks.iter().any(|named| named.id == *task);
    let has_anything = |task: &TaskId| snapshot.tasks[task].samples.len() + snapshot.tasks[task].heads.len() > 0;
    let tasks = snapshot.tasks.keys().filter(|task| !is_named(task) && (!task.is_default() || has_anything(task)));
    let deleted = snapshot.broker.deleted_tasks().iter().filter(|task| !is_named(task));
    tasks.chain(deleted).collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

impl Cx<'_> {
    /// Clears the topics and alerts of tasks that the configuration names no more.
    pub(super) fn clear_removed_tasks(&mut self) {
        for task in self.messages.removed_tasks.clone() {
            let named = KEPT.map(|topic| Topic::Task(task.clone(), topic));
            let plain = KEPT.map(TaskTopic::plain);
            // Where no task is named now, the plain topics are the default task's.
            let topics = if task.is_default() { plain.to_vec() } else { named.to_vec() };
            let alerts = AlertId::possible(&[task], &[]).into_iter().filter(|id| matches!(id, AlertId::OfTask(..)));
            for topic in topics.into_iter().chain(alerts.map(Topic::Alert)) {
                self.act(Act::Publish { topic, payload: Vec::new() });
            }
        }
    }
}
