//! From closing a file to its prediction at a subscriber, beyond decoding and inference; the same while a training runs.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::backbone::OnnxBackbone;
use edgetuned::image::{Limits, decode};
use edgetuned::ports::Embedder;

use crate::{SINGLE, Stage, picture, quantile};

const PICTURES: u64 = 200;
/// Between two pictures, and before decoding and inference alone: both begin with a processor that was at rest.
const PAUSE: Duration = Duration::from_millis(50);
/// Milliseconds.
const BARS: (f64, f64) = (1.5, 3.0);

pub fn measure(stage: &mut Stage, backbone: &mut OnnxBackbone) -> Result<(), Box<dyn Error>> {
    let (mut added, mut own) = (Vec::new(), Vec::new());
    for index in SINGLE..SINGLE + PICTURES {
        one(stage, backbone, index, &mut added, &mut own)?;
    }
    say("alone", &mut added, &mut own);
    beside_a_training(stage, backbone)
}

/// Trainings one after another; pictures that came while none ran do not count.
fn beside_a_training(stage: &mut Stage, backbone: &mut OnnxBackbone) -> Result<(), Box<dyn Error>> {
    let (mut added, mut own) = (Vec::new(), Vec::new());
    let (mut trainings, mut running) = (0, false);
    for index in SINGLE + PICTURES.. {
        if !running {
            trainings += 1;
            let transaction = format!("training-{trainings}");
            let answer = stage.ears.ask("train", &transaction);
            if answer["status"] != "ok" {
                return Err(format!("no training: {answer}").into());
            }
            running = true;
        }
        let before = added.len();
        let ended = one(stage, backbone, index, &mut added, &mut own)?;
        if ended {
            added.truncate(before);
            own.truncate(before);
            running = false;
        }
        if added.len() as u64 == PICTURES {
            break;
        }
    }
    if running {
        stage.ears.wait("train/result", "the last one", |_| true);
    }
    say(&format!("beside {trainings} trainings"), &mut added, &mut own);
    Ok(())
}

/// One picture; whether a training ended meanwhile.
fn one(
    stage: &mut Stage,
    backbone: &mut OnnxBackbone,
    index: u64,
    added: &mut Vec<f64>,
    own: &mut Vec<f64>,
) -> Result<bool, Box<dyn Error>> {
    let bytes = picture(index);
    thread::sleep(PAUSE);
    let started = Instant::now();
    let tensor = backbone.preprocess().apply(&decode(&bytes, &Limits::default())?);
    backbone.embed(&tensor, 1)?;
    let alone = started.elapsed().as_secs_f64() * 1e3;
    thread::sleep(PAUSE);
    let path = stage.home.put(&format!("{index}.jpg"), &bytes);
    let closed = Instant::now();
    let path = path.to_str().ok_or("a path that is no text")?;
    let heard = stage.ears.wait("prediction", path, |json| json["path"] == path).at;
    added.push(heard.saturating_duration_since(closed).as_secs_f64() * 1e3 - alone);
    own.push(alone);
    let ended = stage.ears.news().iter().any(|message| message.topic == "train/result");
    Ok(ended)
}

fn say(when: &str, added: &mut [f64], own: &mut [f64]) {
    let (median, late) = (quantile(added, 0.5), quantile(added, 0.95));
    println!(
        "  from closing a file to its prediction, {when}: median {median:.1} ms, p95 {late:.1} ms (bars: {} and {}) beyond \
         decoding and inference, which alone take {:.1} ms in this program",
        BARS.0,
        BARS.1,
        quantile(own, 0.5)
    );
}
