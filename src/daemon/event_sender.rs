//! Sends events to the loop for threads that survive a restart within the process: the link, the socket, the signals.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError, RwLock, TryLockError};

use crate::engine::Event;

/// Sends to the queue of whichever engine runs now, and waits while that queue is full.
#[derive(Debug, Clone)]
pub(super) struct EventSender(Arc<RwLock<SyncSender<Event>>>);

impl EventSender {
    pub fn new(queue: SyncSender<Event>) -> Self {
        Self(Arc::new(RwLock::new(queue)))
    }

    /// Sends an event; it is lost only when the process ends.
    pub fn send(&self, event: Event) {
        // The lock is held while it waits, so that no event is in transit to a previous queue. Others may send
        // meanwhile.
        let _ = self.0.read().unwrap_or_else(PoisonError::into_inner).send(event);
    }

    /// Sends an event if the queue is not full; returns whether it was sent.
    pub fn try_send(&self, event: Event) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).try_send(event).is_ok()
    }

    /// Sends to another queue from now on. `empty` takes every event out of the former one; this sender puts none into
    /// it afterwards.
    pub fn redirect(&self, queue: &SyncSender<Event>, mut empty: impl FnMut()) {
        loop {
            empty();
            match self.0.try_write() {
                Ok(mut lead) => {
                    *lead = queue.clone();
                    break;
                }
                Err(TryLockError::Poisoned(poisoned)) => {
                    *poisoned.into_inner() = queue.clone();
                    break;
                }
                // A thread waits for space in the previous queue, which is being emptied.
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
        empty();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::*;
    use crate::engine::BrokerEvent;

    #[test]
    fn who_does_not_wait_is_turned_away_by_a_full_queue_only_and_not_by_others_who_send() {
        let (queue, events) = sync_channel(1);
        let sender = EventSender::new(queue);
        let held = sender.0.read().unwrap();
        assert!(sender.try_send(Event::Tick), "somebody else is sending");
        drop(held);
        assert!(!sender.try_send(Event::Tick), "the queue is full");
        drop(events);
    }

    #[test]
    fn nothing_is_lost_or_doubled_while_the_sender_is_redirected() {
        let (first, from_first) = sync_channel(1);
        let sender = EventSender::new(first);
        let sending = thread::spawn({
            let sender = sender.clone();
            move || (0..2_000).for_each(|seq| sender.send(Event::Broker(BrokerEvent::Delivered { seq })))
        });
        let mut seen = Vec::new();
        let seq = |event| match event {
            Event::Broker(BrokerEvent::Delivered { seq }) => seq,
            other => panic!("nobody sent {other:?}"),
        };
        seen.extend(from_first.iter().take(100).map(seq));
        let (second, from_second) = sync_channel(1);
        sender.redirect(&second, || seen.extend(from_first.try_iter().map(seq)));
        drop(from_first);
        drop(second);
        while seen.len() < 2_000 {
            seen.push(seq(from_second.recv().unwrap()));
        }
        sending.join().unwrap();
        assert_eq!(seen, (0..2_000).collect::<Vec<u64>>());
    }
}
