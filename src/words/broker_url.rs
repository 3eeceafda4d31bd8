//! Where a broker is.

use core::net::Ipv6Addr;
use std::fmt;
use std::str::FromStr;

/// `mqtt://host[:port]` or `mqtts://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Name or address; an IPv6 address is in brackets.
    pub host: String,
    /// 1883, or 8883 with TLS, unless it was given.
    pub port: u16,
    /// Whether the link is encrypted.
    pub tls: bool,
}

/// Why a text is not a broker's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT], found {found:?}: {why}")]
pub struct BadBrokerUrl {
    /// The text, cut to 80 characters, without a user and a password in it.
    pub found: String,
    /// What is wrong with it.
    pub why: &'static str,
    /// What to do, where that does not follow from the form above.
    pub remedy: Option<&'static str>,
}

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;

    fn from_str(text: &str) -> Result<Self, BadBrokerUrl> {
        let refused = |why, remedy| BadBrokerUrl { found: shown(text), why, remedy };
        let bad = |why| refused(why, None);
        if text.contains('@') {
            return Err(refused(
                "user and password belong in mqtt.username and mqtt.password_file",
                Some("move the name to mqtt.username and the password into mqtt.password_file"),
            ));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(bad("its scheme is unknown")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.rfind(':') {
            Some(at) if !authority[at..].contains(']') => {
                let port = authority[at + 1..].parse::<u16>().ok().filter(|port| *port != 0);
                let remedy = Some("write a port from 1 to 65535, or none");
                (&authority[..at], port.ok_or_else(|| refused("the port is not a number from 1 to 65535", remedy))?)
            }
            _ => (authority, if tls { 8883 } else { 1883 }),
        };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match address {
            Some(_) if tls => {
                let remedy = Some("write the broker's name or IPv4 address: TLS needs one");
                return Err(refused("TLS needs a name or an IPv4 address", remedy));
            }
            Some(address) if address.parse::<Ipv6Addr>().is_err() => {
                return Err(bad("the text in brackets is not an IPv6 address"));
            }
            None if host.is_empty() => return Err(bad("it has no host")),
            None if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) => {
                return Err(bad("the host has an invalid character"));
            }
            _ => {}
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

/// The start of `text`, without the part before an `@`: it may be a password, which no message repeats.
fn shown(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{}", host.chars().take(80).collect::<String>()),
        None => text.chars().take(80).collect(),
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.tls { "mqtts" } else { "mqtt" }, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_with_their_default_ports() {
        for (text, shown) in [
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtt://localhost/", "mqtt://localhost:1883"),
            ("mqtts://broker.example.org", "mqtts://broker.example.org:8883"),
            ("mqtt://10.0.0.7:11883", "mqtt://10.0.0.7:11883"),
            ("mqtt://h:1", "mqtt://h:1"),
            ("mqtt://h:65535", "mqtt://h:65535"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtt://[fe80::1]:1884", "mqtt://[fe80::1]:1884"),
        ] {
            assert_eq!(text.parse::<BrokerUrl>().map(|url| url.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn urls_that_cannot_be_meant_are_refused_with_the_reason() {
        for (text, why) in [
            ("localhost", "scheme"),
            ("tcp://localhost", "scheme"),
            ("MQTT://h", "scheme"),
            ("mqtt://", "no host"),
            ("mqtt://:1883", "no host"),
            ("mqtt://h:0", "port"),
            ("mqtt://h:65536", "port"),
            ("mqtt://h:", "port"),
            ("mqtt://me:secret@h", "password_file"),
            ("mqtt://a/b", "character"),
            ("mqtt://a b", "character"),
            ("mqtt://h//", "character"),
            ("mqtt://h?x=1", "character"),
            ("mqtt://h:1:2", "character"),
            ("mqtt://::1", "character"),
            ("mqtt://[zz]", "IPv6"),
            ("mqtt://[::1", "character"),
            ("mqtts://[::1]", "TLS"),
        ] {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let error = "mqtt://me:hun@ter2@h:1884".parse::<BrokerUrl>().unwrap_err();
        assert!(!error.to_string().contains("ter2") && error.to_string().contains("…@h:1884"), "{error}");
    }
}
