//! Samples that are forgotten while the daemon runs, by the command.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::camera::Part;
use crate::{QUIET, Stage, name, picture};

fn samples(stage: &Stage, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgetuned"));
    command.arg("--config").arg(stage.home.config()).args(["--json", "samples"]);
    command.args(words).output().unwrap()
}

fn forget(stage: &Stage, words: &[&str]) -> Value {
    let output = samples(stage, &[&["forget"], words].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The images that `samples list` names, and those that the daemon does.
fn listed(stage: &mut Stage, transaction: &str) -> [Vec<String>; 2] {
    let names = |list: &Value| {
        let mut names: Vec<_> = list.as_array().unwrap().iter().map(|s| s["image"].as_str().unwrap().into()).collect();
        names.sort();
        names
    };
    let by_command: Value = serde_json::from_slice(&samples(stage, &["list"]).stdout).unwrap();
    let by_daemon = stage.ears.ask("samples", transaction);
    [names(&by_command), names(&by_daemon["data"])]
}

fn knows(stage: &mut Stage, samples: u64, labelled: u64) {
    stage.ears.wait("health", "about what is left", |health| {
        (&health["samples"], &health["labelled"]) == (&json!(samples), &json!(labelled))
    });
}

#[test]
fn what_is_forgotten_while_it_runs_is_in_no_list_and_comes_back_by_no_restart_and_no_listing() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let parts = [Part::Nut, Part::Nut, Part::Bolt, Part::Bolt, Part::Pin];
    let names: Vec<String> = (0..)
        .zip(parts)
        .map(|(n, part)| {
            let bytes = picture(part, n);
            stage.home.put(&format!("{part}/{n}.jpg"), &bytes);
            name(&bytes)
        })
        .collect();
    knows(&mut stage, 5, 5);

    stage.ears.forget();
    assert_eq!(forget(&stage, &[&names[0][..12]]), json!({"samples": 1, "awaited": 0}));
    stage.ears.send("label", &json!({"image": "0123456789abcdef", "label": "bolt"}));
    stage.ears.ask("status", "the label was taken before this");
    assert_eq!(forget(&stage, &["--class", "bolt"]), json!({"samples": 2, "awaited": 1}));
    knows(&mut stage, 2, 2);
    let mut left = vec![names[1].clone(), names[4].clone()];
    left.sort();
    assert_eq!(listed(&mut stage, "l1"), [left.clone(), left.clone()]);
    for forgotten in [&names[0], &names[2]] {
        assert!(!samples(&stage, &["history", forgotten]).status.success(), "it has no history");
        assert!(!samples(&stage, &["forget", forgotten]).status.success(), "and cannot be forgotten again");
        stage.ears.send("request/predict", &json!({"transaction": forgotten, "image": forgotten}));
        let predicted = stage.ears.answer("predict", forgotten);
        assert_eq!(predicted["error"]["code"], "not_found", "{predicted}");
    }

    // A listing looks at every file, and so does a start; what is copied in afterwards shows that both are over.
    stage.ears.ask("rescan", "r1");
    for (n, restarts) in [(10, false), (11, true)] {
        if restarts {
            stage.restart();
        }
        stage.ears.forget();
        let later = stage.home.put(&format!("{n}.jpg"), &picture(Part::Gear, n));
        stage.ears.prediction(&later);
        left.push(name(&picture(Part::Gear, n)));
        left.sort();
        knows(&mut stage, left.len() as u64, 2);
        assert_eq!(listed(&mut stage, &format!("l{n}")), [left.clone(), left.clone()], "restarted: {restarts}");
    }

    // One that moves is a new arrival, with the label of its folder.
    let camera = stage.home.camera();
    stage.ears.forget();
    fs::rename(camera.join("bolt/2.jpg"), camera.join("bolt/again.jpg")).unwrap();
    knows(&mut stage, 5, 3);
    left.push(names[2].clone());
    left.sort();
    assert_eq!(listed(&mut stage, "l12"), [left.clone(), left]);
}
