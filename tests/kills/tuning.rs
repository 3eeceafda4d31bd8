//! Kills of a daemon that trains its backbone's last layers on, while a head with such layers serves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use edgetuned::backbone::{Embedding, Manifest, OnnxBackbone, read, tail_input, tail_network};
use edgetuned::engine::{HeadStatus, TrainingOrder, Write};
use edgetuned::head::{DenseHead, HeadRecord, Tail, Tuning};
use edgetuned::store::Store;
use edgetuned::train::TailLayers;
use edgetuned::words::{Digest, HeadRef, SampleId, TaskId, Timestamp};
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::camera::{Camera, Light, Part};
use crate::kept::Kept;
use crate::life::{Asked, Deeds, Life};
use crate::onnx::{Attribute, Net};
use crate::questions::Question;
use crate::said::Said;
use crate::{Device, PARTS, START_MAX, begun, check_store};

/// As many labels a class as a second phase asks for.
const EACH: u64 = 20;
/// Long enough that most kills hit it.
const EPOCHS: u32 = 60;

/// A small network whose last layers can be trained on, in this folder.
fn drawn(folder: &Path) -> Manifest {
    let halving = [Attribute::Ints("strides", &[2, 2]), Attribute::Ints("pads", &[1, 1, 1, 1])];
    let pads = [Attribute::Ints("pads", &[1, 1, 1, 1])];
    let net = Net::default().input("input", "n 3 16 16").weight("w1", &[8, 3, 3, 3]).weight("w2", &[8, 8, 3, 3]);
    let net = net.node_with("Conv", "input w1", "c1", &halving).node("Relu", "c1", "r1");
    let net = net.node_with("Conv", "r1 w2", "c2", &pads).node("Relu", "c2", "r2");
    let net = net.node("GlobalAveragePool", "r2", "mean").node("Flatten", "mean", "embedding");
    let bytes = net.output("embedding", "n 8").bytes();
    let (file, sha256) = (folder.join("drawn.onnx"), Digest::of(&bytes));
    fs::write(&file, bytes).unwrap();
    let text = format!(
        "name: drawn\nfile: drawn.onnx\nsha256: {sha256}\ninput:\n  tensor: input\n  layout: nchw\n  size: [16, 16]\n  \
         channels: rgb\n  mean: 127.5\n  std: 127.5\n  resize: stretch\nembedding:\n  tensor: embedding\n  dim: 8\n"
    );
    let path = folder.join("drawn.yaml");
    fs::write(&path, text).unwrap();
    Manifest::load(&path).unwrap()
}

/// The last convolution of the network, with the weights that it has.
fn tail_of(manifest: &Manifest) -> Tail {
    let (bytes, graph) = read(manifest).unwrap();
    let input = tail_input(&graph, &manifest.embedding.tensor, TailLayers::LastConv).unwrap();
    let cut = Embedding { tensor: input.clone(), ..manifest.embedding.clone() };
    let shape = OnnxBackbone::shape(&Manifest { embedding: cut, ..manifest.clone() }).unwrap();
    let axes = [1, 2, 3].map(|axis| shape[axis] as usize);
    let network = tail_network(&bytes, &graph, &input, &manifest.embedding, axes, TailLayers::LastConv).unwrap();
    network.tail(&network.original())
}

/// Kills a daemon so often, most times while it tunes, and looks each time.
pub fn killed(kills: u64, seed: u64) {
    println!("KILL_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let manifest = drawn(folder.path());
    // Nobody promotes a head, so that the one with a tail serves on.
    let settings = format!(
        "training: {{ schedule: null, min_new_labels: 1000000, cooldown: 0s, tune: {{ when: manual, layers: last_conv, \
         views: 2, epochs: {EPOCHS} }} }}\npromotion: {{ policy: manual }}\nbackbone: {{ model: {} }}",
        folder.path().join("drawn.yaml").display()
    );
    let device = Device { settings, manifest: manifest.clone() };
    let Some((_broker, mut life)) = begun(seed, Question::only(), &device) else { return };
    let mut started = Instant::now();
    let mut daemon = life.home.start();
    let mut slowest = life.online(started);
    for part in PARTS {
        (0..EACH).for_each(|n| labelled(&mut life, part, n));
    }
    life.hear_predictions();
    life.ears.send("request/train", &json!({ "transaction": "first" }));
    life.until("a head is there", |said, _| said.trainings() > 0);
    daemon.stop(Duration::from_secs(10));
    life.listen(Duration::from_millis(20));
    give_tail(&life, tail_of(&manifest));
    life.said.forget_first_phase();
    started = Instant::now();
    daemon = life.home.start();
    let mut hits = 0;
    for round in 0..kills {
        let transaction = format!("u{round}");
        life.ears.send("request/tune", &json!({ "transaction": transaction }));
        life.deeds.asked.insert(transaction.clone(), Asked::Training(TaskId::default()));
        let part = PARTS[life.dice.random_range(0..PARTS.len())];
        labelled(&mut life, part, EACH + round);
        if life.dice.random_bool(0.7) {
            slowest = slowest.max(life.online(started));
            let before = life.said.tuning();
            life.until("a second phase runs, or all are over", |said, deeds| {
                said.tuning() > before || (said.answers(&transaction) && said.has_trained(deeds))
            });
        }
        // Hardly one would end before a kill.
        if round % 20 == 4 {
            life.hear_trainings();
            life.ears.send("request/tune", &json!({ "transaction": format!("{transaction}-again") }));
            life.deeds.asked.insert(format!("{transaction}-again"), Asked::Training(TaskId::default()));
        }
        let wait = Duration::from_millis(life.dice.random_range(0..300));
        life.listen(wait);
        let context = format!("KILL_SEED={seed}, kill {} of {kills}", round + 1);
        life.kill(daemon, &context);
        let kept = life.look().unwrap();
        hits += u64::from(is_whole(&life.said, &life.deeds, &kept).unwrap_or_else(|lost| panic!("{context}: {lost}")));
        started = Instant::now();
        daemon = life.home.start();
    }
    slowest = slowest.max(life.online(started));
    life.hear_predictions();
    life.hear_trainings();
    daemon.stop(Duration::from_secs(10));
    life.listen(Duration::from_millis(20));
    let kept = life.look().unwrap();
    is_whole(&life.said, &life.deeds, &kept).unwrap();
    are_missed(&life, &kept);
    check_store(&life);
    let (all, without) = (life.said.trainings(), life.said.without_second_phase());
    assert!(without.is_empty(), "trainings {without:?} have no report of a second phase");
    println!("{kills} kills, {hits} of them while a tuning ran: {}; slowest start {slowest:.1?}", life.said.told());
    assert!(slowest < START_MAX, "a start took {slowest:?}");
    assert!(hits * 2 > kills && all > 0, "{hits} of {kills} kills hit a tuning, {all} ended");
}

/// Puts the head that was trained into service, with these last layers.
fn give_tail(life: &Life, tail: Tail) {
    let task = TaskId::default();
    let mut store = Store::open_existing(&life.home.state()).unwrap();
    let head = store.reader().unwrap().head(&task, 1).unwrap().unwrap();
    let record = HeadRecord::from_bytes(&head.bytes).unwrap();
    let first = record.dense.clone();
    let dense = DenseHead { space: tail.space(first.space), ..first.clone() };
    let head = HeadRef { id: dense.id(), version: 2 };
    let record = HeadRecord { head, dense, tuning: Some(Tuning { tail, first, figures: None }), ..record };
    let status = Write::HeadStatus {
        task: task.clone(),
        version: 2,
        status: HeadStatus::Champion,
        reason: "tuned".into(),
        at: Timestamp(1),
    };
    store.commit(&[Write::Head { task, record: Box::new(record) }, status]).unwrap();
}

fn labelled(life: &mut Life, part: Part, n: u64) {
    let bytes = Camera::new(5).with_size(160, 120).jpeg(part, n, &Light::DAY);
    let (id, task) = (SampleId::of(&bytes), TaskId::default());
    life.deeds.images.insert(id);
    life.deeds.labels.insert((task.clone(), id), part.name().to_owned());
    life.deeds.sorted.insert((task, id));
    life.home.put(&format!("{part}/{n}.jpg"), &bytes);
}

/// Whether a kill hit a training with a second phase, when every tuning that was accepted is there as it was ordered or has its
/// result, and the head in service has its tail.
fn is_whole(said: &Said, deeds: &Deeds, kept: &Kept) -> Result<bool, String> {
    let task = TaskId::default();
    let stored = kept.task(&task);
    let orders: Vec<&TrainingOrder> = stored.training.running.iter().chain(&stored.training.due).collect();
    if let Some(order) = orders.iter().find(|order| !order.tune) {
        return Err(format!("an order has no second phase: {order:?}"));
    }
    let unsent = kept.reader.reports_after(0, 10_000).unwrap();
    let results = unsent.iter().filter(|message| message.topic.to_string() == "train/result");
    let numbers =
        results.map(|message| serde_json::from_slice::<Value>(&message.payload).unwrap()["training"].as_u64());
    let unsent: BTreeSet<u64> = numbers.flatten().collect();
    let is_there = |id: u64| orders.iter().any(|order| order.id == id) || unsent.contains(&id);
    if let Some(lost) = said.not_ended(deeds).into_iter().find(|id| !is_there(*id)) {
        return Err(format!("tuning {lost} was accepted, and neither its order nor its result is there"));
    }
    let champion = kept.reader.champion(&task).unwrap().ok_or("no head serves")?;
    let record = HeadRecord::from_bytes(&champion.bytes).map_err(|error| error.to_string())?;
    if record.tail().is_none() || record.head != champion.info.head {
        return Err(format!("head {} serves without its tail", record.head));
    }
    Ok(stored.training.running.is_some())
}

/// The look can fail: an order that is lost is missed.
fn are_missed(life: &Life, kept: &Kept) {
    let mut said = life.said.clone();
    let next = kept.task(&TaskId::default()).training.next_id;
    said.forget_result(next);
    is_whole(&said, &life.deeds, kept).expect_err("a tuning is neither ordered nor over");
}
