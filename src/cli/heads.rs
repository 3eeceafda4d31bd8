//! `edgetuned heads`: the heads in the store.

use serde::Serialize;
use serde_json::json;

use super::args::{Args, Heads, HeadsCommand as Command};
use super::failure::{Failure, one_line_chain};
use super::figures::write_figures;
use super::now;
use super::output::{self, Output};
use super::ownership::{Ownership, owned};
use super::task::Meant;
use super::{configuration, ctl};
use crate::config::Config;
use crate::engine::{HeadInfo, HeadStatus, Registry};
use crate::head::{Figures, HeadRecord, TrainingFacts};
use crate::store::{Reader, SpacesInUse, Store};
use crate::wire::HeadEntry;
use crate::wire::command;

/// A head by itself.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    row: HeadEntry,
    training: TrainingFacts,
    /// Of a head with a second phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    tuning: Option<ShownTuning>,
    figures: Option<Figures>,
}

/// What a head has besides its layer.
#[derive(Debug, Serialize)]
struct ShownTuning {
    /// The tensor of the backbone at which its own layers begin.
    layers_from: String,
    weights: usize,
    values: usize,
    /// On the same held-out images as the figures of the head.
    first_phase: Option<Figures>,
}

/// The heads of a task in the store.
struct Stored<'a> {
    config: &'a Config,
    task: Meant,
    reader: Reader,
}

pub fn heads(args: &Args, heads: &Heads, output: Output) -> Result<(), Failure> {
    let config = configuration::load(args)?;
    let task = heads.task.meant(&config)?;
    let reader = Reader::open(&config.store.path, SpacesInUse::default())?;
    let stored = Stored { config: &config, task, reader };
    match &heads.command {
        Command::List => stored.list(output),
        Command::Show { id } => stored.show(id, output),
        Command::Promote { id } => stored.promote(id, output),
        Command::Rollback => stored.roll_back(output),
    }
}

impl Stored<'_> {
    fn list(&self, output: Output) -> Result<(), Failure> {
        let rows: Vec<HeadEntry> = self.heads()?.iter().map(HeadEntry::from).collect();
        output.print(&rows, |out| output::heads(&rows, out))
    }

    fn show(&self, id: &str, output: Output) -> Result<(), Failure> {
        let info = self.find(id)?;
        let record = self.record(&info)?;
        let tuning = record.tuning.map(|tuning| ShownTuning {
            layers_from: tuning.tail.input,
            weights: tuning.tail.weights.len(),
            values: tuning.tail.weights.iter().map(|weight| weight.values.len()).sum(),
            first_phase: tuning.figures,
        });
        let shown = Shown { row: (&info).into(), training: record.training, tuning, figures: record.figures };
        output.print(&shown, |out| {
            let row = &shown.row;
            writeln!(out, "head {} ({}), {:?}: {}", row.version, row.id, row.status, row.reason)?;
            let TrainingFacts { n_train, kind, .. } = &shown.training;
            writeln!(out, "trained {} on {n_train} samples with {}, kind {kind}", row.created, row.backbone)?;
            if let Some(ShownTuning { layers_from, weights, values, first_phase }) = &shown.tuning {
                writeln!(out, "tuned: {weights} weights ({values} values) of the backbone from {layers_from} on")?;
                for (phase, figures) in [(1, first_phase), (2, &shown.figures)] {
                    if let Some(Figures { accuracy, log_loss, .. }) = figures {
                        let accuracy = 100.0 * accuracy;
                        writeln!(
                            out,
                            "phase {phase}: accuracy {accuracy:.1} %, log-loss {log_loss:.3} on held-out images"
                        )?;
                    }
                }
            }
            shown.figures.as_ref().map_or(Ok(()), |figures| write_figures(figures, &row.classes, out))
        })
    }

    fn promote(&self, id: &str, output: Output) -> Result<(), Failure> {
        let info = self.find(id)?;
        match self.open(&info)? {
            Ownership::Here(mut store) => {
                let mut heads = Registry::new(self.heads()?, info.space);
                let (version, reason) = (info.head.version, "promoted by hand".to_owned());
                store.commit(&[heads.set(self.task.id().clone(), version, HeadStatus::Champion, reason, now())])?;
            }
            Ownership::Daemon => {
                let arguments = self.task.asks(json!({ "head": info.head.version }));
                drop(ctl::ask::<command::Promote>(self.config, arguments)?);
            }
        }
        self.say(info.head.version, output)
    }

    fn roll_back(&self, output: Output) -> Result<(), Failure> {
        let nothing = || Failure::failed("no earlier head is kept; 'edgetuned heads list' shows those that are");
        let champion = self.reader.champion(self.task.id())?.ok_or_else(nothing)?.info;
        let to = match self.open(&champion)? {
            Ownership::Here(mut store) => {
                let mut heads = Registry::new(self.heads()?, champion.space);
                let rollback = heads.roll_back(self.task.id().clone(), now(), "by hand").ok_or_else(nothing)?;
                store.commit(&rollback.writes)?;
                rollback.to
            }
            Ownership::Daemon => {
                let answer = ctl::ask::<command::Rollback>(self.config, self.task.asks(json!({})))?;
                answer.head.ok_or_else(nothing)?
            }
        };
        self.say(to.version, output)
    }

    fn heads(&self) -> Result<Vec<HeadInfo>, Failure> {
        Ok(self.reader.heads(self.task.id())?)
    }

    fn record(&self, info: &HeadInfo) -> Result<HeadRecord, Failure> {
        let stored = self.reader.head(self.task.id(), info.head.version)?.ok_or_else(|| gone(&info.head.id.0))?;
        HeadRecord::from_bytes(&stored.bytes).map_err(|error| Failure::failed(one_line_chain(&error)))
    }

    /// The store for changing which head serves. Nothing is done with a head that is to be put in service, or taken out
    /// of it, and cannot be read. Embeddings, whichever tasks look through them, stay as they are.
    fn open(&self, info: &HeadInfo) -> Result<Ownership, Failure> {
        self.record(info)?;
        owned(Store::open_existing(&self.config.store.path))
    }

    fn say(&self, version: u64, output: Output) -> Result<(), Failure> {
        let row = HeadEntry::from(&self.find(&version.to_string())?);
        output.print(&row, |out| writeln!(out, "head {} ({}) is champion", row.version, row.id))
    }

    /// A head by version or by the start of its id.
    fn find(&self, id: &str) -> Result<HeadInfo, Failure> {
        let heads = self.heads()?;
        let by_version = heads.iter().find(|info| info.head.version.to_string() == id);
        let by_id = || heads.iter().rev().find(|info| id.len() >= 4 && info.head.id.0.starts_with(id));
        by_version.or_else(by_id).cloned().ok_or_else(|| gone(id))
    }
}

fn gone(id: &str) -> Failure {
    Failure::failed(format!("there is no head {id}; 'edgetuned heads list' shows all"))
}
