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

#[test]
fn a_health_check_needs_neither_token_nor_another_program() {
    let mut stage = Stage::guarded("");
    let get = |stage: &Stage, words: &[&str]| {
        let output = stage.home.command(&[&["ctl", "get"], words].concat()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), said)
    };
    assert_eq!(get(&stage, &["/healthz"]), (Some(0), "alive\n".into()));
    assert_eq!(get(&stage, &["/healthz", "--json"]), (Some(0), "\"alive\\n\"\n".into()));
    let (code, heads) = get(&stage, &["/api/v1/heads", "--json"]);
    let heads: serde_json::Value = serde_json::from_str(&heads).unwrap();
    assert_eq!((code, &heads["status"]), (Some(0), &"ok".into()));
    let (code, said) = get(&stage, &["/api/v1/nothing"]);
    assert!(code == Some(1) && said.contains("GET /api/v1/nothing is answered with 404: "), "{code:?}: {said}");
    for path in ["healthz", "/health z"] {
        assert_eq!(get(&stage, &[path]).0, Some(64), "{path}");
    }
    stage.daemon.stop(PATIENCE);
    assert_eq!(get(&stage, &["/healthz"]).0, Some(69), "nobody is there");
}
