//! Bounds of the outbox: by bytes, what is worth least dropped first and of that the oldest; and by age.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::context::{Ages, Made};
use super::super::snapshot::{Spooled, Worth};

/// What the outbox holds.
#[derive(Debug)]
pub(super) struct OutboxLimits {
    /// Of each worth, by number: the oldest first.
    messages: BTreeMap<Worth, BTreeMap<u64, Waiting>>,
    bytes: u64,
    bytes_max: u64,
    age_max: Duration,
}

/// A message as far as the limits concern it.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    bytes: u64,
    made: Made,
}

impl OutboxLimits {
    /// `messages` are of former runs.
    pub fn new(messages: Vec<Spooled>, bytes_max: u64, age_max: Duration) -> Self {
        let mut outbox = Self { messages: BTreeMap::new(), bytes: 0, bytes_max, age_max };
        for Spooled { seq, worth, bytes, made_at } in messages {
            outbox.insert(seq, worth, Waiting { bytes, made: Made::Before(made_at) });
        }
        outbox
    }

    /// Messages waiting.
    pub fn len(&self) -> usize {
        self.messages.values().map(BTreeMap::len).sum()
    }

    /// Bytes of topics and payloads waiting.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How old the oldest message is; `None` where none waits, or the clock cannot tell of any.
    pub fn oldest(&self, ages: &Ages) -> Option<Duration> {
        // By number, which is by time, the oldest of each worth is its first.
        let first = self.messages.values().filter_map(|messages| messages.values().next());
        first.filter_map(|message| ages.of(message.made)).max()
    }

    /// Takes in a message that is made now, at the monotonic time `now`; returns the numbers of those that have to go
    /// for it, which may be its own. One message always stays.
    pub fn push(&mut self, seq: u64, worth: Worth, bytes: u64, now: Duration) -> Vec<u64> {
        self.insert(seq, worth, Waiting { bytes, made: Made::InThisRun(now) });
        let mut dropped = Vec::new();
        while self.bytes > self.bytes_max && self.len() > 1 {
            dropped.extend(self.drop_one());
        }
        dropped
    }

    /// The messages are as old as an earlier engine of this process knew.
    pub fn resume(&mut self, former: &Self) {
        for (worth, messages) in &mut self.messages {
            let Some(known) = former.messages.get(worth) else { continue };
            for (seq, message) in messages {
                message.made = known.get(seq).map_or(message.made, |known| known.made);
            }
        }
    }

    /// Numbers of the messages that have become too old.
    pub fn expire(&mut self, ages: &Ages) -> Vec<u64> {
        let is_old = |message: &Waiting| ages.of(message.made).is_some_and(|age| age > self.age_max);
        let of_worth = |messages: &BTreeMap<u64, Waiting>| -> Vec<u64> {
            messages.iter().filter(|(_, message)| is_old(message)).map(|(seq, _)| *seq).collect()
        };
        let old: Vec<u64> = self.messages.values().flat_map(of_worth).collect();
        for seq in &old {
            self.delivered(*seq);
        }
        old
    }

    /// Takes a delivered message out; whether it was there.
    pub fn delivered(&mut self, seq: u64) -> bool {
        let found = self.messages.values_mut().find_map(|messages| messages.remove(&seq));
        self.bytes -= found.map_or(0, |message| message.bytes);
        found.is_some()
    }

    fn insert(&mut self, seq: u64, worth: Worth, message: Waiting) {
        self.bytes += message.bytes;
        self.messages.entry(worth).or_default().insert(seq, message);
    }

    fn drop_one(&mut self) -> Option<u64> {
        let least = self.messages.values_mut().find(|messages| !messages.is_empty())?;
        let (seq, message) = least.pop_first()?;
        self.bytes -= message.bytes;
        Some(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn outbox(bytes_max: u64) -> OutboxLimits {
        OutboxLimits::new(vec![], bytes_max, Duration::from_mins(1))
    }

    #[test]
    fn the_oldest_go_first_when_bytes_run_out_and_one_message_always_stays() {
        let mut outbox = outbox(100);
        let mut push = |seq, bytes| outbox.push(seq, Worth::Prediction, bytes, NOW);
        assert_eq!((push(1, 40), push(2, 40)), (vec![], vec![]));
        assert_eq!(push(3, 40), [1]);
        assert_eq!(push(4, 500), [2, 3]);
        assert_eq!(outbox.len(), 1);
        assert!(outbox.delivered(4));
        assert!(!outbox.delivered(4), "a second acknowledgement of the same message changes nothing");
        assert_eq!((outbox.len(), outbox.bytes), (0, 0));
    }

    #[test]
    fn predictions_are_dropped_last_whatever_came_after_them() {
        let mut outbox = outbox(100);
        assert_eq!(outbox.push(1, Worth::Prediction, 40, NOW), [0; 0]);
        assert_eq!(outbox.push(2, Worth::Event, 40, NOW), [0; 0]);
        assert_eq!(outbox.push(3, Worth::Answer, 20, NOW), [0; 0]);
        assert_eq!(outbox.push(4, Worth::Prediction, 40, NOW), [2]);
        assert_eq!(outbox.push(5, Worth::Event, 40, NOW), [5], "the newest goes where it is worth least");
        assert_eq!(outbox.push(6, Worth::Prediction, 20, NOW), [3]);
        assert_eq!(outbox.push(7, Worth::Prediction, 20, NOW), [1]);
    }
}
