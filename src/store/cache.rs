//! The embedding cache of commands that work offline.

use std::path::Path;

use super::database::Database;
use super::error::io_error;
use super::files::create_folder;
use super::reader::embedding;
use super::{OpenOptions, Precision, StoreError, commit};
use crate::words::{EmbeddingSpace, SampleId};

/// Embeddings by image, in one space; shared with the daemon's store, and usable in parallel to it.
///
/// Entries are not samples: the daemon does not train on them and they have no label.
#[derive(Debug)]
pub struct Cache {
    database: Database,
    space: EmbeddingSpace,
    space_number: i64,
    precision: Precision,
}

impl Cache {
    /// Opens the cache in `folder`, creating both where they do not exist.
    ///
    /// # Errors
    /// [`StoreError`] when the folder or its file cannot be used.
    pub fn open(folder: &Path, options: &OpenOptions<'_>) -> Result<Self, StoreError> {
        create_folder(folder).map_err(|error| io_error("create", folder, error))?;
        let mut database = Database::open(folder)?;
        let space_number = database.add_space(options)?;
        Ok(Self { database, space: options.space, space_number, precision: options.precision })
    }

    /// The embedding (dim,) of an image; `None` when it was never embedded in this space.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read.
    pub fn get(&self, id: &SampleId) -> Result<Option<Vec<f32>>, StoreError> {
        self.database.read("read", |connection| embedding(connection, self.space_number, self.space.dim, id))
    }

    /// Keeps embeddings (dim,); those already known stay as they are. Durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; none of them is then kept.
    pub fn put<'a>(
        &mut self,
        embeddings: impl IntoIterator<Item = (&'a SampleId, &'a [f32])>,
    ) -> Result<(), StoreError> {
        let (space, dim, precision) = (self.space_number, self.space.dim, self.precision);
        self.database.write("write to", |transaction| {
            embeddings.into_iter().try_for_each(|(id, embedding)| {
                commit::insert_embedding(transaction, space, dim, precision, id, embedding)
            })
        })
    }
}
