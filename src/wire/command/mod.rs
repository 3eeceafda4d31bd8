//! What a request asks for: a file for each command, and the table of all of them.
//!
//! A command's file has its name, its arguments and the data of its answer; [`Spec`] lists what else a command states
//! about itself. The table below is the only list of commands. From it follow [`Command`], how requests are read, what
//! `GET` and `edgetuned ctl` offer, Home Assistant's buttons and `docs/asyncapi.yaml`. What a command does is decided
//! where the engine matches on [`Command`].

mod burst;
mod config;
mod exclude;
mod export;
mod forget;
mod heads;
mod import;
mod label;
mod predict;
mod promote;
mod purge;
mod relabel;
mod reload;
mod rescan;
mod review;
mod rollback;
mod samples;
mod score;
mod statistics;
mod status;
mod switch;
mod train;
mod tune;
mod undo;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Answer;
use super::payload::{BadPayload, from_json};
use crate::words::TaskId;

pub use burst::Burst;
pub use config::{Config, ConfigChange, ConfigChanges, ConfigData, ConfigReport};
pub use exclude::{Exclude, Excluded};
pub use export::{Export, Exported};
pub use forget::{Forget, Forgotten};
pub use heads::{HeadEntry, Heads};
pub use import::{Import, ImportCounts, Imported};
pub use label::{
    BadImagePrefix, ImagePrefix, Label, LabelConflict, LabelItem, LabelsTaken, MAX_CONFLICTS, MAX_LABEL_ITEMS,
    parse_labels,
};
pub use predict::{Predict, Prediction, PredictionBody, TopLabel, mark_replayed};
pub use promote::{Promote, Promoted};
pub use purge::{Purge, Purged};
pub use relabel::Relabel;
pub use reload::Reload;
pub use rescan::Rescan;
pub use review::{
    MAX_REVIEW_ITEMS, Review, ReviewAdvice, ReviewItem, ReviewItems, ReviewList, ReviewNeighbour, ReviewReason,
};
pub use rollback::{Rollback, RolledBack};
pub use samples::{MAX_SAMPLES, SampleEntry, Samples};
pub use score::Score;
pub use statistics::{STATISTICS_MAX, Statistics, StatisticsPart};
pub use status::{Link, Status, StatusReport};
pub use switch::{Switch, SwitchPhase, SwitchReport, Switching};
pub use train::{Train, TrainAccepted};
pub use tune::Tune;
pub use undo::{MAX_RESTORED, Restored, Undo, Undone};

/// Makes [`Command`] and its table from the list of the types that are commands.
macro_rules! commands {
    ($($command:ident,)+) => {
        /// A command with its arguments, checked.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Command {
            $(#[doc = concat!("See [`", stringify!($command), "`].")] $command($command),)+
            /// Something that this version does not know; it is answered with an error.
            Unknown,
        }

        impl Command {
            /// Every command, in the order in which they are published.
            pub const ALL: &'static [Entry] = &[$(Entry::of::<$command>(),)+];
            /// The names of all commands, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($command::NAME,)+];

            /// Whether it changes something durable, so that it cannot be done while nothing can be stored.
            #[must_use]
            pub fn changes(&self) -> bool {
                match self {
                    $(Self::$command(command) => command.effect() == Effect::Changes,)+
                    Self::Unknown => false,
                }
            }

            /// Whether it changes nothing and repeats no work.
            #[must_use]
            pub fn only_reads(&self) -> bool {
                match self {
                    $(Self::$command(command) => command.effect() == Effect::Reads,)+
                    Self::Unknown => false,
                }
            }

            /// Whether it is about one task, and does not say itself which.
            #[must_use]
            pub fn needs_task(&self) -> bool {
                match self {
                    $(Self::$command(command) => command.needs_task(),)+
                    Self::Unknown => false,
                }
            }
        }

        $(
            impl From<$command> for Command {
                fn from(command: $command) -> Self {
                    Self::$command(command)
                }
            }
        )+
    };
}

commands! {
    Train,
    Tune,
    Rescan,
    Reload,
    Rollback,
    Promote,
    Predict,
    Samples,
    Heads,
    Export,
    Status,
    Review,
    Label,
    Relabel,
    Exclude,
    Import,
    Undo,
    Forget,
    Switch,
    Burst,
    Purge,
    Config,
    Statistics,
    Score,
}

/// What a command states about itself.
pub trait Spec: Sized {
    /// Its name in `request/<name>`: 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    const NAME: &'static str;
    /// What it does, in one sentence.
    const ABOUT: &'static str;
    /// The most that it may change.
    const EFFECT: Effect;
    /// Its arguments, as a refusal shows them: `{head}`.
    const SHAPE: &'static str = "a request";
    /// Arguments that are numbers or true and false; the query of a `GET` has all others as text.
    const NOT_TEXT: &'static [&'static str] = &[];
    /// The name of its button in Home Assistant; `None` without one.
    const BUTTON: Option<&'static str> = None;
    /// The arguments as they are sent; [`Empty`] for none. Unknown fields are ignored.
    type Arguments: DeserializeOwned + Schema;
    /// The data of its answer; [`Empty`] where success says everything.
    type Data: Serialize + DeserializeOwned + Schema;

    /// Checks the arguments.
    ///
    /// # Errors
    /// [`BadPayload`] when an argument is out of bounds or contradicts another one.
    fn check(arguments: Self::Arguments) -> Result<Self, BadPayload>;

    /// Whether it is about one task, so that it cannot be carried out where nobody can tell which.
    fn needs_task(&self) -> bool {
        true
    }

    /// What it may change with these arguments: a dry run only reads.
    fn effect(&self) -> Effect {
        Self::EFFECT
    }

    /// The answer that carries `data`.
    fn answer(data: &Self::Data) -> Answer {
        Answer::ok(data)
    }
}

/// What a command may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it can be repeated without a transaction.
    Reads,
    /// Nothing durable, but repeating it does the work again.
    Works,
    /// Something durable: it is refused while nothing can be stored.
    Changes,
}

/// An object without fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(inline, extend("maxProperties" = 0)))]
pub struct Empty {}

/// A row of the table: what the rest of the program needs to know of a command without its type.
#[derive(Debug)]
pub struct Entry {
    /// [`Spec::NAME`].
    pub name: &'static str,
    /// [`Spec::ABOUT`].
    pub about: &'static str,
    /// [`Spec::EFFECT`].
    pub effect: Effect,
    /// [`Spec::NOT_TEXT`].
    pub not_text: &'static [&'static str],
    /// [`Spec::BUTTON`].
    pub button: Option<&'static str>,
    read: fn(&[u8]) -> Result<Command, BadPayload>,
    /// The schemas of its arguments and data, for AsyncAPI.
    #[cfg(test)]
    pub(super) schemas: fn(&mut super::asyncapi::SchemaSet) -> (serde_json::Value, serde_json::Value),
    /// Reads data of an answer and writes it again.
    #[cfg(test)]
    pub(super) data_again: fn(serde_json::Value) -> serde_json::Result<serde_json::Value>,
}

impl Entry {
    const fn of<C: Spec + Into<Command>>() -> Self {
        Self {
            name: C::NAME,
            about: C::ABOUT,
            effect: C::EFFECT,
            not_text: C::NOT_TEXT,
            button: C::BUTTON,
            read: read::<C>,
            #[cfg(test)]
            schemas: |set| (super::asyncapi::received::<C::Arguments>(), set.of::<C::Data>()),
            #[cfg(test)]
            data_again: |data| serde_json::to_value(serde_json::from_value::<C::Data>(data)?),
        }
    }

    /// Whether `GET` serves it: it only reads and needs no argument.
    #[must_use]
    pub fn is_gettable(&self) -> bool {
        self.only_reads(b"{}")
    }

    /// Whether it does more than reading with these arguments, a JSON object.
    #[must_use]
    pub fn would_change(&self, arguments: &[u8]) -> bool {
        (self.read)(arguments).is_ok_and(|command| !command.only_reads())
    }

    /// Whether it only reads with these arguments, a JSON object.
    #[must_use]
    pub fn only_reads(&self, arguments: &[u8]) -> bool {
        (self.read)(arguments).is_ok_and(|command| command.only_reads())
    }
}

fn read<C: Spec + Into<Command>>(payload: &[u8]) -> Result<Command, BadPayload> {
    C::check(from_json(payload, C::SHAPE)?).map(Into::into)
}

impl Command {
    /// The command with this name.
    #[must_use]
    pub fn entry(name: &str) -> Option<&'static Entry> {
        Self::ALL.iter().find(|entry| entry.name == name)
    }

    /// Reads the arguments of the request `name` from its payload, a JSON object.
    ///
    /// # Errors
    /// [`BadPayload`] when an argument is missing or not what it should be.
    pub(super) fn parse(name: &str, payload: &[u8]) -> Result<Self, BadPayload> {
        Self::entry(name).map_or(Ok(Self::Unknown), |entry| (entry.read)(payload))
    }

    /// Lets it be about `task`, as the request says that carries it.
    ///
    /// # Errors
    /// The reason, where it says itself that it is about another one.
    pub(super) fn be_about(&mut self, task: &TaskId) -> Result<(), String> {
        match self {
            Self::Label(Label { items }) | Self::Import(Import { items, .. }) => label::all_about(items, task),
            _ => Ok(()),
        }
    }
}

/// In tests, arguments and data have a JSON Schema.
#[cfg(test)]
pub use schemars::JsonSchema as Schema;

/// In tests, arguments and data have a JSON Schema; the program does without.
#[cfg(not(test))]
pub trait Schema {}

#[cfg(not(test))]
impl<T> Schema for T {}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;

    #[test]
    fn every_command_is_read_by_its_name() {
        for name in Command::NAMES {
            // What is forgotten is named by its label or by images, and not by both.
            let images = if *name == "forget" { "" } else { r#""images":["abcdef01"],"# };
            let arguments = format!(
                r#"{{{images}"head":"abcd","image":"abcdef01","items":[],"from":"a","to":"b","label":"c","backbone":"d","source":"e","task":"f"}}"#
            );
            let request = Request::parse(name, arguments.as_bytes()).unwrap();
            assert_ne!(request.command, Command::Unknown, "{name}");
        }
        assert_eq!(Command::parse("fly", b"{}"), Ok(Command::Unknown));
    }

    #[test]
    fn refusals_of_arguments_carry_the_transaction() {
        for (name, payload) in [
            ("promote", r#"{"transaction":"7f"}"#),
            ("predict", r#"{"transaction":"7f","image":"abc"}"#),
            ("samples", r#"{"transaction":"7f","limit":0}"#),
            ("label", r#"{"transaction":"7f","items":[{"image":"abcdef01"}]}"#),
        ] {
            let error = Request::parse(name, payload.as_bytes()).unwrap_err();
            assert_eq!(error.transaction.as_deref(), Some("7f"), "{name}");
        }
    }

    #[test]
    fn effects_are_as_published() {
        let with = |effect| -> Vec<_> {
            Command::ALL.iter().filter(|entry| entry.effect == effect).map(|entry| entry.name).collect()
        };
        assert_eq!(with(Effect::Reads), ["predict", "samples", "heads", "status", "review"]);
        assert_eq!(with(Effect::Works), ["rescan", "export", "burst", "statistics", "score"]);
        assert_eq!(
            with(Effect::Changes),
            [
                "train", "tune", "reload", "rollback", "promote", "label", "relabel", "exclude", "import", "undo",
                "forget", "switch", "purge", "config"
            ]
        );
    }

    /// Reads the arguments of one command; a refusal as text.
    pub fn read<C: Spec>(arguments: &str) -> Result<C, String> {
        let read = from_json(arguments.as_bytes(), C::SHAPE).and_then(C::check);
        read.map_err(|error| error.to_string())
    }
}
