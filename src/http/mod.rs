//! HTTP over the daemon's Unix socket: the same requests as over MQTT, and every message, live.
//!
//! One thread, `http`, on a single-threaded runtime. A request becomes an event with a ticket, and the answer that the
//! engine gives to that ticket becomes the response; what a request means is not known here.
//!
//! - No client can block the daemon: at most 16 connections are served at a time, each for one
//!   request, with limits on its length and on the time it takes. Where the daemon's own queue is full the answer is
//!   `busy`, at once.
//! - A client that watches and reads too slowly misses messages and learns how many; nothing waits for it.
//! - Access control is the mode of the socket's file, 0660: every user who may open it may send every request.

mod image;
mod replies;
mod routes;
mod socket;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use routes::{IMAGE, PREFIX, WATCH};
pub use socket::{Reachable, Socket, SocketError, path};

use crate::engine::{Event, Ticket};
use crate::ports::FrameSink;
use crate::wire::{Response, Topic};
use replies::ReplyRouter;

/// How long dropping the handle waits for replies that are being sent.
const FAREWELL: Duration = Duration::from_millis(1_500);
/// Between two checks of the thread that is about to end.
const LOOK: Duration = Duration::from_millis(5);

/// The daemon's handle of the socket. No call waits except dropping it, which ends the thread and removes the socket.
#[derive(Debug)]
pub struct Handle {
    replies: Arc<ReplyRouter>,
    thread: Option<JoinHandle<()>>,
    _socket: Socket,
}

/// Makes the socket at `path`, lets it be found in the folder `store`, and serves it on a thread of its own.
///
/// `events` receives [`Event::Socket`] and returns whether it was accepted; it must not wait. `frames` gets the pictures
/// that are posted.
///
/// # Errors
/// [`SocketError`] when the socket cannot be made, or the system gives no thread.
pub fn spawn(
    path: &Path,
    store: &Path,
    events: impl Fn(Event) -> bool + Send + Sync + 'static,
    frames: Arc<dyn FrameSink>,
) -> Result<Handle, SocketError> {
    let failed = |source| SocketError::Failed { path: path.to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut socket, listener) = Socket::bind(path)?;
    socket.link_from(store)?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::UnixListener::from_std(listener).map_err(failed)?
    };
    let replies = Arc::new(ReplyRouter::new(Box::new(events)));
    let thread = thread::Builder::new().name("http".into()).spawn({
        let replies = Arc::clone(&replies);
        move || {
            runtime.block_on(routes::serve(listener, replies, frames));
            runtime.shutdown_background();
        }
    });
    Ok(Handle { replies, thread: Some(thread.map_err(failed)?), _socket: socket })
}

impl Handle {
    /// Answers the request with this ticket, if its client still waits.
    pub fn answer(&self, ticket: Ticket, response: Response) {
        self.replies.answer(ticket, response);
    }

    /// Whether a client watches.
    pub fn is_watched(&self) -> bool {
        self.replies.is_watched()
    }

    /// Passes a message on to the clients that watch.
    pub fn broadcast(&self, topic: &Topic, payload: &[u8]) {
        self.replies.broadcast(topic, payload);
    }

    /// Whether the thread has ended; it should not by itself.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.replies.close();
        let until = Instant::now() + FAREWELL;
        while !self.is_finished() && Instant::now() < until {
            thread::sleep(LOOK);
        }
    }
}
