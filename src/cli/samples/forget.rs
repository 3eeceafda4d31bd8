//! `edgetuned samples forget`: samples that nothing is to be learned from any more.

use std::collections::BTreeSet;

use super::{Ownership, count_new_labels, no_such_label, owned, reader, sample_named};
use crate::cli::ctl::{self, ForgetWhat};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::task::TaskChoice;
use crate::config::Config;
use crate::engine::{PendingLabel, StoredSample, StoredTask, Write};
use crate::head::BackboneRef;
use crate::shared::settings::precision;
use crate::shared::views::spaces_in_use;
use crate::store::{OpenOptions, Reader, Store, StoreError};
use crate::train::LabelStats;
use crate::wire::Forgotten;
use crate::wire::command::Forget;
use crate::words::{EmbeddingSpace, Label, SampleId, TaskId};

/// Samples read at a time.
const CHUNK: usize = 256;

/// Which samples: what the store has by the same name.
enum Chosen {
    Images(Vec<SampleId>),
    Class(TaskId, Label),
}

/// An image is forgotten in every task; a class is one of a task.
pub fn forget(config: &Config, asked: &TaskChoice, what: &ForgetWhat, output: Output) -> Result<(), Failure> {
    let task = (what.class.is_some() || asked.task.is_some()).then(|| asked.meant(config)).transpose()?;
    let reader = reader(config)?;
    let chosen = if let (Some(class), Some(task)) = (&what.class, &task) {
        Chosen::Class(task.id().clone(), Label::new(class).map_err(Failure::usage)?)
    } else {
        let samples = reader.snapshot()?.samples;
        let named = what.images.iter().map(|image| sample_named(samples.iter().copied(), image));
        Chosen::Images(named.collect::<Result<_, _>>()?)
    };
    let forgotten = match owned(open(config, &reader))? {
        Ownership::Here(store) => forget_stored(*store, config, &chosen)?,
        Ownership::Daemon => {
            let arguments = what.arguments();
            ctl::ask::<Forget>(config, task.map_or(arguments.clone(), |task| task.asks(arguments)))?
        }
    };
    let Forgotten { samples, awaited } = forgotten;
    output.print(&forgotten, |out| {
        writeln!(out, "samples forgotten: {samples}, and labels that waited for their image: {awaited}")
    })
}

/// The store with the embeddings that its statistics are of: what its tasks look through with the backbone that served
/// last.
fn open(config: &Config, reader: &Reader) -> Result<Store, StoreError> {
    let Some((name, whole)) = last_served(reader)? else { return Store::open_existing(&config.store.path) };
    let backbone = BackboneRef { name, sha256: whole.backbone, dim: whole.dim };
    let spaces = spaces_in_use(config, whole);
    Store::open(&config.store.path, &OpenOptions { spaces, backbone: &backbone, precision: precision(Some(config)) })
}

/// The backbone that served last, and its embeddings of whole pictures. Stores of older versions, which have one task, do
/// not say: it is that of the head in service then, or of the latest one.
fn last_served(reader: &Reader) -> Result<Option<(String, EmbeddingSpace)>, StoreError> {
    if let Some(served) = reader.startup_state()?.backbone.served {
        return Ok(Some((served.name, served.space)));
    }
    let champion = reader.champion(&TaskId::default())?.map(|champion| champion.info);
    let head = champion.or(reader.heads(&TaskId::default())?.pop());
    Ok(head.map(|head| (head.backbone, head.space)))
}

fn forget_stored(mut store: Store, config: &Config, chosen: &Chosen) -> Result<Forgotten, Failure> {
    let snapshot = store.snapshot()?;
    let of_class = |task: &TaskId, class: &Label| -> Vec<SampleId> {
        let samples = snapshot.tasks.get(task).map_or(&[][..], |stored| &stored.samples);
        let is_chosen = |sample: &&StoredSample| sample.label.as_ref().is_some_and(|(label, _)| label == class);
        samples.iter().filter(is_chosen).map(|sample| sample.id).collect()
    };
    let (ids, awaited) = match chosen {
        Chosen::Images(ids) => (snapshot.samples.iter().copied().filter(|id| ids.contains(id)).collect(), Vec::new()),
        Chosen::Class(task, class) => {
            let waits = |awaited: &&PendingLabel| awaited.task == *task && awaited.label == *class;
            (of_class(task, class), snapshot.awaited.iter().filter(waits).collect())
        }
    };
    let forgotten = Forgotten { samples: ids.len(), awaited: awaited.len() };
    if let Chosen::Class(_, class) = chosen
        && forgotten == Forgotten::default()
    {
        return Err(no_such_label(class));
    }
    let waited =
        |label: &PendingLabel| Write::DeletePendingLabel { task: label.task.clone(), prefix: label.prefix.clone() };
    let mut writes: Vec<Write> = awaited.into_iter().map(waited).collect();
    let reader = store.reader()?;
    for task in reader.spaces().tasks() {
        let file = statistics_without(&reader, task, &ids)?;
        writes.extend(file.map(|file| Write::Statistics { task: task.clone(), file }));
    }
    writes.push(Write::DeleteOtherStatistics);
    writes.extend(ids.iter().map(|id| Write::DeleteSample { id: *id }));
    let gone: BTreeSet<SampleId> = ids.into_iter().collect();
    for task in config.all_tasks() {
        let Some(StoredTask { samples, training, .. }) = snapshot.tasks.get(&task.id) else { continue };
        let is_learned = |sample: &&StoredSample| sample.label.is_some() && !sample.excluded;
        let labelled = samples.iter().filter(is_learned).filter(|sample| gone.contains(&sample.id)).count();
        writes.push(count_new_labels(&task.id, training, labelled));
    }
    drop(reader);
    store.commit(&writes)?;
    Ok(forgotten)
}

/// The statistics of all labels of a task without these samples; `None` where there are none that can be read.
fn statistics_without(reader: &Reader, task: &TaskId, ids: &[SampleId]) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(Ok(mut statistics)) = reader.statistics(task)?.map(|file| LabelStats::from_bytes(&file)) else {
        return Ok(None);
    };
    for ids in ids.chunks(CHUNK) {
        let samples = reader.labels_of(task, ids)?;
        statistics.remove_all(samples.iter().filter_map(|sample| Some((sample.id, sample.embedding.as_deref()?))));
    }
    Ok(Some(statistics.to_bytes()))
}
