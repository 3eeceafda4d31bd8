//! The machines of the engine know nothing of each other: they post facts, and hand messages to the sink.

use std::path::Path;

use super::paths::paths;
use super::sources;

/// The machines, each in a folder of its own.
const MACHINES: [&str; 6] = ["files", "sources", "labels", "model", "remote", "messages"];

/// Files of the engine that know more than one machine, to hand events and facts to whom they concern, or to say how all of
/// them are.
const DISPATCH: [&str; 4] = ["mod.rs", "commands.rs", "dispatch.rs", "gauges.rs"];

/// What in a file of the engine (its path below `src/engine`) reaches into another machine.
pub fn offences(file: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let own = file.split('/').next().filter(|first| MACHINES.contains(first));
    let is_test = file.starts_with("tests/") || file.ends_with("_tests.rs");
    for (line, path) in paths(source) {
        let outside = path.iter().skip_while(|part| ["super", "crate", "engine"].contains(&part.as_str()));
        let has_prefix = path.first().is_some_and(|first| first == "super" || first == "crate");
        let named = outside.clone().next().filter(|first| has_prefix && MACHINES.contains(&first.as_str()));
        if let (Some(own), Some(named)) = (own, named)
            && own != named
            && !is_test
        {
            found.push(format!("{file}:{line}: the machine {own} names {named}; post a fact"));
        }
    }
    let knows_all = DISPATCH.contains(&file) || is_test;
    for (number, line) in source.lines().enumerate() {
        if line.starts_with("impl Engine") && !knows_all {
            found.push(format!("{file}:{}: a method of the whole engine", number + 1));
        }
    }
    if let Some(own) = own.filter(|own| file == format!("{own}/mod.rs")) {
        let name = format!("struct {}{} {{", own[..1].to_uppercase(), &own[1..]);
        let body = source.split_once(&name).and_then(|(_, rest)| rest.split_once("\n}")).map(|(body, _)| body);
        match body {
            None => found.push(format!("{file}: there is no {name}")),
            Some(body) if body.lines().any(|line| line.trim_start().starts_with("pub")) => {
                found.push(format!("{file}: a field of the machine {own} is not private"));
            }
            Some(_) => {}
        }
    }
    found
}

#[test]
fn no_machine_reaches_into_another() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine"), "", &mut files).unwrap();
    assert!(files.len() > 40, "only {} source files were found", files.len());
    let found: Vec<_> = files.iter().flat_map(|(file, source)| offences(file, source)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_machine_that_reaches_into_another_is_found() {
    for (file, source, expected) in [
        ("labels/index.rs", "use super::super::model::Registry;", "the machine labels names model"),
        ("model/drift.rs", "fn f(files: &crate::engine::files::Files) {}", "the machine model names files"),
        ("remote/updates/head.rs", "use super::super::super::{fact::Fact, messages::Messages};", "names messages"),
        ("labels/eviction.rs", "impl Engine {}", "a method of the whole engine"),
        ("files/mod.rs", "struct Files {\n    pub ready: ReadyQueue,\n}", "is not private"),
    ] {
        let found = offences(file, source);
        assert!(found.len() == 1 && found[0].contains(expected), "{file}: {source}: {found:?}");
    }
    for (file, source) in [
        ("model/promotion.rs", "use super::super::fact::Fact; use super::super::{CheckedHead, SwapResult};"),
        ("remote/mod.rs", "struct Remote {\n    updates: Updates,\n}\nimpl Remote { pub fn f() {} }"),
        ("dispatch.rs", "use super::messages::ReplyTo; impl Engine {}"),
    ] {
        assert_eq!(offences(file, source), Vec::<String>::new(), "{source}");
    }
}
