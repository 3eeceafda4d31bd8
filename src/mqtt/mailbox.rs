//! What the rest of the program requests of the link, until the link does it.
//!
//! Bounded by construction: one payload a retained topic, [`PASSING`] of the others, one ticket an inbound message in
//! hand, and flags.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::engine::{DeliveryId, Terms};
use crate::wire::Topic;

/// Messages that are not kept: usually the outbox carries them, except while nothing can be stored.
const PASSING: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    requests: Mutex<Requests>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Requests {
    /// Whether the broker is connected; otherwise published messages are dropped.
    connected: bool,
    publishes: Vec<(Topic, Vec<u8>)>,
    acks: VecDeque<DeliveryId>,
    outbox_changed: bool,
    terms: Arc<Terms>,
    terms_changed: bool,
    end: Option<End>,
}

/// How the link is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Send what waits, for at most this long, then the last message and the disconnect.
    Cleanly(Duration),
    /// At once.
    Cut,
}

impl Mailbox {
    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the broker is there to get it.
    pub(super) fn publish(&self, topic: Topic, payload: Vec<u8>) -> bool {
        let mut requests = self.requests();
        if !requests.connected {
            return false;
        }
        let same = |(waiting, _): &&mut (Topic, Vec<u8>)| topic.retain() && *waiting == topic;
        match requests.publishes.iter_mut().find(same) {
            Some((_, waiting)) => *waiting = payload,
            None => requests.publishes.push((topic, payload)),
        }
        let passing = |(waiting, _): &(Topic, Vec<u8>)| !waiting.retain();
        if requests.publishes.iter().filter(|waiting| passing(waiting)).count() > PASSING
            && let Some(oldest) = requests.publishes.iter().position(passing)
        {
            requests.publishes.remove(oldest);
        }
        drop(requests);
        self.changed.notify_one();
        true
    }

    pub(super) fn ack(&self, delivery: DeliveryId) {
        self.requests().acks.push_back(delivery);
        self.changed.notify_one();
    }

    pub(super) fn outbox_changed(&self) {
        self.requests().outbox_changed = true;
        self.changed.notify_one();
    }

    pub(super) fn adapt(&self, terms: Terms) {
        let mut requests = self.requests();
        requests.terms = Arc::new(terms);
        requests.terms_changed = true;
        drop(requests);
        self.changed.notify_one();
    }

    pub(super) fn stop(&self, within: Duration) {
        self.requests().end.get_or_insert(End::Cleanly(within));
        self.changed.notify_one();
    }

    pub(super) fn cut(&self) {
        self.requests().end = Some(End::Cut);
        self.changed.notify_one();
    }

    /// Waits until something was requested since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until the end is requested.
    pub(super) async fn ended(&self) {
        while self.end().is_none() {
            self.changed().await;
        }
    }

    pub(super) fn end(&self) -> Option<End> {
        self.requests().end
    }

    pub(super) fn next_publish(&self) -> Option<(Topic, Vec<u8>)> {
        let publishes = &mut self.requests().publishes;
        if publishes.is_empty() { None } else { Some(publishes.remove(0)) }
    }

    pub(super) fn has_publishes(&self) -> bool {
        !self.requests().publishes.is_empty()
    }

    /// In the order of the requests.
    pub(super) fn next_ack(&self) -> Option<DeliveryId> {
        self.requests().acks.pop_front()
    }

    /// Whether the outbox got new messages since the last call.
    pub(super) fn take_outbox_changed(&self) -> bool {
        std::mem::take(&mut self.requests().outbox_changed)
    }

    /// How to send.
    pub(super) fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.requests().terms)
    }

    /// Whether that changed since the last call.
    pub(super) fn take_terms_changed(&self) -> bool {
        std::mem::take(&mut self.requests().terms_changed)
    }

    /// From now on published messages are sent.
    pub(super) fn open(&self) {
        self.requests().connected = true;
    }

    /// What was requested of this connection is void.
    pub(super) fn close(&self) {
        let mut requests = self.requests();
        requests.connected = false;
        requests.publishes.clear();
        requests.acks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_messages_on_one_topic_the_latest_goes_out_in_the_first_ones_place() {
        let mailbox = Mailbox::default();
        mailbox.open();
        mailbox.publish(Topic::State, b"1".to_vec());
        mailbox.publish(Topic::Info, b"i".to_vec());
        mailbox.publish(Topic::State, b"2".to_vec());
        assert_eq!(mailbox.next_publish(), Some((Topic::State, b"2".to_vec())));
        assert_eq!(mailbox.next_publish(), Some((Topic::Info, b"i".to_vec())));
        assert_eq!(mailbox.next_publish(), None);
    }

    #[test]
    fn without_a_broker_nothing_that_is_published_waits() {
        let mailbox = Mailbox::default();
        mailbox.publish(Topic::State, b"1".to_vec());
        mailbox.open();
        assert_eq!(mailbox.next_publish(), None);
        mailbox.publish(Topic::State, b"2".to_vec());
        mailbox.close();
        mailbox.open();
        assert_eq!(mailbox.next_publish(), None);
    }

    #[test]
    fn a_cut_overrules_a_clean_end_but_not_the_other_way_round() {
        let mailbox = Mailbox::default();
        mailbox.stop(Duration::from_secs(1));
        assert_eq!(mailbox.end(), Some(End::Cleanly(Duration::from_secs(1))));
        mailbox.cut();
        mailbox.stop(Duration::from_secs(1));
        assert_eq!(mailbox.end(), Some(End::Cut));
    }

    #[test]
    fn messages_that_nobody_keeps_all_go_out_up_to_a_bound_the_oldest_dropped() {
        let mailbox = Mailbox::default();
        mailbox.open();
        mailbox.publish(Topic::Info, vec![0]);
        for n in 0..=PASSING {
            mailbox.publish(Topic::Prediction, n.to_le_bytes().to_vec());
        }
        assert_eq!(mailbox.next_publish(), Some((Topic::Info, vec![0])));
        for n in 1..=PASSING {
            assert_eq!(mailbox.next_publish(), Some((Topic::Prediction, n.to_le_bytes().to_vec())));
        }
        assert_eq!(mailbox.next_publish(), None);
    }
}
