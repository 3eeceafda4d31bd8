//! Who may do what over TCP: one decision over plain values, for every route and method. [`super::gate`] carries it out.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde_json::json;

use super::hosts::{LONGEST, Names, is_same_origin};
use super::page::is_for_login;
use super::routes::IMAGE;
use super::sessions::cookie_value;

/// Signing in.
pub(super) const LOGIN: &str = "/login";

/// What a request says of itself; values of headers in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// The host within the request's target, where it names one.
    pub target_host: Option<&'a str>,
    pub hosts: Vec<&'a str>,
    /// The host that a trusted proxy says the client named.
    pub forwarded_host: Option<&'a str>,
    /// Whether the client uses TLS.
    pub https: bool,
    pub origins: Vec<&'a str>,
    pub authorizations: Vec<&'a [u8]>,
    pub cookies: Vec<&'a str>,
    pub content_types: Vec<&'a str>,
    /// Whether too many wrong tokens came from its address.
    pub is_held: bool,
}

/// What holds at this door.
pub(super) struct Rules<'a> {
    pub names: &'a Names,
    /// The cookie of a session.
    pub cookie: &'a str,
    /// Whether a token is needed; without, the door is on loopback.
    pub is_guarded: bool,
    /// Whether this is the token.
    pub is_token: &'a dyn Fn(&[u8]) -> bool,
    /// Whether a session has this value.
    pub is_session: &'a dyn Fn(&str) -> bool,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// To the form, as people at the front page expect.
    SignIn,
    Refuse(Refusal),
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is none, or more than one.
    Hosts,
    Host(String),
    Method,
    Origin,
    NoOrigin,
    /// It has no token and no session.
    NoToken,
    WrongToken,
    /// The same for whoever asks, but later.
    Held,
    ContentType(&'static str),
}

/// What identifies the client.
#[derive(PartialEq, Eq)]
enum Credential {
    None,
    Session,
    Token,
}

/// The verdict on a request.
pub(super) fn decide(asked: &Asked<'_>, rules: &Rules<'_>) -> Verdict {
    judge(asked, rules).unwrap_or_else(Verdict::Refuse)
}

fn judge(asked: &Asked<'_>, rules: &Rules<'_>) -> Result<Verdict, Refusal> {
    let host = host(asked, rules.names)?;
    if !matches!(asked.method, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE") {
        return Err(Refusal::Method);
    }
    let writes = !matches!(asked.method, "GET" | "HEAD");
    match asked.origins[..] {
        [origin] if writes && !is_same_origin(origin, asked.https, host) => return Err(Refusal::Origin),
        [_, _, ..] => return Err(Refusal::Origin),
        _ => {}
    }
    let credential = if rules.is_guarded { credential(asked, rules)? } else { Credential::None };
    let is_public = matches!(asked.path, "/healthz" | "/readyz" | LOGIN) || is_for_login(asked.path);
    if rules.is_guarded && credential == Credential::None && !is_public {
        return if asked.path == "/" && !writes { Ok(Verdict::SignIn) } else { Err(Refusal::NoToken) };
    }
    if writes {
        if asked.origins.is_empty() && rules.is_guarded && credential != Credential::Token {
            return Err(Refusal::NoOrigin);
        }
        content_type(asked)?;
    }
    Ok(Verdict::Pass)
}

/// The host that the client named, which must be this device.
fn host<'a>(asked: &Asked<'a>, names: &Names) -> Result<&'a str, Refusal> {
    let [direct] = asked.hosts[..] else { return Err(Refusal::Hosts) };
    if asked.target_host.is_some_and(|target| !target.eq_ignore_ascii_case(direct)) {
        return Err(Refusal::Hosts);
    }
    let host = asked.forwarded_host.unwrap_or(direct);
    if names.allow(host) { Ok(host) } else { Err(Refusal::Host(host.chars().take(LONGEST).collect())) }
}

/// A token that is there must be right, whatever else is.
fn credential(asked: &Asked<'_>, rules: &Rules<'_>) -> Result<Credential, Refusal> {
    match asked.authorizations[..] {
        [] => {}
        _ if asked.is_held => return Err(Refusal::Held),
        [authorization] => {
            let token = bearer(authorization).filter(|token| (rules.is_token)(token));
            return token.map(|_| Credential::Token).ok_or(Refusal::WrongToken);
        }
        _ => return Err(Refusal::WrongToken),
    }
    let values = asked.cookies.iter().flat_map(|cookies| cookie_value(cookies, rules.cookie));
    let is_session = values.into_iter().any(rules.is_session);
    Ok(if is_session { Credential::Session } else { Credential::None })
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// No page of another site can send these types without asking first, which OPTIONS denies.
fn content_type(asked: &Asked<'_>) -> Result<(), Refusal> {
    let essence = match asked.content_types[..] {
        [text] => text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase(),
        _ => String::new(),
    };
    let (is_right, expected) = match asked.path {
        LOGIN => (essence == "application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        IMAGE => {
            let is_picture = essence == "application/octet-stream" || essence.starts_with("image/");
            (is_picture, "application/octet-stream, or the picture's own, such as image/jpeg")
        }
        _ => (essence == "application/json", "application/json"),
    };
    if is_right { Ok(()) } else { Err(Refusal::ContentType(expected)) }
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Hosts | Self::Host(_) | Self::Origin | Self::NoOrigin => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::Held => StatusCode::TOO_MANY_REQUESTS,
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    /// The body of the answer. Whoever tries tokens learns from it neither how wrong one was nor whether it was looked at.
    pub fn body(&self) -> Vec<u8> {
        let message: Cow<'static, str> = match self {
            Self::Hosts => "the request must name one host; send one 'Host' header".into(),
            Self::Host(host) => format!("host {host:?} is not allowed: add it to http.allowed_hosts").into(),
            Self::Method => "this method is not offered, and other sites cannot use this API; use GET or POST".into(),
            Self::Origin => "the request comes from another site; open this device's own address. Behind a proxy, pass on \
                             'Host' with its port, and X-Forwarded-Proto, and set http.trusted_proxies"
                .into(),
            Self::NoOrigin => "the request has no 'Origin'; send the token as 'Authorization: Bearer', or the address of \
                               this device as 'Origin'"
                .into(),
            Self::NoToken | Self::WrongToken | Self::Held => {
                "the token of http.token_file is needed; send it as 'Authorization: Bearer', or sign in at 'login'. After \
                 5 wrong ones none is looked at for a minute"
                    .into()
            }
            Self::ContentType(expected) => format!("the body has another type; send 'Content-Type: {expected}'").into(),
        };
        let code = match self.status() {
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => "unauthorized",
            _ => "bad_request",
        };
        json!({ "status": "error", "error": { "code": code, "message": message } }).to_string().into_bytes()
    }
}

#[cfg(test)]
#[path = "authorisation_tests.rs"]
mod tests;
