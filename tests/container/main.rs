//! The container image and the Home Assistant add-on, without a container engine: that their files say what engine and supervisor
//! expect and what the package holds, and that the add-on's script makes a good configuration of its options. `make try-container`
//! builds and runs both.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with the tests of the door, which use all of it")]
#[path = "../door/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the test of the package")]
#[path = "../support/packaged.rs"]
mod packaged;
#[path = "../support/skip.rs"]
mod skip;

mod definition;
mod image;
mod ingress;
mod run;

use serde_json::Value;

use packaged::read;

/// A YAML file of the checkout.
fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The instructions of a container's file: each a name and what follows, lines joined.
fn instructions(path: &str) -> Vec<(String, String)> {
    let text = read(path);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect()
}

/// What follows the only instruction of this name.
fn instruction(path: &str, name: &str) -> String {
    let all = instructions(path);
    let mut found = all.iter().filter(|(found, _)| found == name);
    let only = found.next().unwrap_or_else(|| panic!("{path} has no {name}"));
    assert!(found.next().is_none(), "{path} has several {name}");
    only.1.clone()
}

/// Whether a program is here.
fn has(program: &str, argument: &str) -> bool {
    std::process::Command::new(program).arg(argument).output().is_ok()
}
