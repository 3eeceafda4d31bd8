//! The files in `config/` say what the code does.

use std::path::Path;

use edgetuned::config::KEYS;

use crate::schema::schema;
use crate::{good, load, load_text};

const DEFAULT: &str = include_str!("../../config/default.yaml");
const MINIMAL: &str = include_str!("../../config/minimal.yaml");

#[test]
fn default_yaml_has_every_key_and_says_what_the_code_does() {
    let loaded = load_text(DEFAULT).unwrap();
    assert_eq!((loaded.config, loaded.warnings), (load(&[]).unwrap().config, vec![]));
    for key in KEYS.iter().filter(|key| !key.name.contains("[]")) {
        // A key that is there has a line; taking it from the text is noticed by writing it twice.
        let (section, below) = key.name.split_once('.').unwrap_or(("", key.name));
        let word = below.rsplit('.').next().unwrap_or(below);
        let there = written(DEFAULT, section, word);
        assert_eq!(there, !key.is_reserved(), "{}", key.name);
    }
}

/// Whether `word` stands in `section` of a text in which sections begin at the margin and keys are two spaces in.
fn written(text: &str, section: &str, word: &str) -> bool {
    let mut current = "";
    text.lines().any(|line| {
        let name = line.trim_start().split(':').next().unwrap_or_default();
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            current = name;
            return section.is_empty() && name == word;
        }
        current == section && line.starts_with("  ") && name == word
    })
}

#[test]
fn the_watched_folder_in_default_yaml_shows_every_key_with_its_default() {
    let example: String = DEFAULT
        .lines()
        .filter(|line| line.starts_with("#watch") || line.starts_with("#  "))
        .fold(String::new(), |text, line| text + &line[1..] + "\n");
    assert_eq!(good(&example).watch, good("watch: [{path: /srv/camera}]").watch);
    for word in KEYS.iter().filter_map(|key| key.name.strip_prefix("watch[].")) {
        assert!(example.contains(&format!("    {word}: ")), "{word} in\n{example}");
    }
}

#[test]
fn minimal_yaml_watches_a_folder_and_names_a_broker() {
    let loaded = load_text(MINIMAL).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!((loaded.config.watch.len(), loaded.config.mqtt.is_some()), (1, true));
}

#[test]
fn schema_json_is_the_one_that_the_table_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
    let schema = schema();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == schema, "config/schema.json is out of date: run UPDATE_GOLDEN=1 cargo test --test config");
}
