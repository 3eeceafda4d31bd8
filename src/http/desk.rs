//! Who waits for an answer, and who watches.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, oneshot, watch};

use crate::engine::{Event, Requested, Ticket};
use crate::wire::{Response, Topic};

/// Messages that may wait for who watches; past it the oldest is missed.
const WATCHED: usize = 256;
/// Those who may watch at a time.
const WATCHERS: usize = 8;

/// Between the thread that serves and the rest of the program.
pub(super) struct Desk {
    waiting: Mutex<Waiting>,
    said: broadcast::Sender<Arc<str>>,
    closing: watch::Sender<bool>,
    events: Box<dyn Fn(Event) -> bool + Send + Sync>,
}

#[derive(Default)]
struct Waiting {
    answers: HashMap<Ticket, oneshot::Sender<Response>>,
    last: Ticket,
}

/// Somebody who waits for an answer; when he goes, nothing of him stays.
pub(super) struct Visitor<'a> {
    desk: &'a Desk,
    ticket: Ticket,
    answer: oneshot::Receiver<Response>,
}

impl Desk {
    pub fn new(events: Box<dyn Fn(Event) -> bool + Send + Sync>) -> Self {
        let (said, _) = broadcast::channel(WATCHED);
        Self { waiting: Mutex::default(), said, closing: watch::Sender::new(false), events }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a request in; `None` when the daemon has too much to do to take it.
    pub fn ask(&self, name: String, payload: Vec<u8>) -> Option<Visitor<'_>> {
        let (sender, answer) = oneshot::channel();
        let ticket = {
            let mut waiting = self.waiting();
            waiting.last += 1;
            let ticket = waiting.last;
            waiting.answers.insert(ticket, sender);
            ticket
        };
        let visitor = Visitor { desk: self, ticket, answer };
        (self.events)(Event::Request(Requested { name, payload, ticket })).then_some(visitor)
    }

    pub fn answer(&self, ticket: Ticket, response: Response) {
        if let Some(waiting) = self.waiting().answers.remove(&ticket) {
            // He may have gone just now.
            let _ = waiting.send(response);
        }
    }

    /// Everything that is said from now on; `None` when too many watch.
    pub fn watch(&self) -> Option<broadcast::Receiver<Arc<str>>> {
        (self.said.receiver_count() < WATCHERS).then(|| self.said.subscribe())
    }

    pub fn is_watched(&self) -> bool {
        self.said.receiver_count() > 0
    }

    pub fn say(&self, topic: &Topic, payload: &[u8]) {
        if self.is_watched() {
            // The last one may have gone just now.
            let _ = self.said.send(line(topic, payload).into());
        }
    }

    /// Nobody is answered any more, and those who watch are sent home.
    pub fn close(&self) {
        self.closing.send_replace(true);
        self.waiting().answers.clear();
    }

    /// Returns when the end has come.
    pub async fn closed(&self) {
        // The sender lives as long as this.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

impl Visitor<'_> {
    /// The answer; `None` when the daemon ends before there is one.
    pub async fn answer(&mut self) -> Option<Response> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Visitor<'_> {
    fn drop(&mut self) {
        self.desk.waiting().answers.remove(&self.ticket);
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("watchers", &self.said.receiver_count()).finish_non_exhaustive()
    }
}

/// `{"topic": …, "payload": …}` in one line; what is no JSON becomes a text, and nothing becomes null.
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
    fn what_was_said_is_a_line_of_json_whatever_it_was() {
        assert_eq!(line(&Topic::Status, b"online"), r#"{"topic":"status","payload":"online"}"#);
        assert_eq!(line(&Topic::Event, br#"{"v":1}"#), r#"{"topic":"event","payload":{"v":1}}"#);
        assert_eq!(line(&Topic::Info, b""), r#"{"topic":"info","payload":null}"#);
        assert_eq!(line(&Topic::Info, b"\xff\n"), "{\"topic\":\"info\",\"payload\":\"\u{fffd}\\n\"}");
    }

    #[test]
    fn nothing_stays_of_who_went_or_was_not_let_in() {
        let desk = Desk::new(Box::new(|_| true));
        let visitor = desk.ask("status".into(), vec![]).unwrap();
        assert_eq!(desk.waiting().answers.len(), 1);
        drop(visitor);
        desk.answer(1, response());
        let full = Desk::new(Box::new(|_| false));
        assert!(full.ask("status".into(), vec![]).is_none());
        assert!(desk.waiting().answers.is_empty() && full.waiting().answers.is_empty());
    }

    #[test]
    fn an_answer_finds_who_asked_and_at_the_end_nobody_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let desk = Desk::new(Box::new(|_| true));
        let (mut first, mut second) = (desk.ask("a".into(), vec![]).unwrap(), desk.ask("b".into(), vec![]).unwrap());
        desk.answer(2, response());
        desk.close();
        assert_eq!(runtime.block_on(second.answer()), Some(response()));
        assert_eq!(runtime.block_on(first.answer()), None);
        runtime.block_on(desk.closed());
    }

    #[test]
    fn only_so_many_watch() {
        let desk = Desk::new(Box::new(|_| true));
        let watching: Vec<_> = (0..WATCHERS).map(|_| desk.watch().unwrap()).collect();
        assert!(desk.watch().is_none());
        drop(watching);
        assert!(desk.watch().is_some());
    }
}
