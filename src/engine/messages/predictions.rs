//! What is published of an image: the prediction of each task that looks at it, and that it is like nothing known.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::context::Cx;
use super::super::event::{EmbeddedImage, Scored, View};
use super::super::fact::Fact;
use super::super::note::{Certainty, Note};
use crate::wire::{EventKind, Prediction, PredictionBody, TaskTopic, TopLabel};
use crate::words::{Origin, SampleId, TaskId};

/// A novel image is reported at most so often: a new kind of part comes in numbers.
const NOVEL_EVERY: Duration = Duration::from_mins(1);

impl Cx<'_> {
    /// Reports what each task makes of an image, as it does of every one once, and lets it vote for its state; what was
    /// reported, by task. A `stale` one, which nobody knows the age of, is no evidence of the present.
    pub fn report_image(
        &mut self,
        origin: &Origin,
        stale: bool,
        image: &EmbeddedImage,
        latency: Duration,
    ) -> BTreeMap<TaskId, PredictionBody> {
        let mut bodies = BTreeMap::new();
        for View { task, prediction, .. } in &image.views {
            let cx = &mut self.of(task);
            bodies.insert(task.clone(), cx.report_prediction(origin, stale, image.id, prediction.as_ref(), latency));
            if let Some(scored) = prediction.clone().filter(|_| !stale) {
                cx.post(Fact::ImageJudged { id: image.id, source: origin.source().cloned(), scored });
            }
        }
        bodies
    }

    /// Queues a prediction of the task that is acted for, and publishes it as the latest one where the task has no state.
    fn report_prediction(
        &mut self,
        origin: &Origin,
        stale: bool,
        image: SampleId,
        scored: Option<&Scored>,
        latency: Duration,
    ) -> PredictionBody {
        if let Some(scored) = scored
            && let Some((class, _)) = scored.top.first()
        {
            let (class, certainty) = (class.clone(), Certainty::of(scored));
            self.note(Note::Prediction { task: self.task_id(), class, certainty });
        }
        let replayed = !self.messages.reports.connected;
        let body = prediction_body(image, origin, scored, &self.settings().backbone.name, latency, replayed);
        let body = PredictionBody { task: self.named_task(), stale, ..body };
        self.spool_of_task(TaskTopic::Prediction, |envelope, _| Prediction { envelope, body: body.clone() });
        if self.task().state.is_none() {
            self.publish_latest_prediction(&body);
            let task = self.task_id();
            self.messages.reports.latest.insert(task, body.clone());
        }
        body
    }

    pub(super) fn publish_latest_prediction(&mut self, body: &PredictionBody) {
        self.publish_of_task(TaskTopic::State, |envelope, _| Prediction { envelope, body: body.clone() });
    }

    /// An image that is of no known class of a task is an event, but not each of a batch of them.
    pub fn report_novel(&mut self, image: &EmbeddedImage) {
        for View { task, prediction, .. } in &image.views {
            let cx = &mut self.of(task);
            let novelty = prediction.as_ref().filter(|scored| scored.unknown == Some(true));
            let due = cx.messages.reports.novel_at.is_none_or(|at| cx.now.mono.saturating_sub(at) >= NOVEL_EVERY);
            if let (Some(novelty), true) = (novelty.and_then(|scored| scored.novelty), due) {
                cx.messages.reports.novel_at = Some(cx.now.mono);
                cx.emit_event(EventKind::Novel { image: image.id, novelty });
            }
        }
    }
}

/// The prediction for an image; without `scored`, as while no head exists, it has no label.
///
/// `latency` is from the moment at which the file was ready, or of the scoring alone in an answer.
#[must_use]
pub fn prediction_body(
    image: SampleId,
    origin: &Origin,
    scored: Option<&Scored>,
    backbone: &str,
    latency: Duration,
    replayed: bool,
) -> PredictionBody {
    let best = scored.and_then(|scored| scored.top.first());
    let top = scored.map_or(&[][..], |scored| &scored.top);
    let top = top.iter().map(|(label, probability)| TopLabel { label: label.clone(), probability: *probability });
    let (path, source) = origin.names();
    PredictionBody {
        task: None,
        image,
        path,
        source,
        stale: false,
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
