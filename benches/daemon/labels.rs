//! From sending a label to the first answer that it corrects.

use std::error::Error;
use std::time::{Duration, Instant};

use edgetuned::words::SampleId;
use serde_json::json;

use crate::{Stage, part, picture, quantile};

const LABELS: u64 = 60;
/// A label whose image is still called as before by then is one that the head's other evidence outweighs.
const PATIENCE: Duration = Duration::from_millis(500);
/// Milliseconds.
const BAR: f64 = 20.0;

pub fn measure(stage: &mut Stage) -> Result<(), Box<dyn Error>> {
    let (mut corrected, mut answers) = (Vec::new(), Vec::new());
    let mut asked = 0;
    for index in 0..LABELS {
        let image = SampleId::of(&picture(index)).to_string();
        // A class that the head does not know.
        let label = format!("{}, worn", part(index));
        let sent = Instant::now();
        stage.ears.send("label", &json!({ "image": image, "label": label }));
        while sent.elapsed() < PATIENCE {
            asked += 1;
            let transaction = format!("look-{asked}");
            let asking = Instant::now();
            stage.ears.send("request/predict", &json!({ "transaction": transaction, "image": image }));
            let answer = stage.ears.answer("predict", &transaction);
            answers.push(asking.elapsed().as_secs_f64() * 1e3);
            stage.ears.forget();
            if answer["data"]["label"] == label.as_str() {
                corrected.push(sent.elapsed().as_secs_f64() * 1e3);
                break;
            }
        }
    }
    if corrected.is_empty() {
        return Err("no label changed what is said of its image".into());
    }
    println!(
        "  from sending a label to the answer that it corrects: median {:.1} ms, p95 {:.1} ms (bar: {BAR}), {} of {LABELS} \
         labels; an answer alone takes {:.1} ms",
        quantile(&mut corrected, 0.5),
        quantile(&mut corrected, 0.95),
        corrected.len(),
        quantile(&mut answers, 0.5)
    );
    Ok(())
}
