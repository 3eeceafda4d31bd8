//! The replies that are waited for, and the clients that watch messages.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, oneshot, watch};

use crate::engine::{Event, SocketRequest, Ticket};
use crate::wire::{Response, Topic};

/// Messages that may wait for a client that watches; past it the oldest is dropped.
const WATCHED: usize = 256;
/// Clients that may watch at a time.
const WATCHERS: usize = 8;

/// Routes requests from the thread that serves to the engine, and replies back.
pub(super) struct ReplyRouter {
    waiting: Mutex<Waiting>,
    messages: broadcast::Sender<Arc<str>>,
    closing: watch::Sender<bool>,
    events: Box<dyn Fn(Event) -> bool + Send + Sync>,
}

#[derive(Default)]
struct Waiting {
    answers: HashMap<Ticket, oneshot::Sender<Response>>,
    last: Ticket,
}

/// A client that waits for a reply; dropping it forgets the request.
pub(super) struct ReplyHandle<'a> {
    replies: &'a ReplyRouter,
    ticket: Ticket,
    answer: oneshot::Receiver<Response>,
}

impl ReplyRouter {
    pub fn new(events: Box<dyn Fn(Event) -> bool + Send + Sync>) -> Self {
        let (messages, _) = broadcast::channel(WATCHED);
        Self { waiting: Mutex::default(), messages, closing: watch::Sender::new(false), events }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a request to the engine; `None` when its queue is full.
    pub fn ask(&self, name: String, payload: Vec<u8>) -> Option<ReplyHandle<'_>> {
        let handle = self.wait();
        let ticket = handle.ticket;
        (self.events)(Event::Socket(SocketRequest { name, payload, ticket })).then_some(handle)
    }

    /// A ticket for an answer that the engine gives without a request.
    pub fn wait(&self) -> ReplyHandle<'_> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.last += 1;
        let ticket = waiting.last;
        waiting.answers.insert(ticket, sender);
        ReplyHandle { replies: self, ticket, answer }
    }

    /// Sends `response` to the client that holds `ticket`, if it still waits.
    pub fn answer(&self, ticket: Ticket, response: Response) {
        if let Some(waiting) = self.waiting().answers.remove(&ticket) {
            // The client may have disconnected just now.
            let _ = waiting.send(response);
        }
    }

    /// What holds now, and every message from now on; `None` when too many clients watch.
    pub fn watch(&self) -> Option<broadcast::Receiver<Arc<str>>> {
        let messages = (self.messages.receiver_count() < WATCHERS).then(|| self.messages.subscribe())?;
        // An engine that has no time for it now leaves the client with what is new.
        (self.events)(Event::WatchBegan);
        Some(messages)
    }

    /// How many clients watch.
    pub fn watchers(&self) -> usize {
        self.messages.receiver_count()
    }

    pub fn is_watched(&self) -> bool {
        self.watchers() > 0
    }

    /// Sends a message to every client that watches; one that is too slow misses it.
    pub fn broadcast(&self, topic: &Topic, payload: &[u8]) {
        if self.is_watched() {
            // The last client may have disconnected just now.
            let _ = self.messages.send(line(topic, payload).into());
        }
    }

    /// Ends every wait for a reply and every watch.
    pub fn close(&self) {
        self.closing.send_replace(true);
        self.waiting().answers.clear();
    }

    /// Returns when [`ReplyRouter::close`] was called.
    pub async fn closed(&self) {
        // The sender lives as long as this.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

impl ReplyHandle<'_> {
    /// The ticket.
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The reply; `None` when the daemon ends before there is one.
    pub async fn answer(&mut self) -> Option<Response> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for ReplyHandle<'_> {
    fn drop(&mut self) {
        self.replies.waiting().answers.remove(&self.ticket);
    }
}

impl fmt::Debug for ReplyRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyRouter").field("watchers", &self.messages.receiver_count()).finish_non_exhaustive()
    }
}

/// `{"topic": …, "payload": …}` in one line; what is not JSON becomes a text, and an empty payload null.
fn line(topic: &Topic, payload: &[u8]) -> String {
    let topic = serde_json::Value::String(topic.to_string());
    let payload = match std::str::from_utf8(payload) {
        Ok("") => "null".into(),
        Ok(json) if json.starts_with('{') => json.to_owned(),
        _ => serde_json::Value::String(String::from_utf8_lossy(payload).into_owned()).to_string(),
    };
    format!(r#"{{"topic":{topic},"payload":{payload}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Envelope};
    use crate::words::Timestamp;

    fn response() -> Response {
        let envelope = Envelope::new(Timestamp(0), 1, "boot");
        Response { envelope, transaction: None, answer: Answer::ok(&1) }
    }

    #[test]
    fn a_message_is_a_line_of_json_whatever_its_payload() {
        assert_eq!(line(&Topic::Status, b"online"), r#"{"topic":"status","payload":"online"}"#);
        assert_eq!(line(&Topic::Event, br#"{"v":1}"#), r#"{"topic":"event","payload":{"v":1}}"#);
        assert_eq!(line(&Topic::Info, b""), r#"{"topic":"info","payload":null}"#);
        assert_eq!(line(&Topic::Info, b"\xff\n"), "{\"topic\":\"info\",\"payload\":\"\u{fffd}\\n\"}");
    }

    #[test]
    fn a_request_that_was_dropped_or_refused_leaves_nothing_behind() {
        let replies = ReplyRouter::new(Box::new(|_| true));
        let handle = replies.ask("status".into(), vec![]).unwrap();
        assert_eq!(replies.waiting().answers.len(), 1);
        drop(handle);
        replies.answer(1, response());
        let full = ReplyRouter::new(Box::new(|_| false));
        assert!(full.ask("status".into(), vec![]).is_none());
        assert!(replies.waiting().answers.is_empty() && full.waiting().answers.is_empty());
    }

    #[test]
    fn a_reply_reaches_its_request_and_closing_ends_every_wait() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let replies = ReplyRouter::new(Box::new(|_| true));
        let (mut first, mut second) =
            (replies.ask("a".into(), vec![]).unwrap(), replies.ask("b".into(), vec![]).unwrap());
        replies.answer(2, response());
        replies.close();
        assert_eq!(runtime.block_on(second.answer()), Some(response()));
        assert_eq!(runtime.block_on(first.answer()), None);
        runtime.block_on(replies.closed());
    }

    #[test]
    fn the_number_of_clients_that_watch_is_limited() {
        let replies = ReplyRouter::new(Box::new(|_| true));
        let watching: Vec<_> = (0..WATCHERS).map(|_| replies.watch().unwrap()).collect();
        assert!(replies.watch().is_none());
        drop(watching);
        assert!(replies.watch().is_some());
    }
}
