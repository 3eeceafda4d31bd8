//! One waiting frame a source; the newest wins.
//!
//! A camera is not a queue: while the daemon is busy, what a camera sent last is what counts, and what it replaces is
//! counted. So a source that sends faster than frames are taken costs one frame of memory, and nobody ever waits here.
//! When a frame is taken, and from which source, is the engine's decision.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frame::picture;
use crate::engine::{SourceCounts, SourceNews, Ticket};
use crate::image::Limits;
use crate::ports::{FrameSink, RefusedFrame};
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
    Waits,
    /// It is the one before once more, so it waits for nothing.
    Frozen,
    /// There is no room for it, or no such source any more.
    Skipped,
}

/// What happened since it was last asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Of each source of which there is any.
    pub sources: Vec<SourceNews>,
    /// Who waited for the answer to a frame that is gone: a newer one came, or the source is no more.
    pub dropped: Vec<Ticket>,
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
    /// Who waited for a frame that is gone.
    dropped: Vec<Ticket>,
    /// Whether somebody was woken for the news that [`Slots::news`] has not told.
    is_woken: bool,
}

#[derive(Debug, Default)]
struct Slot {
    frame: Option<Frame>,
    /// The picture that came last.
    last: Option<SampleId>,
    counts: SourceCounts,
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

    /// Has these sources from now on; those that were there before keep what waits.
    pub fn keep(&self, sources: &[SourceId]) {
        let mut inner = self.inner();
        let mut former = std::mem::take(&mut inner.slots);
        inner.slots =
            sources.iter().map(|source| (source.clone(), former.remove(source).unwrap_or_default())).collect();
        inner.waiting = inner.slots.values().map(Slot::waiting).sum();
        // Who looks now has not been told of it.
        inner.slots.values_mut().for_each(|slot| slot.is_news |= slot.frame.is_some());
        inner.dropped.extend(former.into_values().filter_map(|slot| slot.frame?.waiter));
        drop(inner);
        self.wake_up();
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

    /// What is new since the last call.
    pub fn news(&self) -> News {
        let mut inner = self.inner();
        inner.is_woken = false;
        let told = |(source, slot): (&SourceId, &mut Slot)| {
            std::mem::take(&mut slot.is_news).then(|| SourceNews {
                source: source.clone(),
                counts: std::mem::take(&mut slot.counts),
                waits: slot.frame.is_some(),
                failure: slot.failure.take(),
            })
        };
        let sources = inner.slots.iter_mut().filter_map(told).collect();
        News { sources, dropped: std::mem::take(&mut inner.dropped) }
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
        let is_news = !inner.dropped.is_empty() || inner.slots.values().any(|slot| slot.is_news);
        if inner.is_woken || !is_news {
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

    fn post(&self, source: &SourceId, payload: Vec<u8>, waiter: Option<Ticket>) -> Result<SampleId, RefusedFrame> {
        if !self.has(source) {
            return Err(RefusedFrame::NoSuchSource);
        }
        let bytes = picture(payload, Limits::default().bytes).map_err(|bad| {
            let reason = bad.to_string();
            self.failed(source, reason.clone());
            RefusedFrame::NotAPicture(reason)
        })?;
        let id = SampleId::of(&bytes);
        match self.offer(source, Frame { id, bytes, stale: false, waiter }) {
            Offered::Waits | Offered::Frozen => Ok(id),
            Offered::Skipped => Err(RefusedFrame::NoRoom),
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
        if let Some(former) = slot.frame.replace(frame) {
            slot.counts.skipped += 1;
            self.dropped.extend(former.waiter);
        }
        Offered::Waits
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
        let counts = SourceCounts { frames: 100, skipped: 99, ..SourceCounts::default() };
        let news = SourceNews { source: id("a"), counts, waits: true, failure: None };
        assert_eq!(slots.news(), News { sources: vec![news], dropped: vec![] });
        assert_eq!(slots.take(&id("a")), Some(frame(&[99])));
        assert_eq!((slots.take(&id("a")), slots.news()), (None, News::default()));
    }

    #[test]
    fn the_picture_before_once_more_is_frozen_and_waits_for_nothing() {
        let slots = slots(&["a"]);
        slots.offer(&id("a"), frame(b"1"));
        slots.take(&id("a"));
        assert_eq!(slots.offer(&id("a"), frame(b"1")), Offered::Frozen);
        slots.frozen(&id("a"));
        let news = slots.news().sources;
        assert_eq!((news[0].counts.frames, news[0].counts.frozen, news[0].waits), (1, 2, false));
        // Somebody who waits for the answer gets one.
        let waited = Frame { waiter: Some(7), ..frame(b"1") };
        assert_eq!(slots.offer(&id("a"), waited), Offered::Waits);
        assert_eq!(slots.offer(&id("a"), frame(b"2")), Offered::Waits);
        assert_eq!(slots.news().dropped, [7], "nobody will look at what somebody waits for");
        assert_eq!(slots.offer(&id("a"), frame(b"1")), Offered::Waits, "it came back");
    }

    #[test]
    fn what_waits_in_all_slots_has_a_bound() {
        let slots = slots(&["a", "b"]);
        let half = |n: u8| frame(&vec![n; WAITING_BYTES / 2]);
        assert_eq!(slots.offer(&id("a"), half(1)), Offered::Waits);
        assert_eq!(slots.offer(&id("b"), half(2)), Offered::Waits);
        let over = frame(&vec![3; WAITING_BYTES / 2 + 1]);
        assert_eq!(slots.offer(&id("b"), over.clone()), Offered::Skipped);
        assert_eq!(slots.take(&id("b")), Some(half(2)), "the one that waits stays");
        assert_eq!(slots.offer(&id("a"), half(4)), Offered::Waits, "its own room counts for it");
        assert!(slots.take(&id("a")).is_some());
        assert_eq!(slots.offer(&id("b"), over), Offered::Waits);
    }

    #[test]
    fn a_failure_is_told_with_its_reason_until_a_picture_comes() {
        let slots = slots(&["a"]);
        slots.failed(&id("a"), "no route".into());
        slots.failed(&id("a"), "refused".into());
        let news = slots.news().sources;
        assert_eq!((news[0].counts.failed, news[0].failure.as_deref()), (2, Some("refused")));
        slots.failed(&id("a"), "refused".into());
        slots.offer(&id("a"), frame(b"1"));
        assert_eq!(slots.news().sources[0].failure, None);
        slots.failed(&id("gone"), "x".into());
        assert_eq!((slots.offer(&id("gone"), frame(b"1")), slots.news()), (Offered::Skipped, News::default()));
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
        assert_eq!(slots.news().sources.len(), 2);
        slots.offer(&id("a"), frame(b"new"));
        assert_eq!(woken.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_message_becomes_a_frame_or_a_failure_and_an_empty_one_is_nothing() {
        let slots = slots(&["a"]);
        slots.bring(&id("a"), Vec::new(), false);
        assert_eq!(slots.news(), News::default());
        slots.bring(&id("a"), b"not one".to_vec(), false);
        slots.too_large(&id("a"), 2_000_000);
        let news = slots.news().sources;
        assert_eq!(news[0].counts.failed, 2);
        assert!(news[0].failure.as_ref().unwrap().contains("2000000 bytes is longer than mqtt.max_packet_kb"));
        slots.bring(&id("a"), b"data:image/jpeg;base64,/9j/".to_vec(), true);
        let Frame { bytes, stale, .. } = slots.take(&id("a")).unwrap();
        assert_eq!((bytes, stale), (vec![0xff, 0xd8, 0xff], true));
    }

    #[test]
    fn a_posted_picture_is_named_and_what_is_none_is_refused_in_words() {
        let slots = slots(&["a"]);
        let jpeg = vec![0xff, 0xd8, 0xff];
        assert_eq!(slots.post(&id("a"), jpeg.clone(), Some(1)), Ok(SampleId::of(&jpeg)));
        assert_eq!(slots.take(&id("a")).unwrap().waiter, Some(1));
        assert_eq!(slots.post(&id("a"), jpeg.clone(), None), Ok(SampleId::of(&jpeg)), "the same again");
        assert_eq!(slots.take(&id("a")), None);
        assert_eq!(slots.post(&id("b"), jpeg, None), Err(RefusedFrame::NoSuchSource));
        let refused = slots.post(&id("a"), b"<html>".to_vec(), None);
        assert!(matches!(&refused, Err(RefusedFrame::NotAPicture(why)) if why.contains("not a JPEG")), "{refused:?}");
        assert_eq!(slots.news().sources[0].counts.failed, 1);
    }

    #[test]
    fn sources_that_stay_keep_their_frame_and_the_others_go_with_those_who_waited() {
        let slots = slots(&["a", "b"]);
        slots.offer(&id("a"), frame(b"1"));
        slots.offer(&id("b"), Frame { waiter: Some(3), ..frame(b"2") });
        slots.news();
        slots.keep(&[id("a"), id("c")]);
        let News { sources, dropped } = slots.news();
        assert_eq!(dropped, [3]);
        assert!(sources.len() == 1 && sources[0].waits, "who looks now is told of what waits: {sources:?}");
        assert!(slots.has(&id("c")) && !slots.has(&id("b")));
        assert_eq!(slots.take(&id("a")), Some(frame(b"1")));
        assert_eq!(slots.take(&id("b")), None);
        assert_eq!(slots.inner().waiting, 0);
    }
}
