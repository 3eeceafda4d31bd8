//! The configuration of a start: the device's own layers, and over them a remote patch that is on trial or confirmed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;

use super::error::RunError;
use crate::backbone::{Manifest, OnnxBackbone};
use crate::config::{self, Config, Layer, Problem};
use crate::engine::{Configure, InstalledBackbone, StartupState, Write};
use crate::store::{Store, StoreError};
use crate::wire::RejectedKey;
use crate::words::{Timestamp, error_chain};

/// The device's own configuration as text.
#[derive(Debug, Clone)]
pub struct ConfigLayers {
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// The name of a device without `device.id`.
    pub host_name: String,
}

/// Reads the device's configuration as it is now.
pub type Read = dyn Fn() -> Result<ConfigLayers, Vec<Problem>> + Send + Sync;

/// A configuration that was read again and is valid; the next restart takes it.
pub(super) type PendingConfig = Arc<Mutex<Option<ConfigLayers>>>;

/// Everything that a start depends on.
pub(super) struct StartPlan {
    pub config: Config,
    /// A backbone that was installed by an update, in place of the configuration's.
    pub installed: Option<InstalledBackbone>,
    pub configure: Configure,
    /// What to report of settings that were reverted.
    pub notice: Option<String>,
}

impl ConfigLayers {
    /// The device's own settings, without any patch.
    pub(super) fn own(&self) -> Result<Config, RunError> {
        let loaded = config::load(&self.layers, &self.host_name).map_err(RunError::Configuration)?;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        Ok(loaded.config)
    }

    /// Everything for the next start. That it is tried is committed first, and counts against settings on trial.
    pub(super) fn start(&self) -> Result<StartPlan, RunError> {
        let own = self.own()?;
        let folder = own.store.path.clone();
        let decision = startup_state(&folder)?.decide(now(), |patch| {
            let patched = config::patched(&self.layers, &self.host_name, &patch.clone().into());
            let reasons = |bad: Vec<config::BadKey>| {
                bad.iter().map(|bad| format!("{}: {}", bad.key, bad.error)).collect::<Vec<_>>().join("; ")
            };
            patched.map(|patched| patched.config).map_err(reasons)
        });
        commit(&folder, &decision.writes)?;
        let config = decision.patched.as_ref().unwrap_or(&own).clone();
        let installed = decision.installed(&config.backbone.model).cloned();
        Ok(StartPlan { config, installed, configure: self.configure(), notice: decision.notice })
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

/// Reverts what is on trial because the daemon cannot even start with it; false when nothing is.
pub(super) fn take_back(folder: &Path, reason: &str) -> Result<bool, RunError> {
    let writes = startup_state(folder)?.revert(reason, now());
    commit(folder, &writes)?;
    Ok(!writes.is_empty())
}

fn startup_state(folder: &Path) -> Result<StartupState, RunError> {
    match Store::open_existing(folder) {
        Ok(store) => Ok(store.startup_state()?),
        Err(StoreError::Missing { .. }) => Ok(StartupState::default()),
        Err(error) => Err(error.into()),
    }
}

/// Commits what a start changes before there is an engine, whose writes [`super::commit`] makes durable.
fn commit(folder: &Path, writes: &[Write]) -> Result<(), RunError> {
    if writes.is_empty() { Ok(()) } else { Ok(Store::open_existing(folder)?.commit(writes)?) }
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// Reads the configuration again and opens its backbone; a valid one is put into `pending`.
///
/// # Errors
/// What is wrong with it, in one line.
pub(super) fn read_again(read: &Read, pending: &PendingConfig) -> Result<(), String> {
    let checked = read().map_err(RunError::Configuration).and_then(|sources| {
        let config = sources.own()?;
        let manifest = Manifest::resolve(&config.backbone.model)?;
        OnnxBackbone::open(&manifest, config.backbone.threads)?;
        Ok(sources)
    });
    let sources = checked.map_err(|error| error_chain(&error))?;
    *pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(sources);
    Ok(())
}

#[cfg(test)]
#[path = "startup_tests.rs"]
mod tests;
