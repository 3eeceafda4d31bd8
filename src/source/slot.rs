//! One waiting frame a source; the newest wins.
//!
//! A camera is not a queue: while the daemon is busy, what a camera sent last is what counts, and what it replaces is
//! counted. So a source that sends faster than frames are taken costs one frame of memory, and nobody ever waits here.
//! When a frame is taken, and from which source, is the engine's decision.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frame::picture;
use crate::engine::Ticket;
use crate::image::Limits;
use crate::ports::FrameSink;
use crate::words::{SampleId, SourceId};

/// Bytes that wait in all slots together; a frame for which there is no room is skipped.
pub const WAITING_BYTES: usize = 134_217_728;

/// A picture that came from a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// SHA-256 of the bytes.
    pub id: SampleId,
    /// As the camera made them; neither whole nor decodable for certain.
    pub bytes: Vec<u8>,
    /// Whether it was made before we looked: a broker kept it.
    pub stale: bool,
    /// Who waits for the answer to it.
    pub waiter: Option<Ticket>,
}

/// What became of a frame that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It waits, in an empty slot or in the place of an older one.
    Waits {
        /// Who waited for the answer to the one that it replaced.
        replaced: Option<Ticket>,
    },
    /// It is the one before once more, so it waits for nothing.
    Frozen,
    /// There is no room for it, or no such source any more.
    Skipped,
}

/// What came from a source since it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Pictures that differ from the one before.
    pub frames: u64,
    /// Of these, replaced by a newer one before anybody looked.
    pub skipped: u64,
    /// Pictures that were the one before once more, and answers that nothing changed.
    pub frozen: u64,
    /// What was no picture, and attempts to get one that failed.
    pub failed: u64,
}

/// The news of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Whose.
    pub source: SourceId,
    /// What came.
    pub counts: Counts,
    /// Whether a frame waits to be taken.
    pub waits: bool,
    /// Why the last failure was one; `None` where there was none, or a picture came after it.
    pub failure: Option<String>,
}

/// The slots of all sources, shared by those that bring frames and those that take them. No call waits.
pub struct Slots {
    inner: Mutex<Inner>,
    wake: Box<dyn Fn() -> bool + Send + Sync>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: BTreeMap<SourceId, Slot>,
    /// Bytes of all that wait.
    waiting: usize,
    /// Whether there is news that [`Slots::news`] has not told, and whether somebody was woken for it.
    is_woken: bool,
}

#[derive(Debug, Default)]
struct Slot {
    frame: Option<Frame>,
    /// The picture that came last.
    last: Option<SampleId>,
    counts: Counts,
    failure: Option<String>,
    is_news: bool,
}

impl Slots {
    /// Without sources. `wake` is called when there is news after there was none, and says whether that was heard; it must
    /// not wait. Where it was not heard it is called again at the next news.
    pub fn new(wake: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { inner: Mutex::default(), wake: Box::new(wake) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has these sources from now on; those that were there before keep what waits. Those who waited for an answer to a
    /// frame of another one are returned.
    pub fn keep(&self, sources: &[SourceId]) -> Vec<Ticket> {
        let mut inner = self.inner();
        let mut former = std::mem::take(&mut inner.slots);
        let mut kept: BTreeMap<_, _> =
            sources.iter().map(|source| (source.clone(), former.remove(source).unwrap_or_default())).collect();
        std::mem::swap(&mut inner.slots, &mut kept);
        inner.waiting = inner.slots.values().map(Slot::waiting).sum();
        former.into_values().filter_map(|slot| slot.frame?.waiter).collect()
    }

    /// Whether there is a source of this name.
    pub fn has(&self, source: &SourceId) -> bool {
        self.inner().slots.contains_key(source)
    }

    /// Brings a picture. One that is the one before is no news, unless somebody waits for the answer to it.
    pub fn offer(&self, source: &SourceId, frame: Frame) -> Offered {
        let offered = self.inner().offer(source, frame);
        self.wake_up();
        offered
    }

    /// Says that the source has the picture that it had before.
    pub fn frozen(&self, source: &SourceId) {
        self.inner().change(source, |slot| slot.counts.frozen += 1);
        self.wake_up();
    }

    /// Says why there is no picture.
    pub fn failed(&self, source: &SourceId, reason: String) {
        self.inner().change(source, |slot| {
            slot.counts.failed += 1;
            slot.failure = Some(reason);
        });
        self.wake_up();
    }

    /// What is new since the last call, for each source of which anything is.
    pub fn news(&self) -> Vec<News> {
        let mut inner = self.inner();
        inner.is_woken = false;
        let told = |(source, slot): (&SourceId, &mut Slot)| {
            std::mem::take(&mut slot.is_news).then(|| News {
                source: source.clone(),
                counts: std::mem::take(&mut slot.counts),
                waits: slot.frame.is_some(),
                failure: slot.failure.take(),
            })
        };
        inner.slots.iter_mut().filter_map(told).collect()
    }

    /// The frame that waits.
    pub fn take(&self, source: &SourceId) -> Option<Frame> {
        let mut inner = self.inner();
        let frame = inner.slots.get_mut(source)?.frame.take()?;
        inner.waiting -= frame.bytes.len();
        Some(frame)
    }

    /// Has the receiver woken if there is news and it does not know; called again where it did not hear.
    pub fn wake_up(&self) {
        let mut inner = self.inner();
        if inner.is_woken || !inner.slots.values().any(|slot| slot.is_news) {
            return;
        }
        inner.is_woken = true;
        drop(inner);
        if !(self.wake)() {
            self.inner().is_woken = false;
        }
    }
}

/// The frames that come over the connection to the broker.
impl FrameSink for Slots {
    fn bring(&self, source: &SourceId, payload: Vec<u8>, retained: bool) {
        // On a retained topic that takes the picture away.
        if payload.is_empty() {
            return;
        }
        match picture(payload, Limits::default().bytes) {
            Ok(bytes) => {
                let frame = Frame { id: SampleId::of(&bytes), bytes, stale: retained, waiter: None };
                self.offer(source, frame);
            }
            Err(bad) => self.failed(source, bad.to_string()),
        }
    }

    fn too_large(&self, source: &SourceId, bytes: usize) {
        let reason = format!(
            "a message of {bytes} bytes is longer than mqtt.max_packet_kb allows; raise it, or send smaller pictures"
        );
        self.failed(source, reason);
    }
}

impl Inner {
    fn change(&mut self, source: &SourceId, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.get_mut(source) {
            change(slot);
            slot.is_news = true;
        }
    }

    fn offer(&mut self, source: &SourceId, frame: Frame) -> Offered {
        let Some(slot) = self.slots.get_mut(source) else { return Offered::Skipped };
        slot.is_news = true;
        slot.failure = None;
        if slot.last == Some(frame.id) {
            slot.counts.frozen += 1;
            if frame.waiter.is_none() {
                return Offered::Frozen;
            }
        } else {
            slot.counts.frames += 1;
        }
        let others = self.waiting - slot.waiting();
        if others + frame.bytes.len() > WAITING_BYTES {
            slot.counts.skipped += 1;
            return Offered::Skipped;
        }
        self.waiting = others + frame.bytes.len();
        slot.last = Some(frame.id);
        let former = slot.frame.replace(frame);
        slot.counts.skipped += u64::from(former.is_some());
        Offered::Waits { replaced: former.and_then(|former| former.waiter) }
    }
}

impl Slot {
    fn waiting(&self) -> usize {
        self.frame.as_ref().map_or(0, |frame| frame.bytes.len())
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn id(name: &str) -> SourceId {
        SourceId::new(name).unwrap()
    }

    fn frame(bytes: &[u8]) -> Frame {
        Frame { id: SampleId::of(bytes), bytes: bytes.to_vec(), stale: false, waiter: None }
    }

    fn slots(sources: &[&str]) -> Slots {
        let slots = Slots::new(|| true);
        slots.keep(&sources.iter().map(|source| id(source)).collect::<Vec<_>>());
        slots
    }

    #[test]
    fn the_newest_frame_wins_and_what_it_replaces_is_counted() {
        let slots = slots(&["a", "b"]);
        for n in 0..100_u8 {
            slots.offer(&id("a"), frame(&[n]));
        }
        let news = slots.news();
        let counts = Counts { frames: 100, skipped: 99, ..Counts::default() };
        assert_eq!(news, [News { source: id("a"), counts, waits: true, failure: None }]);
        assert_eq!(slots.take(&id("a")), Some(frame(&[99])));
        assert_eq!((slots.take(&id("a")), slots.news()), (None, vec![]));
    }

    #[test]
    fn the_picture_before_once_more_is_frozen_and_waits_for_nothing() {
        let slots = slots(&["a"]);
        slots.offer(&id("a"), frame(b"1"));
        slots.take(&id("a"));
        assert_eq!(slots.offer(&id("a"), frame(b"1")), Offered::Frozen);
        slots.frozen(&id("a"));
        let news = slots.news();
        assert_eq!((news[0].counts.frames, news[0].counts.frozen, news[0].waits), (1, 2, false));
        // Somebody who waits for the answer gets one.
        let waited = Frame { waiter: Some(7), ..frame(b"1") };
        assert_eq!(slots.offer(&id("a"), waited.clone()), Offered::Waits { replaced: None });
        assert_eq!(slots.offer(&id("a"), frame(b"2")), Offered::Waits { replaced: Some(7) });
        assert_eq!(slots.offer(&id("a"), frame(b"1")), Offered::Waits { replaced: None }, "it came back");
    }

    #[test]
    fn what_waits_in_all_slots_has_a_bound() {
        let slots = slots(&["a", "b"]);
        let half = |n: u8| frame(&vec![n; WAITING_BYTES / 2]);
        assert_eq!(slots.offer(&id("a"), half(1)), Offered::Waits { replaced: None });
        assert_eq!(slots.offer(&id("b"), half(2)), Offered::Waits { replaced: None });
        let over = frame(&vec![3; WAITING_BYTES / 2 + 1]);
        assert_eq!(slots.offer(&id("b"), over.clone()), Offered::Skipped);
        assert_eq!(slots.take(&id("b")), Some(half(2)), "the one that waits stays");
        assert_eq!(slots.offer(&id("a"), half(4)), Offered::Waits { replaced: None }, "its own room counts for it");
        assert!(slots.take(&id("a")).is_some());
        assert_eq!(slots.offer(&id("b"), over), Offered::Waits { replaced: None });
    }

    #[test]
    fn a_failure_is_told_with_its_reason_until_a_picture_comes() {
        let slots = slots(&["a"]);
        slots.failed(&id("a"), "no route".into());
        slots.failed(&id("a"), "refused".into());
        let news = slots.news();
        assert_eq!((news[0].counts.failed, news[0].failure.as_deref()), (2, Some("refused")));
        slots.failed(&id("a"), "refused".into());
        slots.offer(&id("a"), frame(b"1"));
        assert_eq!(slots.news()[0].failure, None);
        slots.failed(&id("gone"), "x".into());
        assert_eq!((slots.offer(&id("gone"), frame(b"1")), slots.news()), (Offered::Skipped, vec![]));
    }

    #[test]
    fn one_wake_up_is_for_all_news_and_is_repeated_where_it_was_not_heard() {
        let (woken, hears) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let slots = Slots::new({
            let (woken, hears) = (Arc::clone(&woken), Arc::clone(&hears));
            move || {
                woken.fetch_add(1, Ordering::Relaxed);
                hears.load(Ordering::Relaxed)
            }
        });
        slots.keep(&[id("a"), id("b")]);
        slots.wake_up();
        assert_eq!(woken.load(Ordering::Relaxed), 0, "there is no news");
        slots.offer(&id("a"), frame(b"1"));
        slots.offer(&id("b"), frame(b"1"));
        assert_eq!(woken.load(Ordering::Relaxed), 2, "nobody heard the first one");
        hears.store(true, Ordering::Relaxed);
        for n in 0..50_u8 {
            slots.offer(&id("a"), frame(&[n]));
        }
        assert_eq!(woken.load(Ordering::Relaxed), 3);
        assert_eq!(slots.news().len(), 2);
        slots.offer(&id("a"), frame(b"new"));
        assert_eq!(woken.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_message_becomes_a_frame_or_a_failure_and_an_empty_one_is_nothing() {
        let slots = slots(&["a"]);
        slots.bring(&id("a"), Vec::new(), false);
        assert_eq!(slots.news(), []);
        slots.bring(&id("a"), b"not one".to_vec(), false);
        slots.too_large(&id("a"), 2_000_000);
        let news = slots.news();
        assert_eq!(news[0].counts.failed, 2);
        assert!(news[0].failure.as_ref().unwrap().contains("2000000 bytes is longer than mqtt.max_packet_kb"));
        slots.bring(&id("a"), b"data:image/jpeg;base64,/9j/".to_vec(), true);
        let Frame { bytes, stale, .. } = slots.take(&id("a")).unwrap();
        assert_eq!((bytes, stale), (vec![0xff, 0xd8, 0xff], true));
    }

    #[test]
    fn sources_that_stay_keep_their_frame_and_the_others_go_with_those_who_waited() {
        let slots = slots(&["a", "b"]);
        slots.offer(&id("a"), frame(b"1"));
        slots.offer(&id("b"), Frame { waiter: Some(3), ..frame(b"2") });
        assert_eq!(slots.keep(&[id("a"), id("c")]), [3]);
        assert!(slots.has(&id("c")) && !slots.has(&id("b")));
        assert_eq!(slots.take(&id("a")), Some(frame(b"1")));
        assert_eq!(slots.take(&id("b")), None);
        assert_eq!(slots.inner().waiting, 0);
    }
}
