//! A head from its file, with the backbone whose embeddings it uses.

use std::collections::BTreeSet;

use super::args::HeadChoice;
use super::embedding::Embeddings;
use super::failure::{Failure, one_line_chain};
use crate::backbone::{Manifest, bundled};
use crate::config::Config;
use crate::head::HeadRecord;

/// Reads a head and opens the backbone whose embeddings it uses.
pub fn open(config: Option<&Config>, choice: &HeadChoice) -> Result<(HeadRecord, Embeddings), Failure> {
    let (record, manifest) = find(config, choice)?;
    let embeddings = Embeddings::open_with(config, &manifest)?;
    Ok((record, embeddings))
}

/// Reads a head and finds the backbone whose embeddings it uses: by digest, among the bundled ones and the one that
/// was named.
pub fn find(config: Option<&Config>, choice: &HeadChoice) -> Result<(HeadRecord, Manifest), Failure> {
    let path = choice.file.display();
    let bytes = std::fs::read(&choice.file).map_err(|error| {
        Failure::failed(format!("cannot read the head {path}: {error}; give the path of a trained head"))
    })?;
    let record = HeadRecord::from_bytes(&bytes)
        .map_err(|error| Failure::failed(format!("cannot use {path}: {}", one_line_chain(&error))))?;
    let named = choice.backbone.as_deref().or(config.map(|config| config.backbone.model.as_str()));
    let mut manifests: Vec<Manifest> = named.map(Manifest::resolve).transpose()?.into_iter().collect();
    manifests.extend(bundled::list().into_iter().filter_map(|(_, manifest)| manifest.ok()));
    let fits = manifests.iter().position(|manifest| manifest.space() == record.dense.space);
    let Some(fits) = fits else {
        let looked_at: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
        let looked_at: Vec<&str> = looked_at.into_iter().collect();
        return Err(Failure::configuration(format!(
            "no matching backbone for {path}: it needs {} (SHA-256 {}) with its own preprocessing; tried {}; pass its \
             manifest with --backbone",
            record.backbone.name,
            record.backbone.sha256,
            looked_at.join(", ")
        )));
    };
    Ok((record, manifests.swap_remove(fits)))
}
