//! The engine's settings, checked and in its own words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::model::ScheduleSettings;
use super::remote::{Configure, UpdateSettings};
use crate::head::BackboneRef;
use crate::wire::Base;
use crate::words::{EmbeddingSpace, Label, keywords};

/// Everything that deciding depends on and that does not change while the daemon runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A new word at every start, in every report.
    pub boot: String,
    /// The backbone, as reports name it.
    pub backbone: BackboneRef,
    /// The value of `backbone.model`; the backbone may be another one, from an update.
    pub backbone_model: String,
    /// The embeddings that it makes.
    pub space: EmbeddingSpace,
    /// Version of ONNX Runtime, for `info`.
    pub onnxruntime: String,
    /// Watched folders, in the order of the configuration.
    pub roots: Vec<Root>,
    /// When to train.
    pub schedule: ScheduleSettings,
    /// Who decides on promotion.
    pub promotion: PromotionPolicy,
    /// Live images that a challenger classifies in shadow mode before it may serve; 0: none.
    pub shadow_images: u64,
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
    /// Who may sign updates, and what of them fits.
    pub updates: UpdateSettings,
    /// The configuration without secrets, for `info`.
    pub configuration: serde_json::Value,
    /// Decides whether remote settings are valid.
    pub configure: Configure,
    /// What to say of the configuration at the start, if there is something to say.
    pub opening: Option<String>,
}

impl Settings {
    /// The innermost watched folder that a file lies in.
    pub(super) fn root_of(&self, path: &Path) -> Option<&Root> {
        let around = self.roots.iter().filter(|root| path.starts_with(&root.path));
        around.max_by_key(|root| root.path.components().count())
    }

    /// The class that the folder of a file gives it, wherever the file was found.
    ///
    /// # Errors
    /// As [`Root::label_of`].
    pub(super) fn class_by_folder(&self, path: &Path) -> Result<Option<Label>, String> {
        self.root_of(path).map_or(Ok(None), |root| root.label_of(path))
    }
}

/// A watched folder.
#[derive(Debug, Clone)]
pub struct Root {
    /// Absolute path.
    pub path: PathBuf,
    /// Whether the first folder below it names the class.
    pub label_from_folder: bool,
    /// How long a file has to stay unchanged when nobody saw it being closed.
    pub settle: Duration,
}

impl Root {
    /// The folder name that labels the file at `path`: the first one below this root.
    ///
    /// # Errors
    /// The folder's name when it cannot be a label, with the reason.
    fn label_of(&self, path: &Path) -> Result<Option<Label>, String> {
        if !self.label_from_folder {
            return Ok(None);
        }
        let Ok(below) = path.strip_prefix(&self.path) else { return Ok(None) };
        let mut parts = below.components();
        match (parts.next(), parts.next()) {
            (Some(folder), Some(_)) => {
                let name = folder.as_os_str().to_string_lossy();
                Label::new(&name)
                    .map(Some)
                    .map_err(|why| format!("folder {name:?} cannot name a class: {why}; rename it"))
            }
            _ => Ok(None),
        }
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
    use super::*;

    #[test]
    fn the_first_folder_below_the_root_names_the_class() {
        let root = Root { path: "/srv/camera".into(), label_from_folder: true, settle: Duration::ZERO };
        let label = |path: &str| root.label_of(Path::new(path)).map(|label| label.map(|label| label.to_string()));
        assert_eq!(label("/srv/camera/a.jpg"), Ok(None));
        assert_eq!(label("/srv/camera/nut/a.jpg"), Ok(Some("nut".into())));
        assert_eq!(label("/srv/camera/nut/m8/a.jpg"), Ok(Some("nut".into())));
        assert!(label("/srv/camera/a\u{7}b/a.jpg").is_err_and(|why| why.contains("rename")));
        let none = Root { label_from_folder: false, ..root };
        assert_eq!(none.label_of(Path::new("/srv/camera/nut/a.jpg")), Ok(None));
    }
}
