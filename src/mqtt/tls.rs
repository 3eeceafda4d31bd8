//! The TLS client configuration from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::settings::{ClientCertificate, Tls};

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
