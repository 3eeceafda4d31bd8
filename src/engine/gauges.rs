//! How everything is at one moment, for figures: what others may read without asking the engine.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::Cx;
use super::{Engine, overview};
use crate::head::BackboneRef;
use crate::wire::{AlertId, HealthFigures, Link, LiveFigures, ReviewReason, Severity};
use crate::words::{HeadRef, Label, Now, TaskId, Timestamp};

/// How everything is.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauges {
    /// Whether the configuration names its tasks.
    pub names_tasks: bool,
    /// The backbone.
    pub backbone: BackboneRef,
    /// As on `health`.
    pub health: HealthFigures,
    /// Bound of the store in bytes.
    pub quota_bytes: u64,
    /// The link to the broker.
    pub link: Link,
    /// How long the oldest message of the outbox has waited; `None` where none waits, or the clock cannot tell.
    pub oldest_message: Option<Duration>,
    /// Every alert that this device can raise, and how severe it is where it is up.
    pub alerts: Vec<(AlertId, Option<Severity>)>,
    /// Each task.
    pub tasks: BTreeMap<TaskId, TaskGauges>,
}

/// How one task is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TaskGauges {
    /// The head in service.
    pub head: Option<HeadRef>,
    /// When that came into service.
    pub promoted_at: Option<Timestamp>,
    /// When the last training ended.
    pub trained_at: Option<Timestamp>,
    /// Labels of each class.
    pub labels: BTreeMap<Label, u64>,
    /// How right the head in service is on live images.
    pub live: LiveFigures,
    /// Whether the alarm of drift is up.
    pub is_drifting: bool,
    /// How near each stream is to that alarm; 1 raises it.
    pub drift: Vec<(&'static str, f64)>,
    /// Images that are worth a label, by why.
    pub review: BTreeMap<ReviewReason, u64>,
}

impl Engine {
    /// How everything is now.
    #[must_use]
    pub fn gauges(&mut self, now: Now) -> Gauges {
        let overview = overview(&self.files, &self.sources, &self.labels, &self.models);
        let cx = Cx::new(now, &mut self.messages, &mut self.context);
        let settings = cx.settings();
        let task = |task: &TaskId| {
            let mut gauges = self.models.get(task)?.gauges();
            gauges.labels = self.labels.count_by_class(task).map(|(class, n)| (class.clone(), n as u64)).collect();
            for reason in self.labels.review_reasons(task) {
                *gauges.review.entry(reason).or_default() += 1;
            }
            Some((task.clone(), gauges))
        };
        let named = if settings.names_tasks { settings.task_ids() } else { Vec::new() };
        let sources: Vec<_> = settings.sources.iter().map(|source| source.id.clone()).collect();
        let raised: BTreeMap<AlertId, Severity> =
            cx.raised().into_iter().map(|raised| (raised.id, raised.warning.severity)).collect();
        let alert = |id: AlertId| {
            let severity = raised.get(&id).copied();
            (id, severity)
        };
        Gauges {
            names_tasks: settings.names_tasks,
            backbone: settings.backbone.clone(),
            quota_bytes: settings.quota_bytes,
            tasks: settings.task_ids().iter().filter_map(task).collect(),
            alerts: AlertId::possible(&named, &sources).into_iter().map(alert).collect(),
            health: cx.health(&overview),
            link: cx.link(),
            oldest_message: cx.oldest_message(),
        }
    }
}
