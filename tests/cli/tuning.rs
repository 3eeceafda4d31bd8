//! `train --tune`: both phases are reported, and the head is that of the one which is better.

use serde_json::{Value, json};

use crate::desk::Desk;

/// The report of a training on the desk's pictures.
fn trained(desk: &Desk, more: &str) -> Value {
    desk.good(&format!(
        "train train --solver adam --epochs 3 --tune --tune-epochs 2 --tune-lr 1e-5 --tune-views 2 {more}"
    ))
}

#[test]
fn both_phases_are_reported_on_the_same_pictures_and_the_head_answers() {
    let desk = Desk::with_pictures();
    let report = trained(&desk, "--backbone photo --test test --out h.safetensors");
    assert_eq!((&report["phase"], &report["epochs"].as_array().map(Vec::len)), (&json!(2), &Some(2)), "{report}");
    let phases = report["phases"].as_array().unwrap();
    assert_eq!(
        phases.iter().map(|phase| (&phase["phase"], &phase["n"])).collect::<Vec<_>>(),
        [(&json!(1), &json!(12)), (&json!(2), &json!(12))]
    );
    assert!(report["tuned"].is_boolean() && !report["reason"].as_str().unwrap().is_empty(), "{report}");
    let evaluated = desk.good("evaluate test --head h.safetensors");
    assert_eq!(evaluated["accuracy"], report["accuracy"], "it is the head that was written");
}

#[test]
fn where_no_layer_can_be_trained_on_the_first_phase_is_kept_with_the_reason() {
    let desk = Desk::with_pictures();
    let report = trained(&desk, "--backbone tiny-test --out h.safetensors");
    assert_eq!(report["tuned"], false, "{report}");
    assert!(report["reason"].as_str().unwrap().contains("the tail is not trainable"), "{report}");
    assert!(desk.path("h.safetensors").is_file());
}
