//! `edgetuned evaluate`: an existing head on a folder per class.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::args::{Args, Evaluate, HeadChoice};
use super::configuration;
use super::dataset;
use super::embedding::Embeddings;
use super::failure::Failure;
use super::output::Output;
use super::report::{Measured, Report};
use super::train::refused;
use crate::backbone::{Manifest, bundled};
use crate::config::Config;
use crate::eval::figures;
use crate::head::{DenseHead, EvaluatedOn, HeadRecord};
use crate::train::Grouper;
use crate::words::Label;

pub fn evaluate(args: &Args, command: &Evaluate, output: Output) -> Result<(), Failure> {
    let config = configuration::if_named(args)?;
    let (record, mut embeddings) = open(config.as_ref(), &command.head)?;
    let measured = measure(&mut embeddings, &record.dense, &command.dir, command.seed, output)?;
    let report = Report::new(&record, &command.head.file, measured);
    output.print(&report, |out| report.write(out))
}

/// Reads a head and opens the backbone whose embeddings it reads.
pub fn open(config: Option<&Config>, choice: &HeadChoice) -> Result<(HeadRecord, Embeddings), Failure> {
    let (record, manifest) = find(config, choice)?;
    let embeddings = Embeddings::open_with(config, &manifest)?;
    Ok((record, embeddings))
}

/// Reads a head and finds the backbone whose embeddings it reads: by digest, among the bundled ones and the one that
/// was named.
pub fn find(config: Option<&Config>, choice: &HeadChoice) -> Result<(HeadRecord, Manifest), Failure> {
    let path = choice.file.display();
    let bytes = std::fs::read(&choice.file).map_err(|error| {
        Failure::failed(format!("cannot read the head {path}: {error}; give the path of a trained head"))
    })?;
    let record = HeadRecord::from_bytes(&bytes)
        .map_err(|error| Failure::failed(format!("cannot use {path}: {}", super::failure::told(&error))))?;
    let named = choice.backbone.as_deref().or(config.map(|config| config.backbone.model.as_str()));
    let mut manifests: Vec<Manifest> = named.map(Manifest::resolve).transpose()?.into_iter().collect();
    manifests.extend(bundled::list().into_iter().filter_map(|(_, manifest)| manifest.ok()));
    let fits = manifests.iter().position(|manifest| manifest.space() == record.dense.space);
    let Some(fits) = fits else {
        let looked_at: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
        let looked_at: Vec<&str> = looked_at.into_iter().collect();
        return Err(Failure::configuration(format!(
            "no backbone at hand is the one of {path}: it reads {} with SHA-256 {} and its own preprocessing, looked at {}; name its manifest with --backbone",
            record.backbone.name,
            record.backbone.sha256,
            looked_at.join(", ")
        )));
    };
    Ok((record, manifests.swap_remove(fits)))
}

/// Figures of a head on the pictures of `dir`.
pub fn measure(
    embeddings: &mut Embeddings,
    head: &DenseHead,
    dir: &Path,
    seed: u64,
    output: Output,
) -> Result<Measured, Failure> {
    let entries = dataset::classes(dir)?;
    if let Some(stranger) = entries.iter().find(|entry| head.classes.index_of(&entry.label).is_none()) {
        let known: Vec<&str> = head.classes.labels().iter().map(Label::as_str).collect();
        return Err(Failure::failed(format!(
            "class folder {} of {} is none of the head's classes ({}); rename or remove it, or train with it",
            stranger.label,
            dir.display(),
            known.join(", ")
        )));
    }
    let files: Vec<PathBuf> = entries.iter().map(|entry| entry.path.clone()).collect();
    let embedded = embeddings.embed(&files, output)?;
    if embedded.files.is_empty() {
        let why = embedded.refused.first().map_or("", |(_, reason)| reason);
        return Err(Failure::failed(format!("no file below {} is a picture that can be used: {why}", dir.display())));
    }
    let truth: Vec<usize> =
        embedded.files.iter().filter_map(|file| head.classes.index_of(&entries[*file].label)).collect();
    let probabilities = head.probabilities_of(&embedded.embeddings).map_err(Failure::failed)?;
    let mut grouper = Grouper::default();
    let rows = embedded.ids.iter().zip(embedded.embeddings.rows());
    let groups: Vec<_> = rows.map(|(id, row)| grouper.assign(*id, &row.to_vec())).collect();
    Ok(Measured {
        n_test: truth.len(),
        figures: figures(&probabilities, &truth, &groups, &head.classes, EvaluatedOn::Test, seed),
        note: None,
        embed_seconds: embedded.seconds,
        embedded: embedded.computed,
        refused: refused(&embedded, |index| files[index].clone()),
    })
}
