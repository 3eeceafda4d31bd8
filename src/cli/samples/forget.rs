//! `edgetuned samples forget`: samples that nothing is to be learned from any more.

use super::{Ownership, count_new_labels, no_such_label, owned, reader, sample_named};
use crate::cli::ctl::{self, ForgetWhat};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::config::Config;
use crate::engine::{StoredSample, StoredTask, Write};
use crate::head::BackboneRef;
use crate::shared::settings::precision;
use crate::store::{OpenOptions, Reader, SpacesInUse, Store, StoreError};
use crate::train::LabelStats;
use crate::wire::Forgotten;
use crate::wire::command::Forget;
use crate::words::{Label, SampleId, TaskId};

/// Samples read at a time.
const CHUNK: usize = 256;

/// Which samples: what the store has by the same name.
enum Chosen {
    Images(Vec<SampleId>),
    Class(Label),
}

pub fn forget(config: &Config, what: &ForgetWhat, output: Output) -> Result<(), Failure> {
    let reader = reader(config)?;
    let chosen = if let Some(class) = &what.class {
        Chosen::Class(Label::new(class).map_err(Failure::usage)?)
    } else {
        let rows = reader.sample_rows(&TaskId::default())?;
        Chosen::Images(what.images.iter().map(|image| sample_named(&rows, image)).collect::<Result<_, _>>()?)
    };
    let forgotten = match owned(open(config, &reader))? {
        Ownership::Here(store) => forget_stored(*store, &chosen)?,
        Ownership::Daemon => ctl::ask::<Forget>(config, what.arguments())?,
    };
    let Forgotten { samples, awaited } = forgotten;
    output.print(&forgotten, |out| {
        writeln!(out, "samples forgotten: {samples}, and labels that waited for their image: {awaited}")
    })
}

/// The store with the embeddings that its statistics are of: those of the head in service, or of the latest one.
fn open(config: &Config, reader: &Reader) -> Result<Store, StoreError> {
    let champion = reader.champion(&TaskId::default())?.map(|champion| champion.info);
    let Some(head) = champion.or(reader.heads(&TaskId::default())?.pop()) else {
        return Store::open_existing(&config.store.path);
    };
    let backbone = BackboneRef { name: head.backbone, sha256: head.space.backbone, dim: head.space.dim };
    let options =
        OpenOptions { spaces: SpacesInUse::whole(head.space), backbone: &backbone, precision: precision(Some(config)) };
    Store::open(&config.store.path, &options)
}

fn forget_stored(mut store: Store, chosen: &Chosen) -> Result<Forgotten, Failure> {
    let mut snapshot = store.snapshot()?;
    let StoredTask { samples, training, .. } = std::mem::take(snapshot.default_task());
    let is_chosen = |sample: &&StoredSample| match chosen {
        Chosen::Images(ids) => ids.contains(&sample.id),
        Chosen::Class(class) => sample.label.as_ref().is_some_and(|(label, _)| label == class),
    };
    let samples: Vec<&StoredSample> = samples.iter().filter(is_chosen).collect();
    let ids: Vec<SampleId> = samples.iter().map(|sample| sample.id).collect();
    let labelled = samples.iter().filter(|sample| sample.label.is_some()).count();
    let class = if let Chosen::Class(class) = chosen { Some(class) } else { None };
    let awaited: Vec<String> = (snapshot.awaited.iter())
        .filter(|awaited| Some(&awaited.label) == class)
        .map(|awaited| awaited.prefix.clone())
        .collect();
    let forgotten = Forgotten { samples: ids.len(), awaited: awaited.len() };
    if let Some(class) = class.filter(|_| forgotten == Forgotten::default()) {
        return Err(no_such_label(class));
    }
    let mut writes: Vec<Write> =
        awaited.into_iter().map(|prefix| Write::DeletePendingLabel { task: TaskId::default(), prefix }).collect();
    writes.extend(
        statistics_without(&store.reader()?, &ids)?.map(|file| Write::Statistics { task: TaskId::default(), file }),
    );
    writes.push(Write::DeleteOtherStatistics);
    writes.extend(ids.into_iter().map(|id| Write::DeleteSample { id }));
    writes.push(count_new_labels(&training, labelled));
    store.commit(&writes)?;
    Ok(forgotten)
}

/// The statistics of all labels without these samples; `None` where there are none that can be read.
fn statistics_without(reader: &Reader, ids: &[SampleId]) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(Ok(mut statistics)) = reader.statistics(&TaskId::default())?.map(|file| LabelStats::from_bytes(&file))
    else {
        return Ok(None);
    };
    for ids in ids.chunks(CHUNK) {
        let samples = reader.labels_of(&TaskId::default(), ids)?;
        statistics.remove_all(samples.iter().filter_map(|sample| Some((sample.id, sample.embedding.as_deref()?))));
    }
    Ok(Some(statistics.to_bytes()))
}
