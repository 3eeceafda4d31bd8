//! Pictures of samples for clients who look at them, read beside the engine.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::debug;

use crate::image::{self, Limits, view};
use crate::ports::PictureSource;
use crate::shared::files::read_picture;
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

    /// The bytes of a sample: of a file that still has them, else as they were kept of a frame.
    fn bytes(&self, id: &SampleId) -> Result<Option<Vec<u8>>, StoreError> {
        let files = self.reader().files_of(id)?;
        let unchanged = files.iter().find_map(|path| match read_picture(path, &self.limits) {
            Ok(picture) => (picture.id == *id).then_some(picture.bytes),
            Err(error) => {
                debug!(%error, "a file of a sample cannot be shown");
                None
            }
        });
        if unchanged.is_some() { Ok(unchanged) } else { self.reader().picture(id) }
    }
}

impl PictureSource for StoredPictures {
    fn thumbnail(&self, id: &SampleId) -> Result<Option<Vec<u8>>, String> {
        self.reader().thumbnail(id).map_err(|error| error_chain(&error))
    }

    fn image(&self, id: &SampleId) -> Result<Option<Vec<u8>>, String> {
        let Some(bytes) = self.bytes(id).map_err(|error| error_chain(&error))? else { return Ok(None) };
        match image::decode(&bytes, &self.limits) {
            Ok(decoded) => Ok(view(&decoded)),
            Err(bad) => {
                debug!(image = %id, %bad, "a sample cannot be shown");
                Ok(None)
            }
        }
    }
}
