//! What a configuration of the door comes to: exit codes, and what `check` says.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::daemon::Home;
use crate::{TOKEN, configure, home, token_file};

fn ran(home: &Home, words: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = home.command(words).output().unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn beyond_loopback_without_a_token_nothing_starts() {
    let (home, port) = home("");
    home.configure(&format!("mqtt: {{ url: null }}\nhttp: {{ listen: '0.0.0.0:{port}' }}"));
    for words in [&["check"][..], &["run"]] {
        let (code, said) = ran(&home, words);
        assert_eq!(code, Some(78), "{words:?}: {said}");
        assert!(said.contains("http.listen") && said.contains("http.token_file"), "{words:?}: {said}");
    }
}

#[test]
fn a_token_that_protects_nothing_is_refused() {
    let (home, port) = home("");
    let file = token_file(&home);
    configure(&home, port, &format!("token_file: {}", file.display()));
    for text in [None, Some(""), Some("\n"), Some("short")] {
        text.inspect(|text| fs::write(&file, text).unwrap());
        for words in [&["check"][..], &["run"]] {
            let (code, said) = ran(&home, words);
            assert_eq!(code, Some(78), "{words:?} {text:?}: {said}");
            assert!(said.contains("http.token_file"), "{words:?} {text:?}: {said}");
        }
    }
    fs::write(&file, TOKEN).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = ran(&home, &["check"]);
    assert!(code == Some(0) && said.contains("chmod 600") && !said.contains(TOKEN), "{code:?} {said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, said) = ran(&home, &["check"]);
    assert!(code == Some(0) && !said.contains("chmod"), "{code:?} {said}");
}

#[test]
fn a_port_that_is_taken_is_unavailable() {
    let (home, port) = home("");
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (code, said) = ran(&home, &["run"]);
    assert!(code == Some(69) && said.contains("another http.listen"), "{code:?} {said}");
}

#[test]
fn where_nobody_configured_a_port_that_is_taken_the_daemon_works_without() {
    // Another daemon may have it before.
    let _taken = TcpListener::bind("127.0.0.1:8787");
    let (home, _) = home("");
    home.configure("mqtt: { url: null }");
    let mut daemon = home.start();
    let until = Instant::now() + Duration::from_secs(30);
    while !home.command(&["ctl", "status"]).output().unwrap().status.success() {
        assert!(Instant::now() < until, "nobody answers at the socket");
    }
    daemon.stop(Duration::from_secs(10));
    let said = fs::read_to_string(home.log()).unwrap();
    assert!(said.contains("set http.listen to an address that is free"), "{said}");
}
