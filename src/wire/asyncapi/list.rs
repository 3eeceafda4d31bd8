//! What there is: one line for each topic, one for each request.

use serde_json::{Value, json};

use super::channel::Channel;
use super::schema::{SchemaSet, heard, nothing};
use crate::wire::request::Fields;
use crate::wire::{
    Alert, AlertId, ChunkRequest, Desired, EventReport, Exported, HeadEntry, Health, Info, LabelItem, LabelsTaken,
    MAX_LABEL_ITEMS, Prediction, PredictionBody, Promoted, Reported, Response, ReviewItems, ReviewList, RolledBack,
    SampleEntry, Status, StatusReport, Topic, TrainAccepted, TrainResult, TrainState, UpdateKind, UpdateState,
};
use crate::wire::{command, home_assistant};

/// Every channel; the schemas that they refer to go into `schemas`.
pub(super) fn channels(schemas: &mut SchemaSet) -> Vec<Channel> {
    let status = [Status::Online, Status::Stopped, Status::Offline].map(Status::as_str);
    let mut channels = vec![
        Channel::sent(&Topic::Status, "Whether the device is there; the last will says offline.", Value::Null)
            .in_words(&status),
        Channel::sent(&Topic::Info, "What runs here.", schemas.of::<Info>()),
        Channel::sent(&Topic::Health, "How it goes: every 30 s and on change.", schemas.of::<Health>()),
        Channel::sent(&Topic::State, "The latest prediction.", schemas.of::<Prediction>()),
        Channel::sent(&Topic::Prediction, "Every prediction.", schemas.of::<Prediction>()),
        Channel::sent(&Topic::TrainState, "Where a training is.", schemas.of::<TrainState>()),
        Channel::sent(&Topic::TrainResult, "What a training brought.", schemas.of::<TrainResult>()),
        Channel::sent(&Topic::Event, "What happened.", schemas.of::<EventReport>()),
        Channel::sent(&Topic::Review, "Images that are worth a label.", schemas.of::<ReviewList>()),
        Channel::sent(&Topic::Alert(AlertId::Drift), "What needs a person.", schemas.of::<Alert>())
            .or_empty("It is over."),
        Channel::sent(&Topic::Discovery, "The device for Home Assistant.", home_assistant::schema())
            .or_empty("The device is taken away."),
        Channel::sent(&Topic::ConfigReported, "What became of the settings from afar.", schemas.of::<Reported>()),
        Channel::received("config/desired", "Settings from afar; they replace those before.", heard::<Desired>())
            .or_empty("The device's own settings hold again.")
            .retained(),
        Channel::sent(
            &Topic::UpdateState(UpdateKind::Head),
            "What is installed and under way.",
            schemas.of::<UpdateState>(),
        ),
        Channel::sent(&Topic::UpdateRequest(UpdateKind::Head), "Chunks that are wanted.", schemas.of::<ChunkRequest>()),
        Channel::received("update/{kind}/desired", "A signed manifest; docs/updates.md has all of it.", manifest())
            .or_empty("What is under way is given up.")
            .retained(),
        Channel::received("update/{kind}/chunk/{sha256}/{n}", "A part of the file, as it is.", Value::Null).in_bytes(),
        Channel::received("label", "Labels for images; all of a list count or none.", labels()),
        Channel::received("homeassistant/status", "Home Assistant came or went.", Value::Null)
            .in_words(&["online", "offline"])
            .retained(),
    ];
    for (name, about, arguments, data) in [
        ("train", "Train now; the result comes on train/result.", None, schemas.of::<TrainAccepted>()),
        ("rescan", "List the watched folders again.", None, nothing()),
        ("reload", "Read the configuration again, and take it if it is good.", None, nothing()),
        ("rollback", "Put the head before this one back in service.", None, schemas.of::<RolledBack>()),
        ("promote", "Put a stored head in service.", Some(heard::<command::Promote>()), schemas.of::<Promoted>()),
        (
            "predict",
            "What is said of a stored image now.",
            Some(heard::<command::Predict>()),
            schemas.of::<PredictionBody>(),
        ),
        (
            "samples",
            "Samples in the order of arrival.",
            Some(heard::<command::Samples>()),
            schemas.of::<Vec<SampleEntry>>(),
        ),
        ("heads", "Every head that is kept.", None, schemas.of::<Vec<HeadEntry>>()),
        ("export", "Backbone and head as one ONNX file.", None, schemas.of::<Exported>()),
        (
            "label",
            "Labels, all of them or none, with an answer.",
            Some(heard::<command::Labels>()),
            schemas.of::<LabelsTaken>(),
        ),
        ("status", "How it goes and what serves.", None, schemas.of::<StatusReport>()),
        ("review", "The list that is on review.", None, schemas.of::<ReviewItems>()),
    ] {
        channels.extend(exchange(schemas, name, about, arguments, &data));
    }
    channels
}

/// What a parameter of an address may be.
pub(super) fn parameter(name: &str) -> Value {
    match name {
        "prefix" => json!({ "description": "mqtt.prefix; it may have several levels.", "default": "edgetuned" }),
        "device" => json!({ "description": "device.id: 1 to 64 of a-z, 0-9, _ and -." }),
        "id" => json!({ "description": "What the alert is about.", "enum": AlertId::ALL.map(AlertId::as_str) }),
        "kind" => json!({ "description": "What is updated.", "enum": UpdateKind::ALL.map(UpdateKind::as_str) }),
        "sha256" => json!({ "description": "SHA-256 of the whole file, in hexadecimal digits." }),
        "n" => json!({ "description": "Number of the chunk, from 0." }),
        other => unreachable!("no address has a parameter {other}"),
    }
}

/// A request and its answer. `arguments` is the schema of what it takes beyond `transaction` and `expires`, `data` that
/// of what it answers.
fn exchange(
    schemas: &mut SchemaSet,
    name: &str,
    about: &'static str,
    arguments: Option<Value>,
    data: &Value,
) -> [Channel; 2] {
    let fields = heard::<Fields>();
    let asked = arguments.map_or(fields.clone(), |arguments| json!({ "allOf": [fields, arguments] }));
    let answered = json!({ "allOf": [schemas.of::<Response>(), {
        "if": { "properties": { "status": { "const": "ok" } } },
        "then": { "properties": { "data": data } },
    }]});
    let response = Topic::Response(name.to_owned());
    [
        Channel::received(&format!("request/{name}"), about, asked)
            .or_empty("The same as {}.")
            .answered_on(&response.to_string()),
        Channel::sent(&response, "The answer.", answered),
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
    let item = heard::<LabelItem>();
    json!({ "oneOf": [item.clone(), { "type": "array", "items": item, "maxItems": MAX_LABEL_ITEMS }] })
}
