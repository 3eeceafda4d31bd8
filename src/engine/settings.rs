//! The engine's settings, checked and in its own words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::model::ScheduleSettings;
use super::remote::{Configure, UpdateSettings};
use super::startup::ServedBackbone;
use super::states::StateSettings;
use crate::head::BackboneRef;
use crate::wire::{self, Base, Unsettled};
use crate::words::{EmbeddingSpace, Keep, Label, SourceId, TaskId, keywords};

/// Everything that deciding depends on and that does not change while the daemon runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A new word at every start, in every report.
    pub boot: String,
    /// The backbone, as reports name it.
    pub backbone: BackboneRef,
    /// What computes it, and what became of other execution providers.
    pub provider: wire::ProviderUse,
    /// The value of `backbone.model`; the backbone may be another one, from an update.
    pub backbone_model: String,
    /// The embeddings that it makes of whole images.
    pub space: EmbeddingSpace,
    /// The same on the CPU, by which it is known which backbone it is, whatever computes it.
    pub space_on_cpu: EmbeddingSpace,
    /// Version of ONNX Runtime, for `info`.
    pub onnxruntime: String,
    /// Watched folders, in the order of the configuration.
    pub roots: Vec<Root>,
    /// Where frames come from, beside files.
    pub sources: Vec<SourceSettings>,
    /// The questions about images, at least one, each name once.
    pub tasks: Vec<TaskSettings>,
    /// Whether the configuration names its tasks; where it does not, there is the default one, and messages name none.
    pub names_tasks: bool,
    /// Bound of the store in bytes.
    pub quota_bytes: u64,
    /// What one sample takes of it, about.
    pub sample_bytes: u64,
    /// The broker with the client and the user that this device is there; `None` where MQTT is off, so that nothing is
    /// spooled.
    pub broker: Option<String>,
    /// Bound of the outbox in bytes of topics and payloads.
    pub spool_bytes_max: u64,
    /// Messages older than this are dropped.
    pub spool_age_max: Duration,
    /// What the device's topics begin with.
    pub base: Base,
    /// The device's name for people.
    pub device_name: String,
    /// Whether the device announces itself to Home Assistant.
    pub home_assistant: bool,
    /// Images that a class has at least when its sums leave the device; `None` where none may.
    pub share: Option<u64>,
    /// Who may sign updates, and what of them fits.
    pub updates: UpdateSettings,
    /// The configuration without secrets, for `info`.
    pub configuration: serde_json::Value,
    /// Decides whether remote settings are valid.
    pub configure: Configure,
    /// Dotted keys and sections that may be set remotely.
    pub settable: Vec<String>,
    /// The JSON Schema of a configuration file.
    pub schema: serde_json::Value,
    /// What to say of the configuration at the start, if there is something to say.
    pub opening: Option<String>,
}

impl Settings {
    /// The backbone with the setting that it serves under.
    #[must_use]
    pub fn served(&self) -> ServedBackbone {
        ServedBackbone {
            over: self.backbone_model.clone(),
            name: self.backbone.name.clone(),
            space: self.space_on_cpu,
            provider: self.provider.report.of_its_own().map(str::to_owned),
        }
    }

    /// The place of the innermost watched folder that a file lies in.
    pub(super) fn root_of(&self, path: &Path) -> Option<usize> {
        let around = self.roots.iter().enumerate().filter(|(_, root)| path.starts_with(&root.path));
        around.max_by_key(|(_, root)| root.path.components().count()).map(|(place, _)| place)
    }

    /// The class that the folder of a file gives it in a task, wherever the file was found.
    ///
    /// # Errors
    /// As [`Root::label_of`].
    pub(super) fn class_by_folder(&self, task: &TaskSettings, path: &Path) -> Result<Option<Label>, String> {
        let Some(root) = self.root_of(path) else { return Ok(None) };
        let level = task.label_levels.get(root).copied().flatten();
        level.map_or(Ok(None), |level| self.roots[root].label_of(path, level))
    }

    /// The task that stands for the device where only one can.
    pub(super) fn first_task(&self) -> TaskId {
        self.tasks.first().map_or_else(TaskId::default, |task| task.id.clone())
    }

    /// The task that is meant by a message about `asked`.
    ///
    /// # Errors
    /// As [`wire::settle`].
    pub(super) fn task_meant(&self, asked: Option<&TaskId>) -> Result<TaskId, Unsettled> {
        wire::settle(asked, &self.task_ids()).cloned()
    }

    /// The names of all tasks, in their order.
    pub(super) fn task_ids(&self) -> Vec<TaskId> {
        self.tasks.iter().map(|task| task.id.clone()).collect()
    }

    /// The settings of a task.
    pub(super) fn task(&self, id: &TaskId) -> Option<&TaskSettings> {
        self.tasks.iter().find(|task| task.id == *id)
    }
}

/// One question about images: what is its own.
#[derive(Debug, Clone)]
pub struct TaskSettings {
    /// Its name.
    pub id: TaskId,
    /// The embeddings that its heads read.
    pub space: EmbeddingSpace,
    /// For each watched folder, the level below it whose folders name the class, 1 for the first; nothing where none
    /// does.
    pub label_levels: Vec<Option<usize>>,
    /// When to train.
    pub schedule: ScheduleSettings,
    /// When trainings have a second phase.
    pub tune: TuneWhen,
    /// Who decides on promotion.
    pub promotion: PromotionPolicy,
    /// Live images that a challenger classifies in shadow mode before it may serve; 0: none.
    pub shadow_images: u64,
    /// How predictions become a state that holds; `None` where the latest prediction is what is said.
    pub state: Option<StateSettings>,
}

/// A watched folder.
#[derive(Debug, Clone)]
pub struct Root {
    /// Absolute path.
    pub path: PathBuf,
    /// How long a file has to stay unchanged when nobody saw it being closed.
    pub settle: Duration,
}

impl Root {
    /// The folder name that labels the file at `path`: the one of this level.
    ///
    /// # Errors
    /// The folder's name when it cannot be a label, with the reason.
    fn label_of(&self, path: &Path, level: usize) -> Result<Option<Label>, String> {
        let Ok(below) = path.strip_prefix(&self.path) else { return Ok(None) };
        let mut parts = below.components().skip(level - 1);
        let (Some(folder), Some(_)) = (parts.next(), parts.next()) else { return Ok(None) };
        let Some(name) = folder.as_os_str().to_str() else {
            let shown = folder.as_os_str().to_string_lossy();
            return Err(format!("folder {shown:?} cannot name a class: its name is not UTF-8; rename it"));
        };
        Label::new(name).map(Some).map_err(|why| format!("folder {name:?} cannot name a class: {why}; rename it"))
    }
}

/// A source of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// Its name.
    pub id: SourceId,
    /// The shortest time between two frames that are looked at.
    pub gap: Duration,
    /// Whether it can be looked at more closely for a while.
    pub bursts: bool,
    /// Without a new frame for so long, nothing is known of what it sees.
    pub unknown_after: Duration,
    /// Whose bytes are kept.
    pub keep: Keep,
    /// How many tasks look at its frames.
    pub tasks: u32,
}

keywords! {
    /// When the last layers of the backbone are trained on in a second phase.
    pub enum TuneWhen {
        /// Not at all.
        Never = "never",
        /// On request.
        Manual = "manual",
        /// On request, and when the time of the schedule comes.
        Schedule = "schedule",
    }
}

keywords! {
    /// Who decides on promotion.
    pub enum PromotionPolicy {
        /// The gate, on held-out images.
        Gated = "gated",
        /// Nobody: every challenger is promoted.
        Always = "always",
        /// A person; challengers are kept.
        Manual = "manual",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn the_first_folder_below_the_root_names_the_class() {
        let root = Root { path: "/srv/camera".into(), settle: Duration::ZERO };
        let label = |path: &str| root.label_of(Path::new(path), 1).map(|label| label.map(|label| label.to_string()));
        assert_eq!(label("/srv/camera/a.jpg"), Ok(None));
        assert_eq!(label("/srv/camera/nut/a.jpg"), Ok(Some("nut".into())));
        assert_eq!(label("/srv/camera/nut/m8/a.jpg"), Ok(Some("nut".into())));
        assert!(label("/srv/camera/a\u{7}b/a.jpg").is_err_and(|why| why.contains("rename")));
        assert_eq!(root.label_of(Path::new("/srv/camera/nut/a.jpg"), 2), Ok(None));
        let deep = root.label_of(Path::new("/srv/camera/2026-11-27/nut/a.jpg"), 2).unwrap();
        assert_eq!(deep.as_ref().map(Label::as_str), Some("nut"));
        let latin = Path::new(std::ffi::OsStr::from_bytes(b"/srv/camera/Gr\xf6\xdfe/a.jpg"));
        assert!(root.label_of(latin, 1).is_err_and(|why| why.contains("not UTF-8; rename it")));
    }
}
