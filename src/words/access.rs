//! How the device is let in to a camera.

use std::path::PathBuf;

/// What the device shows to be let in; secrets are in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A user; without a file the password is empty.
    Basic {
        /// Name.
        username: String,
        /// File with the password.
        password_file: Option<PathBuf>,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// File with the token.
        token_file: PathBuf,
    },
}
