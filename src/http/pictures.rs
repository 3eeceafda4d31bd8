//! `GET /api/v1/thumbnails/<digest>` and `GET /api/v1/images/<digest>`: what a sample looks like. By digest only: no path is
//! ever in a URL.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::health::Condition;
use super::routes::refuse;
use crate::ports::PictureSource;
use crate::wire::ErrorCode;
use crate::words::SampleId;

/// A digest names one picture for good; shared caches do not get it.
const KEPT: &str = "private, max-age=86400, immutable";
/// How long a picture may wait for the ones before it.
const TURN: Duration = Duration::from_secs(30);

/// What the routes need. Each kind is read one at a time, so that decoding costs the memory of one picture.
#[derive(Clone)]
struct Pictures {
    condition: Arc<Condition>,
    thumbnails: Arc<Semaphore>,
    images: Arc<Semaphore>,
}

/// Reads one picture.
type Read = fn(&dyn PictureSource, &SampleId) -> Result<Option<Vec<u8>>, String>;

/// The routes.
pub(super) fn routes(condition: Arc<Condition>) -> axum::Router {
    let one = || Arc::new(Semaphore::new(1));
    axum::Router::new()
        .route("/api/v1/thumbnails/{digest}", get(thumbnail))
        .route("/api/v1/images/{digest}", get(image))
        .with_state(Pictures { condition, thumbnails: one(), images: one() })
}

async fn thumbnail(State(pictures): State<Pictures>, uri: Uri) -> Response {
    let read: Read = |pictures, id| pictures.thumbnail(id);
    answer(&pictures, Arc::clone(&pictures.thumbnails), &uri, read).await
}

async fn image(State(pictures): State<Pictures>, uri: Uri) -> Response {
    let read: Read = |pictures, id| pictures.image(id);
    answer(&pictures, Arc::clone(&pictures.images), &uri, read).await
}

async fn answer(pictures: &Pictures, turns: Arc<Semaphore>, uri: &Uri, read: Read) -> Response {
    let Some(id) = digest(uri) else { return missing() };
    let busy = |message: &str| refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, message);
    let Ok(Ok(turn)) = timeout(TURN, turns.acquire_owned()).await else {
        return busy("other pictures are being read; ask again later");
    };
    let Some(source) = pictures.condition.pictures() else {
        return busy("the daemon is starting; ask again once it is ready");
    };
    let read = spawn_blocking(move || {
        // Kept until it was read, even where the client went away.
        let _turn = turn;
        read(&*source, &id)
    });
    match read.await {
        Ok(Ok(Some(jpeg))) => {
            ([(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, KEPT)], jpeg).into_response()
        }
        Ok(Ok(None)) => missing(),
        Ok(Err(reason)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Failed, reason),
        Err(_) => {
            let message = "reading this picture failed within the daemon; its log says where, please report it";
            refuse(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Failed, message)
        }
    }
}

/// The digest at the end of a path, as it came: 64 lower-case digits, of which none is escaped.
fn digest(uri: &Uri) -> Option<SampleId> {
    let (_, digits) = uri.path().rsplit_once('/')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == 64 && digits.bytes().all(is_digit)).then(|| digits.parse().ok()).flatten()
}

fn missing() -> Response {
    let message = "there is no such picture; name a sample by the 64 digits of its SHA-256, of which the file is still \
                   there, or the frame is kept";
    refuse(StatusCode::NOT_FOUND, ErrorCode::NotFound, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Thumbnails are there at once, an image when it is said.
    struct Slow(Mutex<Receiver<()>>);

    impl PictureSource for Slow {
        fn thumbnail(&self, _: &SampleId) -> Result<Option<Vec<u8>>, String> {
            Ok(Some(vec![]))
        }

        fn image(&self, _: &SampleId) -> Result<Option<Vec<u8>>, String> {
            self.0.lock().unwrap().recv().map_err(|error| error.to_string())?;
            Ok(None)
        }
    }

    #[test]
    fn while_a_picture_is_read_others_are_answered() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (read, slow) = channel();
        let one = || Arc::new(Semaphore::new(1));
        let pictures = Pictures { condition: Arc::default(), thumbnails: one(), images: one() };
        let uri: Uri = format!("/{}", "0".repeat(64)).parse().unwrap();
        let early = runtime.block_on(thumbnail(State(pictures.clone()), uri.clone()));
        assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE, "there is no store yet");
        pictures.condition.have_pictures(Arc::new(Slow(Mutex::new(slow))));
        let (slow, quick) = runtime.block_on(async {
            tokio::join!(image(State(pictures.clone()), uri.clone()), async {
                let quick = thumbnail(State(pictures.clone()), uri.clone()).await;
                read.send(()).unwrap();
                quick
            })
        });
        assert_eq!((slow.status(), quick.status()), (StatusCode::NOT_FOUND, StatusCode::OK));
    }

    #[test]
    fn a_picture_is_named_by_64_digits_and_nothing_else() {
        let digits = "0123456789abcdef".repeat(4);
        let of = |name: &str| digest(&format!("/api/v1/images/{name}").parse().unwrap());
        assert_eq!(of(&digits).map(|id| id.to_string()), Some(digits.clone()));
        let (short, long, upper) = (&digits[1..], format!("{digits}0"), digits.to_uppercase());
        for name in ["", "..", "%2e%2e%2f", "%5c", "%00", "%2fetc%2fpasswd", "%ff", short, &long, &upper] {
            assert_eq!(of(name), None, "{name}");
        }
        assert_eq!(of(&digits.replace('0', "%30")), None);
    }
}
