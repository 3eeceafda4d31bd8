//! How right the head in service is on live images, counted beside the engine; and what has to follow when it no longer
//! is.

use edgetuned::eval::live::{Score, fell};
use edgetuned::head::{EvaluatedOn, Figures};
use edgetuned::wire::UpdateKind;
use edgetuned::words::{Label, SampleId, TaskId, is_audit};

use super::World;

/// Audited predictions of the head in service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    champion: u64,
    audit: Score,
    /// Whether one was added since the last batch was checked.
    is_news: bool,
}

impl Live {
    /// A head comes into service.
    pub fn of(champion: u64) -> Self {
        Self { champion, audit: Score::default(), is_news: false }
    }
}

impl World {
    /// A label is written: it scores the prediction of its image, if the head in service made it.
    pub(super) fn count_audit(&mut self, task: &TaskId, id: &SampleId, label: &Label) {
        let known = self.model.of(task);
        let Some((predicted, head)) = known.predicted.get(id).filter(|_| !known.excluded.contains(id)) else { return };
        self.observed.scored.insert((task.clone(), *head));
        let Some(live) = self.observed.live.get_mut(task).filter(|live| live.champion == *head) else { return };
        if is_audit(id) {
            live.audit = Score { right: live.audit.right + u64::from(predicted == label), n: live.audit.n + 1 };
            live.is_news = true;
        }
    }

    /// Whether the audited predictions of the head in service are significantly worse than what it was promoted at;
    /// `None` where this world does not know them.
    fn has_fallen(&self, task: &TaskId) -> Option<bool> {
        let known = &self.model.of(task).live;
        let live = self.observed.live.get(task).filter(|live| known.champion == Some(live.champion))?;
        Some(known.record.as_ref().is_some_and(|record| fell(record, live.audit).is_some()))
    }

    /// Whether there is a reason for the head in service to give way to the one before it.
    pub(super) fn may_roll_back(&self, task: &TaskId, from: Option<u64>) -> bool {
        let update = self.model.updates.get(&UpdateKind::Head).filter(|memory| memory.task == *task);
        let update = update.and_then(|memory| memory.head.as_ref());
        let is_update = update.is_some_and(|head| Some(head.version) == from);
        self.observed.asked_back.contains(task) || is_update || self.has_fallen(task).unwrap_or(true)
    }

    /// Checks a batch that was carried out: the count is the engine's, and a head that fell is out of service.
    pub(super) fn check_live(&mut self) {
        let tasks: Vec<TaskId> = self.observed.live.keys().cloned().collect();
        for task in &tasks {
            self.check_live_of(task);
        }
    }

    fn check_live_of(&mut self, task: &TaskId) {
        let has_fallen = self.has_fallen(task);
        let Some(live) = self.observed.live.get_mut(task) else { return };
        let is_news = std::mem::take(&mut live.is_news);
        let live = *live;
        let known = self.model.of(task);
        if !is_news || known.live.champion != Some(live.champion) {
            return;
        }
        assert_eq!(known.live.tally.audit, live.audit, "audited predictions of head {} of {task}", live.champion);
        if has_fallen == Some(true) && known.champion().is_some_and(|head| head.head.version == live.champion) {
            let previous = known.previous(self.task(task).space);
            assert_eq!(previous, None, "head {} fell to {:?} and still serves", live.champion, live.audit);
        }
        self.counts.falls += u64::from(has_fallen == Some(true));
    }
}

/// What every head was measured at.
pub(super) fn figures() -> Figures {
    let (share, interval) = (0.95, [0.9, 0.98]);
    Figures {
        evaluated_on: EvaluatedOn::HeldOut,
        n: 100,
        accuracy: share,
        accuracy_interval: interval,
        balanced_accuracy: share,
        balanced_accuracy_interval: interval,
        macro_f1: share,
        macro_f1_interval: interval,
        log_loss: 0.1,
        log_loss_interval: [0.05, 0.2],
        ece: 0.02,
        ece_interval: [0.01, 0.05],
        per_class: vec![],
        confusion: vec![],
    }
}
