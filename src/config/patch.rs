//! A remote patch: settings that arrive over MQTT, as the last layer over files and environment, in a few sections
//! only.

use serde_json::Value;

use super::{Config, Layer, Loaded, Problem, Source, key, load};

/// Name of the layer in problems.
const LAYER: &str = "config/desired";

/// Sections and keys that may be set remotely; the others could cut the device off, or are its owner's to decide: among
/// them `sources`, by which anybody at the broker could have the device fetch what its network reaches.
pub const PATCHABLE: [&str; 7] =
    ["training", "promotion", "prediction", "watch", "tasks", "device.name", "mqtt.home_assistant"];

/// Settings with a patch over them.
#[derive(Debug, Clone)]
pub struct Patched {
    /// The settings.
    pub config: Config,
    /// Dotted keys that the patch sets, in order.
    pub applied: Vec<String>,
}

/// A key of a patch that is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadKey {
    /// Dotted; empty when it is the patch as a whole.
    pub key: String,
    /// What is wrong with it, with the remedy.
    pub error: String,
}

/// The settings that `layers` give with `patch`, a nested object of keys, over them.
///
/// # Errors
/// Every key of the patch that is unknown, may not be set remotely, is out of range or contradicts another setting.
pub fn patched(layers: &[Layer], host_name: &str, patch: &Value) -> Result<Patched, Vec<BadKey>> {
    let Value::Object(fields) = patch else {
        return Err(vec![bad("", "expected an object of sections, as in config.yaml".to_owned())]);
    };
    let mut applied = Vec::new();
    for (word, value) in fields {
        leaves(word, value, &mut applied);
    }
    let is_forbidden = |key: &str| !PATCHABLE.iter().any(|allowed| is_below(key, allowed));
    let mut wrong: Vec<BadKey> =
        applied.iter().filter(|key| is_forbidden(key)).map(|key| bad(key, refusal())).collect();
    // JSON is YAML.
    let layer = Layer { name: LAYER.to_owned(), source: Source::Yaml(patch.to_string()) };
    let loaded = load(&[layers, &[layer]].concat(), host_name);
    if let Err(problems) = &loaded {
        let is_new = |problem: &&Problem| {
            let same = |bad: &BadKey| is_below(&problem.key, &bad.key) || is_below(&bad.key, &problem.key);
            !wrong.iter().any(same)
        };
        let described = |Problem { key, found, expected, remedy, .. }: &Problem| {
            bad(key, format!("found {found}, expected {expected}; {remedy}"))
        };
        let new: Vec<BadKey> = problems.iter().filter(is_new).map(described).collect();
        wrong.extend(new);
    }
    match loaded {
        Ok(Loaded { config, .. }) if wrong.is_empty() => Ok(Patched { config, applied }),
        _ => Err(wrong),
    }
}

/// Whether `key` is `section` or is below it.
fn is_below(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn bad(key: &str, error: String) -> BadKey {
    BadKey { key: key.to_owned(), error }
}

fn refusal() -> String {
    format!("it cannot be set remotely, only {} can; set it in the device's configuration file", PATCHABLE.join(", "))
}

/// Dotted names of the keys below `name` that have a value; a key that the table knows is one whatever it holds.
fn leaves(name: &str, value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) if key::find(name).is_none() && !fields.is_empty() => {
            for (word, value) in fields {
                leaves(&format!("{name}.{word}"), value, into);
            }
        }
        _ => into.push(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base() -> Vec<Layer> {
        let text = "device: { id: line-3 }\nwatch: [{ path: /srv/camera }]\nprediction: { top_k: 5 }\n";
        vec![Layer { name: "config.yaml".into(), source: Source::Yaml(text.into()) }]
    }

    fn errors(patch: &Value) -> Vec<(String, String)> {
        let bad = patched(&base(), "host", patch).unwrap_err();
        bad.into_iter().map(|bad| (bad.key, bad.error)).collect()
    }

    #[test]
    fn a_patch_overrides_files_and_environment_and_lists_what_it_set() {
        let environment =
            Layer { name: "environment".into(), source: Source::Pairs(vec![("prediction.top_k".into(), "7".into())]) };
        let layers = [base(), vec![environment]].concat();
        let patch = json!({ "prediction": { "top_k": 2, "abstain": { "alpha": 0.2 } },
                            "watch": [{ "path": "/srv/other", "settle": "1s" }], "device": { "name": "Line three" } });
        let Patched { config, mut applied } = patched(&layers, "host", &patch).unwrap();
        applied.sort();
        assert_eq!(applied, ["device.name", "prediction.abstain.alpha", "prediction.top_k", "watch"]);
        assert_eq!((config.prediction.top_k, config.watch.len()), (2, 1));
        assert_eq!(config.device.name, "Line three");
        assert_eq!(config.device.id, "line-3", "what the patch leaves alone stays");
    }

    #[test]
    fn an_empty_patch_changes_nothing() {
        let Patched { config, applied } = patched(&base(), "host", &json!({})).unwrap();
        assert_eq!((config.prediction.top_k, applied), (5, vec![]));
    }

    #[test]
    fn every_bad_key_is_reported_with_its_reason() {
        let found =
            errors(&json!({ "prediction": { "top_k": 0, "abstain": { "alpha": 0.9 } }, "training": { "hed": "lda" } }));
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys.len(), 3, "{found:?}");
        for key in ["prediction.top_k", "prediction.abstain.alpha", "training.hed"] {
            assert!(keys.contains(&key), "{found:?}");
        }
        assert!(found.iter().any(|(key, error)| key == "training.hed" && error.contains("head")), "{found:?}");
    }

    #[test]
    fn what_could_cut_the_device_off_is_refused() {
        for patch in [
            json!({ "mqtt": { "url": "mqtt://elsewhere" } }),
            json!({ "mqtt": null }),
            json!({ "device": { "id": "line-4" } }),
            json!({ "store": { "path": "/tmp" } }),
            json!({ "updates": { "trusted_keys": ["/tmp/mine.pem"] } }),
            json!({ "sources": [{ "id": "a", "http": "http://intranet/" }] }),
            json!({ "sources": [] }),
            json!({ "trainingx": { "seed": 1 } }),
        ] {
            let found = errors(&patch);
            assert!(found.iter().all(|(_, error)| error.contains("cannot be set remotely")), "{patch}: {found:?}");
        }
        assert!(errors(&json!([1]))[0].1.contains("object"));
    }

    #[test]
    fn a_patch_replaces_the_tasks_and_draws_their_regions() {
        let text = "sources: [{ id: garage }]\ntasks: [{ id: door }, { id: light, training: { seed: 3 } }]\n";
        let layers = [base(), vec![Layer { name: "tasks.yaml".into(), source: Source::Yaml(text.into()) }]].concat();
        let region = json!([0.0, 0.25, 0.3, 0.85]);
        let patch =
            json!({ "tasks": [{ "id": "door", "from": [{ "source": "garage", "region": region }], "state": {} }] });
        let Patched { config, applied } = patched(&layers, "host", &patch).unwrap();
        assert_eq!(applied, ["tasks"]);
        let [door] = &config.tasks[..] else { panic!("{:?}", config.tasks) };
        assert_eq!((serde_json::to_value(&door.from[0].region).unwrap(), door.state.is_some()), (region, true));
        let wrong = json!({ "tasks": [{ "id": "door", "from": [{ "source": "garden" }], "training": { "seed": "x" } }],
                            "sources": [{ "id": "garden" }] });
        let keys: Vec<_> = patched(&layers, "host", &wrong).unwrap_err().into_iter().map(|bad| bad.key).collect();
        assert_eq!(keys, ["sources", "tasks[0].training.seed"], "a source cannot come with it");
        let unseen = json!({ "tasks": [{ "id": "door", "from": [{ "watch": "/srv/camera" }] }], "watch": [] });
        let keys: Vec<_> = patched(&layers, "host", &unseen).unwrap_err().into_iter().map(|bad| bad.key).collect();
        assert_eq!(keys, ["tasks[0].from[0].watch"]);
    }

    #[test]
    fn a_watched_folder_that_holds_the_state_is_refused() {
        let found = errors(&json!({ "watch": [{ "path": "/var/lib" }] }));
        assert!(found[0].0.starts_with("watch[0]"), "{found:?}");
    }
}
