//! `docs/asyncapi.yaml`: everything that is exchanged over MQTT as an AsyncAPI 3.0 document, for people and for
//! programs that generate clients.
//!
//! It is made from the payloads' types ([`schema`]), from quality of service and retain flag of each
//! [`Topic`], and from the table of commands; a test compares it with the file. **A new topic is one line in
//! [`channels`]**: its type derives `JsonSchema`, and the line describes it. Tests fail while a topic to which the
//! daemon publishes, or a filter to which it subscribes, has no line. A new request needs nothing here.
//!
//! Operations are described from the daemon's side: it sends predictions and receives requests.

mod channel;
mod golden_tests;
mod schema;
mod tests;

use serde_json::{Map, Value, json};

use super::command::Entry;
use super::home_assistant;
use super::request::Fields;
use super::{
    Alert, AlertId, ChunkRequest, Command, Desired, EventReport, Health, Info, LabelItem, MAX_LABEL_ITEMS, Prediction,
    Reported, Response, ReviewList, Status, TaskState, TaskTopic, Topic, TrainResult, TrainState, UpdateKind,
    UpdateState,
};
use crate::words::TaskId;
use channel::Channel;
pub(super) use schema::{SchemaSet, received};

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
    let channels = channels(&mut schemas);
    let gather = |part: fn(&Channel) -> (String, Value)| -> Map<String, Value> { channels.iter().map(part).collect() };
    let parameters: Map<String, Value> =
        channels.iter().flat_map(Channel::parameters).map(|name| (name.clone(), parameter(&name))).collect();
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
        "description": "What an edgetuned device publishes over MQTT 3.1.1, and what it receives. docs/mqtt.md describes the \
                        same with examples.",
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

/// Every channel; the schemas that they refer to go into `schemas`.
fn channels(schemas: &mut SchemaSet) -> Vec<Channel> {
    let status = [Status::Online, Status::Stopped, Status::Offline].map(Status::as_str);
    let mut channels = vec![
        Channel::sent(&Topic::Status, "Whether the device is connected; its last will is offline.", Value::Null)
            .in_words(&status),
        Channel::sent(&Topic::Info, "Versions, backbone, head and configuration in force.", schemas.of::<Info>()),
        Channel::sent(&Topic::Health, "Health counters: every 30 s and on change.", schemas.of::<Health>()),
        Channel::sent(&Topic::State, "The latest prediction.", schemas.of::<Prediction>()),
        Channel::sent(&Topic::Prediction, "Every prediction.", schemas.of::<Prediction>()),
        Channel::sent(&Topic::TrainState, "Progress of a training.", schemas.of::<TrainState>()),
        Channel::sent(&Topic::TrainResult, "Result of a training.", schemas.of::<TrainResult>()),
        Channel::sent(&Topic::Event, "An event.", schemas.of::<EventReport>()),
        Channel::sent(&Topic::Review, "Images that are worth a label.", schemas.of::<ReviewList>()),
        of_task(TaskTopic::Prediction, "Every prediction of a task.", schemas.of::<Prediction>()),
        of_task(
            TaskTopic::State,
            "The present state of a task, or its latest prediction where it has no state.",
            json!({ "anyOf": [schemas.of::<TaskState>(), schemas.of::<Prediction>()] }),
        ),
        of_task(TaskTopic::TrainState, "Progress of a task's training.", schemas.of::<TrainState>()),
        of_task(TaskTopic::TrainResult, "Result of a task's training.", schemas.of::<TrainResult>()),
        of_task(TaskTopic::Review, "Images that are worth a label of a task.", schemas.of::<ReviewList>()),
        Channel::sent(&Topic::Alert(AlertId::Drift), "A condition that needs a person.", schemas.of::<Alert>())
            .or_empty("The condition is over."),
        Channel::sent(&Topic::Discovery, "The device for Home Assistant.", home_assistant::schema())
            .or_empty("The device is removed."),
        Channel::sent(
            &Topic::ConfigReported,
            "The outcome of the remote settings, and the settings in force.",
            schemas.of::<Reported>(),
        ),
        Channel::received("config/desired", "Remote settings; they replace the previous ones.", received::<Desired>())
            .or_empty("The device's own settings apply again.")
            .retained(),
        Channel::sent(
            &Topic::UpdateState(UpdateKind::Head),
            "The installed version, and the progress of an update.",
            schemas.of::<UpdateState>(),
        ),
        Channel::sent(
            &Topic::UpdateRequest(UpdateKind::Head),
            "Chunks that the device requests.",
            schemas.of::<ChunkRequest>(),
        ),
        Channel::received(
            "update/{kind}/desired",
            "A signed manifest; docs/updates.md describes all of it.",
            manifest(),
        )
        .or_empty("The update in progress is cancelled.")
        .retained(),
        Channel::received("update/{kind}/chunk/{sha256}/{n}", "A part of the file, unencoded.", Value::Null).in_bytes(),
        Channel::received("label", "Labels for images; a list takes effect as a whole or not at all.", labels()),
        Channel::received("homeassistant/status", "Home Assistant connected or disconnected.", Value::Null)
            .in_words(&["online", "offline"])
            .retained(),
    ];
    channels.extend(Command::ALL.iter().flat_map(|command| exchange(schemas, command)));
    channels
}

/// What the daemon says of each task that the configuration names.
fn of_task(topic: TaskTopic, about: &'static str, schema: Value) -> Channel {
    Channel::sent(&Topic::Task(TaskId::default(), topic), about, schema)
}

/// What a parameter of an address may be.
fn parameter(name: &str) -> Value {
    match name {
        "prefix" => json!({ "description": "mqtt.prefix; it may have several levels.", "default": "edgetuned" }),
        "device" => json!({ "description": "device.id: 1 to 64 of a-z, 0-9, _ and -." }),
        "id" => json!({
            "description": "What the alert is about; of a task drift_<task>, labels_<task> or model_<task>, of a source \
                            source_<source>.",
            "examples": AlertId::PLAIN,
        }),
        "task" => json!({ "description": "Name of a task: 1 to 32 of a-z, 0-9, _ and -." }),
        "kind" => json!({ "description": "What is updated.", "enum": UpdateKind::ALL.map(UpdateKind::as_str) }),
        "sha256" => json!({ "description": "SHA-256 of the whole file, in hexadecimal digits." }),
        "n" => json!({ "description": "Number of the chunk, from 0." }),
        other => unreachable!("no address has a parameter {other}"),
    }
}

/// A request and its answer.
fn exchange(schemas: &mut SchemaSet, command: &Entry) -> [Channel; 2] {
    let (arguments, data) = (command.schemas)(schemas);
    let mut request = received::<Fields>();
    if arguments.get("properties").is_some() {
        request = json!({ "allOf": [request, arguments] });
    }
    let response = json!({ "allOf": [schemas.of::<Response>(), {
        "if": { "properties": { "status": { "const": "ok" } } },
        "then": { "properties": { "data": data } },
    }]});
    let topic = Topic::Response(command.name.to_owned());
    [
        Channel::received(&format!("request/{}", command.name), command.about, request)
            .or_empty("The same as {}.")
            .answered_on(&topic.to_string()),
        Channel::sent(&topic, "The answer.", response),
    ]
}

/// What every signed manifest has; those of one kind have more.
fn manifest() -> Value {
    let (whole, time) =
        (json!({ "type": "integer", "minimum": 1 }), json!({ "type": "string", "format": "date-time" }));
    json!({
        "type": "object",
        "required": [
            "v", "kind", "name", "version", "size", "sha256", "chunk_bytes", "created", "expires", "signature"
        ],
        "properties": {
            "v": { "const": 1 },
            "kind": { "enum": UpdateKind::ALL.map(UpdateKind::as_str) },
            "name": { "type": "string", "minLength": 1, "maxLength": 64 },
            "version": whole.clone(), "size": whole.clone(), "chunk_bytes": whole,
            "sha256": { "type": "string", "pattern": "^[0-9a-fA-F]{64}$" },
            "created": time.clone(), "expires": time,
            "signature": { "type": "string", "contentEncoding": "base64" },
        },
    })
}

/// One label or a list of them.
fn labels() -> Value {
    let item = received::<LabelItem>();
    json!({ "oneOf": [item.clone(), { "type": "array", "items": item, "maxItems": MAX_LABEL_ITEMS }] })
}
