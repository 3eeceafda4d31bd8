//! `--task`: which of the tasks of a configuration a command is about.

use serde_json::{Value, json};

use super::failure::Failure;
use crate::config::{Config, Task};
use crate::wire::{Unsettled, settle};
use crate::words::TaskId;

/// The task that was named.
#[derive(Debug, clap::Args)]
pub struct TaskChoice {
    /// The task that it is about [default: the one called default, or the only one]
    #[arg(long, global = true, value_name = "ID")]
    pub task: Option<TaskId>,
}

impl TaskChoice {
    /// The task that is meant: the named one, or else the one called `default` or the only one.
    ///
    /// # Errors
    /// [`Failure`] when there is no such task, or several are there, none is called `default` and none was named.
    pub fn meant(&self, config: &Config) -> Result<Meant, Failure> {
        let mut tasks = config.all_tasks();
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id.clone()).collect();
        let id = settle(self.task.as_ref(), &ids).map_err(|why| refused(&why))?;
        let place = ids.iter().position(|other| other == id).expect("it is one of them");
        Ok(Meant { task: tasks.swap_remove(place), is_named: config.names_tasks() })
    }
}

fn refused(why: &Unsettled) -> Failure {
    let listed = |tasks: &[TaskId]| tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", ");
    match why {
        Unsettled::NotFound { asked, tasks } => {
            Failure::failed(format!("the configuration has no task {asked}, it has {}", listed(tasks)))
        }
        Unsettled::Several { tasks } => Failure::usage(format!(
            "there are several tasks and none is called default; name one of {} with --task",
            listed(tasks)
        )),
    }
}

/// The task that a command is about.
#[derive(Debug)]
pub struct Meant {
    task: Task,
    is_named: bool,
}

impl Meant {
    /// Its name in the store.
    pub fn id(&self) -> &TaskId {
        &self.task.id
    }

    /// Its settings.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Its name where the configuration names tasks.
    pub fn name(&self) -> Option<&TaskId> {
        Some(&self.task.id).filter(|_| self.is_named)
    }

    /// Its `training.seed`.
    pub fn seed(&self) -> u64 {
        self.task.training.seed
    }

    /// The arguments of a request about it.
    pub fn asks(&self, mut arguments: Value) -> Value {
        if let Some(task) = self.name() {
            arguments["task"] = json!(task);
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Layer, Source};

    fn config(tasks: &str) -> Config {
        let text = format!("watch: [{{ path: /srv/a }}]\n{tasks}");
        config::load(&[Layer { name: "config.yaml".into(), source: Source::Yaml(text) }], "host").unwrap().config
    }

    fn meant(task: &str, tasks: &str) -> Result<Meant, String> {
        let choice = TaskChoice { task: (!task.is_empty()).then(|| task.parse().unwrap()) };
        choice.meant(&config(tasks)).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn requests_name_the_task_where_the_configuration_does() {
        let plain = meant("", "").unwrap();
        assert_eq!((plain.id().as_str(), plain.asks(json!({ "a": 1 }))), ("default", json!({ "a": 1 })));
        let two = "tasks: [{ id: door }, { id: bin, training: { seed: 7 } }]";
        let bin = meant("bin", two).unwrap();
        assert_eq!((bin.seed(), bin.asks(json!({}))), (7, json!({ "task": "bin" })));
        assert_eq!(meant("", "tasks: [{ id: door }]").unwrap().name().map(TaskId::as_str), Some("door"));
        assert_eq!(meant("", "tasks: [{ id: door }, { id: default }]").unwrap().id().as_str(), "default");
        let (several, gone) = (meant("", two).unwrap_err(), meant("gate", two).unwrap_err());
        assert!(several.contains("name one of door, bin with --task") && several.contains("64"), "{several}");
        assert!(gone.contains("no task gate, it has door, bin"), "{gone}");
    }
}
