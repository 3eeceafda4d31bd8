//! The state of a task: [`StateMachine`] decides, here it hears what is predicted, and its changes are stored and
//! published.

use super::super::context::Cx;
use super::super::event::Scored;
use super::super::states::{Change, Judgement, StateMachine};
use super::super::step::{Act, TaskAct};
use super::super::write::Write;
use super::Model;
use crate::wire::{StateName, TaskState, TaskTopic};
use crate::words::{SampleId, SourceId};

impl Model {
    /// A new image was classified. A frame that speaks against the state makes its camera look more closely.
    pub fn judged(&mut self, cx: &mut Cx<'_>, image: SampleId, source: Option<&SourceId>, scored: &Scored) {
        let ages = cx.ages();
        let change = self.state.as_mut().map(|machine| machine.predicted(&ages, &judgement(image, scored)));
        self.state_changed(cx, change);
        let bursts = |id: &&SourceId| cx.settings().sources.iter().any(|source| source.id == **id && source.bursts);
        if let Some(source) = source.filter(bursts).filter(|_| change.is_some_and(|change| change.is_against)) {
            cx.act(Act::Burst(source.clone()));
        }
    }

    /// The latest image was classified again: its vote is replaced.
    pub fn judged_again(&mut self, cx: &mut Cx<'_>, image: SampleId, scored: &Scored) {
        let ages = cx.ages();
        let change = self.state.as_mut().map(|machine| machine.judged_again(&ages, &judgement(image, scored)));
        self.state_changed(cx, change);
    }

    /// Time passed. Where another head serves since, or labels correct it, what it says of the latest image may be something
    /// else: it is asked once for all labels that came together.
    pub fn look_at_state(&mut self, cx: &mut Cx<'_>) {
        let ages = cx.ages();
        let change = self.state.as_mut().map(|machine| machine.tick(&ages));
        self.state_changed(cx, change);
        if std::mem::take(&mut self.is_to_judge)
            && let Some(image) = self.state.as_ref().and_then(StateMachine::latest_image)
        {
            cx.task_act(TaskAct::JudgeAgain(image));
        }
    }

    /// Publishes the state as it is, where there is one.
    pub fn publish_state(&self, cx: &mut Cx<'_>) {
        let Some(machine) = &self.state else { return };
        let (view, task, now) = (machine.view(), cx.task_id(), cx.now.wall);
        let count = |votes: usize| u32::try_from(votes).unwrap_or(u32::MAX);
        let name = |state: &super::super::states::State| StateName::from(state.class().cloned());
        cx.publish_of_task(TaskTopic::State, |envelope, _| TaskState {
            envelope,
            task: task.clone(),
            state: name(&view.state),
            since: view.since.unwrap_or(now),
            previous: view.previous.as_ref().map(name),
            confidence: view.confidence,
            votes: view.votes.map(count),
            image: view.image,
            last_seen: view.last_seen,
        });
    }

    fn state_changed(&mut self, cx: &mut Cx<'_>, change: Option<Change>) {
        let (Some(change), Some(machine)) = (change, &self.state) else { return };
        if change.write {
            let record = Box::new(machine.record().clone());
            cx.write(Write::StateRecord { task: cx.task_id(), record });
        }
        if change.publish {
            self.publish_state(cx);
        }
    }
}

fn judgement(image: SampleId, scored: &Scored) -> Judgement {
    let best = scored.top.first();
    Judgement {
        image,
        label: best.map(|(label, _)| label.clone()),
        probability: best.map_or(0.0, |(_, probability)| *probability),
        set: scored.set.clone(),
        is_stale: false,
    }
}
