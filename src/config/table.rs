//! The table of keys, and the checked settings that follow from it.
//!
//! A row has the field with its type, the default in YAML, kind and range, and one line about it. The row is all that a
//! key needs here: [`KEYS`], the field, reading it, the effective configuration and `config/schema.json` follow. What
//! else a new key has is its consumer, and its place in `config/default.yaml`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use core::net::SocketAddr;

use serde_json::{Map, Value as Json, json};

use super::key::{
    BOOL, BROKER_URL, CRON, DEVICE_ID, HTTP_URL, Key, LISTEN, PATH, PROVIDER_OPTIONS, PROVIDERS, RATE, REGION, SECTION,
    SHARE, SLUG, TEXT, TOPIC_FILTER, TOPIC_PREFIX, auto_or_number, confirm, days, duration, hosts, hours, integer,
    items, label_from, ms, names, networks, number, or_null, over, paths, poll, shares, word,
};
use super::providers::ProviderSettings;
use super::sources::ImageSource;
use super::tasks::Task;
use super::value::{Setting, Value, Values};
use crate::engine::{PromotionPolicy, TuneWhen};
use crate::train::{ClassWeights, HeadKind, L2, Schedule, Solver, TailLayers};
use crate::words::{Keep, Network, Poll, Precision, keywords};

/// The default of a row; `none` where a value has to be given.
macro_rules! default_of {
    (none) => {
        None
    };
    ($default:expr) => {
        Some($default)
    };
}

/// The last part of a key's name: the field's, unless the row gives another one.
macro_rules! last_part {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $part:literal) => {
        $part
    };
}

/// Makes of every section a struct that is read from [`Values`] and written as JSON, and of all rows [`KEYS`].
macro_rules! keys {
    ($(
        $(#[$attribute:meta])*
        $prefix:literal $section:ident {
            $($field:ident $(as $part:literal)?: $type:ty = $default:tt, $rule:expr, $about:literal;)*
        }
        $(without_field { $($name:literal = $none:tt, $other:expr, $purpose:literal;)* })?
    )*) => {
        /// All keys, section by section.
        pub const KEYS: &[Key] = &[$(
            $(Key::new(concat!($prefix, ".", last_part!($field $($part)?)), default_of!($default), $rule, $about),)*
            $($(Key::new($name, default_of!($none), $other, $purpose),)*)?
        )*];

        $(
            $(#[$attribute])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $section {
                $(#[doc = $about] pub $field: $type,)*
            }

            impl $section {
                /// Reads `values`, in which every key is and none is invalid.
                pub(super) fn read(values: &Values) -> Self {
                    Self { $($field: values.read(concat!($prefix, ".", last_part!($field $($part)?))),)* }
                }

                /// As it is written in YAML.
                pub(super) fn to_json(&self) -> Json {
                    let mut section = Map::new();
                    $(put(&mut section, last_part!($field $($part)?), Setting::to_json(&self.$field));)*
                    Json::Object(section)
                }
            }
        )*
    };
}

/// Folders and files that network storage, trash cans and file systems put beside pictures, and hidden ones.
const EXCLUDED: &str = r##"["@eaDir", "@Recycle", "@Recently-Snapshot", "@__thumb", "@tmp", "@sharesnap",
    "#recycle", "#snapshot", "$RECYCLE.BIN", "RECYCLER", "lost+found", "System Volume Information", "FOUND.???",
    "Network Trash Folder", "Temporary Items", ".*"]"##;

keys! {
    /// The identity of this device.
    "device" Device {
        id: String = "null", or_null(DEVICE_ID), "Name in topics; null uses the host name.";
        name: String = "null", or_null(TEXT), "Name for people; null uses the id.";
    }

    /// What turns images into embeddings.
    "backbone" Backbone {
        model: String = "default", TEXT, "Bundled name, or path of a manifest.";
        threads: usize = "1", integer(1, 64), "Threads within one inference.";
        execution_providers: Vec<String> = "[cpu]", PROVIDERS, "Where inference runs, in order of preference.";
        providers: BTreeMap<String, ProviderSettings> = "{}", PROVIDER_OPTIONS, "Libraries and options of execution \
                                                                                providers.";
    }
    without_field {
        "watch" = "[]", items(256, "path: /srv/camera"), "Folders whose images are processed.";
    }

    /// A watched folder.
    "watch[]" Watch {
        path: PathBuf = none, PATH, "The folder, absolute.";
        recursive: bool = "true", BOOL, "Whether subfolders are watched.";
        label_from: LabelFrom = "folder", label_from(8), "Which level of subfolders names the class.";
        exclude: Vec<String> = EXCLUDED, names(64), "Names of files and folders that are passed over.";
        settle: Duration = "500ms", duration(ms(10), hours(1)), "How long a file has to stay unchanged.";
        burst_gap: Duration = "0s", duration(ms(0), hours(1)), "Images closer in time are one burst; 0s: similarity \
                                                                only.";
        poll: Poll = "auto", poll(ms(1000), hours(1)), "Whether and how often to poll; auto: network file systems.";
    }

    /// Where the state is kept.
    "store" Store {
        path: PathBuf = "/var/lib/edgetuned", PATH, "The state folder, absolute.";
        precision: Precision = "f16", word::<Precision>(), "Precision of stored embeddings.";
        quota_mb: u64 = "512", integer(1, 1_048_576), "MiB for the state folder, 8 or more.";
        thumbnails: bool = "true", BOOL, "Whether a small picture of each sample is kept, to look at.";
    }

    /// When and how to train.
    "training" Training {
        schedule: Option<String> = "0 3 * * *", or_null(CRON), "When to train if labels changed; null: never.";
        min_new_labels: u64 = "10", integer(1, 1_000_000), "Number of new labels that starts a training.";
        cooldown: Duration = "10m", duration(ms(0), days(30)), "Shortest time between trainings.";
        head: HeadKind = "softmax", word::<HeadKind>(), "Kind of head; auto: the simplest that is as good as the best.";
        solver: Solver = "lbfgs", word::<Solver>(), "Optimiser of the loss.";
        l2: L2 = "auto", auto_or_number(1e-9, 1e6), "Penalty on weights; auto: cross-validated.";
        class_weights: ClassWeights = "balanced", word::<ClassWeights>(), "Whether rare classes count as much.";
        seed: u64 = "0", integer(0, u64::MAX), "Seed of a training.";
        max_samples: usize = "20000", integer(20, 1_000_000), "Most samples in a training.";
        time_limit: Duration = "30m", duration(ms(1000), hours(24)), "Longest time of a training.";
        priority: Priority = "low", word::<Priority>(), "Priority of the training's thread.";
        pause_above_c: Option<f64> = "null", or_null(number(30.0, 150.0)), "Pauses while hotter than this, in Celsius.";
        pause_above_load: Option<f64> = "null", or_null(number(0.1, 1000.0)), "Pauses while the load is higher.";
        tune_when as "tune.when": TuneWhen = "never", word::<TuneWhen>(), "When the backbone's last layers are trained on.";
        tune_layers as "tune.layers": TailLayers = "last_block", word::<TailLayers>(), "Which layers these are.";
        tune_learning_rate as "tune.learning_rate": f64 = "0.0001", number(1e-8, 1.0), "Learning rate of the second phase.";
        tune_schedule as "tune.schedule": Schedule = "cosine", word::<Schedule>(), "Whether it falls to 0 or stays.";
        tune_views as "tune.views": usize = "6", integer(1, 16), "Views of each image that the second phase sees.";
        tune_epochs as "tune.epochs": Option<u64> = "null", or_null(integer(1, 1_000)), "Epochs; null: 320 steps.";
    }

    /// When a challenger replaces the champion.
    "promotion" Promotion {
        policy: PromotionPolicy = "gated", word::<PromotionPolicy>(), "What decides on promotion.";
        margin: f64 = "0.005", SHARE, "Loss of balanced accuracy that counts as no worse.";
        max_class_recall_loss: f64 = "0.05", SHARE, "Loss of recall allowed in any class.";
        shadow_images: u64 = "0", integer(0, 100_000), "Live images in shadow mode before promotion.";
        instant: bool = "true", BOOL, "Whether labels take effect before the next training.";
    }

    /// The contents of a prediction.
    "prediction" Prediction {
        top_k: usize = "3", integer(1, 1000), "Labels listed in a prediction.";
        unknown_percentile as "unknown.percentile": f64 = "99", number(50.0, 100.0), "More novel than this percentage \
                                                                                      is unknown.";
        abstain_alpha as "abstain.alpha": f64 = "0.1", number(0.001, 0.5), "Share of images whose set may miss the \
                                                                            class.";
    }

    /// The link to the broker.
    "mqtt" Mqtt {
        url: String = "mqtt://localhost:1883", or_null(BROKER_URL), "The broker; null switches MQTT off.";
        prefix: String = "edgetuned", TOPIC_PREFIX, "Prefix of all topics.";
        client_id: Option<String> = "null", or_null(TEXT), "Client id at the broker; null: prefix and device id.";
        username: Option<String> = "null", or_null(TEXT), "User name at the broker.";
        password_file: Option<PathBuf> = "null", or_null(PATH), "File with the password.";
        ca_file: Option<PathBuf> = "null", or_null(PATH), "PEM with the broker's CAs; null: the system's.";
        cert_file: Option<PathBuf> = "null", or_null(PATH), "PEM with this device's certificate.";
        key_file: Option<PathBuf> = "null", or_null(PATH), "PEM with the certificate's private key.";
        spool_mb: u64 = "64", integer(1, 65_536), "MiB for unsent messages.";
        spool_max_age: Duration = "7d", duration(ms(60_000), days(366)), "Older messages are dropped.";
        max_packet_kb: usize = "1024", integer(16, 65_536), "KiB of the largest packet, in and out.";
        home_assistant: bool = "true", BOOL, "Whether the device announces itself to Home Assistant.";
        discovery_prefix: String = "homeassistant", TOPIC_PREFIX, "Prefix of Home Assistant's topics.";
        reconnect_max: Duration = "1m", duration(ms(100), hours(1)), "Longest wait before the broker is tried again.";
    }

    /// HTTP over the network.
    "http" Door {
        listen: Option<SocketAddr> = "127.0.0.1:8787", or_null(LISTEN), "Address and port to listen on; null: none.";
        token_file: Option<PathBuf> = "null", or_null(PATH), "File with the token that clients need.";
        allowed_hosts: Vec<String> = "[]", hosts(64), "Names of this device that clients may call it by.";
        trusted_proxies: Vec<Network> = "[]", networks(64), "Addresses whose X-Forwarded headers count.";
    }

    /// What the device shares with others of a fleet.
    "fleet" Fleet {
        share: bool = "false", BOOL, "Whether sums of labelled images may leave the device.";
        min_class_count: u64 = "20", integer(2, 1_000_000), "A class with fewer images is left out of them.";
    }

    /// Signed updates.
    "updates" Updates {
        trusted_keys: Vec<PathBuf> = "[]", paths(16), "PEM files with the public keys that may sign updates.";
    }
    without_field {
        "sources" = "[]", items(64, "id: garage"), "Images that come otherwise than as files.";
        "sources[].id" = none, SLUG, "Its name in tasks, topics and requests.";
        "sources[].mqtt" = "null", or_null(TOPIC_FILTER), "Topic of its frames; + stands for one level.";
        "sources[].http" = "null", or_null(HTTP_URL), "Address of its present picture.";
        "sources[].username" = "null", or_null(TEXT), "User name at the camera.";
        "sources[].password_file" = "null", or_null(PATH), "File with the password.";
        "sources[].token_file" = "null", or_null(PATH), "File with the token that is sent instead of a user.";
        "sources[].ca_file" = "null", or_null(PATH), "PEM with the camera's CAs; null: the system's.";
        "sources[].rate" = "2/s", RATE, "Most frames that are looked at.";
        "sources[].every" = "10s", duration(ms(100), days(1)), "Time between two pictures that are fetched.";
        "sources[].timeout" = "5s", duration(ms(100), ms(120_000)), "Longest time of one request.";
        "sources[].burst.every" = "1s", duration(ms(100), hours(1)), "The same while something changes.";
        "sources[].burst.for" = "20s", duration(ms(0), hours(1)), "How long that lasts; 0s: never.";
        "sources[].keep" = "changed", word::<Keep>(), "Whose bytes are kept in the state folder.";

        "tasks" = "[]", items(16, "id: door"), "Several questions about one picture.";
        "tasks[].id" = none, SLUG, "Its name in topics and requests.";
        "tasks[].from" = "[]", items(320, "source: garage"), "What it looks at; nothing: everything, whole.";
        "tasks[].from[].watch" = "null", or_null(PATH), "A watched folder, by its path.";
        "tasks[].from[].source" = "null", or_null(SLUG), "A source, by its id.";
        "tasks[].from[].region" = "null", or_null(REGION), "A part of the picture; null: the whole.";
        "tasks[].label_from" = "null", or_null(label_from(8)), "Which level of subfolders names its class; null: none, \
                                                                and for the task default what the folder says.";
        "tasks[].state" = none, SECTION, "When an answer is a state; without it each prediction is.";
        "tasks[].state.confirm" = "2 of 3", confirm(100), "Votes that a state needs, of the last predictions.";
        "tasks[].state.hold" = "0s", duration(ms(0), days(1)), "How long it has to have them without a break.";
        "tasks[].state.thresholds" = "{}", shares(256), "Least probability of a vote, by class.";
        "tasks[].state.unknown_after" = "5m", duration(ms(1000), days(30)), "Unknown after this long without a vote.";
        "tasks[].training" = none, over("training"), "Keys of training for this task alone.";
        "tasks[].promotion" = none, over("promotion"), "Keys of promotion for this task alone.";
        "tasks[].prediction" = none, over("prediction"), "Keys of prediction for this task alone.";
    }
}

/// Where the labels of a watched folder's images come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelFrom {
    /// The folder of this level below the watched one names the class; the first level is 1.
    Folder(usize),
    /// From no folder: labels come over MQTT, or by the command line.
    None,
}

keywords! {
    /// The priority of a training's thread relative to everything else on the machine.
    pub enum Priority {
        /// Everything else has priority.
        Low = "low",
        /// As everything else.
        Normal = "normal",
    }
}

/// All settings of the daemon. Every value is in its range, and none contradicts another.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The identity of this device.
    pub device: Device,
    /// What turns images into embeddings.
    pub backbone: Backbone,
    /// Folders whose images are processed; no two contain each other.
    pub watch: Vec<Watch>,
    /// Where the state is kept.
    pub store: Store,
    /// When and how to train.
    pub training: Training,
    /// When a challenger replaces the champion.
    pub promotion: Promotion,
    /// The contents of a prediction.
    pub prediction: Prediction,
    /// The link to the broker; `None` when it is switched off.
    pub mqtt: Option<Mqtt>,
    /// HTTP over the network.
    pub http: Door,
    /// What leaves the device for its fleet.
    pub fleet: Fleet,
    /// Keys that may sign updates; without any trusted key there are no updates.
    pub updates: Updates,
    /// Images that come otherwise than as files.
    pub sources: Vec<ImageSource>,
    /// Questions about the images; empty where the configuration names none, see [`Config::all_tasks`].
    pub tasks: Vec<Task>,
}

impl Config {
    /// Reads `values`, in which every key is and none is invalid.
    pub(super) fn read(values: &Values) -> Self {
        Self {
            device: Device::read(values),
            backbone: Backbone::read(values),
            watch: values.items("watch").iter().map(Watch::read).collect(),
            store: Store::read(values),
            training: Training::read(values),
            promotion: Promotion::read(values),
            prediction: Prediction::read(values),
            mqtt: (*values.value("mqtt.url") != Value::Null).then(|| Mqtt::read(values)),
            http: Door::read(values),
            fleet: Fleet::read(values),
            updates: Updates::read(values),
            sources: values.items("sources").iter().map(ImageSource::read).collect(),
            tasks: values.items("tasks").iter().map(|task| Task::read(task, values)).collect(),
        }
    }

    /// The settings under the keys of the YAML, without secrets; names of files that hold them are in it. Read as a
    /// layer, it gives these settings again.
    pub fn to_json(&self) -> Json {
        let mut settings = json!({
            "device": self.device.to_json(),
            "backbone": self.backbone.to_json(),
            "watch": self.watch.iter().map(Watch::to_json).collect::<Vec<_>>(),
            "store": self.store.to_json(),
            "training": self.training.to_json(),
            "promotion": self.promotion.to_json(),
            "prediction": self.prediction.to_json(),
            "mqtt": self.mqtt.as_ref().map_or_else(|| json!({ "url": null }), Mqtt::to_json),
            "http": self.http.to_json(),
            "fleet": self.fleet.to_json(),
            "updates": self.updates.to_json(),
        });
        // Who has none of these is told nothing of them.
        if !self.sources.is_empty() {
            settings["sources"] = self.sources.iter().map(ImageSource::to_json).collect();
        }
        if self.names_tasks() {
            settings["tasks"] = self.tasks_to_json();
        }
        settings
    }
}

/// Puts `value` at a name such as `unknown.percentile` below `section`.
fn put(section: &mut Map<String, Json>, name: &str, value: Json) {
    match name.split_once('.') {
        None => {
            section.insert(name.to_owned(), value);
        }
        Some((first, rest)) => {
            let below = section.entry(first).or_insert_with(|| Json::Object(Map::new()));
            put(below.as_object_mut().expect("no key is a value and a section at once"), rest, value);
        }
    }
}
