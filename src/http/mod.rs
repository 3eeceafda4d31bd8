//! HTTP over the daemon's Unix socket, and over TCP where a door is opened: the same requests as over MQTT, and every
//! message, live.
//!
//! One thread, `http`, on a single-threaded runtime. A request becomes an event with a ticket, and the answer that the
//! engine gives to that ticket becomes the response; what a request means is not known here.
//!
//! - No client can block the daemon: at most 16 connections are served at a time, each for one
//!   request, with limits on its length and on the time it takes. Where the daemon's own queue is full the answer is
//!   `busy`, at once.
//! - A client that watches and reads too slowly misses messages and learns how many; nothing waits for it.
//! - Access control of the socket is the mode of its file, 0660: every user who may open it may send every request.
//! - Access control of the door is `authorisation`, one decision for every route: `gate` asks it of each request before
//!   anything else sees that.
//!
//! | file | what it does |
//! | --- | --- |
//! | `socket` | the socket's file |
//! | `routes`, `image`, `replies`, `pictures`, `views`, `health`, `metrics`, `page` | what both ways lead to |
//! | `turn`, `image_name` | what reads of the disk have in common |
//! | `door`, `places` | listening on TCP, and who may be connected at a time |
//! | `gate`, `headers` | carries out the decision, and what every answer says |
//! | `authorisation`, `hosts`, `forwarded` | decide, without any I/O |
//! | `token`, `sessions`, `login` | what identifies a client |

mod authorisation;
mod door;
mod forwarded;
mod gate;
mod headers;
mod health;
mod hosts;
mod image;
mod image_name;
mod login;
mod metrics;
mod page;
mod pictures;
mod places;
mod replies;
mod routes;
mod sessions;
mod socket;
mod token;
mod turn;
mod views;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use door::{Door, DoorError, DoorSettings, USUAL};
pub use routes::{IMAGE, PREFIX, WATCH};
pub use socket::{Reachable, Socket, SocketError, path};
pub use token::{TokenError, check_token};

use tokio::sync::watch;

use crate::engine::{Event, Ticket};
use crate::ports::{FrameSink, Metrics, PictureSource, SampleViews};
use crate::wire::{Response, Topic};
use health::Condition;
use replies::ReplyRouter;

/// How long dropping the handle waits for replies that are being sent.
const FAREWELL: Duration = Duration::from_millis(1_500);
/// Threads that read files and pictures for clients.
const BLOCKING: usize = 8;
/// Between two checks of the thread that is about to end.
const LOOK: Duration = Duration::from_millis(5);

/// The daemon's handle of socket and door. No call waits except dropping it, which ends the thread and removes the socket.
#[derive(Debug)]
pub struct Handle {
    replies: Arc<ReplyRouter>,
    door: watch::Sender<Option<Arc<Door>>>,
    condition: Arc<Condition>,
    thread: Option<JoinHandle<()>>,
    _socket: Socket,
}

/// Makes the socket at `path`, lets it be found in the folder `store`, and serves it on a thread of its own; without a door.
///
/// `events` receives [`Event::Socket`] and returns whether it was accepted; it must not wait. `frames` gets the pictures
/// that are posted, and `metrics` counts requests.
///
/// # Errors
/// [`SocketError`] when the socket cannot be made, or the system gives no thread.
pub fn spawn(
    path: &Path,
    store: &Path,
    events: impl Fn(Event) -> bool + Send + Sync + 'static,
    frames: Arc<dyn FrameSink>,
    metrics: Arc<dyn Metrics>,
) -> Result<Handle, SocketError> {
    let failed = |source| SocketError::Failed { path: path.to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING).build();
    let runtime = runtime.map_err(failed)?;
    let (mut socket, listener) = Socket::bind(path)?;
    socket.link_from(store)?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::UnixListener::from_std(listener).map_err(failed)?
    };
    let replies = Arc::new(ReplyRouter::new(Box::new(events)));
    let (door, doors) = watch::channel(None);
    let condition = Arc::new(Condition::default());
    let thread = thread::Builder::new().name("http".into()).spawn({
        let replies = Arc::clone(&replies);
        let routes = routes::shared(Arc::clone(&replies), frames, &condition);
        let routes = routes.merge(metrics::routes(Arc::clone(&metrics), Arc::clone(&replies)));
        move || {
            runtime.block_on(async {
                tokio::join!(
                    routes::serve(listener, routes.clone(), &replies, &metrics),
                    door::serve_each(doors, routes.clone(), &replies, &metrics)
                )
            });
            runtime.shutdown_background();
        }
    });
    Ok(Handle { replies, door, condition, thread: Some(thread.map_err(failed)?), _socket: socket })
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

    /// The door that is open.
    pub fn door(&self) -> Option<Arc<Door>> {
        self.door.borrow().clone()
    }

    /// Opens `door` in place of the present one, whose connections and sessions end; the same one stays as it is.
    pub fn open(&self, door: Option<Arc<Door>>) {
        self.door.send_if_modified(|present| {
            let is_same = match (&*present, &door) {
                (Some(present), Some(door)) => Arc::ptr_eq(present, door),
                (present, door) => present.is_none() && door.is_none(),
            };
            if !is_same {
                *present = door;
            }
            !is_same
        });
    }

    /// Reads pictures of samples, and lists of them, there, until [`Handle::restarting`].
    pub fn show(&self, pictures: Arc<dyn PictureSource>, views: Arc<dyn SampleViews>) {
        self.condition.have_pictures(pictures);
        self.condition.have_views(views);
    }

    /// The engine has started.
    pub fn running(&self) {
        self.condition.running();
    }

    /// The engine ended, and another one is about to start.
    pub fn restarting(&self) {
        self.condition.restarting();
    }

    /// Whether changes can be stored.
    pub fn stores(&self, stores: bool) {
        self.condition.stores(stores);
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
