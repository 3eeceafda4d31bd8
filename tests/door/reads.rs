//! What is read beside the requests: the index of all samples, the map, neighbours, trainings, events, confusions; every
//! answer is as `docs/openapi.json` says.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::words::SampleId;
use serde_json::{Value, json};

use crate::Stage;
use crate::camera::{Camera, Light, Part};
use crate::client::Reply;
use crate::daemon::PATIENCE;

/// What `docs/openapi.json` says of routes.
struct Described(Value);

impl Described {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        Self(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    }

    /// Fails where the answer to a `GET` of this route is none that is described.
    fn check(&self, route: &str, reply: &Reply) {
        let responses = &self.0["paths"][route]["get"]["responses"];
        assert!(responses.is_object(), "{route} is not described");
        let status = reply.status.to_string();
        let status = if responses.get(&status).is_some() { &status } else { "default" };
        let response = match responses[status].get("$ref").and_then(Value::as_str) {
            Some(elsewhere) => self.0.pointer(elsewhere.trim_start_matches('#')).unwrap(),
            None => &responses[status],
        };
        let mut root = self.0.clone();
        root["allOf"] = json!([response["content"]["application/json"]["schema"]]);
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&root)
            .unwrap();
        let faults: Vec<String> = validator.iter_errors(&reply.json()).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{route}: {faults:?} of {}", reply.text());
    }
}

/// Asks until the answer is such; the answer.
fn until(stage: &Stage, path: &str, mut is: impl FnMut(&Reply) -> bool) -> Reply {
    let until = Instant::now() + PATIENCE;
    loop {
        let reply = stage.client().get(path);
        if is(&reply) {
            return reply;
        }
        assert!(Instant::now() < until, "{path}: {}; its log:\n{}", reply.text(), stage.log());
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Brings twelve pictures of two parts, and labels all but the last of each; their names.
fn filled(stage: &Stage) -> Vec<[SampleId; 6]> {
    let shown = |(part, camera): (Part, u64)| -> [SampleId; 6] {
        [0, 1, 2, 3, 4, 5].map(|n| {
            let bytes = Camera::new(camera + n).jpeg(part, n, &Light::DAY);
            stage.home.put(&format!("{part:?}-{n}.jpg"), &bytes);
            SampleId::of(&bytes)
        })
    };
    let pictures: Vec<_> = [(Part::Nut, 100), (Part::Gear, 200)].into_iter().map(shown).collect();
    until(stage, "/api/v1/index", |reply| {
        reply.status == 200 && reply.json()["data"]["columns"]["image"].as_array().unwrap().len() == 12
    });
    let labels = pictures.iter().zip(["nut", "gear"]);
    let items: Vec<Value> = labels
        .flat_map(|(ids, label)| ids[..5].iter().map(move |id| json!({ "image": id.to_string(), "label": label })))
        .collect();
    let labelled = stage.client().post("/api/v1/label", &json!({ "items": items }).to_string());
    assert_eq!(labelled.status, 200, "{}", labelled.text());
    pictures
}

/// A column of the octets: the numbers at the place and of the width that the header says.
fn column(octets: &[u8], name: &str) -> Vec<u64> {
    let (header, begin) = header(octets);
    let columns = header["columns"].as_array().unwrap();
    let column = columns.iter().find(|column| column["name"] == name).unwrap();
    let width = match column["type"].as_str().unwrap() {
        "u8" => 1,
        "u16" | "i16" => 2,
        "u32" => 4,
        other => panic!("{other}"),
    };
    let at = begin + column["offset"].as_u64().unwrap() as usize;
    let n = header["n"].as_u64().unwrap() as usize;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    octets[at..at + n * width].chunks(width).map(number).collect()
}

fn header(octets: &[u8]) -> (Value, usize) {
    let begin = 4 + u32::from_le_bytes(*octets.first_chunk().unwrap()) as usize;
    (serde_json::from_slice(&octets[4..begin]).unwrap(), begin)
}

#[test]
fn a_page_reads_all_samples_and_learns_what_became_of_trainings() {
    let stage = Stage::set("");
    let described = Described::read();
    let pictures = filled(&stage);
    let client = stage.client();

    let index = client.get("/api/v1/index");
    described.check("/api/v1/index", &index);
    let data = &index.json()["data"];
    assert_eq!(data["classes"], json!(["gear", "nut"]));
    let names: BTreeSet<String> = pictures.iter().flatten().map(|id| id.to_string()[..16].to_owned()).collect();
    let found = data["columns"]["image"].as_array().unwrap();
    assert_eq!(found.iter().map(|name| name.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(), names);
    assert_eq!(data["columns"]["label"].as_array().unwrap().iter().filter(|label| label.is_null()).count(), 2);

    let octets = client.with("Accept", "application/octet-stream").get("/api/v1/index");
    assert_eq!(octets.header("content-type"), Some("application/octet-stream"));
    assert_eq!(header(&octets.body).0["revision"], data["revision"]);
    let labels: Vec<u64> =
        data["columns"]["label"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap_or(255)).collect();
    assert_eq!(column(&octets.body, "label"), labels);

    let tag = index.header("etag").unwrap();
    for path in ["/api/v1/index", "/api/v1/map"] {
        let unchanged = client.with("If-None-Match", tag).get(path);
        assert_eq!((unchanged.status, unchanged.body.len(), unchanged.header("etag")), (304, 0, Some(tag)), "{path}");
    }
    let label = json!({ "items": [{ "image": pictures[0][5].to_string(), "label": "nut" }] });
    assert_eq!(client.post("/api/v1/label", &label.to_string()).status, 200);
    let changed = client.with("If-None-Match", tag).get("/api/v1/index");
    assert_eq!(changed.status, 200, "a label was given");
    assert_ne!(changed.header("etag"), Some(tag));

    let map = client.get("/api/v1/map");
    described.check("/api/v1/map", &map);
    assert_eq!(map.json()["data"].as_array().unwrap().len(), 12);
    let octets = client.with("Accept", "application/octet-stream").get("/api/v1/map");
    assert_eq!(header(&octets.body).0["revision"], changed.json()["data"]["revision"], "rows are those of the index");
    assert_eq!(column(&octets.body, "x").len(), 12);

    let name = pictures[1][5].to_string();
    let near = client.get(&format!("/api/v1/neighbours/{name}?k=3"));
    described.check("/api/v1/neighbours/{image}", &near);
    assert_eq!(near.json()["data"].as_array().unwrap().len(), 3);
    assert_eq!(client.get(&format!("/api/v1/neighbours/{}?k=3", &name[..16])).body, near.body);

    let asked = client.post("/api/v1/train", "{}");
    assert_eq!(asked.status, 200, "{}", asked.text());
    let trainings = until(&stage, "/api/v1/trainings", |reply| !reply.json()["data"].as_array().unwrap().is_empty());
    described.check("/api/v1/trainings", &trainings);
    let training = trainings.json()["data"][0].clone();
    assert_eq!(
        (&training["training"], &training["classes"]),
        (&asked.json()["data"]["training"], &json!(["gear", "nut"]))
    );
    let events = until(&stage, "/api/v1/events", |reply| reply.text().contains("\"trained\""));
    described.check("/api/v1/events", &events);
    let events = events.json();
    assert_eq!(events["data"].as_array().unwrap().last().unwrap()["event_type"], "started", "newest first");

    let confusion = client.get("/api/v1/confusion");
    described.check("/api/v1/confusion", &confusion);
    let data = &confusion.json()["data"];
    assert_eq!((&data["training"], &data["head"]), (&training["training"], &training["head"]));
    assert_eq!(data["matrix"], training["challenger"]["confusion"], "the same answers");
    for cell in data["cells"].as_array().unwrap() {
        let [truth, predicted] = ["true", "predicted"].map(|key| cell[key].as_u64().unwrap() as usize);
        let images = cell["images"].as_array().unwrap();
        assert_eq!(json!(images.len()), data["matrix"][truth][predicted]);
        assert!(images.iter().all(|image| names.contains(image.as_str().unwrap())));
    }
}

#[test]
fn what_was_reported_outlives_the_daemon() {
    let mut stage = Stage::set("");
    let first = until(&stage, "/api/v1/events", |reply| reply.text().contains("started")).json()["data"][0].clone();
    stage.daemon.stop(PATIENCE);
    stage.daemon = stage.home.start();
    stage.client().wait();
    let events = until(&stage, "/api/v1/events?limit=200", |reply| reply.text().matches("\"started\"").count() == 2);
    let events = events.json()["data"].as_array().unwrap().clone();
    let kinds: Vec<&str> = events.iter().map(|event| event["event_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["started", "stopped", "started"]);
    assert_eq!(events[2], first, "as it was published");
    let last = stage.client().get("/api/v1/events?limit=1").json();
    assert_eq!(last["data"], json!([events[0]]));
}

#[test]
fn what_makes_no_sense_is_refused_as_described() {
    let stage = Stage::set("");
    let described = Described::read();
    until(&stage, "/api/v1/index", |reply| reply.status == 200);
    let nobody = "0".repeat(64);
    for (route, asked, status) in [
        ("/api/v1/index", "/api/v1/index?task=gate".to_owned(), 404),
        ("/api/v1/map", "/api/v1/map?task=../gate".to_owned(), 404),
        ("/api/v1/trainings", "/api/v1/trainings?limit=51".to_owned(), 400),
        ("/api/v1/trainings", "/api/v1/trainings?task=gate".to_owned(), 404),
        ("/api/v1/events", "/api/v1/events?limit=0".to_owned(), 400),
        ("/api/v1/confusion", "/api/v1/confusion".to_owned(), 404),
        ("/api/v1/confusion", "/api/v1/confusion?training=first".to_owned(), 400),
        ("/api/v1/neighbours/{image}", format!("/api/v1/neighbours/{nobody}"), 404),
        ("/api/v1/neighbours/{image}", format!("/api/v1/neighbours/{}", &nobody[..17]), 404),
        ("/api/v1/neighbours/{image}", format!("/api/v1/neighbours/{nobody}?k=51"), 400),
    ] {
        let reply = stage.client().get(&asked);
        assert_eq!(reply.status, status, "{asked}: {}", reply.text());
        described.check(route, &reply);
    }
    let posted = stage.client().post("/api/v1/index", "{}");
    assert_eq!(posted.status, 405, "{}", posted.text());
}

#[test]
fn reads_need_the_token_at_the_door_and_none_at_the_socket() {
    let stage = Stage::guarded("");
    let client = stage.client().with_token(crate::TOKEN);
    for path in ["index", "map", "trainings", "events", "openapi.json"] {
        let path = format!("/api/v1/{path}");
        assert_eq!(stage.client().get(&path).status, 401, "{path}");
        let until = Instant::now() + PATIENCE;
        while client.get(&path).status == 503 {
            assert!(Instant::now() < until, "{path}");
            thread::park_timeout(Duration::from_millis(20));
        }
        assert_eq!(client.get(&path).status, 200, "{path}");
        let mut stream = UnixStream::connect(stage.home.state().join("edgetuned.sock")).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200"), "{path}: {said}");
    }
    let served = client.get("/api/v1/openapi.json");
    assert_eq!(served.json(), Described::read().0, "the document that is checked in");
}

#[test]
fn everything_that_is_described_is_there() {
    let stage = Stage::set("");
    for (path, methods) in Described::read().0["paths"].as_object().unwrap() {
        if methods.get("get").is_none() {
            continue;
        }
        let reply = stage.client().get(&path.replace("{image}", &"0".repeat(64)));
        let code = serde_json::from_slice(&reply.body).map(|body: Value| body["error"]["code"].clone());
        let is_unknown = reply.status == 405 || code.is_ok_and(|code| code == "unknown_request");
        assert!(!is_unknown, "{path}: {} {}", reply.status, reply.text());
    }
}

#[test]
fn requests_that_are_read_answer_as_described() {
    let stage = Stage::set("");
    let described = Described::read();
    filled(&stage);
    for name in ["status", "heads", "samples?limit=3", "review", "samples?limit=0"] {
        let reply = stage.client().get(&format!("/api/v1/{name}"));
        let route = format!("/api/v1/{}", name.split('?').next().unwrap());
        assert_eq!(reply.status, if name.ends_with("=0") { 400 } else { 200 }, "{name}: {}", reply.text());
        described.check(&route, &reply);
    }
}
