//! What the daemon reports about itself: `status`, `info`, `health`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload, ProviderReport, is_zero};
use crate::head::BackboneRef;
use crate::words::{HeadId, HeadRef, Label, SourceId, TaskId, Timestamp};

/// Plain text on `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Connected.
    Online,
    /// Stopped on purpose.
    Stopped,
    /// Gone without notice: published by the broker, as last will.
    Offline,
}

impl Status {
    /// The payload.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Stopped => "stopped",
            Self::Offline => "offline",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a text that should be a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected online, stopped or offline, found {found:?}")]
pub struct BadStatus {
    /// The text, cut to 80 characters.
    pub found: String,
}

impl FromStr for Status {
    type Err = BadStatus;

    fn from_str(text: &str) -> Result<Self, BadStatus> {
        [Self::Online, Self::Stopped, Self::Offline]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| BadStatus { found: text.chars().take(80).collect() })
    }
}

/// `info`: versions, backbone, head and configuration in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Info {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// Of the program and the library that it runs models with.
    pub versions: Versions,
    /// The backbone in service.
    pub backbone: InfoBackbone,
    /// The head in service; null while there is none. Of several tasks, that of `default`, or null.
    pub head: Option<InfoHead>,
    /// The tasks that the configuration names, in its order; left out where it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub tasks: Vec<InfoTask>,
    /// Names of the requests and features of this version.
    pub capabilities: Vec<String>,
    /// The configuration in force, without secrets.
    #[cfg_attr(test, schemars(with = "serde_json::Map<String, serde_json::Value>"))]
    pub configuration: serde_json::Value,
}

impl Payload for Info {
    const WHAT: &'static str = "an info";
}

/// The backbone, as `info` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InfoBackbone {
    /// Name, model file and width.
    #[serde(flatten)]
    pub backbone: BackboneRef,
    /// What computes it; left out by versions before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "ProviderReport"))]
    pub provider: Option<ProviderReport>,
}

/// Versions of the programs at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Versions {
    /// Of this program.
    pub edgetuned: String,
    /// Of ONNX Runtime.
    pub onnxruntime: String,
}

/// The head in service, as `info` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InfoHead {
    /// Identity by content.
    pub id: HeadId,
    /// Rising number within the state folder.
    pub version: u64,
    /// The classes that it distinguishes, in class order.
    pub classes: Vec<Label>,
    /// Held-out accuracy, 0..1; null with too few held-out samples.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub accuracy: Option<f64>,
}

/// A task, as `info` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InfoTask {
    /// Its name.
    pub id: TaskId,
    /// Its head in service; null while there is none.
    pub head: Option<InfoHead>,
    /// The classes that this head distinguishes, in class order; empty while there is none.
    pub classes: Vec<Label>,
}

/// `health`: health counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Health {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The figures.
    #[serde(flatten)]
    pub figures: HealthFigures,
    /// Accuracy of the head in service on images that got a label later; left out before the first of them, and where the
    /// configuration names tasks, each of which has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "LiveFigures"))]
    pub live: Option<LiveFigures>,
}

impl Payload for Health {
    const WHAT: &'static str = "a health";
}

/// The figures of `health`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HealthFigures {
    /// Stored images.
    pub samples: u64,
    /// Of them, with a label.
    pub labelled: u64,
    /// Of them, without.
    pub unlabelled: u64,
    /// Files seen and not read yet.
    pub queue: u64,
    /// Quarantined files.
    pub quarantined: u64,
    /// What the last listing of the watched folders passed over.
    #[serde(default)]
    pub ignored: Ignored,
    /// Samples ever dropped to stay within the quota.
    pub evicted: u64,
    /// Messages that the broker has not acknowledged yet.
    pub spooled: u64,
    /// Size of the store's files.
    pub store_bytes: u64,
    /// Resident memory of the process.
    pub rss_bytes: u64,
    /// Images read since the start.
    pub images_total: u64,
    /// Errors since the start.
    pub errors_total: u64,
    /// New labels that trainings leave out until they change or are confirmed; absent while there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disbelieved: u64,
    /// Each task that the configuration names; left out where it names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(test, schemars(extend("minProperties" = 1)))]
    pub tasks: BTreeMap<TaskId, TaskHealth>,
    /// Each source that the configuration names; left out where it names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(test, schemars(extend("minProperties" = 1)))]
    pub sources: BTreeMap<SourceId, SourceHealth>,
    /// When the last training ended.
    pub last_train: Option<Timestamp>,
    /// Since the start.
    pub uptime_s: u64,
    /// Of the hottest sensor; null where none can be read.
    pub temperature_c: Option<f64>,
    /// Whether the system's clock is synchronised; null where that is not known.
    pub time_synced: Option<bool>,
}

/// The figures of one task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TaskHealth {
    /// Stored images that the task looks at.
    pub samples: u64,
    /// Of them, with a label of this task.
    pub labelled: u64,
    /// Of them, without.
    pub unlabelled: u64,
    /// New labels that its trainings leave out; absent while there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disbelieved: u64,
    /// Stored images that it does not see and that cannot be read any more: their files are gone, and no bytes are kept;
    /// absent while there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unseen: u64,
    /// When its last training ended.
    pub last_train: Option<Timestamp>,
    /// Its head in service; null while there is none.
    pub head: Option<HeadRef>,
    /// Accuracy of that head on images that got a label later; left out before the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "LiveFigures"))]
    pub live: Option<LiveFigures>,
}

/// The figures of one source, since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourceHealth {
    /// Frames that came and differ from the one before.
    pub frames: u64,
    /// Of these, replaced by a newer one before they were looked at.
    pub skipped: u64,
    /// Frames that are the one before.
    pub frozen: u64,
    /// Frames that could not be had, or are no pictures.
    pub failed: u64,
    /// When the last frame that differs from the one before came; null before the first.
    pub last: Option<Timestamp>,
}

/// What a listing passed over, by reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ignored {
    /// Files whose names do not end as those of images do.
    pub other_names: u64,
    /// Of these, pictures of kinds that are not read, by ending; left out without any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_pictures: BTreeMap<String, u64>,
    /// Links that lead out of the watched folder, or nowhere.
    pub links: u64,
    /// Files and folders whose names are excluded; what lies in such a folder is not counted.
    pub excluded: u64,
    /// Pipes, sockets and devices.
    pub special: u64,
    /// Folders that could not be read or entered.
    pub unreadable: u64,
}

/// Accuracy of the head in service on live images, counted since it came into service.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LiveFigures {
    /// On every image that was predicted before its label came (prequential). People label what looks odd, so this is
    /// no fair sample of all images.
    pub prequential: LiveFigure,
    /// On the one image in ten that its digest makes an audit image: a uniform sample, if all of those that are asked
    /// for get labels.
    pub audit: LiveFigure,
}

/// A share with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LiveFigure {
    /// Images.
    pub n: u64,
    /// Of these, those that were classified correctly.
    pub right: u64,
    /// Their share; null without any.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub accuracy: Option<f64>,
    /// Its 95 % interval (Clopper-Pearson); null without any.
    pub accuracy_interval: Option<[f64; 2]>,
}
