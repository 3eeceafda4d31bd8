//! The socket's file: its place, and how it is made and removed.
//!
//! The store's lock keeps other daemons of the same state folder out, so a socket that is there when this one starts, and
//! at which no process answers, was left by a killed one.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const NAME: &str = "edgetuned.sock";
/// Owner and group may connect.
const MODE: u32 = 0o660;
/// The longest path that fits into a socket's address (`sun_path`, with its end).
const PATH_BYTES: usize = 107;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another kind of file has its name.
    #[error("cannot create the socket {}: another kind of file is there; move it away", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
    },
    /// A daemon with another state folder uses it.
    #[error(
        "cannot create the socket {}: another daemon answers there; give each its own RUNTIME_DIRECTORY, or none",
        path.display()
    )]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// The system refuses to make it.
    #[error("cannot create the socket {}; check the folder, its owner and its mode", path.display())]
    Failed {
        /// Where.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// Where the socket is: in the runtime directory that systemd names (`RUNTIME_DIRECTORY`, the first where there are
/// several), else in the store's folder.
#[must_use]
pub fn path(runtime_directory: Option<&OsStr>, store: &Path) -> PathBuf {
    let first = runtime_directory.and_then(|names| names.as_bytes().split(|byte| *byte == b':').next());
    let folder = first.filter(|name| !name.is_empty()).map(|name| Path::new(OsStr::from_bytes(name)));
    folder.unwrap_or(store).join(NAME)
}

/// A socket's file, removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    link: Option<PathBuf>,
}

impl Socket {
    /// Makes the socket, in place of one that was left behind.
    pub(super) fn bind(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        let failed = |source| SocketError::Failed { path: path.to_owned(), source };
        make_way(path)?;
        if Reachable::new(path).and_then(|reachable| UnixStream::connect(reachable.path())).is_ok() {
            return Err(SocketError::Taken { path: path.to_owned() });
        }
        // Under another name first, so that nobody connects before the mode is right.
        let beside = path.with_extension("sock.new");
        make_way(&beside)?;
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let reachable = Reachable::new(&beside).map_err(failed)?;
        let listener = UnixListener::bind(reachable.path()).map_err(failed)?;
        let made = fs::set_permissions(&beside, Permissions::from_mode(MODE))
            .and_then(|()| fs::rename(&beside, path))
            .and_then(|()| listener.set_nonblocking(true));
        made.map_err(failed)?;
        Ok((Self { path: path.to_owned(), link: None }, listener))
    }

    /// Links the socket from `store` if it is elsewhere: a client that knows only the configuration looks there.
    ///
    /// # Errors
    /// [`SocketError`] when the link cannot be made.
    pub(super) fn link_from(&mut self, store: &Path) -> Result<(), SocketError> {
        let link = store.join(NAME);
        if link == self.path {
            return Ok(());
        }
        make_way(&link)?;
        let failed = |source| SocketError::Failed { path: link.clone(), source };
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        symlink(&self.path, &link).map_err(failed)?;
        self.link = Some(link);
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        for path in [Some(&self.path), self.link.as_ref()].into_iter().flatten() {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove the socket's file; the next start \
                                                                replaces it");
            }
        }
    }
}

/// Only a socket or a link may be replaced.
fn make_way(path: &Path) -> Result<(), SocketError> {
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() && !found.is_symlink() => {
            Err(SocketError::InTheWay { path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

/// A path by which a socket can be bound or connected to, however long its own is.
#[derive(Debug)]
pub struct Reachable {
    path: PathBuf,
    _folder: Option<File>,
}

impl Reachable {
    /// The path itself where it fits into an address, else one by way of its opened folder.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn new(path: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        if path.as_os_str().len() <= PATH_BYTES {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let folder = File::open(folder)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }

    /// Good as long as this lives.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_in_the_runtime_directory_or_in_the_store() {
        let in_store = Path::new("/s/edgetuned.sock");
        assert_eq!(path(None, Path::new("/s")), in_store);
        assert_eq!(path(Some(OsStr::new("")), Path::new("/s")), in_store);
        assert_eq!(path(Some(OsStr::new("/run/a:/run/b")), Path::new("/s")), Path::new("/run/a/edgetuned.sock"));
    }

    #[test]
    fn a_socket_replaces_one_that_was_left_over_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err(), "nobody listens at what was left");
        let (socket, _listener) = Socket::bind(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
        assert!(matches!(Socket::bind(&path), Err(SocketError::Taken { .. })), "somebody listens there");
        drop(socket);
        assert!(!path.exists());
        fs::write(&path, "notes").unwrap();
        let refused = Socket::bind(&path).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("move it away"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
        assert!(Socket::bind(&folder.path().join("gone/edgetuned.sock")).is_err());
    }

    #[test]
    fn a_socket_elsewhere_is_found_in_the_store_too() {
        let (run, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut socket, _listener) = Socket::bind(&run.path().join(NAME)).unwrap();
        let link = store.path().join(NAME);
        symlink("nowhere", &link).unwrap();
        socket.link_from(store.path()).unwrap();
        UnixStream::connect(&link).unwrap();
        drop(socket);
        assert!(link.symlink_metadata().is_err(), "the link goes with the socket");
    }

    #[test]
    fn a_path_may_be_longer_than_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a".repeat(120));
        fs::create_dir(&deep).unwrap();
        let path = deep.join(NAME);
        let (_socket, _listener) = Socket::bind(&path).unwrap();
        UnixStream::connect(Reachable::new(&path).unwrap().path()).unwrap();
    }
}
