//! One test for each threat that `docs/updates.md` names.

mod vectors;

use std::sync::LazyLock;

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};

use super::*;
use crate::wire::UpdateKind;
use crate::words::{Digest, EmbeddingSpace, TaskId, Timestamp};

const FILE: &[u8] = b"a head of some bytes";
/// 2026-03-01T00:00:00Z.
const MADE: Timestamp = Timestamp(1_772_323_200_000);
const DAY_MS: i64 = 24 * 3_600_000;

fn signer() -> Signer {
    Signer::from_seed(&[7; 32])
}

fn trusted() -> TrustedKeys {
    TrustedKeys(vec![signer().public()])
}

fn space(backbone: &[u8]) -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(backbone), preprocessing: Digest::of(b"p"), dim: 4 }
}

/// The members of a head's manifest, with `changes` in them.
fn members(changes: Value) -> Map<String, Value> {
    let Value::Object(mut members) = json!({
        "v": 1, "kind": "head", "name": "parts", "version": 5, "size": FILE.len(), "sha256": Digest::of(FILE),
        "chunk_bytes": 1024, "created": MADE, "expires": Timestamp(MADE.0 + 30 * DAY_MS),
        "backbone": { "name": "tiny", "sha256": Digest::of(b"model"), "dim": 4 }, "space": space(b"b"),
    }) else {
        unreachable!("the literal above is an object")
    };
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    members.extend(changes);
    members
}

fn signed(changes: Value) -> String {
    sign(members(changes), &signer()).expect("a good manifest")
}

/// The same with a good signature, though it may be no good manifest.
fn forced(changes: Value) -> String {
    let mut members = members(changes);
    let signature = signer().sign(&canonical(&Value::Object(members.clone())));
    members.insert("signature".into(), signature.into());
    Value::Object(members).to_string()
}

fn opened(text: &str) -> Result<Manifest, Code> {
    Manifest::open(text.as_bytes(), &trusted()).map_err(|refusal| refusal.code)
}

/// What a device without named tasks has.
static DEFAULT: LazyLock<[(TaskId, EmbeddingSpace); 1]> = LazyLock::new(|| [(TaskId::default(), space(b"b"))]);

fn device() -> Device<'static> {
    Device {
        id: "line-3",
        tasks: &*DEFAULT,
        chunk_bytes_max: 65_536,
        bytes_max: 64 << 20,
        installed: None,
        failed: &[],
    }
}

/// What `device` makes of a manifest with `changes`, so many days after it was made.
fn taken(changes: Value, device: &Device<'_>, days: i64) -> Result<Accepted, Code> {
    let manifest = opened(&signed(changes)).expect("a good manifest");
    accept(&manifest, UpdateKind::Head, device, Timestamp(MADE.0 + days * DAY_MS)).map_err(|refusal| refusal.code)
}

#[test]
fn a_signed_manifest_for_this_device_is_taken() {
    let manifest = opened(&signed(json!({}))).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version, manifest.chunks()), ("parts", 5, 1));
    assert_eq!(manifest.signed_by, signer().public().id());
    assert_eq!(taken(json!({}), &device(), 1), Ok(Accepted::Begin));
}

#[test]
fn without_keys_there_are_no_updates() {
    let refusal = Manifest::open(signed(json!({})).as_bytes(), &TrustedKeys::default()).unwrap_err();
    assert_eq!(refusal.code, Code::NoKeys);
    assert!(refusal.reason.contains("no keys, no updates"), "{refusal}");
}

#[test]
fn no_byte_of_a_manifest_can_be_changed() {
    let text = signed(json!({ "note": "for the second shift" }));
    let before = opened(&text).unwrap();
    for place in 0..text.len() {
        for flip in [1, 0x20, 0x80] {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= flip;
            // White space means nothing, so it may be another one; everything that means something is signed.
            if let Ok(manifest) = Manifest::open(&bytes, &trusted()) {
                assert_eq!(manifest, before, "byte {place} flipped by {flip}");
                let same = read_strictly(&bytes).unwrap() == read_strictly(text.as_bytes()).unwrap();
                assert!(same, "byte {place} flipped by {flip}: {}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}

#[test]
fn fields_that_this_version_does_not_know_are_signed_too() {
    let text = signed(json!({ "min_edgetuned": "9.9" }));
    assert!(opened(&text).is_ok());
    assert_eq!(opened(&text.replace("9.9", "0.0")).unwrap_err(), Code::BadSignature);
    let without = text.replace("\"min_edgetuned\": \"9.9\",", "");
    assert_ne!(without, text);
    assert_eq!(opened(&without).unwrap_err(), Code::BadSignature, "a field left out");
    let more = text.replacen('{', "{\"devices\": [\"line-9\"],", 1);
    assert_eq!(opened(&more).unwrap_err(), Code::BadSignature, "a field put in");
}

#[test]
fn the_signature_of_another_key_or_of_another_manifest_does_not_count() {
    let stranger = Signer::from_seed(&[8; 32]);
    let text = sign(members(json!({})), &stranger).unwrap();
    assert_eq!(opened(&text).unwrap_err(), Code::BadSignature);
    let both = TrustedKeys(vec![signer().public(), stranger.public()]);
    assert_eq!(
        Manifest::open(text.as_bytes(), &both).unwrap().signed_by,
        stranger.public().id(),
        "any of several keys"
    );
    // Naming a trusted key does not make it the signer, and a signature does not move to another manifest.
    let named = sign(members(json!({ "key_id": signer().public().id() })), &stranger).unwrap();
    assert_eq!(opened(&named).unwrap_err(), Code::BadSignature);
    let signature = |text: &str| serde_json::from_str::<Value>(text).unwrap()["signature"].as_str().unwrap().to_owned();
    let (five, six) = (signed(json!({})), signed(json!({ "version": 6 })));
    assert_eq!(opened(&six.replace(&signature(&six), &signature(&five))).unwrap_err(), Code::BadSignature);
}

#[test]
fn a_signature_is_64_bytes_of_plain_base64_and_of_the_one_form_that_it_has() {
    let text = signed(json!({}));
    let value: Value = serde_json::from_str(&text).unwrap();
    let signature = value["signature"].as_str().unwrap();
    let mut bytes = Base64::decode_vec(signature).unwrap();
    // s + L is another text for the same s; RFC 8032, 5.1.7 has it refused.
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let mut carry = 0;
    for (place, byte) in bytes[32..].iter_mut().enumerate() {
        let sum = u32::from(*byte) + u32::from_str_radix(&order[2 * place..2 * place + 2], 16).unwrap() + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let other = Base64::encode_string(&bytes);
    for bad in [other.as_str(), "", "AAAA", &signature[..86], &signature.replace('=', " "), &format!("{signature}\\n")]
    {
        assert_eq!(opened(&text.replace(signature, bad)).unwrap_err(), Code::BadSignature, "{bad:?}");
    }
    assert_eq!(opened(&text.replace(&format!("\"{signature}\""), "7")).unwrap_err(), Code::Malformed);
}

#[test]
fn a_text_with_two_meanings_is_not_read() {
    let text = signed(json!({}));
    let twice = text.replacen('{', "{\"version\": 6,", 1);
    assert_eq!(opened(&twice).unwrap_err(), Code::Malformed, "the last of two would win here, the first elsewhere");
    let escaped = text.replacen('{', "{\"versio\\u006e\": 5,", 1);
    assert_eq!(opened(&escaped).unwrap_err(), Code::Malformed, "the same name in another writing");
    let nested = signed(json!({ "more": { "a": 1 } }));
    assert_eq!(opened(&nested.replace("\"a\": 1", "\"a\": 1, \"a\": 1")).unwrap_err(), Code::Malformed);
    for odd in ["9007199254740992", "-9007199254740992", "18446744073709551616", "1e999", "NaN", "\"\\ud800\"", "01"] {
        let bad = text.replacen('{', &format!("{{\"more\": {odd},"), 1);
        assert!(matches!(opened(&bad), Err(Code::Malformed | Code::BadSignature)), "{odd}");
    }
    for odd in ["9007199254740993", "1e999"] {
        assert!(read_strictly(odd.as_bytes()).is_err(), "{odd}");
    }
    let deep = text.replacen('{', &format!("{{\"more\": {},", "[".repeat(100_000)), 1);
    assert_eq!(opened(&deep).unwrap_err(), Code::Malformed, "longer than a manifest may be");
    let deep = text.replacen('{', &format!("{{\"more\": {},", "[".repeat(1_000)), 1);
    assert_eq!(opened(&deep).unwrap_err(), Code::Malformed);
    assert_eq!(opened(&format!("{text} {{}}")).unwrap_err(), Code::Malformed, "something behind it");
    for no_object in ["", "[]", "null", "\u{feff}{}"] {
        assert_eq!(opened(no_object).unwrap_err(), Code::Malformed, "{no_object:?}");
    }
}

#[test]
fn other_writings_of_the_same_manifest_are_the_same() {
    let text = signed(json!({}));
    let plain = opened(&text).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(opened(&value.to_string()), Ok(plain.clone()), "without white space");
    assert_eq!(opened(&text.replace("\"version\": 5", "\"version\": 5.0")), Ok(plain.clone()));
    assert_eq!(opened(&text.replace("\"version\": 5", "\"version\": 0.5E+1")), Ok(plain.clone()));
    assert_eq!(opened(&text.replace("\"parts\"", "\"p\\u0061rts\"")), Ok(plain));
}

#[test]
fn fields_out_of_their_range_are_refused_though_signed() {
    for (changes, expected) in [
        (json!({ "v": 2 }), Code::Malformed),
        (json!({ "kind": "firmware" }), Code::Malformed),
        (json!({ "name": "" }), Code::Malformed),
        (json!({ "name": "a\u{7}" }), Code::Malformed),
        (json!({ "name": "x".repeat(65) }), Code::Malformed),
        (json!({ "version": 0 }), Code::Malformed),
        (json!({ "version": -1 }), Code::Malformed),
        (json!({ "version": 1.5 }), Code::Malformed),
        (json!({ "version": "5" }), Code::Malformed),
        (json!({ "size": 0 }), Code::Malformed),
        (json!({ "size": -1 }), Code::Malformed),
        (json!({ "sha256": "00" }), Code::Malformed),
        (json!({ "chunk_bytes": 1023 }), Code::Malformed),
        (json!({ "chunk_bytes": (1 << 20) + 1 }), Code::Malformed),
        (json!({ "expires": MADE }), Code::Malformed),
        (json!({ "expires": null }), Code::Malformed),
        (json!({ "expires": "never" }), Code::Malformed),
        (json!({ "devices": "line-3" }), Code::Malformed),
        (json!({ "devices": ["Line 3"] }), Code::Malformed),
        (json!({ "space": null }), Code::Malformed),
        (json!({ "task": "A" }), Code::Malformed),
        (json!({ "task": 7 }), Code::Malformed),
        (json!({ "kind": "backbone" }), Code::Malformed),
        (json!({ "kind": "backbone", "manifest": [] }), Code::Malformed),
    ] {
        assert_eq!(opened(&forced(changes.clone())).unwrap_err(), expected, "{changes}");
    }
}

#[test]
fn endless_data_ends_at_the_bound_of_its_kind() {
    let most = bytes_max(UpdateKind::Head);
    assert!(opened(&forced(json!({ "size": most }))).is_ok());
    assert_eq!(opened(&forced(json!({ "size": most + 1 }))).unwrap_err(), Code::TooLarge);
    let backbone = |size| json!({ "kind": "backbone", "manifest": { "mean": 127.5 }, "size": size });
    assert!(opened(&forced(backbone(512 << 20))).is_ok());
    assert_eq!(opened(&forced(backbone((512 << 20) + 1))).unwrap_err(), Code::TooLarge);
    let long = json!({ "note": "x".repeat(MANIFEST_BYTES_MAX) });
    assert_eq!(opened(&forced(long)).unwrap_err(), Code::Malformed);
    let packet = Device { chunk_bytes_max: 2_000, ..device() };
    assert_eq!(taken(json!({ "chunk_bytes": 2_001 }), &packet, 1), Err(Code::ChunkTooLarge));
    // What is stored is what the manifest lists, however much is sent.
    let chunks = Chunks::of(&opened(&signed(json!({ "size": 2_500 }))).unwrap());
    assert_eq!(chunks.wants(3, 1_024), Err(BadChunk::Number { n: 3, count: 3 }));
    assert_eq!(chunks.wants(u32::MAX, 0), Err(BadChunk::Number { n: u32::MAX, count: 3 }));
    assert_eq!(chunks.wants(0, 1_025), Err(BadChunk::Length { n: 0, expected: 1_024, found: 1_025 }));
    assert_eq!(chunks.wants(2, 1_024), Err(BadChunk::Length { n: 2, expected: 452, found: 1_024 }));
}

#[test]
fn a_rollback_to_an_older_version_is_refused() {
    let installed = Installed { name: "parts".into(), version: 5, sha256: Digest::of(FILE) };
    let device = Device { installed: Some(&installed), failed: &[7], ..device() };
    assert_eq!(taken(json!({ "version": 4 }), &device, 1), Err(Code::NotNewer));
    assert_eq!(taken(json!({}), &device, 1), Ok(Accepted::Nothing), "what is installed");
    assert_eq!(taken(json!({}), &device, 99), Ok(Accepted::Nothing), "and stays so when its manifest expires");
    let other = json!({ "sha256": Digest::of(b"other") });
    assert_eq!(taken(other, &device, 1), Err(Code::NotNewer), "another file under the same version");
    assert_eq!(taken(json!({ "version": 6 }), &device, 1), Ok(Accepted::Begin));
    assert_eq!(taken(json!({ "version": 7 }), &device, 1), Err(Code::FailedBefore));
}

#[test]
fn a_frozen_manifest_ends_and_a_clock_before_its_making_does_not_judge() {
    assert_eq!(taken(json!({}), &device(), 29), Ok(Accepted::Begin));
    assert_eq!(taken(json!({}), &device(), 30), Err(Code::Expired));
    assert_eq!(taken(json!({}), &device(), 10_000), Err(Code::Expired));
    assert_eq!(taken(json!({}), &device(), -20_000), Ok(Accepted::Begin), "a device that woke up in 1971");
}

#[test]
fn a_wrong_target_is_refused() {
    for (devices, fits) in [
        (json!(["line-3"]), true),
        (json!(["line-1", "line-*"]), true),
        (json!(["*"]), true),
        (json!(["l*e-3", "x"]), true),
        (json!(["*-*"]), true),
        (json!(["line-3*"]), true),
        (json!(["*line-3*"]), true),
        (Value::Null, true),
        (json!([]), false),
        (json!(["line-33"]), false),
        (json!(["line"]), false),
        (json!(["*ine"]), false),
        (json!(["line-3*3"]), false),
        (json!(["l*n*n*"]), false),
    ] {
        let expected = if fits { Ok(Accepted::Begin) } else { Err(Code::WrongDevice) };
        assert_eq!(taken(json!({ "devices": devices }), &device(), 1), expected, "{devices}");
    }
}

#[test]
fn a_head_is_for_the_task_that_it_names_and_reads_the_embeddings_of_that_one() {
    let task = |name: &str| TaskId::new(name).unwrap();
    let tasks = [(task("door"), space(b"b")), (task("bin"), space(b"lower part"))];
    let several = Device { tasks: &tasks, ..device() };
    assert_eq!(taken(json!({ "task": "door" }), &several, 1), Ok(Accepted::Begin));
    assert_eq!(taken(json!({ "task": "bin" }), &several, 1), Err(Code::WrongBackbone));
    assert_eq!(taken(json!({ "task": "gate" }), &several, 1), Err(Code::UnknownTask));
    assert_eq!(taken(json!({}), &several, 1), Err(Code::UnknownTask), "which of the two nobody can tell");
    assert_eq!(taken(json!({}), &Device { tasks: &tasks[..1], ..device() }, 1), Ok(Accepted::Begin), "the only one");
    assert_eq!(taken(json!({ "task": "default" }), &device(), 1), Ok(Accepted::Begin));
    let manifest = opened(&signed(json!({ "task": "gate" }))).unwrap();
    let refusal = accept(&manifest, UpdateKind::Head, &several, MADE).unwrap_err();
    assert!(refusal.reason.contains("task gate, and this device has door, bin"), "{refusal}");
    let refusal = accept(&opened(&signed(json!({}))).unwrap(), UpdateKind::Head, &several, MADE).unwrap_err();
    assert!(refusal.reason.contains("for which of door, bin"), "{refusal}");
}

#[test]
fn mix_and_match_of_head_and_backbone_is_refused() {
    let other = [(TaskId::default(), space(b"another"))];
    let other = Device { tasks: &other, ..device() };
    assert_eq!(taken(json!({}), &other, 1), Err(Code::WrongBackbone));
    let prepared = EmbeddingSpace { preprocessing: Digest::of(b"other"), ..space(b"b") };
    let prepared = [(TaskId::default(), prepared)];
    assert_eq!(taken(json!({}), &Device { tasks: &prepared, ..device() }, 1), Err(Code::WrongBackbone));
    let manifest = opened(&signed(json!({}))).unwrap();
    let refusal = accept(&manifest, UpdateKind::Backbone, &device(), MADE).unwrap_err();
    assert_eq!(refusal.code, Code::WrongKind, "a head on the backbone's topic");
}

#[test]
fn chunks_are_requested_in_order_once_and_only_while_missing() {
    let manifest = opened(&signed(json!({ "size": 70 * 1_024 + 1 }))).unwrap();
    let mut chunks = Chunks::of(&manifest);
    assert_eq!((chunks.count(), chunks.length(69), chunks.length(70), chunks.length(71)), (71, 1_024, 1, 0));
    assert_eq!(chunks.next(), (0..16).collect::<Vec<_>>());
    for n in (0..71).filter(|n| n % 8 != 0) {
        chunks.add(n);
    }
    assert_eq!(chunks.next(), [0, 8, 16, 24, 32, 40, 48, 56, 64]);
    assert_eq!(chunks.percent(), 87);
    assert_eq!((chunks.wants(8, 1_024), chunks.wants(9, 1_024)), (Ok(true), Ok(false)));
    for n in [0, 8, 16, 24, 32, 40, 48, 56, 56, 99] {
        chunks.add(n);
    }
    assert!(!chunks.is_complete());
    assert_eq!((chunks.next(), chunks.percent()), (vec![64], 98));
    chunks.add(64);
    assert!(chunks.is_complete() && chunks.next().is_empty() && chunks.percent() == 100);
}

/// The fenced block of `docs/updates.md` in this language.
fn documented(language: &str) -> String {
    let mut lines = include_str!("../../docs/updates.md").lines();
    lines.find(|line| *line == format!("```{language}")).expect("the page has such a block");
    lines.take_while(|line| *line != "```").collect::<Vec<_>>().join("\n")
}

#[test]
fn the_worked_example_of_the_page_was_signed_by_openssl_and_is_good() {
    let key = TrustedKey::from_pem(&documented("pem")).unwrap();
    let text = documented("json manifest");
    let manifest = Manifest::open(text.as_bytes(), &TrustedKeys(vec![key.clone()])).unwrap();
    assert_eq!((manifest.sha256, manifest.size), (Digest::of(b"the head"), 8));
    assert_eq!((manifest.signed_by.as_str(), key.id().as_str()), ("e4db7cca0534", "e4db7cca0534"));
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value.as_object_mut().unwrap().remove("signature");
    let signed = canonical(&value);
    let page = include_str!("../../docs/updates.md");
    assert!(page.contains(&Digest::of(&signed).to_string()) && signed.len() == 564, "{}", Digest::of(&signed));
}

#[test]
fn the_page_names_every_code_and_every_test_of_a_threat() {
    let page = include_str!("../../docs/updates.md");
    let codes = [
        Code::NoKeys,
        Code::Malformed,
        Code::BadSignature,
        Code::WrongKind,
        Code::WrongDevice,
        Code::Expired,
        Code::NotNewer,
        Code::FailedBefore,
        Code::TooLarge,
        Code::ChunkTooLarge,
        Code::WrongBackbone,
        Code::Sha256,
        Code::BadContent,
        Code::Worse,
        Code::DidNotHold,
        Code::NotPossible,
    ];
    for code in codes {
        assert!(page.contains(&format!("`{}`", code.as_str())), "{code:?}");
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
    let tests = [
        include_str!("tests.rs"),
        include_str!("tests/vectors.rs"),
        include_str!("../engine/tests/updates.rs"),
        include_str!("../daemon/workers/update_tests.rs"),
    ]
    .concat();
    let (_, threats) = page.split_once("| threat |").unwrap();
    let named = threats.split('`').skip(1).step_by(2).filter(|name| name.len() > 25 && !name.contains(['.', '/', ' ']));
    let names: Vec<&str> = named.collect();
    assert!(names.len() > 12, "{names:?}");
    for name in names {
        assert!(tests.contains(&format!("fn {name}()")), "there is no test {name}");
    }
}
