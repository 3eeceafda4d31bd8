//! The checked settings of the link, and the TLS client configuration that follows from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::wire::Base;
use crate::words::BrokerUrl;

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
    /// When to connect again.
    pub retry: Retry,
    /// How long the broker may be silent.
    pub timeouts: Timeouts,
    /// The highest `seq` of former starts: messages up to it are sent as replayed.
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

/// Reads the files named in `tls` as a connection would.
///
/// # Errors
/// A message that names the wrong file and the remedy.
pub fn check(tls: &Tls) -> Result<(), String> {
    client_config(tls).map(drop)
}

/// Reads the files named in `tls` and builds a configuration for TLS 1.2 and 1.3.
///
/// # Errors
/// A message that names the wrong file and the remedy.
pub(super) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            format!("TLS cannot be set up: {error}; check mqtt.ca_file, mqtt.cert_file and mqtt.key_file")
        })?
        .with_root_certificates(roots(tls.ca_file.as_deref())?);
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate { cert_file, key_file }) => {
            let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| {
                format!("cannot read a private key from {}: {error}; correct mqtt.key_file", key_file.display())
            })?;
            builder.with_client_auth_cert(certificates(cert_file, "mqtt.cert_file")?, key).map_err(|error| {
                format!(
                    "certificate {} and key {} do not match: {error}; correct mqtt.cert_file or mqtt.key_file",
                    cert_file.display(),
                    key_file.display()
                )
            })?
        }
    };
    Ok(Arc::new(config))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let certificates = match ca_file {
        Some(path) => certificates(path, "mqtt.ca_file")?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    match (roots.is_empty(), ca_file) {
        (false, _) => Ok(roots),
        (true, Some(path)) => Err(format!("no certificate in {} can be used; correct mqtt.ca_file", path.display())),
        (true, None) => {
            Err("the system has no certificate authorities; install ca-certificates or set mqtt.ca_file".to_owned())
        }
    }
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("cannot read certificates from {}: {error}; correct {key}", path.display()))?;
    if certificates.is_empty() {
        return Err(format!("{} contains no certificate in PEM form; correct {key}", path.display()));
    }
    Ok(certificates)
}
