//! The list of components (`CycloneDX`), completed by what cargo does not know of: C code and files beside the program.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use edgetuned::words::Digest;
use serde_json::{Value, json};

/// `list` with `SQLite`, which is compiled into the program, and with `files`: models by their names, the ONNX Runtime
/// library by the version that its name ends in. Files have their SHA-256.
///
/// # Errors
/// A list without components, a file that cannot be read, a library whose name has no version.
pub fn complete(mut list: Value, files: &[PathBuf]) -> Result<Value, Box<dyn Error>> {
    let components = list["components"].as_array_mut().ok_or("the list of components has none")?;
    let sqlite = rusqlite::version();
    components.push(json!({
        "type": "library", "bom-ref": format!("pkg:generic/sqlite@{sqlite}"), "name": "sqlite", "version": sqlite,
        "licenses": [{ "license": { "name": "Public Domain" } }], "purl": format!("pkg:generic/sqlite@{sqlite}"),
    }));
    for file in files {
        components.push(component(file)?);
    }
    Ok(list)
}

fn component(file: &Path) -> Result<Value, Box<dyn Error>> {
    let name = file.file_name().and_then(|name| name.to_str()).ok_or("a file has no name")?;
    let sha256 = Digest::of(&fs::read(file)?).to_string();
    let hashes = json!([{ "alg": "SHA-256", "content": sha256 }]);
    if let Some(model) = name.strip_suffix(".onnx") {
        return Ok(json!({
            "type": "machine-learning-model", "bom-ref": model, "name": model, "version": env!("CARGO_PKG_VERSION"),
            "licenses": [{ "license": { "id": "Apache-2.0" } }], "hashes": hashes,
        }));
    }
    let (_, version) = name.split_once("libonnxruntime.so.").ok_or("neither a model nor a library with its version")?;
    let purl = format!("pkg:pypi/onnxruntime@{version}");
    Ok(json!({
        "type": "library", "bom-ref": purl, "name": "onnxruntime", "version": version,
        "licenses": [{ "license": { "id": "MIT" } }], "purl": purl, "hashes": hashes,
    }))
}
