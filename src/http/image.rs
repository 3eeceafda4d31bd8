//! `POST /api/v1/image?source=ID`: a picture of a source, from a program.
//!
//! The body is the picture, or base64 of it. It goes to the source's slot, as every frame does, so a newer one can
//! replace it. With `wait=true` the answer is the prediction, else only the name of the picture.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::LengthLimitError;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::replies::ReplyRouter;
use super::routes::{BODY, answer, json, refuse};
use crate::image::Limits;
use crate::ports::{FrameSink, RefusedFrame};
use crate::wire::{Answer, ErrorCode, Payload as _};
use crate::words::{SampleId, SourceId};

/// Pictures that are received at a time: each may have [`Limits::bytes`].
const BODIES: usize = 2;

/// What the route needs.
#[derive(Clone)]
pub(super) struct Images {
    replies: Arc<ReplyRouter>,
    frames: Arc<dyn FrameSink>,
    bodies: Arc<Semaphore>,
}

impl Images {
    pub fn new(replies: Arc<ReplyRouter>, frames: Arc<dyn FrameSink>) -> Self {
        Self { replies, frames, bodies: Arc::new(Semaphore::new(BODIES)) }
    }

    /// Hands the picture on, off the thread that serves: it may have to be decoded from base64, and is hashed.
    async fn post(&self, source: SourceId, payload: Vec<u8>, waiter: Option<u64>) -> Result<SampleId, RefusedFrame> {
        let frames = Arc::clone(&self.frames);
        let posted = spawn_blocking(move || frames.post(&source, payload, waiter)).await;
        posted.unwrap_or(Err(RefusedFrame::NoRoom))
    }
}

pub(super) async fn take(
    State(images): State<Images>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    body: Body,
) -> Response {
    let (source, waits) = match query.map_err(|error| error.to_string()).and_then(|Query(query)| asked(&query)) {
        Ok(asked) => asked,
        Err(reason) => return refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, reason),
    };
    let Ok(_place) = images.bodies.try_acquire() else {
        let message = "other pictures are being received; post them one after another";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, message);
    };
    let payload = match receive(body).await {
        Ok(payload) => payload,
        Err(refused) => return refused,
    };
    if !waits {
        return match images.post(source, payload, None).await {
            Ok(image) => json(StatusCode::ACCEPTED, Answer::ok(&json!({ "image": image })).encode()),
            Err(refused) => refusal(refused),
        };
    }
    let mut handle = images.replies.wait();
    match images.post(source, payload, Some(handle.ticket())).await {
        Ok(_) => answer(&mut handle).await,
        Err(refused) => refusal(refused),
    }
}

/// The source, and whether the client waits for the prediction.
fn asked(query: &BTreeMap<String, String>) -> Result<(SourceId, bool), String> {
    let source = query.get("source").ok_or("'source' is missing; name a source of the configuration")?;
    let source = source.parse().map_err(|bad| format!("'source': {bad}"))?;
    let waits = match query.get("wait").map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(format!("'wait' is {other:?}, expected true or false")),
    };
    Ok((source, waits))
}

async fn receive(body: Body) -> Result<Vec<u8>, Response> {
    let limit = Limits::default().bytes;
    match timeout(BODY, to_bytes(body, limit)).await {
        Ok(Ok(payload)) => Ok(payload.into()),
        Ok(Err(error)) if error.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) => {
            let message = format!("the picture has more than {limit} bytes; send it smaller");
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BadRequest, message))
        }
        Ok(Err(error)) => {
            let message = format!("the body cannot be read: {error}");
            Err(refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message))
        }
        Err(_) => {
            let message = format!("the picture did not come within {} s; send it again", BODY.as_secs());
            Err(refuse(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message))
        }
    }
}

fn refusal(refused: RefusedFrame) -> Response {
    match refused {
        RefusedFrame::NoSuchSource => {
            let message = "the configuration has no such source; name one of 'sources'";
            refuse(StatusCode::NOT_FOUND, ErrorCode::NotFound, message)
        }
        RefusedFrame::NotAPicture(reason) => refuse(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::BadRequest, reason),
        RefusedFrame::NoRoom => {
            let message = "too many pictures wait to be looked at; send it again later";
            refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_names_a_source_and_may_ask_to_wait() {
        let of = |pairs: &[(&str, &str)]| {
            asked(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let door = SourceId::new("door").unwrap();
        assert_eq!(of(&[("source", "door")]), Ok((door.clone(), false)));
        assert_eq!(of(&[("source", "door"), ("wait", "true")]), Ok((door, true)));
        for (pairs, reason) in [
            (&[][..], "'source' is missing"),
            (&[("source", "Door")], "expected 1 to 32"),
            (&[("source", "door"), ("wait", "1")], "expected true or false"),
        ] {
            assert!(of(pairs).is_err_and(|found| found.contains(reason)), "{reason}");
        }
    }
}
