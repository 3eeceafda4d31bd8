//! Which task a message is about, and the state of a task: `task/<id>/state`.

#[cfg(test)]
use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Answer, Envelope, ErrorCode, Payload};
use crate::words::{Label, SampleId, TaskId, Timestamp};

/// The word for no state.
pub const UNKNOWN: &str = "unknown";

/// Which of the device's `tasks` is meant by one that was `asked` for: this one; where none was named, the one called
/// `default`, or the only one. Where the configuration names no tasks, `tasks` is `default` alone.
///
/// # Errors
/// [`Unsettled`] when there is no such task, or several are there and none is called `default`.
pub fn settle<'a>(asked: Option<&TaskId>, tasks: &'a [TaskId]) -> Result<&'a TaskId, Unsettled> {
    match (asked, tasks) {
        (Some(asked), _) => tasks
            .iter()
            .find(|task| *task == asked)
            .ok_or_else(|| Unsettled::NotFound { asked: asked.clone(), tasks: tasks.to_vec() }),
        (None, [only]) => Ok(only),
        (None, _) => {
            tasks.iter().find(|task| task.is_default()).ok_or_else(|| Unsettled::Several { tasks: tasks.to_vec() })
        }
    }
}

/// Why nobody can tell which task is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// There is no such task, or none any more.
    #[error("there is no task {asked}; there {}", listed(tasks))]
    NotFound {
        /// The task that was named.
        asked: TaskId,
        /// Those that are there.
        tasks: Vec<TaskId>,
    },
    /// None was named, and none of them is the one that is meant then.
    #[error("there are several tasks and none is called default; name one of {} in 'task'", joined(tasks))]
    Several {
        /// Those that are there.
        tasks: Vec<TaskId>,
    },
}

impl From<&Unsettled> for Answer {
    fn from(unsettled: &Unsettled) -> Self {
        let code = match unsettled {
            Unsettled::NotFound { .. } => ErrorCode::NotFound,
            Unsettled::Several { .. } => ErrorCode::BadRequest,
        };
        Self::error(code, unsettled.to_string())
    }
}

fn listed(tasks: &[TaskId]) -> String {
    match tasks {
        [only] => format!("is {only}: leave 'task' out"),
        several => format!("are {}: name one of these in 'task'", joined(several)),
    }
}

fn joined(tasks: &[TaskId]) -> String {
    tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", ")
}

/// `task/<id>/state` where the task has a `state:`; otherwise the latest prediction is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TaskState {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The task.
    pub task: TaskId,
    /// The present state.
    pub state: StateName,
    /// Since when.
    pub since: Timestamp,
    /// The state before it, which may be unknown; null before the first change.
    pub previous: Option<StateName>,
    /// Probability of the state in the last vote for it; null while it is unknown.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub confidence: Option<f32>,
    /// Votes for the state among the last predictions, and how many predictions these are.
    pub votes: [u32; 2],
    /// The image of the last vote for the state; of the last vote while it is unknown; null before the first.
    pub image: Option<SampleId>,
    /// When that image was taken in; null before the first.
    pub last_seen: Option<Timestamp>,
}

impl Payload for TaskState {
    const WHAT: &'static str = "a task's state";
}

/// One of the classes, or `unknown`.
///
/// A class of this name cannot be told from no state and is none: votes for it are votes for nothing known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Label", into = "String")]
pub struct StateName(Option<Label>);

impl StateName {
    /// No class.
    pub const UNKNOWN: Self = Self(None);

    /// The class; `None` while it is unknown.
    #[must_use]
    pub fn class(&self) -> Option<&Label> {
        self.0.as_ref()
    }
}

impl From<Label> for StateName {
    fn from(class: Label) -> Self {
        Self((class.as_str() != UNKNOWN).then_some(class))
    }
}

impl From<Option<Label>> for StateName {
    fn from(class: Option<Label>) -> Self {
        class.map_or(Self::UNKNOWN, Self::from)
    }
}

impl From<StateName> for String {
    fn from(name: StateName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().map_or(UNKNOWN, Label::as_str))
    }
}

#[cfg(test)]
impl schemars::JsonSchema for StateName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StateName".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Label::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<TaskId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn the_task_that_is_meant_is_the_one_named_the_default_one_or_the_only_one() {
        for (asked, tasks, meant) in [
            (None, &["default"][..], "default"),
            (Some("default"), &["default"], "default"),
            (None, &["door"], "door"),
            (None, &["bin", "default", "door"], "default"),
            (Some("door"), &["bin", "default", "door"], "door"),
            (Some("bin"), &["bin", "door"], "bin"),
        ] {
            let asked = asked.map(|name| name.parse().unwrap());
            assert_eq!(settle(asked.as_ref(), &ids(tasks)).map(TaskId::as_str), Ok(meant));
        }
    }

    #[test]
    fn what_is_not_there_or_not_told_apart_is_refused_with_the_list() {
        let (tasks, gone) = (ids(&["bin", "door"]), "gate".parse().unwrap());
        let refused = settle(Some(&gone), &tasks).unwrap_err();
        assert_eq!(refused.to_string(), "there is no task gate; there are bin, door: name one of these in 'task'");
        assert!(Answer::from(&refused).is(ErrorCode::NotFound));
        assert_eq!(
            settle(Some(&gone), &ids(&["default"])).unwrap_err().to_string(),
            "there is no task gate; there is default: leave 'task' out"
        );
        let refused = settle(None, &tasks).unwrap_err();
        assert!(refused.to_string().ends_with("name one of bin, door in 'task'"), "{refused}");
        assert!(Answer::from(&refused).is(ErrorCode::BadRequest));
    }

    #[test]
    fn no_state_is_a_word_and_a_class_of_that_name_is_no_state() {
        let state = |name: &str| StateName::from(Label::new(name).unwrap());
        assert_eq!(state(UNKNOWN), StateName::UNKNOWN);
        for name in [state("open"), StateName::UNKNOWN] {
            let text = serde_json::to_string(&name).unwrap();
            assert_eq!(serde_json::from_str::<StateName>(&text).unwrap(), name);
        }
        assert_eq!(serde_json::to_value(StateName::UNKNOWN).unwrap(), UNKNOWN);
        assert!(
            serde_json::from_str::<StateName>("null").is_err() && serde_json::from_str::<StateName>("\"\"").is_err()
        );
    }
}
