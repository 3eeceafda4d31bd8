//! No client keeps others out.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Reply;
use crate::{Stage, TOKEN};

#[test]
fn long_heads_and_bodies_are_refused() {
    let stage = Stage::set("");
    let client = stage.client();
    assert_eq!(client.with("X-Long", &"x".repeat(15_000)).get("/api/v1/status").status, 200);
    for length in [16_500, 40_000] {
        assert_eq!(client.with("X-Long", &"x".repeat(length)).get("/api/v1/status").status, 431, "{length}");
    }
    let body = " ".repeat((1 << 20) + 1);
    let reply = client.post("/api/v1/label", &body);
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_ne!(client.post("/api/v1/label", &body[1..]).status, 413);
}

#[test]
fn whoever_only_holds_connections_keeps_nobody_out() {
    let stage = Stage::set("");
    let client = stage.client();
    let mut slow: Vec<TcpStream> = (0..200).map(|_| client.connect()).collect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        for stream in &mut slow {
            // Most of them have been closed.
            let _ = stream.write_all(b"G");
        }
        let asked = Instant::now();
        assert_eq!(client.get("/").status, 200);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}

#[test]
fn a_form_that_comes_slowly_keeps_nobody_out() {
    let stage = Stage::guarded("");
    let client = stage.client();
    let form = client.at_home().with("Content-Type", "application/x-www-form-urlencoded");
    let request = form.request("POST", "/login", &[b'x'; 100]);
    let slow: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = form.connect();
            // The rest of the form never comes; those before may have made way.
            let _ = stream.write_all(&request[..request.len() - 50]);
            stream
        })
        .collect();
    let asked = Instant::now();
    assert_eq!(client.with_token(TOKEN).get("/").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    drop(slow);
}

#[test]
fn the_ninth_watcher_is_refused_with_words_and_requests_are_answered() {
    let stage = Stage::set("");
    let client = stage.client();
    let mut watching = Vec::new();
    let mut refused = 0;
    for number in 0..100 {
        let mut stream = client.connect();
        stream.write_all(&client.request("GET", "/api/v1/watch", b"")).unwrap();
        let mut reader = BufReader::new(stream);
        let reply = Reply::read(&mut reader, "GET").unwrap();
        if number < 8 {
            assert_eq!(reply.status, 200, "{number}");
            watching.push(reader);
        } else {
            assert_eq!(reply.status, 503, "{number}");
            assert!(reply.text().contains("too many clients are watching"), "{}", reply.text());
            refused += 1;
        }
    }
    assert_eq!((watching.len(), refused), (8, 92));
    assert_eq!(client.get("/api/v1/status").status, 200);
}

#[test]
fn a_client_that_is_slow_with_its_head_is_cut_off() {
    let stage = Stage::set("");
    let client = stage.client();
    let mut stream = client.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(begun.elapsed() > Duration::from_secs(5) && begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn garbage_costs_its_own_connection_only() {
    let stage = Stage::set("");
    let client = stage.client();
    for garbage in
        [&b"\x00\x01\x02\r\n\r\n"[..], b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\n"]
    {
        let mut stream = client.connect();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    let crowd: Vec<u16> = thread::scope(|scope| {
        let asking: Vec<_> = (0..12).map(|_| scope.spawn(|| client.get("/api/v1/status").status)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(crowd.iter().all(|status| *status == 200), "{crowd:?}");
}
