//! The list of images that are worth a label: when it is made anew, and when something on it is done.

use std::time::Duration;

use super::Engine;
use super::effect::Effect;
use super::event::Review;
use crate::eval::review::Reason;
use crate::wire::Asked;
use crate::words::{Now, SampleId, Timestamp};

/// A list is made at most so often while images and labels keep coming.
const EVERY: Duration = Duration::from_secs(30);

/// The list and whether it is out of date.
#[derive(Debug, Default)]
pub(super) struct Asks {
    asked: Asked,
    stale: bool,
    /// Whether one is being made.
    running: bool,
    made_at: Option<Duration>,
    /// Nothing earlier is asked for, since a drift was found.
    since: Option<Timestamp>,
}

impl Asks {
    /// Images or labels changed.
    pub fn outdated(&mut self) {
        self.stale = true;
    }

    pub fn asked(&self) -> &Asked {
        &self.asked
    }
}

impl Engine {
    /// Asks for a list when the last one is out of date and no file waits.
    pub(super) fn ask_when_due(&mut self, now: Now) {
        let asks = &self.asks;
        let recent = asks.made_at.is_some_and(|at| now.mono.saturating_sub(at) < EVERY);
        if asks.stale && !asks.running && !recent && self.settling.len() == 0 && !self.stopping {
            let since = asks.since;
            self.ask(now, since);
        }
    }

    /// Asks for a list now.
    pub(super) fn ask(&mut self, now: Now, since: Option<Timestamp>) {
        self.asks.since = since;
        self.asks.stale = false;
        self.asks.running = true;
        self.asks.made_at = Some(now.mono);
        self.effects.push(Effect::Review { since });
    }

    /// A list was made; what was labelled or dropped meanwhile is not on it.
    pub(super) fn reviewed(&mut self, now: Now, review: Review) {
        self.asks.running = false;
        let Review { mut items, advice } = review;
        items.retain(|item| match (item.reason, self.catalogue.label(&item.image)) {
            (Reason::Suspicious, label) => label.is_some() && label == item.label.as_ref(),
            (_, label) => self.catalogue.contains(&item.image) && label.is_none(),
        });
        self.show(now, Asked { items, advice });
    }

    /// An image got a label, or is gone.
    pub(super) fn no_longer_asked(&mut self, now: Now, id: &SampleId) {
        let mut asked = self.asks.asked.clone();
        asked.items.retain(|item| item.image != *id);
        self.show(now, asked);
    }

    fn show(&mut self, now: Now, asked: Asked) {
        if asked != self.asks.asked {
            self.asks.asked = asked;
            self.publish_review(now);
        }
    }
}
