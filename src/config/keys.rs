//! Every key there is, with its kind, range, default and meaning.

use std::time::Duration;

use super::reader::Reader;
use super::settings::{ClassWeights, Head, Policy, Poll, Precision, Priority, Solver};
use super::value::Taken;

/// A key and what it may hold.
#[derive(Debug)]
pub struct Key {
    /// Dotted; keys of list items stand below `list[]`.
    pub name: &'static str,
    /// The default in YAML; `None` where a value has to be given, and for reserved keys.
    pub default: Option<&'static str>,
    /// What it is for, on one line.
    pub about: &'static str,
    pub(super) kind: Kind,
    /// Whether `null` may be written.
    pub(super) nullable: bool,
}

impl Key {
    /// Whether a later version brings it: it is accepted with a warning and has no effect.
    pub fn is_reserved(&self) -> bool {
        matches!(self.kind, Kind::Reserved)
    }
}

/// What a key may hold. Ranges include their ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Truth,
    /// 1 to 256 characters, no control characters.
    Text,
    /// An absolute path without `..`.
    Path,
    /// A list of such paths.
    Paths {
        max: usize,
    },
    Whole {
        min: u64,
        max: u64,
    },
    Number {
        min: f64,
        max: f64,
    },
    AutoOrNumber {
        min: f64,
        max: f64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    /// One of these words.
    Choice {
        now: &'static [&'static str],
    },
    /// A list of execution providers.
    Providers,
    Cron,
    BrokerUrl,
    DeviceId,
    TopicPrefix,
    /// A list of maps, whose keys are below `name[]`.
    Items {
        max: usize,
    },
    /// Belongs to a later version.
    Reserved,
}

/// The only execution provider of this build.
pub(super) const PROVIDER: &str = "cpu";

const fn key(name: &'static str, default: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, default: Some(default), about, kind, nullable: false }
}

const fn nullable(name: &'static str, default: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, default: Some(default), about, kind, nullable: true }
}

const fn reserved(name: &'static str, about: &'static str) -> Key {
    Key { name, default: None, about, kind: Kind::Reserved, nullable: true }
}

const fn one_of(now: &'static [&'static str]) -> Kind {
    Kind::Choice { now }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

const SHARE: Kind = Kind::Number { min: 0.0, max: 1.0 };

/// All keys, section by section.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    nullable("device.id", "null", Kind::DeviceId, "Name in topics; null takes the host name."),
    nullable("device.name", "null", Kind::Text, "Name for people; null takes the id."),

    key("backbone.model", "default", Kind::Text, "Bundled name, or path of a manifest."),
    key("backbone.threads", "1", Kind::Whole { min: 1, max: 64 }, "Threads within one inference."),
    key("backbone.execution_providers", "[cpu]", Kind::Providers, "What computes; this build has cpu only."),

    key("watch", "[]", Kind::Items { max: 256 }, "Folders whose images are taken."),
    Key { name: "watch[].path", default: None, kind: Kind::Path, nullable: false, about: "The folder, absolute." },
    key("watch[].recursive", "true", Kind::Truth, "Whether folders below count."),
    key("watch[].label_from", "folder", one_of(&["folder", "none"]), "Whether the first folder below names the class."),
    key("watch[].settle", "500ms", Kind::Duration { min: ms(10), max: hours(1) }, "How long a file has to stand still."),
    key("watch[].burst_gap", "0s", Kind::Duration { min: ms(0), max: hours(1) }, "Images closer in time are one burst; 0s: by likeness only."),
    key("watch[].poll", "auto", one_of(Poll::NAMES), "Whether changes are polled for; auto: on network file systems."),

    key("store.path", "/var/lib/edgetuned", Kind::Path, "The state folder, absolute."),
    key("store.precision", "f16", one_of(Precision::NAMES), "Of stored embeddings."),
    key("store.quota_mb", "512", Kind::Whole { min: 1, max: 1_048_576 }, "MiB of samples and unsent messages at most."),
    reserved("store.thumbnails", "Whether small pictures are kept for the page."),

    nullable("training.schedule", "0 3 * * *", Kind::Cron, "Trains at this time when labels changed; null: never."),
    key("training.min_new_labels", "10", Kind::Whole { min: 1, max: 1_000_000 }, "Trains as soon as so many are new."),
    key("training.cooldown", "10m", Kind::Duration { min: ms(0), max: hours(30 * 24) }, "At least between trainings."),
    key("training.head", "softmax", one_of(Head::NAMES), "Kind of head; auto: the simplest that is as good as the best."),
    key("training.solver", "lbfgs", one_of(Solver::NAMES), "What minimises the loss."),
    key("training.l2", "auto", Kind::AutoOrNumber { min: 1e-9, max: 1e6 }, "Penalty on weights; auto: cross-validated."),
    key("training.class_weights", "balanced", one_of(ClassWeights::NAMES), "Whether rare classes count as much."),
    key("training.seed", "0", Kind::Whole { min: 0, max: u64::MAX }, "Of everything random in a training."),
    key("training.max_samples", "20000", Kind::Whole { min: 20, max: 1_000_000 }, "Samples in a training at most."),
    key("training.time_limit", "30m", Kind::Duration { min: ms(1000), max: hours(24) }, "A training may take so long."),
    key("training.priority", "low", one_of(Priority::NAMES), "Of the training's thread against everything else."),
    nullable("training.pause_above_c", "null", Kind::Number { min: 30.0, max: 150.0 }, "Waits while it is hotter, in Celsius."),
    nullable("training.pause_above_load", "null", Kind::Number { min: 0.1, max: 1000.0 }, "Waits while more processes want to run."),

    key("promotion.policy", "gated", one_of(Policy::NAMES), "Who decides on promotion."),
    key("promotion.margin", "0.005", SHARE, "Loss of balanced accuracy that is no worse."),
    key("promotion.max_class_recall_loss", "0.05", SHARE, "Loss of recall allowed in any class."),
    key("promotion.shadow_images", "0", Kind::Whole { min: 0, max: 100_000 }, "Live images that it answers unseen first."),
    key("promotion.instant", "true", Kind::Truth, "Whether a label shows before the next training."),

    key("prediction.top_k", "3", Kind::Whole { min: 1, max: 1000 }, "Labels listed in a prediction."),
    key("prediction.unknown.percentile", "99", Kind::Number { min: 50.0, max: 100.0 }, "More novel than so many known ones is unknown."),
    key("prediction.abstain.alpha", "0.1", Kind::Number { min: 0.001, max: 0.5 }, "Share of images whose set may miss the class."),

    nullable("mqtt.url", "mqtt://localhost:1883", Kind::BrokerUrl, "The broker; null switches MQTT off."),
    key("mqtt.prefix", "edgetuned", Kind::TopicPrefix, "What all topics begin with."),
    nullable("mqtt.username", "null", Kind::Text, "Name at the broker."),
    nullable("mqtt.password_file", "null", Kind::Path, "File with the password."),
    nullable("mqtt.ca_file", "null", Kind::Path, "PEM with the broker's authorities; null: the system's."),
    nullable("mqtt.cert_file", "null", Kind::Path, "PEM with this device's certificate."),
    nullable("mqtt.key_file", "null", Kind::Path, "PEM with the certificate's private key."),
    key("mqtt.spool_mb", "64", Kind::Whole { min: 1, max: 65_536 }, "MiB of unsent messages that are kept."),
    key("mqtt.spool_max_age", "7d", Kind::Duration { min: ms(60_000), max: hours(366 * 24) }, "Older ones are dropped."),
    key("mqtt.max_packet_kb", "1024", Kind::Whole { min: 16, max: 65_536 }, "KiB of the longest packet, either way."),
    key("mqtt.home_assistant", "true", Kind::Truth, "Whether the device announces itself to Home Assistant."),
    key("mqtt.reconnect_max", "1m", Kind::Duration { min: ms(100), max: hours(1) }, "Longest wait before the broker is tried again."),

    reserved("http.listen", "Address of the page and the API."),
    reserved("http.token_file", "File with the token for writes."),
    reserved("http.allowed_hosts", "Host names under which the page may be opened."),

    key("updates.trusted_keys", "[]", Kind::Paths { max: 16 }, "PEM files with the keys of those who may sign updates."),
];

/// The key of that name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Last words of all that stands directly below `section` (`""` for the top): keys and sections, each once.
pub(super) fn below(section: &str) -> Vec<&'static str> {
    let mut words: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| {
            let rest = if section.is_empty() { key.name } else { key.name.strip_prefix(section)?.strip_prefix('.')? };
            let word = rest.split('.').next()?;
            (!word.ends_with("[]")).then_some(word)
        })
        .collect();
    words.dedup();
    words
}

/// The defaults of the keys below `list[]`, or with an empty `list` of all that are in no list.
pub(super) fn defaults(list: &str) -> Taken {
    let mut taken = Taken::default();
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for key in KEYS {
        let owner = key.name.split_once("[].").map_or("", |(list, _)| list);
        if let Some(default) = key.default.filter(|_| owner == list) {
            taken.extend(Reader::new("", &mut problems, &mut warnings).default(key, default));
        }
    }
    assert!(problems.is_empty(), "the table's defaults are of their kinds: {problems:?}");
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_section_stand_together_and_none_comes_twice() {
        let sections: Vec<_> = below("");
        let expected =
            ["device", "backbone", "watch", "store", "training", "promotion", "prediction", "mqtt", "http", "updates"];
        assert_eq!(sections, expected);
        for (at, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..at].iter().all(|former| former.name != key.name), "{}", key.name);
        }
    }

    #[test]
    fn every_key_but_the_path_of_a_watched_folder_has_a_default() {
        let without: Vec<_> =
            KEYS.iter().filter(|key| key.default.is_none() && !key.is_reserved()).map(|key| key.name).collect();
        assert_eq!(without, ["watch[].path"]);
        assert_eq!(defaults("watch").names().count(), below("watch[]").len() - 1);
    }
}
