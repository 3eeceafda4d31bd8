//! The token, and the sessions of those who had it.

use std::fs;

use crate::access::ROUTES;
use crate::client::Client;
use crate::daemon::signal;
use crate::{Stage, TOKEN, token_file};

#[test]
fn every_route_needs_the_token_or_a_session() {
    let stage = Stage::guarded("");
    let client = stage.client();
    let session = client.with("Cookie", &client.at_home().sign_in(TOKEN).cookie());
    for (method, path) in ROUTES.into_iter().filter(|(method, _)| *method != "OPTIONS") {
        let what = format!("{method} {path}");
        let bare = client.send(method, path, b"");
        let writes = !["GET", "HEAD"].contains(&method);
        let expected = match path {
            "/login" if writes => Some(403),
            "/login" | "/healthz" => Some(200),
            // Before the engine has started it is 503.
            "/readyz" => None,
            "/" if !writes => Some(303),
            _ => Some(401),
        };
        assert!(expected.is_none_or(|expected| bare.status == expected), "{what}: {}", bare.status);
        if bare.status == 303 {
            assert_eq!(bare.header("location"), Some("login"));
        }
        for known in [client.with_token(TOKEN), session.at_home()] {
            let reply = known.send(method, path, b"");
            assert!(![401, 403, 429, 303].contains(&reply.status), "{what}: {}", reply.status);
        }
        if writes {
            assert_eq!(session.send(method, path, b"").status, 403, "{what}: a session without Origin");
        }
    }
}

#[test]
fn wrong_tokens_are_told_the_same_and_then_nothing() {
    let stage = Stage::guarded("");
    let client = stage.client();
    let none = client.get("/api/v1/status");
    assert_eq!((none.status, none.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(client.get(&format!("/api/v1/status?token={TOKEN}")).status, 401, "never in a URL");
    let longer = format!("{TOKEN}0");
    for wrong in ["", &TOKEN[1..], &TOKEN[..31], &longer, &TOKEN.to_uppercase()] {
        let reply = client.with_token(wrong).get("/api/v1/status");
        assert_eq!((reply.status, &reply.body), (401, &none.body), "{wrong:?}");
    }
    let held = client.with_token(TOKEN).get("/api/v1/status");
    assert_eq!((held.status, &held.body), (429, &none.body), "even the right one is not looked at");
    assert_eq!(client.at_home().sign_in(TOKEN).status, 429);
    assert_eq!(client.get("/login").status, 200, "what needs no token is answered");
    let log = stage.log();
    assert!(!log.contains(TOKEN) && !log.contains(&TOKEN.to_uppercase()), "{log}");
}

#[test]
fn the_form_has_its_own_limit_with_the_same_bytes() {
    let stage = Stage::guarded("");
    let client = stage.client().at_home();
    let replies: Vec<_> = (0..6).map(|_| client.sign_in("wrong")).collect();
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    assert!(replies.iter().all(|reply| reply.body == replies[0].body && reply.header("set-cookie").is_none()));
}

#[test]
fn a_session_is_one_cookie_that_ends_at_once() {
    let stage = Stage::guarded("");
    let client = stage.client();
    let form = client.get("/login");
    assert!(form.text().contains("name=\"token\"") && !form.text().contains("<script"), "{}", form.text());
    let signed_in = client.at_home().sign_in(TOKEN);
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("./")));
    let cookies: Vec<_> = signed_in.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    let [(_, cookie)] = cookies[..] else { panic!("{cookies:?}") };
    let parts: Vec<&str> = cookie.split("; ").collect();
    let (name, value) = parts[0].split_once('=').unwrap();
    let digits = edgetuned::words::Digest::of(b"line-3").to_string();
    assert_eq!((name, value.len()), (format!("edgetuned-{}", &digits[..8]).as_str(), 64));
    assert!(value != TOKEN && parts.contains(&"HttpOnly") && parts.contains(&"SameSite=Strict"), "{cookie}");
    assert!(parts.contains(&"Path=/") && !parts.contains(&"Secure"), "{cookie}");
    assert_ne!(client.at_home().sign_in(TOKEN).cookie(), signed_in.cookie(), "each is another");

    let session = client.with("Cookie", &signed_in.cookie());
    assert_eq!((session.get("/").status, session.get("/api/v1/status").status), (200, 200));
    assert_eq!(session.post("/logout", "").status, 403, "from this device's page only");
    assert_eq!(session.at_home().post("/logout", "").status, 204);
    assert_eq!(session.get("/api/v1/status").status, 401);

    let session = client.with("Cookie", &client.at_home().sign_in(TOKEN).cookie());
    assert_eq!(session.get("/api/v1/status").status, 200);
    fs::write(token_file(&stage.home), "another token, which is long".replace(' ', "-")).unwrap();
    assert_eq!(session.get("/api/v1/status").status, 401, "the token is another one");
    fs::remove_file(token_file(&stage.home)).unwrap();
    assert_eq!(client.with_token(TOKEN).get("/api/v1/status").status, 401, "without a token nobody gets in");
    fs::write(token_file(&stage.home), TOKEN).unwrap();
    assert_eq!(session.get("/api/v1/status").status, 401, "it ended for good");
    let log = stage.log();
    assert!(!log.contains(value) && !log.contains(TOKEN), "{log}");
}

#[test]
fn new_settings_open_another_door_and_end_its_sessions() {
    let mut stage = Stage::guarded("");
    let client = stage.client();
    let session = client.with("Cookie", &client.at_home().sign_in(TOKEN).cookie());
    assert_eq!(session.get("/").status, 200);
    let port = crate::free_port();
    crate::configure(&stage.home, port, "");
    signal("HUP", stage.daemon.id());
    let moved = Client::new(port);
    moved.wait();
    assert_eq!(moved.get("/").status, 200, "it asks for no token any more");
    stage.daemon.stop(crate::daemon::PATIENCE);
}
