//! A folder for the profiles of a start, which is gone when it has been read.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use ort::session::Session;

use super::nodes::by_provider;

/// A new folder in the place for temporary files, which nobody else may enter; removed with all in it when it is dropped.
pub(in crate::backbone::runtime) struct ProfileFolder(PathBuf);

impl ProfileFolder {
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> std::io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let name = format!("edgetuned-profile-{}-{nanoseconds}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // Fails where something of this name is there.
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    /// What names of profiles begin with.
    pub fn prefix(&self) -> PathBuf {
        self.0.join("probe")
    }
}

impl Drop for ProfileFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "cannot remove profiles; remove the folder");
        }
    }
}

/// Ends the recording of `session`: number of steps by what ONNX Runtime calls their provider.
///
/// # Errors
/// Why there is none.
pub(super) fn counted(session: &mut Session) -> Result<BTreeMap<String, u64>, String> {
    let file = session.end_profiling().map_err(|error| error.to_string())?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    by_provider(&text).ok_or_else(|| "ONNX Runtime's profile is not what it was".to_owned())
}
