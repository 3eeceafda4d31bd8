//! Every route with every credential, from every place.

use super::*;

const TOKEN: &[u8] = b"0123456789abcdef";
const BEARER: &[u8] = b"Bearer 0123456789abcdef";
const SESSION: &str = "edgetuned-00000000=5e5510";

/// Every route of the door with the type that a write has there.
const ROUTES: [(&str, &str, &str); 22] = [
    ("GET", "/", ""),
    ("HEAD", "/", ""),
    ("GET", "/login", ""),
    ("POST", "/login", "application/x-www-form-urlencoded"),
    ("POST", "/logout", "application/json"),
    ("GET", "/healthz", ""),
    ("GET", "/readyz", ""),
    ("GET", "/api/v1/status", ""),
    ("HEAD", "/api/v1/status", ""),
    ("GET", "/api/v1/heads", ""),
    ("GET", "/api/v1/samples", ""),
    ("GET", "/api/v1/review", ""),
    ("GET", "/api/v1/watch", ""),
    ("GET", "/api/v1/thumbnails/00", ""),
    ("GET", "/api/v1/images/00", ""),
    ("POST", "/api/v1/status", "application/json"),
    ("POST", "/api/v1/label", "application/json; charset=utf-8"),
    ("POST", "/api/v1/image", "image/jpeg"),
    ("POST", "/api/v1/image", "application/octet-stream"),
    ("DELETE", "/api/v1/label", "application/json"),
    ("PUT", "/nothing", "application/json"),
    ("GET", "/metrics", ""),
];

fn verdict(asked: &Asked<'_>, is_guarded: bool) -> Verdict {
    let names = Names::new("line-3", &[]);
    let rules = Rules {
        names: &names,
        cookie: "edgetuned-00000000",
        is_guarded,
        is_token: &|text| text == TOKEN,
        is_session: &|value| value == "5e5510",
    };
    decide(asked, &rules)
}

fn asked<'a>(method: &'a str, path: &'a str, content_type: &'a str) -> Asked<'a> {
    let content_types = if content_type.is_empty() { vec![] } else { vec![content_type] };
    Asked { method, path, hosts: vec!["line-3:8787"], content_types, ..Asked::default() }
}

fn refusal(asked: &Asked<'_>, is_guarded: bool) -> Option<Refusal> {
    match verdict(asked, is_guarded) {
        Verdict::Refuse(refusal) => Some(refusal),
        Verdict::Pass | Verdict::SignIn => None,
    }
}

/// `Authorization`, `Cookie`, and what they come to.
type Credentials = (Option<&'static [u8]>, Option<&'static str>, &'static str);

/// What a client may have.
const CREDENTIALS: [Credentials; 13] = [
    (None, None, "none"),
    (Some(BEARER), None, "token"),
    (Some(b"bearer 0123456789abcdef"), None, "token"),
    (None, Some(SESSION), "session"),
    (None, Some("a=b; edgetuned-00000000=5e5510"), "session"),
    (None, Some("edgetuned-00000000=5e551"), "none"),
    (None, Some("edgetuned-11111111=5e5510"), "none"),
    (Some(b"Bearer "), None, "wrong"),
    (Some(b"Bearer"), Some(SESSION), "wrong"),
    (Some(b"Bearer 0123456789abcde"), None, "wrong"),
    (Some(b"Bearer 0123456789abcdeF"), None, "wrong"),
    (Some(b"Bearer 0123456789abcdef0"), Some(SESSION), "wrong"),
    (Some(b"Basic 0123456789abcdef"), None, "wrong"),
];

#[test]
fn every_route_asks_every_credential_where_a_token_is_set() {
    for (method, path, content_type) in ROUTES {
        for (authorization, cookie, kind) in CREDENTIALS {
            for origin in [None, Some("http://line-3:8787")] {
                let mut asked = asked(method, path, content_type);
                asked.authorizations.extend(authorization);
                asked.cookies.extend(cookie);
                asked.origins.extend(origin);
                let writes = !["GET", "HEAD"].contains(&method);
                let is_public = ["/login", "/healthz", "/readyz"].contains(&path);
                let expected = match kind {
                    "wrong" => Verdict::Refuse(Refusal::WrongToken),
                    "none" if !is_public && path == "/" => Verdict::SignIn,
                    "none" if !is_public => Verdict::Refuse(Refusal::NoToken),
                    "none" | "session" if writes && origin.is_none() => Verdict::Refuse(Refusal::NoOrigin),
                    _ => Verdict::Pass,
                };
                assert_eq!(verdict(&asked, true), expected, "{method} {path} {kind} {origin:?}");
                let held = Asked { is_held: true, ..asked.clone() };
                let expected = if authorization.is_some() { Verdict::Refuse(Refusal::Held) } else { expected };
                assert_eq!(verdict(&held, true), expected, "{method} {path} {kind}, held");
                assert_eq!(verdict(&asked, false), Verdict::Pass, "{method} {path}: on loopback without a token");
            }
        }
    }
}

#[test]
fn every_route_wants_one_host_that_is_this_device() {
    for (method, path, content_type) in ROUTES.into_iter().chain([("OPTIONS", "/", "")]) {
        for guarded in [true, false] {
            let mut asked = asked(method, path, content_type);
            asked.authorizations.push(BEARER);
            let with = |hosts: &[&'static str]| Asked { hosts: hosts.to_vec(), ..asked.clone() };
            for hosts in [&[][..], &["line-3", "line-3"], &["line-3", "evil.test"]] {
                assert_eq!(refusal(&with(hosts), guarded), Some(Refusal::Hosts), "{method} {path} {hosts:?}");
            }
            for host in ["evil.test", "evil.test:8787", "", "line-3.evil.test"] {
                assert_eq!(refusal(&with(&[host]), guarded), Some(Refusal::Host(host.into())), "{method} {path}");
            }
            let target = Asked { target_host: Some("evil.test"), ..asked.clone() };
            assert_eq!(refusal(&target, guarded), Some(Refusal::Hosts), "{method} {path}");
            let forwarded = Asked { forwarded_host: Some("evil.test"), ..asked };
            assert_eq!(refusal(&forwarded, guarded), Some(Refusal::Host("evil.test".into())), "{method} {path}");
        }
    }
}

#[test]
fn a_write_from_elsewhere_is_refused_with_whatever_credential() {
    for (method, path, content_type) in ROUTES {
        for (authorization, cookie, _) in CREDENTIALS {
            for origin in ["null", "http://line-3:8788", "https://line-3:8787", "http://evil.test", ""] {
                let mut asked = asked(method, path, content_type);
                asked.authorizations.extend(authorization);
                asked.cookies.extend(cookie);
                asked.origins.push(origin);
                let writes = !["GET", "HEAD"].contains(&method);
                for guarded in [true, false] {
                    let is_refused = refusal(&asked, guarded) == Some(Refusal::Origin);
                    assert_eq!(is_refused, writes, "{method} {path} {origin}");
                }
                let twice = Asked { origins: vec!["http://line-3:8787", origin], ..asked };
                assert_eq!(refusal(&twice, true), Some(Refusal::Origin), "{method} {path}: two of them");
            }
        }
    }
    let proxied = Asked {
        origins: vec!["https://edge.example.org"],
        forwarded_host: Some("line-3"),
        https: true,
        ..asked("POST", "/api/v1/train", "application/json")
    };
    assert_eq!(refusal(&proxied, false), Some(Refusal::Origin));
    assert_eq!(verdict(&Asked { origins: vec!["https://line-3"], ..proxied }, false), Verdict::Pass);
}

#[test]
fn a_write_has_its_type() {
    let form = "application/x-www-form-urlencoded";
    for (path, right) in [
        ("/api/v1/train", &["application/json", "Application/JSON;charset=utf-8"][..]),
        ("/logout", &["application/json"]),
        ("/login", &[form]),
        ("/api/v1/image", &["image/png", "image/jpeg", "application/octet-stream"]),
    ] {
        for content_type in [
            "",
            "text/plain",
            "multipart/form-data",
            form,
            "application/json",
            "application/jsonp",
            "image/png",
            "application/octet-stream",
        ] {
            let is_refused =
                matches!(refusal(&asked("POST", path, content_type), false), Some(Refusal::ContentType(_)));
            assert_eq!(is_refused, !right.contains(&content_type), "{path} {content_type:?}");
        }
        for content_type in right {
            assert_eq!(verdict(&asked("POST", path, content_type), false), Verdict::Pass, "{path} {content_type}");
            let twice = Asked { content_types: vec![content_type, content_type], ..asked("POST", path, "") };
            assert!(matches!(refusal(&twice, false), Some(Refusal::ContentType(_))), "{path}: two of them");
        }
    }
}

#[test]
fn options_are_offered_nowhere() {
    for (_, path, content_type) in ROUTES {
        let method = if path.len() % 2 == 0 { "OPTIONS" } else { "TRACE" };
        let mut asked = asked(method, path, content_type);
        asked.origins.push("http://evil.test");
        assert_eq!(refusal(&asked, true), Some(Refusal::Method), "{path}");
        assert_eq!(refusal(&asked, false), Some(Refusal::Method), "{path}");
    }
}

#[test]
fn a_token_counts_in_no_url_and_wrong_ones_are_told_nothing() {
    for path in ["/api/v1/status?token=0123456789abcdef", "/0123456789abcdef"] {
        assert_eq!(refusal(&asked("GET", path, ""), true), Some(Refusal::NoToken), "{path}");
    }
    assert_eq!(Refusal::WrongToken.body(), Refusal::NoToken.body());
    assert_eq!(Refusal::WrongToken.body(), Refusal::Held.body());
    assert_eq!((Refusal::WrongToken.status().as_u16(), Refusal::Held.status().as_u16()), (401, 429));
}

#[test]
fn a_refused_host_is_repeated_as_text_of_json() {
    let host = format!("\"><script>{}", "x".repeat(300));
    let asked = Asked { hosts: vec![&host], ..asked("GET", "/", "") };
    let refusal = refusal(&asked, false).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&refusal.body()).unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("is not allowed: add it to http.allowed_hosts") && message.len() < 320, "{message}");
}
