//! `docs/asyncapi.yaml` is what the code gives, and is an AsyncAPI 3.0 document.
//!
//! It is validated with the official JSON Schema; `tests/data/asyncapi.md` says where that is from.

use std::fs;

use serde_json::{Value, json};

use super::asyncapi;
use crate::wire::golden::{is_kept, references, root};

fn document() -> Value {
    serde_yaml::from_str(&asyncapi()).unwrap()
}

/// What the official schema says against `document`.
fn faults(document: &Value) -> Vec<String> {
    let official = fs::read_to_string(root().join("tests/data/asyncapi-3.0.0.json")).unwrap();
    let official = serde_json::from_str(&official).unwrap();
    let validator = jsonschema::draft7::new(&official).unwrap();
    validator.iter_errors(document).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
}

#[test]
fn asyncapi_yaml_is_the_one_that_the_types_give() {
    is_kept("docs/asyncapi.yaml", &asyncapi(), "asyncapi");
}

#[test]
fn the_official_schema_of_asyncapi_accepts_the_document_and_no_broken_one() {
    let document = document();
    assert_eq!(faults(&document), Vec::<String>::new());
    for (pointer, broken) in [
        ("/asyncapi", json!("2.6.0")),
        ("/channels/prediction/messages/prediction/payload/$ref", json!(7)),
        ("/operations/prediction/action", json!("publish")),
        ("/operations/requestTrain/reply", json!("response")),
        ("/operations/health/bindings/mqtt/qos", json!(3)),
        ("/components/schemas/Prediction/type", json!("thing")),
        ("/servers/broker/host", Value::Null),
    ] {
        let mut document = document.clone();
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is there")) = broken;
        assert!(!faults(&document).is_empty(), "{pointer}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_part_is_used() {
    let document = document();
    let mut references_found = Vec::new();
    references(&document, &mut references_found);
    assert!(references_found.len() > 50, "only {} references were found", references_found.len());
    for reference in &references_found {
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        assert!(target.is_some(), "{reference} leads nowhere");
    }
    for kind in ["schemas", "parameters"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(references_found.contains(&reference.as_str()), "nobody needs {reference}");
        }
    }
}
