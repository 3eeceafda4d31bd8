//! A request is three files: its own in `src/wire/command`, the table of commands, and the match of the engine.

use std::path::Path;

use edgetuned::wire::Command;

use super::paths::paths;
use super::sources;

/// The one file that carries out commands.
const EXECUTES: &str = "engine/commands.rs";

/// Files that treat certain commands differently from all others, and why.
const EXCEPTIONS: [(&str, &[&str], &str); 1] = [(
    "engine/messages/requests.rs",
    &["Reload", "Rollback", "Promote", "Config"],
    "a signal reloads, too; during a restart no other head is chosen, nor other settings",
)];

/// The commands, as variants of `Command`, that the source of a file (below `src`) names without being the place for it.
fn offences(file: &str, source: &str, variants: &[String]) -> Vec<String> {
    if file == EXECUTES || file.starts_with("wire/") || file.starts_with("cli/") {
        return Vec::new();
    }
    let excepted = EXCEPTIONS.iter().find(|(name, ..)| *name == file).map_or(&[][..], |(_, variants, _)| variants);
    let named = paths(source).into_iter().filter_map(|(line, path)| match &path[..] {
        [.., command, variant] if command == "Command" && variants.contains(variant) => Some((line, variant.clone())),
        _ => None,
    });
    let named = named.filter(|(_, variant)| !excepted.contains(&variant.as_str()));
    named.map(|(line, variant)| format!("src/{file}:{line}: {variant} belongs into src/{EXECUTES}")).collect()
}

/// `promote` as a variant.
fn variant(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

#[test]
fn every_command_has_a_file_and_every_file_a_command() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire/command"), "", &mut files).unwrap();
    let mut files: Vec<_> = files.iter().map(|(file, _)| file.trim_end_matches(".rs")).collect();
    files.retain(|file| *file != "mod");
    files.sort_unstable();
    let mut names = Command::NAMES.to_vec();
    names.sort_unstable();
    assert_eq!(files, names);
}

#[test]
fn a_command_is_carried_out_in_one_place() {
    let variants: Vec<_> = Command::NAMES.iter().map(|name| variant(name)).collect();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files).unwrap();
    let found: Vec<_> = files.iter().flat_map(|(file, source)| offences(file, source, &variants)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (file, variants, reason) in EXCEPTIONS {
        let (_, source) = files.iter().find(|(name, _)| name == file).unwrap();
        for variant in variants {
            assert!(source.contains(&format!("Command::{variant}")), "{file} no longer names {variant} ({reason})");
        }
    }
}

#[test]
fn a_command_that_is_matched_on_elsewhere_is_found() {
    let variants = [variant("promote"), variant("train")];
    let source = "fn f(c: &Command) -> bool { matches!(c, Command::Promote(_)) }";
    for (file, count) in [("engine/dispatch.rs", 1), ("engine/messages/requests.rs", 0), (EXECUTES, 0)] {
        assert_eq!(offences(file, source, &variants).len(), count, "{file}");
    }
    assert_eq!(
        offences("http/routes.rs", "use crate::wire::command::Command; wire::Command::Train", &variants).len(),
        1
    );
}
