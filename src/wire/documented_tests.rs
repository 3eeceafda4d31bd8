//! Every message of the daemon has an example in `docs/mqtt.md`, and every example is what the codec reads and writes.

use serde_json::Value;

use super::tests::event_kinds;
use super::*;

/// The fenced blocks of `docs/mqtt.md` whose info string is `json <topic>`.
pub(super) fn documented() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = include_str!("../../docs/mqtt.md").lines();
    while let Some(line) = lines.next() {
        if let Some(topic) = line.strip_prefix("```json ") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((topic.to_owned(), block.join("\n")));
        }
    }
    blocks
}

/// Whether the codec reads `text` as `P` and writes the same fields and values again.
fn is_documented_in_full<P: Payload>(text: &str) {
    let shown: Value = serde_json::from_str(text).unwrap();
    let payload = P::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    let written: Value = serde_json::from_slice(&payload.encode()).unwrap();
    assert_eq!(written, shown);
}

#[test]
fn every_example_in_the_documentation_is_what_the_codec_reads_and_writes() {
    let mut seen = std::collections::BTreeSet::new();
    for (topic, text) in documented() {
        match topic.as_str() {
            "info" => is_documented_in_full::<Info>(&text),
            "health" => is_documented_in_full::<Health>(&text),
            "state" | "prediction" | "task/door/prediction" => is_documented_in_full::<Prediction>(&text),
            "train/state" => is_documented_in_full::<TrainState>(&text),
            "train/result" => is_documented_in_full::<TrainResult>(&text),
            "event" => is_documented_in_full::<EventReport>(&text),
            "review" => is_documented_in_full::<ReviewList>(&text),
            "config/desired" => {
                let desired = Desired::parse(text.as_bytes()).unwrap().unwrap();
                assert_eq!(serde_json::to_value(desired).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
            }
            "config/reported" => is_documented_in_full::<Reported>(&text),
            "alert/drift" => is_documented_in_full::<Alert>(&text),
            "update/head/state" => is_documented_in_full::<UpdateState>(&text),
            "update/head/request" => is_documented_in_full::<ChunkRequest>(&text),
            "label" => assert!(!parse_labels(text.as_bytes()).unwrap().is_empty(), "{text}"),
            "task/door/state" => is_documented_in_full::<TaskState>(&text),
            other => match other.split_once('/') {
                Some(("request", name)) => {
                    let request = Request::parse(name, text.as_bytes()).unwrap();
                    assert_ne!(request.command, Command::Unknown, "{name}");
                }
                Some(("response", name)) => {
                    is_documented_in_full::<Response>(&text);
                    let Ok(Response { answer: Answer::Ok { data }, .. }) = Response::decode(text.as_bytes()) else {
                        continue;
                    };
                    let again = (Command::entry(name).unwrap().data_again)(data.clone());
                    assert_eq!(again.unwrap_or_else(|error| panic!("{error}: {data}")), data, "{name}");
                }
                _ => panic!("an example for an unknown topic: {topic}"),
            },
        }
        seen.insert(topic);
    }
    let plain = ["info", "health", "state", "prediction", "train/state", "train/result", "event", "label", "review"];
    for topic in plain.into_iter().chain([
        "alert/drift",
        "update/head/state",
        "update/head/request",
        "task/door/prediction",
        "task/door/state",
    ]) {
        assert!(seen.contains(topic), "docs/mqtt.md has no example of {topic}");
    }
    for name in Command::NAMES {
        assert!(seen.contains(&format!("request/{name}")) && seen.contains(&format!("response/{name}")), "{name}");
    }
}

#[test]
fn every_kind_of_event_is_documented_with_an_example() {
    let kinds = |value: Value| value["event_type"].as_str().unwrap().to_owned();
    let documented: std::collections::BTreeSet<_> = documented()
        .into_iter()
        .filter(|(topic, _)| topic == "event")
        .map(|(_, text)| kinds(serde_json::from_str(&text).unwrap()))
        .collect();
    let all = event_kinds().into_iter().map(|kind| kinds(serde_json::to_value(kind).unwrap())).collect();
    assert_eq!(documented, all);
}

#[test]
fn a_refusal_never_repeats_a_long_text_whole() {
    let long = "[".repeat(100_000);
    let time = format!(r#"{{"expires": "2026-03-01T12:00:00Z{long}"}}"#);
    assert!(Request::parse("status", time.as_bytes()).unwrap_err().reason.len() < 1_000);
    let text = format!(r#""{long}""#);
    assert!(parse_labels(text.as_bytes()).unwrap_err().to_string().len() < 1_000);
}
