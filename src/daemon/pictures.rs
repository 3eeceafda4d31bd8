//! Pictures of samples for clients who look at them, read beside the engine.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::debug;

use super::views::resolve;
use crate::image::{self, Limits, view};
use crate::ports::{ImageName, PictureSource};
use crate::shared::files::living;
use crate::store::{Reader, StoreError};
use crate::words::{SampleId, error_chain};

/// Fewer pixels than ingest takes: both may decode at the same time, and the service has 1 GiB.
const PIXELS: u64 = 32_000_000;

/// What the store and the watched folders have of samples.
pub(super) struct StoredPictures {
    reader: Mutex<Reader>,
    limits: Limits,
}

impl StoredPictures {
    pub fn new(reader: Reader) -> Self {
        Self { reader: Mutex::new(reader), limits: Limits { pixels: PIXELS, ..Limits::default() } }
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn named(&self, image: &ImageName) -> Result<Option<SampleId>, String> {
        resolve(&self.reader(), image).map_err(|error| error_chain(&error))
    }

    fn bytes(&self, id: &SampleId) -> Result<Option<Vec<u8>>, StoreError> {
        let files = self.reader().files_of(id)?;
        bytes_of(id, &files, &self.reader, &self.limits)
    }
}

/// The bytes of a sample: of the first of its `files` that still has them, else as they were kept of a frame; `None` where
/// nobody has them any more.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub(super) fn bytes_of(
    id: &SampleId,
    files: &[PathBuf],
    reader: &Mutex<Reader>,
    limits: &Limits,
) -> Result<Option<Vec<u8>>, StoreError> {
    if let Some((_, bytes)) = living(id, files, limits) {
        return Ok(Some(bytes));
    }
    reader.lock().unwrap_or_else(PoisonError::into_inner).picture(id)
}

impl PictureSource for StoredPictures {
    fn thumbnail(&self, image: &ImageName) -> Result<Option<Vec<u8>>, String> {
        let Some(id) = self.named(image)? else { return Ok(None) };
        self.reader().thumbnail(&id).map_err(|error| error_chain(&error))
    }

    fn image(&self, image: &ImageName) -> Result<Option<Vec<u8>>, String> {
        let Some(id) = self.named(image)? else { return Ok(None) };
        let Some(bytes) = self.bytes(&id).map_err(|error| error_chain(&error))? else { return Ok(None) };
        match image::decode(&bytes, &self.limits) {
            Ok(decoded) => Ok(view(&decoded)),
            Err(bad) => {
                debug!(image = %id, %bad, "a sample cannot be shown");
                Ok(None)
            }
        }
    }
}
