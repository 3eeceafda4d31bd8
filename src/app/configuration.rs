//! Which configuration the daemon runs with: the device's own layers, and over them a patch from afar that is on trial
//! or confirmed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tracing::warn;

use super::run::RunError;
use crate::backbone::{Manifest, OnnxBackbone};
use crate::config::{self, Config, Layer, Problem};
use crate::engine::{BackboneMemory, Configure, Event, InstalledBackbone, JobId, TwinMemory, Write};
use crate::store::{Store, StoreError};
use crate::wire::{Answer, ErrorCode, RejectedKey};
use crate::words::{Timestamp, told};

/// The device's own configuration as text.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// Names a device that has no `device.id`.
    pub host_name: String,
}

/// A way to read the device's configuration as it is now.
pub type Read = dyn Fn() -> Result<Sources, Vec<Problem>> + Send + Sync;

/// Where a configuration waits that was read again and found good, until the restart takes it.
pub(super) type Fresh = Arc<Mutex<Option<Sources>>>;

/// What the daemon starts with.
pub(super) struct Start {
    pub config: Config,
    /// A backbone that came as an update and holds instead of the configuration's.
    pub installed: Option<InstalledBackbone>,
    pub configure: Configure,
    /// What has to be said of settings that were taken back.
    pub opening: Option<String>,
}

impl Sources {
    /// The device's own settings, without any patch.
    pub(super) fn own(&self) -> Result<Config, RunError> {
        let loaded = config::load(&self.layers, &self.host_name).map_err(RunError::Configuration)?;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        Ok(loaded.config)
    }

    /// The settings to start with. A start with settings on trial is counted on the disk before it is tried.
    pub(super) fn start(&self) -> Result<Start, RunError> {
        let own = self.own()?;
        let folder = own.store.path.clone();
        let mut opening = None;
        let (mut twin, mut backbone) = beginnings(&folder)?;
        let mut writes = backbone.starting(now());
        if let Some(next) = twin.starting() {
            opening = next.reverted().map(words_for_taken_back);
            writes.push(Write::Twin(next.clone()));
            twin = next;
        }
        remember(&folder, &writes)?;
        let patched =
            twin.patch.as_ref().map(|patch| config::patched(&self.layers, &self.host_name, &patch.clone().into()));
        let config = match patched.transpose() {
            Ok(patched) => patched.map_or(own, |patched| patched.config),
            Err(bad) => {
                let keys: Vec<String> = bad.iter().map(|bad| format!("{}: {}", bad.key, bad.error)).collect();
                let reason = format!("they no longer go with the device's own: {}", keys.join("; "));
                twin.revert(reason.clone());
                remember(&folder, &[Write::Twin(twin)])?;
                opening = Some(words_for_taken_back(&reason));
                own
            }
        };
        let installed = backbone.model(&config.backbone.model).cloned();
        Ok(Start { config, installed, configure: self.configure(), opening })
    }

    fn configure(&self) -> Configure {
        let Self { layers, host_name } = self.clone();
        Configure(Arc::new(move |patch| {
            let judged = config::patched(&layers, &host_name, &patch.clone().into());
            let rejected = |bad: config::BadKey| RejectedKey { key: bad.key, error: bad.error };
            judged.map(|patched| patched.applied).map_err(|bad| bad.into_iter().map(rejected).collect())
        }))
    }
}

/// Takes what is on trial back because the daemon cannot even start with it; false when nothing is.
pub(super) fn take_back(folder: &Path, reason: &str) -> Result<bool, RunError> {
    let (mut twin, mut backbone) = beginnings(folder)?;
    let mut writes = backbone.revert(reason, now());
    if twin.trial.is_some() {
        twin.revert(reason.to_owned());
        writes.push(Write::Twin(twin));
    }
    remember(folder, &writes)?;
    Ok(!writes.is_empty())
}

/// What is said of settings that were taken back.
pub(super) fn words_for_taken_back(reason: &str) -> String {
    format!("the settings of config/desired were taken back: {reason}")
}

fn beginnings(folder: &Path) -> Result<(TwinMemory, BackboneMemory), RunError> {
    match Store::open_existing(folder) {
        Ok(store) => Ok(store.beginnings()?),
        Err(StoreError::Missing { .. }) => Ok(Default::default()),
        Err(error) => Err(error.into()),
    }
}

fn remember(folder: &Path, writes: &[Write]) -> Result<(), RunError> {
    if writes.is_empty() { Ok(()) } else { Ok(Store::open_existing(folder)?.commit(writes)?) }
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// Reads the configuration again on a thread of its own, since opening a backbone takes a while, and says by an event
/// whether it is good; a good one waits in `fresh`. `job` is the request that asked for it, if one did.
pub(super) fn read_again(
    read: Arc<Read>,
    fresh: Fresh,
    job: Option<JobId>,
    events: impl Fn(Event) + Send + 'static,
) -> std::io::Result<()> {
    thread::Builder::new().name("reload".into()).spawn(move || {
        let checked = read().map_err(RunError::Configuration).and_then(|sources| {
            let config = sources.own()?;
            let manifest = Manifest::resolve(&config.backbone.model)?;
            OnnxBackbone::open(&manifest, config.backbone.threads)?;
            Ok(sources)
        });
        let outcome = checked.map_err(|error| told(&error)).map(|sources| {
            *fresh.lock().unwrap_or_else(PoisonError::into_inner) = Some(sources);
        });
        if let Some(job) = job {
            let answer = match &outcome {
                Ok(()) => Answer::ok(&serde_json::json!({})),
                Err(reason) => Answer::error(ErrorCode::NotPossible, format!("the former one stays: {reason}")),
            };
            events(Event::FoundOut { job, answer });
        }
        events(Event::Reloaded(outcome));
    })?;
    Ok(())
}
