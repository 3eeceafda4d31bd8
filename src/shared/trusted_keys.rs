//! Reading the public keys that may sign updates.

use std::fs;
use std::path::{Path, PathBuf};

use crate::update::{BadKey, TrustedKey, TrustedKeys};

/// Why a key's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// It contains no key.
    #[error("{} holds no key that can be trusted", .path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BadKey,
    },
}

/// Reads one key's file.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_key(path: &Path) -> Result<TrustedKey, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    TrustedKey::from_pem(&text).map_err(|source| KeyFileError::Bad { path: path.to_owned(), source })
}

/// Reads all keys; a key that cannot be used is an error, so that no subset is trusted silently.
///
/// # Errors
/// The first [`KeyFileError`].
pub(crate) fn read_keys(paths: &[PathBuf]) -> Result<TrustedKeys, KeyFileError> {
    paths.iter().map(|path| read_key(path)).collect::<Result<_, _>>().map(TrustedKeys)
}
