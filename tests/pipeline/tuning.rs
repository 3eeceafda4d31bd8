//! The second phase: ordered, reported, and a head that carries its own last layers in service.

use std::path::Path;

use edgetuned::backbone::{Embedding, Manifest, OnnxBackbone, read, tail_input, tail_network};
use edgetuned::engine::{HeadStatus, Write};
use edgetuned::head::{DenseHead, HeadRecord, Tuning};
use edgetuned::store::Store;
use edgetuned::train::TailLayers;
use edgetuned::words::{HeadRef, TaskId, Timestamp};
use serde_json::{Value, json};

use crate::camera::Part;
use crate::{ENDING, QUIET, Stage, picture};

const PARTS: [Part; 2] = [Part::Nut, Part::Washer];
/// As many as a second phase asks for.
const EACH: u64 = 20;

fn labelled(stage: &mut Stage) {
    for index in 0..EACH {
        for part in PARTS {
            stage.home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
        }
    }
    stage.ears.wait("health", "about the labels", |health| health["labelled"] == 2 * EACH);
}

#[test]
fn a_second_phase_is_run_on_request_and_both_are_reported() {
    let training = "training: { schedule: null, min_new_labels: 1000000, tune: { when: manual, views: 2, epochs: 1 } }";
    let Some(mut stage) = Stage::set(&format!("{training}\nbackbone: {{ model: photo }}")) else { return };
    labelled(&mut stage);
    assert_eq!(stage.ears.ask("tune", "first")["status"], "ok");
    stage.ears.wait("train/state", "in the second phase", |state| state["phase"] == "tuning");
    let result = stage.ears.wait("train/result", "of both phases", |_| true).json;
    assert_eq!((&result["phase"], &result["epochs"].as_array().map(Vec::len)), (&json!(2), &Some(1)), "{result}");
    let phases = result["phases"].as_array().unwrap();
    assert_eq!(phases.iter().map(|phase| &phase["phase"]).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(phases[0]["n"], phases[1]["n"], "on the same images");
    assert!(result["tuned"].is_boolean() && !result["tune_reason"].as_str().unwrap().is_empty(), "{result}");
    // What the tail begins with was kept: nothing is read again.
    std::fs::remove_dir_all(stage.home.camera().join("nut")).unwrap();
    assert_eq!(stage.ears.ask("tune", "second")["status"], "ok");
    let again = stage.ears.wait("train/result", "of the second", |result| result["training"] == 2).json;
    assert_eq!(again["phases"][1]["n"], result["phases"][1]["n"], "{again}");
}

#[test]
fn where_it_is_switched_off_a_second_phase_is_refused_with_the_setting() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let answer = stage.ears.ask("tune", "first");
    assert_eq!(answer["error"]["code"], "not_possible", "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("training.tune.when"), "{answer}");
}

/// `record` as one whose last block was trained on: with the weights that it had before, and a layer behind it that takes each
/// class for the other, so that its answers are none of the first phase's.
pub fn tuned(record: HeadRecord, manifest: &Manifest) -> HeadRecord {
    let (bytes, graph) = read(manifest).unwrap();
    let input = tail_input(&graph, &manifest.embedding.tensor, TailLayers::LastBlock).unwrap();
    let cut = Embedding { tensor: input.clone(), ..manifest.embedding.clone() };
    let shape = OnnxBackbone::shape(&Manifest { embedding: cut, ..manifest.clone() }).unwrap();
    let axes = [1, 2, 3].map(|axis| shape[axis] as usize);
    let network = tail_network(&bytes, &graph, &input, &manifest.embedding, axes, TailLayers::LastBlock).unwrap();
    let tail = network.tail(&network.original());
    let first = record.dense.clone();
    let (mut weights, mut bias) = (first.weights.clone(), first.bias.clone());
    weights.invert_axis(ndarray::Axis(0));
    bias.invert_axis(ndarray::Axis(0));
    let dense = DenseHead { space: tail.space(first.space), weights, bias, ..record.dense };
    let head = HeadRef { id: dense.id(), version: record.head.version + 1 };
    HeadRecord { head, dense, tuning: Some(Tuning { tail, first, figures: None }), ..record }
}

#[test]
fn a_head_with_its_own_last_layers_serves_is_shown_and_is_rolled_back() {
    let Some(mut stage) = Stage::set(&format!("{QUIET}\nbackbone: {{ model: photo }}")) else { return };
    labelled(&mut stage);
    assert_eq!(stage.ears.ask("train", "first")["status"], "ok");
    stage.ears.wait("train/result", "promoted", |result| result["promoted"] == true);
    stage.ears.wait("info", "with a head", |info| !info["head"].is_null());
    stage.daemon.stop(ENDING);
    let mut store = Store::open_existing(&stage.home.state()).unwrap();
    let task = TaskId::default();
    let champion = store.reader().unwrap().champion(&task).unwrap().unwrap();
    let manifest = Manifest::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/photo.yaml")).unwrap();
    let record = tuned(HeadRecord::from_bytes(&champion.bytes).unwrap(), &manifest);
    let (id, version) = (record.head.id.clone(), record.head.version);
    let status = Write::HeadStatus {
        task: task.clone(),
        version,
        status: HeadStatus::Champion,
        reason: "tuned".into(),
        at: Timestamp(1),
    };
    store.commit(&[Write::Head { task, record: Box::new(record) }, status]).unwrap();
    drop(store);

    stage.ears.forget();
    stage.daemon = stage.home.start();
    stage.ears.wait("info", "with the tuned head", |info| info["head"]["id"] == json!(id));
    let path = stage.home.put("new.jpg", &picture(Part::Washer, 900));
    let said: Value = stage.ears.prediction(&path);
    assert_eq!((&said["label"], &said["head"]), (&json!("nut"), &json!(id)), "{said}");
    let shown = stage.home.command(&["heads", "show", &version.to_string()]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("tuned: ") && shown.contains("of the backbone from"), "{shown}");
    let log = std::fs::read_to_string(stage.home.log()).unwrap();
    assert!(!log.contains("answer by their first phase"), "{log}");

    let exported = stage.ears.ask("export", "export");
    assert_eq!((&exported["status"], &exported["data"]["head"]["id"]), (&json!("ok"), &json!(id)), "{exported}");

    assert_eq!(stage.ears.ask("rollback", "back")["status"], "ok");
    stage.ears.wait("info", "with the former head", |info| info["head"]["version"] == json!(version - 1));
    let path = stage.home.put("newer.jpg", &picture(Part::Nut, 901));
    let said = stage.ears.prediction(&path);
    assert_eq!((&said["label"], &said["head"]), (&json!("nut"), &json!(champion.info.head.id)), "{said}");
}
