//! The keys of `http`.

use crate::{fault, good, load, load_text, yaml};

#[test]
fn by_default_this_machine_alone_is_served() {
    let http = good("").http;
    assert_eq!((http.listen, http.token_file), (Some(edgetuned::http::USUAL), None));
    assert_eq!(good("http: {listen: null}").http.listen, None);
    assert!(http.allowed_hosts.is_empty() && http.trusted_proxies.is_empty());
}

#[test]
fn every_way_to_write_an_address_is_read() {
    for listen in ["127.0.0.1:8787", "127.9.9.9:1", "[::1]:8787", "[::ffff:127.0.0.1]:80"] {
        let read = good(&format!("http: {{listen: '{listen}'}}")).http.listen;
        assert_eq!(read, Some(listen.parse().unwrap()), "{listen}");
    }
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    for listen in ["0.0.0.0:8787", "[::]:8787", "192.168.1.7:80", "[fd00::1]:80", "[::ffff:10.0.0.1]:80"] {
        let problem = fault(&format!("http: {{listen: '{listen}'}}"));
        assert_eq!((problem.key.as_str(), problem.line), ("http.listen", Some(1)));
        assert!(problem.to_string().contains("set http.token_file, or listen on 127.0.0.1"), "{problem}");
        good(&format!("http: {{listen: '{listen}', token_file: /etc/edgetuned/token}}"));
    }
    let split = [yaml("a.yaml", "http: {listen: '0.0.0.0:80'}"), yaml("b.yaml", "http: {token_file: /t}")];
    assert!(load(&split).is_ok(), "what belongs together may stand in two layers");
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    for (text, key, says) in [
        ("listen: 8787", "http.listen", "127.0.0.1:8787"),
        ("listen: localhost:8787", "http.listen", "127.0.0.1:8787"),
        ("listen: '127.0.0.1:0'", "http.listen", "port from 1"),
        ("listen: '127.0.0.1'", "http.listen", "ADDRESS:PORT"),
        ("listen: '::1:8787'", "http.listen", "[::1]:8787"),
        ("listen: []", "http.listen", "or null"),
        ("token_file: token", "http.token_file", "begin it with '/'"),
        ("allowed_hosts: edge.lan", "http.allowed_hosts", "a list"),
        ("allowed_hosts: ['edge.lan:80']", "http.allowed_hosts", "without scheme, port"),
        ("allowed_hosts: ['http://edge.lan']", "http.allowed_hosts", "without scheme, port"),
        ("allowed_hosts: ['*']", "http.allowed_hosts", "edge.example.org"),
        ("allowed_hosts: [a..b]", "http.allowed_hosts", "edge.example.org"),
        ("allowed_hosts: [10.0.0.1]", "http.allowed_hosts", "every address is allowed"),
        ("trusted_proxies: [proxy]", "http.trusted_proxies", "172.30.32.0/23"),
        ("trusted_proxies: [10.0.0.1/8]", "http.trusted_proxies", "10.0.0.0/8"),
        ("tokens: /t", "http.tokens", "did you mean 'token_file'?"),
    ] {
        let problem = fault(&format!("http: {{{text}}}"));
        assert_eq!(problem.key, key, "{text}: {problem}");
        assert!(problem.to_string().contains(says), "{text}: {problem}");
    }
    assert!(load_text("http: {allowed_hosts: [Edge.LAN, line_3], trusted_proxies: [127.0.0.1, 'fd00::/8']}").is_ok());
}
