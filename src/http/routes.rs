//! Connections to the socket, with limits on their number and time, and the routes below `/api/v1/`: the requests, and
//! the watch.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::unfold;
use http_body_util::LengthLimitError;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::health::{self, Condition};
use super::image::{self, Images};
use super::metrics::{count, remember_route};
use super::page;
use super::pictures;
use super::replies::{ReplyHandle, ReplyRouter};
use super::views;
use crate::ports::{FrameSink, Metrics};
use crate::wire::{Answer, Command, ErrorCode, InboundTopic, MAX_INBOUND_BYTES, Payload};

/// The prefix of all paths; a request's name follows.
pub const PREFIX: &str = "/api/v1/";
/// Every message of the daemon, as server-sent events.
pub const WATCH: &str = "/api/v1/watch";

/// A picture of a source.
pub const IMAGE: &str = "/api/v1/image";

/// From the head of a request to its end.
pub(super) const BODY: Duration = Duration::from_secs(10);
/// Until the daemon's answer.
const ANSWER: Duration = Duration::from_mins(1);

/// The routes that the socket and the door share.
pub(super) fn shared(
    replies: Arc<ReplyRouter>,
    frames: Arc<dyn FrameSink>,
    condition: &Arc<Condition>,
) -> axum::Router {
    let images = Images::new(Arc::clone(&replies), frames);
    axum::Router::new()
        .route(WATCH, get(watch))
        .route(IMAGE, post(image::take).with_state(images))
        .route("/api/v1/{name}", post(act).get(read))
        .with_state(replies)
        .merge(page::routes())
        .merge(pictures::routes(Arc::clone(condition)))
        .merge(views::routes(Arc::clone(condition)))
        .merge(health::routes(Arc::clone(condition)))
}

/// The same routes, with what answers all others.
pub(super) fn complete(routes: axum::Router) -> axum::Router {
    let routes = routes.fallback(nothing).method_not_allowed_fallback(other_method);
    routes.layer(middleware::from_fn(remember_route))
}

async fn act(State(replies): State<Arc<ReplyRouter>>, Path(name): Path<String>, body: Body) -> Response {
    match timeout(BODY, to_bytes(body, MAX_INBOUND_BYTES)).await {
        Ok(Ok(payload)) => ask(&replies, name, payload.to_vec()).await,
        Ok(Err(error)) if error.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) => {
            let message = format!("the body has more than {MAX_INBOUND_BYTES} bytes; send it in parts");
            refuse(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BadRequest, message)
        }
        Ok(Err(error)) => {
            refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, format!("the body cannot be read: {error}"))
        }
        Err(_) => {
            let message = format!("the body did not come within {} s; send it again", BODY.as_secs());
            refuse(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message)
        }
    }
}

async fn read(
    State(replies): State<Arc<ReplyRouter>>,
    Path(name): Path<String>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Response {
    let command = Command::entry(&name);
    if command.is_some_and(|command| !command.is_gettable()) {
        return other_method().await;
    }
    match query {
        Ok(Query(arguments)) => {
            let not_text = command.map_or(&[][..], |command| command.not_text);
            let arguments = arguments_of(arguments, not_text);
            // What is asked for by GET may change nothing, whatever a page links to; what cannot be read is refused as it is.
            if command.is_some_and(|command| command.would_change(&arguments)) {
                return other_method().await;
            }
            ask(&replies, name, arguments).await
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, error.to_string()),
    }
}

/// The arguments of a query as a request's payload; numbers, `true` and `false` of the arguments in `not_text` become
/// JSON values.
fn arguments_of(query: BTreeMap<String, String>, not_text: &[&str]) -> Vec<u8> {
    let value = |name: &str, text: String| match serde_json::from_str(&text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) if not_text.contains(&name) => value,
        _ => Value::String(text),
    };
    let arguments = query.into_iter().map(|(name, text)| (name.clone(), value(&name, text)));
    Value::Object(arguments.collect()).to_string().into_bytes()
}

/// Sends a request to the engine and waits for its reply.
async fn ask(replies: &ReplyRouter, name: String, payload: Vec<u8>) -> Response {
    if format!("request/{name}").parse::<InboundTopic>().is_err() {
        return nothing().await;
    }
    let Some(mut handle) = replies.ask(name, payload) else {
        let message = "the daemon is overloaded; try again later";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, message);
    };
    answer(&mut handle).await
}

/// Waits for the engine's answer.
pub(super) async fn answer(handle: &mut ReplyHandle<'_>) -> Response {
    match timeout(ANSWER, handle.answer()).await {
        Ok(Some(response)) => json(status_of(&response.answer), response.encode()),
        Ok(None) => {
            let message = "the daemon is shutting down; repeat the request with the same transaction once it runs \
                           again";
            refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, message)
        }
        Err(_) => {
            let message = format!(
                "the daemon did not answer within {} s, it may be waiting for space on the disk; repeat the request \
                 with the same transaction",
                ANSWER.as_secs()
            );
            refuse(StatusCode::GATEWAY_TIMEOUT, ErrorCode::Busy, message)
        }
    }
}

/// Every message from now on. A client that reads too slowly gets `skipped` with the number of messages it missed.
async fn watch(State(replies): State<Arc<ReplyRouter>>) -> Response {
    let Some(messages) = replies.watch() else {
        let message = "too many clients are watching already; stop one of them";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, message);
    };
    let events = unfold((messages, replies), |(mut messages, replies)| async move {
        let next = tokio::select! {
            // Messages sent before the end still arrive.
            biased;
            next = messages.recv() => next,
            () = replies.closed() => Err(RecvError::Closed),
        };
        let event = match next {
            Ok(line) => Event::default().data(&*line),
            Err(RecvError::Lagged(missed)) => Event::default().event("skipped").data(missed.to_string()),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok::<_, Infallible>(event), (messages, replies)))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

async fn nothing() -> Response {
    let (asked, read) = (Command::NAMES.join(", "), views::NAMES.join(", "));
    let message = format!(
        "there is nothing here; POST {PREFIX}<name> with {asked}, or GET {WATCH} or {PREFIX}<name> with {read}"
    );
    refuse(StatusCode::NOT_FOUND, ErrorCode::UnknownRequest, message)
}

async fn other_method() -> Response {
    let gettable = Command::ALL.iter().filter(|command| command.is_gettable()).map(|command| command.name);
    let read = gettable.chain(views::NAMES).collect::<Vec<_>>().join(", ");
    let message = format!("use POST; GET is for {read} and watch");
    refuse(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadRequest, message)
}

/// The HTTP status of an answer.
fn status_of(answer: &Answer) -> StatusCode {
    let Answer::Error { error } = answer else { return StatusCode::OK };
    match error.code {
        ErrorCode::BadRequest | ErrorCode::Retained => StatusCode::BAD_REQUEST,
        ErrorCode::UnknownRequest | ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Expired | ErrorCode::TransactionReused | ErrorCode::Conflict | ErrorCode::NotPossible => {
            StatusCode::CONFLICT
        }
        ErrorCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error of the socket itself, without an envelope.
pub(super) fn refuse(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Response {
    json(status, Answer::error(code, message).encode())
}

pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Connections served at a time; the others wait in the kernel's queue.
pub(super) const CONNECTIONS: usize = 16;
/// From the first byte of a request to the end of its head.
pub(super) const HEAD: Duration = Duration::from_secs(10);
/// For the whole exchange, except a watch.
pub(super) const WHOLE: Duration = Duration::from_secs(90);
/// How long replies that are being sent may take at the end.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// Pause after a connection could not be accepted.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// Serves until the router of replies closes.
pub(super) async fn serve(
    listener: UnixListener,
    routes: axum::Router,
    replies: &ReplyRouter,
    metrics: &Arc<dyn Metrics>,
) {
    let service = TowerToHyperService::new(complete(routes));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let accept_all = async {
        loop {
            // Never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    drop(tokio::spawn(connection(stream, service.clone(), place, Arc::clone(metrics))));
                }
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

async fn connection(
    stream: UnixStream,
    routes: TowerToHyperService<axum::Router>,
    _place: OwnedSemaphorePermit,
    metrics: Arc<dyn Metrics>,
) {
    let watches = AtomicBool::new(false);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        watches.store(request.uri().path() == WATCH, Ordering::Relaxed);
        let (answering, metrics, since) = (routes.call(request), &metrics, Instant::now());
        async move { answering.await.inspect(|answer| count(&**metrics, answer, since)) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    #[test]
    fn a_query_means_the_same_as_a_payload() {
        let not_text = Command::entry("samples").unwrap().not_text;
        let query = [("limit", "7"), ("label", "true"), ("unlabelled", "true"), ("after", "12345678"), ("x", "1")];
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let found: Value = serde_json::from_slice(&arguments_of(query, not_text)).unwrap();
        let expected =
            serde_json::json!({"limit": 7, "label": "true", "unlabelled": true, "after": "12345678", "x": "1"});
        assert_eq!(found, expected);
        let wrong = arguments_of([("limit".to_owned(), "many".to_owned())].into(), not_text);
        assert!(Request::parse("samples", &wrong).is_err());
    }

    #[test]
    fn the_http_status_tells_errors_of_the_client_from_those_of_the_daemon() {
        for (code, status) in [
            (ErrorCode::BadRequest, 400),
            (ErrorCode::UnknownRequest, 404),
            (ErrorCode::NotFound, 404),
            (ErrorCode::TransactionReused, 409),
            (ErrorCode::Conflict, 409),
            (ErrorCode::NotPossible, 409),
            (ErrorCode::Failed, 500),
            (ErrorCode::Busy, 503),
        ] {
            assert_eq!(status_of(&Answer::error(code, "")).as_u16(), status);
        }
        assert_eq!(status_of(&Answer::ok(&1)), StatusCode::OK);
    }

    #[test]
    fn get_serves_the_requests_that_only_read_and_need_no_argument() {
        let gettable = Command::ALL.iter().filter(|command| command.is_gettable()).map(|command| command.name);
        assert_eq!(gettable.collect::<Vec<_>>(), ["samples", "heads", "status", "review", "config"]);
    }
}
