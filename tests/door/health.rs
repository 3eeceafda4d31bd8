//! `/healthz` and `/readyz`, at the door and at the socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::Stage;
use crate::daemon::PATIENCE;

#[test]
fn the_process_answers_and_becomes_ready() {
    let stage = Stage::guarded("");
    let client = stage.client();
    assert_eq!(client.get("/healthz").status, 200, "whoever asks");
    let until = Instant::now() + PATIENCE;
    loop {
        let ready = client.get("/readyz");
        if ready.status == 200 {
            break;
        }
        assert!(ready.status == 503 && ready.text().starts_with("starting"), "{}", ready.text());
        assert!(Instant::now() < until);
        thread::park_timeout(Duration::from_millis(20));
    }
    for path in ["/healthz", "/readyz"] {
        let mut stream = UnixStream::connect(stage.home.state().join("edgetuned.sock")).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200"), "{path}: {said}");
    }
}
