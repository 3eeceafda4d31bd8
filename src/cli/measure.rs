//! Figures of a head on a folder per class.

use std::path::{Path, PathBuf};

use super::dataset;
use super::embedding::Embeddings;
use super::failure::Failure;
use super::output::Output;
use super::report::{Measured, refused};
use crate::eval::figures;
use crate::head::{DenseHead, EvaluatedOn};
use crate::train::Grouper;
use crate::words::Label;

/// Figures of a head on the images of `dir`.
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
            "class folder {} of {} is not one of the head's classes ({}); rename or remove it, or train with it",
            stranger.label,
            dir.display(),
            known.join(", ")
        )));
    }
    let files: Vec<PathBuf> = entries.iter().map(|entry| entry.path.clone()).collect();
    let embedded = embeddings.embed(&files, output)?;
    if embedded.files.is_empty() {
        let why = embedded.refused.first().map_or("", |(_, reason)| reason);
        return Err(Failure::failed(format!("there is no usable image below {}: {why}", dir.display())));
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
