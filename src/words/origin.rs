//! Where an image comes from.

use std::path::{Path, PathBuf};

use super::SourceId;

/// Where an image was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a watched folder, at this absolute path.
    File(PathBuf),
    /// As a frame of this source.
    Source(SourceId),
}

impl Origin {
    /// The file's path; `None` for a frame.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Source(_) => None,
        }
    }

    /// The source; `None` for a file.
    #[must_use]
    pub fn source(&self) -> Option<&SourceId> {
        match self {
            Self::File(_) => None,
            Self::Source(source) => Some(source),
        }
    }

    /// Both as messages name them; bytes of a path that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn names(&self) -> (Option<String>, Option<SourceId>) {
        (self.path().map(|path| path.to_string_lossy().into_owned()), self.source().cloned())
    }
}
