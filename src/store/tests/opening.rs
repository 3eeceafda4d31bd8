//! What may be in the folder when a store is opened.

use rusqlite::Connection;

use super::*;

const FILE: &str = "edgetuned.db";

#[test]
fn a_second_daemon_is_refused_with_the_process_that_holds_the_folder() {
    let folder = folder();
    let first = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn a_missing_folder_is_made_for_owner_and_group_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("deep/state");
    open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o027, 0);
}

#[test]
fn an_empty_file_becomes_a_store() {
    let folder = folder();
    fs::write(folder.path().join(FILE), b"").unwrap();
    let mut store = open(folder.path()).unwrap();
    store.commit(&every_write()).unwrap();
    let version = store.database.connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    assert_eq!(version.unwrap(), database::NEWEST);
}

#[test]
fn a_failed_migration_leaves_the_file_as_it_was() {
    let folder = folder();
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    // Ours by its mark, of version 0, but with a table that version 1 is about to make.
    connection.pragma_update(None, "application_id", database::APPLICATION_ID).unwrap();
    connection.execute_batch("CREATE TABLE outbox (x); INSERT INTO outbox VALUES (5);").unwrap();
    assert!(open(folder.path()).is_err());
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    let kept: i64 = connection.query_row("SELECT x FROM outbox", [], |row| row.get(0)).unwrap();
    assert_eq!((tables, kept), (1, 5));
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = folder();
    drop(open(folder.path()).unwrap());
    let file = folder.path().join(FILE);
    Connection::open(&file).unwrap().pragma_update(None, "user_version", database::NEWEST + 1).unwrap();
    let before = fs::read(&file).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found, known, .. } if found == known + 1), "{error}");
    let words = error.to_string();
    assert!(words.contains("a newer edgetuned wrote it") && words.contains("update edgetuned"), "{words}");
    assert!(matches!(Reader::open(folder.path(), SpacesInUse::default()), Err(StoreError::Newer { .. })));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn files_that_are_not_ours_are_refused_and_left_alone() {
    for content in [&b"x"[..], b"SQLite format 2\0 and more", &[0; 5000]] {
        let folder = folder();
        let file = folder.path().join(FILE);
        fs::write(&file, content).unwrap();
        assert!(matches!(open(folder.path()), Err(StoreError::Foreign { .. })), "{content:?}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
    let folder = folder();
    let file = folder.path().join(FILE);
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE songs (name)").unwrap();
    let before = fs::read(&file).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::Foreign { .. })));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_damaged_file_is_reported_and_left_alone() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&(0..200).map(sample).collect::<Vec<_>>()).unwrap();
    drop(store);
    let file = folder.path().join(FILE);
    let mut bytes = fs::read(&file).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&file, &bytes).unwrap();
    let found = open(folder.path()).and_then(|store| store.snapshot().map(|_| ()));
    assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{found:?}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn a_file_cut_short_is_reported() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&(0..200).map(sample).collect::<Vec<_>>()).unwrap();
    drop(store);
    let file = folder.path().join(FILE);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let found = open(folder.path()).and_then(|store| store.snapshot().map(|_| ()));
    assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{found:?}");
}

#[test]
fn a_value_that_makes_no_sense_is_damage_and_not_a_panic() {
    let damages = [
        "UPDATE task_samples SET label = 'a/b' WHERE label IS NOT NULL",
        "UPDATE heads SET classes = 'nut'",
        "UPDATE tasks SET training = '{'",
    ];
    for damage in damages {
        let folder = folder();
        let mut store = open(folder.path()).unwrap();
        store.commit(&every_write()).unwrap();
        store.database.connection.execute_batch(damage).unwrap();
        assert!(matches!(store.snapshot(), Err(StoreError::Corrupt { .. })), "{damage}");
    }
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&every_write()).unwrap();
    let reader = store.reader().unwrap();
    store.database.connection.execute_batch("UPDATE embeddings SET vector = x'0102'").unwrap();
    assert!(matches!(reader.labelled(&task()), Err(StoreError::Corrupt { .. })));
    store.database.connection.execute_batch("UPDATE outbox SET topic = 'nothing'").unwrap();
    assert!(matches!(reader.reports_after(0, 9), Err(StoreError::Corrupt { .. })));
}

#[test]
fn no_store_is_made_by_reading() {
    let folder = folder();
    let error = Reader::open(folder.path(), SpacesInUse::default()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_cannot_be_one_is_reported_with_its_path() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = open(&file.join("state")).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
}

#[test]
fn writing_where_it_is_forbidden_says_so() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.database.connection.pragma_update(None, "query_only", true).unwrap();
    let error = store.commit(&[sample(1)]).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    let denied = std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
    assert!(matches!(error::io_error("create", folder.path(), denied), StoreError::ReadOnly { .. }));
}

#[test]
fn a_writer_that_takes_too_long_is_busy_and_not_damage() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.database.connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert!(matches!(store.commit(&[sample(1)]), Err(StoreError::Busy { .. })));
    other.execute_batch("COMMIT").unwrap();
    store.commit(&[sample(1)]).unwrap();
}
