//! What has to hold of the states of tasks: each has its votes, lasts, and what is published of it is what is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use edgetuned::engine::{StateMachine, StateRecord, StateSettings, StateView};
use edgetuned::wire::{TaskTopic, Topic};
use edgetuned::words::{Label, SampleId, TaskId};
use rand::RngExt;
use serde_json::Value;

use super::World;

impl World {
    fn state_settings(&self, task: &TaskId) -> Option<&StateSettings> {
        self.settings.tasks.iter().find(|other| other.id == *task)?.state.as_ref()
    }

    /// The classes that cannot be excluded, where the task has a state: one, and at times two.
    pub(super) fn conformal_set(&mut self, task: &TaskId, best: &Label) -> Option<Vec<Label>> {
        self.state_settings(task)?;
        let is_sure = self.rng.random_bool(0.8);
        let other = Label::new("other").expect("a plain word");
        Some(if is_sure { vec![best.clone()] } else { vec![best.clone(), other] })
    }

    fn view(&self, task: &TaskId, record: &StateRecord) -> Option<StateView> {
        Some(StateMachine::new(self.state_settings(task)?.clone(), record.clone()).view())
    }

    /// A state is stored: another class has its votes, all of images that the task looks at; and what is as before is so
    /// since the same time.
    pub(super) fn check_state(&mut self, task: &TaskId, record: &StateRecord) {
        let Some(settings) = self.state_settings(task) else { panic!("a state of {task} is stored, which has none") };
        let confirm = settings.confirm;
        let before = self.view(task, &self.model.of(task).state).expect("it has settings");
        let after = self.view(task, record).expect("it has settings");
        if before.state == after.state {
            // Without a vote for long it was unknown for a moment, and a vote came in the same one.
            let lapsed = before.last_seen.is_none_or(|at| self.now.wall.since(at) >= settings.unknown_after);
            let is_as_before = before.since.is_none() || before.since == after.since;
            let is_so_since = is_as_before || lapsed || self.counts.clock_changes > 0;
            assert!(
                is_so_since,
                "{task} is {} since {:?}, and it was since {:?}",
                after.state, after.since, before.since
            );
        } else {
            assert_eq!(after.previous.as_ref(), Some(&before.state), "what {task} was before");
            // One that waited for its time may come true together with a prediction that is against it.
            let waited =
                serde_json::to_value(&self.model.of(task).state).expect("plain fields")["held"]["class"].take();
            let class = after.state.class();
            let is_due = class.is_some_and(|class| waited == class.as_str());
            let has_votes = class.is_none() || is_due || after.votes[0] >= confirm.votes();
            assert!(has_votes, "{task} is {} by {:?} votes, and {confirm} are needed", after.state, after.votes);
            self.observed.tasks.states += 1;
        }
        let window = serde_json::to_value(record).expect("plain fields");
        let mut voters: BTreeMap<SampleId, usize> = BTreeMap::new();
        for seen in window["window"].as_array().into_iter().flatten() {
            let image: SampleId = serde_json::from_value(seen["image"].clone()).expect("an image voted");
            assert!(self.looks_at(task, &image), "image {image} votes in {task}, which does not look at it");
            // One that was judged before it could be stored is judged again by a process that does not know of it.
            // A frame votes each time it is read as what is so now.
            let is_frame = self.is_frame(&image);
            voters.entry(image).and_modify(|votes| *votes += 1).or_insert(1);
            let is_shown = !is_frame || voters[&image] <= self.observed.frames.votes(&image);
            assert!(is_shown, "frame {image} votes {} times in {task}", voters[&image]);
            let may_come_again =
                self.observed.was_let_go(&image) || self.observed.direct.contains_key(&(task.clone(), image));
            let is_first = is_frame || voters[&image] == 1 || may_come_again;
            assert!(is_first, "image {image} votes twice in {task}");
        }
        self.observed.tasks.views.entry(task.clone()).or_default().push(after);
    }

    /// A state is published: it is what is stored, unless nothing can be stored.
    pub(super) fn check_state_said(&self, topic: &Topic, payload: &[u8]) {
        let Some((task, TaskTopic::State)) = self.task_of(topic) else { return };
        if self.state_settings(&task).is_none()
            || self.storage.waits_since().is_some()
            || self.storage.refuses.is_some()
        {
            return;
        }
        let said: Value = serde_json::from_slice(payload).expect("a state is JSON");
        let stored = self.view(&task, &self.model.of(&task).state);
        let views = self.observed.tasks.views.get(&task).into_iter().flatten();
        let is_stored = views.chain(stored.as_ref()).any(|view| is_of(view, &said));
        assert!(is_stored, "{topic} says {said}, and stored is {stored:?}");
    }

    /// While the broker has everything, it has the states that are stored.
    pub(super) fn check_states(&self) {
        let is_up = self.connected && self.observed.tasks.is_heard && self.broker.refuses.is_none();
        if is_up && self.feedback.is_empty() {
            self.states_are_stored();
        }
    }

    /// What the broker has of states is what is stored.
    pub fn states_are_stored(&self) {
        for task in self.settings.tasks.iter().filter(|task| task.state.is_some()) {
            let topic = if self.settings.names_tasks { format!("task/{}/state", task.id) } else { "state".to_owned() };
            let Some(payload) = self.broker.retained.get(&topic) else { continue };
            let said: Value = serde_json::from_slice(payload).expect("a state is JSON");
            let view = self.view(&task.id, &self.model.of(&task.id).state).expect("it has settings");
            let is_so = said["state"] == view.state.to_string().as_str();
            let since = serde_json::to_value(view.since).expect("a time");
            let is_since = said["since"] == since || self.counts.clock_changes > 0;
            // Over a link that breaks at what the broker refuses, the latest may be on its way.
            let age = view.since.map_or(Duration::MAX, |since| self.now.wall.since(since));
            let is_on_its_way = self.broker.refuses.is_some() && age < Duration::from_secs(5);
            assert!((is_so && is_since) || is_on_its_way, "{topic} is {said}, and stored is {view:?}");
        }
    }
}

/// Whether this is said of a state.
fn is_of(view: &StateView, said: &Value) -> bool {
    let image = view.image.map(|image| image.to_string());
    let since = view.since.map(|since| serde_json::to_value(since).expect("a time"));
    said["state"] == view.state.to_string().as_str()
        && since.is_none_or(|since| said["since"] == since)
        && said["votes"] == serde_json::json!(view.votes)
        && said["image"].as_str() == image.as_deref()
        && said["previous"].as_str() == view.previous.as_ref().map(ToString::to_string).as_deref()
}
