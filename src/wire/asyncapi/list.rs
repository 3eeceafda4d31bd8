//! What there is: one line for each topic, one for each request.

use serde_json::{Value, json};

use super::channel::Channel;
use crate::wire::request::Fields;
use crate::wire::schema::{Said, heard, nothing};
use crate::wire::{
    Alert, AlertId, Asked, ChunkRequest, Desired, EventReport, Exported, HeadEntry, Health, Info, LabelItem,
    LabelsTaken, MAX_LABEL_ITEMS, Prediction, Promoted, Reported, Response, ReviewList, RolledBack, SampleEntry,
    Status, StatusReport, Topic, TrainAccepted, TrainResult, TrainState, UpdateKind, UpdateState,
};
use crate::wire::{command, home_assistant, prediction};

/// Every channel; the schemas that they refer to go into `said`.
pub(super) fn channels(said: &mut Said) -> Vec<Channel> {
    let status = [Status::Online, Status::Stopped, Status::Offline].map(Status::as_str);
    let mut channels = vec![
        Channel::said(&Topic::Status, "Whether the device is there; the last will says offline.", Value::Null)
            .in_words(&status),
        Channel::said(&Topic::Info, "What runs here.", said.of::<Info>()),
        Channel::said(&Topic::Health, "How it goes: every 30 s and on change.", said.of::<Health>()),
        Channel::said(&Topic::State, "The latest prediction.", said.of::<Prediction>()),
        Channel::said(&Topic::Prediction, "Every prediction.", said.of::<Prediction>()),
        Channel::said(&Topic::TrainState, "Where a training is.", said.of::<TrainState>()),
        Channel::said(&Topic::TrainResult, "What a training brought.", said.of::<TrainResult>()),
        Channel::said(&Topic::Event, "What happened.", said.of::<EventReport>()),
        Channel::said(&Topic::Review, "Images that are worth a label.", said.of::<ReviewList>()),
        Channel::said(&Topic::Alert(AlertId::Drift), "What needs a person.", said.of::<Alert>())
            .or_empty("It is over."),
        Channel::said(&Topic::Discovery, "The device for Home Assistant.", home_assistant::schema())
            .or_empty("The device is taken away."),
        Channel::said(&Topic::ConfigReported, "What became of the settings from afar.", said.of::<Reported>()),
        Channel::heard("config/desired", "Settings from afar; they replace those before.", heard::<Desired>())
            .or_empty("The device's own settings hold again.")
            .retained(),
        Channel::said(
            &Topic::UpdateState(UpdateKind::Head),
            "What is installed and under way.",
            said.of::<UpdateState>(),
        ),
        Channel::said(&Topic::UpdateRequest(UpdateKind::Head), "Chunks that are wanted.", said.of::<ChunkRequest>()),
        Channel::heard("update/{kind}/desired", "A signed manifest; docs/updates.md has all of it.", manifest())
            .or_empty("What is under way is given up.")
            .retained(),
        Channel::heard("update/{kind}/chunk/{sha256}/{n}", "A part of the file, as it is.", Value::Null).in_bytes(),
        Channel::heard("label", "Labels for images; all of a list count or none.", labels()),
        Channel::heard("homeassistant/status", "Home Assistant came or went.", Value::Null)
            .in_words(&["online", "offline"])
            .retained(),
    ];
    for (name, about, arguments, data) in [
        ("train", "Train now; the result comes on train/result.", None, said.of::<TrainAccepted>()),
        ("rescan", "List the watched folders again.", None, nothing()),
        ("reload", "Read the configuration again, and take it if it is good.", None, nothing()),
        ("rollback", "Put the head before this one back in service.", None, said.of::<RolledBack>()),
        ("promote", "Put a stored head in service.", Some(heard::<command::Promote>()), said.of::<Promoted>()),
        (
            "predict",
            "What is said of a stored image now.",
            Some(heard::<command::Predict>()),
            said.of::<prediction::Said>(),
        ),
        (
            "samples",
            "Samples in the order of arrival.",
            Some(heard::<command::Samples>()),
            said.of::<Vec<SampleEntry>>(),
        ),
        ("heads", "Every head that is kept.", None, said.of::<Vec<HeadEntry>>()),
        ("export", "Backbone and head as one ONNX file.", None, said.of::<Exported>()),
        (
            "label",
            "Labels, all of them or none, with an answer.",
            Some(heard::<command::Labels>()),
            said.of::<LabelsTaken>(),
        ),
        ("status", "How it goes and what serves.", None, said.of::<StatusReport>()),
        ("review", "The list that is on review.", None, said.of::<Asked>()),
    ] {
        channels.extend(exchange(said, name, about, arguments, &data));
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
fn exchange(said: &mut Said, name: &str, about: &'static str, arguments: Option<Value>, data: &Value) -> [Channel; 2] {
    let fields = heard::<Fields>();
    let asked = arguments.map_or(fields.clone(), |arguments| json!({ "allOf": [fields, arguments] }));
    let answered = json!({ "allOf": [said.of::<Response>(), {
        "if": { "properties": { "status": { "const": "ok" } } },
        "then": { "properties": { "data": data } },
    }]});
    let response = Topic::Response(name.to_owned());
    [
        Channel::heard(&format!("request/{name}"), about, asked)
            .or_empty("The same as {}.")
            .answered_on(&response.to_string()),
        Channel::said(&response, "The answer.", answered),
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
