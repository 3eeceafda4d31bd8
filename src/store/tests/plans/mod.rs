//! Every statement of the store finds its rows by an index, unless it is about all of them.
//!
//! What is run is traced while one of every write and every question goes through a store; the plan of each statement is
//! `SQLite`'s own. Statistics of tables are never gathered, so plans are the same however much is stored.

mod literals;
mod workout;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::*;

/// What does not grow with samples, labels or files, as far as it is gone through: tables with a bound of their own, and
/// inner queries, whose tables have lines of their own in the plan.
const BOUNDED: [&str; 17] = [
    "2-ROW",
    "CONSTANT",
    "awaited_labels",
    "bare_files",
    "changed",
    "chunks",
    "events",
    "heads",
    "later",
    "ledger",
    "many",
    "outbox",
    "spaces",
    "state",
    "statistics",
    "tasks",
    "trainings",
];

/// Statements that go through all rows of a table that grows, by a part of their text, and why they may.
const OF_ALL: [(&str, &str); 29] = [
    // The state that the engine starts from; it is linear, as `docs/operations.md` says.
    ("SELECT image FROM samples ORDER BY number", "start"),
    ("folder, in_doubt, excluded FROM task_samples CROSS JOIN samples", "start"),
    ("SELECT image, source, at FROM label_history WHERE task = ?1 AND excluded IS NULL", "start"),
    ("SELECT image, source, length(pictures.bytes) FROM pictures", "start"),
    ("SELECT path, image, reason FROM files WHERE evicted = 0", "start"),
    ("FROM pictures CROSS JOIN samples ON number = sample WHERE source = ?1 ORDER BY sample DESC LIMIT 1", "start"),
    ("ORDER BY number DESC LIMIT ?2", "start; the latest few"),
    ("SELECT image, number, label IS NOT NULL", "another backbone embeds every sample"),
    ("DELETE FROM embeddings WHERE space NOT IN", "another backbone took over"),
    // Once a training.
    (
        "SELECT samples.image, label, burst FROM task_samples",
        "choosing among all labels, for trainings and the review list",
    ),
    ("AND labelled_at >= ?2 AND excluded = 0 ORDER BY labelled_at", "labels since the last verdict, after each"),
    (
        "SELECT image, labelled_at, label_source, (SELECT count(label) = 2",
        "how much each label is believed, in a training",
    ),
    // Once for each twentieth of the samples.
    ("SELECT image, burst, number, task, label FROM samples LEFT JOIN task_samples", "choosing what is evicted"),
    // The latest that fit, which ends early unless next to everything has a label.
    ("WHERE task = ?1 AND label IS NULL AND excluded = 0 AND arrived_at >= ?2", "the latest few for the review list"),
    // Answers that have a row for each sample.
    ("SELECT image, label, predicted, probability, arrived_at, burst, excluded FROM task_samples", "the index of all"),
    (
        "SELECT samples.image, vector FROM task_samples CROSS JOIN samples ON number = sample LEFT JOIN",
        "the map of all",
    ),
    ("SELECT samples.image, label, vector FROM task_samples", "the neighbours among all labels"),
    ("SELECT image, burst, label FROM task_samples", "the folds of all, kept until a label changes"),
    ("SELECT image, burst, iif(excluded, NULL, label), number FROM task_samples", "a command that shows a history"),
    (
        "burst, excluded FROM task_samples CROSS JOIN samples ON number = sample WHERE task = ?1 ORDER BY sample",
        "exports",
    ),
    // Commands for people.
    ("SELECT count(*) FROM samples", "counts"),
    ("SELECT count(DISTINCT sample) FROM task_samples", "counts"),
    ("SELECT count(reason) FROM files", "counts"),
    ("SELECT (SELECT count(*) FROM task_samples WHERE task = ?1)", "what is stored of a task"),
    ("SELECT task FROM task_samples UNION", "the tasks of which something is stored"),
    ("(SELECT space FROM embeddings WHERE image IN (SELECT image FROM samples)", "a command without a configuration"),
    // A task that was taken out of the configuration and is to be forgotten.
    ("DELETE FROM label_history WHERE task = ?1", "purge"),
    ("DELETE FROM task_samples WHERE task = ?1", "purge"),
    ("DELETE FROM tasks WHERE task = ?1", "purge"),
];

/// What was run on connections.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<BTreeSet<String>>>);

impl Trace {
    fn follow(&self, connection: &mut Connection) {
        let seen = Arc::clone(&self.0);
        let note = move |event: TraceEvent<'_>| {
            if let TraceEvent::Stmt(statement, _) = event {
                seen.lock().unwrap().insert(literals::plain(&statement.sql()));
            }
        };
        connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
    }

    /// Statements that read or write tables.
    fn statements(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().iter().filter(|sql| literals::is_statement(sql)).cloned().collect()
    }
}

/// The lines of the plan that go through all of a table.
fn scans(connection: &Connection, sql: &str) -> Vec<String> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let (mut rows, mut found) = (explain.raw_query(), Vec::new());
    while let Some(row) = rows.next().unwrap() {
        let line: String = row.get(3).unwrap();
        let scanned = line.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
        // An index that is made for one run of a query is made of all rows, and so is what is looked up in all of a table.
        if line.contains("AUTOMATIC")
            || line.contains("FOR IN-OPERATOR")
            || scanned.is_some_and(|table| !table.starts_with("(subquery") && !BOUNDED.contains(&table))
        {
            found.push(line);
        }
    }
    found
}

fn traced() -> (TempDir, Store, BTreeSet<String>) {
    let (folder, trace) = (folder(), Trace::default());
    let mut store = workout::open(folder.path());
    trace.follow(&mut store.database.connection);
    let mut reader = store.reader().unwrap();
    trace.follow(&mut reader.database.connection);
    workout::run(&mut store, &reader);
    let mut alone = Reader::open(folder.path(), SpacesInUse::default()).unwrap();
    trace.follow(&mut alone.database.connection);
    alone.room().unwrap();
    workout::cached(folder.path(), &trace);
    (folder, store, trace.statements())
}

#[test]
fn no_statement_goes_through_a_table_that_grows_unless_it_is_about_all_of_it() {
    let (_folder, store, statements) = traced();
    let (mut wrong, mut used) = (String::new(), BTreeSet::new());
    for sql in &statements {
        let scans = scans(&store.database.connection, sql);
        let exception = OF_ALL.iter().position(|(part, _)| sql.contains(part));
        match exception {
            Some(place) if !scans.is_empty() => {
                used.insert(place);
            }
            _ if scans.is_empty() => {}
            _ => writeln!(wrong, "{sql}\n    {}", scans.join("\n    ")).unwrap(),
        }
    }
    assert!(wrong.is_empty(), "without an index:\n{wrong}");
    let stale: Vec<_> = (0..OF_ALL.len()).filter(|place| !used.contains(place)).map(|place| OF_ALL[place].0).collect();
    assert!(stale.is_empty(), "these need no exception any more: {stale:?}");
}

#[test]
fn a_query_without_an_index_is_noticed() {
    let (_folder, store, _) = traced();
    let connection = &store.database.connection;
    assert_eq!(scans(connection, "SELECT image FROM samples WHERE burst = ?1"), ["SCAN samples"]);
    assert_eq!(scans(connection, "SELECT image FROM samples WHERE image = ?1"), [""; 0]);
    let joined = "SELECT 1 FROM samples JOIN label_history AS other ON other.at = samples.arrived_at";
    assert!(!scans(connection, joined).is_empty(), "another name does not hide a table");
}

#[test]
fn every_statement_of_the_source_is_run_here() {
    let (_folder, _store, run) = traced();
    let mut missing = String::new();
    let mut known = 0;
    for (file, statement) in literals::of_the_store() {
        known += 1;
        if !run.iter().any(|sql| statement.fits(sql)) {
            writeln!(missing, "{file}: {statement:?}").unwrap();
        }
    }
    assert!(missing.is_empty(), "add these to the workout:\n{missing}");
    assert!(known > 80, "{known} statements were found in the source");
}

#[test]
fn what_refers_to_a_sample_is_found_by_an_index_when_it_goes() {
    let folder = folder();
    let store = open(folder.path()).unwrap();
    let connection = &store.database.connection;
    let sql =
        "SELECT tables.name, keys.\"from\" FROM sqlite_schema AS tables, pragma_foreign_key_list(tables.name) AS keys
               WHERE tables.type = 'table' AND keys.\"table\" = 'samples'";
    let mut select = connection.prepare(sql).unwrap();
    let keys = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let keys: Vec<(String, String)> = keys.collect::<Result<_, _>>().unwrap();
    assert!(keys.len() >= 5, "{keys:?}");
    for (table, column) in keys {
        assert_eq!(scans(connection, &format!("SELECT 1 FROM {table} WHERE {column} = ?1")), [""; 0], "{table}");
    }
}
