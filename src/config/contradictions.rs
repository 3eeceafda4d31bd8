//! Settings that are valid one by one and not together.

use std::path::Path;

use super::problem::{Problem, quoted};
use super::value::{Located, Value, Values};

/// Adds the contradictions in the merged layers; invalid values, which have a problem already, are left out.
pub(super) fn find(values: &Values, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    needs(values, "mqtt.password_file", "mqtt.username", problems);
    needs(values, "mqtt.cert_file", "mqtt.key_file", problems);
    needs(values, "mqtt.key_file", "mqtt.cert_file", problems);
    folders(values, problems);
    unused_tls(values, warnings);
}

/// `key` has no meaning without `other`.
fn needs(values: &Values, key: &str, other: &str, problems: &mut Vec<Problem>) {
    let located = values.located(key);
    if let (Value::Text(_), Value::Null) = (&located.value, values.value(other)) {
        let (found, expected) = (format!("it without {other}"), format!("{other} beside it"));
        problems.push(problem(located, key, found, expected, format!("set {other} or remove {key}")));
    }
}

/// Watched folders and the state folder must not contain each other: a file that the daemon writes would be taken for an
/// image, and an image could come twice with two labels.
fn folders(values: &Values, problems: &mut Vec<Problem>) {
    let watched: Vec<_> = values.items("watch").iter().map(|item| item.path("watch[].path")).collect();
    let store = values.path("store.path");
    for (index, (item, path)) in values.items("watch").iter().zip(&watched).enumerate() {
        let Some(path) = path else { continue };
        let located = item.located("watch[].path");
        let key = format!("watch[{index}].path");
        let former = watched[..index].iter().enumerate().find_map(|(index, former)| {
            let former = former.as_deref()?;
            overlap(path, former).map(|how| format!("{} {how} watch[{index}].path", shown(path)))
        });
        if let Some(found) = former {
            let expected = "watched folders that do not contain each other".to_owned();
            problems.push(problem(located, &key, found, expected, "remove one of the two".to_owned()));
        }
        if let Some(how) = store.as_deref().and_then(|store| overlap(path, store)) {
            let found = format!("{} {how} store.path", shown(path));
            let expected = "a folder apart from the state folder".to_owned();
            problems.push(problem(located, &key, found, expected, "move one of the two".to_owned()));
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

fn unused_tls(values: &Values, warnings: &mut Vec<Problem>) {
    if !values.text("mqtt.url").is_some_and(|url| url.starts_with("mqtt://")) {
        return;
    }
    for key in ["mqtt.ca_file", "mqtt.cert_file", "mqtt.key_file"] {
        let located = values.located(key);
        if let Value::Text(path) = &located.value {
            let (found, expected) = (quoted(path), "null, since mqtt:// is not encrypted".to_owned());
            warnings.push(problem(located, key, found, expected, "write mqtts:// in mqtt.url to encrypt".to_owned()));
        }
    }
}

fn problem(located: &Located, key: &str, found: String, expected: String, remedy: String) -> Problem {
    Problem { file: located.file.clone(), line: located.line, key: key.to_owned(), found, expected, remedy }
}
