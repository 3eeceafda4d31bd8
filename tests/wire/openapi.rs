//! `docs/openapi.json` is an OpenAPI 3.1 document, by the official JSON Schema of such documents.

use std::fs;

use serde_json::{Value, json};

use crate::root;
use crate::wheels::text_of;

/// The wheel that carries the schema, and its place there.
const WHEEL: [&str; 2] =
    ["openapi_spec_validator-0.9.0-py3-none-any.whl", "openapi_spec_validator/resources/schemas/v3.1/schema.json"];

#[test]
fn the_official_schema_accepts_the_document_and_no_broken_one() {
    let Some(official) = text_of(WHEEL[0], WHEEL[1]) else { return };
    let validator = jsonschema::validator_for(&serde_json::from_str(&official).unwrap()).unwrap();
    let faults = |document: &Value| -> Vec<String> {
        validator.iter_errors(document).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
    };
    let document: Value = serde_json::from_str(&fs::read_to_string(root().join("docs/openapi.json")).unwrap()).unwrap();
    assert_eq!(faults(&document), Vec::<String>::new());
    for (pointer, broken) in [
        ("/openapi", json!("2.0")),
        ("/paths/~1api~1v1~1index/get/responses/200/description", json!(7)),
        ("/paths/~1api~1v1~1index/get/parameters/0/in", json!("body")),
        ("/paths/~1api~1v1~1label/post/requestBody/content", Value::Null),
        ("/components/securitySchemes/bearer/type", json!("token")),
        ("/info/title", Value::Null),
    ] {
        let mut document = document.clone();
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is there")) = broken;
        assert!(!faults(&document).is_empty(), "{pointer}");
    }
}
