//! What a client that begins to watch is told.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};

use serde_json::Value;

use crate::Stage;
use crate::client::Client;

/// Topics of messages as they come, with their payloads.
fn watch(client: &Client) -> impl Iterator<Item = (String, Value)> {
    let mut stream = client.connect();
    stream.write_all(&client.request("GET", "/api/v1/watch", b"")).unwrap();
    BufReader::new(stream).lines().map(Result::unwrap).filter_map(|line| {
        let mut message: Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        Some((message["topic"].as_str()?.to_owned(), message["payload"].take()))
    })
}

#[test]
fn whoever_begins_to_watch_hears_what_holds_now_without_a_broker() {
    let stage = Stage::set("");
    // One after another: each is told by itself, though nothing happens.
    for _ in 0..2 {
        let mut wanted: BTreeSet<&str> =
            ["info", "health", "review", "train/state", "config/reported", "update/head/state"].into();
        for (topic, payload) in watch(&stage.client()) {
            if topic == "info" {
                assert_eq!(payload["configuration"]["device"]["id"], "line-3");
            }
            wanted.remove(topic.as_str());
            if wanted.is_empty() {
                break;
            }
        }
    }
}
