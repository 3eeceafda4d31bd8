//! What a state folder holds, and whether that is what it must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use edgetuned::engine::{Snapshot, Write};
use edgetuned::head::HeadRecord;
use edgetuned::words::{Digest, TaskId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::life;

/// Everything that a state folder holds: the rows of each table, and the files beside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    tables: BTreeMap<String, Digest>,
    files: BTreeMap<PathBuf, Digest>,
}

impl State {
    /// What `folder` holds now.
    pub fn of(folder: &Path) -> rusqlite::Result<Self> {
        let connection = connect(folder)?;
        let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
        let names = names.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        let tables = names.into_iter().map(|name| Ok((name.clone(), rows(&connection, &name)?)));
        Ok(Self { tables: tables.collect::<rusqlite::Result<_>>()?, files: files(folder) })
    }

    /// What `folder` holds when the redo log is brought into the database, which is done with a copy.
    pub fn with_redo_log(folder: &Path, backbone: Digest) -> rusqlite::Result<Self> {
        let copy = crate::folder();
        for name in ["edgetuned.db", "edgetuned.db-wal", "edgetuned.redo", "seq"] {
            if folder.join(name).exists() {
                fs::copy(folder.join(name), copy.path().join(name)).expect("it can be copied");
            }
        }
        drop(life::open(copy.path(), backbone).expect("it opens"));
        Ok(Self { files: files(folder), ..Self::of(copy.path())? })
    }

    /// The same with these files, which are written below `folder`.
    pub fn with(&self, folder: &Path, files: &[(PathBuf, Vec<u8>)]) -> Self {
        let mut with = self.clone();
        let below = |path: &Path| path.strip_prefix(folder).expect("it is below").to_owned();
        with.files.extend(files.iter().map(|(path, bytes)| (below(path), Digest::of(bytes))));
        with
    }

    /// The first thing in which `self` is neither as it was at the last word nor as the act under way leaves it.
    pub fn strays(&self, last: &Self, under_way: &Self) -> Option<String> {
        let committed = match (self.tables == last.tables, self.tables == under_way.tables) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => {
                let is = |state: &Self, name: &String| state.tables.get(name) == self.tables.get(name);
                let names = last.tables.keys().chain(under_way.tables.keys());
                let changed: BTreeSet<_> = names.filter(|name| !is(last, name) && !is(under_way, name)).collect();
                return Some(format!("not as they were acknowledged, or half so: tables {changed:?}"));
            }
        };
        let names = last.files.keys().chain(under_way.files.keys()).chain(self.files.keys());
        let stray = |name: &&PathBuf| {
            let (now, before, after) = (self.files.get(*name), last.files.get(*name), under_way.files.get(*name));
            now != after && (committed || now != before)
        };
        names.into_iter().find(stray).map(|name| format!("file {} is not as it was acknowledged", name.display()))
    }
}

fn connect(folder: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(folder.join("edgetuned.db"), flags)
}

fn rows(connection: &Connection, table: &str) -> rusqlite::Result<Digest> {
    let mut select = connection.prepare(&format!("SELECT * FROM {table}"))?;
    // Which records of the redo log the database has is nobody's business; what they say is.
    let names = select.column_names().enumerate();
    let columns: Vec<usize> =
        names.filter(|(_, name)| (table, *name) != ("state", "redo")).map(|(column, _)| column).collect();
    let (mut rows, mut all) = (select.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        for column in &columns {
            let value = row.get_ref(*column)?;
            let (kind, bytes) = match &value {
                ValueRef::Null => (0, Vec::new()),
                ValueRef::Integer(number) => (1, number.to_le_bytes().to_vec()),
                ValueRef::Real(number) => (2, number.to_le_bytes().to_vec()),
                ValueRef::Text(bytes) => (3, bytes.to_vec()),
                ValueRef::Blob(bytes) => (4, bytes.to_vec()),
            };
            all.push(kind);
            all.extend((bytes.len() as u64).to_le_bytes());
            all.extend(bytes);
        }
    }
    Ok(Digest::of(&all))
}

/// Files that were put in their place, below the folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Digest> {
    let mut found = BTreeMap::new();
    for below in ["backbones", "exports"] {
        for entry in fs::read_dir(folder.join(below)).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending != "part") {
                let bytes = fs::read(&path).expect("a file");
                found.insert(path.strip_prefix(folder).expect("below").to_owned(), Digest::of(&bytes));
            }
        }
    }
    found
}

/// Opens what was left in `folder` as the daemon does, and looks whether it is as the life had it at its last word, or
/// as the act under way leaves it.
pub fn judge(folder: &Path, last: &State, under_way: &State) -> Result<(), String> {
    let say = |what: &'static str| move |error: &dyn std::error::Error| format!("{what}: {error}");
    let mut store = life::open(folder, life::first_backbone()).map_err(|error| say("it does not open")(&error))?;
    let snapshot = store.snapshot().map_err(|error| say("it cannot be read")(&error))?;
    let connection = connect(folder).map_err(|error| say("it cannot be looked at")(&error))?;
    for check in ["integrity_check", "foreign_key_check"] {
        whole(&connection, check)?;
    }
    drop(connection);
    let state = State::of(folder).map_err(|error| say("its rows cannot be read")(&error))?;
    if let Some(stray) = state.strays(last, under_way) {
        return Err(stray);
    }
    let champion = store
        .reader()
        .and_then(|reader| reader.champion(&TaskId::default()))
        .map_err(|error| say("no head")(&error))?;
    serves(&snapshot, champion.as_ref().map(|head| head.bytes.as_slice()), &state)?;
    // It works on: what is written now is there afterwards, and what was there as well.
    store.commit(&[Write::SeqReserved(u64::MAX >> 2)]).map_err(|error| say("it takes no more writes")(&error))?;
    drop(store);
    let store = life::open(folder, life::first_backbone()).map_err(|error| say("it does not open again")(&error))?;
    let again = store.snapshot().map_err(|error| say("it cannot be read again")(&error))?;
    if (again.seq, again.samples.len()) != (u64::MAX >> 2, snapshot.samples.len()) {
        return Err("what was written after the cut is not there".into());
    }
    Ok(())
}

fn whole(connection: &Connection, check: &str) -> Result<(), String> {
    let mut said = Vec::new();
    let asked = connection.pragma_query(None, check, |row| {
        said.push(format!("{:?}", row.get_ref(0)?));
        Ok(())
    });
    asked.map_err(|error| format!("{check}: {error}"))?;
    let fine = check == "foreign_key_check" && said.is_empty() || said == [format!("{:?}", ValueRef::Text(b"ok"))];
    if fine { Ok(()) } else { Err(format!("{check}: {said:?}")) }
}

/// The head in service is a whole one of the backbone in force, and that one's files are there.
fn serves(snapshot: &Snapshot, champion: Option<&[u8]>, state: &State) -> Result<(), String> {
    let installed = snapshot.backbone.installed.as_ref();
    let backbone = installed.map_or_else(life::first_backbone, |installed| installed.files);
    if installed.is_some() {
        let name = |ending| PathBuf::from(format!("backbones/{backbone}.{ending}"));
        let manifest = Digest::of(format!("file: {backbone}.onnx").as_bytes());
        for (name, digest) in [(name("onnx"), backbone), (name("yaml"), manifest)] {
            if state.files.get(&name) != Some(&digest) {
                return Err(format!("the backbone in force lacks {}, or it is not whole", name.display()));
            }
        }
    }
    let Some(bytes) = champion else { return Ok(()) };
    let record = HeadRecord::from_bytes(bytes).map_err(|error| format!("the head in service: {error}"))?;
    if record.dense.space == life::space(backbone) {
        Ok(())
    } else {
        Err("the head in service belongs to another backbone".into())
    }
}
