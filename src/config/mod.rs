//! The configuration: layers of text in, checked settings or every fault at once out.
//!
//! [`KEYS`] is the one table of keys, behind checks, suggestions, defaults, settings and the schema. Layers apply in
//! the order given, over the built-in defaults: maps merge, lists replace. A fault counts even where a later layer
//! overrides it, because it would show when that layer is removed.
//!
//! Refused are unknown and doubled keys, values out of range, and settings that contradict each other: mistakes that
//! the device would otherwise only notice at night. Whether files exist is not checked here: nothing in this module
//! touches the disk, the environment or the clock; callers pass text.

mod check;
mod key;
mod patch;
mod providers;
mod reader;
mod sources;
mod table;
mod tasks;
mod value;
mod written;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;

pub use key::{Key, Kind};
pub use patch::{BadKey, PATCHABLE, Patched, patched};
pub use providers::{ProviderSettings, unknown_remedy};
use reader::Reader;
pub use sources::{Burst, Feed, Http, ImageSource, Rate};
pub use table::{
    Backbone, Config, Device, Door, KEYS, LabelFrom, Mqtt, Prediction, Priority, Promotion, Store, Training, Updates,
    Watch,
};
pub use tasks::{Origin, State, Task, View};
use value::Values;

/// Environment variables that are settings begin with this; see [`env_pairs`].
pub const ENV_PREFIX: &str = "EDGETUNED__";

/// One source of settings; later ones win.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its name in problems: the file's path, `environment` or `command line`.
    pub name: String,
    /// Its text.
    pub source: Source,
}

/// The text of a layer.
#[derive(Debug, Clone)]
pub enum Source {
    /// A YAML document of at most 256 KiB.
    Yaml(String),
    /// Dotted keys with their values in YAML. A key of type text is used unchanged unless it is quoted,
    /// so that `* * * * *` needs no quotes within the shell's.
    Pairs(Vec<(String, String)>),
}

/// A configuration that can be run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What was accepted and has no effect.
    pub warnings: Vec<Problem>,
    /// Layer and line of every key that a layer sets, for problems that are found later, such as a missing file.
    pub places: BTreeMap<String, (String, Option<u64>)>,
}

/// The settings that `layers` give over the built-in defaults; `host_name` names a device that has no `device.id`.
///
/// # Errors
/// Every problem of every layer, in the order of the layers and lines; contradictions between layers come last.
pub fn load(layers: &[Layer], host_name: &str) -> Result<Loaded, Vec<Problem>> {
    let (loaded, problems) = load_valid(layers, host_name);
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// The same whatever is wrong, for whoever looks further: invalid settings have their defaults and no place, invalid
/// items of lists are left out. With every problem.
pub fn load_valid(layers: &[Layer], host_name: &str) -> (Loaded, Vec<Problem>) {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let mut values: Values = key::defaults("");
    for layer in layers {
        let mut reader = Reader::new(&layer.name, &mut problems);
        values.extend(match &layer.source {
            Source::Yaml(text) => reader.document(text),
            Source::Pairs(pairs) => reader.pairs(pairs),
        });
    }
    let id = values.text("device.id").unwrap_or_else(|| id_from_host_name(host_name));
    check::contradictions(&values, &id, &mut problems, &mut warnings);
    values.replace_invalid(&key::defaults(""));
    let set = values.places().into_iter().filter(|(_, located)| !located.file.is_empty());
    let places = set.map(|(key, located)| (key, (located.file.clone(), located.line))).collect();
    values.set_if_null("device.id", || id_from_host_name(host_name));
    let id = values.read::<String>("device.id");
    values.set_if_null("device.name", || id);
    (Loaded { config: Config::read(&values), warnings, places }, problems)
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

/// The pairs among environment variables: `EDGETUNED__MQTT__URL` is `mqtt.url`.
pub fn env_pairs(variables: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, value)| {
            Some((name.strip_prefix(ENV_PREFIX)?.replace("__", ".").to_ascii_lowercase(), value))
        })
        .collect();
    pairs.sort();
    pairs
}

/// One problem: where it is, what was found, what was expected, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Name of the layer.
    pub file: String,
    /// Line in the file, from 1; `None` where the layer has no lines.
    pub line: Option<u64>,
    /// Dotted key, items of lists by `[index]` from 0; empty where the whole file is meant.
    pub key: String,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " found {}, expected {}; {}", self.found, self.expected, self.remedy)
    }
}

impl std::error::Error for Problem {}

/// `text` in quotes on one line, cut to 80 characters.
fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A key that somebody wrote, as problems show it: as it is when it is a word, else in quotes.
fn shown_key(key: &str) -> String {
    const LONGEST: usize = 64;
    let is_word =
        !key.is_empty() && key.len() <= LONGEST && !key.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_word { key.to_owned() } else { quoted(key) }
}
