//! Everything that comes by MQTT: a message is taken and means the same when it is written again, or is refused with a
//! reason that fits on a screen.
//!
//! An input is a topic below the base, a line break and a payload.
#![no_main]

use std::fmt::Debug;

use edgetuned::update::{Manifest, Signer, TrustedKeys};
use edgetuned::wire::{
    Alert, Answer, Base, ChunkRequest, Desired, EventReport, Health, InboundTopic, Info, Payload, Prediction, Reported,
    Request, Response, ReviewList, TrainResult, TrainState, UpdateState, mark_replayed, parse_labels,
};
use edgetuned_fuzz::fits_on_a_screen;
use libfuzzer_sys::fuzz_target;

/// What is for everybody stands below no base.
const BIRTH: &str = "homeassistant/status";

fuzz_target!(|data: &[u8]| {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (topic, payload) = (&data[..end], &data[end + 1..]);
    let Ok(topic) = std::str::from_utf8(topic) else { return };
    let base = Base::new("edgetuned", "line-3").expect("a base");
    let whole = if topic == BIRTH { topic.to_owned() } else { format!("{base}/{topic}") };
    assert_eq!(base.strip(&whole), Some(topic));
    match topic.parse() {
        Ok(topic) => inbound(topic, payload),
        Err(bad) => fits_on_a_screen(&bad.to_string()),
    }
    outbound(topic, payload);
});

fn inbound(topic: InboundTopic, payload: &[u8]) {
    match topic {
        InboundTopic::Label => match parse_labels(payload) {
            Ok(items) => {
                let written = serde_json::to_vec(&items).expect("labels are text");
                assert_eq!(parse_labels(&written), Ok(items));
            }
            Err(bad) => fits_on_a_screen(&bad.to_string()),
        },
        InboundTopic::Request(name) => match Request::parse(&name, payload) {
            Ok(request) => {
                assert_eq!(request.name, name);
                let chars = request.transaction.as_ref().map_or(1, |transaction| transaction.chars().count());
                assert!((1..=128).contains(&chars), "{request:?}");
            }
            Err(bad) => fits_on_a_screen(&bad.reason),
        },
        InboundTopic::ConfigDesired => match Desired::parse(payload) {
            Ok(None) => assert!(payload.trim_ascii().is_empty()),
            Ok(Some(desired)) => {
                let written = serde_json::to_vec(&desired).expect("it came as JSON");
                assert_eq!(Desired::parse(&written), Ok(Some(desired)));
            }
            Err(bad) => fits_on_a_screen(&bad.to_string()),
        },
        InboundTopic::UpdateDesired(_) => {
            // Somebody is trusted who never signed anything here.
            let keys = TrustedKeys(vec![Signer::from_seed(&[7; 32]).public()]);
            match Manifest::open(payload, &keys) {
                Ok(manifest) => panic!("nobody signed {manifest:?}"),
                Err(refusal) => fits_on_a_screen(&refusal.reason),
            }
        }
        InboundTopic::UpdateChunk(..) | InboundTopic::Birth => {}
    }
}

/// What the device says itself is read back equal, whatever its strings and numbers.
fn outbound(topic: &str, payload: &[u8]) {
    match topic {
        "prediction" | "state" => {
            same_again::<Prediction>(payload);
            if let Ok(mut said) = Prediction::decode(payload) {
                said.body.replayed = true;
                assert_eq!(Prediction::decode(&mark_replayed(payload.to_vec())), Ok(said));
            }
        }
        "event" => same_again::<EventReport>(payload),
        "response" => same_again::<Response>(payload),
        "answer" => same_again::<Answer>(payload),
        "train/state" => same_again::<TrainState>(payload),
        "train/result" => same_again::<TrainResult>(payload),
        "alert/drift" => same_again::<Alert>(payload),
        "config/reported" => same_again::<Reported>(payload),
        "review" => same_again::<ReviewList>(payload),
        "info" => same_again::<Info>(payload),
        "health" => same_again::<Health>(payload),
        "update/head/state" => same_again::<UpdateState>(payload),
        "update/head/request" => same_again::<ChunkRequest>(payload),
        _ => {}
    }
}

fn same_again<T: Payload + PartialEq + Debug>(payload: &[u8]) {
    match T::decode(payload) {
        Ok(said) => {
            let written = said.encode();
            let again =
                T::decode(&written).unwrap_or_else(|bad| panic!("{bad}: {}", String::from_utf8_lossy(&written)));
            assert_eq!(again, said);
        }
        Err(bad) => fits_on_a_screen(&bad.to_string()),
    }
}
