//! One picture from one camera over HTTP: a GET with bounds on time, length and redirects, without cookies.
//!
//! What the camera said of the picture before (`ETag`, `Last-Modified`) is sent back to it, so that it can answer 304. A
//! query may hold a password, so it is in no message.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::http::{HeaderMap, StatusCode, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, Timeout};

use super::frame;
use crate::words::{Access, on_one_line};

/// Redirects that are followed for one picture.
const REDIRECTS: u32 = 3;

/// From the name look-up to the connection, encryption included, at most.
const CONNECT: Duration = Duration::from_secs(5);

/// The longest head of an answer.
const HEAD_BYTES: usize = 16 << 10;

/// How a camera is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `http://` or `https://`, without a user.
    pub url: String,
    /// For the whole exchange, redirects and body included.
    pub timeout: Duration,
    /// Who we are; the files are read for each request, and white space at their ends does not count.
    pub access: Option<Access>,
    /// Who may have signed the camera's certificate; `None` takes the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// The most bytes of a picture.
    pub max_bytes: usize,
}

/// What a camera answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fetched {
    /// A picture, perhaps not a whole one.
    Picture(Vec<u8>),
    /// The picture is the one before, in the camera's own words.
    Unchanged,
}

/// Asks one camera, again and again, over one connection where the camera keeps it.
pub(super) struct Fetcher {
    request: Request,
    /// The address as messages name it.
    place: String,
    /// Made for the first request, and anew where its files could not be used.
    agent: Option<Agent>,
    /// What the camera said of its last picture.
    entity_tag: Option<Vec<u8>>,
    last_modified: Option<Vec<u8>>,
}

impl Fetcher {
    pub(super) fn new(request: Request) -> Self {
        let place = place(&request.url);
        Self { request, place, agent: None, entity_tag: None, last_modified: None }
    }

    /// The camera's present picture.
    ///
    /// # Errors
    /// Why there is none, with the next act.
    pub(super) fn fetch(&mut self) -> Result<Fetched, String> {
        let place = self.place.clone();
        self.ask().map_err(|reason| format!("no picture from {place}: {reason}"))
    }

    fn ask(&mut self) -> Result<Fetched, String> {
        let authorization = self.request.access.as_ref().map(authorization).transpose()?;
        let agent = match &self.agent {
            Some(agent) => agent,
            None => self.agent.insert(agent(&self.request)?),
        };
        let mut call = agent.get(&self.request.url);
        for (name, value) in [
            (header::AUTHORIZATION, authorization.map(String::into_bytes)),
            (header::IF_NONE_MATCH, self.entity_tag.clone()),
            (header::IF_MODIFIED_SINCE, self.last_modified.clone()),
        ] {
            if let Some(value) = value {
                call = call.header(name, value);
            }
        }
        let answer = call.call().map_err(|error| self.describe(&error))?;
        let (head, body) = answer.into_parts();
        match head.status {
            StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
            status if status.is_success() => {}
            status => return Err(refusal(status, &head.headers)),
        }
        let picture = self.picture(&head.headers, body)?;
        // Only now: half of a picture must not pass for the one that the camera has.
        self.entity_tag = value(&head.headers, &header::ETAG);
        self.last_modified = value(&head.headers, &header::LAST_MODIFIED);
        Ok(Fetched::Picture(picture))
    }

    fn picture(&self, head: &HeaderMap, body: Body) -> Result<Vec<u8>, String> {
        let limit = self.request.max_bytes;
        let too_large =
            |bytes: &str| format!("the answer has {bytes} bytes, at most {limit} are read; ask for a smaller picture");
        let stated = body.content_length();
        if let Some(bytes) = stated.filter(|bytes| *bytes > limit as u64) {
            return Err(too_large(&bytes.to_string()));
        }
        // What a server states is room that it could make us take.
        let mut bytes = Vec::with_capacity(stated.map_or(0, |bytes| bytes as usize).min(1 << 20));
        let mut reader = body.into_with_config().limit(limit as u64 + 1).reader();
        reader.by_ref().take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
            let got = bytes.len();
            match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
                Some(ureq::Error::Timeout(_)) => {
                    format!("{got} bytes came within {:?}; raise the source's timeout", self.request.timeout)
                }
                _ => format!("the answer broke off after {got} bytes: {}", on_one_line(&error.to_string())),
            }
        })?;
        if bytes.len() > limit {
            return Err(too_large(&format!("more than {limit}")));
        }
        bytes.shrink_to_fit();
        frame::picture(bytes, limit).map_err(|bad| {
            let kind = head.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
            format!("it answered {}, and {bad}", on_one_line(kind))
        })
    }

    fn describe(&self, error: &ureq::Error) -> String {
        let timeout = self.request.timeout;
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                format!("no connection within {:?}; check its address and whether it is on", timeout.min(CONNECT))
            }
            ureq::Error::Timeout(_) => format!("no answer within {timeout:?}; raise the source's timeout"),
            ureq::Error::TooManyRedirects => {
                format!("it leads on more than {REDIRECTS} times; use the address that it leads to")
            }
            ureq::Error::HostNotFound => "its name has no address; correct the source's http".to_owned(),
            ureq::Error::LargeResponseHeader(..) => {
                format!("the head of its answer has more than {HEAD_BYTES} bytes; is it a camera?")
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                "nobody listens there; check its address and whether it is on".to_owned()
            }
            error => format!("{}; check the source's http", on_one_line(&error.to_string())),
        }
    }
}

/// The client for one camera.
fn agent(request: &Request) -> Result<Agent, String> {
    let encrypted = request.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .https_only(encrypted)
        .proxy(None)
        .max_redirects(REDIRECTS)
        .max_redirects_will_error(true)
        .timeout_global(Some(request.timeout))
        .timeout_connect(Some(request.timeout.min(CONNECT)))
        .max_response_header_size(HEAD_BYTES)
        .input_buffer_size(HEAD_BYTES)
        .output_buffer_size(4 << 10)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .user_agent(concat!("edgetuned/", env!("CARGO_PKG_VERSION")))
        .accept("image/jpeg, image/png, image/*;q=0.8")
        .accept_encoding("identity");
    if encrypted {
        config = config.tls_config(tls(request.ca_file.as_deref())?);
    }
    Ok(config.build().new_agent())
}

fn tls(ca_file: Option<&Path>) -> Result<TlsConfig, String> {
    let authorities: Vec<CertificateDer<'static>> = match ca_file {
        None => rustls_native_certs::load_native_certs().certs,
        Some(path) => {
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<_, _>>).map_err(|error| {
                format!("cannot read certificates from {}: {error}; correct the source's ca_file", path.display())
            })?
        }
    };
    if authorities.is_empty() {
        return Err(ca_file.map_or_else(
            || "the system has no certificate authorities; install ca-certificates, or set ca_file".to_owned(),
            |path| format!("{} contains no certificate in PEM form; correct the source's ca_file", path.display()),
        ));
    }
    let roots: Vec<_> = authorities.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots))
        .build())
}

fn authorization(access: &Access) -> Result<String, String> {
    let read = |path: &Path, key: &str| {
        let text = std::fs::read_to_string(path);
        text.map_err(|error| format!("cannot read {}: {error}; correct the source's {key}", path.display()))
    };
    match access {
        Access::Basic { username, password_file } => {
            let password = password_file.as_deref().map(|path| read(path, "password_file")).transpose()?;
            let password = password.as_deref().unwrap_or_default().trim_end();
            Ok(format!("Basic {}", Base64::encode_string(format!("{username}:{password}").as_bytes())))
        }
        Access::Bearer { token_file } => Ok(format!("Bearer {}", read(token_file, "token_file")?.trim_end())),
    }
}

/// Why another status than success is no picture.
fn refusal(status: StatusCode, head: &HeaderMap) -> String {
    let asks = |scheme: &str| {
        let asked = head.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        asked.filter_map(|value| value.get(..scheme.len())).any(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    let act = match status {
        StatusCode::UNAUTHORIZED if asks("digest") && !asks("basic") => {
            "it wants Digest authentication, which is not spoken here; have go2rtc read the camera, or allow Basic"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "check the source's username and password_file, or token_file"
        }
        StatusCode::NOT_FOUND => "check the path of the source's http",
        status if status.is_server_error() => "the camera has a fault, or nothing to show yet",
        _ => "check the source's http",
    };
    format!("it answered {status}; {act}")
}

fn value(head: &HeaderMap, name: &header::HeaderName) -> Option<Vec<u8>> {
    head.get(name).map(|value| value.as_bytes().to_vec())
}

/// Host and path; neither user nor query.
fn place(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return "its address".to_owned() };
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{host}{}", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_without_its_secrets() {
        for (url, expected) in [
            ("http://10.0.0.7/snap.cgi?user=admin&pwd=secret", "10.0.0.7/snap.cgi"),
            ("https://admin:secret@cam.lan:8443/a/b.jpg", "cam.lan:8443/a/b.jpg"),
            ("http://cam", "cam/"),
            ("not an address", "its address"),
        ] {
            assert_eq!(place(url), expected);
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let basic = Access::Basic { username: "u".into(), password_file: Some(gone.clone()) };
        assert!(authorization(&basic).unwrap_err().contains("password_file"));
        assert!(authorization(&Access::Bearer { token_file: gone.clone() }).unwrap_err().contains("token_file"));
        assert!(tls(Some(&gone)).unwrap_err().contains("ca_file"));
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        assert!(tls(Some(&empty)).unwrap_err().contains("no certificate"));
    }
}
