//! Several questions about one picture: each with what it looks at, who gives its labels, and when an answer is a state.

mod contradictions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

pub(super) use contradictions::contradictions;

use super::table::{Config, LabelFrom, Prediction, Promotion, Training, Watch};
use super::value::{Setting, Value, Values, show_duration};
use crate::engine::Confirm;
use crate::words::{Label, Region, SourceId, TaskId};

/// One question: its classes, labels and head are its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name in topics and requests; no other task has it.
    pub id: TaskId,
    /// What it looks at, one or more; at most one region of each watched folder and source.
    pub from: Vec<View>,
    /// Which level of every watched folder names the class; `None`: the one that the folder's own `label_from` says.
    pub label_from: Option<LabelFrom>,
    /// When an answer is a state; `None`: each prediction is.
    pub state: Option<State>,
    /// When and how it is trained.
    pub training: Training,
    /// When its challenger replaces its champion.
    pub promotion: Promotion,
    /// The contents of its predictions.
    pub prediction: Prediction,
}

/// A part of the pictures of some origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Which pictures.
    pub of: Origin,
    /// Which part of each.
    pub region: Region,
}

/// Where pictures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Anywhere.
    Everything,
    /// The watched folder with this path.
    Watch(PathBuf),
    /// This source.
    Source(SourceId),
}

/// When answers become a state.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// How many votes it takes.
    pub confirm: Confirm,
    /// How long it has to have them without a break.
    pub hold: Duration,
    /// Least probability of a vote for these classes, 0 to 1.
    pub thresholds: BTreeMap<Label, f64>,
    /// After this long without a vote the state is unknown.
    pub unknown_after: Duration,
}

/// How long a source may be silent where no state says it.
const UNKNOWN_AFTER: Duration = Duration::from_mins(5);

impl Task {
    /// Reads an item of `tasks`, in which every key is and none is invalid; what it leaves open is as in `general`.
    pub(super) fn read(item: &Values, general: &Values) -> Self {
        let id: TaskId = item.read("tasks[].id");
        let views: Vec<View> = item.items("tasks[].from").iter().map(View::read).collect();
        let label_from: Option<LabelFrom> = item.read("tasks[].label_from");
        let over = |name| {
            let mut values = general.clone();
            values.extend(item.section(name).cloned().unwrap_or_default());
            values
        };
        Self {
            label_from: label_from.or_else(|| (!id.is_default()).then_some(LabelFrom::None)),
            id,
            from: if views.is_empty() { vec![View::EVERYTHING] } else { views },
            state: item.has("tasks[].state").then(|| State::read(item)),
            training: Training::read(&over("tasks[].training")),
            promotion: Promotion::read(&over("tasks[].promotion")),
            prediction: Prediction::read(&over("tasks[].prediction")),
        }
    }

    /// The part of a picture in the watched folder `path` that it looks at; `None` where it looks at none.
    pub fn region_of_watch(&self, path: &Path) -> Option<&Region> {
        self.region_of(|of| matches!(of, Origin::Watch(watched) if watched == path))
    }

    /// The part of a frame of `source` that it looks at; `None` where it looks at none.
    pub fn region_of_source(&self, source: &SourceId) -> Option<&Region> {
        self.region_of(|of| matches!(of, Origin::Source(looked) if looked == source))
    }

    fn region_of(&self, is_it: impl Fn(&Origin) -> bool) -> Option<&Region> {
        let view = self.from.iter().find(|view| view.of == Origin::Everything || is_it(&view.of));
        view.map(|view| &view.region)
    }

    /// The level of folders below `watch`, from 1, that names this task's class; `None` where none does, or the task does
    /// not look at that folder.
    pub fn label_level(&self, watch: &Watch) -> Option<usize> {
        self.region_of_watch(&watch.path)?;
        match self.label_from.unwrap_or(watch.label_from) {
            LabelFrom::Folder(level) => Some(level),
            LabelFrom::None => None,
        }
    }

    /// As it is written in YAML, without what is as in `general`.
    fn to_json(&self, general: &Config) -> Json {
        let mut task = Map::new();
        task.insert("id".into(), json!(self.id));
        task.insert("from".into(), self.from.iter().map(View::to_json).collect());
        if let Some(label_from) = self.label_from {
            task.insert("label_from".into(), label_from.to_json());
        }
        if let Some(state) = &self.state {
            task.insert("state".into(), state.to_json());
        }
        for (name, own, others) in [
            ("training", self.training.to_json(), general.training.to_json()),
            ("promotion", self.promotion.to_json(), general.promotion.to_json()),
            ("prediction", self.prediction.to_json(), general.prediction.to_json()),
        ] {
            if let Some(different) = difference(&own, &others) {
                task.insert(name.to_owned(), different);
            }
        }
        Json::Object(task)
    }
}

/// What of `own` is not in `others`; `None` where all is.
fn difference(own: &Json, others: &Json) -> Option<Json> {
    let (Json::Object(fields), Json::Object(other_fields)) = (own, others) else {
        return (own != others).then(|| own.clone());
    };
    let different = fields.iter().filter_map(|(name, field)| {
        let other = other_fields.get(name).unwrap_or(&Json::Null);
        Some((name.clone(), difference(field, other)?))
    });
    let different: Map<String, Json> = different.collect();
    (!different.is_empty()).then_some(Json::Object(different))
}

impl View {
    const EVERYTHING: Self = Self { of: Origin::Everything, region: Region::WHOLE };

    /// Reads an item of `tasks[].from`.
    fn read(item: &Values) -> Self {
        let watch = item.read::<Option<PathBuf>>("tasks[].from[].watch").map(Origin::Watch);
        let source = || item.read::<Option<SourceId>>("tasks[].from[].source").map(Origin::Source);
        let region = item.read::<Option<Region>>("tasks[].from[].region").unwrap_or(Region::WHOLE);
        Self { of: watch.or_else(source).unwrap_or(Origin::Everything), region }
    }

    fn to_json(&self) -> Json {
        let mut view = Map::new();
        match &self.of {
            Origin::Everything => {}
            Origin::Watch(path) => drop(view.insert("watch".into(), json!(path))),
            Origin::Source(source) => drop(view.insert("source".into(), json!(source))),
        }
        view.insert("region".into(), json!(self.region));
        Json::Object(view)
    }
}

impl State {
    /// Reads an item of `tasks`.
    fn read(item: &Values) -> Self {
        Self {
            confirm: item.read("tasks[].state.confirm"),
            hold: item.read("tasks[].state.hold"),
            thresholds: item.read("tasks[].state.thresholds"),
            unknown_after: item.read("tasks[].state.unknown_after"),
        }
    }

    fn to_json(&self) -> Json {
        json!({
            "confirm": self.confirm.to_json(),
            "hold": show_duration(self.hold),
            "thresholds": self.thresholds,
            "unknown_after": show_duration(self.unknown_after),
        })
    }
}

impl Setting for Confirm {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Confirm(confirm) = value { Some(*confirm) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self.to_string())
    }
}

impl Setting for BTreeMap<Label, f64> {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Shares(shares) = value { Some(shares.clone()) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

impl Config {
    /// Whether the configuration has `tasks`; without them there is the one called `default`, which no topic names.
    pub fn names_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Every task; without `tasks` the one called `default`, which looks at everything as the general settings say.
    pub fn all_tasks(&self) -> Vec<Task> {
        if self.names_tasks() {
            return self.tasks.clone();
        }
        vec![Task {
            id: TaskId::default(),
            from: vec![View::EVERYTHING],
            label_from: None,
            state: None,
            training: self.training.clone(),
            promotion: self.promotion.clone(),
            prediction: self.prediction.clone(),
        }]
    }

    /// How long `source` may be silent: the shortest `unknown_after` of the tasks that look at it, 5m where none has one.
    pub fn unknown_after(&self, source: &SourceId) -> Duration {
        let looking = self.tasks.iter().filter(|task| task.region_of_source(source).is_some());
        let times = looking.filter_map(|task| task.state.as_ref()).map(|state| state.unknown_after);
        times.min().unwrap_or(UNKNOWN_AFTER)
    }

    /// The tasks as they are written in YAML.
    pub(super) fn tasks_to_json(&self) -> Json {
        self.tasks.iter().map(|task| task.to_json(self)).collect()
    }
}
