//! The redo log: what comes with images counts once, wherever it is, and everybody sees it.

use std::fs::{File, OpenOptions};

use rusqlite::Connection;

use super::*;
use crate::engine::StateRecord;
use crate::words::SourceId;

const QUOTA: u64 = 512 << 20;
const REDO: &str = "edgetuned.redo";

/// A store as the daemon has it.
fn open_redo(folder: &Path) -> Store {
    let mut store = open(folder).unwrap();
    store.keep_within(QUOTA).unwrap();
    store
}

/// What the daemon commits for an image that comes.
fn image(n: u64) -> Vec<Write> {
    vec![sample(n), file(n), Write::Outbox(message(n, Topic::Event))]
}

/// How many samples the database has by itself.
fn in_the_database(folder: &Path) -> u64 {
    let connection = Connection::open(folder.join("edgetuned.db")).unwrap();
    connection.query_row("SELECT count(*) FROM samples", [], |row| row.get(0)).unwrap()
}

/// Every row, but for the generation of the log.
fn rows(store: &Store) -> Vec<String> {
    let rows = dump(store);
    assert!(rows.iter().any(|row| row.starts_with("state: ")));
    rows.into_iter().filter(|row| !row.starts_with("state: ")).collect()
}

fn ids(count: u64) -> Vec<SampleId> {
    (1..=count).map(id).collect()
}

#[test]
fn what_is_recorded_leaves_the_same_rows_as_what_is_committed_at_once() {
    let [recorded, at_once] = [folder(), folder()];
    let later = [
        Write::Embedding { id: id(1), space: space("a"), embedding: embedding(9) },
        Write::Look { task: task(), id: id(2), space: space("a") },
        Write::Thumbnail { id: id(2), jpeg: vec![7; 900] },
        Write::File { path: path(8), stamp: stamp(8), fate: FileDisposition::Sample(id(1)) },
        Write::File { path: path(9), stamp: stamp(9), fate: FileDisposition::Quarantined("no image".into()) },
        Write::DeleteMessage { seq: 2 },
        Write::StateRecord { task: task(), record: Box::new(StateRecord::default()) },
    ];
    let frame = Write::Sample(Box::new(NewSample {
        id: id(40),
        origin: Origin::Source(SourceId::new("yard").unwrap()),
        bytes: 5,
        arrived_at: Timestamp(-3),
        embeddings: vec![(space("a"), vec![0.1, 1e-30, 7.0, 65504.0])],
        group: id(40),
        looks: vec![],
        thumbnail: Some(vec![1; 3]),
        picture: Some(vec![2; 4000]),
    }));
    let commits = [image(1), image(2), image(3), later.to_vec(), vec![frame]];
    let mut store = open_redo(recorded.path());
    for commit in &commits {
        store.commit(commit).unwrap();
    }
    assert_eq!(in_the_database(recorded.path()), 0, "none of them is for the database");
    drop(store);
    let mut other = open(at_once.path()).unwrap();
    for commit in &commits {
        other.commit(commit).unwrap();
    }
    assert_eq!(rows(&open(recorded.path()).unwrap()), rows(&other), "after what was no orderly end");
}

#[test]
fn readers_see_what_is_only_in_the_log() {
    let folder = folder();
    let mut store = open_redo(folder.path());
    store.commit(&[vec![Write::Outbox(message(1, Topic::Event))], image(2)].concat()).unwrap();
    store.commit(&[labelled(2, Some("nut"), 5)]).unwrap();
    assert_eq!(in_the_database(folder.path()), 1, "a label brings in what was before it");
    let reader = store.reader().unwrap();
    (3..=6).for_each(|n| store.commit(&image(n)).unwrap());
    store.commit(&[Write::DeleteMessage { seq: 1 }, Write::DeleteMessage { seq: 4 }]).unwrap();

    let seqs = |messages: Vec<OutboxMessage>| messages.iter().map(|message| message.seq).collect::<Vec<_>>();
    assert_eq!(seqs(reader.reports_after(0, 3).unwrap()), [2, 3, 5]);
    assert_eq!(seqs(reader.reports_after(3, 9).unwrap()), [5, 6]);
    assert!(reader.answers_after(0, 9).unwrap().is_empty());
    assert_eq!(reader.outbox_newest().unwrap(), 6);
    assert_eq!(reader.unlabelled(&task(), 3, None).unwrap().ids, [id(4), id(5), id(6)]);
    assert_eq!(reader.labelled(&task()).unwrap().ids, [id(2)]);
    assert!(!reader.has_thumbnail(&id(99)).unwrap() && reader.embedding(&id(2), &space("a")).unwrap().is_some());
    assert_eq!(in_the_database(folder.path()), 1, "none of this needs the others in the database");

    assert_eq!(reader.embedding(&id(5), &space("a")).unwrap(), Some(embedding(5)));
    assert_eq!(in_the_database(folder.path()), 5, "this does");
    store.commit(&image(7)).unwrap();
    store.commit(&[Write::File { path: path(9), stamp: stamp(9), fate: FileDisposition::Sample(id(2)) }]).unwrap();
    assert!(reader.file_is_known(&path(7), stamp(7)).unwrap() && !reader.file_is_known(&path(7), stamp(8)).unwrap());
    assert!(!reader.file_was_let_go(&path(7), stamp(7)).unwrap());
    let camera = Path::new("/srv/camera");
    let below = |after: u64, limit| reader.files_below(camera, &path(after), limit).unwrap();
    assert_eq!(below(3, 9), [path(4), path(5), path(6), path(7), path(9)]);
    assert_eq!(below(5, 2), [path(6), path(7)]);
    assert_eq!(reader.files_below(Path::new("/srv/camera2"), Path::new(""), 9).unwrap(), [] as [PathBuf; 0]);
    assert_eq!(in_the_database(folder.path()), 5, "a listing needs nothing in the database");
    assert!(reader.file_is_known(&path(9), stamp(9)).unwrap());
    assert_eq!(in_the_database(folder.path()), 6, "where the log does not know enough it does");
    assert_eq!(seqs(reader.reports_after(0, 9).unwrap()), [2, 3, 5, 6, 7]);
    store.commit(&image(8)).unwrap();
    assert_eq!(store.snapshot().unwrap().samples.len(), 7);
    assert_eq!(reader.sample_rows(&task()).unwrap().len(), 7);
}

#[test]
fn a_log_torn_anywhere_keeps_a_whole_beginning() {
    let folder = folder();
    let mut store = open_redo(folder.path());
    (1..=5).for_each(|n| store.commit(&image(n)).unwrap());
    let [database, log, redo] =
        ["edgetuned.db", "edgetuned.db-wal", REDO].map(|name| fs::read(folder.path().join(name)).unwrap());
    let mut counts = Vec::new();
    for cut in (0..redo.len().min(8192)).step_by(256) {
        let torn = tempfile::tempdir().unwrap();
        let mut left = redo.clone();
        left[cut.max(512)..].fill(0xa5);
        for (name, bytes) in [("edgetuned.db", &database), ("edgetuned.db-wal", &log), (REDO, &left)] {
            fs::write(torn.path().join(name), bytes).unwrap();
        }
        let store = open(torn.path()).unwrap();
        let samples = store.snapshot().unwrap().samples;
        assert_eq!(samples, ids(samples.len() as u64), "cut at {cut}");
        assert_eq!(store.snapshot().unwrap().outbox.len(), samples.len(), "cut at {cut}");
        counts.push(samples.len());
    }
    assert!(counts.is_sorted() && counts[0] == 0 && counts.contains(&3) && counts.ends_with(&[5]), "{counts:?}");
}

#[test]
fn a_record_damaged_before_others_is_refused_and_nothing_is_changed() {
    let folder = folder();
    let mut store = open_redo(folder.path());
    (1..=5).for_each(|n| store.commit(&image(n)).unwrap());
    drop(store);
    let path = folder.path().join(REDO);
    let whole = fs::read(&path).unwrap();
    for at in [0, 600] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::DamagedLog { .. }) && error.to_string().contains(REDO), "{error}");
        assert_eq!((fs::read(&path).unwrap(), in_the_database(folder.path())), (damaged, 0));
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(folder.path()).unwrap().snapshot().unwrap().samples, ids(5));
}

#[test]
fn who_reads_in_another_process_brings_the_log_in_and_the_writer_goes_on() {
    let folder = folder();
    let mut store = open_redo(folder.path());
    for n in 1..=6 {
        store.commit(&image(n)).unwrap();
        if n % 2 == 0 {
            // With nothing of the writer's memory.
            let reader = Reader::open(folder.path(), SpacesInUse::whole(space("a"))).unwrap();
            assert_eq!(reader.sample_rows(&task()).unwrap().len() as u64, n);
            assert_eq!(reader.reports_after(0, 99).unwrap().len() as u64, n);
        }
    }
    store.commit(&[Write::DeleteMessage { seq: 6 }]).unwrap();
    store.commit(&image(7)).unwrap();
    assert_eq!(store.reader().unwrap().outbox_newest().unwrap(), 7);
    drop(store);
    let snapshot = open(folder.path()).unwrap().snapshot().unwrap();
    assert_eq!(snapshot.samples, ids(7));
    assert_eq!(snapshot.outbox.iter().map(|spooled| spooled.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 7]);
}

#[test]
fn a_log_beside_another_database_counts_nothing() {
    let folder = folder();
    let mut store = open_redo(folder.path());
    store.commit(&image(1)).unwrap();
    drop(store);
    for name in ["edgetuned.db", "edgetuned.db-wal", "edgetuned.db-shm"] {
        let _ = fs::remove_file(folder.path().join(name));
    }
    let mut store = open_redo(folder.path());
    assert!(store.snapshot().unwrap().samples.is_empty());
    store.commit(&image(2)).unwrap();
    drop(store);
    assert_eq!(open(folder.path()).unwrap().snapshot().unwrap().samples, [id(2)]);
}

#[test]
fn what_the_database_would_refuse_is_refused_at_once() {
    let folder = folder();
    let mut store = open_redo(folder.path());
    store.commit(&image(1)).unwrap();
    let stray = Write::File { path: path(5), stamp: stamp(5), fate: FileDisposition::Sample(id(77)) };
    let narrow = Write::Embedding { id: id(1), space: space("a"), embedding: vec![1.0] };
    let foreign = Write::Look { task: task(), id: id(1), space: space("z") };
    for write in [stray, narrow, foreign] {
        let refused = store.commit(std::slice::from_ref(&write));
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{write:?}: {refused:?}");
    }
    store.commit(&image(2)).unwrap();
    drop(store);
    assert_eq!(open(folder.path()).unwrap().snapshot().unwrap().samples, ids(2));
}

#[test]
fn a_full_log_is_brought_in_and_begun_again() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    // Room for 179 images of a sector each, beside the first sector.
    store.keep_within(32 * (90 << 10)).unwrap();
    let mut kept = Vec::new();
    for n in 1..=400 {
        store.commit(&image(n)).unwrap();
        kept.push(in_the_database(folder.path()));
    }
    kept.dedup();
    assert_eq!(kept, [0, 180, 360], "with the one that found no room");
    assert!(fs::metadata(folder.path().join(REDO)).unwrap().len() <= 90 << 10);
    drop(store);
    assert_eq!(open(folder.path()).unwrap().snapshot().unwrap().samples, ids(400));
    // Under a small quota there is none.
    open(folder.path()).unwrap().keep_within(400_000).unwrap();
    assert!(!folder.path().join(REDO).exists());
}

#[test]
fn a_log_that_cannot_be_written_costs_nothing_but_more_writes() {
    let folder = folder();
    let mut store = open_redo(folder.path());
    store.commit(&image(1)).unwrap();
    store.redo.as_mut().unwrap().file = File::open(folder.path().join(REDO)).unwrap();
    store.commit(&image(2)).unwrap();
    assert_eq!(in_the_database(folder.path()), 2, "with what was in the log");
    store.commit(&image(3)).unwrap();
    store.redo.as_mut().unwrap().file =
        OpenOptions::new().read(true).write(true).open(folder.path().join(REDO)).unwrap();
    store.commit(&image(4)).unwrap();
    assert_eq!(in_the_database(folder.path()), 3, "it is written again when it can be");
    drop(store);
    assert_eq!(open(folder.path()).unwrap().snapshot().unwrap().samples, ids(4));
}

#[test]
fn what_is_large_goes_to_the_database_at_once_and_an_orderly_end_leaves_it_whole() {
    let folder = folder();
    let mut store = open_redo(folder.path());
    let large = (1..=100).flat_map(image).chain([Write::Thumbnail { id: id(1), jpeg: vec![0; 70_000] }]);
    store.commit(&large.collect::<Vec<_>>()).unwrap();
    assert_eq!(in_the_database(folder.path()), 100);
    store.commit(&image(101)).unwrap();
    assert!(store.close().unwrap());
    assert_eq!(in_the_database(folder.path()), 101);
}

#[test]
fn a_start_that_finds_no_room_goes_on_with_what_is_in_the_log() {
    let folder = folder();
    let mut store = open_redo(folder.path());
    store.commit(&image(1)).unwrap();
    store.commit(&[labelled(1, Some("nut"), 4)]).unwrap();
    (2..=4).for_each(|n| store.commit(&image(n)).unwrap());
    drop(store);
    // As a start leaves it whose database takes nothing.
    let redo = fs::read(folder.path().join(REDO)).unwrap();
    let former = tempfile::tempdir().unwrap();
    for name in ["edgetuned.db", "edgetuned.db-wal"].iter().filter(|name| folder.path().join(name).exists()) {
        fs::copy(folder.path().join(name), former.path().join(name)).unwrap();
    }
    let mut store = open(former.path()).unwrap();
    fs::write(former.path().join(REDO), redo).unwrap();
    store.recovered = false;
    store.keep_within(QUOTA).unwrap();
    assert_eq!(in_the_database(former.path()), 1);
    let snapshot = store.snapshot().unwrap();
    assert_eq!((snapshot.samples, snapshot.outbox.len()), (ids(4), 4));
    assert_eq!(store.reader().unwrap().reports_after(1, 9).unwrap().len(), 3);
    store.commit(&image(5)).unwrap();
    assert_eq!(in_the_database(former.path()), 1);
    store.commit(&[labelled(5, Some("gear"), 9)]).unwrap();
    assert_eq!(in_the_database(former.path()), 5);
    drop(store);
    assert_eq!(open(former.path()).unwrap().snapshot().unwrap().samples, ids(5));
}
