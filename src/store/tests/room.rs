//! What goes (evicted samples, forgotten heads), and the room that it leaves.

use super::*;

#[test]
fn an_evicted_sample_leaves_only_its_files_behind() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let copy = Write::File { path: path(8), stamp: stamp(8), fate: FileDisposition::Sample(id(1)) };
    store.commit(&[sample(1), file(1), copy, labelled(1, Some("nut"), 1), sample(2), file(2)]).unwrap();
    cache(folder.path(), "b").put([(&id(1), &embedding(1)[..])]).unwrap();
    store.commit(&[Write::DeleteSample { id: id(1) }]).unwrap();

    let reader = store.reader().unwrap();
    for n in [1, 8] {
        assert!(reader.file_is_known(&path(n), stamp(n)).unwrap(), "a scan passes file {n} over");
        assert!(!reader.file_is_known(&path(n), stamp(77)).unwrap(), "file {n} is looked at when it changes");
        assert!(reader.file_was_let_go(&path(n), stamp(n)).unwrap(), "file {n} is not taken in as it is");
        assert!(!reader.file_was_let_go(&path(n), stamp(77)).unwrap(), "and is when it changes");
    }
    assert!(!reader.file_was_let_go(&path(2), stamp(2)).unwrap(), "its sample is there");
    assert_eq!(reader.counts().unwrap(), Counts { samples: 1, labelled: 0, unlabelled: 1, ..reader.counts().unwrap() });
    assert_eq!(reader.counts().unwrap().quarantined, 0);
    assert_eq!(reader.embedding(&id(1), &space("a")).unwrap(), None);
    assert_eq!(cache(folder.path(), "b").get(&id(1)).unwrap(), None, "in no other space either");
    assert!(reader.label_history(&task(), &id(1)).unwrap().is_empty() && reader.files_of(&id(1)).unwrap().is_empty());
    assert_eq!(store.snapshot().unwrap().samples, [id(2)]);

    let before = dump(&store);
    store.commit(&[Write::DeleteSample { id: id(1) }, Write::DeleteSample { id: id(77) }]).unwrap();
    assert_eq!(dump(&store), before, "what is gone cannot go again");
}

#[test]
fn files_without_a_sample_are_counted_along() {
    let (folder, bare) = (folder(), |n| Write::File {
        path: path(n),
        stamp: stamp(n),
        fate: FileDisposition::Quarantined("cut".into()),
    });
    let copy = Write::File { path: path(8), stamp: stamp(8), fate: FileDisposition::Sample(id(1)) };
    let mut store = open(folder.path()).unwrap();
    let mut expected = 0;
    let steps: [(&[Write], u64); 8] = [
        (&[sample(1), file(1), copy.clone(), sample(2), file(2)], 0),
        (&[bare(3), bare(4), bare(3)], 2),
        (&[Write::DeleteSample { id: id(1) }], 4),
        (&[Write::DeleteSample { id: id(1) }, Write::DeleteFile { path: path(77) }], 4),
        (&[sample(1), copy], 3),
        (&[bare(2)], 4),
        (&[Write::DeleteFile { path: path(3) }, Write::DeleteFile { path: path(8) }], 3),
        (&[file(2)], 2),
    ];
    for (writes, after) in steps {
        store.commit(writes).unwrap();
        expected = after;
        assert_eq!(bare_files(&store), expected, "{writes:?}");
    }
    store.commit(&[bare(5), labelled(77, None, 1)]).unwrap_err();
    assert_eq!(bare_files(&store), expected, "what was refused did not happen");
    let reader = store.reader().unwrap();
    let rows = |reader: &Reader| {
        let (room, database) =
            (reader.room().unwrap(), fs::metadata(folder.path().join("edgetuned.db")).unwrap().len());
        room.beside_bytes + database - room.store_bytes
    };
    let before = rows(&reader);
    store.commit(&[bare(6)]).unwrap();
    assert_eq!(rows(&reader) - before, 170, "a reader sees it");
}

/// Files without a sample as they are counted along, which is what counting them finds.
fn bare_files(store: &Store) -> u64 {
    let number = |sql| store.database.connection.query_row(sql, [], |row| row.get(0)).unwrap();
    let (kept, counted) = (number("SELECT count FROM bare_files"), number("SELECT count(*) - count(image) FROM files"));
    assert_eq!(kept, counted);
    kept
}

#[test]
fn an_evicted_image_that_comes_again_is_a_new_sample() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[sample(1), file(1), sample(2), Write::DeleteSample { id: id(1) }]).unwrap();
    let again = Write::File { path: path(1), stamp: stamp(3), fate: FileDisposition::Sample(id(1)) };
    store.commit(&[again, sample(1)]).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.sample_rows(&task()).unwrap().iter().map(|kept| kept.id).collect::<Vec<_>>(), [id(2), id(1)]);
    assert!(reader.file_is_known(&path(1), stamp(3)).unwrap());
    store
        .commit(&[Write::File { path: path(1), stamp: stamp(4), fate: FileDisposition::Quarantined("cut".into()) }])
        .unwrap();
    assert_eq!(reader.counts().unwrap().quarantined, 1);
}

#[test]
fn a_forgotten_head_is_gone_and_the_champion_cannot_be() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let heads = [1, 2].map(|version| Write::Head { task: task(), record: head(version) });
    store.commit(&[&heads[..], &[status(2, HeadStatus::Champion, 1)]].concat()).unwrap();
    store
        .commit(&[Write::DeleteHead { task: task(), version: 1 }, Write::DeleteHead { task: task(), version: 1 }])
        .unwrap();
    let error = store.commit(&[Write::DeleteHead { task: task(), version: 2 }]).unwrap_err();
    assert!(error.to_string().contains("head 2 is to be forgotten but is the champion"), "{error}");
    let versions: Vec<_> =
        store.snapshot().unwrap().tasks[&task()].heads.iter().map(|head| head.head.version).collect();
    assert_eq!(versions, [2]);
}

#[test]
fn statistics_belong_to_their_space_and_the_last_ones_count() {
    let folder = folder();
    let backbone = backbone();
    let other = OpenOptions { spaces: SpacesInUse::whole(space("b")), ..options(&backbone) };
    for (options, text) in [(&options(&backbone), "a"), (&other, "b"), (&other, "c")] {
        let mut store = Store::open(folder.path(), options).unwrap();
        store.commit(&[Write::Statistics { task: task(), file: text.into() }]).unwrap();
        assert_eq!(store.reader().unwrap().statistics(&task()).unwrap(), Some(text.into()));
    }
    assert_eq!(open(folder.path()).unwrap().reader().unwrap().statistics(&task()).unwrap(), Some("a".into()));
    assert_eq!(Reader::open(folder.path(), SpacesInUse::whole(space("d"))).unwrap().statistics(&task()).unwrap(), None);
}

#[test]
fn a_store_opened_for_labels_alone_takes_no_embeddings_and_keeps_daemons_out() {
    let folder = folder();
    assert!(matches!(Store::open_existing(folder.path()), Err(StoreError::Missing { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
    open(folder.path()).unwrap().commit(&[sample(1)]).unwrap();
    let mut store = Store::open_existing(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::Locked { .. })));
    store.commit(&[labelled(1, Some("nut"), 1)]).unwrap();
    let refused = [
        sample(2),
        Write::Embedding { id: id(1), space: space("a"), embedding: vec![] },
        Write::Embedding { id: id(1), space: space("a"), embedding: embedding(1) },
        Write::Statistics { task: task(), file: vec![] },
    ];
    for write in refused {
        assert!(matches!(store.commit(std::slice::from_ref(&write)), Err(StoreError::Refused { .. })), "{write:?}");
    }
    drop(store);
    assert_eq!(open(folder.path()).unwrap().reader().unwrap().labelled(&task()).unwrap().ids, [id(1)]);
}
