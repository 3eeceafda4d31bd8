//! One of every write, and every question.

use std::ops::ControlFlow;

use super::*;
use crate::engine::{BrokerRecord, ConfigPatch, UpdateRecord, Write};
use crate::wire::UpdateKind;
use crate::words::Region;

fn door() -> TaskId {
    "door".parse().unwrap()
}

fn left() -> Region {
    "0,0,0.5,1".parse().unwrap()
}

/// The default task looks at whole pictures, `door` at their left halves or all of them.
pub(super) fn open(folder: &Path) -> Store {
    let spaces = SpacesInUse::whole(space("a"))
        .with(door(), vec![(left(), space("a").within(&left())), (Region::WHOLE, space("a"))]);
    let backbone = backbone();
    Store::open(folder, &OpenOptions { spaces, ..options(&backbone) }).unwrap()
}

pub(super) fn run(store: &mut Store, reader: &Reader) {
    store.commit(&every_write()).unwrap();
    let json = |text: &str| serde_json::from_str::<UpdateRecord>(text).unwrap();
    let Write::Sample(mut pictured) = sample(6) else { unreachable!() };
    (pictured.thumbnail, pictured.picture) = (Some(vec![1]), Some(vec![2]));
    let read_elsewhere = HeadRecord {
        dense: DenseHead::linear(space("b"), head(1).dense.classes, Array2::zeros((2, DIM)), Array1::zeros(2)),
        ..*head(7)
    };
    store
        .commit(&[
            Write::Sample(pictured),
            Write::Thumbnail { id: id(1), jpeg: vec![3] },
            Write::DeletePicture { id: id(6) },
            Write::Look { task: door(), id: id(1), space: space("a").within(&left()) },
            Write::DeleteFile { path: path(2) },
            Write::Head { task: task(), record: Box::new(read_elsewhere) },
            Write::StateRecord { task: task(), record: Box::default() },
            Write::DeleteOtherStatistics,
            Write::DeleteOtherSpaces,
            Write::ConfigPatchState(ConfigPatch::default()),
            Write::BackboneState(Box::default()),
            Write::BrokerRecord(BrokerRecord::default()),
            Write::UpdateState { kind: UpdateKind::Head, memory: Box::new(json("{}")) },
            Write::Chunk { kind: UpdateKind::Head, n: 0, bytes: vec![1] },
        ])
        .unwrap();
    store
        .database
        .write("test", |transaction| spaces::add_space(transaction, &space("c"), "c", Some(&left())))
        .unwrap();
    store.snapshot().unwrap();
    store.startup_state().unwrap();
    questions(reader).unwrap();
    store.commit(&[Write::DeleteChunks(UpdateKind::Head), Write::PurgeTask { task: door() }]).unwrap();
}

fn questions(reader: &Reader) -> Result<(), StoreError> {
    let (task, id, space) = (task(), id(1), space("a"));
    reader.snapshot()?;
    reader.file_is_known(&path(1), stamp(1))?;
    reader.file_was_let_go(&path(1), stamp(1))?;
    reader.files_of(&id)?;
    reader.files_below(Path::new("/srv"), Path::new(""), 10)?;
    reader.recent(&space, 10)?;
    reader.predicted(&task, &id)?;
    reader.prevailing_space()?;
    reader.heads(&task)?;
    reader.head(&task, 1)?;
    reader.champion(&task)?;
    reader.answers_after(0, 10)?;
    reader.reports_after(0, 10)?;
    reader.outbox_newest()?;
    reader.stored_of(&task)?;
    reader.stored_tasks()?;
    reader.counts()?;
    reader.room()?;
    reader.samples(&task)?;
    let all = SampleFilter { limit: 9, after: Some(&id), label: None, unlabelled: false };
    reader.samples_of(&task, &all)?;
    reader.sample_rows(&task)?;
    reader.folded(&task)?;
    reader.evictable()?;
    reader.looked_at()?;
    reader.origin(&id)?;
    reader.labelled(&task)?;
    reader.labels_of(&task, &[id])?;
    reader.labelled_since(&task, None)?;
    reader.unlabelled(&task, 10, None)?;
    reader.label_origins(&task)?;
    reader.disbelieved(&task)?;
    reader.statistics(&task)?;
    reader.embedding(&id, &space)?;
    reader.each_index_row(&task, |_| {})?;
    reader.each_embedding(&task, |_, _| {})?;
    reader.each_labelled(&task, |_, _, _| {})?;
    reader.sample_beginning(&[0, 1])?;
    reader.embedding_for(&task, &id)?;
    reader.label_history(&task, &id)?;
    reader.change(None, 100)?;
    reader.change(Some(1), 100)?;
    reader.is_looked_at(&task, &id, &space)?;
    reader.seen_samples(0, 10)?;
    reader.thumbnail(&id)?;
    reader.has_thumbnail(&id)?;
    reader.picture(&id)?;
    reader.has_picture(&id)?;
    reader.last_picture(&"porch".parse().unwrap())?;
    reader.trainings(&task, 5)?;
    reader.events(5)?;
    reader.answered_training(&task, None)?;
    reader.chunks(UpdateKind::Head, |_, _| ControlFlow::Continue(()))
}

/// What offline commands keep of images.
pub(super) fn cached(folder: &Path, trace: &Trace) {
    let mut cache = cache(folder, "b");
    trace.follow(&mut cache.database.connection);
    cache.put_bytes([(&id(1), &[1][..])]).unwrap();
    cache.get_bytes(&id(1)).unwrap();
    cache.put([(&id(2), &embedding(2)[..])]).unwrap();
    cache.get(&id(2)).unwrap();
}
