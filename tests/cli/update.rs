//! `update`: keys, manifests, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::camera::Part;
use crate::desk::{Desk, models};

/// A desk with a pair of keys and a head.
pub fn desk() -> Desk {
    let desk = Desk::new();
    desk.shoot("parts", Part::Nut, 0..3);
    desk.shoot("parts", Part::Gear, 0..3);
    desk.good("train parts --out parts.safetensors --backbone tiny-test");
    desk.good("update keygen --out signing.key");
    desk
}

pub const SIGN: &str =
    "update sign --kind head --file parts.safetensors --name parts --key signing.key --out parts.json";

#[test]
fn keys_are_made_for_their_owner_alone_and_never_replaced() {
    let desk = Desk::new();
    let made = desk.good("update keygen --out signing.key");
    assert_eq!((&made["key"], &made["public_key"]), (&json!("signing.key"), &json!("signing.key.pub")));
    let mode = |name: &str| fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("signing.key"), 0o600);
    let secret = fs::read_to_string(desk.path("signing.key")).unwrap();
    assert!(secret.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    desk.fails("update keygen --out signing.key", 1, &["signing.key", "exists", "another name"]);
    fs::remove_file(desk.path("signing.key")).unwrap();
    desk.fails("update keygen --out signing.key", 1, &["signing.key.pub", "exists"]);
    assert!(!desk.path("signing.key").exists());
    let other = desk.good("update keygen --out other.key");
    assert_ne!(other["key_id"], made["key_id"]);
    desk.fails("update keygen --out gone/other.key", 1, &["cannot write", "gone/other.key"]);
}

#[test]
fn a_manifest_describes_what_was_signed_and_verifies_with_its_key_only() {
    let desk = desk();
    let signed = desk.good(&format!("{SIGN} --version 5 --device line-* --device cam-1 --expires 12h --chunk-kb 32"));
    let text = fs::read(desk.path("parts.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((&manifest["v"], &manifest["kind"], &manifest["version"]), (&json!(1), &json!("head"), &json!(5)));
    assert_eq!((&manifest["devices"], &manifest["chunk_bytes"]), (&json!(["line-*", "cam-1"]), &json!(32 << 10)));
    assert_eq!((&manifest["sha256"], &manifest["key_id"]), (&signed["sha256"], &signed["key_id"]));
    assert_eq!(manifest["backbone"]["name"], "tiny-test");
    let good = desk.good("update verify parts.json --key signing.key.pub --file parts.safetensors");
    assert_eq!((&good["signed_by"], &good["file_checked"]), (&signed["key_id"], &json!(true)));
    desk.good("update keygen --out other.key");
    desk.fails("update verify parts.json --key other.key.pub", 1, &["bad_signature", "none of the trusted keys"]);
    desk.good("update verify parts.json --key other.key.pub --key signing.key.pub");
    desk.put("other.safetensors", b"something else");
    let other = "update verify parts.json --key signing.key.pub --file other.safetensors";
    desk.fails(other, 1, &["14 bytes", "the file that was signed"]);
    desk.put("changed.json", String::from_utf8(text).unwrap().replace("cam-1", "cam-2").as_bytes());
    desk.fails("update verify changed.json --key signing.key.pub", 1, &["bad_signature"]);
    desk.fails("update verify parts.json --key signing.key", 1, &["signing.key", "BEGIN PUBLIC KEY"]);
    desk.fails("update verify gone.json --key signing.key.pub", 1, &["cannot read gone.json"]);
}

#[test]
fn a_head_is_signed_for_a_task() {
    let desk = desk();
    let manifest = || -> Value { serde_json::from_slice(&fs::read(desk.path("parts.json")).unwrap()).unwrap() };
    desk.good(&format!("{SIGN} --version 5"));
    assert!(manifest().get("task").is_none());
    desk.good(&format!("{SIGN} --version 5 --task door"));
    assert_eq!(manifest()["task"], "door");
    desk.good("update verify parts.json --key signing.key.pub --file parts.safetensors");
    assert_eq!(desk.run(&format!("{SIGN} --version 5 --task Door")).code, Some(64));
}

#[test]
fn a_backbone_is_signed_with_its_manifest_and_only_with_its_own() {
    let desk = desk();
    for name in ["tiny-test.onnx", "tiny-test.yaml"] {
        fs::copy(models().join(name), desk.path(name)).unwrap();
    }
    let sign = "update sign --kind backbone --name tiny --version 2 --key signing.key --out tiny.json";
    desk.good(&format!("{sign} --file tiny-test.onnx --backbone-manifest tiny-test.yaml"));
    let manifest: Value = serde_json::from_slice(&fs::read(desk.path("tiny.json")).unwrap()).unwrap();
    assert_eq!((&manifest["kind"], &manifest["manifest"]["name"]), (&json!("backbone"), &json!("tiny-test")));
    assert_eq!(manifest["manifest"]["sha256"], manifest["sha256"]);
    assert!(manifest["manifest"].get("file").is_none(), "where it lies is the device's matter");
    desk.good("update verify tiny.json --key signing.key.pub --file tiny-test.onnx");
    let of_a_task = format!("{sign} --file tiny-test.onnx --backbone-manifest tiny-test.yaml --task door");
    desk.fails(&of_a_task, 64, &["leave --task out"]);
    let other = format!("{sign} --file parts.safetensors --backbone-manifest tiny-test.yaml");
    desk.fails(&other, 1, &["is of a model with SHA-256", "give the manifest of this model"]);
}

#[test]
fn failures_to_sign_or_publish_have_their_message_and_exit_code() {
    let desk = desk();
    desk.fails(
        &format!("{SIGN} --version 5 --key signing.key.pub").replace(" --key signing.key ", " "),
        1,
        &["PRIVATE KEY"],
    );
    desk.put("parts.txt", b"no head");
    desk.fails(&format!("{SIGN} --version 5").replace("parts.safetensors", "parts.txt"), 1, &["parts.txt"]);
    for words in [
        format!("{SIGN} --version 0"),
        format!("{SIGN} --version 9007199254740992"),
        format!("{SIGN} --version 5 --expires 5"),
        format!("{SIGN} --version 5 --chunk-kb 0"),
        format!("{SIGN} --version 5 --device Line"),
        SIGN.to_owned(),
        "update sign --kind backbone --file a --name b --version 1 --key signing.key --out c".to_owned(),
        "update verify parts.json".to_owned(),
        "update".to_owned(),
    ] {
        assert_eq!(desk.run(&words).code, Some(64), "{words}");
    }
    desk.good(&format!("{SIGN} --version 5"));
    let publish = "update publish parts.json --file parts.safetensors --device line-3";
    // Nobody listens at port 1.
    desk.fails(&format!("{publish} --url mqtt://127.0.0.1:1 --timeout 1s"), 69, &["reported nothing", "127.0.0.1:1"]);
    desk.fails(&format!("{publish} --url nonsense"), 64, &["mqtt.url"]);
    desk.fails(&publish.replace("parts.safetensors", "parts.json"), 1, &["the file that was signed"]);
    desk.fails("update publish parts.txt --file parts.txt --device line-3", 1, &["is not a manifest"]);
}

#[test]
fn check_reads_the_trusted_keys() {
    let desk = Desk::new();
    desk.good("update keygen --out signing.key");
    let state = desk.path("state");
    fs::create_dir(&state).unwrap();
    let check = |names: &[&str]| {
        let keys: Vec<String> = names.iter().map(|name| desk.path(name).display().to_string()).collect();
        let store = state.display();
        let text = format!("store: {{ path: {store} }}\nmqtt: {{ url: null }}\nupdates:\n  trusted_keys: {keys:?}\n");
        desk.put("config.yaml", text.as_bytes());
        desk.json("check --config config.yaml")
    };
    assert_eq!(check(&["signing.key.pub"]).0, Some(0));
    let (code, checked) = check(&["signing.key", "gone.pub"]);
    let problems = checked["problems"].as_array().unwrap();
    assert_eq!((code, problems.len()), (Some(78), 2), "{checked}");
    for problem in problems {
        assert_eq!((&problem["key"], &problem["line"]), (&json!("updates.trusted_keys"), &json!(4)));
    }
    let ran = desk.run("run --config config.yaml");
    assert_eq!(ran.code, Some(78), "a key that cannot be read is no reason to trust nobody: {}", ran.err);
}
