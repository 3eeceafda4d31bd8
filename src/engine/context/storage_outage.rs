//! Behaviour while nothing can be stored: images are predicted and published, and everything that would have to be
//! durable waits or is refused.
//!
//! So memory stays what it was, and nothing is acknowledged that is not durable. Messages wait here, up to a bound,
//! and at the broker; requests at the socket are refused unless they only read; images are stored once there is space
//! again, by a listing of the folders. Each is published once, whether it was predicted meanwhile or later.

use std::collections::{BTreeSet, VecDeque};

use super::super::event::Inbound;
use super::Cx;
use crate::wire::{AlertId, Answer, ErrorCode, Request, Severity};
use crate::words::SampleId;

/// Messages of the broker that wait here; more are left to it and come again with the next connection.
pub(in crate::engine) const DEFERRED_MAX: usize = 100;
/// Images whose prediction was published but is not stored yet; an older one is published again if it is found again.
pub(in crate::engine) const PREDICTED_MAX: usize = 10_000;

/// What is remembered of the time in which nothing can be stored.
#[derive(Debug, Default)]
pub(super) struct StorageOutage {
    active: bool,
    deferred: Vec<Inbound>,
    /// How many of them came over a link that is gone: the broker sends them again.
    over_lost_link: usize,
    /// Predicted and not stored; they outlive the outage, until the listing that follows has found them.
    predicted: BTreeSet<SampleId>,
    /// The same in their order, the oldest to be forgotten first.
    order: VecDeque<SampleId>,
}

impl StorageOutage {
    /// State for the next engine of this process; by then the store takes writes.
    pub(super) fn into_carried(self) -> Self {
        Self { active: false, ..self }
    }

    /// A message comes: the copy that came over a lost link gives way to it, and where there is no room any such copy
    /// does. Whether it is taken.
    fn defer(&mut self, inbound: Inbound) -> Result<(), Inbound> {
        let is_same = |former: &Inbound| former.topic == inbound.topic && former.payload == inbound.payload;
        let copies = &self.deferred[..self.over_lost_link];
        let is_full = self.deferred.len() >= DEFERRED_MAX;
        let copy = copies.iter().position(is_same).or((is_full && !copies.is_empty()).then_some(0));
        if let Some(place) = copy {
            self.deferred.remove(place);
            self.over_lost_link -= 1;
        } else if is_full {
            return Err(inbound);
        }
        self.deferred.push(inbound);
        Ok(())
    }

    /// The messages that wait are dropped with their link; the broker sends them again.
    pub(super) fn cut_off(&mut self) {
        self.deferred.clear();
        self.over_lost_link = 0;
    }

    /// Whether nothing can be stored now.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Whether this image was published already; the entry is removed.
    pub fn was_predicted(&mut self, id: &SampleId) -> bool {
        let was_predicted = self.predicted.remove(id);
        if was_predicted && let Some(place) = self.order.iter().position(|other| other == id) {
            self.order.remove(place);
        }
        was_predicted
    }

    /// Records an image that is published now; false if it was before.
    fn predicts(&mut self, id: SampleId) -> bool {
        let is_new = self.predicted.insert(id);
        if is_new {
            self.order.push_back(id);
        }
        if self.order.len() > PREDICTED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.predicted.remove(&oldest);
        }
        is_new
    }
}

impl Cx<'_> {
    /// The store accepts no writes: the disk is full, or it is not writable.
    pub fn storage_failed(&mut self, full: bool, reason: &str) {
        self.context.outage.active = true;
        let (id, other) = if full {
            (AlertId::DiskFull, AlertId::StoreUnwritable)
        } else {
            (AlertId::StoreUnwritable, AlertId::DiskFull)
        };
        self.clear(other);
        let text = format!("{reason}; images are predicted meanwhile, and stored later");
        self.raise(id, Severity::Error, text);
    }

    /// It takes them again: returns the messages that were held back.
    pub fn storage_recovered(&mut self) -> Vec<Inbound> {
        self.context.outage.active = false;
        // A clock that was set meanwhile: what is stored from now on is stamped with it.
        self.look_at_clock();
        self.clear(AlertId::DiskFull);
        self.clear(AlertId::StoreUnwritable);
        self.take_deferred()
    }

    /// The messages that were held back.
    pub fn take_deferred(&mut self) -> Vec<Inbound> {
        self.context.outage.over_lost_link = 0;
        std::mem::take(&mut self.context.outage.deferred)
    }

    /// The link is gone: the broker sends what waits here again over the next one, if it was published with `QoS` 1.
    pub fn link_lost(&mut self) {
        self.context.outage.over_lost_link = self.context.outage.deferred.len();
    }

    /// A message that cannot be made durable now.
    pub fn defer(&mut self, inbound: Inbound) {
        if let Err(inbound) = self.context.outage.defer(inbound) {
            let reason = "nothing can be stored, so the message is not accepted; the broker sends it again at the next \
                          connection if it was published with QoS 1";
            self.error_on_topic(&inbound.topic, reason.to_owned());
        }
    }

    /// Takes note of an image that is predicted and cannot be stored; false where it was before.
    pub fn predicts_unstored(&mut self, id: SampleId) -> bool {
        self.context.outage.predicts(id)
    }

    /// Whether this image was predicted before it could be stored, which is forgotten with the question.
    pub fn was_predicted_unstored(&mut self, id: &SampleId) -> bool {
        self.context.outage.was_predicted(id)
    }

    /// Why a request cannot be done now; what only reads can.
    pub fn refused_by_outage(&self, request: &Request) -> Option<Answer> {
        (self.storage_is_out() && request.command.changes()).then(|| {
            let reason = "nothing can be stored now ('edgetuned ctl status' says why); send it again when that is over";
            Answer::error(ErrorCode::Busy, reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_comes_again_over_a_new_link_waits_once_and_in_its_order() {
        let message = |n: usize, delivery| Inbound {
            topic: "label".to_owned(),
            payload: n.to_string().into_bytes(),
            retained: false,
            delivery,
        };
        let mut outage = StorageOutage::default();
        (0..DEFERRED_MAX).for_each(|n| assert!(outage.defer(message(n, n as u64)).is_ok()));
        assert!(outage.defer(message(DEFERRED_MAX, 0)).is_err(), "no more wait");
        outage.over_lost_link = outage.deferred.len();
        for n in (1..DEFERRED_MAX).chain([DEFERRED_MAX]) {
            assert!(outage.defer(message(n, 1_000 + n as u64)).is_ok(), "its former copy gives way, or the oldest one");
        }
        let payloads: Vec<_> = outage.deferred.iter().map(|inbound| inbound.payload.clone()).collect();
        assert_eq!(payloads, (1..=DEFERRED_MAX).map(|n| n.to_string().into_bytes()).collect::<Vec<_>>());
        assert!(outage.deferred.iter().all(|inbound| inbound.delivery > 1_000), "only these can be acknowledged");
        assert!(outage.defer(message(0, 1)).is_err());
    }

    #[test]
    fn an_image_that_was_stored_and_came_again_does_not_push_out_one_that_was_predicted() {
        let id = |n: usize| SampleId::of(&n.to_le_bytes());
        let mut outage = StorageOutage::default();
        outage.predicts(id(0));
        assert!(outage.was_predicted(&id(0)), "it is stored");
        outage.predicts(id(0));
        (1..PREDICTED_MAX).for_each(|n| assert!(outage.predicts(id(n))));
        assert!(!outage.predicts(id(0)), "there was room for all of them");
    }
}
