//! The checked settings of the link.

use std::path::PathBuf;
use std::time::Duration;

use crate::wire::Base;
use crate::words::{BrokerUrl, SourceId, TopicFilter};

/// Everything about the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the broker is.
    pub broker: BrokerUrl,
    /// What all topics begin with.
    pub base: Base,
    /// Names this client at the broker, which lets only one with a name in.
    pub client_id: String,
    /// Whether Home Assistant is listened to.
    pub home_assistant: bool,
    /// The topics on which frames of sources come; no two overlap, and none reaches below the base.
    pub frames: Vec<(SourceId, TopicFilter)>,
    /// Who we are; `None` connects without a name.
    pub credentials: Option<Credentials>,
    /// For `mqtts://`; without effect otherwise.
    pub tls: Tls,
    /// The longest packet that is sent or read, in bytes.
    pub max_packet_bytes: usize,
    /// When to connect again.
    pub retry: Retry,
    /// How long the broker may be silent.
    pub timeouts: Timeouts,
    /// The highest `seq` of former starts: messages up to it are sent as replayed.
    pub boot_seq: u64,
}

impl Settings {
    /// Filters under which everything inbound comes, the frames of sources last.
    pub(super) fn subscriptions(&self) -> Vec<String> {
        let own = self.base.subscriptions(self.home_assistant);
        own.into_iter().chain(self.frames.iter().map(|(_, filter)| filter.to_string())).collect()
    }

    /// Whether frames come under `filter`: these may be lost, so they are asked for with `QoS` 0.
    pub(super) fn is_of_frames(&self, filter: &str) -> bool {
        self.frames.iter().any(|(_, frames)| frames.as_str() == filter)
    }

    /// The source whose frames come on `topic`.
    pub(super) fn source_of(&self, topic: &str) -> Option<&SourceId> {
        self.frames.iter().find(|(_, filter)| filter.matches(topic)).map(|(source, _)| source)
    }
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

/// How long the broker may be silent before the connection is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the name look-up to the answer to CONNECT, and for one write; whole seconds.
    pub connect: Duration,
    /// Without any acknowledgement while some are due: the client can wedge, and so can a broker.
    pub stalled: Duration,
    /// Between pings, at least 1 s; a dead link is noticed after at most twice this.
    pub keep_alive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), stalled: Duration::from_mins(1), keep_alive: Duration::from_secs(30) }
    }
}
