//! The files in `config/` say what the code does.

use std::path::Path;

use edgetuned::config::{KEYS, State};

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
        assert!(there, "{}", key.name);
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
    let example = example("watch");
    assert_eq!(good(&example).watch, good("watch: [{path: /srv/camera}]").watch);
    shows_every_key(&example, "watch[].");
}

#[test]
fn the_sources_in_default_yaml_show_every_key_with_its_default() {
    let example = example("sources");
    let [fetched, published] = &good(&example).sources[..] else { panic!("{example}") };
    let plain = "sources:\n- {id: garage, http: 'http://go2rtc:1984/api/frame.jpeg?src=garage'}\n\
                 - {id: driveway, mqtt: frigate/driveway/car/snapshot}";
    assert_eq!([fetched.clone(), published.clone()].to_vec(), good(plain).sources);
    shows_every_key(&example, "sources[].");
}

#[test]
fn the_task_in_default_yaml_shows_every_key_and_states_by_their_defaults() {
    let places = example("watch") + &example("sources");
    let text = places.clone() + &example("tasks");
    let [door] = &good(&text).tasks[..] else { panic!("{text}") };
    let plain = good(&(places + "tasks: [{id: door, state: {}}]"));
    let state = plain.tasks[0].state.clone().unwrap();
    assert_eq!(door.state.clone().map(|shown| State { thresholds: state.thresholds.clone(), ..shown }), Some(state));
    assert_eq!(door.label_from, plain.tasks[0].label_from);
    shows_every_key(&text, "tasks[].");
}

/// The commented example of `list` in default.yaml, without the comments' marks.
fn example(list: &str) -> String {
    let lines = DEFAULT.lines().skip_while(|line| *line != format!("#{list}:"));
    let lines = lines.enumerate().take_while(|(at, line)| *at == 0 || line.starts_with("#  "));
    lines.fold(String::new(), |text, (_, line)| text + &line[1..] + "\n")
}

/// `example` has a value, or keys, for each key below `list`.
fn shows_every_key(example: &str, list: &str) {
    let keys = KEYS.iter().filter_map(|key| key.name.strip_prefix(list));
    let words: Vec<&str> = keys.filter_map(|key| key.rsplit('.').next()).collect();
    assert!(words.len() > 5, "{list}");
    for word in words {
        let is_key = |before: char| before.is_whitespace() || before == '{';
        let found = example.match_indices(&format!("{word}:")).any(|(at, _)| example[..at].ends_with(is_key));
        assert!(found, "{word} in\n{example}");
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
