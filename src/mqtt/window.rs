//! What is in flight: given to the broker and not acknowledged.
//!
//! Invariant: in each lane every message of the outbox up to its cursor was acknowledged or is in flight, so the
//! oldest one in flight is where a new connection has to start.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::Instant;

use crate::engine::Item;

/// The most messages in flight at once.
pub const WINDOW: usize = 20;

/// A part of the outbox that goes out in its own order. A topic is in one lane, so that its order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Answers to requests: somebody waits for them, so they do not queue behind a backlog.
    Answers,
    /// Everything else.
    Reports,
}

/// What an acknowledgement will be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InFlight {
    /// The outbox's message with this `seq`, and its lane.
    Spooled(Lane, u64),
    /// A retained value.
    Retained,
    /// A message that is in no outbox and not kept by the broker.
    Passing,
    /// The last message, `stopped`.
    Farewell,
}

/// A message in flight.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) what: InFlight,
    /// As the engine knows it.
    pub(super) item: Item,
    /// When it was given to the client.
    pub(super) at: Instant,
    /// Whether it has the retain flag.
    pub(super) retained: bool,
    /// Whether the broker acknowledges it; otherwise its answer to anything that was sent later tells.
    is_acknowledged: bool,
    /// Of the packet, once the client has sent it.
    packet: Option<u16>,
}

impl Sent {
    pub(super) fn new(what: InFlight, item: Item, retained: bool, is_acknowledged: bool, at: Instant) -> Self {
        Self { what, item, at, retained, is_acknowledged, packet: None }
    }

    /// Whether somebody has to know when the broker has it.
    fn is_awaited(&self) -> bool {
        self.is_acknowledged || matches!(self.what, InFlight::Spooled(..))
    }
}

/// How far one lane is.
#[derive(Debug, Default)]
struct Progress {
    /// The last `seq` taken from the outbox.
    cursor: u64,
    /// Messages in flight.
    unacknowledged: BTreeSet<u64>,
}

impl Progress {
    /// Starts again from the oldest message that was not acknowledged.
    fn rewind(&mut self) {
        if let Some(oldest) = self.unacknowledged.first() {
            self.cursor = oldest.saturating_sub(1);
        }
        self.unacknowledged.clear();
    }
}

/// The window over one connection after another.
#[derive(Debug, Default)]
pub(super) struct Window {
    answers: Progress,
    reports: Progress,
    /// Given to the client, in the order in which it sends.
    sent: VecDeque<Sent>,
}

impl Window {
    /// How many more may be given.
    pub(super) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.sent.len())
    }

    /// Whether nothing is in flight whose arrival is to be known.
    pub(super) fn is_empty(&self) -> bool {
        !self.sent.iter().any(Sent::is_awaited)
    }

    /// Whether nothing is in flight at all.
    pub(super) fn is_clear(&self) -> bool {
        self.sent.is_empty()
    }

    /// How many are in flight.
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// When the oldest was given whose arrival is to be known.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.sent.iter().find(|sent| sent.is_awaited()).map(|sent| sent.at)
    }

    /// The oldest that is in flight.
    pub(super) fn oldest(&self) -> Option<&Sent> {
        self.sent.front()
    }

    /// Whether a message is in flight that is to arrive and that the broker does not acknowledge.
    pub(super) fn needs_barrier(&self) -> bool {
        self.sent.iter().any(|sent| sent.is_awaited() && !sent.is_acknowledged)
    }

    fn progress(&mut self, lane: Lane) -> &mut Progress {
        match lane {
            Lane::Answers => &mut self.answers,
            Lane::Reports => &mut self.reports,
        }
    }

    /// The last `seq` taken from this lane of the outbox.
    pub(super) fn cursor(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Answers => self.answers.cursor,
            Lane::Reports => self.reports.cursor,
        }
    }

    /// Skips what cannot be sent, or where this lane has nothing.
    pub(super) fn skip(&mut self, lane: Lane, seq: u64) {
        let progress = self.progress(lane);
        progress.cursor = progress.cursor.max(seq);
    }

    /// Begins the outbox again, for what was skipped; only while nothing is in flight.
    pub(super) fn begin_again(&mut self) {
        (self.answers, self.reports) = (Progress::default(), Progress::default());
    }

    /// A message was given to the client; the broker acknowledges it, or not.
    pub(super) fn give(&mut self, sent: Sent) {
        if let InFlight::Spooled(lane, seq) = sent.what {
            let progress = self.progress(lane);
            progress.cursor = seq;
            progress.unacknowledged.insert(seq);
        }
        self.sent.push_back(sent);
    }

    /// The client sent the oldest message given, under this packet id; 0 for one without an acknowledgement.
    pub(super) fn sent(&mut self, packet: u16) {
        let is_acknowledged = packet != 0;
        let mut given = self.sent.iter_mut().filter(|sent| sent.packet.is_none());
        if let Some(sent) = given.find(|sent| sent.is_acknowledged == is_acknowledged) {
            sent.packet = Some(packet);
        }
    }

    /// The broker acknowledged this packet id: returns its message, and those before it that it does not acknowledge.
    pub(super) fn acknowledged(&mut self, packet: u16) -> Vec<Sent> {
        let place = self.sent.iter().position(|sent| sent.is_acknowledged && sent.packet == Some(packet));
        let Some(place) = place else { return Vec::new() };
        let mut answered = self.take_unacknowledged(|other, _| other < place);
        let place = place - answered.len();
        answered.extend(self.sent.remove(place));
        self.took(&answered);
        answered
    }

    /// The broker answered something that was sent at this time: returns what was sent before and it does not
    /// acknowledge.
    pub(super) fn processed_before(&mut self, at: Instant) -> Vec<Sent> {
        let answered = self.take_unacknowledged(|_, sent| sent.at <= at);
        self.took(&answered);
        answered
    }

    /// Takes the chosen ones of those that are not acknowledged and were sent.
    fn take_unacknowledged(&mut self, chosen: impl Fn(usize, &Sent) -> bool) -> Vec<Sent> {
        let (mut taken, mut rest) = (Vec::new(), VecDeque::new());
        for (place, sent) in std::mem::take(&mut self.sent).into_iter().enumerate() {
            if chosen(place, &sent) && !sent.is_acknowledged && sent.packet.is_some() {
                taken.push(sent);
            } else {
                rest.push_back(sent);
            }
        }
        self.sent = rest;
        taken
    }

    fn took(&mut self, answered: &[Sent]) {
        for sent in answered {
            if let InFlight::Spooled(lane, seq) = sent.what {
                self.progress(lane).unacknowledged.remove(&seq);
            }
        }
    }

    /// The link is lost: each lane starts again from its oldest message that was not acknowledged.
    pub(super) fn rewind(&mut self) {
        self.answers.rewind();
        self.reports.rewind();
        self.sent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(window: &mut Window, what: InFlight) {
        let item = Item::Topic { topic: "state".into(), bytes: 1 };
        window.give(Sent::new(what, item, false, true, Instant::now()));
    }

    fn acknowledged(window: &mut Window, packet: u16) -> Vec<InFlight> {
        window.acknowledged(packet).into_iter().map(|sent| sent.what).collect()
    }

    #[test]
    fn acknowledgements_find_their_message_by_the_order_of_sending() {
        let mut window = Window::default();
        give(&mut window, InFlight::Spooled(Lane::Reports, 7));
        give(&mut window, InFlight::Retained);
        give(&mut window, InFlight::Spooled(Lane::Reports, 9));
        for packet in [1, 2, 3] {
            window.sent(packet);
        }
        assert_eq!(acknowledged(&mut window, 3), [InFlight::Spooled(Lane::Reports, 9)]);
        assert_eq!(acknowledged(&mut window, 2), [InFlight::Retained]);
        assert_eq!(acknowledged(&mut window, 2), []);
        assert_eq!(window.room(), WINDOW - 1);
        assert_eq!(window.cursor(Lane::Reports), 9);
    }

    #[test]
    fn what_the_broker_does_not_acknowledge_was_taken_when_something_later_is_answered() {
        let mut window = Window::default();
        let item = Item::Topic { topic: "health".into(), bytes: 1 };
        let unacknowledged = |window: &mut Window, what| {
            window.give(Sent::new(what, item.clone(), false, false, Instant::now()));
        };
        unacknowledged(&mut window, InFlight::Passing);
        give(&mut window, InFlight::Retained);
        unacknowledged(&mut window, InFlight::Spooled(Lane::Reports, 4));
        for packet in [0, 5, 0] {
            window.sent(packet);
        }
        assert_eq!(acknowledged(&mut window, 5), [InFlight::Passing, InFlight::Retained]);
        assert_eq!((window.len(), window.needs_barrier()), (1, true));
        assert_eq!(window.processed_before(Instant::now()).len(), 1);
        assert!(window.is_empty());
    }

    #[test]
    fn a_lost_link_starts_again_at_the_oldest_message_in_flight() {
        let mut window = Window::default();
        for seq in [5, 8, 9] {
            give(&mut window, InFlight::Spooled(Lane::Reports, seq));
        }
        window.sent(1);
        window.acknowledged(1);
        window.rewind();
        assert_eq!(window.cursor(Lane::Reports), 7);
        assert!(window.is_empty());
        window.rewind();
        assert_eq!(window.cursor(Lane::Reports), 7);
    }

    #[test]
    fn a_message_given_but_never_sent_is_not_forgotten() {
        let mut window = Window::default();
        give(&mut window, InFlight::Spooled(Lane::Reports, 3));
        window.rewind();
        assert_eq!(window.cursor(Lane::Reports), 2);
    }

    #[test]
    fn a_lane_starts_again_at_its_own_place() {
        let mut window = Window::default();
        give(&mut window, InFlight::Spooled(Lane::Reports, 4));
        give(&mut window, InFlight::Spooled(Lane::Answers, 90));
        window.sent(1);
        window.sent(2);
        window.acknowledged(2);
        window.skip(Lane::Answers, 200);
        window.rewind();
        assert_eq!((window.cursor(Lane::Answers), window.cursor(Lane::Reports)), (200, 3));
    }

    #[test]
    fn passing_over_what_is_not_there_never_passes_over_what_is_in_flight() {
        let mut window = Window::default();
        give(&mut window, InFlight::Spooled(Lane::Answers, 5));
        window.skip(Lane::Answers, 100);
        window.rewind();
        assert_eq!(window.cursor(Lane::Answers), 4);
    }
}
