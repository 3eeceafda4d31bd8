//! The list of images that are worth a label: when it is renewed, and when an entry is done.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::super::context::Cx;
use super::super::event::Review;
use super::super::step::TaskAct;
use super::sheet::Sheet;
use crate::wire::command::{self, Spec as _};
use crate::wire::{Answer, ReviewItems, ReviewList, ReviewReason, TaskTopic};
use crate::words::{SampleId, Timestamp};

/// A list is made at most this often while images and labels keep coming.
const EVERY: Duration = Duration::from_secs(30);

/// The list and whether it is out of date.
#[derive(Debug, Default)]
pub(super) struct ReviewState {
    list: ReviewItems,
    stale: bool,
    /// Whether one is being made.
    running: bool,
    made_at: Option<Duration>,
    /// Only later images are listed, since drift was found.
    since: Option<Timestamp>,
}

impl ReviewState {
    /// Why each image is on the list.
    pub fn reasons(&self) -> impl Iterator<Item = ReviewReason> {
        self.list.items.iter().map(|item| item.reason)
    }

    /// Images or labels changed.
    pub fn outdated(&mut self) {
        self.stale = true;
    }

    /// A file is gone: where the list names it, another list is made at once, which names a file that is there.
    pub fn file_is_gone(&mut self, path: &Path) {
        if self.list.items.iter().any(|item| item.path.as_ref().is_some_and(|named| Path::new(named) == path)) {
            self.stale = true;
            self.made_at = None;
        }
    }
}

impl Sheet {
    /// Requests a list when the last one is out of date and no file waits.
    pub fn ask_when_due(&mut self, cx: &mut Cx<'_>, files_waiting: usize) {
        let review = &self.review;
        let recent = review.made_at.is_some_and(|at| cx.now.mono.saturating_sub(at) < EVERY);
        if review.stale && !review.running && !recent && files_waiting == 0 && !cx.is_stopping() {
            let since = review.since;
            self.ask(cx, since);
        }
    }

    /// Requests a list now.
    pub fn ask(&mut self, cx: &mut Cx<'_>, since: Option<Timestamp>) {
        self.review.since = since;
        self.review.stale = false;
        self.review.running = true;
        self.review.made_at = Some(cx.now.mono);
        cx.task_act(TaskAct::Review { since });
    }

    /// A list was made; what was labelled, excluded or dropped meanwhile is not on it.
    pub fn reviewed(&mut self, cx: &mut Cx<'_>, review: Review) {
        self.review.running = false;
        let Review { mut items, advice } = review;
        items.retain(|item| !self.index.is_excluded(&item.image));
        items.retain(|item| match (item.reason, self.index.label(&item.image)) {
            (ReviewReason::Suspicious, label) => label.is_some() && label == item.label.as_ref(),
            (_, label) => self.index.contains(&item.image) && label.is_none(),
        });
        self.show(cx, ReviewItems { task: None, items, advice });
    }

    /// Images got a label, or are gone.
    pub fn no_longer_asked(&mut self, cx: &mut Cx<'_>, ids: &BTreeSet<SampleId>) {
        let mut list = self.review.list.clone();
        list.items.retain(|item| !ids.contains(&item.image));
        self.show(cx, list);
    }

    fn show(&mut self, cx: &mut Cx<'_>, list: ReviewItems) {
        if list != self.review.list {
            self.review.list = list;
            self.publish_review(cx);
        }
    }

    /// Publishes the list as it is.
    pub fn publish_review(&mut self, cx: &mut Cx<'_>) {
        let body = self.review.list.clone();
        cx.publish_of_task(TaskTopic::Review, |envelope, task| ReviewList {
            envelope,
            body: ReviewItems { task, ..body.clone() },
        });
    }

    /// The list, for requests.
    pub fn show_review_list(&self) -> Answer {
        command::Review::answer(&self.review.list)
    }
}
