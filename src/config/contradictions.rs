//! Settings that are fine one by one and not together.

use std::path::Path;

use super::problem::{Problem, quoted};
use super::value::{Placed, Taken, Value};

/// Adds what contradicts each other in the merged layers. Values with a problem of their own are left out.
pub(super) fn find(taken: &Taken, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    needs(taken, "mqtt.password_file", "mqtt.username", problems);
    needs(taken, "mqtt.cert_file", "mqtt.key_file", problems);
    needs(taken, "mqtt.key_file", "mqtt.cert_file", problems);
    folders(taken, problems);
    unused_tls(taken, warnings);
}

/// `key` says nothing without `other`.
fn needs(taken: &Taken, key: &str, other: &str, problems: &mut Vec<Problem>) {
    let placed = taken.placed(key);
    if let (Value::Text(_), Value::Null) = (&placed.value, taken.value(other)) {
        let (found, expected) = (format!("it without {other}"), format!("{other} beside it"));
        problems.push(problem(placed, key, found, expected, format!("set {other} or remove {key}")));
    }
}

/// Watched folders and the state folder lie apart: what the daemon writes must not come back as an image, and an
/// image must not come by two ways with two labels.
fn folders(taken: &Taken, problems: &mut Vec<Problem>) {
    let watched: Vec<_> = taken.items("watch").iter().map(|item| item.path("watch[].path")).collect();
    let store = taken.path("store.path");
    for (index, (item, path)) in taken.items("watch").iter().zip(&watched).enumerate() {
        let Some(path) = path else { continue };
        let placed = item.placed("watch[].path");
        let key = format!("watch[{index}].path");
        let former = watched[..index].iter().enumerate().find_map(|(index, former)| {
            let former = former.as_deref()?;
            overlap(path, former).map(|how| format!("{} {how} watch[{index}].path", shown(path)))
        });
        if let Some(found) = former {
            let expected = "watched folders that do not contain each other".to_owned();
            problems.push(problem(placed, &key, found, expected, "remove one of the two".to_owned()));
        }
        if let Some(how) = store.as_deref().and_then(|store| overlap(path, store)) {
            let found = format!("{} {how} store.path", shown(path));
            let expected = "a folder apart from the state folder".to_owned();
            problems.push(problem(placed, &key, found, expected, "move one of the two".to_owned()));
        }
    }
}

/// How `path` contains `other` or the other way round.
fn overlap(path: &Path, other: &Path) -> Option<&'static str> {
    match (path.starts_with(other), other.starts_with(path)) {
        (true, true) => Some("is the same as"),
        (true, false) => Some("lies inside"),
        (false, true) => Some("contains"),
        (false, false) => None,
    }
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn unused_tls(taken: &Taken, warnings: &mut Vec<Problem>) {
    if !taken.text("mqtt.url").is_some_and(|url| url.starts_with("mqtt://")) {
        return;
    }
    for key in ["mqtt.ca_file", "mqtt.cert_file", "mqtt.key_file"] {
        let placed = taken.placed(key);
        if let Value::Text(path) = &placed.value {
            let (found, expected) = (quoted(path), "null, since mqtt:// is not encrypted".to_owned());
            warnings.push(problem(placed, key, found, expected, "write mqtts:// in mqtt.url to encrypt".to_owned()));
        }
    }
}

fn problem(placed: &Placed, key: &str, found: String, expected: String, remedy: String) -> Problem {
    Problem { file: placed.file.clone(), line: placed.line, key: key.to_owned(), found, expected, remedy }
}
