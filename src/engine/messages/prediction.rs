//! The body of a prediction, put together in one place for messages and for answers.

use std::path::Path;
use std::time::Duration;

use super::super::event::Scored;
use crate::wire::{PredictionBody, TopLabel};
use crate::words::SampleId;

/// The prediction for the image at `path`; without `scored`, as while no head exists, it has no label.
///
/// `latency` is from the moment at which the file was ready, or of the scoring alone in an answer.
#[must_use]
pub fn prediction_body(
    image: SampleId,
    path: &Path,
    scored: Option<&Scored>,
    backbone: &str,
    latency: Duration,
    replayed: bool,
) -> PredictionBody {
    let best = scored.and_then(|scored| scored.top.first());
    let top = scored.map_or(&[][..], |scored| &scored.top);
    let top = top.iter().map(|(label, probability)| TopLabel { label: label.clone(), probability: *probability });
    PredictionBody {
        image,
        path: path.to_string_lossy().into_owned(),
        label: best.map(|(label, _)| label.clone()),
        probability: best.map(|(_, probability)| *probability),
        top: top.collect(),
        set: scored.and_then(|scored| scored.set.clone()),
        unknown: scored.and_then(|scored| scored.unknown),
        novelty: scored.and_then(|scored| scored.novelty),
        instant: scored.is_some_and(|scored| scored.instant),
        head: scored.map(|scored| scored.head.id.clone()),
        backbone: backbone.to_owned(),
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        replayed,
    }
}
