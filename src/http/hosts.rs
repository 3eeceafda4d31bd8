//! The names by which clients may call this device, and where a write may come from.
//!
//! A page of the Internet can have its own name lead to this device (DNS rebinding), and a browser then sends reads to
//! it without any `Origin`: only `Host` tells.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest name that is looked at, and repeated in a refusal.
pub(super) const LONGEST: usize = 255;

/// What is allowed besides `localhost` and addresses.
#[derive(Debug, Clone)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// `machine` is the machine's name, which is found as `<first part>.local`, too; `listed` are those of the settings.
    pub fn new(machine: &str, listed: &[String]) -> Self {
        let first = machine.split('.').next().unwrap_or_default();
        let own = [machine.to_owned(), first.to_owned(), format!("{first}.local")];
        let own = own.into_iter().filter(|_| !first.is_empty());
        Self(own.chain(listed.iter().cloned()).map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether `host`, with or without a port, means this device and nobody else's name.
    pub fn allow(&self, host: &str) -> bool {
        let Some((name, _)) = split(host) else { return false };
        let is_address = match name.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
            None => name.parse::<Ipv4Addr>().is_ok(),
        };
        is_address || name.eq_ignore_ascii_case("localhost") || self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Name and port of a host; `None` where the port is none.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => (&host[..at], Some(&host[at + 1..])),
        _ => (host, None),
    };
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().ok().filter(|_| is_number(port))?),
    };
    (!name.is_empty() && host.len() <= LONGEST).then_some((name, port))
}

/// Whether `origin` is the scheme and the host of the request itself. `null`, which files and sandboxed pages have, is
/// nobody's.
pub(super) fn is_same_origin(origin: &str, https: bool, host: &str) -> bool {
    let (scheme, usual) = if https { ("https://", 443) } else { ("http://", 80) };
    let Some(other) = origin.get(..scheme.len()).filter(|begin| begin.eq_ignore_ascii_case(scheme)) else {
        return false;
    };
    match (split(&origin[other.len()..]), split(host)) {
        (Some((other, port)), Some((name, own))) => {
            other.eq_ignore_ascii_case(name) && port.unwrap_or(usual) == own.unwrap_or(usual)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_this_devices_are_allowed() {
        let names = Names::new("line-3.plant", &["Edge.Example.org".into()]);
        for host in [
            "localhost",
            "LOCALHOST:8787",
            "127.0.0.1",
            "127.0.0.1:8787",
            "192.168.1.7:80",
            "[::1]",
            "[fd00::1]:8787",
            "line-3",
            "line-3.plant:1",
            "Line-3.local",
            "edge.example.org:443",
        ] {
            assert!(names.allow(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.test",
            "localhost.evil.test",
            "localhost.",
            "localhost:",
            "localhost:+80",
            "localhost:99999",
            "127.0.0.1.evil.test",
            "127.1",
            "0x7f000001",
            "::1",
            "[::1",
            "[::1].evil.test",
            "[evil.test]",
            "user@localhost",
            "localhost/",
            "localhost localhost",
            "plant",
            ".local",
        ] {
            assert!(!names.allow(host), "{host}");
        }
        assert!(!Names::new("", &[]).allow(".local"));
        assert!(!names.allow(&"a".repeat(LONGEST + 1)));
    }

    #[test]
    fn an_origin_is_the_requests_own_or_another() {
        for (origin, https, host) in [
            ("http://localhost:8787", false, "localhost:8787"),
            ("http://LINE-3", false, "line-3:80"),
            ("https://line-3", true, "line-3:443"),
            ("https://line-3:444", true, "line-3:444"),
            ("http://[::1]:8787", false, "[::1]:8787"),
        ] {
            assert!(is_same_origin(origin, https, host), "{origin} {host}");
        }
        for (origin, https, host) in [
            ("null", false, "localhost"),
            ("", false, "localhost"),
            ("http://localhost:8788", false, "localhost:8787"),
            ("http://127.0.0.1:8787", false, "localhost:8787"),
            ("https://localhost", false, "localhost"),
            ("http://localhost", true, "localhost"),
            ("http://localhost.evil.test", false, "localhost"),
            ("http://localhost/", false, "localhost"),
            ("ftp://localhost", false, "localhost"),
            ("http://é", false, "localhost"),
        ] {
            assert!(!is_same_origin(origin, https, host), "{origin} {host}");
        }
    }
}
