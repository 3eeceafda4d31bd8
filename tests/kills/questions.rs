//! What is asked about every picture: one question without a name, or those of four tasks.

use std::time::Duration;

use edgetuned::engine::StateSettings;
use edgetuned::store::SpacesInUse;
use edgetuned::words::{ClassSet, EmbeddingSpace, Label, Region, TaskId};
use serde_json::{Value, json};

use crate::camera::Part;

/// One question about every picture.
#[derive(Clone)]
pub struct Question {
    pub task: TaskId,
    /// Whether the configuration names it.
    is_named: bool,
    /// The part of the picture that it is about.
    region: Region,
    /// When its answers become a state.
    pub state: Option<StateSettings>,
    /// Whether class folders give labels.
    pub by_folder: bool,
    answer: fn(Part) -> &'static str,
}

impl Question {
    /// Without `tasks:` there is one: which part it is.
    pub fn only() -> Vec<Self> {
        let (task, region) = (TaskId::default(), Region::WHOLE);
        vec![Self { task, is_named: false, region, state: None, by_folder: true, answer: Part::name }]
    }

    /// Four tasks: two look at the whole picture, one at a box and one at a polygon. All have a state: one is soon
    /// unknown, one has to hold, and the other two last over every restart.
    pub fn four() -> Vec<Self> {
        let (second, quarter) = (Duration::from_secs(1), Duration::from_millis(250));
        let middle = Region::rectangle([0.05, 0.05, 0.95, 0.95]).unwrap();
        let octagon = [[0.2, 0.0], [0.8, 0.0], [1.0, 0.2], [1.0, 0.8], [0.8, 1.0], [0.2, 1.0], [0.0, 0.8], [0.0, 0.2]];
        let octagon = Region::polygon(&octagon).unwrap();
        let state = |confirm: &str| StateSettings { confirm: confirm.parse().unwrap(), ..StateSettings::default() };
        let named = |task: &str, region, state, answer| {
            let (task, state) = (task.parse().unwrap(), Some(state));
            Self { task, is_named: true, region, state, by_folder: false, answer }
        };
        let part = named("part", Region::WHOLE, state("1 of 1"), Part::name);
        vec![
            Self { by_folder: true, ..part },
            named("nut", middle, state("2 of 3"), |part| yes_no(part == Part::Nut)),
            named("spring", octagon, StateSettings { unknown_after: second, ..state("2 of 2") }, |part| {
                yes_no(part == Part::Spring)
            }),
            named("flat", Region::WHOLE, StateSettings { hold: quarter, ..state("2 of 3") }, |part| {
                yes_no(part == Part::Washer)
            }),
        ]
    }

    /// What is true of a picture of this part.
    pub fn answer(&self, part: Part) -> &'static str {
        (self.answer)(part)
    }

    /// Its classes.
    pub fn classes(&self) -> ClassSet {
        crate::PARTS.iter().map(|part| Label::new(self.answer(*part)).unwrap()).collect()
    }

    /// The embeddings that it is answered from, where those of whole pictures are of `whole`.
    pub fn space(&self, whole: EmbeddingSpace) -> EmbeddingSpace {
        whole.within(&self.region)
    }

    /// Where the daemon speaks about it.
    pub fn topic(&self, name: &str) -> String {
        if self.is_named { format!("task/{}/{name}", self.task) } else { name.to_owned() }
    }

    /// A message, or a part of one, about this question.
    pub fn about(&self, mut message: Value) -> Value {
        if self.is_named {
            message["task"] = json!(self.task);
        }
        message
    }

    /// Its entry below `tasks:`.
    fn entry(&self) -> String {
        let Self { task, region, by_folder, .. } = self;
        let from = if region.is_whole() { String::new() } else { format!(", from: [{{ region: {region} }}]") };
        let folder = if *by_folder { ", label_from: folder" } else { "" };
        let state = self.state.as_ref().map_or_else(String::new, |state| {
            let StateSettings { confirm, hold, unknown_after, .. } = state;
            let (hold, after) = (hold.as_millis(), unknown_after.as_millis());
            format!(", state: {{ confirm: {confirm}, hold: {hold}ms, unknown_after: {after}ms }}")
        });
        format!("  - {{ id: {task}{from}{folder}{state} }}\n")
    }
}

fn yes_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

/// The section `tasks:`; nothing where none has a name.
pub fn section(questions: &[Question]) -> String {
    let entries: String = questions.iter().filter(|question| question.is_named).map(Question::entry).collect();
    if entries.is_empty() { entries } else { format!("tasks:\n{entries}") }
}

/// What the tasks look through.
pub fn spaces(questions: &[Question], whole: EmbeddingSpace) -> SpacesInUse {
    questions.iter().fold(SpacesInUse::default(), |spaces, question| {
        spaces.with(question.task.clone(), vec![(question.region.clone(), question.space(whole))])
    })
}

/// The task that a topic is about, and the topic without it.
pub fn task_of(topic: &str) -> (TaskId, &str) {
    let named = topic.strip_prefix("task/").and_then(|rest| rest.split_once('/'));
    named.map_or_else(|| (TaskId::default(), topic), |(task, topic)| (task.parse().unwrap(), topic))
}
