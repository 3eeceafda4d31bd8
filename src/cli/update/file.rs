//! What is sent: a manifest, and its file in chunks.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{belongs, unreadable};
use crate::cli::failure::Failure;
use crate::update::Manifest;

/// A manifest and the file that belongs to it.
pub struct UpdateFile {
    /// As it was read; nobody has verified its signature.
    pub manifest: Manifest,
    /// The manifest's bytes.
    pub bytes: Vec<u8>,
    file: File,
}

impl UpdateFile {
    /// Reads the manifest and checks that `file` is what it describes.
    pub fn open(manifest: &Path, file: &Path) -> Result<Self, Failure> {
        let bytes = fs::read(manifest).map_err(|error| unreadable(manifest, &error))?;
        let shown = manifest.display();
        let manifest = Manifest::read_unverified(&bytes).map_err(|refusal| {
            Failure::failed(format!("{shown} is not a manifest: {refusal}; make one with 'edgetuned update sign'"))
        })?;
        belongs(file, manifest.size, manifest.sha256)?;
        let file = File::open(file).map_err(|error| unreadable(file, &error))?;
        Ok(Self { manifest, bytes, file })
    }

    /// Chunk `n`; `None` when the file has fewer.
    pub fn chunk(&self, n: u32) -> Result<Option<Vec<u8>>, Failure> {
        let Manifest { size, chunk_bytes, .. } = self.manifest;
        let start = u64::from(n) * chunk_bytes;
        if start >= size {
            return Ok(None);
        }
        let mut bytes = vec![0; (size - start).min(chunk_bytes) as usize];
        self.file.read_exact_at(&mut bytes, start).map_err(|error| {
            Failure::failed(format!(
                "cannot read the file any more: {error}; check that it still exists, and publish again"
            ))
        })?;
        Ok(Some(bytes))
    }
}
