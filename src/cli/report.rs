//! The training report: one shape for `train` and `evaluate`, for programs and for people; and the figures of a head on
//! a folder per class.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::dataset::{self, Found, PassedOver};
use super::embedding::{Embedded, Embeddings};
use super::failure::Failure;
use super::figures::write_figures;
use super::output::{Output, listed};
use crate::eval::figures;
use crate::head::{BackboneRef, Candidate, DenseHead, EvaluatedOn, Figures, HeadRecord};
use crate::train::Grouper;
use crate::wire::{PhaseFigures, SecondPhase};
use crate::words::{HeadId, Label, Region};

/// What `train` and `evaluate` report.
#[derive(Debug, Serialize)]
pub struct Report {
    pub head: HeadFile,
    pub backbone: BackboneRef,
    /// What of each picture the head looks at, unless it is the whole.
    #[serde(skip_serializing_if = "Region::is_whole")]
    pub region: Region,
    pub classes: Vec<Label>,
    pub n_train: usize,
    pub n_test: usize,
    #[serde(flatten)]
    pub figures: Option<Figures>,
    /// Why there are no metrics, or what they leave out.
    pub note: Option<String>,
    pub embed_seconds: f64,
    /// Pictures that the backbone saw; the others came from the cache.
    pub embedded: usize,
    pub fit_seconds: f64,
    /// Of head.
    pub kind: String,
    /// The kinds that were tried where the kind was to be chosen.
    pub candidates: Vec<Candidate>,
    /// Hyperparameters besides lambda.
    pub hyper: BTreeMap<String, f64>,
    pub lambda: f64,
    pub solver: String,
    pub iterations: usize,
    pub converged: bool,
    pub loss: f64,
    pub temperature: f32,
    pub seed: u64,
    /// Of a training with a second phase.
    #[serde(flatten)]
    pub second: Option<SecondPhase>,
    /// Whether the head is that of the second phase, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Files that were looked at, by ending.
    pub pictures: BTreeMap<String, u64>,
    /// Files that are not images.
    pub refused: Vec<Refused>,
    /// Pictures of kinds that are not read, by ending.
    pub passed_over: PassedOver,
}

/// A head and its file.
#[derive(Debug, Serialize)]
pub struct HeadFile {
    pub id: HeadId,
    pub version: u64,
    pub path: String,
}

/// A file that was left out.
#[derive(Debug, Serialize)]
pub struct Refused {
    pub path: String,
    pub reason: String,
}

impl Refused {
    /// For a terminal: most reasons name the file themselves.
    pub fn line(&self) -> String {
        if self.reason.contains(&self.path) { self.reason.clone() } else { format!("{}: {}", self.path, self.reason) }
    }
}

/// The files of `embedded` that were left out; `path` gives the path of a file by its index.
pub fn refused(embedded: &Embedded, path: impl Fn(usize) -> PathBuf) -> Vec<Refused> {
    let refused = |(index, reason): &(usize, String)| Refused {
        path: path(*index).display().to_string(),
        reason: reason.clone(),
    };
    embedded.refused.iter().map(refused).collect()
}

/// Three significant digits, plain where that is short: 31.6, 0.001, 3.16e-5.
fn number(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e4).contains(&value.abs()) {
        return format!("{value:.2e}");
    }
    let digits = if value == 0.0 { 0 } else { (2 - value.abs().log10().floor() as i32).max(0) };
    let text = format!("{value:.*}", digits as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// What was measured besides the head.
#[derive(Debug, Default)]
pub struct Measured {
    pub n_test: usize,
    pub figures: Option<Figures>,
    pub note: Option<String>,
    pub embed_seconds: f64,
    pub embedded: usize,
    pub pictures: BTreeMap<String, u64>,
    pub refused: Vec<Refused>,
    pub passed_over: PassedOver,
}

impl Report {
    /// The report on the head in `record`, from the file `path`.
    pub fn new(record: &HeadRecord, path: &Path, measured: Measured) -> Self {
        Self {
            head: HeadFile {
                id: record.head.id.clone(),
                version: record.head.version,
                path: path.display().to_string(),
            },
            backbone: record.backbone.clone(),
            region: record.region.clone(),
            classes: record.dense.classes.labels().to_vec(),
            n_train: record.training.n_train,
            n_test: measured.n_test,
            figures: measured.figures,
            note: measured.note,
            embed_seconds: measured.embed_seconds,
            embedded: measured.embedded,
            fit_seconds: record.training.fit_seconds,
            kind: record.training.kind.clone(),
            candidates: record.training.candidates.clone(),
            hyper: record.training.hyper.clone(),
            lambda: record.training.lambda,
            solver: record.training.solver.clone(),
            iterations: record.training.iterations,
            converged: record.training.converged,
            loss: record.training.loss,
            temperature: record.dense.temperature,
            seed: record.training.seed,
            second: None,
            reason: None,
            pictures: measured.pictures,
            refused: measured.refused,
            passed_over: measured.passed_over,
        }
    }

    /// How it was fitted, in a few words.
    fn way(&self) -> String {
        let lambda = (self.kind != "lda").then(|| format!("lambda {}", number(self.lambda)));
        let hyper = self.hyper.iter().map(|(name, value)| format!("{name} {}", number(*value)));
        let words = [self.kind.clone(), self.solver.clone()].into_iter().chain(lambda).chain(hyper);
        words.collect::<Vec<_>>().join(", ")
    }

    /// For a terminal.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "head       {} ({})", self.head.path, self.head.id)?;
        writeln!(out, "backbone   {} ({} values)", self.backbone.name, self.backbone.dim)?;
        if !self.region.is_whole() {
            writeln!(out, "region     {}", self.region)?;
        }
        writeln!(
            out,
            "fitted     {} pictures of {} classes in {:.2} s ({}); embedding took {:.2} s ({} new)",
            self.n_train,
            self.classes.len(),
            self.fit_seconds,
            self.way(),
            self.embed_seconds,
            self.embedded
        )?;
        for Candidate { kind, log_loss, standard_error } in &self.candidates {
            let chosen = if *kind == self.kind { ", chosen" } else { "" };
            writeln!(
                out,
                "tried      {kind:8}  log-loss {log_loss:.3} (+/- {standard_error:.3} from the best){chosen}"
            )?;
        }
        for PhaseFigures { phase, fit_seconds, figures } in self.second.iter().flat_map(|second| &second.phases) {
            let Figures { accuracy, log_loss, .. } = figures;
            let seconds = format!("in {fit_seconds:.2} s");
            writeln!(out, "phase {phase}    accuracy {:.1} %, log-loss {log_loss:.3}, {seconds}", 100.0 * accuracy)?;
        }
        if let Some(second) = &self.second {
            writeln!(out, "tuned      {}: {}", if second.tuned { "yes" } else { "no" }, second.tune_reason)?;
        }
        if let Some(figures) = &self.figures {
            write_figures(figures, &self.classes, out)?;
        }
        if let Some(note) = &self.note {
            writeln!(out, "note       {note}")?;
        }
        for refused in &self.refused {
            writeln!(out, "left out   {}", refused.line())?;
        }
        Ok(())
    }
}

/// Figures of a head on the images of `dir`.
pub fn measure(
    embeddings: &mut Embeddings,
    head: &DenseHead,
    dir: &Path,
    seed: u64,
    output: Output,
) -> Result<Measured, Failure> {
    let Found { pictures: entries, passed_over } = dataset::classes(dir)?;
    if let Some(stranger) = entries.iter().find(|entry| head.classes.index_of(&entry.label).is_none()) {
        return Err(Failure::failed(format!(
            "class folder {} of {} is not one of the head's classes ({}); rename or remove it, or train with it",
            stranger.label,
            dir.display(),
            listed(head.classes.labels())
        )));
    }
    let files: Vec<PathBuf> = entries.iter().map(|entry| entry.path.clone()).collect();
    let embedded = embeddings.embed(&files, output)?;
    if embedded.files.is_empty() {
        let why = embedded.refused.first().map_or("", |(_, reason)| reason);
        return Err(Failure::failed(format!("there is no usable image below {}: {why}", dir.display())));
    }
    let mut pictures = BTreeMap::new();
    dataset::count_endings(&entries, &mut pictures);
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
        pictures,
        refused: refused(&embedded, |index| files[index].clone()),
        passed_over,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_three_digits() {
        let texts = [0.0, 31.622_776, 0.001, 3.162e-5, 1.0, 316.2, 9999.0, 12345.0].map(number);
        assert_eq!(texts, ["0", "31.6", "0.001", "3.16e-5", "1", "316", "9999", "1.23e4"]);
    }

    #[test]
    fn a_reason_that_names_its_file_does_not_name_it_twice() {
        let refused = |reason: &str| Refused { path: "a.jpg".into(), reason: reason.into() }.line();
        assert_eq!(refused("cannot use a.jpg: it is empty"), "cannot use a.jpg: it is empty");
        assert_eq!(refused("value 3 is NaN"), "a.jpg: value 3 is NaN");
    }
}
