//! Connections: each is served one request, with limits on their number and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::replies::ReplyRouter;
use super::routes::{self, WATCH};

/// Connections served at a time; the others wait in the kernel's queue.
pub(super) const CONNECTIONS: usize = 16;
/// From the first byte of a request to the end of its head.
const HEAD: Duration = Duration::from_secs(10);
/// For the whole exchange, except a watch.
const WHOLE: Duration = Duration::from_secs(90);
/// How long replies that are being sent may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// Pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until the router of replies closes.
pub(super) async fn serve(listener: UnixListener, replies: Arc<ReplyRouter>) {
    let service = TowerToHyperService::new(routes::routes(Arc::clone(&replies)));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let accept_all = async {
        loop {
            // Never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(connection(stream, service.clone(), place))),
                Err(error) => {
                    warn!(%error, "cannot accept a connection to the socket");
                    sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept_all => {}
        () = replies.closed() => {}
    }
    // All permits are free again when every connection has ended.
    let _ = timeout(FAREWELL, places.acquire_many(CONNECTIONS as u32)).await;
}

async fn connection(stream: UnixStream, routes: TowerToHyperService<axum::Router>, _place: OwnedSemaphorePermit) {
    let watches = AtomicBool::new(false);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        watches.store(request.uri().path() == WATCH, Ordering::Relaxed);
        routes.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let served = match timeout(WHOLE, connection.as_mut()).await {
        Err(_) if watches.load(Ordering::Relaxed) => connection.await,
        Err(_) => return debug!("a connection to the socket took too long"),
        Ok(served) => served,
    };
    if let Err(error) = served {
        debug!(%error, "a connection to the socket broke");
    }
}
