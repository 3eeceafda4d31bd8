//! The table of keys as a JSON Schema, for editors that check while one types.

use edgetuned::config::{KEYS, Key, Kind};
use serde_json::{Map, Value, json};

const DURATION: &str = "^[0-9]+(ms|s|m|h|d)$";

/// `config/schema.json`: a JSON Schema (2020-12) of a configuration file, made from [`KEYS`].
pub fn schema() -> String {
    let mut root = object();
    root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".into(), json!("edgetuned configuration"));
    for key in KEYS {
        place(&mut root, key.name, key);
    }
    format!("{:#}\n", Value::Object(root))
}

fn object() -> Map<String, Value> {
    let Value::Object(object) = json!({ "type": "object", "additionalProperties": false, "properties": {} }) else {
        unreachable!("the literal above is an object")
    };
    object
}

/// Puts `key` at `name` below `schema`, with the objects that lead there.
fn place(schema: &mut Map<String, Value>, name: &str, key: &Key) {
    let (word, rest) = name.split_once('.').map_or((name, None), |(word, rest)| (word, Some(rest)));
    let properties = fields(schema, "properties");
    let Some(rest) = rest else {
        properties.insert(word.to_owned(), key_schema(key));
        if key.is_required() {
            schema.insert("required".into(), json!([word]));
        }
        return;
    };
    if let Some(list) = word.strip_suffix("[]") {
        place(fields(fields(properties, list), "items"), rest, key);
    } else {
        let section = properties.entry(word).or_insert_with(|| {
            let mut section = object();
            // An empty section is one of which everything is commented out.
            section.insert("type".into(), json!(["object", "null"]));
            Value::Object(section)
        });
        place(section.as_object_mut().expect("a section is an object"), rest, key);
    }
}

/// The object in `schema` under `word`; a schema of an object when there is none yet.
fn fields<'a>(schema: &'a mut Map<String, Value>, word: &str) -> &'a mut Map<String, Value> {
    schema.entry(word).or_insert_with(|| Value::Object(object())).as_object_mut().expect("only objects are nested")
}

fn key_schema(key: &Key) -> Value {
    let mut schema = kind_schema(key.kind);
    let fields = schema.as_object_mut().expect("a kind's schema is an object");
    fields.insert("description".into(), json!(key.about));
    if let Some(default) = key.default {
        fields.insert("default".into(), default_value(key.kind, default));
    }
    if key.nullable {
        if let Some(Value::Array(ways)) = fields.get_mut("oneOf") {
            ways.push(json!({ "type": "null" }));
        } else {
            let single = fields["type"].clone();
            fields.insert("type".into(), json!([single, "null"]));
        }
    }
    schema
}

/// The default as JSON: the table's text is JSON but for words and the list of providers.
fn default_value(kind: Kind, default: &str) -> Value {
    match kind {
        Kind::Providers { .. } => json!(["cpu"]),
        _ => serde_json::from_str(default).unwrap_or_else(|_| json!(default)),
    }
}

fn provider_list(max: usize) -> Value {
    let name = json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" });
    json!({ "type": "array", "items": name, "minItems": 1, "maxItems": max, "uniqueItems": true })
}

fn provider_options(max: usize) -> Value {
    let option = json!({ "type": ["string", "number", "boolean"] });
    let library = json!({ "type": "string", "pattern": "^/" });
    let provider = json!({
        "type": ["object", "null"], "properties": { "library": library }, "additionalProperties": option,
        "maxProperties": 65
    });
    json!({ "type": "object", "additionalProperties": provider, "maxProperties": max })
}

fn kind_schema(kind: Kind) -> Value {
    match kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Text => json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
        Kind::Path => json!({ "type": "string", "pattern": "^/" }),
        Kind::Paths { max } => {
            json!({ "type": "array", "items": { "type": "string", "pattern": "^/" }, "maxItems": max })
        }
        Kind::Names { max } => {
            let name = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^/]*$" });
            json!({ "type": "array", "items": name, "maxItems": max })
        }
        Kind::Poll { .. } => {
            json!({ "oneOf": [{ "enum": ["auto", "always", "never"] }, { "type": "string", "pattern": DURATION }] })
        }
        Kind::LabelFrom { max } => {
            let level = json!({ "type": "integer", "minimum": 1, "maximum": max });
            let map = json!({
                "type": "object", "properties": { "folder": level }, "required": ["folder"],
                "additionalProperties": false
            });
            json!({ "oneOf": [{ "enum": ["folder", "none"] }, map] })
        }
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::AutoOrNumber { min, max } => {
            json!({ "oneOf": [{ "const": "auto" }, { "type": "number", "minimum": min, "maximum": max }] })
        }
        Kind::Duration { .. } => json!({ "type": "string", "pattern": DURATION }),
        Kind::Choice { words } => json!({ "enum": words }),
        Kind::Providers { max } => provider_list(max),
        Kind::ProviderOptions { max } => provider_options(max),
        Kind::Cron => json!({ "type": "string" }),
        Kind::BrokerUrl => json!({ "type": "string", "pattern": "^mqtts?://[^@]+$" }),
        Kind::DeviceId => json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,64}$" }),
        Kind::TopicPrefix => json!({ "type": "string", "pattern": "^[^+#/$][^+#]*$" }),
        Kind::Slug => json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,32}$" }),
        Kind::TopicFilter => json!({ "type": "string", "pattern": "^[^+#$][^#]*$", "maxLength": 256 }),
        Kind::HttpUrl => json!({ "type": "string", "pattern": "^https?://[^@/?#]+([/?]|$)", "maxLength": 2048 }),
        Kind::Rate => json!({ "type": "string", "pattern": "^[0-9]+/[0-9]*(ms|s|m|h|d)$" }),
        Kind::Region => {
            let part = json!({ "type": "number", "minimum": 0, "maximum": 1 });
            let edges = json!({ "type": "array", "items": part, "minItems": 4, "maxItems": 4 });
            let corner = json!({ "type": "array", "items": part, "minItems": 2, "maxItems": 2 });
            json!({ "oneOf": [edges, { "type": "array", "items": corner, "minItems": 3, "maxItems": 64 }] })
        }
        Kind::Confirm { .. } => json!({ "type": "string", "pattern": "^ *[0-9]+ +of +[0-9]+ *$" }),
        Kind::Shares { max } => {
            let share = json!({ "type": "number", "minimum": 0, "maximum": 1 });
            json!({ "type": "object", "additionalProperties": share, "maxProperties": max })
        }
        Kind::Section => {
            let mut section = object();
            section.insert("type".into(), json!(["object", "null"]));
            Value::Object(section)
        }
        Kind::Over { section } => json!({ "$ref": format!("#/properties/{section}") }),
        Kind::Items { max, .. } => json!({ "type": "array", "maxItems": max, "items": object() }),
        Kind::Listen => json!({ "type": "string", "pattern": "^[0-9.]+:[0-9]+$|^\\[[0-9A-Fa-f:.%]+\\]:[0-9]+$" }),
        Kind::Hosts { max } => {
            json!({ "type": "array", "items": { "type": "string", "pattern": "^[A-Za-z0-9._-]+$" }, "maxItems": max })
        }
        Kind::Networks { max } => {
            let network = json!({ "type": "string", "pattern": "^[0-9A-Fa-f:.]+(/[0-9]+)?$" });
            json!({ "type": "array", "items": network, "maxItems": max })
        }
    }
}
