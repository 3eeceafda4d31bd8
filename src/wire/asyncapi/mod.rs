//! `docs/asyncapi.yaml`: all that goes over MQTT as an AsyncAPI 3.0 document, for people and for programs that write
//! clients.
//!
//! It is made of the types of the payloads ([`schema`]) and of what [`Topic`](super::Topic) says of quality of
//! service and retaining; a test compares it with the file. **A new topic is one line in [`list`]**: its type derives
//! `JsonSchema`, and the line says what it is for. A new request is one line there, too. Tests fail while a topic on
//! which the daemon speaks, or a filter under which it listens, has no line and does not stand in `WITHOUT_TYPE`.
//!
//! Operations are told from the daemon's side: it sends predictions and receives requests.

mod channel;
mod golden_tests;
mod list;
mod schema;
mod tests;

use serde_json::{Map, Value, json};

use channel::Channel;
use schema::SchemaSet;

/// The whole document as YAML.
fn asyncapi() -> String {
    let about = "# Made from the code: UPDATE_GOLDEN=1 cargo test --lib asyncapi\n".to_owned();
    document().into_iter().fold(about, |text, (section, value)| {
        let section = Value::Object(Map::from_iter([(section.to_owned(), value)]));
        text + &serde_yaml::to_string(&section).expect("the document has text keys")
    })
}

/// The sections of the document, in the order in which people read them.
fn document() -> Vec<(&'static str, Value)> {
    let mut schemas = SchemaSet::default();
    let channels = list::channels(&mut schemas);
    let gather = |part: fn(&Channel) -> (String, Value)| -> Map<String, Value> { channels.iter().map(part).collect() };
    let parameters: Map<String, Value> =
        channels.iter().flat_map(Channel::parameters).map(|name| (name.clone(), list::parameter(&name))).collect();
    vec![
        ("asyncapi", json!("3.0.0")),
        ("info", info()),
        ("defaultContentType", json!("application/json")),
        ("servers", json!({ "broker": server() })),
        ("channels", gather(Channel::described).into()),
        ("operations", gather(Channel::operation).into()),
        ("components", json!({ "parameters": parameters, "schemas": schemas.into_named() })),
    ]
}

fn info() -> Value {
    json!({
        "title": "edgetuned",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "What an edgetuned device says over MQTT 3.1.1, and what it listens to. docs/mqtt.md tells the same \
                        in words, with examples.",
        "license": { "name": "MIT OR Apache-2.0" },
    })
}

/// The broker, as far as the device has a wish.
fn server() -> Value {
    json!({
        "host": "localhost:1883",
        "protocol": "mqtt",
        "protocolVersion": "3.1.1",
        "description": "The broker at mqtt.url.",
        "bindings": { "mqtt": {
            "clientId": "{prefix}-{device}",
            "cleanSession": false,
            "lastWill": { "topic": "{prefix}/{device}/status", "qos": 1, "message": "offline", "retain": true },
            "bindingVersion": "0.2.0",
        }},
    })
}
