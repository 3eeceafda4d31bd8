//! Arguments of requests.

use super::super::Request;
use super::*;

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

#[test]
fn arguments_are_read_and_what_is_left_out_has_its_default() {
    let command = |name: &str, payload: &str| Request::parse(name, payload.as_bytes()).map(|request| request.command);
    for head in [r#""7""#, "7"] {
        assert_eq!(command("promote", &format!(r#"{{"head":{head}}}"#)), Ok(Command::Promote { head: "7".into() }));
    }
    assert_eq!(command("samples", ""), Ok(Command::Samples(SampleQuery::default())));
    let all = r#"{"limit":1000,"after":"ABCDEF01","label":" nut ","unlabelled":false}"#;
    let (after, label) = ("abcdef01".parse().ok(), Some(label("nut")));
    let query = SampleQuery { limit: 1_000, after, label, unlabelled: false };
    assert_eq!(command("samples", all), Ok(Command::Samples(query)));
    let Ok(Command::Label { items }) = command("label", r#"{"items":[{"image":"abcdef01","label":null}]}"#) else {
        panic!("labels are read")
    };
    assert_eq!((items.len(), &items[0].label), (1, &None));
    for name in Command::NAMES {
        assert_ne!(command(name, r#"{"head":1,"image":"abcdef01","items":[]}"#), Ok(Command::Unknown), "{name}");
    }
}

#[test]
fn bad_arguments_are_refused_with_the_reason_and_the_transaction() {
    let many =
        format!(r#"{{"transaction":"7f","items":[{}]}}"#, vec![r#"{"image":"abcdef01","label":"a"}"#; 1_001].join(","));
    for (name, payload, reason) in [
        ("promote", r#"{"transaction":"7f"}"#, "missing field `head`"),
        ("promote", r#"{"transaction":"7f","head":1.5}"#, "id or version"),
        ("predict", r#"{"transaction":"7f","image":"abc"}"#, "SHA-256"),
        ("samples", r#"{"transaction":"7f","limit":0}"#, "1 to 1000"),
        ("samples", r#"{"transaction":"7f","limit":1001}"#, "'after'"),
        ("samples", r#"{"transaction":"7f","limit":"7"}"#, "invalid type"),
        ("samples", r#"{"transaction":"7f","label":"a","unlabelled":true}"#, "exclude"),
        ("label", r#"{"transaction":"7f","items":[{"image":"abcdef01"}]}"#, "missing field `label`"),
        ("label", &many, "1001 labels"),
    ] {
        let error = Request::parse(name, payload.as_bytes()).unwrap_err();
        assert_eq!(error.transaction.as_deref(), Some("7f"), "{name}");
        assert!(error.reason.contains(reason), "{name}: {error}");
    }
}

#[test]
fn a_request_either_changes_something_or_is_answered_while_nothing_can_be_stored() {
    let payload = br#"{"head":1,"image":"abcdef01","items":[]}"#;
    let changes = |name: &&str| Request::parse(name, payload).unwrap().command.changes();
    let changing: Vec<&str> = Command::NAMES.into_iter().filter(changes).collect();
    assert_eq!(changing, ["train", "reload", "rollback", "promote", "label"]);
    assert!(!Command::NAMES.iter().any(|name| Command::only_reads(name) && changes(name)));
}
