//! What a proxy says counts where it is trusted, and nowhere else.

use crate::client::Client;
use crate::{Stage, TOKEN};

/// A request as Home Assistant's ingress, or nginx below `/line3/`, passes it on.
fn forwarded(client: &Client) -> Client {
    client
        .with("X-Forwarded-For", "10.9.9.9")
        .with("X-Forwarded-Proto", "https")
        .with("X-Forwarded-Host", "edge.lan")
        .with("X-Forwarded-Prefix", "/line3")
}

#[test]
fn behind_a_trusted_proxy_cookie_and_origin_are_the_clients() {
    let stage = Stage::guarded("trusted_proxies: [127.0.0.1], allowed_hosts: [edge.lan]");
    let proxied = forwarded(&stage.client());
    let signed_in = proxied.with("Origin", "https://edge.lan").sign_in(TOKEN);
    let cookie = signed_in.header("set-cookie").unwrap();
    assert!(cookie.contains("; Path=/line3/;") && cookie.ends_with("; Secure"), "{cookie}");
    assert_eq!(proxied.with("Origin", "http://edge.lan").sign_in(TOKEN).status, 403);
    let session = proxied.with("Cookie", &signed_in.cookie());
    assert_eq!(session.get("/").status, 200);

    let ingress = session.with("X-Ingress-Path", "/api/hassio_ingress/x");
    let framed = ingress.get("/");
    assert!(framed.header("content-security-policy").unwrap().contains("frame-ancestors 'self'"));
    let signed_in = ingress.with("Origin", "https://edge.lan").sign_in(TOKEN);
    assert!(signed_in.header("set-cookie").unwrap().contains("; Path=/api/hassio_ingress/x/;"));

    // Each client has its own limit.
    for _ in 0..5 {
        assert_eq!(proxied.with_token("wrong").get("/").status, 401);
    }
    assert_eq!(proxied.with_token(TOKEN).get("/").status, 429);
    let other = proxied.without("X-Forwarded-For").with("X-Forwarded-For", "10.8.8.8");
    assert_eq!(other.with_token(TOKEN).get("/").status, 200);
}

#[test]
fn what_anybody_else_says_changes_nothing() {
    let stage = Stage::guarded("trusted_proxies: [127.0.0.2], allowed_hosts: [edge.lan]");
    let client = stage.client();
    let forged = forwarded(&client).with("X-Ingress-Path", "/api/hassio_ingress/x");
    assert_eq!(forged.with("Origin", "https://edge.lan").sign_in(TOKEN).status, 403);
    let signed_in = forged.at_home().sign_in(TOKEN);
    let cookie = signed_in.header("set-cookie").unwrap();
    assert!(cookie.contains("; Path=/;") && !cookie.contains("Secure"), "{cookie}");
    let policy = signed_in.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    let evil = client.without("Host").with("Host", "evil.test").with("X-Forwarded-Host", "edge.lan");
    assert_eq!(evil.get("/").status, 403);
    for number in 0..5 {
        let forged = client.with("X-Forwarded-For", &format!("10.9.9.{number}"));
        assert_eq!(forged.with_token("wrong").get("/").status, 401);
    }
    assert_eq!(client.with_token(TOKEN).get("/").status, 429, "they all came from here");
}
