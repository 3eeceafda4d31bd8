//! `edgetuned update sign`: a manifest of a file.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Kind, Sign, measured, unreadable};
use crate::backbone::Manifest as BackboneManifest;
use crate::cli::failure::{Failure, one_line_chain};
use crate::cli::now;
use crate::cli::output::{Output, write_file};
use crate::head::HeadRecord;
use crate::update::{self, Signer};
use crate::wire::UpdateKind;
use crate::words::{Digest, Timestamp};

/// What was signed.
#[derive(Debug, Serialize)]
struct Signed {
    manifest: std::path::PathBuf,
    kind: UpdateKind,
    name: String,
    version: u64,
    size: u64,
    sha256: Digest,
    expires: Timestamp,
    key_id: String,
}

pub fn sign(wish: &Sign, output: Output) -> Result<(), Failure> {
    let key = fs::read_to_string(&wish.key).map_err(|error| unreadable(&wish.key, &error))?;
    let signer = Signer::from_pem(&key)
        .map_err(|error| Failure::failed(format!("{}: {}", wish.key.display(), one_line_chain(&error))))?;
    let (size, sha256) = measured(&wish.file)?;
    let kind = UpdateKind::from(wish.kind);
    let created = now();
    let signed = Signed {
        manifest: wish.out.clone(),
        kind,
        name: wish.name.clone(),
        version: wish.version,
        size,
        sha256,
        expires: created.plus(wish.expires),
        key_id: signer.public().id(),
    };
    if wish.kind == Kind::Backbone && wish.task.is_some() {
        return Err(Failure::usage("every task has the same backbone; leave --task out, or sign a head"));
    }
    let mut members = match wish.kind {
        Kind::Head => head(&wish.file)?,
        Kind::Backbone => backbone(wish, sha256)?,
    };
    let Value::Object(common) = json!({
        "v": 1, "kind": kind, "name": signed.name, "version": signed.version, "size": size, "sha256": sha256,
        "chunk_bytes": wish.chunk_kb << 10, "created": created, "expires": signed.expires, "key_id": signed.key_id,
    }) else {
        unreachable!("the literal above is an object")
    };
    members.extend(common);
    if !wish.device.is_empty() {
        members.insert("devices".into(), json!(wish.device));
    }
    if let Some(task) = &wish.task {
        members.insert("task".into(), json!(task));
    }
    let text = update::sign(members, &signer).map_err(Failure::usage)?;
    write_file(&wish.out, text.as_bytes())?;
    output.print(&signed, |out| {
        let Signed { name, version, key_id, expires, .. } = &signed;
        writeln!(
            out,
            "{}: {kind} {name:?} {version}, {size} bytes, signed by key {key_id}, until {expires}",
            wish.out.display()
        )
    })
}

/// The backbone's embeddings that a head's file names; behind a tail, too, it is these that a device compares with its own.
fn head(path: &Path) -> Result<Map<String, Value>, Failure> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let record = HeadRecord::from_bytes(&bytes)
        .map_err(|error| Failure::failed(format!("{}: {}", path.display(), one_line_chain(&error))))?;
    let members = [("backbone", json!(record.backbone)), ("space", json!(record.frozen().space))];
    Ok(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A backbone's manifest without the name of its file, which is the device's matter.
fn backbone(wish: &Sign, sha256: Digest) -> Result<Map<String, Value>, Failure> {
    let path = wish.backbone_manifest.as_deref().unwrap_or(Path::new(""));
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let manifest = BackboneManifest::parse(&text, path)?;
    if manifest.sha256 != sha256 {
        let (file, named, found) = (wish.file.display(), manifest.sha256.short(), sha256.short());
        let what = format!("{} is of a model with SHA-256 {named}, {file} has {found}", path.display());
        return Err(Failure::failed(format!("{what}; give the manifest of this model")));
    }
    let mut members: Map<String, Value> = serde_yaml::from_str(&text).map_err(Failure::failed)?;
    members.remove("file");
    Ok([("manifest".to_owned(), Value::Object(members))].into_iter().collect())
}
