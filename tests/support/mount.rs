//! File systems that a test mounts, to fill them or to take them away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own below a folder, gone when dropped.
pub struct Mount(PathBuf);

impl Mount {
    /// `None`, said with the reason, where this process may not mount.
    pub fn new(at: &Path, what: &[&str]) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(what).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            Ok(output) => {
                crate::skip::skip(format_args!("cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim()));
                None
            }
            Err(error) => {
                crate::skip::skip(format_args!("mount cannot be run: {error}"));
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = |how: &[&str]| Command::new("umount").args(how).arg(&self.0).output();
        // After a failure the daemon may still be on it; then it goes with the daemon.
        if !unmount(&[]).is_ok_and(|output| output.status.success()) {
            println!("{} is unmounted later: {:?}", self.0.display(), unmount(&["--lazy"]));
        }
    }
}
