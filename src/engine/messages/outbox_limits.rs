//! Bounds of the outbox: by bytes and by age, oldest dropped first.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::context::BORN;
use super::super::snapshot::Spooled;
use crate::words::Timestamp;

/// What the outbox holds, oldest first.
#[derive(Debug)]
pub(super) struct OutboxLimits {
    messages: VecDeque<Spooled>,
    bytes: u64,
    bytes_max: u64,
    age_max: Duration,
}

impl OutboxLimits {
    pub fn new(messages: Vec<Spooled>, bytes_max: u64, age_max: Duration) -> Self {
        let bytes = messages.iter().map(|message| message.bytes).sum();
        Self { messages: messages.into(), bytes, bytes_max, age_max }
    }

    /// Messages waiting.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Bytes of topics and payloads waiting.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a message in; returns the numbers of those that have to go for it, oldest first.
    pub fn push(&mut self, message: Spooled) -> Vec<u64> {
        self.bytes += message.bytes;
        self.messages.push_back(message);
        let mut dropped = Vec::new();
        while self.bytes > self.bytes_max && self.messages.len() > 1 {
            dropped.extend(self.pop());
        }
        dropped
    }

    /// The clock was set, which makes no message older.
    pub fn clock_was_set(&mut self, by_ms: i64) {
        for message in &mut self.messages {
            message.made_at = Timestamp(message.made_at.0.saturating_add(by_ms));
        }
    }

    /// The messages are as old as an earlier engine of this process knew.
    pub fn resume(&mut self, former: &Self) {
        for message in &mut self.messages {
            if let Ok(place) = former.messages.binary_search_by_key(&message.seq, |message| message.seq) {
                message.made_at = former.messages[place].made_at;
            }
        }
    }

    /// Numbers of the messages that have become too old.
    ///
    /// A message from the future (the clock was set back) is as old as it was when it was made: young. The age of one
    /// from 1970 is not known, so it stays.
    pub fn expire(&mut self, wall: Timestamp) -> Vec<u64> {
        let age_max = self.age_max;
        let is_old = |made_at: Timestamp| made_at >= BORN && wall.since(made_at) > age_max;
        let mut dropped = Vec::new();
        while self.messages.front().is_some_and(|oldest| is_old(oldest.made_at)) {
            dropped.extend(self.pop());
        }
        dropped
    }

    /// Takes a delivered message out; whether it was there.
    pub fn delivered(&mut self, seq: u64) -> bool {
        let Ok(index) = self.messages.binary_search_by_key(&seq, |message| message.seq) else { return false };
        if let Some(message) = self.messages.remove(index) {
            self.bytes -= message.bytes;
        }
        true
    }

    fn pop(&mut self) -> Option<u64> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.bytes;
        Some(message.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, bytes: u64) -> Spooled {
        Spooled { seq, bytes, made_at: after_ms(i64::try_from(seq).unwrap() * 1000) }
    }

    fn after_ms(ms: i64) -> Timestamp {
        Timestamp(BORN.0 + ms)
    }

    #[test]
    fn the_oldest_go_first_when_bytes_run_out_and_the_newest_always_stays() {
        let mut outbox = OutboxLimits::new(vec![message(1, 40), message(2, 40)], 100, Duration::from_mins(1));
        assert_eq!(outbox.push(message(3, 40)), [1]);
        assert_eq!(outbox.push(message(4, 500)), [2, 3]);
        assert_eq!(outbox.len(), 1);
        assert!(outbox.delivered(4));
        assert!(!outbox.delivered(4), "a second acknowledgement of the same message changes nothing");
        assert_eq!((outbox.len(), outbox.bytes), (0, 0));
    }

    #[test]
    fn messages_grow_old_and_a_clock_that_is_set_makes_none_older() {
        const YEAR_MS: i64 = 31_536_000_000;
        let mut outbox = OutboxLimits::new(vec![message(1, 1), message(2, 1)], 100, Duration::from_secs(10));
        assert!(outbox.expire(after_ms(-5_000_000)).is_empty());
        outbox.clock_was_set(YEAR_MS);
        assert!(outbox.expire(after_ms(YEAR_MS + 10_000)).is_empty());
        let mut next = OutboxLimits::new(vec![message(2, 1)], 100, Duration::from_secs(10));
        next.resume(&outbox);
        assert!(next.expire(after_ms(YEAR_MS + 10_000)).is_empty(), "nor does a restart");
        outbox.clock_was_set(-YEAR_MS);
        assert_eq!(outbox.expire(after_ms(11_500)), [1]);
    }

    #[test]
    fn the_age_of_a_message_from_1970_is_not_known() {
        let made_at = Timestamp(60_000);
        let mut outbox = OutboxLimits::new(vec![Spooled { seq: 1, bytes: 1, made_at }], 100, Duration::from_secs(10));
        assert!(outbox.expire(after_ms(0)).is_empty());
    }
}
