//! The door: HTTP/1.1 over TCP, with limits on connections, their time, and what a request may be long.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::authorisation::LOGIN;
use super::gate::{Gate, HEAD_BYTES};
use super::login;
use super::metrics::count;
use super::places::{Answering, Place, Places};
use super::replies::ReplyRouter;
use super::routes::{FAREWELL, HEAD, PAUSE, WATCH, WHOLE, complete};
use super::token::{TokenError, check_token};
use crate::ports::Metrics;
use crate::words::Network;

/// The bytes of a request that are held; a head that is longer than [`HEAD_BYTES`] still gets an answer in words.
const BUFFER: usize = 2 * HEAD_BYTES;
/// How long what was sent may stay unacknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_mins(1);
/// Between two checks of a connection's time.
const LOOK: Duration = Duration::from_secs(5);

/// Where a door is, and whom it lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorSettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// The file with the token that clients need; `None` only on loopback.
    pub token_file: Option<PathBuf>,
    /// Names of this device, besides its host name.
    pub allowed_hosts: Vec<String>,
    /// Whose `X-Forwarded` headers count.
    pub trusted_proxies: Vec<Network>,
    /// The machine's name.
    pub host_name: String,
    /// The device's id, for the cookie's name.
    pub device: String,
}

/// The door of whoever configures none. Several daemons of one machine have it, so it opens for the first of them.
pub const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The system gives no such address.
    #[error("cannot listen on {listen}; stop what has that port, or set another http.listen")]
    Address {
        /// The address.
        listen: SocketAddr,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A door that listens; nobody is served before [`super::Handle::open`].
#[derive(Debug)]
pub struct Door {
    settings: DoorSettings,
    listener: TcpListener,
}

impl Door {
    /// Listens as `settings` say; `former` is the door that is open, which stays where it is the same. `None` where another
    /// program has the [`USUAL`] address.
    ///
    /// # Errors
    /// [`DoorError`] when any other address is taken, or there is no token.
    pub fn open(settings: DoorSettings, former: Option<Arc<Self>>) -> Result<Option<Arc<Self>>, DoorError> {
        match Self::bind(settings, former) {
            Err(DoorError::Address { listen, source }) if listen == USUAL => {
                warn!(
                    %listen, error = %source,
                    "there is no page and no HTTP but at the socket; set http.listen to an address that is free, or to null"
                );
                Ok(None)
            }
            bound => bound.map(Some),
        }
    }

    fn bind(settings: DoorSettings, former: Option<Arc<Self>>) -> Result<Arc<Self>, DoorError> {
        if let Some(path) = &settings.token_file
            && check_token(path)?
        {
            warn!(path = %path.display(), "every user of this machine may read http.token_file; run 'chmod 600' on it");
        }
        let listen = settings.listen;
        let failed = |source| DoorError::Address { listen, source };
        let listener = match former {
            Some(former) if former.settings == settings => return Ok(former),
            Some(former) if former.settings.listen == listen => former.listener.try_clone().map_err(failed)?,
            _ => TcpListener::bind(listen).map_err(failed)?,
        };
        listener.set_nonblocking(true).map_err(failed)?;
        info!(%listen, "listening for HTTP");
        Ok(Arc::new(Self { settings, listener }))
    }
}

/// Serves the door that is open, one after another, until the router of replies closes.
pub(super) async fn serve_each(
    mut doors: watch::Receiver<Option<Arc<Door>>>,
    routes: axum::Router,
    replies: &Arc<ReplyRouter>,
    metrics: &Arc<dyn Metrics>,
) {
    loop {
        let door = doors.borrow_and_update().clone();
        let served = async {
            match &door {
                Some(door) => serve(door, routes.clone(), replies, metrics).await,
                None => replies.closed().await,
            }
        };
        tokio::select! {
            () = served => return,
            // The handle that sends them closes the router first.
            _ = doors.changed() => {}
        }
    }
}

async fn serve(door: &Door, routes: axum::Router, replies: &Arc<ReplyRouter>, metrics: &Arc<dyn Metrics>) {
    let listener = match door.listener.try_clone().and_then(tokio::net::TcpListener::from_std) {
        Ok(listener) => listener,
        Err(error) => {
            error!(%error, "the HTTP door stays closed; raise the limit of open files (LimitNOFILE, ulimit -n)");
            return pending().await;
        }
    };
    let gate = Arc::new(Gate::new(door.settings.clone()));
    let service = TowerToHyperService::new(complete(routes.merge(login::routes(Arc::clone(&gate)))));
    let places = Arc::new(Places::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = replies.closed() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let address = peer.ip().to_canonical();
                let is_proxy = door.settings.trusted_proxies.iter().any(|network| network.contains(address));
                if let Some(place) = places.enter(address, is_proxy, Instant::now()) {
                    let serving = Serving {
                        gate: Arc::clone(&gate),
                        routes: service.clone(),
                        replies: Arc::clone(replies),
                        metrics: Arc::clone(metrics),
                    };
                    connections.spawn(connection(stream, address, place, serving));
                } else {
                    debug!(%address, "no place for another HTTP connection");
                }
            }
            Err(error) => {
                warn!(%error, "cannot accept an HTTP connection");
                sleep(PAUSE).await;
            }
        }
    }
    let _ = timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
}

/// What every connection to a door has.
struct Serving {
    gate: Arc<Gate>,
    routes: TowerToHyperService<axum::Router>,
    replies: Arc<ReplyRouter>,
    metrics: Arc<dyn Metrics>,
}

async fn connection(stream: TcpStream, address: IpAddr, place: Place, serving: Serving) {
    let Serving { gate, routes, replies, metrics } = serving;
    // Whoever went away without a word is noticed, and so is whoever reads nothing.
    let limit = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&stream, limit) {
        debug!(%error, "the system has no time limit for what is unacknowledged");
    }
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let path = request.uri().path();
        // Whoever has yet to sign in keeps no place, however slowly the form comes.
        let answering = (path != LOGIN).then(|| place.answering(path == WATCH, Instant::now()));
        let (gate, routes, metrics, since) = (&gate, &routes, &metrics, Instant::now());
        async move {
            let serve = |request| async move { routes.call(request).await.unwrap_or_else(|never| match never {}) };
            let answer = gate.answer(address, request.map(Body::new), serve).await;
            count(&**metrics, &answer, since);
            Ok::<_, Infallible>(answer.map(|body| Answer { body, _answering: answering }))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let (mut closed, mut is_closing) = (pin!(replies.closed()), false);
    loop {
        tokio::select! {
            served = connection.as_mut() => {
                return served.unwrap_or_else(|error| debug!(%error, "an HTTP connection broke"));
            }
            () = place.cut() => return debug!("an idle HTTP connection made way"),
            () = closed.as_mut(), if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep(LOOK) => {
                if place.is_overdue(WHOLE, Instant::now()) {
                    return debug!("a request over HTTP took too long");
                }
            }
        }
    }
}

/// An answer's body; the connection is at work until it was taken.
struct Answer {
    body: Body,
    _answering: Option<Answering>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
