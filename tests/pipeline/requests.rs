//! Requests and their answers.

use rumqttc::QoS;
use serde_json::json;

use crate::camera::Part;
use crate::{QUIET, Stage, picture};

#[test]
fn status_answers_with_health_and_what_serves() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let answer = stage.ears.ask("status", "one");
    assert_eq!(answer["status"], "ok");
    let data = &answer["data"];
    assert_eq!((&data["samples"], &data["phase"], &data["broker"]), (&json!(0), &json!("idle"), &json!("connected")));
    assert!(data["head"].is_null() && data["backbone"].is_string(), "{data}");
}

#[test]
fn the_same_transaction_gets_the_same_answer_over_a_restart_too() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let before = stage.ears.ask("status", "once");
    let path = stage.home.put("1.jpg", &picture(Part::Nut, 1));
    stage.ears.prediction(&path);
    for _ in 0..2 {
        stage.ears.forget();
        let again = stage.ears.ask("status", "once");
        assert_eq!(again["data"], before["data"], "the image came after the first asking");
        assert_ne!(again["seq"], before["seq"]);
        stage.restart();
    }
    stage.ears.forget();
    assert_eq!(stage.ears.ask("train", "once")["error"]["code"], "transaction_reused");
}

#[test]
fn what_cannot_be_done_is_answered_with_an_error() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    for (name, code) in [("rollback", "not_possible"), ("train", "not_possible"), ("dance", "unknown_request")] {
        let answer = stage.ears.ask(name, name);
        assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!("error"), &json!(code)), "{answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    stage.ears.send("request/status", &json!({"transaction": "late", "expires": "2020-01-01T00:00:00Z"}));
    assert_eq!(stage.ears.answer("status", "late")["error"]["code"], "expired");
}

#[test]
fn a_retained_request_is_refused_when_it_comes_again() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    // To a standing subscription the broker delivers it without its flag.
    stage.ears.send_raw("request/rescan", b"{}".to_vec(), QoS::AtLeastOnce, true);
    stage.ears.wait("response/rescan", "given", |json| json["status"] == "ok");
    stage.restart();
    let refused = stage.ears.wait("response/rescan", "refused", |json| json["error"]["code"] == "retained").json;
    assert_eq!(refused.get("transaction"), None);
}
