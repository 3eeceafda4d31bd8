//! The configuration of a start: the device's own layers, and over them a remote patch that is on trial or confirmed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use super::RunError;
use crate::backbone::{Manifest, OnnxBackbone};
use crate::config::{self, Config, Layer, Problem};
use crate::engine::{Configure, GoodPatch, StartupState, Write};
use crate::shared::backbone::BackboneInUse;
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
    /// The machine's name.
    pub host_name: String,
    /// Of the backbone that serves.
    pub manifest: Manifest,
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
        let in_use = BackboneInUse::find(&config)?;
        if let Some(hint) = in_use.hint() {
            info!("{hint}");
        }
        let (host_name, configure) = (self.host_name.clone(), self.configure());
        Ok(StartPlan { config, host_name, manifest: in_use.manifest, configure, notice: decision.notice })
    }

    fn configure(&self) -> Configure {
        let Self { layers, host_name } = self.clone();
        Configure(Arc::new(move |patch| {
            let judged = config::patched(&layers, &host_name, &patch.clone().into());
            let rejected = |bad: config::BadKey| RejectedKey { key: bad.key, error: bad.error };
            let good = |patched: config::Patched| {
                let effective = patched.config.to_json();
                GoodPatch { applied: patched.applied, effective }
            };
            judged.map(good).map_err(|bad| bad.into_iter().map(rejected).collect())
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
        let in_use = BackboneInUse::find(&config)?;
        OnnxBackbone::open_on(&in_use.manifest, &config.backbone.execution())?;
        Ok(sources)
    });
    let sources = checked.map_err(|error| error_chain(&error))?;
    *pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(sources);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::config::Source;
    use crate::engine::ConfigPatch;
    use crate::head::BackboneRef;
    use crate::store::{OpenOptions, Precision, SpacesInUse};
    use crate::wire::PatchState;
    use crate::words::{Digest, EmbeddingSpace};

    /// A device whose own configuration is `more`, with a store that remembers `twin`.
    fn device(folder: &Path, more: &str, twin: ConfigPatch) -> ConfigLayers {
        let digest = Digest::of(b"backbone");
        let space = EmbeddingSpace { backbone: digest, preprocessing: digest, dim: 1 };
        let backbone = BackboneRef { name: "played".into(), sha256: digest, dim: 1 };
        let options = OpenOptions { spaces: SpacesInUse::whole(space), backbone: &backbone, precision: Precision::F32 };
        Store::open(folder, &options).unwrap().commit(&[Write::ConfigPatchState(twin)]).unwrap();
        let text = format!("store: {{ path: {} }}\n{more}\n", folder.display());
        let layer = Layer { name: "config.yaml".into(), source: Source::Yaml(text) };
        ConfigLayers { layers: vec![layer], host_name: "host".into() }
    }

    fn patch(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_confirmed_patch_that_no_longer_goes_with_the_devices_own_settings_gives_way_for_good() {
        let folder = tempfile::tempdir().unwrap();
        // The state folder was moved into the folder that the patch watches.
        let watches = patch(json!({ "watch": [{ "path": folder.path().parent().unwrap() }] }));
        let twin = ConfigPatch { applied_version: 4, patch: Some(watches), ..ConfigPatch::default() };
        let sources = device(folder.path(), "prediction: { top_k: 7 }", twin);
        let start = sources.start().unwrap();
        assert_eq!((start.config.prediction.top_k, start.config.watch.len()), (7, 0));
        assert!(start.notice.is_some_and(|notice| notice.contains("no longer fit")));
        let StartupState { twin, .. } = startup_state(folder.path()).unwrap();
        assert_eq!((twin.patch, twin.answer.state, twin.applied_version), (None, PatchState::Reverted, 4));
        assert!(sources.start().unwrap().notice.is_none(), "it is reported once");
    }

    #[test]
    fn each_start_with_a_patch_on_trial_is_counted_on_the_disk_and_the_one_before_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut twin =
            ConfigPatch { patch: Some(patch(json!({ "prediction": { "top_k": 2 } }))), ..ConfigPatch::default() };
        twin.trial = Some(crate::engine::Probation::new(Some(patch(json!({ "prediction": { "top_k": 5 } })))));
        let sources = device(folder.path(), "", twin);
        let top_k = || sources.start().unwrap().config.prediction.top_k;
        assert_eq!([top_k(), top_k(), top_k(), top_k(), top_k()], [2, 2, 2, 5, 5]);
    }

    #[test]
    fn what_cannot_even_start_is_taken_back_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut twin =
            ConfigPatch { patch: Some(patch(json!({ "prediction": { "top_k": 2 } }))), ..ConfigPatch::default() };
        twin.trial = Some(crate::engine::Probation::new(None));
        let sources = device(folder.path(), "", twin);
        assert!(take_back(folder.path(), "it does not open").unwrap());
        assert!(!take_back(folder.path(), "it does not open").unwrap(), "nothing is on trial any more");
        assert_eq!(sources.start().unwrap().config.prediction.top_k, 3);
    }
}
