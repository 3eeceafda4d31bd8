//! Cameras: when the frame that waits is looked at, how each fares, and when one is looked at more closely.
//!
//! It knows frames by their source and nothing of their bytes: where they wait is the shell's. What a frame shows is reported
//! whether it was seen before or not, since it is the present; then it becomes a sample like any image. A source whose
//! frames stay away, stay the same or cannot be had is reported, once, until one comes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::Cx;
use super::event::{EmbeddedImage, FrameOutcome, FrameRead, SourceNews, Ticket};
use super::fact::Fact;
use super::note::{ImageResult, Note};
use super::settings::{Settings, SourceSettings};
use super::step::Act;
use crate::wire::command::{Burst, Empty, Spec as _};
use crate::wire::{AlertId, Answer, ErrorCode, Severity, SourceHealth};
use crate::words::{Now, Origin, SourceId, Timestamp};

/// Frames handed to the ingest worker at once, of all sources.
pub const FRAMES_IN_FLIGHT_MAX: usize = 2;

/// After so many failures in a row a source is reported: one is nothing where a camera waits for its next key frame.
const FAILURES: u64 = 3;

/// Why somebody who posted a picture gets no prediction.
const REPLACED: &str = "a newer picture of this source came before this one was looked at; post them one after another";

/// The machine of sources.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: BTreeMap<SourceId, Source>,
    in_flight: usize,
}

/// What is known of one source.
#[derive(Debug, Default)]
struct Source {
    health: SourceHealth,
    /// Whether a frame waits.
    waits: bool,
    /// Since when the one with the worker was handed out.
    handed_out: Option<Duration>,
    /// The next one may be handed out from then on.
    next_at: Duration,
    /// When the last new picture was looked at, or this began.
    fresh_at: Duration,
    /// The same by the clock, once there was one.
    seen_at: Option<Timestamp>,
    /// Failures since then, and the reason of the last one.
    failures: u64,
    failure: Option<String>,
    reported: bool,
}

impl Sources {
    /// The machine of the sources that the configuration names.
    pub fn new(settings: &Settings) -> Self {
        let sources = settings.sources.iter().map(|source| (source.id.clone(), Source::default())).collect();
        Self { sources, in_flight: 0 }
    }

    /// The engine starts: nobody has come late yet.
    pub fn start(&mut self, now: Now) {
        for source in self.sources.values_mut() {
            source.fresh_at = now.mono;
        }
    }

    /// The figures of all sources.
    pub fn health(&self) -> BTreeMap<SourceId, SourceHealth> {
        self.sources.iter().map(|(id, source)| (id.clone(), source.health.clone())).collect()
    }

    /// Whether a frame waits or is being read, so that ticks have to come often.
    pub fn is_busy(&self) -> bool {
        self.in_flight > 0 || self.sources.values().any(|source| source.waits)
    }

    /// What came. Nobody looks any more at the frames that the `dropped` wait for.
    pub fn on_news(&mut self, cx: &mut Cx<'_>, news: Vec<SourceNews>, dropped: Vec<Ticket>) {
        for waiter in dropped {
            cx.answer_frame(Some(waiter), Answer::error(ErrorCode::Busy, REPLACED));
        }
        for SourceNews { source: id, counts, waits, failure } in news {
            let Some(source) = self.sources.get_mut(&id) else { continue };
            let health = &mut source.health;
            health.frames += counts.frames;
            health.skipped += counts.skipped;
            health.frozen += counts.frozen;
            health.failed += counts.failed;
            source.waits = waits;
            if counts.frames > 0 {
                health.last = Some(cx.now.wall);
            }
            if let Some(reason) = failure {
                source.failures += counts.failed.max(1);
                source.failure = Some(reason);
            }
            source.report(cx, &id);
        }
    }

    /// The ingest worker finished with a frame.
    pub fn frame_read(&mut self, cx: &mut Cx<'_>, read: FrameRead) {
        let FrameRead { source: id, stale, waiter, outcome } = read;
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(source) = self.sources.get_mut(&id) else { return };
        let since = source.handed_out.take().unwrap_or(cx.now.mono);
        match outcome {
            FrameOutcome::Image(image) => {
                source.seen(cx.now);
                source.report(cx, &id);
                cx.messages.count_image();
                let latency = cx.now.mono.saturating_sub(since);
                let answer = report(cx, &id, stale, &image, latency);
                cx.note(Note::Image(ImageResult::of_new(&image)));
                if !cx.storage_is_out() {
                    cx.note(Note::Arrived { settled: None, ready_at: since });
                }
                cx.answer_frame(waiter, answer);
                cx.post(Fact::FrameRead { source: id, image });
            }
            FrameOutcome::Bad { reason } | FrameOutcome::Unreadable { reason } => {
                source.health.failed += 1;
                source.failures += 1;
                source.failure = Some(reason.clone());
                source.report(cx, &id);
                cx.note(Note::Image(ImageResult::Failed));
                cx.answer_frame(waiter, Answer::error(ErrorCode::BadRequest, reason));
            }
            FrameOutcome::Gone => cx.answer_frame(waiter, Answer::error(ErrorCode::Busy, REPLACED)),
        }
    }

    /// Somebody wants a closer look at a source.
    pub fn burst_on_request(&self, cx: &mut Cx<'_>, id: &SourceId) -> Answer {
        match settings_of(cx.settings(), id).filter(|_| self.sources.contains_key(id)) {
            None => Answer::error(ErrorCode::NotFound, "the configuration has no such source; name one of 'sources'"),
            Some(settings) if !settings.bursts => {
                let reason =
                    "this source is not asked for its pictures, or has no 'burst'; whoever sends them can send more";
                Answer::error(ErrorCode::NotPossible, reason)
            }
            Some(_) => {
                cx.act(Act::Burst(id.clone()));
                Burst::answer(&Empty {})
            }
        }
    }

    /// Time passed: who has brought nothing new for too long.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        for (id, source) in &mut self.sources {
            source.report(cx, id);
        }
    }

    /// The step ends: hands out frames that wait, those first whose source was looked at longest ago.
    pub fn hand_out(&mut self, cx: &mut Cx<'_>) {
        if cx.is_stopping() {
            return;
        }
        while self.in_flight < FRAMES_IN_FLIGHT_MAX {
            let now = cx.now.mono;
            let is_due = |source: &Source| source.waits && source.handed_out.is_none() && source.next_at <= now;
            let due = self.sources.iter_mut().filter(|(_, source)| is_due(source));
            let Some((id, source)) = due.min_by_key(|(_, source)| source.next_at) else { return };
            let gap = settings_of(cx.settings(), id).map_or(Duration::ZERO, |settings| settings.gap);
            source.waits = false;
            source.handed_out = Some(now);
            source.next_at = now + gap;
            self.in_flight += 1;
            cx.act(Act::IngestFrame { source: id.clone() });
        }
    }
}

impl Source {
    /// A new picture was looked at: half of one would not be enough.
    fn seen(&mut self, now: Now) {
        self.seen_at = Some(now.wall);
        self.fresh_at = now.mono;
        self.failures = 0;
        self.failure = None;
    }

    /// Says that it fares badly, or well again.
    fn report(&mut self, cx: &mut Cx<'_>, id: &SourceId) {
        let Some(settings) = settings_of(cx.settings(), id) else { return };
        let is_late = cx.now.mono.saturating_sub(self.fresh_at) >= settings.unknown_after;
        let text = match &self.failure {
            Some(reason) if is_late || self.failures >= FAILURES => reason.clone(),
            _ if is_late => no_news(self.seen_at, self.health.frozen),
            _ => {
                if std::mem::take(&mut self.reported) {
                    cx.clear(AlertId::Source(id.clone()));
                }
                return;
            }
        };
        self.reported = true;
        cx.raise(AlertId::Source(id.clone()), Severity::Warning, text);
    }
}

/// Reports what a frame shows; the answer to who waits for it: a map by task where several look at it.
fn report(cx: &mut Cx<'_>, source: &SourceId, stale: bool, image: &EmbeddedImage, latency: Duration) -> Answer {
    let bodies = cx.report_image(&Origin::Source(source.clone()), stale, image, latency);
    if !stale {
        cx.report_novel(image);
    }
    match bodies.first_key_value() {
        Some((_, body)) if bodies.len() == 1 => Answer::ok(body),
        _ => Answer::ok(&bodies),
    }
}

fn settings_of<'a>(settings: &'a Settings, id: &SourceId) -> Option<&'a SourceSettings> {
    settings.sources.iter().find(|source| source.id == *id)
}

/// Why nothing is known of what a camera sees.
fn no_news(last: Option<Timestamp>, frozen: u64) -> String {
    match last {
        None => "no picture has come since the start; check the camera, and what sends its pictures".to_owned(),
        Some(at) if frozen > 0 => {
            format!("no new picture since {at}, only the same again; check whether the camera is stuck")
        }
        Some(at) => format!("no picture since {at}; check the camera, and what sends its pictures"),
    }
}
