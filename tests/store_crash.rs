//! What was acknowledged outlives `kill -9` and a torn log.
//!
//! The test starts itself again as a child that commits numbered steps and prints each number once `commit` has
//! returned. The parent kills it after a number of lines drawn from a seed, wherever the child then is, and looks.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use edgetuned::engine::{
    FileDisposition, FileStamp, LabelSource, Look, NewSample, OutboxMessage, RememberedReply, StoredSample, Write,
};
use edgetuned::head::BackboneRef;
use edgetuned::store::{OpenOptions, Precision, SpacesInUse, Store};
use edgetuned::wire::Topic;
use edgetuned::words::{Digest, EmbeddingSpace, Label, Origin, SampleId, TaskId, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIM: usize = 64;
const CHILD: &str = "EDGETUNED_CRASH_TEST_FOLDER";

fn space() -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"a"), preprocessing: Digest::of(b"b"), dim: DIM }
}

fn open(folder: &Path) -> Store {
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"model"), dim: DIM };
    Store::open(
        folder,
        &OpenOptions { spaces: SpacesInUse::whole(space()), backbone: &backbone, precision: Precision::F16 },
    )
    .expect("opens")
}

fn id(n: u64) -> SampleId {
    SampleId::of(&n.to_le_bytes())
}

fn embedding(n: u64) -> Vec<f32> {
    // Whole numbers below 2,048 are exact in f16.
    (0..DIM as u64).map(|i| ((n + i) % 2048) as f32).collect()
}

fn class(n: u64) -> Label {
    Label::new(["bolt", "gear", "nut"][(n % 3) as usize]).expect("a label")
}

fn path(n: u64) -> String {
    format!("/srv/camera/{n}.jpg")
}

/// Everything that step `n` makes durable at once.
fn step(n: u64) -> Vec<Write> {
    let at = Timestamp(n as i64);
    vec![
        Write::Sample(Box::new(NewSample {
            id: id(n),
            origin: Origin::File(path(n).into()),
            bytes: n,
            arrived_at: at,
            embeddings: vec![(space(), embedding(n))],
            group: id(n),
            looks: vec![Look { task: TaskId::default(), space: space(), predicted: None }],
            thumbnail: None,
            picture: None,
        })),
        Write::File {
            path: path(n).into(),
            stamp: FileStamp { size: n, mtime_ns: 1, ctime_ns: 0 },
            fate: FileDisposition::Sample(id(n)),
        },
        Write::Label {
            task: TaskId::default(),
            id: id(n),
            label: Some(class(n)),
            source: LabelSource::Mqtt,
            at,
            change: None,
        },
        Write::SeqReserved(n + 1),
        Write::Outbox(OutboxMessage { seq: n, topic: Topic::Event, payload: vec![n as u8; 100], made_at: at }),
        Write::Reply(RememberedReply { transaction: n.to_string(), name: "train".into(), answer: vec![n as u8], at }),
    ]
}

/// Commits steps until it is killed.
fn child(folder: &Path) -> ! {
    let mut store = open(folder);
    for n in store.snapshot().expect("reads").samples.len() as u64.. {
        store.commit(&step(n)).expect("commits");
        let mut out = std::io::stdout().lock();
        write!(out, "\nacknowledged {n}\n").and_then(|()| out.flush()).expect("the parent reads");
    }
    unreachable!("the numbers do not end")
}

/// Starts a child, kills it after `lines` acknowledgements, and returns the last number that it acknowledged.
fn kill_after(folder: &Path, lines: u64) -> Option<u64> {
    let program = std::env::current_exe().expect("this test has a file");
    let mut child = Command::new(program)
        .args(["--exact", "what_was_acknowledged_survives_twenty_kills", "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts itself");
    let mut acknowledged = BufReader::new(child.stdout.take().expect("piped"))
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("acknowledged ").and_then(|n| n.parse().ok()));
    let mut last = None;
    for _ in 0..lines {
        last = acknowledged.next();
        assert!(last.is_some(), "the child ended by itself");
    }
    child.kill().expect("kills");
    // What it still said before it died counts too.
    last = acknowledged.last().or(last);
    child.wait().expect("ended");
    last
}

/// Number of whole steps in the store; panics when one is not whole or something is doubled.
fn whole_steps(folder: &Path, context: &str) -> u64 {
    let store = open(folder);
    let snapshot = store.snapshot().expect("reads");
    let reader = store.reader().expect("opens");
    let n = snapshot.samples.len() as u64;
    // The numbers of a step are reserved before it is committed.
    assert!((n..=n + 1).contains(&snapshot.seq), "{context}: {} numbers for {n} steps", snapshot.seq);
    let label = |n| Some((class(n), LabelSource::Mqtt));
    let at = |n| Some(Timestamp(n as i64));
    let samples = (0..n).map(|n| StoredSample { label: label(n), spoken_at: at(n), ..StoredSample::new(id(n)) });
    assert_eq!(snapshot.tasks[&TaskId::default()].samples, samples.collect::<Vec<_>>(), "{context}");
    let seqs: Vec<_> = snapshot.outbox.iter().map(|spooled| spooled.seq).collect();
    assert_eq!(seqs, (0..n).collect::<Vec<_>>(), "{context}");
    let transactions: Vec<_> = snapshot.ledger.iter().map(|entry| entry.transaction.clone()).collect();
    assert_eq!(transactions, (0..n).map(|n| n.to_string()).collect::<Vec<_>>(), "{context}");
    let mut messages = reader.reports_after(0, usize::MAX >> 1).expect("reads");
    messages.extend(reader.answers_after(0, usize::MAX >> 1).expect("reads"));
    assert!(messages.iter().all(|message| message.payload == [message.seq as u8; 100]), "{context}");
    for n in 0..n {
        assert_eq!(reader.embedding(&id(n), &space()).expect("reads"), Some(embedding(n)), "{context}, step {n}");
        let stamp = FileStamp { size: n, mtime_ns: 1, ctime_ns: 0 };
        assert!(reader.file_is_known(path(n).as_ref(), stamp).expect("reads"), "{context}, step {n}");
    }
    assert_eq!(reader.labelled(&TaskId::default()).expect("reads").ids.len() as u64, n, "{context}");
    n
}

#[test]
fn what_was_acknowledged_survives_twenty_kills() {
    if let Some(folder) = std::env::var_os(CHILD) {
        child(folder.as_ref());
    }
    let seed = 2;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut before = 0;
    for kill in 1..=20 {
        let lines = random.random_range(0..40);
        let last = kill_after(folder.path(), lines);
        let context = format!("seed {seed}, kill {kill} after {lines} lines");
        let found = whole_steps(folder.path(), &context);
        let acknowledged = last.map_or(before, |last| last + 1);
        // One more may have been committed and not said.
        assert!((acknowledged..=acknowledged + 1).contains(&found), "{context}: {acknowledged} said, {found} found");
        before = found;
    }
    assert!(before > 100, "seed {seed}: the children did work");
}

#[test]
fn a_log_torn_anywhere_keeps_a_whole_beginning() {
    let seed = 3;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    (0..30).for_each(|n| store.commit(&step(n)).expect("commits"));
    let read = |name| std::fs::read(folder.path().join(name)).expect("is there");
    // Copied while the store is open, as a power cut finds it.
    let (database, log) = (read("edgetuned.db"), read("edgetuned.db-wal"));
    drop(store);
    let mut counts = Vec::new();
    for _ in 0..40 {
        let cut = random.random_range(0..=log.len());
        let torn = tempfile::tempdir().expect("a folder");
        std::fs::write(torn.path().join("edgetuned.db"), &database).expect("writes");
        std::fs::write(torn.path().join("edgetuned.db-wal"), &log[..cut]).expect("writes");
        counts.push((cut, whole_steps(torn.path(), &format!("seed {seed}, log cut at {cut} of {}", log.len()))));
    }
    counts.sort_unstable();
    assert!(counts.is_sorted_by_key(|(_, steps)| *steps), "seed {seed}: a longer log keeps no less: {counts:?}");
    assert!(counts.first() < counts.last() && counts.iter().any(|(_, n)| (1..30).contains(n)), "{counts:?}");
}
