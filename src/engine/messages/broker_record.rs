//! What is remembered of the broker over restarts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::broker_terms::Item;
use crate::words::{TaskId, Timestamp};

/// What is remembered of the broker over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BrokerRecord {
    /// Which broker, client and user the rest is about.
    #[serde(default)]
    identity: String,
    /// The topic of the document with which the device was announced to Home Assistant.
    #[serde(default)]
    announced: Option<String>,
    #[serde(default)]
    pub(super) held: Vec<Held>,
    #[serde(default)]
    pub(super) unretained: bool,
    /// Tasks whose data was deleted, and of which the broker may have something still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deleted_tasks: Vec<TaskId>,
}

/// An item that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub item: Item,
    pub since: Timestamp,
    /// How often it was refused when it was tried again.
    pub tries: u32,
    /// When it is tried again, by the monotonic clock of this run.
    #[serde(skip)]
    pub due: Option<Duration>,
}

impl BrokerRecord {
    /// Forgets what is about another broker, client or user, but what was announced to it; whether it was about another.
    pub(super) fn begin(&mut self, identity: &str) -> bool {
        let is_new = self.identity != identity;
        if is_new {
            let announced = self.announced.take();
            *self = Self { identity: identity.to_owned(), announced, ..Self::default() };
        }
        is_new
    }

    /// Takes in which document announces the device; whether that is news, and the topic of one that is to be taken away.
    pub(super) fn announce(&mut self, wanted: Option<String>) -> (bool, Option<String>) {
        if self.announced == wanted {
            return (false, None);
        }
        (true, std::mem::replace(&mut self.announced, wanted))
    }

    /// Tasks whose data was deleted, and of which the broker may have something still.
    pub(super) fn deleted_tasks(&self) -> &[TaskId] {
        &self.deleted_tasks
    }

    /// The data of a task was deleted; whether that is news.
    pub(super) fn add_deleted(&mut self, task: &TaskId) -> bool {
        let is_new = !self.deleted_tasks.contains(task);
        if is_new {
            self.deleted_tasks.push(task.clone());
        }
        is_new
    }

    /// The broker has nothing of them any more; whether it might have had.
    pub(super) fn forget_deleted(&mut self) -> bool {
        !std::mem::take(&mut self.deleted_tasks).is_empty()
    }
}
