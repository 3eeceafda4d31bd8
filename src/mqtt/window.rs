//! What is in flight: given to the broker and not acknowledged.
//!
//! Invariant: every message of the outbox up to `cursor` was acknowledged or is in flight, so the oldest one in
//! flight is where a new connection has to start.

use std::collections::{BTreeSet, HashMap, VecDeque};

/// The most messages in flight at once.
pub const WINDOW: usize = 20;

/// What an acknowledgement will be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The outbox's message with this `seq`.
    Spooled(u64),
    /// A retained value.
    Retained,
    /// The last word, `stopped`.
    Farewell,
}

/// The window over one connection after another.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The last `seq` taken from the outbox.
    cursor: u64,
    /// Spooled messages in flight.
    unacknowledged: BTreeSet<u64>,
    /// Given to the client, packet id not known yet; the client sends in this order.
    given: VecDeque<Sent>,
    /// On their way, by packet id.
    on_the_way: HashMap<u16, Sent>,
}

impl Window {
    /// How many more may be given.
    pub(super) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.given.len() + self.on_the_way.len())
    }

    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.on_the_way.is_empty()
    }

    /// The last `seq` taken from the outbox.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Passes over a message that cannot be sent.
    pub(super) fn skip(&mut self, seq: u64) {
        self.cursor = seq;
    }

    /// A message was given to the client.
    pub(super) fn give(&mut self, sent: Sent) {
        if let Sent::Spooled(seq) = sent {
            self.cursor = seq;
            self.unacknowledged.insert(seq);
        }
        self.given.push_back(sent);
    }

    /// The client sent the oldest message given, under this packet id.
    pub(super) fn sent(&mut self, packet: u16) {
        if let Some(sent) = self.given.pop_front() {
            self.on_the_way.insert(packet, sent);
        }
    }

    /// The broker acknowledged this packet id.
    pub(super) fn acknowledged(&mut self, packet: u16) -> Option<Sent> {
        let sent = self.on_the_way.remove(&packet)?;
        if let Sent::Spooled(seq) = sent {
            self.unacknowledged.remove(&seq);
        }
        Some(sent)
    }

    /// The link is gone: starts again from the oldest message that was not acknowledged.
    pub(super) fn rewind(&mut self) {
        if let Some(oldest) = self.unacknowledged.first() {
            self.cursor = oldest.saturating_sub(1);
        }
        self.unacknowledged.clear();
        self.given.clear();
        self.on_the_way.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_find_their_message_by_the_order_of_sending() {
        let mut window = Window::default();
        window.give(Sent::Spooled(7));
        window.give(Sent::Retained);
        window.give(Sent::Spooled(9));
        for packet in [1, 2, 3] {
            window.sent(packet);
        }
        assert_eq!(window.acknowledged(3), Some(Sent::Spooled(9)));
        assert_eq!(window.acknowledged(2), Some(Sent::Retained));
        assert_eq!(window.acknowledged(2), None);
        assert_eq!(window.room(), WINDOW - 1);
        assert_eq!(window.cursor(), 9);
    }

    #[test]
    fn a_lost_link_starts_again_at_the_oldest_message_in_flight() {
        let mut window = Window::default();
        for seq in [5, 8, 9] {
            window.give(Sent::Spooled(seq));
        }
        window.sent(1);
        window.acknowledged(1);
        window.rewind();
        assert_eq!(window.cursor(), 7);
        assert!(window.is_empty());
        window.rewind();
        assert_eq!(window.cursor(), 7);
    }

    #[test]
    fn a_message_given_but_never_sent_is_not_forgotten() {
        let mut window = Window::default();
        window.give(Sent::Spooled(3));
        window.rewind();
        assert_eq!(window.cursor(), 2);
    }
}
