//! What a proxy says of the client behind it, where it is one of those that are trusted.

use std::net::IpAddr;

use crate::words::Network;

/// The longest prefix that is taken.
const PREFIX: usize = 256;

/// A request as its client made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visit {
    /// Of the client, or of the last proxy that is not trusted.
    pub address: IpAddr,
    /// The host that the client named, where a proxy passed it on.
    pub host: Option<String>,
    /// Whether the client uses TLS.
    pub https: bool,
    /// The path below which the client finds this device; empty, or it begins with a slash and does not end with one.
    pub prefix: String,
    /// Whether Home Assistant shows it in a frame of its own pages.
    pub is_ingress: bool,
}

impl Visit {
    /// The request that came from `peer`; `header` gives all values of a header in order.
    pub fn new<'a>(peer: IpAddr, proxies: &[Network], header: impl Fn(&str) -> Vec<&'a str>) -> Self {
        let peer = peer.to_canonical();
        let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
        let mut visit = Self { address: peer, host: None, https: false, prefix: String::new(), is_ingress: false };
        if !is_proxy(peer) {
            return visit;
        }
        // The last value is the nearest proxy's; those before it may be the client's own.
        let last = |name: &str| header(name).last().and_then(|values| values.rsplit(',').next()).map(str::trim);
        let chain = header("x-forwarded-for").join(",");
        for address in chain.rsplit(',').map_while(|text| text.trim().parse::<IpAddr>().ok()) {
            visit.address = address.to_canonical();
            if !is_proxy(visit.address) {
                break;
            }
        }
        visit.host = last("x-forwarded-host").map(str::to_owned);
        visit.https = last("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let ingress = last("x-ingress-path").and_then(prefix);
        visit.is_ingress = ingress.is_some();
        visit.prefix = ingress.or_else(|| last("x-forwarded-prefix").and_then(prefix)).unwrap_or_default();
        visit
    }
}

/// The prefix in a form that can stand in a cookie.
fn prefix(text: &str) -> Option<String> {
    let prefix = text.trim_end_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let is_prefix = prefix.starts_with('/') && prefix.len() <= PREFIX && prefix.bytes().all(is_plain);
    (is_prefix && !prefix.contains("//")).then(|| prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(peer: &str, headers: &[(&str, &'static str)]) -> Visit {
        let proxies = ["127.0.0.1".parse().unwrap(), "172.30.32.0/23".parse().unwrap()];
        let all = |name: &str| headers.iter().filter(|(header, _)| *header == name).map(|(_, value)| *value).collect();
        Visit::new(peer.parse().unwrap(), &proxies, all)
    }

    const FORGED: [(&str, &str); 5] = [
        ("x-forwarded-for", "10.9.9.9"),
        ("x-forwarded-host", "edge.example.org"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/line3"),
        ("x-ingress-path", "/api/hassio_ingress/x"),
    ];

    #[test]
    fn what_an_address_that_is_not_trusted_says_changes_nothing() {
        assert_eq!(visit("10.0.0.1", &FORGED), visit("10.0.0.1", &[]));
    }

    #[test]
    fn a_trusted_proxy_speaks_for_its_client() {
        let told = visit("::ffff:127.0.0.1", &FORGED[..4]);
        let expected = Visit {
            address: "10.9.9.9".parse().unwrap(),
            host: Some("edge.example.org".into()),
            https: true,
            prefix: "/line3".into(),
            is_ingress: false,
        };
        assert_eq!(told, expected);
        let ingress = visit("172.30.32.2", &FORGED);
        assert_eq!((ingress.prefix.as_str(), ingress.is_ingress), ("/api/hassio_ingress/x", true));
    }

    #[test]
    fn the_client_is_the_last_one_that_is_no_proxy() {
        for (chain, address) in [
            ("1.1.1.1, 10.9.9.9", "10.9.9.9"),
            ("1.1.1.1, 10.9.9.9, 172.30.32.9", "10.9.9.9"),
            ("172.30.32.8, 172.30.32.9", "172.30.32.8"),
            ("1.1.1.1, unknown", "127.0.0.1"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(visit("127.0.0.1", &[("x-forwarded-for", chain)]).address.to_string(), address, "{chain}");
        }
        let twice = [("x-forwarded-for", "10.9.9.9"), ("x-forwarded-for", "10.8.8.8")];
        assert_eq!(visit("127.0.0.1", &twice).address.to_string(), "10.8.8.8", "the nearest proxy wrote the last one");
    }

    #[test]
    fn a_prefix_can_stand_in_a_cookie_or_is_none() {
        for (text, expected) in [
            ("/line3", Some("/line3")),
            ("/line3/", Some("/line3")),
            ("line3", None),
            ("//evil.test", None),
            ("/a;Domain=x", None),
            ("/a b", None),
            ("/", None),
        ] {
            assert_eq!(prefix(text).as_deref(), expected, "{text}");
        }
        assert_eq!(prefix(&format!("/{}", "a".repeat(PREFIX))), None);
    }
}
