//! The licences and notices of the crates that are linked into the program.
//!
//! Nearly all of them ask that their text goes with the program. Equal texts stand once, with the crates that have them.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// What files begin with that hold a licence or a notice.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

const RULE: &str = "================================================================================";

/// All texts, and before them the crates with what their manifests say of their licence.
///
/// # Errors
/// A graph without a root, or a file that cannot be read.
pub fn notices(metadata: &Value) -> Result<String, Box<dyn Error>> {
    let linked = linked(metadata)?;
    let mut crates = BTreeSet::new();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        // What has no source is the program itself.
        if !linked.contains(text(&package["id"])) || package["source"].is_null() {
            continue;
        }
        let name = format!("{} {}", text(&package["name"]), text(&package["version"]));
        crates.insert(format!("{name}: {}", package["license"].as_str().unwrap_or("see its text")));
        let folder = Path::new(text(&package["manifest_path"])).parent().ok_or("a manifest lies in no folder")?;
        for text in licences(folder)? {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    let mut all = "The program holds code of these crates. Their licences and notices follow.\n\n".to_owned();
    for line in &crates {
        all.extend([line, "\n"]);
    }
    for (text, names) in texts {
        let names = names.into_iter().collect::<Vec<_>>().join("\n");
        all.extend(["\n", RULE, "\n", &names, "\n", RULE, "\n\n", text.trim_end(), "\n"]);
    }
    Ok(all)
}

/// The ids of all packages that the root needs at run time. What is needed by builds and tests only is not in the program.
fn linked(metadata: &Value) -> Result<BTreeSet<&str>, Box<dyn Error>> {
    let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    let needs: BTreeMap<&str, &Value> = nodes.map(|node| (text(&node["id"]), &node["deps"])).collect();
    let root = metadata["resolve"]["root"].as_str().ok_or("'cargo metadata' names no root package")?;
    let (mut linked, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(id) = open.pop() {
        if !linked.insert(id) {
            continue;
        }
        for need in needs.get(id).and_then(|needs| needs.as_array()).into_iter().flatten() {
            let kinds = need["dep_kinds"].as_array();
            if kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null())) {
                open.push(text(&need["pkg"]));
            }
        }
    }
    Ok(linked)
}

/// The texts that lie in a crate's folder, in the order of their names.
fn licences(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_uppercase();
        if path.is_file() && NAMES.iter().any(|begin| name.starts_with(begin)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files
        .into_iter()
        .map(|file| fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        .collect::<Result<_, _>>()?)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
