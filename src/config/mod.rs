//! The configuration: layers of text in, checked settings or every fault at once out.
//!
//! Decides which keys exist ([`KEYS`], the one table behind checks, suggestions, defaults and the schema), what they
//! may hold, and which layer wins: built-in defaults, then the layers in the order given. Maps merge, lists replace.
//! A fault counts even where a later layer overrides it, because the next removal of that layer would meet it.
//!
//! Refuses what the device would only notice at night: unknown and doubled keys, values out of range, settings that
//! contradict each other. Whether files exist is not asked here: nothing in this room touches the disk, the
//! environment or the clock; callers read and hand over text.

mod choice;
mod contradictions;
mod duration;
mod effective;
mod keys;
mod kinds;
mod patch;
mod problem;
mod reader;
mod schema;
mod settings;
mod value;
mod yaml;

pub use keys::{KEYS, Key};
pub use patch::{BadKey, Patched, patched};
pub use problem::Problem;
pub use schema::schema;
pub use settings::{
    Backbone, ClassWeights, Config, Device, Head, L2, Mqtt, Policy, Poll, Precision, Prediction, Priority, Promotion,
    Solver, StoreSettings, Training, Watch,
};

use std::collections::BTreeMap;

use reader::Reader;
use value::Taken;

/// Environment variables that are settings begin with this; see [`env_pairs`].
pub const ENV_PREFIX: &str = "EDGETUNED__";

/// One source of settings; later ones win.
#[derive(Debug, Clone)]
pub struct Layer {
    /// How problems name it: the file's path, `environment` or `command line`.
    pub name: String,
    /// What it says.
    pub source: Source,
}

/// The text of a layer.
#[derive(Debug, Clone)]
pub enum Source {
    /// A YAML document of at most 256 KiB.
    Yaml(String),
    /// Dotted keys with their values in YAML. Where a key holds text, it is taken as it stands unless it is quoted,
    /// so that `* * * * *` needs no quotes within the shell's.
    Pairs(Vec<(String, String)>),
}

/// A configuration that can be run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What was accepted and is without effect.
    pub warnings: Vec<Problem>,
    /// Layer and line of every key that a layer sets, for those who find later that it points at nothing.
    pub places: BTreeMap<String, (String, Option<u64>)>,
}

/// The settings that `layers` give over the built-in defaults; `host_name` names a device that has no `device.id`.
///
/// # Errors
/// Every problem of every layer, in the order of the layers and lines; contradictions between layers come last.
pub fn load(layers: &[Layer], host_name: &str) -> Result<Loaded, Vec<Problem>> {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let mut taken: Taken = keys::defaults("");
    for layer in layers {
        let mut reader = Reader::new(&layer.name, &mut problems, &mut warnings);
        taken.extend(match &layer.source {
            Source::Yaml(text) => reader.document(text),
            Source::Pairs(pairs) => reader.pairs(pairs),
        });
    }
    contradictions::find(&taken, &mut problems, &mut warnings);
    if problems.is_empty() {
        let set = taken.places().filter(|(_, placed)| !placed.file.is_empty());
        let places = set.map(|(key, placed)| (key, (placed.file.clone(), placed.line))).collect();
        Ok(Loaded { config: Config::from_taken(&taken, host_name), warnings, places })
    } else {
        Err(problems)
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
