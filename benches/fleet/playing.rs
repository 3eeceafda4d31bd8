//! A collection over a played broker: a part of the messages is lost or comes twice, devices restart and lag behind.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use edgetuned::rounds::{Act, Ending, Gathering, Heard, Round};
use edgetuned::wire::command::StatisticsPart;
use edgetuned::wire::{Answer, ErrorCode};
use edgetuned::words::Digest;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::SIZES;
use super::merging;

/// Bytes of a part, the program's own.
const PART: u32 = 48 << 10;
/// Shares of messages that are lost and that come twice, of requests before which a device restarts, and of devices that lag.
const LOST: f64 = 0.01;
const TWICE: f64 = 0.01;
const RESTARTS: f64 = 0.002;
const LAGS: f64 = 0.05;

/// Messages on their way, by the time at which they come.
type Wire = BinaryHeap<Reverse<(Duration, usize)>>;

/// What a collection took.
pub struct Collected {
    /// Requests and answers.
    pub messages: u64,
    pub mib: f64,
    pub minutes: f64,
}

pub fn run() -> Vec<Collected> {
    println!(
        "\n1 % of messages lost, 1 % twice, 0.2 % of requests meet a restart, 5 % of devices take up to 10 s an answer"
    );
    println!(
        "{:>8} {:>10} {:>10} {:>12} {:>10} {:>10} {:>8}",
        "devices", "requests", "answers", "MiB", "minutes", "whole", "silent"
    );
    SIZES.into_iter().map(play).collect()
}

fn play(devices: usize) -> Collected {
    let mut rng = ChaCha8Rng::seed_from_u64(devices as u64);
    let files: Vec<Vec<u8>> = (0..4).map(merging::file).collect();
    let sums: Vec<Digest> = files.iter().map(|file| Digest::of(file)).collect();
    let lag: Vec<u64> = (0..devices).map(|_| if rng.random_bool(LAGS) { 10_000 } else { 300 }).collect();
    let mut version: Vec<usize> = (0..devices).map(|device| device % files.len()).collect();
    let mut round = Round::searching("r", |_: &str| Gathering::new(None, None, PART));
    let mut wire = Wire::new();
    // Messages on their way, by number.
    let mut kept: Vec<Option<Heard>> = vec![Some(Heard::Connected)];
    wire.push(Reverse((Duration::ZERO, 0)));
    for device in 0..devices {
        kept.push(Some(Heard::Device(format!("line-{device}"))));
        wire.push(Reverse((Duration::from_millis(device as u64 / 10), kept.len() - 1)));
    }
    let (mut now, mut requests, mut answers, mut bytes) = (Duration::ZERO, 0_u64, 0_u64, 0_u64);
    let (mut whole, mut silent) = (0, 0);
    while !round.is_over() {
        let (at, heard) = next(&mut wire, &mut kept, round.due());
        now = now.max(at);
        round.hear(now, heard);
        while let Some(act) = round.next_act() {
            let (device, arguments) = match act {
                Act::Ask { device, arguments, .. } => (device, arguments),
                Act::Ended { ending, .. } => {
                    whole += usize::from(ending == Ending::Answered);
                    silent += usize::from(ending == Ending::Silent);
                    continue;
                }
            };
            requests += 1;
            bytes += serde_json::to_vec(&arguments).map_or(0, |text| text.len() as u64);
            let number: usize = device["line-".len()..].parse().expect("as it was named");
            if rng.random_bool(LOST) {
                continue;
            }
            if rng.random_bool(RESTARTS) {
                version[number] = (version[number] + 1) % files.len();
            }
            let place = version[number];
            let answer = answer(&arguments, &files[place], sums[place]);
            let transaction = arguments["transaction"].as_str().expect("it is text").to_owned();
            let copies = if rng.random_bool(TWICE) { 2 } else { 1 };
            for _ in 0..copies {
                answers += 1;
                if let Answer::Ok { data } = &answer {
                    bytes += data["data"].as_str().map_or(0, |text| text.len() as u64) + 200;
                }
                if rng.random_bool(LOST) {
                    continue;
                }
                let at = now + Duration::from_millis(rng.random_range(20..lag[number]));
                let heard =
                    Heard::Answer { device: device.clone(), transaction: transaction.clone(), answer: answer.clone() };
                kept.push(Some(heard));
                wire.push(Reverse((at, kept.len() - 1)));
            }
        }
    }
    let mib = bytes as f64 / f64::from(1 << 20);
    let minutes = now.as_secs_f64() / 60.0;
    println!("{devices:>8} {requests:>10} {answers:>10} {mib:>12.1} {minutes:>10.1} {whole:>10} {silent:>8}");
    Collected { messages: requests + answers, mib, minutes }
}

/// What happens next, and when.
fn next(wire: &mut Wire, kept: &mut [Option<Heard>], due: Option<Duration>) -> (Duration, Heard) {
    match (wire.peek().map(|Reverse((at, _))| *at), due) {
        (Some(at), due) if due.is_none_or(|due| at <= due) => {
            let Reverse((_, place)) = wire.pop().expect("it was there");
            (at, kept[place].take().expect("once"))
        }
        (_, due) => (due.expect("something is due until it is over"), Heard::Tick),
    }
}

/// What a device says that has this file.
fn answer(arguments: &Map<String, Value>, file: &[u8], sha256: Digest) -> Answer {
    if arguments.get("sha256").is_some_and(|asked| *asked != json!(sha256)) {
        return Answer::error(ErrorCode::NotFound, "these statistics are no longer there");
    }
    let offset = arguments.get("offset").and_then(Value::as_u64).unwrap_or(0);
    Answer::ok(&StatisticsPart::of(file, sha256, offset, PART))
}
