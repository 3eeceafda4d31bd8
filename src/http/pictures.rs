//! `GET /api/v1/thumbnails/<digest>` and `GET /api/v1/images/<digest>`: what a sample looks like. By digest only: no path is
//! ever in a URL.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::health::Condition;
use super::image_name::image_name;
use super::routes::refuse;
use super::turn::Turns;
use crate::ports::{ImageName, PictureSource};
use crate::wire::ErrorCode;

/// A digest names one picture for good; shared caches do not get it.
const KEPT: &str = "private, max-age=86400, immutable";

/// What the routes need. Each kind is read one at a time, so that decoding costs the memory of one picture.
#[derive(Clone)]
struct Pictures {
    condition: Arc<Condition>,
    thumbnails: Turns,
    images: Turns,
}

/// Reads one picture.
type Read = fn(&dyn PictureSource, &ImageName) -> Result<Option<Vec<u8>>, String>;

/// The routes.
pub(super) fn routes(condition: Arc<Condition>) -> axum::Router {
    axum::Router::new()
        .route("/api/v1/thumbnails/{digest}", get(thumbnail))
        .route("/api/v1/images/{digest}", get(image))
        .with_state(Pictures { condition, thumbnails: Turns::default(), images: Turns::default() })
}

async fn thumbnail(State(pictures): State<Pictures>, uri: Uri) -> Response {
    let read: Read = |pictures, image| pictures.thumbnail(image);
    answer(&pictures, &pictures.thumbnails, &uri, read).await
}

async fn image(State(pictures): State<Pictures>, uri: Uri) -> Response {
    let read: Read = |pictures, image| pictures.image(image);
    answer(&pictures, &pictures.images, &uri, read).await
}

async fn answer(pictures: &Pictures, turns: &Turns, uri: &Uri, read: Read) -> Response {
    let Some(image) = image_name(uri) else { return missing() };
    match turns.take(|| pictures.condition.pictures(), move |source| read(&*source, &image)).await {
        Ok(Ok(Some(jpeg))) => {
            ([(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, KEPT)], jpeg).into_response()
        }
        Ok(Ok(None)) => missing(),
        Ok(Err(reason)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Failed, reason),
        Err(answer) => *answer,
    }
}

fn missing() -> Response {
    let message = "there is no such picture; name a sample by 64 or 16 digits of its SHA-256, of which the file is still \
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
        fn thumbnail(&self, _: &ImageName) -> Result<Option<Vec<u8>>, String> {
            Ok(Some(vec![]))
        }

        fn image(&self, _: &ImageName) -> Result<Option<Vec<u8>>, String> {
            self.0.lock().unwrap().recv().map_err(|error| error.to_string())?;
            Ok(None)
        }
    }

    #[test]
    fn while_a_picture_is_read_others_are_answered() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (read, slow) = channel();
        let (thumbnails, images) = (Turns::default(), Turns::default());
        let pictures = Pictures { condition: Arc::default(), thumbnails, images };
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
}
