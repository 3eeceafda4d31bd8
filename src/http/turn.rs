//! Reads of the disk for clients: one of its kind at a time, and never on the thread that serves.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::routes::refuse;
use crate::wire::ErrorCode;

/// How long a read may wait for the ones before it.
const TURN: Duration = Duration::from_secs(30);

/// The turns of one kind of read.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// What `read` gives of `source`, once those before it are done.
    ///
    /// # Errors
    /// The answer to a client who waited for too long, or where there is no source yet, or reading it panicked.
    pub async fn take<S: Send + 'static, T: Send + 'static>(
        &self,
        source: impl FnOnce() -> Option<S>,
        read: impl FnOnce(S) -> T + Send + 'static,
    ) -> Result<T, Box<Response>> {
        let Ok(Ok(turn)) = timeout(TURN, Arc::clone(&self.0).acquire_owned()).await else {
            return Err(Box::new(busy("others are being answered; ask again later")));
        };
        let Some(source) = source() else {
            return Err(Box::new(busy("the daemon is starting; ask again once it is ready")));
        };
        let read = spawn_blocking(move || {
            // Kept until it was read, even where the client went away.
            let _turn = turn;
            read(source)
        });
        read.await.map_err(|_| {
            let message = "reading this failed within the daemon; its log says where, please report it";
            Box::new(refuse(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Failed, message))
        })
    }
}

fn busy(message: &str) -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, message)
}
