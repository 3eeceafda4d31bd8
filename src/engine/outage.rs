//! What goes on while nothing can be stored: images are predicted and said, and everything that would have to be durable
//! waits or is refused.
//!
//! So memory stays what it was, and nothing is acknowledged that is not durable. Messages wait here, up to a bound, and at
//! the broker; requests at the socket are refused unless they only read; images are taken in when there is room again,
//! by a listing of the folders. Each is said once, whether it was predicted meanwhile or later.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use super::Engine;
use super::event::{EmbeddedImage, Inbound};
use crate::wire::{AlertId, Answer, Command, ErrorCode, Request, Severity};
use crate::words::{Now, SampleId};

/// Messages of the broker that wait here; more are left to it and come again with the next connection.
const DEFERRED_MAX: usize = 100;
/// Images whose prediction was said that the store does not know yet; an older one is said again if it is found again.
const SAID_MAX: usize = 10_000;

/// What is remembered of the time in which nothing can be stored.
#[derive(Debug, Default)]
pub(super) struct Outage {
    lasts: bool,
    deferred: Vec<Inbound>,
    /// Predicted and not stored; they outlive the outage, until the listing that follows has found them.
    said: BTreeSet<SampleId>,
    /// The same in their order, the oldest to be forgotten first.
    order: VecDeque<SampleId>,
}

impl Outage {
    /// Whether nothing can be stored now.
    pub fn lasts(&self) -> bool {
        self.lasts
    }

    /// Whether this image was said already, which is forgotten with the question.
    pub fn had_said(&mut self, id: &SampleId) -> bool {
        self.said.remove(id)
    }

    /// Takes note of an image that is said now; false where it was before.
    fn says(&mut self, id: SampleId) -> bool {
        let is_new = self.said.insert(id);
        if is_new {
            self.order.push_back(id);
        }
        if self.order.len() > SAID_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.said.remove(&oldest);
        }
        is_new
    }
}

impl Engine {
    /// The store takes no writes: for want of room, or because it may not be written.
    pub(super) fn store_fails(&mut self, now: Now, full: bool, reason: &str) {
        self.outage.lasts = true;
        let (id, other) = if full {
            (AlertId::DiskFull, AlertId::StoreUnwritable)
        } else {
            (AlertId::StoreUnwritable, AlertId::DiskFull)
        };
        self.clear(now, other);
        let text = format!("{reason}; images are predicted meanwhile, and stored later");
        self.raise(now, id, Severity::Error, text);
    }

    /// It takes them again: what was held back is done.
    pub(super) fn store_works(&mut self, now: Now) {
        self.outage.lasts = false;
        self.clear(now, AlertId::DiskFull);
        self.clear(now, AlertId::StoreUnwritable);
        for inbound in std::mem::take(&mut self.outage.deferred) {
            self.inbound(now, &inbound);
        }
    }

    /// A message that cannot be made durable now.
    pub(super) fn defer(&mut self, now: Now, inbound: Inbound) {
        if self.outage.deferred.len() < DEFERRED_MAX {
            self.outage.deferred.push(inbound);
        } else {
            let reason = "nothing can be stored, so the message is not taken; the broker sends it again at the next \
                          connection if it was published with QoS 1";
            self.error_on_topic(now, &inbound.topic, reason.to_owned());
        }
    }

    /// An image that cannot be stored now is predicted, once.
    pub(super) fn only_predict(&mut self, now: Now, path: &Path, image: &EmbeddedImage, latency: Duration) {
        self.settling.passed_over();
        if !self.catalogue.contains(&image.id) && self.outage.says(image.id) {
            self.report_prediction(now, path, image, latency);
        }
    }

    /// Why a request cannot be done now; what only reads can.
    pub(super) fn refused_by_outage(&self, request: &Request) -> Option<Answer> {
        use Command::{Export, Heads, Predict, Rescan, Review, Samples, Status, Unknown};
        let reads = matches!(
            request.command,
            Export | Heads | Predict { .. } | Rescan | Review | Samples(_) | Status | Unknown
        );
        (self.outage.lasts && !reads).then(|| {
            let reason = "nothing can be stored now ('edgetuned ctl status' says why); send it again when that is over";
            Answer::error(ErrorCode::Busy, reason)
        })
    }
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
