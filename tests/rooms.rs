//! The arrows between rooms run one way, and the pure rooms touch nothing.
//!
//! What a file names is read from its paths (`use` trees included); comments and texts do not count, unit tests do.
//! A room is the first part of a file's path below `src`. Exceptions stand in [`EXCEPTIONS`] with their reasons.

use std::path::Path;
use std::{fs, io};

#[path = "rooms/commands.rs"]
mod commands;
#[path = "rooms/machines.rs"]
mod machines;
#[path = "rooms/paths.rs"]
mod paths;

use paths::paths;

/// Each room and those that it may name. `config` makes the checked settings of the rooms that own them.
const ARROWS: [(&str, &[&str]); 22] = [
    ("words", &[]),
    ("image", &["words"]),
    ("head", &["words"]),
    ("train", &["words", "head"]),
    ("eval", &["words", "head", "train"]),
    ("fleet", &["words", "head", "train"]),
    ("wire", &["words", "head", "fleet"]),
    ("rounds", &["words", "head", "fleet", "wire"]),
    ("update", &["words", "head", "wire"]),
    ("engine", &["words", "head", "eval", "wire", "update"]),
    ("config", &["words", "image", "head", "train", "eval", "wire", "update", "engine"]),
    ("ports", &["words", "image", "head", "train", "eval", "wire", "update", "engine"]),
    ("backbone", &["words", "image", "head", "train", "eval", "wire", "update", "engine", "ports"]),
    ("store", &["words", "image", "head", "train", "eval", "wire", "update", "engine", "ports"]),
    ("watch", &["words", "image", "head", "train", "eval", "wire", "update", "engine", "ports"]),
    ("source", &["words", "image", "head", "train", "eval", "wire", "update", "engine", "ports"]),
    ("mqtt", &["words", "image", "head", "train", "eval", "wire", "update", "engine", "ports"]),
    ("http", &["words", "image", "head", "train", "eval", "wire", "update", "engine", "ports"]),
    ("systemd", &[]),
    (
        "shared",
        &[
            "words", "image", "head", "train", "fleet", "wire", "update", "config", "engine", "ports", "backbone",
            "store", "watch", "mqtt",
        ],
    ),
    (
        "daemon",
        &[
            "words", "image", "head", "train", "eval", "fleet", "wire", "update", "config", "engine", "ports",
            "backbone", "store", "watch", "source", "mqtt", "http", "systemd", "shared",
        ],
    ),
    (
        "cli",
        &[
            "words", "image", "head", "train", "eval", "fleet", "wire", "rounds", "update", "config", "engine",
            "ports", "backbone", "store", "watch", "source", "mqtt", "http", "systemd", "shared", "daemon",
        ],
    ),
];

/// Rooms that decide and touch nothing.
const PURE: [&str; 11] =
    ["words", "image", "head", "train", "eval", "fleet", "wire", "rounds", "update", "config", "engine"];

/// Crates that reach the world.
const WORLDLY_CRATES: [&str; 8] = ["tokio", "ort", "notify", "rumqttc", "rusqlite", "axum", "hyper", "ureq"];

/// What else reaches the world, the present time or unseeded randomness; matched anywhere within a path.
const WORLDLY_PATHS: [&str; 13] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "rand::rng",
    "rand::random",
    "rand::thread_rng",
    "from_os_rng",
];

/// Files that may break a rule: file below `src`, what they name, and why.
const EXCEPTIONS: [(&str, &str, &str); 4] = [
    ("wire/asyncapi/golden_tests.rs", "std::fs", "a test that reads the official schema"),
    ("wire/golden.rs", "std::fs", "tests that write docs/asyncapi.yaml and docs/openapi.json anew"),
    ("wire/golden.rs", "std::env", "they do so only where UPDATE_GOLDEN is set"),
    ("words/sql.rs", "rusqlite", "conversions alone: only the package of a type may give it another's trait"),
];

/// What one source file does against the rules, as `file:line: reason`.
fn offences(file: &str, source: &str) -> Vec<String> {
    let room = file.split(['/', '.']).next().unwrap_or_default();
    if ["main", "lib", "learn"].contains(&room) {
        return Vec::new();
    }
    let Some((_, may_name)) = ARROWS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{file}: room {room} is in no rule; give it a place in ARROWS")];
    };
    let named =
        |path: &str| EXCEPTIONS.iter().any(|(in_file, excepted, _)| *in_file == file && path.contains(excepted));
    let mut found = Vec::new();
    for (line, path) in paths(source) {
        if named(&path.join("::")) {
            continue;
        }
        if let Some(other) = room_named(file, &path).filter(|&other| other != room && !may_name.contains(&other)) {
            found.push(format!("{file}:{line}: {room} may not name {other}"));
        }
        if PURE.contains(&room)
            && let Some(worldly) = worldly(&path)
        {
            found.push(format!("{file}:{line}: {room} is pure and may not name {worldly}"));
        }
    }
    found.dedup();
    found
}

/// The room that a path leads to, if it leads out of its file's own module.
fn room_named<'a>(file: &str, path: &'a [String]) -> Option<&'a str> {
    let room =
        |name: Option<&'a String>| name.map(String::as_str).filter(|name| ARROWS.iter().any(|(room, _)| room == name));
    match path.first()?.as_str() {
        "crate" => room(path.get(1)),
        "super" => {
            let depth = file.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count();
            let supers = path.iter().take_while(|part| *part == "super").count();
            if supers < depth { None } else { room(path.get(supers)) }
        }
        _ => None,
    }
}

/// The forbidden name within a path.
fn worldly(path: &[String]) -> Option<&'static str> {
    let first = path.first()?;
    let by_crate = WORLDLY_CRATES.into_iter().find(|name| first == name && path.len() > 1);
    by_crate.or_else(|| {
        let parts = |name: &'static str| name.split("::").collect::<Vec<_>>();
        WORLDLY_PATHS.into_iter().find(|name| path.windows(parts(name).len()).any(|window| window == parts(name)))
    })
}

/// Every source file below `folder` with its path below `src`.
fn sources(folder: &Path, below: &str, into: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = format!("{below}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            sources(&path, &format!("{name}/"), into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push((name, fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

#[test]
fn arrows_run_one_way_and_pure_rooms_touch_nothing() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files).unwrap();
    assert!(files.len() > 10, "only {} source files were found", files.len());
    let found: Vec<_> = files.iter().flat_map(|(file, source)| offences(file, source)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_rules_themselves_have_no_circle() {
    let place = |room: &str| ARROWS.iter().position(|(name, _)| *name == room).unwrap();
    for (room, may_name) in ARROWS {
        assert!(may_name.iter().all(|other| place(other) < place(room)), "{room} names what comes after it");
    }
}

#[test]
fn every_exception_is_still_needed() {
    for (file, excepted, reason) in EXCEPTIONS {
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap();
        let used = paths(&source).iter().any(|(_, path)| path.join("::").contains(excepted));
        assert!(used, "{file} no longer names {excepted} ({reason}); remove the exception");
    }
}

#[test]
fn planted_offences_are_found() {
    for (file, source, expected) in [
        ("words/label.rs", "use crate::head::DenseHead;", "words may not name head"),
        ("head/mod.rs", "\nuse crate::{words::Label, train::{self, Fold}};", "head/mod.rs:2: head may not name train"),
        ("wire/topic.rs", "fn f(e: &crate::engine::Event) {}", "wire may not name engine"),
        ("store/mod.rs", "use super::mqtt::Link;", "store may not name mqtt"),
        ("eval/gate.rs", "use super::super::store::Store;", "eval may not name store"),
        ("daemon/mod.rs", "use crate::cli::Arguments;", "daemon may not name cli"),
        ("image/decode.rs", "use std::{io, fs::File};", "may not name std::fs"),
        ("engine/mod.rs", "let now = std::time::Instant::now();", "may not name Instant::now"),
        ("train/split.rs", "#[cfg(test)] mod tests { fn f() { rand::rng(); } }", "may not name rand::rng"),
        ("config/mod.rs", "use tokio::sync::mpsc;", "may not name tokio"),
        ("head/dense.rs", "let s = ort::session::Session::builder();", "may not name ort"),
        ("attic/mod.rs", "", "room attic is in no rule"),
    ] {
        let found = offences(file, source);
        assert!(found.len() == 1 && found[0].contains(expected), "{file}: {source}: {found:?}");
    }
}

#[test]
fn what_is_allowed_or_only_spoken_of_is_no_offence() {
    for (file, source) in [
        ("engine/step.rs", "use crate::wire::{Topic, Payload}; use super::event::Event;"),
        (
            "eval/mod.rs",
            "//! Unlike crate::store, std::fs is not named.\n/* tokio::spawn /* nested */ std::net */ use std::fmt;",
        ),
        (
            "words/mod.rs",
            "const HINT: &str = \"\\\"use crate::store, std::fs or\"; const C: char = '\"'; fn f<'a>() {}",
        ),
        ("head/bytes.rs", "const R: &str = r#\"rusqlite::Connection \" \"#; let x = report::ort::x;"),
        ("store/mod.rs", "use std::fs; use rusqlite::Connection; use crate::engine::Write;"),
        ("main.rs", "use edgetuned::cli; std::process::exit(1)"),
    ] {
        assert_eq!(offences(file, source), Vec::<String>::new(), "{source}");
    }
}
