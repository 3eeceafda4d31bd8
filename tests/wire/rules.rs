//! What Home Assistant asks of a device's discovery document, as tables.
//!
//! They were read from Home Assistant's own schemas, in `homeassistant/components/mqtt/` of its repository
//! home-assistant/core: `schemas.py` (device, origin, availability, what all entities share), `config.py` (topics and
//! templates), `discovery.py` (the topic), `abbreviations.py`, `sensor.py`, `binary_sensor.py`, `button.py`, `update.py`,
//! `event.py` and `select.py`. The device classes are a part of those in `components/sensor/const.py` and its like. Home Assistant
//! itself drops keys that it does not know without a word; here they are faults, since a misspelt key has no effect.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A platform, the keys that it needs, and those that it may have beside [`SHARED`].
const PLATFORMS: [(&str, &[&str], &[&str]); 6] = [
    (
        "sensor",
        &["state_topic"],
        &[
            "value_template",
            "device_class",
            "expire_after",
            "force_update",
            "last_reset_value_template",
            "options",
            "suggested_display_precision",
            "state_class",
            "unit_of_measurement",
        ],
    ),
    (
        "binary_sensor",
        &["state_topic"],
        &["value_template", "device_class", "expire_after", "force_update", "off_delay", "payload_off", "payload_on"],
    ),
    ("button", &["command_topic"], &["command_template", "device_class", "payload_press", "retain"]),
    (
        "update",
        &["state_topic"],
        &[
            "value_template",
            "command_topic",
            "device_class",
            "display_precision",
            "latest_version_template",
            "latest_version_topic",
            "payload_install",
            "release_summary",
            "release_url",
            "retain",
            "title",
        ],
    ),
    ("event", &["state_topic", "event_types"], &["value_template", "device_class"]),
    (
        "select",
        &["command_topic", "options"],
        &["command_template", "optimistic", "retain", "state_topic", "value_template"],
    ),
];

/// Keys of every entity. In a device's document each needs a unique id.
const SHARED: [&str; 18] = [
    "p",
    "platform",
    "unique_id",
    "name",
    "qos",
    "encoding",
    "availability",
    "availability_mode",
    "availability_topic",
    "availability_template",
    "payload_available",
    "payload_not_available",
    "enabled_by_default",
    "entity_category",
    "entity_picture",
    "icon",
    "json_attributes_topic",
    "json_attributes_template",
];

const DOCUMENT: [&str; 15] = [
    "dev",
    "device",
    "o",
    "origin",
    "cmps",
    "components",
    "availability",
    "availability_mode",
    "availability_topic",
    "availability_template",
    "payload_available",
    "payload_not_available",
    "state_topic",
    "command_topic",
    "encoding",
];

const DEVICE: [&str; 22] = [
    "identifiers",
    "ids",
    "connections",
    "cns",
    "manufacturer",
    "mf",
    "model",
    "mdl",
    "model_id",
    "mdl_id",
    "name",
    "hw_version",
    "hw",
    "serial_number",
    "sn",
    "sw_version",
    "sw",
    "via_device",
    "suggested_area",
    "sa",
    "configuration_url",
    "cu",
];

const ORIGIN: [&str; 5] = ["name", "sw_version", "sw", "support_url", "url"];

const AVAILABILITY: [&str; 4] = ["topic", "payload_available", "payload_not_available", "value_template"];

/// Classes of sensors with the units that they may have; those without units are no measurements.
const SENSOR_CLASSES: [(&str, &[&str]); 6] = [
    ("temperature", &["°C", "°F", "K"]),
    ("data_size", &["bit", "kbit", "Mbit", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB"]),
    ("duration", &["d", "h", "min", "s", "ms"]),
    ("humidity", &["%"]),
    ("timestamp", &[]),
    ("enum", &[]),
];

const BINARY_SENSOR_CLASSES: [&str; 5] = ["problem", "connectivity", "running", "update", "heat"];
const BUTTON_CLASSES: [&str; 3] = ["identify", "restart", "update"];
const STATE_CLASSES: [&str; 4] = ["measurement", "measurement_angle", "total", "total_increasing"];

/// Everything that is wrong with the document `text` on `topic`; empty when Home Assistant takes it as it is meant.
pub fn faults(topic: &str, document: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let id = topic.strip_prefix("homeassistant/device/").and_then(|rest| rest.strip_suffix("/config"));
    let fits = |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !id.is_some_and(fits) {
        faults.push(format!("{topic} is no topic of a device's document"));
    }
    let empty = Map::new();
    let object = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let part = |long: &str, short: &str| object(document.get(short).or(document.get(long)));
    let keys = |place: &str, value: &Map<String, Value>, known: &[&str], faults: &mut Vec<String>| {
        let odd = value.keys().filter(|key| !known.contains(&key.as_str()));
        faults.extend(odd.map(|key| format!("{place}: nobody knows '{key}'")));
    };
    keys("document", document.as_object().unwrap_or(&empty), &DOCUMENT, &mut faults);

    let (device, origin, components) = (part("device", "dev"), part("origin", "o"), part("components", "cmps"));
    keys("device", &device, &DEVICE, &mut faults);
    keys("origin", &origin, &ORIGIN, &mut faults);
    let named = ["identifiers", "ids", "connections", "cns"].into_iter().filter_map(|key| device.get(key)?.as_array());
    if named.map(Vec::len).sum::<usize>() == 0 {
        faults.push("device: nothing identifies it".to_owned());
    }
    if !origin.get("name").is_some_and(Value::is_string) {
        faults.push("origin: it has no name".to_owned());
    }
    if components.is_empty() {
        faults.push("document: it has no components".to_owned());
    }
    for source in document.get("availability").and_then(Value::as_array).into_iter().flatten() {
        let source = object(Some(source));
        keys("availability", &source, &AVAILABILITY, &mut faults);
        check_topic("availability", source.get("topic"), &mut faults);
        check_template("availability", source.get("value_template"), &mut faults);
    }
    let mut ids = BTreeSet::new();
    for (key, component) in &components {
        let component = object(Some(component));
        check_component(key, &component, &mut faults);
        if let Some(id) = component.get("unique_id").and_then(Value::as_str)
            && !ids.insert(id.to_owned())
        {
            faults.push(format!("{key}: another one has the unique_id '{id}'"));
        }
    }
    faults
}

fn check_component(key: &str, component: &Map<String, Value>, faults: &mut Vec<String>) {
    let text = |name: &str| component.get(name).and_then(Value::as_str);
    let platform = text("p").or(text("platform")).unwrap_or_default();
    let Some((_, needed, allowed)) = PLATFORMS.iter().find(|(name, ..)| *name == platform) else {
        faults.push(format!("{key}: there is no platform '{platform}'"));
        return;
    };
    if component.len() == 1 {
        // An entity that is to go.
        return;
    }
    let missing = needed.iter().chain(&["unique_id"]).filter(|name| !component.contains_key(**name));
    faults.extend(missing.map(|name| format!("{key}: it has no {name}")));
    let known = |name: &str| needed.contains(&name) || allowed.contains(&name) || SHARED.contains(&name);
    let odd = component.keys().filter(|name| !known(name));
    faults.extend(odd.map(|name| format!("{key}: a {platform} has no '{name}'")));
    for (name, value) in component {
        let fits = match name.as_str() {
            "qos" => value.as_u64().is_some_and(|qos| qos <= 2),
            "expire_after" | "suggested_display_precision" | "off_delay" => value.is_u64(),
            "retain" | "force_update" | "enabled_by_default" | "optimistic" => value.is_boolean(),
            "event_types" | "options" => value.as_array().is_some_and(|words| {
                let distinct: BTreeSet<&str> = words.iter().filter_map(Value::as_str).collect();
                !words.is_empty() && distinct.len() == words.len()
            }),
            "entity_category" => ["diagnostic", "config"].iter().any(|word| value == word),
            "state_class" => STATE_CLASSES.iter().any(|word| value == word),
            "availability" => value.is_array(),
            _ => value.as_str().is_some_and(|text| !text.is_empty()),
        };
        if !fits {
            faults.push(format!("{key}: {name} cannot be {value}"));
        }
        match name.as_str() {
            "json_attributes_topic" => check_filter(key, value, faults),
            name if name.ends_with("_topic") => check_topic(key, Some(value), faults),
            _ => {}
        }
        if name.ends_with("_template") {
            check_template(key, Some(value), faults);
        }
    }
    check_classes(key, platform, component, faults);
}

fn check_classes(key: &str, platform: &str, component: &Map<String, Value>, faults: &mut Vec<String>) {
    let text = |name: &str| component.get(name).and_then(Value::as_str);
    let (class, unit) = (text("device_class"), text("unit_of_measurement"));
    match (platform, class) {
        ("sensor", Some(class)) => match SENSOR_CLASSES.iter().find(|(name, _)| *name == class) {
            None => faults.push(format!("{key}: there is no sensor of class '{class}'")),
            Some((_, [])) if unit.is_some() || text("state_class").is_some() => {
                faults.push(format!("{key}: a {class} is no measurement"));
            }
            Some((_, [])) => {}
            Some((_, units)) if !unit.is_some_and(|unit| units.contains(&unit)) => {
                faults.push(format!("{key}: a {class} is not in {unit:?}"));
            }
            Some(_) => {}
        },
        ("binary_sensor", Some(class)) if !BINARY_SENSOR_CLASSES.contains(&class) => {
            faults.push(format!("{key}: there is no binary sensor of class '{class}'"));
        }
        ("button", Some(class)) if !BUTTON_CLASSES.contains(&class) => {
            faults.push(format!("{key}: there is no button of class '{class}'"));
        }
        _ => {}
    }
    if platform == "sensor" && component.contains_key("options") != (class == Some("enum")) {
        faults.push(format!("{key}: options belong to an enum, and an enum has some"));
    }
    if platform.ends_with("sensor") && text("entity_category") == Some("config") {
        faults.push(format!("{key}: what cannot be set is no configuration"));
    }
}

/// A topic that names one topic: what is written here is nowhere a filter.
fn check_topic(place: &str, topic: Option<&Value>, faults: &mut Vec<String>) {
    let topic = topic.and_then(Value::as_str).unwrap_or_default();
    if topic.is_empty() || topic.starts_with('/') || topic.contains(['+', '#', '\0', '~']) {
        faults.push(format!("{place}: '{topic}' is no topic"));
    }
}

/// A topic, or a filter of topics: Home Assistant subscribes to it as it is.
fn check_filter(place: &str, filter: &Value, faults: &mut Vec<String>) {
    let levels = filter.as_str().unwrap_or_default().split('/');
    let plain: Vec<_> = levels.map(|level| if level == "+" { "level" } else { level }).collect();
    check_topic(place, Some(&plain.join("/").into()), faults);
}

fn check_template(place: &str, template: Option<&Value>, faults: &mut Vec<String>) {
    let template = template.and_then(Value::as_str).unwrap_or_default();
    let count = |text: &str| template.matches(text).count();
    if count("{{") == 0 || count("{{") != count("}}") || count("{%") != count("%}") {
        faults.push(format!("{place}: '{template}' is no template"));
    }
}
