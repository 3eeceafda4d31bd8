//! What is in flight: given to the broker and not acknowledged.
//!
//! Invariant: in each lane every message of the outbox up to its cursor was acknowledged or is in flight, so the
//! oldest one in flight is where a new connection has to start.

use std::collections::{BTreeSet, HashMap, VecDeque};

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
    /// The last message, `stopped`.
    Farewell,
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
    /// Given to the client, packet id not known yet; the client sends in this order.
    given: VecDeque<InFlight>,
    /// Sent, by packet id.
    sent: HashMap<u16, InFlight>,
}

impl Window {
    /// How many more may be given.
    pub(super) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.given.len() + self.sent.len())
    }

    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.sent.is_empty()
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

    /// A message was given to the client.
    pub(super) fn give(&mut self, sent: InFlight) {
        if let InFlight::Spooled(lane, seq) = sent {
            let progress = self.progress(lane);
            progress.cursor = seq;
            progress.unacknowledged.insert(seq);
        }
        self.given.push_back(sent);
    }

    /// The client sent the oldest message given, under this packet id.
    pub(super) fn sent(&mut self, packet: u16) {
        if let Some(sent) = self.given.pop_front() {
            self.sent.insert(packet, sent);
        }
    }

    /// The broker acknowledged this packet id.
    pub(super) fn acknowledged(&mut self, packet: u16) -> Option<InFlight> {
        let sent = self.sent.remove(&packet)?;
        if let InFlight::Spooled(lane, seq) = sent {
            self.progress(lane).unacknowledged.remove(&seq);
        }
        Some(sent)
    }

    /// The link is lost: each lane starts again from its oldest message that was not acknowledged.
    pub(super) fn rewind(&mut self) {
        self.answers.rewind();
        self.reports.rewind();
        self.given.clear();
        self.sent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_find_their_message_by_the_order_of_sending() {
        let mut window = Window::default();
        window.give(InFlight::Spooled(Lane::Reports, 7));
        window.give(InFlight::Retained);
        window.give(InFlight::Spooled(Lane::Reports, 9));
        for packet in [1, 2, 3] {
            window.sent(packet);
        }
        assert_eq!(window.acknowledged(3), Some(InFlight::Spooled(Lane::Reports, 9)));
        assert_eq!(window.acknowledged(2), Some(InFlight::Retained));
        assert_eq!(window.acknowledged(2), None);
        assert_eq!(window.room(), WINDOW - 1);
        assert_eq!(window.cursor(Lane::Reports), 9);
    }

    #[test]
    fn a_lost_link_starts_again_at_the_oldest_message_in_flight() {
        let mut window = Window::default();
        for seq in [5, 8, 9] {
            window.give(InFlight::Spooled(Lane::Reports, seq));
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
        window.give(InFlight::Spooled(Lane::Reports, 3));
        window.rewind();
        assert_eq!(window.cursor(Lane::Reports), 2);
    }

    #[test]
    fn a_lane_starts_again_at_its_own_place() {
        let mut window = Window::default();
        window.give(InFlight::Spooled(Lane::Reports, 4));
        window.give(InFlight::Spooled(Lane::Answers, 90));
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
        window.give(InFlight::Spooled(Lane::Answers, 5));
        window.skip(Lane::Answers, 100);
        window.rewind();
        assert_eq!(window.cursor(Lane::Answers), 4);
    }
}
