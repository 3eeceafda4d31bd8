//! The checked settings. Every value is in its range, and none contradicts another.

use std::path::PathBuf;
use std::time::Duration;

use super::choice::choice;
use super::value::{Taken, Value};

/// All settings of the daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Who this device is.
    pub device: Device,
    /// What turns images into embeddings.
    pub backbone: Backbone,
    /// Folders whose images are taken; no two contain each other.
    pub watch: Vec<Watch>,
    /// Where the state is kept.
    pub store: StoreSettings,
    /// When and how to train.
    pub training: Training,
    /// When a challenger replaces the champion.
    pub promotion: Promotion,
    /// What a prediction tells.
    pub prediction: Prediction,
    /// The link to the broker; `None` when it is switched off.
    pub mqtt: Option<Mqtt>,
    /// PEM files with the public keys of those who may sign updates, absolute; without any there are no updates.
    pub trusted_keys: Vec<PathBuf>,
}

/// Section `device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    pub id: String,
    /// Name for people.
    pub name: String,
}

/// Section `backbone`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backbone {
    /// A bundled name or the path of a manifest.
    pub model: String,
    /// Threads within one inference, 1 to 64.
    pub threads: usize,
}

/// An item of `watch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Absolute, without `..`.
    pub path: PathBuf,
    /// Whether folders below count.
    pub recursive: bool,
    /// Whether the first folder below `path` names the class.
    pub label_from_folder: bool,
    /// How long a file has to stand still when nobody saw it being closed.
    pub settle: Duration,
    /// Images that were written closer to each other than this are one burst; zero: only near-duplicates are.
    pub burst_gap: Duration,
    /// How changes are noticed.
    pub poll: Poll,
}

/// Section `store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The state folder: absolute, without `..`.
    pub path: PathBuf,
    /// Of stored embeddings.
    pub precision: Precision,
    /// Bound of what is stored, in bytes.
    pub quota_bytes: u64,
}

/// Section `training`.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// Five fields of cron, in local time; parses with `croner`. `None` when switched off.
    pub schedule: Option<String>,
    /// Train as soon as this many labels are new.
    pub min_new_labels: u64,
    /// Trainings that nobody asked for are at least this far apart.
    pub cooldown: Duration,
    /// What is trained.
    pub head: Head,
    /// Who minimises the loss of a softmax head.
    pub solver: Solver,
    /// The penalty on weights.
    pub l2: L2,
    /// How rare classes count.
    pub class_weights: ClassWeights,
    /// Of everything random in a training.
    pub seed: u64,
    /// Samples in a training at most.
    pub max_samples: usize,
    /// How long a training may take.
    pub time_limit: Duration,
    /// Of its thread.
    pub priority: Priority,
    /// It waits while the machine is hotter, in degrees Celsius.
    pub pause_above_c: Option<f64>,
    /// It waits while the load average of the last minute is higher.
    pub pause_above_load: Option<f64>,
}

/// Section `promotion`.
#[derive(Debug, Clone, PartialEq)]
pub struct Promotion {
    /// Who decides.
    pub policy: Policy,
    /// What a challenger may lose in balanced accuracy and still count as no worse, as a share of 1.
    pub margin: f64,
    /// How much recall a challenger may lose in any class, as a share of 1.
    pub max_class_recall_loss: f64,
    /// Live images that a challenger answers unseen before it may serve; 0: none.
    pub shadow_images: u64,
    /// Whether a label shows in predictions before the next training.
    pub instant: bool,
}

/// Section `prediction`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// How many labels a prediction lists, at least 1.
    pub top_k: usize,
    /// An image is unknown when it is more novel than this percentage of known held-out images.
    pub unknown_percentile: f64,
    /// Share of images whose set of possible classes may miss the right one.
    pub abstain_alpha: f64,
}

/// Section `mqtt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mqtt {
    /// `mqtt://` or `mqtts://` with a host and perhaps a port; without user and password.
    pub url: String,
    /// What all topics begin with.
    pub prefix: String,
    /// Name at the broker; always there when `password_file` is.
    pub username: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// PEM with the authorities that may have signed the broker's certificate.
    pub ca_file: Option<PathBuf>,
    /// PEM with our certificate; there exactly when `key_file` is.
    pub cert_file: Option<PathBuf>,
    /// PEM with our private key.
    pub key_file: Option<PathBuf>,
    /// Whether the device announces itself to Home Assistant.
    pub home_assistant: bool,
    /// Bound of unsent messages.
    pub spool_bytes: u64,
    /// Unsent messages older than this are dropped.
    pub spool_age_max: Duration,
    /// The longest packet, either way.
    pub max_packet_bytes: usize,
    /// The longest wait before the broker is tried again.
    pub reconnect_max: Duration,
}

choice! {
    /// How changes in a folder are noticed.
    Poll {
        /// By polling on network file systems, by the kernel elsewhere.
        Auto = "auto",
        /// By polling.
        Always = "always",
        /// By the kernel.
        Never = "never",
    }
}

choice! {
    /// Of stored embeddings.
    Precision {
        /// Half: two bytes a value.
        F16 = "f16",
        /// Single: four bytes a value.
        F32 = "f32",
    }
}

choice! {
    /// Who minimises the loss.
    Solver {
        /// L-BFGS, to the minimum.
        Lbfgs = "lbfgs",
        /// Adam, for a number of epochs.
        Adam = "adam",
    }
}

choice! {
    /// Kinds of head.
    Head {
        /// Softmax regression.
        Softmax = "softmax",
        /// A hidden layer and a softmax.
        Mlp = "mlp",
        /// Linear discriminant analysis.
        Lda = "lda",
        /// Ridge regression on a random projection.
        RpRidge = "rp-ridge",
        /// The simplest of these that is as good as the best.
        Auto = "auto",
    }
}

choice! {
    /// How rare classes count.
    ClassWeights {
        /// As much as frequent ones, within bounds.
        Balanced = "balanced",
        /// By their number of images.
        None = "none",
    }
}

choice! {
    /// Of a training's thread.
    Priority {
        /// Whatever else wants to run goes first.
        Low = "low",
        /// As everything else.
        Normal = "normal",
    }
}

choice! {
    /// Who decides on promotion.
    Policy {
        /// The gate, on held-out images.
        Gated = "gated",
        /// Nobody: every challenger is promoted.
        Always = "always",
        /// A person.
        Manual = "manual",
    }
}

/// The penalty on weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum L2 {
    /// Found by cross-validation.
    Auto,
    /// This lambda, above 0.
    Fixed(f64),
}

impl Config {
    /// Reads `taken`, in which every key is and no value is faulty.
    pub(super) fn from_taken(taken: &Taken, host_name: &str) -> Self {
        let id = taken.text("device.id").unwrap_or_else(|| id_from_host_name(host_name));
        Self {
            device: Device { name: taken.text("device.name").unwrap_or_else(|| id.clone()), id },
            backbone: Backbone { model: needed(taken.text("backbone.model")), threads: taken.size("backbone.threads") },
            watch: taken.items("watch").iter().map(Watch::from_taken).collect(),
            store: StoreSettings {
                path: needed(taken.path("store.path")),
                precision: needed(taken.text("store.precision").and_then(|name| Precision::named(&name))),
                quota_bytes: taken.whole("store.quota_mb") << 20,
            },
            training: Training::from_taken(taken),
            promotion: Promotion {
                policy: needed(taken.text("promotion.policy").and_then(|name| Policy::named(&name))),
                margin: taken.number("promotion.margin"),
                max_class_recall_loss: taken.number("promotion.max_class_recall_loss"),
                shadow_images: taken.whole("promotion.shadow_images"),
                instant: taken.truth("promotion.instant"),
            },
            prediction: Prediction {
                top_k: taken.size("prediction.top_k"),
                unknown_percentile: taken.number("prediction.unknown.percentile"),
                abstain_alpha: taken.number("prediction.abstain.alpha"),
            },
            mqtt: taken.text("mqtt.url").map(|url| Mqtt::from_taken(taken, url)),
            trusted_keys: taken.paths("updates.trusted_keys"),
        }
    }
}

impl Watch {
    fn from_taken(taken: &Taken) -> Self {
        Self {
            path: needed(taken.path("watch[].path")),
            recursive: taken.truth("watch[].recursive"),
            label_from_folder: taken.text("watch[].label_from").as_deref() == Some("folder"),
            settle: taken.duration("watch[].settle"),
            burst_gap: taken.duration("watch[].burst_gap"),
            poll: needed(taken.text("watch[].poll").and_then(|name| Poll::named(&name))),
        }
    }
}

impl Training {
    fn from_taken(taken: &Taken) -> Self {
        Self {
            schedule: taken.text("training.schedule"),
            min_new_labels: taken.whole("training.min_new_labels"),
            cooldown: taken.duration("training.cooldown"),
            head: needed(taken.text("training.head").and_then(|name| Head::named(&name))),
            solver: needed(taken.text("training.solver").and_then(|name| Solver::named(&name))),
            l2: match taken.value("training.l2") {
                Value::Number(lambda) => L2::Fixed(*lambda),
                _ => L2::Auto,
            },
            class_weights: needed(taken.text("training.class_weights").and_then(|name| ClassWeights::named(&name))),
            seed: taken.whole("training.seed"),
            max_samples: taken.size("training.max_samples"),
            time_limit: taken.duration("training.time_limit"),
            priority: needed(taken.text("training.priority").and_then(|name| Priority::named(&name))),
            pause_above_c: taken.optional_number("training.pause_above_c"),
            pause_above_load: taken.optional_number("training.pause_above_load"),
        }
    }
}

impl Mqtt {
    fn from_taken(taken: &Taken, url: String) -> Self {
        Self {
            url,
            prefix: needed(taken.text("mqtt.prefix")),
            username: taken.text("mqtt.username"),
            password_file: taken.path("mqtt.password_file"),
            ca_file: taken.path("mqtt.ca_file"),
            cert_file: taken.path("mqtt.cert_file"),
            key_file: taken.path("mqtt.key_file"),
            home_assistant: taken.truth("mqtt.home_assistant"),
            spool_bytes: taken.whole("mqtt.spool_mb") << 20,
            spool_age_max: taken.duration("mqtt.spool_max_age"),
            max_packet_bytes: taken.size("mqtt.max_packet_kb") << 10,
            reconnect_max: taken.duration("mqtt.reconnect_max"),
        }
    }
}

fn needed<T>(value: Option<T>) -> T {
    value.expect("a checked value of its kind, since the table gives this key a default and no null")
}

/// A device id made of a host name: lower case, other characters as `-`, at most 64; `edgetuned` when nothing is left.
fn id_from_host_name(host_name: &str) -> String {
    let id: String = host_name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' })
        .take(64)
        .collect();
    match id.trim_matches('-') {
        "" => "edgetuned".to_owned(),
        id => id.to_owned(),
    }
}
