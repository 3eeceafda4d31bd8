//! What all machines share: settings, the clock, whether the store accepts writes, and the step being filled.

mod clock;
mod storage_outage;

use std::collections::VecDeque;
use std::time::Duration;

use super::fact::Fact;
use super::messages::Messages;
use super::note::Note;
use super::settings::{Settings, TaskSettings};
use super::step::{Act, Next, Step, TaskAct};
use super::write::Write;
use crate::words::{Now, TaskId, Timestamp};
pub use clock::{Ages, DoubtedTimes};
pub(super) use clock::{Made, WallClock, jump_between};
use storage_outage::StorageOutage;
#[cfg(test)]
pub(super) use storage_outage::{DEFERRED_MAX, PREDICTED_MAX};

/// How often what waits for a long time is looked through.
const HOUSEKEEPING: Duration = Duration::from_mins(1);

/// What machines share.
#[derive(Debug)]
pub(super) struct Context {
    settings: Settings,
    clock: WallClock,
    outage: StorageOutage,
    /// When this engine began.
    began: Duration,
    /// Whether there was one before it in this process.
    resumes: bool,
    housekeeping_at: Duration,
    stopping: bool,
    step: Step,
    facts: VecDeque<(Option<TaskId>, Fact)>,
}

/// State for the next engine of this process.
#[derive(Debug)]
pub(super) struct Carried {
    /// A clock that was set is not believed for a restart.
    clock: WallClock,
    /// Messages that wait for the store, and images that were predicted meanwhile.
    outage: StorageOutage,
}

impl Carried {
    /// The same without the previous engine's connection.
    pub fn cut_off(&mut self) {
        self.outage.cut_off();
    }
}

impl Context {
    /// Whether something has a time of seconds or less: a source, a state, a store that refuses changes.
    pub fn has_times(&self) -> bool {
        let Settings { sources, tasks, .. } = &self.settings;
        !sources.is_empty() || tasks.iter().any(|task| task.state.is_some()) || self.outage.is_active()
    }

    pub fn new(settings: Settings, clock: WallClock) -> Self {
        Self {
            settings,
            clock,
            outage: StorageOutage::default(),
            began: Duration::ZERO,
            resumes: false,
            housekeeping_at: Duration::ZERO,
            stopping: false,
            step: Step::default(),
            facts: VecDeque::new(),
        }
    }

    /// State for the next engine of this process.
    pub fn into_carried(self) -> Carried {
        Carried { clock: self.clock, outage: self.outage.into_carried() }
    }

    /// This engine replaces an earlier one of this process.
    pub fn resume(&mut self, carried: Carried) {
        self.clock = carried.clock;
        self.outage = carried.outage;
        self.resumes = true;
    }

    /// This engine begins; whether there was one before it in this process.
    pub fn begin(&mut self, now: Now) -> bool {
        self.began = now.mono;
        self.clock.begin(now);
        self.resumes
    }

    /// What to say of the configuration at the start, once.
    pub fn take_opening(&mut self) -> Option<String> {
        self.settings.opening.take()
    }

    /// How many acts the step has so far.
    pub fn acts_so_far(&self) -> usize {
        self.step.acts.len()
    }

    /// What the step publishes after its first `before` acts goes to the clients that watch, and not to the broker.
    pub fn show_only(&mut self, before: usize) {
        for act in self.step.acts.iter_mut().skip(before) {
            if let Act::Publish { topic, payload } = act {
                *act = Act::Show { topic: topic.clone(), payload: std::mem::take(payload) };
            }
        }
    }

    /// The step so far.
    pub fn take_step(&mut self) -> Step {
        std::mem::take(&mut self.step)
    }
}

/// What a machine is handed besides an event or a fact: the time, the messages, and the context; and which task it acts
/// for, where it does: what it posts, publishes and asks for then is that task's.
pub(super) struct Cx<'a> {
    pub now: Now,
    pub messages: &'a mut Messages,
    context: &'a mut Context,
    task: Option<&'a TaskId>,
}

impl<'a> Cx<'a> {
    pub fn new(now: Now, messages: &'a mut Messages, context: &'a mut Context) -> Self {
        Self { now, messages, context, task: None }
    }

    /// The same, for a task.
    pub fn of<'b>(&'b mut self, task: &'b TaskId) -> Cx<'b> {
        Cx { now: self.now, messages: self.messages, context: self.context, task: Some(task) }
    }

    pub fn settings(&self) -> &Settings {
        &self.context.settings
    }

    /// The task that is acted for.
    pub fn task_id(&self) -> TaskId {
        self.task.cloned().unwrap_or_default()
    }

    /// The settings of the task that is acted for.
    pub fn task(&self) -> &TaskSettings {
        let task = self.task.and_then(|task| self.settings().task(task));
        task.expect("every machine of a task has settings, and is handed its task")
    }

    /// The task that is acted for, where messages name tasks.
    pub fn named_task(&self) -> Option<TaskId> {
        self.task.filter(|_| self.settings().names_tasks).cloned()
    }

    /// To be made durable before anything else of this step is done.
    pub fn write(&mut self, write: Write) {
        self.context.step.writes.push(write);
    }

    /// To be done when all writes of this step are durable.
    pub fn act(&mut self, act: Act) {
        self.context.step.acts.push(act);
    }

    /// To be counted.
    pub fn note(&mut self, note: Note) {
        self.context.step.notes.push(note);
    }

    /// To be done for the task that is acted for, when all writes of this step are durable.
    pub fn task_act(&mut self, act: TaskAct) {
        let task = self.task_id();
        self.act(Act::Task(task, act));
    }

    /// For the other machines, when this one is done: of the task that is acted for.
    pub fn post(&mut self, fact: Fact) {
        let task = self.task.cloned();
        self.context.facts.push_back((task, fact));
    }

    /// The next fact, and the task that it is about.
    pub fn next_fact(&mut self) -> Option<(Option<TaskId>, Fact)> {
        self.context.facts.pop_front()
    }

    /// Whether what waits for thirty days or the outbox's age is to be looked through now.
    pub fn housekeeping_is_due(&mut self) -> bool {
        let is_due = self.now.mono >= self.context.housekeeping_at;
        if is_due {
            self.context.housekeeping_at = self.now.mono + HOUSEKEEPING;
        }
        is_due
    }

    /// A time that comes after all stamps before it, whatever the clock says.
    pub fn stamp(&mut self) -> Timestamp {
        self.context.clock.monotonic_stamp(self.now.wall)
    }

    /// How old things are, as far as that can be told.
    pub fn ages(&self) -> Ages {
        self.context.clock.ages(self.now, self.messages.time_synced())
    }

    /// How long this engine has run.
    pub fn uptime(&self) -> Duration {
        self.now.mono.saturating_sub(self.context.began)
    }

    /// Whether the store takes no writes.
    pub fn storage_is_out(&self) -> bool {
        self.context.outage.is_active()
    }

    /// Whether this engine is about to end.
    pub fn is_stopping(&self) -> bool {
        self.context.stopping
    }

    /// The engine ends when this step is done; whether that is news.
    pub fn end(&mut self, next: Next) -> bool {
        if std::mem::replace(&mut self.context.stopping, true) {
            return false;
        }
        self.context.step.then = next;
        true
    }
}
