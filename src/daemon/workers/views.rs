//! Views of the labelled images for a training: those that are missing are embedded by a second copy of the backbone,
//! which is unloaded then, while the first one serves. They are kept under a space of their own, so that a restart
//! continues where it stopped.
//!
//! Views help a training and are no condition of it: where they cannot be had, the log says why and it goes without.

use std::ops::ControlFlow;
use std::path::PathBuf;

use tracing::{info, warn};

use super::backbone_swap::BackboneDir;
use super::job::{AnyError, Control};
use super::train::TrainerSettings;
use crate::backbone::{Manifest, OnnxBackbone};
use crate::ports::Embedder;
use crate::shared::views::Views;
use crate::store::{OpenOptions, Reader};
use crate::train::Dataset;
use crate::words::{SampleId, error_chain};

/// What views are made with.
#[derive(Debug, Clone)]
pub(crate) struct ViewSettings {
    /// Of the backbone that serves.
    pub manifest: Manifest,
    pub dir: BackboneDir,
    /// The most samples whose views a training uses.
    pub max: usize,
}

/// The views of a training's images, before those that are missing are embedded.
pub(crate) struct TrainingViews {
    settings: ViewSettings,
    views: Views,
    /// Images without views, with their files.
    missing: Vec<(SampleId, Vec<PathBuf>)>,
}

impl TrainingViews {
    /// `None` where the training learns from none. Reads what it needs of the store.
    pub fn begin(settings: &TrainerSettings, reader: &Reader, data: &Dataset) -> Option<Self> {
        let views = settings.views.as_ref()?;
        if !settings.fit.learns_from_views() || data.n() > views.max {
            return None;
        }
        Self::open(views, settings, reader, data)
            .inspect_err(|error| warn!(error = error_chain(&**error), "the training goes without crops of its images"))
            .ok()
    }

    fn open(
        settings: &ViewSettings,
        trainer: &TrainerSettings,
        reader: &Reader,
        data: &Dataset,
    ) -> Result<Self, AnyError> {
        let BackboneDir { folder, precision, .. } = &settings.dir;
        let options = OpenOptions { space: trainer.space, backbone: &trainer.backbone, precision: *precision };
        let views = Views::open(folder, &options)?;
        let mut missing = Vec::new();
        for id in views.missing(data.ids())? {
            let paths = reader.files_of(&id)?;
            if !paths.is_empty() {
                missing.push((id, paths));
            }
        }
        Ok(Self { settings: settings.clone(), views, missing })
    }

    /// `data` with its views, after those that are missing were embedded; without them where that fails.
    pub fn added_to(mut self, data: Dataset, control: &Control) -> Dataset {
        match self.complete(control).and_then(|()| Ok(self.views.of(&data)?)) {
            Ok(data) => data,
            Err(error) => {
                warn!(error = error_chain(&*error), "the training goes without crops of its images");
                data
            }
        }
    }

    fn complete(&mut self, control: &Control) -> Result<(), AnyError> {
        let jobs = std::mem::take(&mut self.missing);
        if jobs.is_empty() {
            return Ok(());
        }
        let mut backbone = OnnxBackbone::open(&self.settings.manifest, self.settings.dir.threads)?;
        self.embed(&mut backbone, jobs, control)
    }

    /// Pauses like a training, but has no time limit: the next training needs no view again that this one made.
    fn embed(
        &mut self,
        embedder: &mut dyn Embedder,
        jobs: Vec<(SampleId, Vec<PathBuf>)>,
        control: &Control,
    ) -> Result<(), AnyError> {
        let mut throttle = control.throttle();
        let embedded = self.views.embed(embedder, jobs, || {
            control.wait(&mut throttle);
            if control.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        info!(images = embedded, "embedded crops of labelled images");
        Ok(())
    }
}
