use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2};
use tempfile::TempDir;

use super::*;
use crate::engine::{
    ClassFolders, FileDisposition, FileStamp, HeadStatus, KeptReport, LabelSource, LiveAccuracy, Look, NewSample,
    OutboxMessage, PendingLabel, Predicted, RememberedReply, StoredSample, TrainingOrder, TrainingState,
};
use crate::eval::HeldOutAnswer;
use crate::head::{DenseHead, HeadRecord, HeldOut, TrainingFacts};
use crate::wire::Topic;
use crate::words::{ClassSet, Digest, Label, Origin, SampleId, TaskId, Timestamp};

const DIM: usize = 4;

fn space(backbone: &str) -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(backbone.as_bytes()), preprocessing: Digest::of(b"crop"), dim: DIM }
}

fn task() -> TaskId {
    TaskId::default()
}

fn backbone() -> BackboneRef {
    BackboneRef { name: "tiny".into(), sha256: Digest::of(b"model"), dim: DIM }
}

fn options(backbone: &BackboneRef) -> OpenOptions<'_> {
    OpenOptions { spaces: SpacesInUse::whole(space("a")), backbone, precision: Precision::F16 }
}

fn cache(folder: &Path, backbone: &str) -> Cache {
    let reference = self::backbone();
    let options = CacheOptions { space: space(backbone), backbone: &reference, precision: Precision::F16 };
    Cache::open(folder, &options).unwrap()
}

fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(folder, &options(&backbone()))
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn id(n: u64) -> SampleId {
    SampleId::of(&n.to_le_bytes())
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn path(n: u64) -> PathBuf {
    PathBuf::from(format!("/srv/camera/{n}.jpg"))
}

fn embedding(n: u64) -> Vec<f32> {
    vec![n as f32, 0.5, -1.0, 0.25]
}

fn sample(n: u64) -> Write {
    sample_in(n, "a")
}

fn sample_in(n: u64, backbone: &str) -> Write {
    Write::Sample(Box::new(NewSample {
        id: id(n),
        origin: Origin::File(path(n)),
        bytes: 1000 + n,
        arrived_at: Timestamp(n as i64),
        embeddings: vec![(space(backbone), embedding(n))],
        group: id(n / 2 * 2),
        looks: vec![Look { task: task(), space: space(backbone), predicted: predicted(n) }],
        thumbnail: None,
        picture: None,
    }))
}

fn predicted(n: u64) -> Option<Predicted> {
    n.is_multiple_of(2).then(|| Predicted { label: label("nut"), probability: 0.75, head: 1 + n })
}

fn stamp(n: u64) -> FileStamp {
    FileStamp { size: 1000 + n, mtime_ns: -5 + n as i64, ctime_ns: 0 }
}

fn file(n: u64) -> Write {
    Write::File { path: path(n), stamp: stamp(n), fate: FileDisposition::Sample(id(n)) }
}

fn labelled(n: u64, text: Option<&str>, at: i64) -> Write {
    labelled_by(n, text, LabelSource::Mqtt, at, Some(1))
}

fn labelled_by(n: u64, text: Option<&str>, source: LabelSource, at: i64, change: Option<u64>) -> Write {
    Write::Label { task: task(), id: id(n), label: text.map(label), source, at: Timestamp(at), change }
}

fn message(seq: u64, topic: Topic) -> OutboxMessage {
    OutboxMessage { seq, topic, payload: format!("{{\"seq\":{seq}}}").into_bytes(), made_at: Timestamp(9) }
}

fn entry(transaction: &str) -> RememberedReply {
    RememberedReply { transaction: transaction.into(), name: "train".into(), answer: b"{}".to_vec(), at: Timestamp(3) }
}

fn awaited(prefix: &str, text: &str) -> PendingLabel {
    PendingLabel {
        task: task(),
        prefix: prefix.into(),
        label: label(text),
        source: LabelSource::Mqtt,
        at: Timestamp(4),
        change: Some(2),
        former: None,
    }
}

fn head(version: u64) -> Box<HeadRecord> {
    let classes: ClassSet = ["gear", "nut"].map(label).into_iter().collect();
    let weights = Array2::from_elem((2, DIM), version as f32);
    let dense = DenseHead { temperature: 1.5, ..DenseHead::linear(space("a"), classes, weights, Array1::zeros(2)) };
    Box::new(HeadRecord {
        training: TrainingFacts { lambda_path: vec![(0.1, 0.7)], n_train: 40, seed: 7, ..TrainingFacts::default() },
        heldout: HeldOut { ids: vec![id(1)], logits: Array2::zeros((1, 2)) },
        ..HeadRecord::new(dense, version, Timestamp(70), backbone())
    })
}

fn status(version: u64, status: HeadStatus, at: i64) -> Write {
    Write::HeadStatus { task: task(), version, status, reason: format!("because of {version}"), at: Timestamp(at) }
}

fn kept_event(seq: u64, task: Option<TaskId>) -> Write {
    Write::Keep(KeptReport::Event { seq, task, payload: format!("event {seq}").into_bytes() })
}

/// A training that answered `answers` images.
fn kept_training(training: u64, answers: u64) -> Write {
    let answer = |n| HeldOutAnswer { image: id(n).short(), truth: 0, predicted: 1 };
    let payload = format!("training {training}").into_bytes();
    Write::Keep(KeptReport::Training { task: task(), training, payload, answers: (0..answers).map(answer).collect() })
}

fn excluded(n: u64, excluded: bool, at: i64, change: Option<u64>) -> Write {
    Write::Excluded { task: task(), id: id(n), excluded, source: LabelSource::Mqtt, at: Timestamp(at), change }
}

/// One of every kind, ending with less than was put in.
fn every_write() -> Vec<Write> {
    let training = TrainingState {
        running: Some(TrainingOrder { id: 2, reason: "request".into(), tune: false }),
        due: Some(TrainingOrder { id: 3, reason: "schedule".into(), tune: false }),
        last: Some(Timestamp(55)),
        new_labels: 12,
        exclusions: 2,
        next_id: 4,
        began: Some(Timestamp(50)),
        settled: Some(Timestamp(40)),
        deleted_version: Some(3),
        disbelieved: None,
    };
    vec![
        sample(2),
        file(2),
        sample(1),
        file(1),
        Write::Embedding { id: id(1), space: space("a"), embedding: embedding(1) },
        Write::File { path: path(9), stamp: stamp(9), fate: FileDisposition::Quarantined("no image".into()) },
        labelled(1, Some("gear"), 10),
        labelled(2, Some("nut"), 11),
        labelled(2, None, 12),
        excluded(2, true, 13, Some(1)),
        excluded(1, true, 13, Some(1)),
        excluded(1, false, 14, None),
        Write::Folder { task: task(), id: id(1), class: Some(label("nut")), in_doubt: true },
        Write::ClassFolders(ClassFolders(vec![("/in".into(), 1)])),
        Write::PendingLabel(awaited("0123abcd", "nut")),
        Write::PendingLabel(awaited("ffff0000", "gear")),
        Write::PendingLabel(awaited("0123abcd", "gear")),
        Write::PendingLabel(awaited("eeee0000", "gear")),
        Write::DeletePendingLabel { task: task(), prefix: "eeee0000".into() },
        Write::ChangeUndone { change: 1 },
        Write::SeqReserved(100),
        Write::SeqReserved(50),
        Write::Outbox(message(7, Topic::Event)),
        Write::Outbox(message(8, Topic::Response("train".into()))),
        Write::Outbox(message(9, Topic::TrainResult)),
        Write::DeleteMessage { seq: 7 },
        Write::Reply(entry("b")),
        Write::Reply(entry("a")),
        Write::Reply(entry("c")),
        Write::DeleteReply { transaction: "c".into() },
        Write::Head { task: task(), record: head(1) },
        Write::Head { task: task(), record: head(2) },
        status(1, HeadStatus::Champion, 80),
        status(2, HeadStatus::Champion, 81),
        Write::TrainingState { task: task(), state: training },
        sample(4),
        file(4),
        labelled(4, Some("nut"), 13),
        Write::DeleteSample { id: id(4) },
        Write::Statistics { task: task(), file: b"sums".to_vec() },
        Write::Statistics { task: task(), file: b"other sums".to_vec() },
        Write::Head { task: task(), record: head(3) },
        Write::DeleteHead { task: task(), version: 3 },
        Write::LiveState { task: task(), state: serde_json::from_str(r#"{"evicted": 5}"#).unwrap() },
        kept_event(3, None),
        kept_training(1, 2),
        Write::DoubtedTimes(serde_json::from_str(r#"[["1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z"]]"#).unwrap()),
    ]
}

/// Every row of every table, for comparing.
fn dump(store: &Store) -> Vec<String> {
    let mut rows = Vec::new();
    let tables = "spaces embeddings samples label_history awaited_labels files heads outbox ledger state statistics tasks task_samples trainings events";
    for table in tables.split(' ') {
        let mut select = store.database.connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = select.column_count();
        let mut found = select.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<_> = (0..columns).map(|i| format!("{:?}", row.get_ref(i).unwrap())).collect();
            // The running number of a row that was replaced by itself may differ.
            let from = usize::from(table == "awaited_labels");
            rows.push(format!("{table}: {}", values[from..].join(", ")));
        }
    }
    rows
}

#[test]
fn every_write_comes_back_after_a_restart() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&every_write()).unwrap();
    drop(store);

    let store = open(folder.path()).unwrap();
    let snapshot = store.snapshot().unwrap();
    let spoken_at = |at| Some(Timestamp(at));
    let removed = StoredSample {
        removed_by: Some(LabelSource::Mqtt),
        spoken_at: spoken_at(12),
        excluded: true,
        ..StoredSample::new(id(2))
    };
    let labelled = StoredSample {
        label: Some((label("gear"), LabelSource::Mqtt)),
        spoken_at: spoken_at(10),
        folder: Some(label("nut")),
        in_doubt: true,
        ..StoredSample::new(id(1))
    };
    assert_eq!(snapshot.tasks[&task()].samples, [removed, labelled]);
    assert_eq!(snapshot.class_folders, Some(ClassFolders(vec![("/in".into(), 1)])));
    assert_eq!(snapshot.tasks[&task()].live.evicted, 5);
    assert_eq!(snapshot.awaited, [awaited("ffff0000", "gear"), awaited("0123abcd", "gear")]);
    assert_eq!(snapshot.ledger, [entry("b"), entry("a")]);
    assert_eq!(
        snapshot.outbox.iter().map(|spooled| (spooled.seq, spooled.bytes)).collect::<Vec<_>>(),
        [(8, 23), (9, 21)]
    );
    assert_eq!(snapshot.seq, 100);
    assert_eq!(
        (snapshot.tasks[&task()].training.next_id, snapshot.tasks[&task()].training.last),
        (4, Some(Timestamp(55)))
    );
    assert_eq!(snapshot.tasks[&task()].training.running.as_ref().map(|order| order.id), Some(2));
    assert_eq!(snapshot.tasks[&task()].training.due.as_ref().map(|order| order.id), Some(3));
    let quarantined = snapshot.files.iter().filter(|(_, fate)| matches!(fate, FileDisposition::Quarantined(_)));
    assert_eq!(quarantined.count(), 1);

    let [first, second] = &snapshot.tasks[&task()].heads[..] else { panic!("{:?}", snapshot.tasks[&task()].heads) };
    assert_eq!((first.status, first.promoted_at), (HeadStatus::Kept, Some(Timestamp(80))));
    assert_eq!((second.status, second.promoted_at), (HeadStatus::Champion, Some(Timestamp(81))));
    assert_eq!((&second.head, second.space, &second.backbone[..]), (&head(2).head, space("a"), "tiny"));
    assert_eq!((&second.classes[..], second.accuracy), (head(2).dense.classes.labels(), None));
    assert_eq!(second.reason, "because of 2");
}

#[test]
fn readers_find_what_was_written() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&every_write()).unwrap();
    let reader = store.reader().unwrap();

    assert_eq!(reader.embedding(&id(2), &space("a")).unwrap(), Some(embedding(2)));
    assert_eq!(reader.embedding(&id(3), &space("a")).unwrap(), None);
    assert_eq!(reader.predicted(&task(), &id(2)).unwrap(), Some((label("nut"), 0.75)));
    assert_eq!(reader.predicted(&task(), &id(1)).unwrap(), None);
    assert_eq!(reader.answers_after(0, 9).unwrap(), [message(8, Topic::Response("train".into()))]);
    assert_eq!(reader.reports_after(0, 9).unwrap(), [message(9, Topic::TrainResult)]);
    assert_eq!(reader.reports_after(9, 9).unwrap(), []);
    assert_eq!(reader.reports_after(0, 0).unwrap(), []);
    let stored = reader.head(&task(), 1).unwrap().unwrap();
    assert_eq!(HeadRecord::from_bytes(&stored.bytes).unwrap(), *head(1));
    assert_eq!(reader.champion(&task()).unwrap().map(|head| head.info.head.version), Some(2));
    assert_eq!(reader.head(&task(), 3).unwrap(), None);
    let counts = reader.counts().unwrap();
    assert_eq!((counts.samples, counts.labelled, counts.unlabelled, counts.quarantined), (2, 1, 1, 1));
    assert!(reader.room().unwrap().store_bytes > 4096);
    let recent: Vec<_> =
        reader.recent(&space("a"), 64).unwrap().into_iter().map(|recent| (recent.id, recent.group)).collect();
    assert_eq!(recent, [(id(2), id(2)), (id(1), id(0))]);
    assert_eq!(reader.recent(&space("a"), 1).unwrap()[0].id, id(1));
}

#[test]
fn what_is_trained_on_comes_in_the_order_of_identities() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let writes: Vec<_> = (0..40).flat_map(|n| [sample(n), labelled(n, (n % 3 > 0).then_some("nut"), 1)]).collect();
    store.commit(&writes).unwrap();
    let found = store.reader().unwrap().labelled(&task()).unwrap();
    let mut expected: Vec<_> = (0..40).filter(|n| n % 3 > 0).map(|n| (id(n), n)).collect();
    expected.sort();
    assert_eq!(found.ids, expected.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    for (row, (_, n)) in found.embeddings.rows().into_iter().zip(expected) {
        assert_eq!(row.to_vec(), embedding(n));
    }
}

#[test]
fn applied_twice_is_applied_once() {
    let (once, twice) = (folder(), folder());
    let (mut once, mut twice) = (open(once.path()).unwrap(), open(twice.path()).unwrap());
    once.commit(&every_write()).unwrap();
    twice.commit(&every_write()).unwrap();
    twice.commit(&every_write()).unwrap();
    assert_eq!(dump(&once), dump(&twice));
    assert_eq!(dump(&once).len(), 30, "rows of every table are compared");
}

#[test]
fn a_refused_write_takes_its_whole_list_with_it() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&every_write()).unwrap();
    let before = dump(&store);
    let refused = [
        labelled(77, Some("nut"), 1),
        status(77, HeadStatus::Kept, 1),
        Write::DeleteHead { task: task(), version: 2 },
        Write::Embedding { id: id(5), space: space("a"), embedding: vec![1.0] },
        Write::File { path: path(5), stamp: stamp(5), fate: FileDisposition::Sample(id(5)) },
        Write::PendingLabel(awaited("nothexa!", "nut")),
    ];
    for last in refused {
        let what = format!("{last:?}");
        let error = store.commit(&[sample(50), labelled(50, Some("nut"), 2), last]).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{what}: {error}");
        assert_eq!(dump(&store), before, "{what}");
    }
    store.commit(&[sample(50)]).unwrap();
}

#[test]
fn a_full_disk_changes_nothing_and_storing_goes_on_when_there_is_room() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[sample(0)]).unwrap();
    let before = dump(&store);
    let connection = &store.database.connection;
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |store: &Store, pages: i64| {
        store.database.connection.pragma_update(None, "max_page_count", pages).unwrap();
    };
    limit(&store, pages);
    let many: Vec<_> = (1..500).map(sample).collect();
    assert!(matches!(store.commit(&many), Err(StoreError::Full { .. })));
    assert_eq!(dump(&store), before);
    limit(&store, 1 << 30);
    store.commit(&many).unwrap();
    assert_eq!(store.snapshot().unwrap().samples.len(), 500);
}

#[test]
fn a_file_is_known_until_it_or_the_backbone_changes() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&every_write()).unwrap();
    let reader = store.reader().unwrap();
    assert!(reader.file_is_known(&path(1), stamp(1)).unwrap());
    assert!(reader.file_is_known(&path(9), stamp(9)).unwrap(), "put aside");
    assert!(!reader.file_is_known(&path(1), stamp(2)).unwrap(), "another stamp");
    assert!(!reader.file_is_known(&path(3), stamp(3)).unwrap(), "never seen");
    drop(store);

    let backbone = backbone();
    let options = OpenOptions { spaces: SpacesInUse::whole(space("b")), ..options(&backbone) };
    let mut store = Store::open(folder.path(), &options).unwrap();
    let reader = store.reader().unwrap();
    assert!(!reader.file_is_known(&path(1), stamp(1)).unwrap(), "no embedding in the new space");
    assert!(reader.file_is_known(&path(9), stamp(9)).unwrap(), "still no image");
    assert_eq!(reader.embedding(&id(1), &space("b")).unwrap(), None);
    assert!(reader.labelled(&task()).unwrap().ids.is_empty() && reader.recent(&space("b"), 64).unwrap().is_empty());
    store.commit(&[Write::Embedding { id: id(1), space: space("b"), embedding: vec![9.0; DIM] }]).unwrap();
    assert!(reader.file_is_known(&path(1), stamp(1)).unwrap());
    assert_eq!(reader.labelled(&task()).unwrap().embeddings.row(0).to_vec(), [9.0; DIM]);
    drop(store);

    let reader = open(folder.path()).unwrap().reader().unwrap();
    assert_eq!(reader.embedding(&id(1), &space("a")).unwrap(), Some(embedding(1)), "the old space is kept");
}

#[test]
fn a_reader_sees_whole_commits_only_while_they_go_on() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let reader = store.reader().unwrap();
    let writer = std::thread::spawn(move || {
        for n in 0..100 {
            store.commit(&[sample(2 * n), sample(2 * n + 1), labelled(2 * n, Some("nut"), 1)]).unwrap();
        }
    });
    let mut last = 0;
    while last < 200 {
        let counts = reader.counts().unwrap();
        assert!(counts.samples >= last && counts.samples == 2 * counts.labelled, "{counts:?}");
        last = counts.samples;
        if writer.is_finished() {
            assert_eq!(reader.counts().unwrap().samples, 200);
        }
    }
    writer.join().unwrap();
}

mod exclusions;
mod files;
mod label_changes;
mod looks;
mod migration;
mod opening;
mod pictures;
mod plans;
mod redo;
mod reports;
mod room;
mod sample_queries;
mod tasks;
mod training_queries;
mod updates;
mod view_queries;

/// A store in which the last commits are in its log alone, as a kill leaves it.
fn killed(folder: &Path) {
    let mut store = open(folder).unwrap();
    store.commit(&[sample(1)]).unwrap();
    store.commit(&[sample(2), Write::SeqReserved(70)]).unwrap();
    let files = ["edgetuned.db", "edgetuned.db-wal"].map(|name| (name, fs::read(folder.join(name)).unwrap()));
    drop(store);
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn a_damaged_log_is_refused_and_stays_and_moving_it_away_goes_on_with_what_the_database_has() {
    let folder = folder();
    killed(folder.path());
    let log = folder.path().join("edgetuned.db-wal");
    let noise = vec![0x5a; fs::metadata(&log).unwrap().len() as usize];
    fs::write(&log, &noise).unwrap();
    for error in [
        open(folder.path()).unwrap_err(),
        Store::open_existing(folder.path()).unwrap_err(),
        Reader::open(folder.path(), SpacesInUse::default()).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::DamagedLog { .. }), "{error}");
        assert!(error.to_string().contains("edgetuned.db-wal"), "{error}");
    }
    assert_eq!(fs::read(&log).unwrap(), noise, "nothing was changed");
    fs::remove_file(&log).unwrap();
    assert_eq!(open(folder.path()).unwrap().snapshot().unwrap().seq, 70, "numbers are not given twice");
}

#[test]
fn numbers_of_messages_outlive_the_database() {
    let folder = folder();
    killed(folder.path());
    assert_eq!(open(folder.path()).unwrap().snapshot().unwrap().samples.len(), 2);
    for file in ["edgetuned.db", "edgetuned.db-wal", "edgetuned.db-shm"] {
        let _ = fs::remove_file(folder.path().join(file));
    }
    let store = open(folder.path()).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!((snapshot.seq, snapshot.samples.len()), (70, 0));
}

#[test]
fn a_closed_store_is_one_file_once_nobody_reads_it() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[sample(1)]).unwrap();
    let reader = store.reader().unwrap();
    drop(reader);
    assert!(store.close().unwrap());
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["daemon.lock", "edgetuned.db", "reserve", "seq"]);
}

#[test]
fn a_quota_that_was_lowered_gives_the_free_pages_back() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let dropped: Vec<Write> = (0..2_000).map(|n| Write::DeleteSample { id: id(n) }).collect();
    store.commit(&(0..2_000).map(sample).collect::<Vec<_>>()).unwrap();
    store.commit(&dropped).unwrap();
    let room = store.reader().unwrap().room().unwrap();
    assert!(room.beside_bytes > 256 << 10 && room.store_bytes > room.beside_bytes, "{room:?}");
    let free = store.database.free_bytes().unwrap();
    assert!(free > 200_000, "{free}");
    store.keep_within(512 << 20).unwrap();
    assert_eq!(store.database.free_bytes().unwrap(), free, "they are filled again");
    store.keep_within(400_000).unwrap();
    assert_eq!(store.database.free_bytes().unwrap(), 0);
    // A value that is larger than the log may be.
    store.commit(&[Write::Statistics { task: task(), file: vec![7; 300_000] }]).unwrap();
    assert!(store.database.log_bytes() < 100_000, "{}", store.database.log_bytes());
    assert!(store.reader().unwrap().room().unwrap().beside_bytes > (256 << 10) + 300_000);
}
