//! `request/purge`: the end of a task that the configuration has no more.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Spec};
use crate::words::TaskId;

/// End a task that is no longer in the configuration: its labels, heads and statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Which one.
    pub task: TaskId,
}

/// The arguments as they are sent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Arguments {
    /// A task that was in the configuration and is no more.
    task: TaskId,
}

impl Spec for Purge {
    const NAME: &'static str = "purge";
    const ABOUT: &'static str = "End a task that is no longer in the configuration: its labels, heads and statistics.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{task}";
    type Arguments = Arguments;
    type Data = Purged;

    fn check(Arguments { task }: Arguments) -> Result<Self, BadPayload> {
        Ok(Self { task })
    }

    /// It is about one that the device has no more.
    fn needs_task(&self) -> bool {
        false
    }
}

/// Data of `response/purge`: what is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Purged {
    /// The task.
    pub task: TaskId,
    /// Images that it had looked at; they and their embeddings stay.
    pub samples: u64,
    /// Labels of these.
    pub labels: u64,
    /// Labels that waited for their image.
    pub awaited: u64,
    /// Heads.
    pub heads: u64,
}

impl Purged {
    /// Why a task of the configuration is not ended.
    #[must_use]
    pub fn still_there(task: &TaskId) -> String {
        format!(
            "task {task} is in the configuration; remove it there and have it read again before its labels and heads go"
        )
    }

    /// Why nothing is ended: the store has nothing of it, and of these others `removed`.
    #[must_use]
    pub fn nothing_of(task: &TaskId, removed: &[TaskId]) -> String {
        let removed = match removed {
            [] => "there is no removed task in the store".to_owned(),
            several => {
                let names: Vec<&str> = several.iter().map(TaskId::as_str).collect();
                format!("the removed tasks in the store are {}", names.join(", "))
            }
        };
        format!("nothing is stored of task {task}; {removed}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Request;
    use super::*;

    #[test]
    fn the_task_that_ends_is_none_of_the_devices() {
        let (gate, door): (TaskId, TaskId) = ("gate".parse().unwrap(), "door".parse().unwrap());
        let request = Request::parse("purge", br#"{"task":"gate"}"#).unwrap();
        assert_eq!(request.command, Purge { task: gate.clone() }.into());
        assert_eq!(request.settle(std::slice::from_ref(&door)), Ok(None));
        let refused = Request::parse("purge", b"{}").unwrap_err();
        assert!(refused.reason.contains("task"), "{refused}");
        let none = Purged::nothing_of(&gate, &[]);
        assert_eq!(none, "nothing is stored of task gate; there is no removed task in the store");
        assert!(Purged::nothing_of(&gate, &[door]).ends_with("in the store are door"));
    }
}
