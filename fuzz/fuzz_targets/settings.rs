//! Settings, from files, environment and afar: what is taken is written as text that is taken as the same settings;
//! what is not has a fault on a line of its own.
//!
//! The first byte of an input says what it is: a file, lines `key=value`, or a patch in JSON.
#![no_main]

use edgetuned::config::{Config, Layer, Problem, Source, load, patched};
use libfuzzer_sys::fuzz_target;

/// No fault is longer than this: two quoted texts of 80 characters, a list of keys, and words.
const LINE_MAX: usize = 2_000;

fuzz_target!(|text: &str| {
    let Some(kind) = text.chars().next() else { return };
    let rest = &text[kind.len_utf8()..];
    let under = Layer { name: "config.yaml".into(), source: Source::Yaml("device: { id: line-3 }\n".into()) };
    match kind {
        'y' => taken(&[under, Layer { name: "more.yaml".into(), source: Source::Yaml(rest.into()) }]),
        'e' => {
            let pairs = rest.lines().filter_map(|line| line.split_once('='));
            let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            taken(&[under, Layer { name: "environment".into(), source: Source::Pairs(pairs) }]);
        }
        'p' => patch(&[under], rest),
        _ => {}
    }
});

fn taken(layers: &[Layer]) {
    match load(layers, "Line-3.local") {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(stands_on_a_line);
            same_again(&loaded.config);
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused for no reason");
            problems.iter().for_each(stands_on_a_line);
        }
    }
}

fn same_again(config: &Config) {
    let written = config.to_json().to_string();
    let layer = Layer { name: "effective".into(), source: Source::Yaml(written.clone()) };
    match load(&[layer], "another") {
        Ok(again) => assert_eq!(again.config, *config, "{written}"),
        Err(problems) => panic!("{problems:#?}\n{written}"),
    }
}

fn patch(layers: &[Layer], text: &str) {
    let Ok(patch) = serde_json::from_str(text) else { return };
    match patched(layers, "Line-3.local", &patch) {
        Ok(patched) => {
            same_again(&patched.config);
            let before = load(layers, "Line-3.local").expect("it is good").config;
            let Config { device, backbone, store, mqtt, updates, .. } = &patched.config;
            assert_eq!((&device.id, backbone), (&before.device.id, &before.backbone), "{text}");
            assert_eq!((store, updates), (&before.store, &before.updates), "{text}");
            let url = |config: &Config| config.mqtt.as_ref().map(|mqtt| mqtt.url.clone());
            assert_eq!(mqtt.as_ref().map(|mqtt| mqtt.url.clone()), url(&before), "{text}");
        }
        Err(bad) => {
            assert!(!bad.is_empty(), "refused for no reason");
            for key in bad {
                assert!(key.error.len() < LINE_MAX && !key.error.contains('\n'), "{key:?}");
            }
        }
    }
}

fn stands_on_a_line(problem: &Problem) {
    let line = problem.to_string();
    assert!(line.len() < LINE_MAX && !line.contains('\n'), "{line}");
}
