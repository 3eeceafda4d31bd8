//! JSON Schemas of payloads, made from the types that write and read them.
//!
//! They are JSON Schema 2020-12, and use only keywords that draft-07 has with the same meaning, since AsyncAPI reads
//! schemas as that one. Bounds, patterns and what may be missing or null are attributes of the fields, so a schema
//! cannot forget a field. Objects are open: readers ignore fields that they do not know.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// Where the named schemas are in a document.
const PLACE: &str = "/components/schemas";

/// Schemas of what is sent, each once under its type's name.
#[derive(Debug)]
pub struct SchemaSet {
    generator: SchemaGenerator,
}

impl Default for SchemaSet {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        Self { generator: settings.with(|settings| settings.definitions_path = PLACE.into()).into_generator() }
    }
}

impl SchemaSet {
    /// The schema of a `T` as it is written: a reference to its name.
    pub fn of<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// All schemas that were referred to, by name.
    pub fn into_named(mut self) -> Map<String, Value> {
        let named = self.generator.take_definitions(true);
        named.into_iter().map(|(name, schema)| (name, in_plain_words(schema))).collect()
    }
}

/// The schema of a `T` that is received, without references.
pub fn received<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = in_plain_words(settings.into_generator().into_root_schema_for::<T>().to_value());
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("title");
    }
    schema
}

/// Removes the links of doc comments from descriptions.
fn in_plain_words(schema: Value) -> Value {
    let Ok(mut schema) = Schema::try_from(schema) else { return Value::Null };
    let mut unlinked = RecursiveTransform(|schema: &mut Schema| {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
        }
    });
    unlinked.transform(&mut schema);
    schema.to_value()
}
