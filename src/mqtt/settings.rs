//! What the link needs to know, checked.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::wire::Base;

/// Everything about the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the broker is.
    pub broker: BrokerUrl,
    /// What all topics begin with; the client id follows from it.
    pub base: Base,
    /// Who we are; `None` connects without a name.
    pub credentials: Option<Credentials>,
    /// For `mqtts://`; without effect otherwise.
    pub tls: Tls,
    /// The longest packet that is sent or read, in bytes.
    pub max_packet_bytes: usize,
    /// When to try again.
    pub retry: Retry,
    /// How long a broker is waited for.
    pub patience: Patience,
    /// The highest `seq` of former starts: messages up to it go out as replayed.
    pub boot_seq: u64,
}

/// A user of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name.
    pub username: String,
    /// Read at every connect; white space at its end does not count. `None` sends no password.
    pub password_file: Option<PathBuf>,
}

/// How the broker proves itself to us, and we to it. All files are PEM and read at every connect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Who may have signed the broker's certificate; `None` takes the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate.
    pub client: Option<ClientCertificate>,
}

/// A client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, then those that lead to the authority.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// Waiting between attempts: doubled from `min` to `max`, each shortened by up to half at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// After the first failure.
    pub min: Duration,
    /// At most.
    pub max: Duration,
    /// Of the randomness, so that a fleet does not come back all at once.
    pub seed: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_mins(1), seed: 0 }
    }
}

/// How long a broker may be silent until the link is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From looking up the name to the answer to CONNECT, and for one write to go through; whole seconds.
    pub connect: Duration,
    /// Without any acknowledgement while some are due: the client can wedge, and so can a broker.
    pub stalled: Duration,
    /// Between pings, at least 1 s; a dead link is noticed after at most twice this.
    pub keep_alive: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), stalled: Duration::from_mins(1), keep_alive: Duration::from_secs(30) }
    }
}

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

/// What is wrong with a broker's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT], found {found:?}: {why}")]
pub struct BadBrokerUrl {
    /// The text, cut to 80 characters.
    pub found: String,
    /// In words.
    pub why: &'static str,
}

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;

    fn from_str(text: &str) -> Result<Self, BadBrokerUrl> {
        let bad = |why| BadBrokerUrl { found: text.chars().take(80).collect(), why };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(bad("the scheme is another one")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(bad("user and password do not belong here, but to mqtt.username and mqtt.password_file"));
        }
        let (host, port) = match authority.rfind(':') {
            Some(at) if !authority[at..].contains(']') => {
                let port = authority[at + 1..].parse::<u16>().ok().filter(|port| *port != 0);
                (&authority[..at], port.ok_or_else(|| bad("the port is no number from 1 to 65535"))?)
            }
            _ => (authority, if tls { 8883 } else { 1883 }),
        };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match address {
            Some(_) if tls => return Err(bad("TLS needs a name or an IPv4 address")),
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_err() => {
                return Err(bad("what stands in brackets is no IPv6 address"));
            }
            None if host.is_empty() => return Err(bad("it names no host")),
            None if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) => {
                return Err(bad("the host has a character that no name has"));
            }
            _ => {}
        }
        Ok(Self { host: host.to_owned(), port, tls })
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
            ("mqtt://", "no host"),
            ("mqtt://:1883", "no host"),
            ("mqtt://h:0", "port"),
            ("mqtt://h:65536", "port"),
            ("mqtt://h:", "port"),
            ("mqtt://me:secret@h", "password_file"),
            ("mqtt://a/b", "character"),
            ("mqtt://::1", "character"),
            ("mqtt://[zz]", "IPv6"),
            ("mqtts://[::1]", "TLS"),
        ] {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }
}
