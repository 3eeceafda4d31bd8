//! Frames that are kept, read again in the ingest worker for what a task has not seen of them, as files are.

use std::time::{Duration, Instant};

use tracing::debug;

use super::ingest::{Embedding, Reading};
use super::parts::{Embedded, Known, Prepared};
use crate::engine::{EmbeddedImage, PictureRead};
use crate::ports::EmbedError;
use crate::store::StoreError;
use crate::words::{Origin, SampleId, SourceId};

/// A kept frame that was decoded and awaits its embeddings.
pub(super) struct DecodedPicture {
    source: SourceId,
    id: SampleId,
    bytes: u64,
    prepared: Prepared,
    decode: Duration,
}

impl Reading {
    /// Reads and decodes the kept bytes of a sample.
    pub(super) fn read_kept(&self, id: SampleId) -> Result<DecodedPicture, PictureRead> {
        let started = Instant::now();
        let none = PictureRead { id, image: None };
        let kept = || -> Result<_, StoreError> { Ok((self.reader.origin(&id)?, self.reader.picture(&id)?)) };
        let (source, bytes) = match kept() {
            Ok((Some(Origin::Source(source)), Some(bytes))) => (source, bytes),
            Ok(_) => return Err(none),
            Err(error) => {
                debug!(image = %id, %error, "a kept frame is not read again");
                return Err(none);
            }
        };
        let known = Known::of(&self.reader, (self.plan.of_source(&source), &self.servings), &id, self.thumbnails);
        let prepared = known.map_err(|error| error.to_string()).and_then(|known| {
            let prepared = known.prepare(&self.preprocess, &bytes, &self.limits);
            prepared.map_err(|bad| bad.to_string())
        });
        match prepared {
            Ok(prepared) => {
                Ok(DecodedPicture { source, id, bytes: bytes.len() as u64, prepared, decode: started.elapsed() })
            }
            Err(error) => {
                debug!(image = %id, %error, "a kept frame is not embedded again");
                Err(none)
            }
        }
    }
}

impl Embedding {
    /// Embeds what tasks have not seen of a kept frame; its burst stays.
    pub(super) fn embed_kept(&mut self, picture: DecodedPicture) -> Result<PictureRead, EmbedError> {
        let DecodedPicture { source, id, bytes, prepared, decode } = picture;
        let heads = self.follow_heads();
        let Embedded { embeddings, tuned, made, new, thumbnail, embed, .. } =
            prepared.embed(&mut *self.embedder, &heads)?;
        let views = self.views(self.plan.of_source(&source), &new, (&embeddings, &tuned), id, |view, is_new| {
            is_new || made.contains(&view.space)
        });
        let image = EmbeddedImage { id, bytes, views, embeddings, thumbnail, picture: None, group: id, decode, embed };
        Ok(PictureRead { id, image: Some(Box::new(image)) })
    }
}
