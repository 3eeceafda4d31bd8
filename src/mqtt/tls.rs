//! The TLS client configuration from PEM files.

use std::path::Path;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

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
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            format!("TLS cannot be set up: {error}; check mqtt.ca_file, mqtt.cert_file and mqtt.key_file")
        })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(tls.ca_file.as_deref(), provider)?));
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

/// Checks the broker's certificate as usual; one that is given as `mqtt.ca_file` itself is taken as well, though an
/// authority's own certificate is not for a server by the rules: `openssl req -x509` makes such certificates, and they
/// are no less known to us.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(ca_file: Option<&Path>, provider: Arc<rustls::crypto::CryptoProvider>) -> Result<Self, String> {
        let given = ca_file.map(|path| certificates(path, "mqtt.ca_file")).transpose()?.unwrap_or_default();
        let roots = Arc::new(roots(ca_file, given.clone())?);
        let usual = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let usual = usual.map_err(|error| format!("TLS cannot be set up: {error}; check mqtt.ca_file"))?;
        Ok(Self { usual, given })
    }

    /// Checks name and dates of a certificate that was given itself.
    fn check_given(
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        let (not_before, not_after) = validity(certificate).ok_or(CertificateError::BadEncoding)?;
        if now < not_before {
            return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
        }
        if now > not_after {
            return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
        }
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if checked.is_err() && self.given.iter().any(|given| given == end_entity) {
            return Self::check_given(end_entity, server_name, now).or(checked);
        }
        checked
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// From when to when a certificate is valid (RFC 5280, 4.1); `None` where it is not a certificate.
fn validity(certificate: &[u8]) -> Option<(UnixTime, UnixTime)> {
    const SEQUENCE: u8 = 0x30;
    let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    // Version, where it is not the first; then serial number, algorithm and issuer.
    let is_versioned = rest.first() == Some(&0xa0);
    for _ in 0..3 + usize::from(is_versioned) {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (tag, not_before, rest) = element(validity)?;
    let (end_tag, not_after, _) = element(rest)?;
    Some((time(tag, not_before)?, time(end_tag, not_after)?))
}

/// The first element of DER: its tag, its contents, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (bytes, rest) =
                rest.split_at_checked(usize::from(long & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

/// `UTCTime` or `GeneralizedTime`.
fn time(tag: u8, text: &[u8]) -> Option<UnixTime> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // Two digits of a year from 1950 to 2049.
        0x17 => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        0x18 => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    let seconds = Offset::UTC.to_timestamp(time).ok()?.as_second();
    Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

fn roots(ca_file: Option<&Path>, given: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    let certificates = if ca_file.is_some() { given } else { rustls_native_certs::load_native_certs().certs };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    match (roots.is_empty(), ca_file) {
        (false, _) => Ok(roots),
        (true, Some(path)) => Err(format!(
            "no certificate in {} can be used, perhaps since it is of X.509 version 1; correct mqtt.ca_file",
            path.display()
        )),
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
