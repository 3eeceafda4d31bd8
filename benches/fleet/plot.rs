//! What a merge takes over the number of devices, on logarithmic axes.

use crate::log_panels::{self, Measure};
use crate::merging::Merged;
use crate::playing::Collected;

/// An SVG document; there is a collection for each merge.
pub fn draw(merges: &[Merged], rounds: &[Collected]) -> String {
    let points = |value: &dyn Fn(&Merged, &Collected) -> f64| -> Vec<(f64, f64)> {
        merges.iter().zip(rounds).map(|(merge, round)| (merge.devices as f64, value(merge, round))).collect()
    };
    let numpy = merges.iter().filter_map(|merge| Some((merge.devices as f64, merge.numpy_seconds?)));
    let plain = |name, points| Measure { name, points, compared: Vec::new() };
    let measures = [
        plain("messages of a collection", points(&|_, round| round.messages as f64)),
        plain("MiB of a collection", points(&|_, round| round.mib)),
        plain("minutes to the merged sums", points(&|merge, round| round.minutes + merge.seconds / 60.0)),
        Measure {
            name: "seconds of merging, one thread",
            points: points(&|merge, _| merge.seconds),
            compared: numpy.collect(),
        },
        plain("MiB of memory of merging", points(&|merge, _| merge.memory_mib)),
    ];
    log_panels::draw(&measures, "NumPy, which only adds the arrays", "devices")
}
