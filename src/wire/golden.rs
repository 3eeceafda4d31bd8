//! Documents that are made from the types and kept in the repository.

use std::fs;
use std::path::Path;

use serde_json::Value;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Fails where the file is not this text; with `UPDATE_GOLDEN` it is written. `test` names the tests that do so.
pub fn is_kept(file: &str, text: &str, test: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{file} is out of date: run UPDATE_GOLDEN=1 cargo test --lib {test}");
}

/// Every `$ref` in `value`.
pub fn references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}
