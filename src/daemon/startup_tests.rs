//! Which settings a start goes with.

use serde_json::{Map, Value, json};

use super::*;
use crate::config::Source;
use crate::engine::ConfigPatch;
use crate::head::BackboneRef;
use crate::store::{OpenOptions, Precision};
use crate::wire::PatchState;
use crate::words::{Digest, EmbeddingSpace};

/// A device whose own configuration is `more`, with a store that remembers `twin`.
fn device(folder: &Path, more: &str, twin: ConfigPatch) -> ConfigLayers {
    let digest = Digest::of(b"backbone");
    let space = EmbeddingSpace { backbone: digest, preprocessing: digest, dim: 1 };
    let backbone = BackboneRef { name: "played".into(), sha256: digest, dim: 1 };
    let options = OpenOptions { space, backbone: &backbone, precision: Precision::F32 };
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
