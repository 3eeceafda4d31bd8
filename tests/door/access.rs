//! Hosts, origins, types, and what every answer says.

use serde_json::json;

use crate::client::Reply;
use crate::{Stage, daemon::PATIENCE};

/// Every route, as it is asked for.
pub const ROUTES: [(&str, &str); 32] = [
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/api/v1/status"),
    ("HEAD", "/api/v1/status"),
    ("GET", "/api/v1/heads"),
    ("GET", "/api/v1/samples"),
    ("GET", "/api/v1/review"),
    ("GET", "/api/v1/watch"),
    ("GET", "/api/v1/index"),
    ("HEAD", "/api/v1/index"),
    ("GET", "/api/v1/map"),
    ("GET", "/api/v1/neighbours/00"),
    ("GET", "/api/v1/trainings"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/confusion"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/thumbnails/00"),
    ("GET", "/api/v1/images/00"),
    ("POST", "/api/v1/status"),
    ("POST", "/api/v1/train"),
    ("POST", "/api/v1/image?source=door"),
    ("POST", "/api/v1/nothing"),
    ("GET", "/nothing"),
    ("DELETE", "/api/v1/label"),
    ("PUT", "/"),
    ("OPTIONS", "/api/v1/label"),
    ("GET", "/api/v1/train"),
];

fn is_secure(reply: &Reply, what: &str) {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                  form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                  trusted-types 'none'";
    for (name, value) in [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        let found: Vec<_> = reply.headers.iter().filter(|(found, _)| found == name).collect();
        assert!(matches!(found[..], [(_, found)] if found == value), "{what}: {name}: {found:?}");
    }
    assert_eq!(reply.header("access-control-allow-origin"), None, "{what}");
}

#[test]
fn every_route_refuses_other_hosts_and_every_answer_is_secure() {
    let stage = Stage::set("allowed_hosts: [edge.lan]");
    let client = stage.client();
    for (method, path) in ROUTES {
        let what = format!("{method} {path}");
        let nameless = client.without("Host");
        for (hosts, status) in [
            (&["evil.test"][..], 403),
            (&["evil.test:80"], 403),
            (&["localhost", "localhost"], 403),
            (&[], 403),
            (&["localhost"], 0),
            (&["EDGE.lan:8787"], 0),
            (&["[::1]"], 0),
            (&["192.168.1.7:1"], 0),
        ] {
            let asking = hosts.iter().fold(nameless.clone(), |client, host| client.with("Host", host));
            let reply = asking.send(method, path, b"");
            assert_eq!(reply.status == 403, status == 403, "{what} {hosts:?}: {}", reply.status);
            is_secure(&reply, &what);
            if hosts == ["evil.test"] && method != "HEAD" {
                let message = reply.json()["error"]["message"].clone();
                assert_eq!(message, json!("host \"evil.test\" is not allowed: add it to http.allowed_hosts"));
            }
        }
    }
    let absolute = client.send("GET", "http://evil.test/api/v1/status", b"");
    assert_eq!(absolute.status, 403, "the target names another host than 'Host'");
    assert_eq!(client.send("OPTIONS", "/api/v1/status", b"").status, 405);
}

#[test]
fn a_write_comes_from_home_and_has_its_type() {
    let stage = Stage::set("");
    let client = stage.client();
    let port = client.at_home();
    assert_eq!(port.post("/api/v1/status", "{}").status, 200);
    assert_eq!(client.post("/api/v1/status", "{}").status, 200, "without a browser");
    for origin in ["null", "http://evil.test", "http://127.0.0.1:1", "https://127.0.0.1", "http://localhost"] {
        let reply = client.with("Origin", origin).post("/api/v1/status", "{}");
        assert_eq!(reply.status, 403, "{origin}: {}", reply.text());
        assert_eq!(
            client.with("Origin", origin).get("/api/v1/status").status,
            200,
            "a read, whose answer it cannot see"
        );
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let reply = port.with("Content-Type", content_type).send("POST", "/api/v1/status", b"{}");
        assert_eq!(reply.status, 415, "{content_type}: {}", reply.text());
    }
    assert_eq!(port.send("POST", "/api/v1/status", b"{}").status, 415, "no type");
    let picture = port.with("Content-Type", "image/jpeg").send("POST", "/api/v1/image?source=none", b"x");
    assert_eq!((picture.status, picture.json()["error"]["code"].clone()), (404, json!("not_found")));
}

#[test]
fn reads_change_nothing() {
    let stage = Stage::set("");
    let client = stage.client();
    let dump = || {
        let parts =
            ["samples", "heads", "review"].map(|name| client.get(&format!("/api/v1/{name}")).json()["data"].clone());
        json!(parts)
    };
    let before = dump();
    for (method, path) in ROUTES.into_iter().filter(|(method, _)| ["GET", "HEAD"].contains(method)) {
        client.send(method, path, b"");
    }
    assert_eq!(dump(), before);
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    use std::io::{BufReader, Write as _};
    let stage = Stage::set("");
    let client = stage.client();
    let mut stream = client.connect();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..3 {
        stream.write_all(&client.request("GET", "/api/v1/status", b"")).unwrap();
        assert_eq!(Reply::read(&mut reader, "GET").unwrap().status, 200);
    }
    drop(stage.daemon);
    assert!(Reply::read(&mut reader, "GET").is_none());
}

#[test]
fn the_socket_is_as_before() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    let stage = Stage::guarded("");
    for host in ["Host: evil.test\r\n", ""] {
        let mut stream = UnixStream::connect(stage.home.state().join("edgetuned.sock")).unwrap();
        let request = format!("POST /api/v1/status HTTP/1.1\r\n{host}Origin: null\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(!said.to_ascii_lowercase().contains("content-security-policy"), "{said}");
    }
}
