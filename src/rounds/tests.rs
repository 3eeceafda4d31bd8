//! A round over a network that loses, repeats and delays, with devices that restart.

use std::collections::BTreeMap;
use std::time::Duration;

use ndarray::Array2;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::*;
use crate::fleet::{Source, Statistics};
use crate::head::BackboneRef;
use crate::wire::command::StatisticsPart;
use crate::wire::{Answer, ErrorCode};
use crate::words::{Digest, EmbeddingSpace, Label, Region, TaskId};

fn file(seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 8 };
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"m"), dim: 8 };
    let source = Source { task: TaskId::default(), backbone, space, region: Region::WHOLE, projection: None };
    let labels: Vec<Label> = (0..20).map(|i| Label::new(["gear", "nut"][i % 2]).unwrap()).collect();
    let x = Array2::from_shape_simple_fn((20, 8), || rng.random::<f32>());
    Statistics::gather(source, x.view(), &labels, None, 2).unwrap().to_bytes()
}

/// A device as the round sees it.
struct Played {
    file: Vec<u8>,
    shares: bool,
    is_there: bool,
}

impl Played {
    fn answer(&self, arguments: &serde_json::Map<String, Value>) -> Answer {
        if !self.shares {
            return Answer::error(ErrorCode::NotPossible, "this device shares nothing");
        }
        let sha256 = Digest::of(&self.file);
        if arguments.get("sha256").is_some_and(|asked| *asked != json!(sha256)) {
            return Answer::error(ErrorCode::NotFound, "these statistics are no longer there");
        }
        let offset = arguments.get("offset").and_then(Value::as_u64).unwrap_or(0);
        let length = arguments["length"].as_u64().unwrap() as u32;
        Answer::ok(&StatisticsPart::of(&self.file, sha256, offset, length))
    }
}

fn gathering() -> Gathering {
    Gathering::new(None, None, 200)
}

/// Whether a device gave its file; fails where it cannot have ended so.
fn is_honest(played: &Played, talk: &Gathering, ending: &Ending, seed: u64) -> bool {
    match ending {
        Ending::Answered => {
            assert!(played.shares && played.is_there, "seed {seed}");
            assert!(Statistics::from_bytes(talk.file()).is_ok(), "seed {seed}");
        }
        Ending::Refused(reason) => assert!(!played.shares || reason.contains("no longer"), "seed {seed}: {reason}"),
        Ending::Silent => {}
    }
    *ending == Ending::Answered
}

#[test]
fn every_device_ends_whatever_the_network_does() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut devices: BTreeMap<String, Played> = (0..rng.random_range(1..40))
            .map(|n| {
                let played = Played { file: file(n), shares: rng.random_bool(0.8), is_there: rng.random_bool(0.9) };
                (format!("line-{n}"), played)
            })
            .collect();
        let mut round = Round::searching("r", |_: &str| gathering());
        let (mut now, mut wire): (Duration, Vec<(Duration, Heard)>) = (Duration::ZERO, Vec::new());
        wire.push((now, Heard::Connected));
        for id in devices.keys() {
            wire.push((Duration::from_millis(rng.random_range(1..1_500)), Heard::Device(id.clone())));
        }
        let mut ended = Vec::new();
        while !round.is_over() {
            assert!(now < Duration::from_hours(2), "seed {seed}: it never ends");
            wire.sort_by_key(|(at, _)| *at);
            let heard = match (wire.first(), round.due()) {
                (Some((at, _)), Some(due)) if *at <= due => wire.remove(0),
                (Some(_), None) => wire.remove(0),
                (_, Some(due)) => (due, Heard::Tick),
                (None, None) => panic!("seed {seed}: nothing is due and it is not over"),
            };
            now = now.max(heard.0);
            round.hear(now, heard.1);
            while let Some(act) = round.next_act() {
                let (device, arguments) = match act {
                    Act::Ask { device, arguments, .. } => (device, arguments),
                    Act::Ended { device, talk, ending } => {
                        ended.push((device, talk, ending));
                        continue;
                    }
                };
                let played = devices.get_mut(&device).unwrap();
                if rng.random_bool(0.01) {
                    // It restarts with more labels: its file is another one.
                    played.file = file(rng.random_range(100..200));
                }
                if !played.is_there || rng.random_bool(0.05) {
                    continue;
                }
                let answer = played.answer(&arguments);
                let transaction = arguments["transaction"].as_str().unwrap().to_owned();
                for _ in 0..rng.random_range(1..3) {
                    let late =
                        Duration::from_millis(if rng.random_bool(0.03) { 20_000 } else { rng.random_range(1..3_000) });
                    let answer = Heard::Answer {
                        device: device.clone(),
                        transaction: transaction.clone(),
                        answer: answer.clone(),
                    };
                    wire.push((now + late, answer));
                }
                if rng.random_bool(0.005) {
                    wire.push((now, Heard::Connected));
                }
            }
        }
        let answered = ended.iter().filter(|(id, talk, ending)| is_honest(&devices[id], talk, ending, seed)).count();
        let willing = devices.values().filter(|played| played.shares && played.is_there).count();
        assert!(answered * 10 >= willing * 8, "seed {seed}: {answered} of {willing}");
        assert_eq!(
            (round.progress(), ended.len()),
            ((devices.len(), devices.len()), devices.len()),
            "seed {seed}: all were found"
        );
    }
}

#[test]
fn no_more_than_sixteen_are_asked_at_a_time() {
    let mut round = Round::with("r", (0..40).map(|n| format!("line-{n}")), |_: &str| gathering());
    round.hear(Duration::ZERO, Heard::Connected);
    let asked = std::iter::from_fn(|| round.next_act()).filter(|act| matches!(act, Act::Ask { .. })).count();
    assert_eq!(asked, UNDER_WAY);
}

#[test]
fn a_device_that_does_not_answer_is_asked_four_times() {
    let mut round = Round::with("r", ["line-1".to_owned()], |_: &str| gathering());
    let (mut now, mut asked, mut endings) = (Duration::ZERO, 0, Vec::new());
    round.hear(now, Heard::Connected);
    loop {
        while let Some(act) = round.next_act() {
            match act {
                Act::Ask { .. } => asked += 1,
                Act::Ended { ending, .. } => endings.push(ending),
            }
        }
        let Some(due) = round.due() else { break };
        now = due;
        round.hear(now, Heard::Tick);
    }
    assert_eq!((asked, endings), (TRIES, vec![Ending::Silent]));
}

#[test]
fn parts_that_are_not_the_next_one_and_files_that_are_none_are_refused() {
    let good = file(1);
    let part =
        |bytes: &[u8], offset| serde_json::to_value(StatisticsPart::of(bytes, Digest::of(bytes), offset, 100)).unwrap();
    assert!(gathering().take(part(&good, 5)).unwrap_err().contains("not the one that was asked for"));
    assert!(gathering().take(json!({ "n": 1 })).unwrap_err().contains("update one of the two"));
    let garbage = [7; 50];
    assert!(gathering().take(part(&garbage, 0)).unwrap_err().contains("damaged"));
    let mut huge = part(&good, 0);
    huge["bytes"] = json!(1_u64 << 40);
    assert!(gathering().take(huge).unwrap_err().contains("fewer values"));
}

#[test]
fn heads_are_measured_one_after_another() {
    let mut talk = Scoring::new(Some("door".parse().unwrap()), &[vec![1], vec![2]]);
    let score = json!({ "n": 3, "right": 2, "log_loss": [1.0], "unknown": 0 });
    let (name, first) = talk.request();
    assert_eq!((name, &first["head"], &first["task"]), ("score", &json!("AQ=="), &json!("door")));
    assert_eq!(talk.take(score.clone()), Ok(false));
    assert_eq!(talk.request().1["head"], "Ag==");
    assert_eq!(talk.take(score), Ok(true));
    assert_eq!(talk.scores().len(), 2);
}
