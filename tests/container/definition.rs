//! What the add-on's supervisor demands of its files, as <https://developers.home-assistant.io/docs/apps/configuration> has it.

use std::collections::BTreeSet;

use edgetuned::config::{self, Layer, Source};
use serde_json::{Map, Value, json};

use crate::packaged::{read, root};
use crate::yaml;

const FOLDER: &str = "packaging/home-assistant/edgetuned";

fn definition() -> Value {
    yaml(&format!("{FOLDER}/config.yaml"))
}

/// Whether the supervisor knows this type of an option; a `?` at its end makes the option optional.
fn is_type(text: &str) -> bool {
    let text = text.strip_suffix('?').unwrap_or(text);
    let (name, argument) = match text.split_once('(') {
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(argument) => (name, Some(argument)),
            None => return false,
        },
        None => (text, None),
    };
    let is_number = |text: &str| text.is_empty() || text.parse::<f64>().is_ok();
    match (name, argument) {
        ("bool" | "email" | "url" | "port" | "str" | "password" | "int" | "float", None) => true,
        ("str" | "password" | "int" | "float", Some(range)) => {
            range.split_once(',').is_some_and(|(low, high)| is_number(low) && is_number(high))
        }
        ("match" | "list", Some(argument)) => !argument.is_empty(),
        _ => false,
    }
}

/// The types in a schema, with the names of their keys.
fn types(schema: &Map<String, Value>) -> Vec<(String, String)> {
    let of = |(key, value): (&String, &Value)| match value {
        Value::String(text) => vec![(key.clone(), text.clone())],
        Value::Array(items) => match &items[..] {
            [Value::String(text)] => vec![(key.clone(), text.clone())],
            [Value::Object(fields)] => types(fields),
            _ => panic!("{key}: a list has one type"),
        },
        other => panic!("{key}: {other}"),
    };
    schema.iter().flat_map(of).collect()
}

/// The choices of a type `list(…)`.
fn choices(text: &str) -> Vec<&str> {
    text.trim_end_matches('?').strip_prefix("list(").unwrap().strip_suffix(')').unwrap().split('|').collect()
}

#[test]
fn the_definition_has_every_key_that_is_required_and_the_version_of_the_program() {
    let definition = definition();
    for key in ["name", "version", "slug", "description", "arch"] {
        assert!(definition.get(key).is_some(), "{key} is required");
    }
    assert_eq!(definition["version"], env!("CARGO_PKG_VERSION"));
    let slug = definition["slug"].as_str().unwrap();
    assert!(slug.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
    assert_eq!(definition["arch"], json!(["aarch64", "amd64"]), "as there are packages");
    assert_eq!(definition["services"], json!(["mqtt:want"]));
    for mapped in definition["map"].as_array().unwrap() {
        assert!(["media", "share", "addon_config"].contains(&mapped["type"].as_str().unwrap()), "{mapped}");
        assert_eq!(mapped["read_only"], true, "files of others are never changed");
    }
    for key in ["privileged", "full_access", "host_network", "docker_api", "ports", "hassio_role"] {
        assert!(definition.get(key).is_none(), "{key} gives the add-on more than it needs");
    }
    let repository = yaml("packaging/home-assistant/repository.yaml");
    assert!(repository["name"].is_string());
}

#[test]
fn every_option_has_a_type_that_is_known_and_a_default_unless_it_is_optional() {
    let definition = definition();
    let (options, schema) = (definition["options"].as_object().unwrap(), definition["schema"].as_object().unwrap());
    for (key, text) in types(schema) {
        assert!(is_type(&text), "{key}: {text} is no type");
    }
    for (key, value) in schema {
        let is_optional = value.as_str().is_some_and(|text| text.ends_with('?'));
        assert_eq!(
            options.contains_key(key),
            !is_optional,
            "{key}: with a default it is required, without it is optional"
        );
    }
    assert!(options.keys().all(|key| schema.contains_key(key)));
    for wrong in ["string", "int(1)", "list()", "str(a,b)", "match(x"] {
        assert!(!is_type(wrong), "{wrong}");
    }
}

#[test]
fn every_option_has_a_name_in_english_and_no_other_has() {
    fn compare(schema: &Map<String, Value>, names: &Map<String, Value>, at: &str) {
        let [asked, found] = [schema, names].map(|map| map.keys().collect::<BTreeSet<_>>());
        assert_eq!(asked, found, "{at}");
        for (key, value) in schema {
            assert!(names[key]["name"].is_string() && names[key]["description"].is_string(), "{at}.{key}");
            if let Some(fields) = value.get(0).and_then(Value::as_object) {
                compare(fields, names[key]["fields"].as_object().unwrap(), key);
            }
        }
    }
    let (schema, english) = (definition()["schema"].clone(), yaml(&format!("{FOLDER}/translations/en.yaml")));
    compare(schema.as_object().unwrap(), english["configuration"].as_object().unwrap(), "configuration");
}

#[test]
fn choices_are_those_of_the_program() {
    let definition = definition();
    let schema = &definition["schema"];
    let good = |text: String| {
        let layer = Layer { name: "options".into(), source: Source::Yaml(text.clone()) };
        assert!(config::load(&[layer], "home").is_ok(), "{text}");
    };
    for choice in choices(schema["folders"][0]["label_from"].as_str().unwrap()) {
        good(format!("watch: [{{ path: /media, label_from: {choice} }}]"));
    }
    for choice in choices(schema["sources"][0]["keep"].as_str().unwrap()) {
        good(format!("sources: [{{ id: garage, keep: {choice} }}]"));
    }
    for model in choices(schema["backbone"].as_str().unwrap()) {
        assert!(root().join(format!("models/{model}.yaml")).exists(), "{model} is no backbone of the package");
    }
}

#[test]
fn ingress_and_watchdog_ask_where_the_proxy_listens() {
    let definition = definition();
    let port = &definition["ingress_port"];
    assert_eq!((&definition["ingress"], port.is_u64()), (&json!(true), true));
    assert_eq!(definition["watchdog"], format!("http://[HOST]:{port}/healthz"));
    let proxy = read(&format!("{FOLDER}/ingress.conf"));
    assert!(proxy.contains(&format!("listen {port};")));
    // The only address that ingress comes from.
    assert!(proxy.contains("allow 172.30.32.2;\n        deny all;"), "{proxy}");
    let icon = definition["panel_icon"].as_str().unwrap();
    assert!(icon.starts_with("mdi:"), "{icon}");
}

#[test]
fn its_pages_are_there_and_its_changelog_is_the_programs() {
    for page in ["README.md", "DOCS.md"] {
        assert!(read(&format!("{FOLDER}/{page}")).starts_with("# edgetuned\n"), "{page}");
    }
    assert_eq!(read(&format!("{FOLDER}/CHANGELOG.md")), read("CHANGELOG.md"));
    let docs = read(&format!("{FOLDER}/DOCS.md"));
    for option in definition()["schema"].as_object().unwrap().keys() {
        assert!(docs.contains(&format!("`{option}`")), "DOCS.md says nothing of {option}");
    }
}
