//! `docs/openapi.json`: every route of socket and door as an OpenAPI 3.1 document, for people and for programs that
//! generate clients. The daemon serves the same file.
//!
//! It is made from the types of arguments and answers and from the table of commands, as [`super::asyncapi`] is; a test
//! compares it with the file. **A new route is one entry in [`paths`]**; a new request needs nothing here.

mod golden_tests;
mod operation;

use serde_json::{Map, Value, json};

use super::asyncapi::{SchemaSet, received};
use super::command::Entry;
use super::request::Fields;
use super::views::{
    Confusion, DEFAULT_NEIGHBOURS, IndexData, MAX_EVENTS, MAX_NEIGHBOURS, MAX_TRAININGS, MapPoint, Neighbour,
};
use super::{Command, EventReport, Failure, Response, TrainResult};
use operation::{Operation, query};

/// The document, as the file has it: a path and a component a line, so that a change shows where it is and the daemon
/// carries no spaces.
fn openapi() -> String {
    lines(&document(), 3) + "\n"
}

/// JSON with each entry of the outer `levels` of objects on a line of its own.
fn lines(value: &Value, levels: usize) -> String {
    match value {
        Value::Object(entries) if levels > 0 && !entries.is_empty() => {
            let entry =
                |(key, value): (&String, &Value)| format!("{}:{}", Value::from(key.as_str()), lines(value, levels - 1));
            format!("{{\n{}\n}}", entries.iter().map(entry).collect::<Vec<_>>().join(",\n"))
        }
        other => other.to_string(),
    }
}

fn document() -> Value {
    let mut schemas = SchemaSet::default();
    let paths = paths(&mut schemas);
    let failure = schemas.of::<Failure>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "edgetuned",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What an edgetuned device answers over HTTP, at its Unix socket and where http.listen opens a \
                            door. docs/http.md says who may do what.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "../..", "description": "The device, below whatever prefix a proxy gives it." }],
        "security": [{ "bearer": [] }, {}],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "The token of http.token_file. A door without one, which is on loopback, asks for none, nor does \
                                the socket; a browser may have a session from /login in its place.",
            }},
            "responses": { "Error": {
                "description": "Why not, with the remedy. Answers of requests have an envelope, too.",
                "content": { "application/json": { "schema": {
                    "type": "object",
                    "required": ["status", "error"],
                    "properties": { "status": { "const": "error" }, "error": { "anyOf": [failure, {
                        "type": "object",
                        "description": "Where access is refused.",
                        "required": ["code", "message"],
                        "properties": {
                            "code": { "enum": ["forbidden", "unauthorized"] },
                            "message": { "type": "string" },
                        },
                    }]}},
                }}},
            }},
            "schemas": schemas.into_named(),
        },
    })
}

/// Every route; the schemas that they refer to go into `schemas`.
fn paths(schemas: &mut SchemaSet) -> Value {
    let mut paths = Map::new();
    let mut add = |path: &str, method: &str, operation: Operation| {
        let described = operation.described(path, method);
        paths.entry(path).or_insert_with(|| json!({}))[method] = described;
    };
    for command in Command::ALL {
        let (arguments, data) = (command.schemas)(schemas);
        let response = answered(schemas, &data);
        let path = format!("/api/v1/{}", command.name);
        if command.is_gettable() {
            add(&path, "get", Operation::new(command.about).asks(&arguments).asks(&task()).json(&response));
        }
        add(&path, "post", Operation::new(command.about).takes(&request(command, &arguments)).json(&response));
    }
    for (path, operation) in views(schemas) {
        add(path, "get", operation);
    }
    let picture =
        |about| Operation::new(about).bytes("image/jpeg").fails("404", "Nothing has such a picture any more.");
    add("/api/v1/thumbnails/{image}", "get", picture("A sample in small, at most 160 pixels."));
    add(
        "/api/v1/images/{image}",
        "get",
        picture("A sample at most 1,280 pixels large, without what its file says beside the pixels."),
    );
    let posted = Operation::new("A picture of a source.")
        .asks(&query("source", "The source, as the configuration names it.", &json!({ "type": "string" }), true))
        .asks(&query(
            "wait",
            "Whether to answer with the prediction.",
            &json!({ "type": "boolean", "default": false }),
            false,
        ))
        .takes_bytes(&["application/octet-stream", "image/*"])
        .json(&json!({ "type": "object", "required": ["status"], "properties": { "status": { "const": "ok" } } }))
        .also("202", "It is taken; the answer has its name alone.");
    add("/api/v1/image", "post", posted);
    add(
        "/api/v1/watch",
        "get",
        Operation::new("Every message of the daemon, as server-sent events.").text("text/event-stream"),
    );
    add("/metrics", "get", Operation::new("Figures for Prometheus.").text("text/plain"));
    add("/", "get", Operation::new("The page.").text("text/html"));
    let document = json!({ "type": "object", "required": ["openapi", "paths"] });
    add("/api/v1/openapi.json", "get", Operation::new("This document.").json(&document));
    let form = json!({ "type": "object", "required": ["token"], "properties": { "token": { "type": "string" } } });
    add("/login", "get", Operation::new("The form to sign in, at a door.").open().text("text/html"));
    let sign_in = Operation::new("Signs in, at a door: sets the cookie of a session.").open().takes_form(&form);
    let sign_in = sign_in.good("303", "The session began.").also("401", "The token is wrong; the form, again.");
    let sign_in = sign_in.fails("400", "There is no token in the form.").fails("415", "The body is no form.");
    add("/login", "post", sign_in);
    add("/logout", "post", Operation::new("Ends the session, at a door.").good("204", "It ended."));
    add("/healthz", "get", Operation::new("Whether the process answers.").open().text("text/plain"));
    let ready = Operation::new("Whether the daemon does its work.").open().text("text/plain");
    add("/readyz", "get", ready.fails("503", "It does not, for the reason in the text."));
    Value::Object(paths)
}

/// What is read beside the requests.
fn views(schemas: &mut SchemaSet) -> Vec<(&'static str, Operation)> {
    let number = |name: &str, about: &str, most: usize, default: usize| {
        query(name, about, &json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default }), false)
    };
    let octets = "application/octet-stream";
    let of_task = |about| Operation::new(about).asks(&task());
    let columns = "Columns of little-endian numbers: the length of the header as u32; the header, JSON, with the columns' names, \
                   types and offsets from its end; then the columns. docs/http.md says more.";
    vec![
        (
            "/api/v1/index",
            of_task("Every sample of a task, in columns.")
                .json(&ok(&schemas.of::<IndexData<'_>>()))
                .or_bytes(octets, columns)
                .revised(),
        ),
        (
            "/api/v1/map",
            of_task("Every sample of a task on a plane, similar ones close together: principal components of the embeddings.")
                .json(&ok(&list_of(&schemas.of::<MapPoint>())))
                .or_bytes(octets, columns)
                .revised(),
        ),
        (
            "/api/v1/neighbours/{image}",
            of_task("The labelled samples that are most like an image, nearest first.")
                .asks(&number("k", "How many.", MAX_NEIGHBOURS, DEFAULT_NEIGHBOURS))
                .json(&ok(&list_of(&schemas.of::<Neighbour>())))
                .fails("404", "The task has no embedding of such an image."),
        ),
        (
            "/api/v1/trainings",
            of_task("The latest results of a task's trainings, newest first.")
                .asks(&number("limit", "How many.", MAX_TRAININGS, MAX_TRAININGS))
                .json(&ok(&list_of(&schemas.of::<TrainResult>()))),
        ),
        (
            "/api/v1/events",
            Operation::new("The latest events, newest first.")
                .asks(&number("limit", "How many.", MAX_EVENTS, MAX_EVENTS))
                .json(&ok(&list_of(&schemas.of::<EventReport>()))),
        ),
        (
            "/api/v1/confusion",
            of_task("Which classes a training took for which, on images that the answering model had not seen.")
                .asks(&query(
                    "training",
                    "Its number; the last one that has such answers where left out.",
                    &json!({ "type": "integer", "minimum": 0 }),
                    false,
                ))
                .json(&ok(&schemas.of::<Confusion>()))
                .fails("404", "No such answers are kept."),
        ),
    ]
}

/// The body of a request.
fn request(command: &Entry, arguments: &Value) -> Value {
    let fields = received::<Fields>();
    if arguments.get("properties").is_none() {
        return fields;
    }
    json!({ "description": command.about, "allOf": [fields, arguments] })
}

/// The answer to a request that went well.
fn answered(schemas: &mut SchemaSet, data: &Value) -> Value {
    json!({ "allOf": [schemas.of::<Response>(), { "properties": { "status": { "const": "ok" }, "data": data } }] })
}

fn ok(data: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["status", "data"],
        "properties": { "status": { "const": "ok" }, "data": data },
    })
}

fn list_of(item: &Value) -> Value {
    json!({ "type": "array", "items": item })
}

/// Which task it is about.
fn task() -> Value {
    let about = "The task; the one called default, or the only one, where left out.";
    query("task", about, &json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,32}$" }), false)
}
