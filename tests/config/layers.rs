//! Which layer wins.

use std::path::Path;
use std::time::Duration;

use edgetuned::config::{self, Layer, Source};
use edgetuned::engine::PromotionPolicy;

use crate::{good, load, pairs, yaml};

#[test]
fn later_layers_win_maps_merge_and_lists_replace() {
    let main = yaml(
        "config.yaml",
        "prediction: {top_k: 4}\ntraining: {seed: 4, min_new_labels: 4, cooldown: 4m}\nbackbone: {threads: 4}\n\
         watch: [{path: /srv/a}, {path: /srv/b}]",
    );
    let first = yaml("conf.d/10.yaml", "training: {seed: 10, min_new_labels: 10}\nwatch: [{path: /srv/c}]");
    let second = yaml("conf.d/20.yaml", "training: {seed: 20, cooldown: 20m}\nbackbone: {threads: 20}");
    let variables = [
        ("EDGETUNED__TRAINING__SEED", "30"),
        ("EDGETUNED__BACKBONE__THREADS", "30"),
        ("EDGETUNED_ORT", "/lib/x.so"),
        ("PATH", "/bin"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = Layer { name: "environment".into(), source: Source::Pairs(config::env_pairs(variables)) };
    let command_line = pairs("command line", &[("training.seed", "40")]);
    let all = [main, first, second, environment, command_line];
    let seeds: Vec<_> = (0..=all.len()).map(|count| load(&all[..count]).unwrap().config.training.seed).collect();
    assert_eq!(seeds, [0, 4, 10, 20, 30, 40], "defaults, file, conf.d in order, environment, command line");
    let config = load(&all).unwrap().config;
    assert_eq!(config.training.min_new_labels, 10, "of conf.d/10.yaml");
    assert_eq!(config.training.cooldown, Duration::from_mins(20), "of conf.d/20.yaml");
    assert_eq!((config.prediction.top_k, config.backbone.threads), (4, 30), "of the file, of the environment");
    assert_eq!(config.watch.len(), 1);
    assert_eq!(config.watch[0].path, Path::new("/srv/c"));
}

#[test]
fn null_in_a_later_layer_takes_a_setting_back() {
    let main = yaml("config.yaml", "training: {schedule: '0 4 * * *'}\ndevice: {id: a}");
    let later = yaml("conf.d/1.yaml", "training: {schedule: null}\ndevice: {id: ~}\nmqtt: {url: null}");
    let config = load(&[main, later]).unwrap().config;
    assert_eq!((config.training.schedule, config.mqtt), (None, None));
    assert_eq!(config.device.id, "line-3-local");
}

#[test]
fn pairs_hold_yaml_but_text_is_taken_as_it_stands() {
    let layer = pairs(
        "environment",
        &[
            ("training.schedule", "* * * * *"),
            ("device.name", "Line: 3 # the big one"),
            ("mqtt.username", "'null'"),
            ("device.id", "null"),
            ("watch", "[{path: /srv/a, settle: 1s}]"),
            ("promotion", "{policy: always}"),
        ],
    );
    let config = load(&[layer]).unwrap().config;
    assert_eq!(config.training.schedule.as_deref(), Some("* * * * *"));
    assert_eq!(config.device.name, "Line: 3 # the big one");
    assert_eq!(config.mqtt.unwrap().username.as_deref(), Some("null"));
    assert_eq!(config.device.id, "line-3-local");
    assert_eq!(config.watch[0].settle, Duration::from_secs(1));
    assert_eq!(config.promotion.policy, PromotionPolicy::Always);
}

#[test]
fn a_fault_in_a_pair_names_its_key_and_no_line() {
    let problems = load(&[pairs("environment", &[("mqtt.ulr", "x"), ("training.seed", "["), ("watch.path", "/a")])]);
    let problems = problems.unwrap_err();
    let keys: Vec<_> = problems.iter().map(|p| (p.file.as_str(), p.line, p.key.as_str())).collect();
    let expected = ["mqtt.ulr", "training.seed", "watch.path"].map(|key| ("environment", None, key));
    assert_eq!(keys, expected);
    assert_eq!(problems[0].remedy, "did you mean 'url'?");
}

#[test]
fn an_empty_file_and_empty_sections_change_nothing() {
    let defaults = load(&[]).unwrap().config;
    for text in ["", "\n\n", "# only a comment", "---\n", "mqtt:\ntraining:\nwatch:\n", "\u{feff}mqtt:\n"] {
        assert_eq!(good(text), defaults, "{text:?}");
    }
}
