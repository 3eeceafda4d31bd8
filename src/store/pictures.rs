//! Pictures of samples: small ones, and the bytes of frames.

use rusqlite::OptionalExtension;

use super::error::StoreError;
use super::reader::Reader;
use super::redo::About;
use crate::words::{SampleId, SourceId};

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// A sample in small, as a JPEG; `None` where there is no thumbnail of it, or no such sample.
    pub fn thumbnail(&self, id: &SampleId) -> Result<Option<Vec<u8>>, StoreError> {
        self.blob("SELECT jpeg FROM thumbnails JOIN samples ON number = sample WHERE image = ?1", id)
    }

    /// Whether there is a thumbnail of a sample.
    pub fn has_thumbnail(&self, id: &SampleId) -> Result<bool, StoreError> {
        self.read_about(About::Samples(&[*id]), |connection| {
            let sql = "SELECT 1 FROM samples JOIN thumbnails ON sample = number WHERE image = ?1";
            Ok(connection.prepare_cached(sql)?.exists([id])?)
        })
    }

    /// The bytes of a frame; `None` where they are not kept, or there is no such sample.
    pub fn picture(&self, id: &SampleId) -> Result<Option<Vec<u8>>, StoreError> {
        self.blob("SELECT pictures.bytes FROM pictures JOIN samples ON number = sample WHERE image = ?1", id)
    }

    /// Whether the bytes of a frame are kept.
    pub fn has_picture(&self, id: &SampleId) -> Result<bool, StoreError> {
        self.read_about(About::Samples(&[*id]), |connection| {
            let sql = "SELECT 1 FROM samples JOIN pictures ON sample = number WHERE image = ?1";
            Ok(connection.prepare_cached(sql)?.exists([id])?)
        })
    }

    /// The last frame of a source whose bytes are kept.
    pub fn last_picture(&self, source: &SourceId) -> Result<Option<SampleId>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT image FROM pictures CROSS JOIN samples ON number = sample WHERE source = ?1
                       ORDER BY sample DESC LIMIT 1";
            Ok(connection.prepare_cached(sql)?.query_row([source], |row| row.get(0)).optional()?)
        })
    }

    fn blob(&self, sql: &str, id: &SampleId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_about(About::Samples(&[*id]), |connection| {
            Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?)
        })
    }
}
