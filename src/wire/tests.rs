//! Round trips, the documented examples, and hostile input.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::*;

use crate::head::{BackboneRef, ClassFigures, EvaluatedOn, Figures, TrainingFacts};
use crate::words::{Digest, HeadId, HeadRef, Label, SampleId, Timestamp};

pub(super) fn envelope() -> Envelope {
    Envelope::new(Timestamp(1_700_000_000_120), 42, "k3v9")
}

pub(super) fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

pub(super) fn head() -> HeadRef {
    HeadRef { id: HeadId("0123456789ab".into()), version: 7 }
}

pub(super) fn backbone() -> BackboneRef {
    BackboneRef { name: "tiny".into(), sha256: Digest::of(b"model"), dim: 64 }
}

pub(super) fn prediction() -> Prediction {
    Prediction { envelope: envelope(), body: body() }
}

fn body() -> PredictionBody {
    PredictionBody {
        task: None,
        image: SampleId::of(b"image"),
        path: Some("/srv/camera/gear/1.jpg".into()),
        source: None,
        stale: false,
        label: Some(label("gear")),
        probability: Some(0.1 + 0.2),
        top: vec![TopLabel { label: label("gear"), probability: 0.3 }],
        set: None,
        unknown: None,
        novelty: None,
        instant: true,
        head: Some(head().id),
        backbone: "tiny".into(),
        latency_ms: 12,
        replayed: false,
    }
}

pub(super) fn figures() -> Figures {
    let interval = [0.8, 0.95];
    Figures {
        evaluated_on: EvaluatedOn::HeldOut,
        n: 50,
        accuracy: 0.9,
        accuracy_interval: interval,
        balanced_accuracy: 0.88,
        balanced_accuracy_interval: interval,
        macro_f1: 0.87,
        macro_f1_interval: interval,
        log_loss: 0.31,
        log_loss_interval: interval,
        ece: 0.02,
        ece_interval: interval,
        per_class: vec![ClassFigures { class: label("gear"), precision: 1.0, recall: 0.5, f1: 2.0 / 3.0, support: 8 }],
        confusion: vec![vec![4, 4], vec![0, 42]],
    }
}

pub(super) fn train_result() -> TrainResult {
    let facts = TrainingFacts {
        solver: "lbfgs".into(),
        lambda: 1e-3,
        lambda_path: vec![(1.0, 0.7), (1e-3, 0.31)],
        loss: 0.25,
        iterations: 31,
        converged: true,
        n_train: 50,
        seed: u64::MAX,
        fit_seconds: 0.4,
        ..TrainingFacts::default()
    };
    TrainResult {
        envelope: envelope(),
        task: None,
        training: 3,
        trigger: "12 new labels".into(),
        head: head(),
        backbone: backbone(),
        classes: vec![label("bolt"), label("gear")],
        facts,
        promoted: true,
        provisional: false,
        code: "better".into(),
        reason: "balanced accuracy 88.0 %, before 80.0 %".into(),
        change: Some([0.08, 0.01]),
        challenger: Some(figures()),
        champion: None,
        forgetting: vec![],
        suspicious_labels: 2,
        disbelieved_labels: 0,
        second: Some(SecondPhase {
            phase: 2,
            epochs: vec![EpochFigures { loss: 0.5, accuracy: 0.75 }],
            phases: vec![PhaseFigures { phase: 1, fit_seconds: 0.25, figures: figures() }],
            tuned: false,
            tune_reason: "kept the first phase".into(),
        }),
    }
}

pub(super) fn event_kinds() -> Vec<EventKind> {
    let reason = || String::from("because");
    vec![
        EventKind::Started { version: "0.1.0".into() },
        EventKind::Stopped { reason: reason() },
        EventKind::Trained { training: 3, head: head() },
        EventKind::Promoted { head: head(), reason: reason() },
        EventKind::Rejected { head: head(), reason: reason() },
        EventKind::RolledBack { head: None, from: head(), reason: reason() },
        EventKind::Quarantined { path: "/srv/camera/1.jpg".into(), reason: reason() },
        EventKind::BackboneChanged { backbone: backbone(), reason: reason() },
        EventKind::ConfigChanged { reason: "read again".into() },
        EventKind::Drift { kind: "embedding".into(), p_value: Some(0.01), score: None, reason: reason() },
        EventKind::Drift { kind: "error".into(), p_value: None, score: Some(0.25), reason: reason() },
        EventKind::Novel { image: SampleId::of(b"image"), novelty: 3.5 },
        EventKind::Evicted { count: 3, why: "3 unlabelled".into() },
        EventKind::UpdateFailed {
            kind: UpdateKind::Head,
            name: Some("parts".into()),
            version: Some(5),
            code: "expired".into(),
            reason: reason(),
        },
        EventKind::Error { topic: Some("label".into()), source: None, reason: reason() },
        EventKind::Error { topic: None, source: Some("watch".into()), reason: reason() },
    ]
}

/// What is written is read back equal, and is a JSON object with the envelope's four fields.
pub(super) fn check<P: Payload + PartialEq + std::fmt::Debug>(payload: &P) -> Value {
    let bytes = payload.encode();
    assert_eq!(P::decode(&bytes).as_ref(), Ok(payload), "{}", String::from_utf8_lossy(&bytes));
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["v"], 1);
    assert_eq!(value["ts"], "2023-11-14T22:13:20.120Z");
    assert_eq!(value["seq"], 42);
    assert_eq!(value["boot"], "k3v9");
    value
}

#[test]
fn predictions_are_read_back_equal_with_and_without_a_head() {
    let value = check(&prediction());
    assert_eq!(value["probability"].to_string(), "0.3");
    let body = PredictionBody { label: None, probability: None, top: vec![], head: None, ..body() };
    let without = Prediction { body, ..prediction() };
    let value = check(&without);
    for field in ["label", "probability", "head", "set", "unknown", "novelty"] {
        assert!(value.get(field).is_some_and(Value::is_null), "{field} is there and null");
    }
}

#[test]
fn reports_are_read_back_equal() {
    check(&Info {
        envelope: envelope(),
        versions: Versions { edgetuned: "0.1.0".into(), onnxruntime: "1.27.0".into() },
        backbone: InfoBackbone {
            backbone: backbone(),
            provider: Some(ProviderReport {
                asked: vec!["openvino".into(), "cpu".into()],
                running: "openvino".into(),
                nodes: [("openvino".to_owned(), 1)].into(),
                cosine: 1.0,
                speedup: 2.5,
            }),
        },
        head: Some(InfoHead { id: head().id, version: 7, classes: vec![label("gear")], accuracy: Some(0.9) }),
        tasks: vec![],
        capabilities: vec!["label".into()],
        configuration: json!({"device": {"id": "line-3"}}),
    });
    let figures = HealthFigures { samples: 9, last_train: Some(Timestamp(0)), ..HealthFigures::default() };
    let value = check(&Health { envelope: envelope(), figures, live: None });
    assert_eq!(value["samples"], 9);
    assert!(value["temperature_c"].is_null());
    check(&TrainState {
        envelope: envelope(),
        task: None,
        phase: TrainingPhase::Fitting,
        progress: 0.25,
        reason: "schedule".into(),
    });
    let value = check(&train_result());
    assert_eq!((&value["lambda"], &value["seed"]), (&json!(0.001), &json!(u64::MAX)));
}

#[test]
fn review_lists_and_alerts_are_read_back_equal() {
    let item = ReviewItem {
        image: SampleId::of(b"image"),
        path: Some("/srv/camera/1.jpg".into()),
        reason: ReviewReason::Suspicious,
        suggestion: Some(label("gear")),
        probability: Some(0.75),
        label: Some(label("nut")),
        neighbours: vec![ReviewNeighbour { image: SampleId::of(b"other"), label: label("gear"), distance: 0.1 }],
        source: None,
    };
    let plain = ReviewItem { label: None, neighbours: vec![], ..item.clone() };
    let value = check(&ReviewList {
        envelope: envelope(),
        body: ReviewItems { task: None, items: vec![item, plain], advice: None },
    });
    assert_eq!(value["items"][0]["reason"], "suspicious");
    assert!(value["items"][1].get("neighbours").is_none() && value["advice"].is_null());
    let warning = Warning { severity: Severity::Warning, text: "look".into(), since: Timestamp(0) };
    assert_eq!(check(&Alert { envelope: envelope(), warning })["severity"], "warning");
}

#[test]
fn reports_on_updates_are_read_back_equal() {
    let error = Some(UpdateError { code: "expired".into(), message: "sign it anew".into() });
    let state = UpdateState {
        envelope: envelope(),
        installed_version: Some("4".into()),
        latest_version: Some("5".into()),
        in_progress: true,
        update_percentage: Some(40),
        phase: UpdatePhase::Downloading,
        error,
        manifest: Some(Digest::of(b"manifest")),
    };
    assert_eq!(check(&state)["phase"], "downloading");
    check(&ChunkRequest { envelope: envelope(), sha256: Digest::of(b"file"), chunks: vec![0, 7, u32::MAX] });
}

#[test]
fn every_kind_of_event_is_read_back_equal() {
    for kind in event_kinds() {
        check(&EventReport { envelope: envelope(), task: None, kind });
    }
}

#[test]
fn answers_are_read_back_equal_alone_and_within_a_response() {
    let report = StatusReport {
        health: HealthFigures::default(),
        task: None,
        head: Some(head()),
        backbone: "tiny".into(),
        phase: TrainingPhase::Idle,
        live: LiveFigures::default(),
        shadow: Some(head()),
        switch: Some(SwitchReport {
            backbone: "default".into(),
            name: "tiny".into(),
            phase: SwitchPhase::Preparing,
            embedded: Some(3),
            of: Some(7),
            reason: None,
            since: Timestamp(0),
        }),
        broker: Link::Connected,
        broker_reason: None,
        alerts: vec![Raised {
            id: AlertId::DiskFull,
            warning: Warning { severity: Severity::Error, text: "no room".into(), since: Timestamp(0) },
        }],
    };
    for answer in [
        Answer::ok(&TrainAccepted { training: 3 }),
        Answer::ok(&RolledBack { head: None, from: head() }),
        Answer::ok(&report),
        Answer::error(ErrorCode::UnknownRequest, "there is no request 'x'"),
    ] {
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer.clone()));
        for transaction in [None, Some("7f".to_owned())] {
            check(&Response { envelope: envelope(), transaction, answer: answer.clone() });
        }
    }
}

#[test]
fn another_schema_version_is_not_read() {
    let mut value: Value = serde_json::from_slice(&prediction().encode()).unwrap();
    value["v"] = json!(2);
    let error = Prediction::decode(value.to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("schema version 2, expected 1"), "{error}");
}

#[test]
fn replayed_is_marked_where_it_is_a_field_and_nothing_else_changes() {
    let marked = mark_replayed(prediction().encode());
    let body = PredictionBody { replayed: true, ..body() };
    assert_eq!(Prediction::decode(&marked), Ok(Prediction { body, ..prediction() }));
    for other in [&b"online"[..], br#"{"a":"\"replayed\":false"}"#, br#"{"replayed":1}"#, b"[false]", b"\xff"] {
        assert_eq!(mark_replayed(other.to_vec()), other);
    }
}

#[test]
fn topics_are_read_back_equal_with_their_qos_and_retain_flag() {
    for (text, retain, spooled) in [
        ("status", true, false),
        ("info", true, false),
        ("health", true, false),
        ("state", true, false),
        ("prediction", false, true),
        ("train/state", true, false),
        ("train/result", true, true),
        ("event", false, true),
        ("review", true, false),
        ("alert/drift", true, false),
        ("response/rescan", false, true),
    ] {
        let topic: Topic = text.parse().unwrap();
        assert_eq!((topic.to_string().as_str(), topic.retain(), topic.spooled()), (text, retain, spooled));
        assert_eq!(topic.qos() == Qos::AtMostOnce, text == "health");
    }
    for text in ["", "response/", "response/a/b", "response/A", "status/", "label", "train", "alert/", "alert/x"] {
        assert!(text.parse::<Topic>().is_err(), "{text}");
    }
}

#[test]
fn inbound_topics_are_label_and_requests_with_a_plain_name() {
    assert_eq!("label".parse(), Ok(InboundTopic::Label));
    let chunk = InboundTopic::UpdateChunk(UpdateKind::Backbone, Digest::of(b"file"), u32::MAX);
    let update = InboundTopic::UpdateDesired(UpdateKind::Head);
    for topic in [InboundTopic::ConfigDesired, InboundTopic::Birth, update, chunk] {
        assert_eq!(topic.to_string().parse(), Ok(topic));
    }
    let longest = "a".repeat(64);
    for name in ["train", "a", "x_9-z", &longest] {
        assert_eq!(format!("request/{name}").parse(), Ok(InboundTopic::Request(name.to_owned())));
    }
    for text in ["", "labels", "request", "request/", "request/a b", "request/Train", "request/a/b", "request/é"] {
        assert!(text.parse::<InboundTopic>().is_err(), "{text}");
    }
    assert!(format!("request/{longest}a").parse::<InboundTopic>().is_err());
}

#[test]
fn a_base_joins_and_strips_and_refuses_wildcards() {
    let base = Base::new("site/edgetuned", "line-3").unwrap();
    assert_eq!(base.join(&Topic::TrainState), "site/edgetuned/line-3/train/state");
    assert_eq!(base.strip("site/edgetuned/line-3/request/train"), Some("request/train"));
    assert_eq!(base.strip("site/edgetuned/line-33/label"), None);
    assert_eq!(base.client_id(), "site/edgetuned-line-3");
    let other = base.of("cam-1").unwrap();
    assert_eq!((other.join(&Topic::Info).as_str(), other.device()), ("site/edgetuned/cam-1/info", "cam-1"));
    assert_eq!(base.of_every_device("info"), "site/edgetuned/+/info");
    assert_eq!(base.split("site/edgetuned/cam-1/update/head/state"), Some(("cam-1", "update/head/state")));
    for topic in ["site/edgetuned/cam-1", "site/edgetuned/Cam/info", "site/other/cam-1/info", "edgetuned/cam-1/info"] {
        assert_eq!(base.split(topic), None, "{topic}");
    }
    assert!(base.of("a/b").is_err());
    for (prefix, device) in [("", "a"), ("a//b", "a"), ("a/#", "a"), ("+", "a"), ("$SYS", "a"), ("a", "A"), ("a", "")] {
        assert!(Base::new(prefix, device).is_err(), "{prefix:?} {device:?}");
    }
}

#[test]
fn labels_come_one_or_many_and_null_removes() {
    let items =
        parse_labels(br#" [{"image":"ABCDEF01","label":" gear "},{"image":"abcdef02","label":null,"by":"me"}] "#);
    let items = items.unwrap();
    assert_eq!((items[0].image.as_str(), items[0].label.as_ref()), ("abcdef01", Some(&label("gear"))));
    assert_eq!(items[1].label, None);
    let full = SampleId::of(b"image");
    let one = parse_labels(format!(r#"{{"image":"{full}","label":"nut"}}"#).as_bytes()).unwrap();
    assert_eq!(one[0].image.as_str(), full.to_string());
    assert_eq!(parse_labels(b"[]"), Ok(vec![]));
}

#[test]
fn a_message_with_one_bad_label_is_refused_as_a_whole_with_the_reason() {
    for (payload, reason) in [
        ("", "empty"),
        ("  ", "empty"),
        ("7", "invalid type"),
        ("nonsense", "expected"),
        (r#"{"image":"abcdef01"}"#, "missing field `label`"),
        (r#"{"label":"gear"}"#, "missing field `image`"),
        (r#"{"image":"abcdef0","label":"gear"}"#, "SHA-256"),
        (r#"{"image":"ghijklmn","label":"gear"}"#, "SHA-256"),
        (r#"{"image":"abcdef01","label":""}"#, "visible character"),
        (r#"{"image":"abcdef01","label":"a\u0000b"}"#, "control characters"),
        (r#"{"image":"abcdef01","label":1e999}"#, "out of range"),
        (r#"{"image":"abcdef01","label":"a","label":"b"}"#, "duplicate field"),
        (r#"[{"image":"abcdef01","label":"a"},{}]"#, "missing field"),
        (r#"{"image":"abcdef01","label":"a"} x"#, "trailing"),
    ] {
        let error = parse_labels(payload.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "{payload}: {error}");
    }
    assert!(parse_labels(b"{\"image\":\"abcdef01\",\"label\":\"\xff\"}").is_err());
}

#[test]
fn bounds_hold_exactly() {
    let item = r#"{"image":"abcdef01","label":"a"}"#;
    let list = |n: usize| format!("[{}]", vec![item; n].join(","));
    assert_eq!(parse_labels(list(1_000).as_bytes()).map(|items| items.len()), Ok(1_000));
    assert_eq!(parse_labels(list(1_001).as_bytes()), Err(BadPayload::TooMany { items: 1_001, limit: 1_000 }));
    let mut padded = item.as_bytes().to_vec();
    padded.resize(MAX_INBOUND_BYTES, b' ');
    assert!(parse_labels(&padded).is_ok());
    padded.push(b' ');
    assert_eq!(parse_labels(&padded), Err(BadPayload::TooLarge { bytes: MAX_INBOUND_BYTES + 1 }));
    assert!(Request::parse("train", &padded).is_err());
}

#[test]
fn requests_are_read_with_their_transaction_and_expiry() {
    let request = Request::parse("train", br#"{"transaction":"7f","expires":"2026-01-01T00:00:00Z","x":[1]}"#).unwrap();
    assert_eq!((request.command, request.transaction.as_deref()), (Command::Train(command::Train), Some("7f")));
    assert_eq!(request.expires, "2026-01-01T00:00:00Z".parse().ok());
    for payload in ["", " \n", "{}", r#"{"transaction":null}"#] {
        let request = Request::parse("status", payload.as_bytes()).unwrap();
        assert_eq!(
            (request.command, request.transaction, request.expires),
            (Command::Status(command::Status), None, None)
        );
    }
    let unknown = Request::parse("fly", br#"{"transaction":"1"}"#).unwrap();
    assert_eq!((unknown.command, unknown.name.as_str()), (Command::Unknown, "fly"));
    let long = format!(r#"{{"transaction":"{}"}}"#, "ü".repeat(128));
    assert!(Request::parse("train", long.as_bytes()).is_ok());
}

#[test]
fn bad_requests_are_refused_with_the_reason_and_the_transaction_where_it_is_known() {
    for (payload, transaction, reason) in [
        ("[]", None, "does not begin with '{'"),
        ("PRESS", None, "does not begin with '{'"),
        (r#"["7f",null]"#, None, "does not begin with '{'"),
        ("{", None, "EOF"),
        (r#"{"transaction":7}"#, None, "expected a string"),
        (r#"{"transaction":""}"#, None, "1 to 128"),
        (r#"{"transaction":"a\nb"}"#, None, "printable"),
        (r#"{"transaction":"a","transaction":"b"}"#, None, "duplicate"),
        (r#"{"transaction":"7f","expires":"tomorrow"}"#, Some("7f"), "RFC 3339"),
    ] {
        let error = Request::parse("train", payload.as_bytes()).unwrap_err();
        assert_eq!(error.transaction.as_deref(), transaction, "{payload}");
        assert!(error.reason.contains(reason), "{payload}: {error}");
    }
    let long = format!(r#"{{"transaction":"{}"}}"#, "x".repeat(129));
    assert!(Request::parse("train", long.as_bytes()).is_err());
}

#[test]
fn status_is_plain_text() {
    for status in [Status::Online, Status::Stopped, Status::Offline] {
        assert_eq!(status.to_string().parse(), Ok(status));
    }
    assert!("Online".parse::<Status>().is_err());
}

/// Reads `bytes` as everything; nothing of it may panic.
pub(super) fn read_as_everything(bytes: &[u8]) {
    let _ = (parse_labels(bytes), mark_replayed(bytes.to_vec()));
    for name in Command::NAMES {
        let _ = Request::parse(name, bytes);
    }
    let _ = (Prediction::decode(bytes), TrainResult::decode(bytes), EventReport::decode(bytes));
    let _ = (Info::decode(bytes), Health::decode(bytes), TrainState::decode(bytes));
    let _ = (UpdateState::decode(bytes), ChunkRequest::decode(bytes), TaskState::decode(bytes));
    let _ = (Response::decode(bytes), Answer::decode(bytes));
    let text = String::from_utf8_lossy(bytes);
    let _ = (
        text.parse::<Topic>(),
        text.parse::<InboundTopic>(),
        text.parse::<AlertId>(),
        text.parse::<Status>(),
        Base::new(&text, &text),
    );
}

#[test]
fn no_mutation_of_a_payload_makes_a_reader_panic() {
    let mut seeds = vec![
        task_tests::state().encode(),
        br#"{"task":"door","items":[{"image":"abcdef01","label":"a","task":"door"}]}"#.to_vec(),
        prediction().encode(),
        train_result().encode(),
        br#"[{"image":"abcdef0123","label":"gear"},{"image":"abcdef0124","label":null}]"#.to_vec(),
        br#"{"transaction":"7f","expires":"2026-01-01T00:00:00Z"}"#.to_vec(),
        br#"{"limit":7,"after":"abcdef01","label":"nut","head":"9f02","items":[{"image":"abcdef01","label":null}]}"#
            .to_vec(),
        Response { envelope: envelope(), transaction: None, answer: Answer::ok(&1) }.encode(),
    ];
    seeds.extend(event_kinds().into_iter().map(|kind| EventReport { envelope: envelope(), task: None, kind }.encode()));
    for seed in 0..5_000_u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..5) {
                0 => bytes[at] = rng.random_range(0..=255),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, b"\0\"{}[],:\\\xff9e-"[rng.random_range(0..13)]),
                3 => drop(bytes.remove(at)),
                _ => bytes.extend_from_within(at..),
            }
            if bytes.is_empty() {
                bytes.push(b' ');
            }
        }
        assert!(std::panic::catch_unwind(|| read_as_everything(&bytes)).is_ok(), "seed {seed}: {bytes:?}");
    }
}

#[test]
fn deep_nesting_huge_numbers_and_invalid_bytes_are_refused_or_ignored() {
    for opening in ["[", "{\"a\":", "{\"data\":["] {
        let deep = opening.repeat(100_000);
        assert!(parse_labels(deep.as_bytes()).is_err());
        assert!(Request::parse("train", deep.as_bytes()).is_err());
        read_as_everything(deep.as_bytes());
        read_as_everything(format!(r#"{{"status":"ok","data":{deep}"#).as_bytes());
    }
    for odd in ["1e999999", "-0", "99999999999999999999999999", "\"\\ud800\"", "\0", "NaN"] {
        read_as_everything(format!(r#"{{"v":{odd},"ts":{odd},"seq":{odd},"image":{odd},"label":{odd}}}"#).as_bytes());
        assert!(parse_labels(format!(r#"{{"image":{odd},"label":{odd}}}"#).as_bytes()).is_err(), "{odd}");
    }
}
