//! `docs/openapi.json` is what the code gives, and holds together; `tests/wire` validates it.

use std::collections::BTreeSet;

use super::{document, openapi};
use crate::wire::Command;
use crate::wire::golden::{is_kept, references};

#[test]
fn openapi_json_is_the_one_that_the_types_give() {
    is_kept("docs/openapi.json", &openapi(), "openapi");
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "only {} references were found", found.len());
    for reference in &found {
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        assert!(target.is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(&reference.as_str()), "nobody needs {reference}");
    }
}

#[test]
fn every_request_has_its_method_and_every_operation_a_name_of_its_own() {
    let document = document();
    for command in Command::ALL {
        let route = &document["paths"][format!("/api/v1/{}", command.name)];
        assert!(route["post"].is_object(), "{}", command.name);
        assert_eq!(route["get"].is_object(), command.is_gettable(), "{}", command.name);
    }
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|route| route.as_object().unwrap().values());
    let names: Vec<&str> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
}
