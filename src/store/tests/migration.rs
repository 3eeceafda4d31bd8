//! Files of former versions come through whole.

use std::os::unix::ffi::OsStrExt as _;

use rusqlite::Connection;

use super::*;

const TABLES: &str = "spaces embeddings samples label_history awaited_labels files heads outbox ledger state";

/// The same of version 5.
const TABLES_5: &str = "spaces embeddings samples label_history awaited_labels files heads outbox ledger statistics updates \
                        chunks state";

/// A file as version 1 wrote it, with rows in every table and numbers that were given and are gone.
fn version_1(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("edgetuned.db")).unwrap();
    connection.pragma_update(None, "foreign_keys", true).unwrap();
    connection.execute_batch(include_str!("../schema_1.sql")).unwrap();
    connection.pragma_update(None, "application_id", database::APPLICATION_ID).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let hex = |digest: Digest| format!("x'{digest}'");
    let [one, two] = [1, 2].map(|n| hex(id(n).0));
    let space = space("a");
    let classes = r#"["gear","nut"]"#;
    let file = hex::encode(&head(1).to_bytes());
    let sql = format!(
        "INSERT INTO spaces VALUES (1, {}, {}, {DIM}, 'tiny');
         INSERT INTO embeddings VALUES ({one}, 1, x'003c0038003c0038'), ({two}, 1, x'00400038003c0038');
         INSERT INTO samples VALUES (3, {one}, x'2fff', 10, 20, {one}, 'nut', 0.75, 'gear', 'folder', 30),
                                    (5, {two}, '', 0, -1, {one}, NULL, NULL, NULL, NULL, NULL);
         INSERT INTO samples (image, path, bytes, arrived_at, burst) VALUES (zeroblob(32), '', 0, 0, zeroblob(32));
         DELETE FROM samples WHERE number = 6;
         INSERT INTO label_history VALUES (1, {one}, 'nut', 'mqtt', 25), (2, {one}, NULL, 'mqtt', 26),
                                          (4, {one}, 'gear', 'folder', 30);
         INSERT INTO awaited_labels VALUES (2, '0123abcd', 'nut', 'mqtt', 4), (9, 'ffff0000', 'gear', 'folder', 5);
         DELETE FROM awaited_labels WHERE number = 9;
         INSERT INTO files VALUES (x'2fff', 10, -5, {one}, NULL), (x'41', 0, 0, NULL, 'no image');
         INSERT INTO heads VALUES (1, 'a1', 70, 1, 'tiny', '{classes}', 0.5, 'champion', 'first', 80, x'{file}');
         INSERT INTO outbox VALUES (7, 'event', x'7b7d', 9);
         INSERT INTO ledger VALUES (2, 'b', 'train', x'7b7d', 3);
         UPDATE state SET seq = 100, training =
            '{{\"running\":null,\"due\":null,\"last\":55,\"new_labels\":12,\"next_id\":4}}';",
        hex(space.backbone),
        hex(space.preprocessing),
    );
    let sql = sql.replace("''", "x''").replace("\"last\":55", "\"last\":\"2026-03-01T00:00:00Z\"");
    connection.execute_batch(&sql).unwrap();
    connection
}

/// Where the columns of former versions are that are no longer where they were.
const NOW: &[(&str, &str)] = &[
    ("samples", "samples JOIN task_samples ON sample = number AND task = 'default'"),
    ("state", "state JOIN tasks ON task = 'default'"),
];

mod hex {
    use std::fmt::Write as _;

    pub fn encode(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }
}

/// Every value of every row of the tables of a former version, in the columns that it had; what they are rows of is
/// given by `now` where they are elsewhere now.
fn rows(connection: &Connection, columns: &[(String, String)], now: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (table, columns) in columns {
        let from = now.iter().find(|(former, _)| former == table).map_or(table.as_str(), |(_, from)| from);
        let mut select = connection.prepare(&format!("SELECT {columns} FROM {from} ORDER BY 1, 2")).unwrap();
        let count = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<_> = (0..count).map(|column| format!("{:?}", row.get_ref(column).unwrap())).collect();
            found.push(format!("{table}: {}", values.join(", ")));
        }
    }
    found
}

fn columns(connection: &Connection, tables: &str) -> Vec<(String, String)> {
    let columns = |table: &str| {
        let names = "SELECT group_concat('\"' || name || '\"', ', ') FROM pragma_table_info(?1)";
        (table.to_owned(), connection.query_row(names, [table], |row| row.get(0)).unwrap())
    };
    tables.split(' ').map(columns).collect()
}

#[test]
fn a_state_folder_from_before_there_were_tasks_comes_through_whole() {
    let folder = folder();
    let file = folder.path().join("edgetuned.db");
    fs::write(&file, include_bytes!("../../../tests/data/stores/version-5.db")).unwrap();
    let old = Connection::open(&file).unwrap();
    assert_eq!(old.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), 5);
    let columns = columns(&old, TABLES_5);
    let before = rows(&old, &columns, &[]);
    drop(old);
    let reader = Reader::open(folder.path(), SpacesInUse::default()).unwrap();
    drop(reader);
    let now = Connection::open(&file).unwrap();
    assert_eq!(now.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), database::NEWEST);
    assert_eq!(rows(&now, &columns, NOW), before);
    drop(now);

    // What a person would miss: labels with what was taken back, the label that waits, both heads and what they learned.
    let heads = Reader::open(folder.path(), SpacesInUse::default()).unwrap().heads(&task()).unwrap();
    let statuses: Vec<_> = heads.iter().map(|head| (head.head.version, head.status)).collect();
    assert_eq!(statuses, [(1, HeadStatus::Kept), (2, HeadStatus::Champion)]);
    let spaces = SpacesInUse::whole(heads[1].space);
    let reader = Reader::open(folder.path(), spaces).unwrap();
    let champion = reader.champion(&task()).unwrap().unwrap();
    assert_eq!(HeadRecord::from_bytes(&champion.bytes).unwrap().head.id.0, "d5269f4b4d19");
    let statistics = crate::train::LabelStats::from_bytes(&reader.statistics(&task()).unwrap().unwrap()).unwrap();
    let labelled = reader.labelled(&task()).unwrap();
    assert_eq!((labelled.ids.len(), labelled.embeddings.ncols()), (13, 3));
    assert_eq!(statistics.contributors().count(), 12, "the thirteenth label is newer than the last verdict");
    let red = labelled.ids.iter().find(|id| id.to_string().starts_with("c75611966fcc")).unwrap();
    let history = reader.label_history(&task(), red).unwrap();
    let said: Vec<_> = history.iter().map(|line| line.label.as_ref().map(Label::as_str)).collect();
    assert_eq!(said, ["red", "scarlet", "red", "scarlet"].map(Some));
}

#[test]
fn a_file_of_version_1_comes_through_whole() {
    let folder = folder();
    let old = version_1(folder.path());
    let columns = columns(&old, TABLES);
    let before = rows(&old, &columns, &[]);
    for table in TABLES.split(' ') {
        assert!(before.iter().any(|row| row.starts_with(&format!("{table}: "))), "{table} has a row");
    }
    drop(old);

    let mut store = open(folder.path()).unwrap();
    let connection = &store.database.connection;
    assert_eq!(rows(connection, &columns, NOW), before);
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((number("PRAGMA user_version"), number("PRAGMA foreign_keys")), (database::NEWEST, 1));
    assert_eq!(number("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'new_%'"), 0);
    let indices = "SELECT count(*) FROM sqlite_schema WHERE name IN ('label_history_image', 'files_image')";
    assert_eq!(number(indices), 2);
    assert_eq!(number("SELECT count FROM bare_files"), number("SELECT count(*) - count(image) FROM files"));
    assert_eq!(number("SELECT (SELECT sum(undone) FROM label_history) + (SELECT sum(evicted) FROM files)"), 0);

    let changes =
        "SELECT group_concat(coalesce(change, 'none')) FROM (SELECT change FROM label_history ORDER BY number)";
    let changes: String = connection.query_row(changes, [], |row| row.get(0)).unwrap();
    assert_eq!((changes.as_str(), number("SELECT changes FROM state")), ("1,2,none", 2), "a folder makes none");

    let snapshot = store.snapshot().unwrap();
    let gear = StoredSample {
        label: Some((label("gear"), LabelSource::Folder)),
        folder: Some(label("gear")),
        spoken_at: Some(Timestamp(30)),
        ..StoredSample::new(id(1))
    };
    assert_eq!(snapshot.tasks[&task()].samples, [gear, StoredSample::new(id(2))]);
    assert_eq!((snapshot.tasks[&task()].training.new_labels, snapshot.tasks[&task()].training.began), (12, None));
    assert_eq!((&snapshot.tasks[&task()].live, snapshot.class_folders), (&LiveAccuracy::default(), None));
    let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/\xff"));
    let quarantined = ("A".into(), FileDisposition::Quarantined("no image".into()));
    assert_eq!(snapshot.files, [(odd, FileDisposition::Sample(id(1))), quarantined]);
    let predicted = store.reader().unwrap().samples(&task()).unwrap()[0].predicted.clone().unwrap();
    assert_eq!((predicted.head, predicted.probability), (0, 0.75), "who predicted was not noted");

    // Numbers go on behind the highest ever given, and all that is new can be written.
    let import = |n| Write::Label {
        task: task(),
        id: id(n),
        label: Some(label("nut")),
        source: LabelSource::Import,
        at: Timestamp(99),
        change: Some(9),
    };
    store.commit(&[sample(8), import(8), Write::PendingLabel(awaited("eeee0000", "nut"))]).unwrap();
    let connection = &store.database.connection;
    let numbers = "SELECT max(samples.number), max(label_history.number), max(awaited_labels.number)
                   FROM samples, label_history, awaited_labels";
    let numbers: (i64, i64, i64) =
        connection.query_row(numbers, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    assert_eq!(numbers, (7, 5, 10));
    store.commit(&[Write::DeleteSample { id: id(1) }, Write::Statistics { task: task(), file: vec![1] }]).unwrap();
    drop(store);
    assert_eq!(open(folder.path()).unwrap().snapshot().unwrap().samples.len(), 2);
}

#[test]
fn reading_a_file_of_version_1_brings_it_up_to_date_too() {
    let folder = folder();
    drop(version_1(folder.path()));
    let reader = Reader::open(folder.path(), SpacesInUse::whole(space("a"))).unwrap();
    assert_eq!(reader.labelled(&task()).unwrap().ids, [id(1)]);
}

#[test]
fn a_file_whose_rows_refer_to_nothing_is_not_migrated() {
    let folder = folder();
    let old = version_1(folder.path());
    old.pragma_update(None, "foreign_keys", false).unwrap();
    old.execute("DELETE FROM samples WHERE number = 3", []).unwrap();
    let columns = columns(&old, TABLES);
    let before = rows(&old, &columns, &[]);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { action: "migrate", .. }), "{error:?}");
    assert!(crate::words::error_chain(&error).contains("refers to a row that is not there"), "{error:?}");
    assert_eq!(rows(&old, &columns, &[]), before);
    assert_eq!(old.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn labels_that_a_person_gave_at_one_time_are_one_change_of_a_former_version() {
    let folder = folder();
    let old = version_1(folder.path());
    let one = format!("x'{}'", id(1).0);
    let more = format!(
        "INSERT INTO label_history VALUES (5, {one}, 'nut', 'mqtt', 40), (6, {one}, 'gear', 'folder', 40),
                                          (7, {one}, 'cog', 'mqtt', 40), (8, {one}, 'nut', 'mqtt', 25);"
    );
    old.execute_batch(&more).unwrap();
    drop(old);
    let store = open(folder.path()).unwrap();
    let history = store.reader().unwrap().label_history(&task(), &id(1)).unwrap();
    let changes: Vec<_> = history.iter().map(|line| line.change).collect();
    assert_eq!(changes, [Some(1), Some(2), None, Some(5), None, Some(5), Some(1)]);
    assert_eq!(store.snapshot().unwrap().changes, 5);
}
