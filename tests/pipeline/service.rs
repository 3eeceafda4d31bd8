//! What the service manager hears, with a socket in its place.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use super::camera::Part;
use super::daemon::{Home, signal};
use super::{ENDING, QUIET, home, picture};

/// The service manager's ear.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(home: &Home) -> Self {
        let socket = UnixDatagram::bind(home.state().with_file_name("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// Waits for a word and returns it; earlier ones are dropped.
    fn wait(&mut self, what: &str, mut is: impl FnMut(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_mins(1);
        let mut buffer = [0; 4096];
        loop {
            if let Some(index) = self.heard.iter().position(|word| is(word)) {
                return self.heard.drain(..=index).next_back().expect("one was found");
            }
            assert!(Instant::now() < until, "not heard: {what}; heard {:?}", self.heard);
            match self.socket.recv(&mut buffer) {
                Ok(n) => self.heard.extend(String::from_utf8_lossy(&buffer[..n]).lines().map(str::to_owned)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
    }
}

#[test]
fn the_service_manager_is_notified_of_readiness_status_reloads_and_shutdown() {
    let home = home(1, QUIET);
    let mut manager = Manager::listen(&home);
    let socket = home.state().with_file_name("notify");
    let mut daemon = home.start_with(&[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", Path::new("20000000"))]);
    manager.wait("that starting takes time", |word| word.starts_with("EXTEND_TIMEOUT_USEC="));
    manager.wait("that it is ready", |word| word == "READY=1");
    let standing = manager.wait("how it is", |word| word.starts_with("STATUS=no head yet; 0 samples"));
    assert!(standing.contains("watching") && standing.ends_with("broker not connected"), "{standing}");
    manager.wait("that it lives", |word| word == "WATCHDOG=1");
    home.put("1.jpg", &picture(Part::Nut, 1));
    manager.wait("of the image", |word| word.contains("1 samples, 0 labelled"));

    signal("HUP", daemon.id());
    manager.wait("that it reloads", |word| word == "RELOADING=1");
    manager.wait("since when", |word| word.starts_with("MONOTONIC_USEC="));
    manager.wait("that it is ready again", |word| word == "READY=1");
    home.configure("training: { schedul: never }");
    signal("HUP", daemon.id());
    manager.wait("that it looks at the configuration", |word| word == "RELOADING=1");
    manager.wait("that it is as ready as before", |word| word == "READY=1");
    manager.wait("that it still lives", |word| word == "WATCHDOG=1");

    signal("TERM", daemon.id());
    manager.wait("that it stops", |word| word == "STOPPING=1");
    daemon.stop(ENDING);
}
