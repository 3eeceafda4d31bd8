//! `edgetuned train`: trains a head on a folder per class, and writes a report.

mod second_phase;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use indicatif::ProgressBar;

use super::args::{Args, Train};
use super::configuration;
use super::dataset::{self, Entry, Found};
use super::embedding::{Embedded, Embeddings};
use super::failure::Failure;
use super::now;
use super::output::{Output, write_file};
use super::report::{Measured, Report, measure, refused};
use crate::config::Config;
use crate::eval::gate::Rules;
use crate::eval::{calibrate, compare};
use crate::head::HeadRecord;
use crate::train::{Dataset, Fitted, Grouper, HeadKind, L2, Progress, Settings, Solver, fit};
use crate::words::{ClassSet, Label, SampleId};
use second_phase::{FirstPhase, Tuned};

pub fn train(args: &Args, command: &Train, output: Output) -> Result<(), Failure> {
    let config = configuration::if_named(args)?;
    let settings = settings(config.as_ref(), command)?;
    let Found { pictures: mut entries, passed_over } = dataset::classes(&command.dir)?;
    if let Some(shots) = command.shots {
        entries = dataset::draw(entries, shots as usize, command.seed);
    }
    let mut embeddings = Embeddings::open(config.as_ref(), command.backbone.as_deref(), &command.region.region())?;
    let (data, embedded) = labelled(&mut embeddings, &entries, output)?;
    if command.tuning.tune {
        output.say("phase 1: the head, on the frozen backbone");
    }
    let started = Instant::now();
    let mut fitted = fit_with_progress(&data, &settings, output)?;
    fitted.facts.fit_seconds = started.elapsed().as_secs_f64();
    let mut measured = match &command.test {
        Some(dir) => measure(&mut embeddings, &fitted.dense, dir, command.seed, output)?,
        None => held_out(&data, &fitted, command.seed),
    };
    let calibration = calibrate(&data, &fitted, command.seed);
    let mut record = HeadRecord {
        manifest: embeddings.manifest(),
        region: embeddings.region().clone(),
        ..fitted.clone().into_record(1, now(), embeddings.reference(), measured.figures.clone(), calibration)
    };
    let mut second = None;
    if command.tuning.tune {
        let paths = embedded.files.iter().zip(&embedded.ids).map(|(file, id)| (*id, entries[*file].path.clone()));
        let paths = paths.collect();
        let (data, fit, paths) = (&data, &settings, &paths);
        let first = FirstPhase { embeddings: &embeddings, data, paths, fit, fitted: &fitted, record: &record };
        let Tuned { record: tuned, figures, report } = first.tune(command, config.as_ref(), output)?;
        if report.tuned {
            (record, measured.figures, measured.note) = (tuned, figures, None);
        }
        second = Some(report);
    }
    measured.embed_seconds += embedded.seconds;
    measured.embedded += embedded.computed;
    measured.refused.splice(0..0, refused(&embedded, |index| entries[index].path.clone()));
    dataset::count_endings(&entries, &mut measured.pictures);
    dataset::merge(&mut measured.passed_over, passed_over);
    let reason = second.as_ref().map(|second| second.tune_reason.clone());
    let report = Report { second, reason, ..Report::new(&record, &command.out, measured) };
    write_file(&command.out, &record.to_bytes())?;
    let report_file = command.out.with_extension("report.json");
    write_file(&report_file, &serde_json::to_vec_pretty(&report).map_err(Failure::failed)?)?;
    output.print(&report, |out| {
        report.write(out)?;
        writeln!(out, "report     {}", report_file.display())
    })
}

/// The command line's choice of method, else the configuration's, else the default.
fn settings(config: Option<&Config>, command: &Train) -> Result<Settings, Failure> {
    let mut settings = config.map(|config| crate::shared::settings::fit_settings(&config.training)).unwrap_or_default();
    settings.seed = command.seed;
    settings.kind = command.head.unwrap_or(settings.kind);
    let recipe = command.epochs.is_some() || command.batch.is_some() || command.lr.is_some();
    match command.solver {
        Some(Solver::Lbfgs) if recipe => {
            return Err(Failure::usage(
                "--epochs, --batch and --lr belong to --solver adam; leave them or the solver out",
            ));
        }
        Some(Solver::Lbfgs) => settings.solver = Solver::Lbfgs,
        Some(Solver::Adam { .. }) => settings.solver = adam(command),
        None if recipe => settings.solver = adam(command),
        None => {}
    }
    if let (true, HeadKind::Mlp | HeadKind::Lda | HeadKind::RpRidge) =
        (recipe || command.solver.is_some(), settings.kind)
    {
        return Err(Failure::usage(format!(
            "--solver, --epochs, --batch and --lr belong to a softmax head, this one is of kind {}; leave them out",
            settings.kind.as_str()
        )));
    }
    if let Some(lambda) = command.l2 {
        settings.l2 = L2::Fixed(lambda);
    }
    Ok(settings)
}

/// Adam with the numbers of the command line, and the usual ones where it has none.
fn adam(command: &Train) -> Solver {
    Solver::Adam {
        epochs: command.epochs.map_or(Solver::EPOCHS, |count| count as usize),
        batch: command.batch.map_or(Solver::BATCH, |count| count as usize),
        lr: command.lr.unwrap_or(Solver::LEARNING_RATE),
    }
}

/// Embeds `entries` and puts them together with their labels; the same picture twice counts once.
fn labelled(embeddings: &mut Embeddings, entries: &[Entry], output: Output) -> Result<(Dataset, Embedded), Failure> {
    let files: Vec<PathBuf> = entries.iter().map(|entry| entry.path.clone()).collect();
    let embedded = embeddings.embed(&files, output)?;
    let mut seen: BTreeMap<SampleId, &Entry> = BTreeMap::new();
    let (mut rows, mut contradictions) = (Vec::new(), Vec::new());
    for (row, (file, id)) in embedded.files.iter().zip(&embedded.ids).enumerate() {
        let entry = &entries[*file];
        let first = *seen.entry(*id).or_insert(entry);
        if std::ptr::eq(first, entry) {
            rows.push(row);
        } else if first.label == entry.label {
            let (path, first) = (entry.path.display(), first.path.display());
            tracing::warn!(%path, same_as = %first, "the same picture again counts once");
        } else {
            contradictions.push((first, entry));
        }
    }
    if !contradictions.is_empty() {
        return Err(Failure::failed(contradicting(&contradictions)));
    }
    let x = embedded.embeddings.select(ndarray::Axis(0), &rows);
    let ids: Vec<SampleId> = rows.iter().map(|row| embedded.ids[*row]).collect();
    let labels: Vec<Label> = rows.iter().map(|row| entries[embedded.files[*row]].label.clone()).collect();
    let classes: ClassSet = labels.iter().cloned().collect();
    if let Some(entry) = entries.iter().find(|entry| classes.index_of(&entry.label).is_none()) {
        return Err(Failure::failed(unusable(entry, entries, &embedded)));
    }
    let y = labels.iter().filter_map(|label| classes.index_of(label)).collect();
    let mut grouper = Grouper::default();
    let groups = ids.iter().zip(x.rows()).map(|(id, row)| grouper.assign(*id, &row.to_vec())).collect();
    let data = Dataset::new(embeddings.space(), x, y, classes, groups, ids).map_err(Failure::failed)?;
    Ok((data.in_parts(&embeddings.parts()), embedded))
}

/// The error for a class without usable images.
fn unusable(entry: &Entry, entries: &[Entry], embedded: &Embedded) -> String {
    let first = embedded.refused.iter().find(|(index, _)| entries[*index].label == entry.label);
    format!(
        "class {} has no usable image; add some or remove its folder: {}",
        entry.label,
        first.map_or("", |(_, reason)| reason)
    )
}

/// Contradictions named in one error at most.
const NAMED: usize = 50;

/// The error for pictures in more than one class, each with its first file and another one.
fn contradicting(pairs: &[(&Entry, &Entry)]) -> String {
    let named = pairs.iter().take(NAMED).map(|(first, second)| {
        let (path, again) = (first.path.display(), second.path.display());
        format!("{path} and {again} are the same picture in the classes {} and {}", first.label, second.label)
    });
    let more = match pairs.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}; remove one of each", named.collect::<Vec<_>>().join("; "))
}

/// Fits with a progress bar on a terminal; Adam also prints a line for each epoch.
fn fit_with_progress(data: &Dataset, settings: &Settings, output: Output) -> Result<Fitted, Failure> {
    let bar = output.progress(1000, "fitting");
    let mut watch = |progress: Progress| {
        bar.set_position((progress.fraction * 1000.0) as u64);
        say_epoch(&bar, progress);
        ControlFlow::Continue(())
    };
    let fitted = fit(data, settings, &mut watch).map_err(Failure::failed);
    bar.finish_and_clear();
    fitted
}

fn say_epoch(bar: &ProgressBar, progress: Progress) {
    let Some(epoch) = progress.epoch else { return };
    let heldout = epoch.heldout.map_or(String::new(), |(loss, accuracy)| {
        format!("   held-out loss {loss:.4}   accuracy {:.1} %", 100.0 * accuracy)
    });
    let width = epoch.of.to_string().len();
    let line = format!(
        "epoch {:width$}/{}   loss {:.4}   accuracy {:.1} %{heldout}",
        epoch.number,
        epoch.of,
        epoch.loss,
        100.0 * epoch.accuracy
    );
    // Above the bar on a terminal, else on standard error, so that a log has it too.
    if bar.is_hidden() {
        eprintln!("{line}");
    } else {
        bar.println(line);
    }
}

/// Figures of the out-of-fold answers; where too little is held out, the gate's words on a first head say so.
fn held_out(data: &Dataset, fitted: &Fitted, seed: u64) -> Measured {
    let comparison = compare(data, fitted, 1, None, &Rules { seed, ..Rules::default() });
    let figures = comparison.challenger;
    let note = figures.is_none().then_some(comparison.verdict.reason);
    Measured { n_test: figures.as_ref().map_or(0, |figures| figures.n), figures, note, ..Measured::default() }
}
