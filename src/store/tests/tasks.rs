//! Several tasks in one store: what belongs to one is none of another's, images and embeddings are shared.

use super::*;
use crate::engine::Before;
use crate::words::Region;

fn door() -> TaskId {
    TaskId::new("door").unwrap()
}

fn left() -> Region {
    Region::rectangle([0.0, 0.0, 0.5, 1.0]).unwrap()
}

/// The space of the left half of a picture, by this backbone.
fn half(backbone: &str) -> EmbeddingSpace {
    let whole = space(backbone);
    EmbeddingSpace { preprocessing: left().within(whole.preprocessing), ..whole }
}

/// The default task looks at whole pictures, the door at the left half or at the whole picture.
fn two(backbone: &str) -> SpacesInUse {
    let spaces = vec![(left(), half(backbone)), (Region::WHOLE, space(backbone))];
    SpacesInUse::whole(space(backbone)).with(door(), spaces)
}

fn open_two(folder: &Path, backbone: &str) -> Store {
    let reference = self::backbone();
    Store::open(folder, &OpenOptions { spaces: two(backbone), ..options(&reference) }).unwrap()
}

/// What the left half of sample `n` shows.
fn half_embedding(n: u64) -> Vec<f32> {
    vec![0.25, n as f32, 0.5, -1.0]
}

/// A sample that both tasks look at, the door at its left half.
fn seen_by_both(n: u64) -> Write {
    let Write::Sample(mut new) = sample(n) else { unreachable!() };
    new.embeddings.push((half("a"), half_embedding(n)));
    new.looks.push(Look { task: door(), space: half("a"), predicted: None });
    Write::Sample(new)
}

/// This write of the default task for the door.
fn of_door(write: Write) -> Write {
    let task = door();
    match write {
        Write::Label { id, label, source, at, change, .. } => Write::Label { task, id, label, source, at, change },
        Write::HeadStatus { version, status, reason, at, .. } => {
            Write::HeadStatus { task, version, status, reason, at }
        }
        Write::Head { record, .. } => Write::Head { task, record },
        Write::Folder { id, class, in_doubt, .. } => Write::Folder { task, id, class, in_doubt },
        Write::PendingLabel(label) => Write::PendingLabel(PendingLabel { task, ..label }),
        Write::DeletePendingLabel { prefix, .. } => Write::DeletePendingLabel { task, prefix },
        Write::TrainingState { state, .. } => Write::TrainingState { task, state },
        Write::LiveState { state, .. } => Write::LiveState { task, state },
        Write::Statistics { file, .. } => Write::Statistics { task, file },
        Write::DeleteHead { version, .. } => Write::DeleteHead { task, version },
        other => panic!("{other:?} is of no task"),
    }
}

/// One of everything that a task has, told apart from another task's by `n`.
fn everything(n: u64) -> Vec<Write> {
    let state = TrainingState { new_labels: n, ..TrainingState::default() };
    let live = serde_json::from_str(&format!(r#"{{"evicted": {n}}}"#)).unwrap();
    vec![
        labelled_by(1, Some(["gear", "nut"][n as usize % 2]), LabelSource::Mqtt, 10, Some(n)),
        Write::Folder { task: task(), id: id(2), class: Some(label("nut")), in_doubt: true },
        Write::PendingLabel(awaited("0123abcd", ["gear", "nut"][n as usize % 2])),
        Write::Head { task: task(), record: head(1) },
        Write::Head { task: task(), record: head(1 + n) },
        status(1 + n, HeadStatus::Champion, 80),
        Write::TrainingState { task: task(), state },
        Write::LiveState { task: task(), state: live },
        Write::Statistics { task: task(), file: vec![n as u8; 9] },
    ]
}

/// Every row of what a task has, of samples in order.
fn dump_of(store: &Store, task: &TaskId) -> Vec<String> {
    dump(store).into_iter().filter(|row| row.contains(&format!("{:?}", task.as_str().as_bytes()))).collect()
}

#[test]
fn what_one_task_writes_changes_nothing_of_another() {
    let folder = folder();
    let mut store = open_two(folder.path(), "a");
    store.commit(&[seen_by_both(1), seen_by_both(2)]).unwrap();
    store.commit(&everything(1)).unwrap();
    let before = dump_of(&store, &task());
    assert!(before.len() > 7, "{before:#?}");
    store.commit(&everything(4).into_iter().map(of_door).collect::<Vec<_>>()).unwrap();
    assert_eq!(dump_of(&store, &task()), before);
    store
        .commit(&[
            of_door(Write::DeleteHead { task: task(), version: 1 }),
            of_door(labelled(1, None, 20)),
            of_door(Write::DeletePendingLabel { task: task(), prefix: "0123abcd".into() }),
        ])
        .unwrap();
    assert_eq!(dump_of(&store, &task()), before);

    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.samples, [id(1), id(2)]);
    let [default, door_] = [&snapshot.tasks[&task()], &snapshot.tasks[&door()]];
    assert_eq!(default.samples[0].label, Some((label("nut"), LabelSource::Mqtt)));
    assert_eq!((&door_.samples[0].label, door_.samples[0].removed_by), (&None, Some(LabelSource::Mqtt)));
    assert_eq!((default.training.new_labels, door_.training.new_labels), (1, 4));
    assert_eq!((default.live.evicted, door_.live.evicted), (1, 4));
    assert_eq!((default.heads.len(), door_.heads.len(), door_.heads[0].head.version), (2, 1, 5));
    assert_eq!(snapshot.awaited.iter().map(|label| &label.task).collect::<Vec<_>>(), [&task()]);

    let reader = store.reader().unwrap();
    assert_eq!(reader.champion(&task()).unwrap().unwrap().bytes, head(2).to_bytes());
    assert_eq!(reader.champion(&door()).unwrap().unwrap().bytes, head(5).to_bytes());
    assert_eq!(reader.statistics(&task()).unwrap(), Some(vec![1; 9]));
    assert_eq!(reader.statistics(&door()).unwrap(), Some(vec![4; 9]));
}

#[test]
fn a_task_learns_from_its_labels_with_the_embeddings_of_its_region() {
    let folder = folder();
    let mut store = open_two(folder.path(), "a");
    let whole = Write::Look { task: door(), id: id(3), space: space("a") };
    store.commit(&[seen_by_both(1), seen_by_both(2), sample(3), whole, sample(4)]).unwrap();
    let labels = [labelled(1, Some("nut"), 10), labelled(4, Some("nut"), 10)];
    let of_doors = [1, 2, 3].map(|n| of_door(labelled(n, Some("open"), 10 + n as i64)));
    store.commit(&[&labels[..], &of_doors].concat()).unwrap();
    let reader = store.reader().unwrap();
    let learned = |task: &TaskId| {
        let found = reader.labelled(task).unwrap();
        let rows = found.embeddings.rows().into_iter().map(|row| row.to_vec());
        found.ids.iter().copied().zip(rows).collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(learned(&task()), [(id(1), embedding(1)), (id(4), embedding(4))].into());
    let expected = [(id(1), half_embedding(1)), (id(2), half_embedding(2)), (id(3), embedding(3))];
    assert_eq!(learned(&door()), expected.into());
    let unlabelled = |task: &TaskId| reader.unlabelled(task, 9, None).unwrap().ids;
    assert_eq!((unlabelled(&task()), unlabelled(&door())), (vec![id(2), id(3)], vec![]));
    let since = reader.labelled_since(&door(), Some(Timestamp(12))).unwrap();
    assert_eq!(since.iter().map(|now| now.id).collect::<Vec<_>>(), [id(2), id(3)]);
    assert_eq!(since[0].embedding, Some(half_embedding(2)));
    let of_four = &reader.labels_of(&door(), &[id(4)]).unwrap()[0];
    assert_eq!((&of_four.label, &of_four.embedding), (&None, &None), "the door does not look at it");
    assert_eq!(reader.samples(&door()).unwrap().len(), 3);
    assert_eq!(
        (
            reader.predicted(&task(), &id(2)).unwrap().map(|(label, _)| label),
            reader.predicted(&door(), &id(2)).unwrap()
        ),
        (Some(label("nut")), None)
    );
    let counts = reader.counts().unwrap();
    assert_eq!((counts.samples, counts.labelled, counts.unlabelled), (4, 4, 0), "labelled in any task");
    let labels: Vec<_> = reader.evictable().unwrap().into_iter().map(|sample| sample.labels.len()).collect();
    assert_eq!(labels, [2, 1, 1, 1]);
}

#[test]
fn a_task_learns_from_what_it_looked_at_through_the_regions_that_are_in_use() {
    let folder = folder();
    let mut store = open_two(folder.path(), "a");
    store.commit(&[sample(1), seen_by_both(2), sample(3), file(1), file(2)]).unwrap();
    let reader = store.reader().unwrap();
    // A label alone makes no embedding.
    store.commit(&[of_door(labelled(3, Some("open"), 1))]).unwrap();
    assert_eq!(reader.labelled(&door()).unwrap().ids, []);
    let embedded = |n| Write::Embedding { id: id(n), space: half("a"), embedding: half_embedding(n) };
    let look = |n| Write::Look { task: door(), id: id(n), space: half("a") };
    store.commit(&[embedded(3), look(3), look(77)]).unwrap();
    assert_eq!(reader.labelled(&door()).unwrap().embeddings.row(0).to_vec(), half_embedding(3));

    // Moved, the region is embedded again, and no label is lost.
    drop(store);
    let right = Region::rectangle([0.5, 0.0, 1.0, 1.0]).unwrap();
    let moved = EmbeddingSpace { preprocessing: right.within(space("a").preprocessing), ..space("a") };
    let spaces = SpacesInUse::whole(space("a")).with(door(), vec![(right, moved), (Region::WHOLE, space("a"))]);
    let backbone = backbone();
    let mut store = Store::open(folder.path(), &OpenOptions { spaces, ..options(&backbone) }).unwrap();
    let reader = store.reader().unwrap();
    assert!(reader.file_is_known(&path(1), stamp(1)).unwrap(), "the door never looked at it");
    assert!(!reader.file_is_known(&path(2), stamp(2)).unwrap(), "it is read again");
    let again = Write::Embedding { id: id(3), space: moved, embedding: vec![7.0; DIM] };
    store.commit(&[again, Write::Look { task: door(), id: id(3), space: moved }]).unwrap();
    let learned = reader.labelled(&door()).unwrap();
    assert_eq!((&learned.ids[..], learned.embeddings.row(0).to_vec()), (&[id(3)][..], vec![7.0; DIM]));
    store.commit(&[Write::DeleteOtherSpaces]).unwrap();
    assert_eq!(reader.embedding(&id(3), &half("a")).unwrap(), None, "no task looks through it any more");
    assert_eq!(reader.embedding(&id(3), &space("a")).unwrap(), Some(embedding(3)));
}

#[test]
fn another_backbone_takes_each_region_over_at_once_and_gives_it_back() {
    let folder = folder();
    let mut store = open_two(folder.path(), "a");
    let whole = Write::Look { task: door(), id: id(3), space: space("a") };
    let labels = [1, 3].map(|n| of_door(labelled(n, Some("open"), 1)));
    store.commit(&[seen_by_both(1), sample(3), whole]).unwrap();
    store.commit(&labels).unwrap();
    drop(store);
    let mut whole = cache(folder.path(), "b");
    whole.put([(&id(1), &[1.0; DIM][..]), (&id(3), &[3.0; DIM][..])]).unwrap();
    let reference = backbone();
    let halves = CacheOptions { space: half("b"), backbone: &reference, precision: Precision::F16 };
    Cache::open(folder.path(), &halves).unwrap().put([(&id(1), &[0.5; DIM][..])]).unwrap();
    let rows = |reader: &Reader| {
        let found = reader.labelled(&door()).unwrap();
        let row = |n| found.ids.iter().position(|known| *known == id(n)).map(|row| found.embeddings[[row, 1]]);
        [row(1), row(3)]
    };
    let next = [Some(0.5), Some(3.0)];
    assert_eq!(rows(&Reader::open(folder.path(), two("b")).unwrap()), next, "to compare before the change");
    assert_eq!(rows(&open_two(folder.path(), "b").reader().unwrap()), next);
    assert_eq!(rows(&open_two(folder.path(), "a").reader().unwrap()), [Some(1.0), Some(0.5)]);
}

#[test]
fn purging_a_task_leaves_samples_and_other_tasks_as_they_are() {
    let folder = folder();
    let mut store = open_two(folder.path(), "a");
    store.commit(&[seen_by_both(1), seen_by_both(2)]).unwrap();
    store.commit(&everything(1)).unwrap();
    let before = dump_of(&store, &task());
    let purge = Write::PurgeTask { task: door() };
    let of_the_door = everything(4).into_iter().map(of_door);
    store.commit(&of_the_door.chain([purge.clone(), purge]).collect::<Vec<_>>()).unwrap();
    assert_eq!((dump_of(&store, &task()), dump_of(&store, &door())), (before, vec![]));
    let snapshot = store.snapshot().unwrap();
    assert_eq!((snapshot.samples, snapshot.tasks.len()), (vec![id(1), id(2)], 1));
    let reader = store.reader().unwrap();
    assert_eq!(reader.embedding(&id(1), &half("a")).unwrap(), Some(half_embedding(1)), "embeddings are shared");
    store.commit(&[Write::PurgeTask { task: task() }]).unwrap();
    assert_eq!(store.snapshot().unwrap().tasks[&task()].samples, [], "the default task is always there");
}

#[test]
fn a_task_that_is_in_use_no_more_keeps_all_and_a_deleted_sample_goes_from_it_too() {
    let folder = folder();
    let mut store = open_two(folder.path(), "a");
    store.commit(&[seen_by_both(1), seen_by_both(2)]).unwrap();
    store.commit(&everything(4).into_iter().map(of_door).collect::<Vec<_>>()).unwrap();
    let before = dump_of(&store, &door());
    drop(store);
    let mut store = open(folder.path()).unwrap();
    assert_eq!(dump_of(&store, &door()), before);
    assert_eq!(store.snapshot().unwrap().tasks[&door()].samples.len(), 2);
    store.commit(&[Write::DeleteSample { id: id(1) }, Write::DeleteOtherStatistics]).unwrap();
    let snapshot = store.snapshot().unwrap();
    let ids = |task: &TaskId| snapshot.tasks[task].samples.iter().map(|sample| sample.id).collect::<Vec<_>>();
    assert_eq!((ids(&task()), ids(&door())), (vec![id(2)], vec![id(2)]));
    assert!(store.reader().unwrap().label_history(&door(), &id(1)).unwrap().is_empty());
    assert_eq!(snapshot.tasks[&door()].heads.len(), 2);
    drop(store);
    let store = open_two(folder.path(), "a");
    assert_eq!(store.reader().unwrap().statistics(&door()).unwrap(), None, "they held what was forgotten");
}

#[test]
fn a_change_of_labels_in_two_tasks_is_undone_in_both() {
    let folder = folder();
    let mut store = open_two(folder.path(), "a");
    store.commit(&[seen_by_both(1), seen_by_both(2)]).unwrap();
    let by = |n, text, at, change| labelled_by(n, Some(text), LabelSource::Mqtt, at, Some(change));
    store.commit(&[by(1, "nut", 1, 1), of_door(by(1, "open", 2, 2))]).unwrap();
    store.commit(&[by(1, "gear", 3, 3), of_door(by(1, "shut", 3, 3)), of_door(by(2, "shut", 3, 3))]).unwrap();
    let reader = store.reader().unwrap();
    let found = reader.change(None, 99).unwrap().unwrap();
    let images: Vec<_> =
        found.images.iter().map(|image| (&image.task, image.id, image.is_present, &image.before)).collect();
    let (default, door_) = (task(), door());
    let [nut, open, none] = [Some(label("nut")), Some(label("open")), None].map(Before::Label);
    let expected = [(&default, id(1), true, &nut), (&door_, id(1), true, &open), (&door_, id(2), true, &none)];
    assert_eq!((found.number, &images[..]), (3, &expected[..]));
    store.commit(&[Write::ChangeUndone { change: 3 }]).unwrap();
    assert!(reader.change(Some(3), 99).unwrap().unwrap().is_undone);
    let history = |task: &TaskId| {
        let lines = reader.label_history(task, &id(1)).unwrap();
        lines.into_iter().map(|line| (line.change, line.undone)).collect::<Vec<_>>()
    };
    assert_eq!(history(&task()), [(Some(1), false), (Some(3), true)]);
    assert_eq!(history(&door()), [(Some(2), false), (Some(3), true)]);
}
