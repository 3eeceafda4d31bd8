//! What goes into the Debian package, as `Cargo.toml` says.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the checkout.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `[package.metadata.deb]` of `Cargo.toml`.
pub fn metadata() -> Value {
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"];
    let output = Command::new(env!("CARGO")).args(arguments).arg(root().join("Cargo.toml")).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let program =
        metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "edgetuned").unwrap();
    program["metadata"]["deb"].clone()
}

/// Where each file comes from and where it goes.
pub fn assets() -> Vec<(String, String)> {
    let metadata = metadata();
    let pair = |asset: &Value| Some((asset[0].as_str()?.to_owned(), asset[1].as_str()?.to_owned()));
    metadata["assets"].as_array().unwrap().iter().filter_map(pair).collect()
}
