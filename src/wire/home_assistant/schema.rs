//! The schema of the document for AsyncAPI.

use serde_json::{Map, Value, json};

/// The document's JSON Schema, as far as it is this program's and not Home Assistant's.
pub fn schema() -> Value {
    let texts = |names: &[&str]| {
        let fields: Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
        json!({ "type": "object", "properties": fields, "required": names })
    };
    let mut device = texts(&["name", "manufacturer", "model", "sw_version"]);
    device["properties"]["identifiers"] = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
    let mut component = texts(&["p", "unique_id", "name"]);
    component["properties"]["p"]["enum"] = json!(["sensor", "binary_sensor", "button", "select", "update", "event"]);
    // One that is to go has nothing else.
    component["required"] = json!(["p"]);
    let availability = texts(&["topic", "payload_available", "payload_not_available", "value_template"]);
    json!({
        "type": "object",
        "description": "Home Assistant's device discovery; without the envelope of other messages.",
        "properties": {
            "dev": device,
            "o": texts(&["name", "sw"]),
            "availability": { "type": "array", "items": availability, "minItems": 1 },
            "cmps": { "type": "object", "additionalProperties": component, "minProperties": 1 },
        },
        "required": ["dev", "o", "availability", "cmps"],
    })
}
