//! Requests being answered in the background: who waits for them, and that none is started twice.

use std::collections::BTreeMap;

use super::super::event::{DeliveryId, Ticket};
use crate::wire::Request;

/// Answers that are found out at a time; past it a request is refused as `busy`.
pub const UNDER_WAY_MAX: usize = 16;

/// Names one search for an answer.
pub type JobId = u64;

/// Where a request came from, and where its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum ReplyTo {
    /// The broker: the answer is spooled, and the message acknowledged then.
    Broker(DeliveryId),
    /// The socket.
    Socket(Ticket),
}

/// A request and everybody who waits for it.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub request: Request,
    pub reply_to: Vec<ReplyTo>,
}

/// All requests in progress.
#[derive(Debug, Default)]
pub(super) struct PendingRequests {
    pending: BTreeMap<JobId, PendingRequest>,
    last: JobId,
}

impl PendingRequests {
    /// The request of this transaction, if one is in progress.
    pub fn of(&mut self, transaction: Option<&str>) -> Option<&mut PendingRequest> {
        let transaction = transaction?;
        self.pending.values_mut().find(|pending| pending.request.transaction.as_deref() == Some(transaction))
    }

    /// Starts one, unless too many are in progress. A signal's request has nobody waiting.
    pub fn begin(&mut self, request: Request, reply_to: Option<ReplyTo>) -> Option<JobId> {
        if self.pending.len() >= UNDER_WAY_MAX {
            return None;
        }
        self.last += 1;
        self.pending.insert(self.last, PendingRequest { request, reply_to: reply_to.into_iter().collect() });
        Some(self.last)
    }

    /// All that are in progress.
    pub fn jobs(&self) -> Vec<JobId> {
        self.pending.keys().copied().collect()
    }

    /// The answer is there.
    pub fn end(&mut self, job: JobId) -> Option<PendingRequest> {
        self.pending.remove(&job)
    }
}
