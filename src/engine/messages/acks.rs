//! When an inbound message is acknowledged: as soon as its effect is durable, and in the order of arrival.
//!
//! MQTT 3.1.1 wants PUBACKs in the order of the messages (MQTT-4.6.0-2). Most messages are done within their step; a
//! request that is answered in the background holds back those that came after it, for as long as that takes.

use std::collections::VecDeque;

use super::super::event::DeliveryId;

/// Messages that came and are not acknowledged yet, with whether they are done.
#[derive(Debug, Default)]
pub(super) struct Acks {
    messages: VecDeque<(DeliveryId, bool)>,
}

impl Acks {
    /// A message came.
    pub fn arrived(&mut self, delivery: DeliveryId) {
        self.messages.push_back((delivery, false));
    }

    /// A message is done; returns those that can be acknowledged now, in order.
    pub fn done(&mut self, delivery: DeliveryId) -> Vec<DeliveryId> {
        if let Some(message) = self.messages.iter_mut().find(|(other, done)| *other == delivery && !done) {
            message.1 = true;
        }
        let mut ready = Vec::new();
        while let Some((delivery, true)) = self.messages.front() {
            ready.push(*delivery);
            self.messages.pop_front();
        }
        ready
    }

    /// The link is about to end: what is done and was held back.
    pub fn rest(&mut self) -> Vec<DeliveryId> {
        self.messages.drain(..).filter(|(_, done)| *done).map(|(delivery, _)| delivery).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_takes_long_holds_back_those_after_it_and_none_before() {
        let mut acks = Acks::default();
        (1..=4).for_each(|delivery| acks.arrived(delivery));
        assert_eq!(acks.done(1), [1]);
        assert!(acks.done(3).is_empty());
        assert_eq!(acks.done(2), [2, 3]);
        acks.arrived(5);
        assert!(acks.done(5).is_empty());
        assert_eq!(acks.rest(), [5], "at the end what is done is acknowledged, what is not is not");
        assert!(acks.done(4).is_empty(), "a message of a link that is gone");
    }
}
