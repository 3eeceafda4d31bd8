//! `train --tune`: the second phase, in which the last layers of the backbone are trained on with the head.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::say_epoch;
use crate::cli::args::{Train, TuningChoice};
use crate::cli::embedding::{Embeddings, read_for};
use crate::cli::failure::Failure;
use crate::cli::now;
use crate::cli::output::Output;
use crate::cli::report::measure;
use crate::config::Config;
use crate::eval::gate::Rules;
use crate::eval::{calibrate, compare_phases};
use crate::head::{Figures, HeadRecord, Tuning};
use crate::shared::settings::tune_settings;
use crate::shared::tuning::{NoTail, Trunk, report};
use crate::train::{self, Dataset, Fitted, Latents, Progress, Schedule, TailNetwork, TuneSettings, tune};
use crate::wire::SecondPhase;
use crate::words::SampleId;

/// A training whose first phase has ended.
pub struct FirstPhase<'a> {
    pub embeddings: &'a Embeddings,
    pub data: &'a Dataset,
    /// Where the pictures are.
    pub paths: &'a HashMap<SampleId, PathBuf>,
    /// How it was fitted.
    pub fit: &'a train::Settings,
    pub fitted: &'a Fitted,
    pub record: &'a HeadRecord,
}

/// What came of the second phase.
pub struct Tuned {
    /// The head with its tail.
    pub record: HeadRecord,
    /// Measured where the first phase was: on the pictures of `--test`, or held out.
    pub figures: Option<Figures>,
    pub report: SecondPhase,
}

impl FirstPhase<'_> {
    /// Trains the last layers of the backbone on with the head, and compares both phases.
    pub fn tune(&self, command: &Train, config: Option<&Config>, output: Output) -> Result<Tuned, Failure> {
        let Self { embeddings, data, fit, fitted: first, record, .. } = *self;
        let settings = TuneSettings {
            first: fit.solver,
            class_weights: fit.class_weights,
            ..settings(&command.tuning, config, command.seed)
        };
        let layers = settings.layers.as_str().replace('_', " ");
        output.say(&format!("phase 2: the head and the {layers} of the backbone, at {:e}", settings.learning_rate));
        let started = Instant::now();
        let manifest = embeddings.backbone();
        let threads = config.map_or(1, |config| config.backbone.threads);
        let mut trunk = match Trunk::open(manifest, settings.layers, threads) {
            Ok(trunk) => trunk,
            Err(NoTail::Open(error)) => return Err(error.into()),
            Err(why) => {
                let figures = record.figures.clone();
                return Ok(Tuned { record: record.clone(), figures, report: SecondPhase::not_run(why.to_string()) });
            }
        };
        let latents = self.latents(&mut trunk, settings.views, output)?;
        let train::Tuned { tail, mut fitted, epochs } =
            tune_with_progress(data, &latents, &trunk.network, first, &settings, output)?;
        fitted.facts.fit_seconds = started.elapsed().as_secs_f64();
        let rules = Rules { seed: command.seed, ..Rules::default() };
        let compared = compare_phases(data, &fitted, record.head.version, record, &rules);
        let (mut figures, mut of_first) = (compared.challenger, compared.champion);
        if let Some(dir) = &command.test {
            let mut tuned = embeddings.with_tail(config, Some(tail.clone()))?;
            of_first.clone_from(&record.figures);
            figures = measure(&mut tuned, &fitted.dense, dir, command.seed, output)?.figures;
        }
        let phases = [(of_first.clone(), record.training.fit_seconds), (figures.clone(), fitted.facts.fit_seconds)];
        let report = report(&epochs, phases, compared.verdict.promote, compared.verdict.reason);
        let calibration = calibrate(data, &fitted, command.seed);
        let record = HeadRecord {
            manifest: embeddings.manifest(),
            region: embeddings.region().clone(),
            tuning: Some(Tuning { tail, first: record.dense.clone(), figures: of_first }),
            ..fitted.into_record(1, now(), embeddings.reference(), figures.clone(), calibration)
        };
        Ok(Tuned { record, figures, report })
    }

    /// What the tail begins with, of `views` views of each picture.
    fn latents(&self, trunk: &mut Trunk, views: usize, output: Output) -> Result<Latents, Failure> {
        let bar = output.progress(self.data.n() as u64, "views");
        let mut latents = trunk.latents();
        for id in self.data.ids() {
            let path = self.paths.get(id).map_or(Path::new(""), PathBuf::as_path);
            let picture = read_for(path, trunk.preprocess(), self.embeddings.region()).map_err(Failure::failed)?;
            let values = trunk.views(*id, &picture, self.embeddings.region(), views)?;
            latents.push(&values).map_err(Failure::failed)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(latents)
    }
}

/// The choices of the command line, else the configuration's, else the recipe's. A learning rate that is given stays as it is.
fn settings(tuning: &TuningChoice, config: Option<&Config>, seed: u64) -> TuneSettings {
    let usual = config.map(|config| tune_settings(&config.training)).unwrap_or_default();
    let given = tuning.tune_lr.map(|_| Schedule::Constant);
    TuneSettings {
        layers: tuning.tune_layers.unwrap_or(usual.layers),
        learning_rate: tuning.tune_lr.unwrap_or(usual.learning_rate),
        schedule: tuning.tune_schedule.or(given).unwrap_or(usual.schedule),
        views: tuning.tune_views.map_or(usual.views, |count| count as usize),
        epochs: tuning.tune_epochs.map(|count| count as usize).or(usual.epochs),
        seed,
        ..usual
    }
}

fn tune_with_progress(
    data: &Dataset,
    latents: &Latents,
    network: &TailNetwork,
    first: &Fitted,
    settings: &TuneSettings,
    output: Output,
) -> Result<train::Tuned, Failure> {
    let bar = output.progress(1000, "tuning");
    let mut watch = |progress: Progress| {
        bar.set_position((progress.fraction * 1000.0) as u64);
        say_epoch(&bar, progress);
        ControlFlow::Continue(())
    };
    let tuned = tune(data, latents, network, first, settings, &mut watch).map_err(Failure::failed);
    bar.finish_and_clear();
    tuned
}
