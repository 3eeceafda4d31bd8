//! The one layer around every route of the door: it collects what a request says, asks [`decide`], and carries out the
//! verdict. No route decides about access.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use futures_util::StreamExt as _;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, warn};

use super::authorisation::{Asked, Refusal, Rules, Verdict, decide};
use super::door::DoorSettings;
use super::forwarded::Visit;
use super::headers::secure;
use super::hosts::Names;
use super::routes::{BODY, IMAGE, json, refuse};
use super::sessions::{Sessions, cookie_name, cookie_value};
use super::token::{Throttle, Token};
use crate::image::Limits;
use crate::wire::{ErrorCode, MAX_INBOUND_BYTES};
use crate::words::{Digest, error_chain};

/// Bytes of a request's head.
pub(super) const HEAD_BYTES: usize = 16 << 10;
/// Of a body that is too long so much is read, so that its client comes to read the answer.
const DRAINED: u64 = 8 << 20;
/// How long the token's file may take to be read.
const READING: Duration = Duration::from_secs(2);

/// What guards one door.
pub(super) struct Gate {
    settings: DoorSettings,
    names: Names,
    cookie: String,
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
    /// Whether it was said that the token cannot be read, which any client could otherwise have said as often as it likes.
    complained: AtomicBool,
}

/// What came of a token that was sent with the form.
pub(super) enum SignIn {
    /// The value of the new session's cookie.
    Session(String),
    /// The token is wrong, or none is looked at now.
    Refused(Refusal),
    /// This door asks for no token.
    Needless,
}

impl Gate {
    pub fn new(settings: DoorSettings) -> Self {
        Self {
            names: Names::new(&settings.host_name, &settings.allowed_hosts),
            cookie: cookie_name(&settings.device),
            settings,
            sessions: Mutex::default(),
            throttle: Mutex::default(),
            complained: AtomicBool::default(),
        }
    }

    /// The answer to a request from `peer`: that of `serve` where it may pass.
    pub async fn answer<S: Future<Output = Response>>(
        &self,
        peer: IpAddr,
        mut request: Request<Body>,
        serve: impl FnOnce(Request<Body>) -> S,
    ) -> Response {
        let token = self.token().await;
        let headers = request.headers();
        let texts = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let visit = Visit::new(peer, &self.settings.trusted_proxies, texts);
        let verdict = self.verdict(&request, &visit, token);
        let is_ingress = visit.is_ingress;
        let mut answer = match verdict {
            Verdict::SignIn => Redirect::to("login").into_response(),
            Verdict::Refuse(refusal) => refused(&refusal),
            Verdict::Pass if head_bytes(&request) > HEAD_BYTES => {
                let message = format!("the head has more than {HEAD_BYTES} bytes; send shorter headers");
                refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ErrorCode::BadRequest, message)
            }
            Verdict::Pass if is_too_long(&request) => too_long(request).await,
            Verdict::Pass => {
                request.extensions_mut().insert(visit);
                unless_it_panics(serve(request)).await
            }
        };
        secure(&mut answer, is_ingress);
        answer
    }

    fn verdict(&self, request: &Request<Body>, visit: &Visit, token: Option<Token>) -> Verdict {
        let now = Instant::now();
        let headers = request.headers();
        // A value that is no text is none that is known.
        let texts = |name: HeaderName| -> Vec<&str> {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect()
        };
        let asked = Asked {
            method: request.method().as_str(),
            path: request.uri().path(),
            target_host: request.uri().authority().map(axum::http::uri::Authority::as_str),
            hosts: texts(header::HOST),
            forwarded_host: visit.host.as_deref(),
            https: visit.https,
            origins: texts(header::ORIGIN),
            authorizations: headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect(),
            cookies: texts(header::COOKIE),
            content_types: texts(header::CONTENT_TYPE),
            is_held: self.throttle().is_held(visit.address, now),
        };
        let rules = Rules {
            names: &self.names,
            cookie: &self.cookie,
            is_guarded: self.settings.token_file.is_some(),
            is_token: &|text| token.is_some_and(|token| token.is(text)),
            is_session: &|value| token.is_some_and(|token| self.sessions().is_open(value, &token, now)),
        };
        let verdict = decide(&asked, &rules);
        if verdict == Verdict::Refuse(Refusal::WrongToken) {
            self.throttle().note(visit.address, now);
        }
        verdict
    }

    /// The token as its file holds it now; `None` where it holds none, and then nobody gets in.
    async fn token(&self) -> Option<Token> {
        let path = self.settings.token_file.clone()?;
        let read = match timeout(READING, spawn_blocking(move || Token::read(&path))).await {
            Ok(Ok(read)) => read.map_err(|error| error_chain(&error)),
            _ => Err("http.token_file cannot be read in time; check the disk that it is on".to_owned()),
        };
        match read {
            Ok(token) => {
                self.complained.store(false, Ordering::Relaxed);
                Some(token)
            }
            Err(error) => {
                if !self.complained.swap(true, Ordering::Relaxed) {
                    warn!(error, "nobody gets in over HTTP");
                }
                None
            }
        }
    }

    /// Begins a session for whoever has the token.
    pub async fn sign_in(&self, visit: &Visit, text: &[u8]) -> SignIn {
        if self.settings.token_file.is_none() {
            return SignIn::Needless;
        }
        let token = self.token().await;
        let now = Instant::now();
        if self.throttle().is_held(visit.address, now) {
            return SignIn::Refused(Refusal::Held);
        }
        let Some(token) = token.filter(|token| token.is(text)) else {
            self.throttle().note(visit.address, now);
            return SignIn::Refused(Refusal::WrongToken);
        };
        let mut random = [0; 32];
        if let Err(error) = getrandom::fill(&mut random) {
            error!(%error, "the system gives no random numbers, so nobody can sign in");
            return SignIn::Refused(Refusal::WrongToken);
        }
        let value = Digest(random).to_string();
        self.sessions().begin(&value, token, now);
        SignIn::Session(value)
    }

    /// Ends the sessions that a request's cookies name.
    pub fn sign_out(&self, request: &Request<Body>) {
        let cookies = request.headers().get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut sessions = self.sessions();
        cookies.flat_map(|cookies| cookie_value(cookies, &self.cookie)).for_each(|value| sessions.end(value));
    }

    /// The name of the session's cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The name of this device.
    pub fn device(&self) -> &str {
        &self.settings.device
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(refusal: &Refusal) -> Response {
    let mut answer = json(refusal.status(), refusal.body());
    with_hints(&mut answer, refusal);
    answer
}

/// What a refusal says in headers, whatever its body is.
pub(super) fn with_hints(answer: &mut Response, refusal: &Refusal) {
    let hint = match refusal {
        Refusal::NoToken | Refusal::WrongToken => (header::WWW_AUTHENTICATE, "Bearer"),
        Refusal::Held => (header::RETRY_AFTER, "60"),
        Refusal::Method => (header::ALLOW, "GET, HEAD, POST"),
        _ => return,
    };
    answer.headers_mut().insert(hint.0, HeaderValue::from_static(hint.1));
}

/// Bytes of the request's target and headers as they came, about.
fn head_bytes(request: &Request<Body>) -> usize {
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    target + headers.sum::<usize>()
}

/// The longest body that the route takes.
fn longest(request: &Request<Body>) -> u64 {
    let bytes = if request.uri().path() == IMAGE { Limits::default().bytes } else { MAX_INBOUND_BYTES };
    bytes as u64
}

fn is_too_long(request: &Request<Body>) -> bool {
    request.body().size_hint().lower() > longest(request)
}

/// Refuses a body by the length that its head states.
async fn too_long(request: Request<Body>) -> Response {
    let limit = longest(&request);
    // Who waits to be asked for the body is told at once; others read no answer before they have sent it.
    if !request.headers().contains_key(header::EXPECT) {
        let mut body = request.into_body().into_data_stream();
        let drain = async {
            let mut drained = 0;
            while let Some(Ok(part)) = body.next().await {
                drained += part.len() as u64;
                if drained > DRAINED {
                    return;
                }
            }
        };
        // Whoever is slower has had its chance.
        let _ = timeout(BODY, drain).await;
    }
    let message = format!("the body has more than {limit} bytes; send it in parts");
    refuse(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BadRequest, message)
}

/// The answer that `serving` gives; a panic is an answer, too, and costs nobody else anything.
async fn unless_it_panics(serving: impl Future<Output = Response>) -> Response {
    let mut serving = pin!(serving);
    let answered = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(answer)) => Poll::Ready(Some(answer)),
        Err(_) => Poll::Ready(None),
    });
    answered.await.unwrap_or_else(|| {
        error!("answering a request over HTTP panicked; report this with the log");
        let message = "answering this failed within the daemon; its log says where, please report it";
        refuse(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Failed, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        Gate::new(DoorSettings {
            listen: "127.0.0.1:8787".parse().unwrap(),
            token_file: None,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            host_name: "line-3".into(),
            device: "line-3".into(),
        })
    }

    fn answer<S: Future<Output = Response>>(
        request: axum::http::request::Builder,
        serve: impl FnOnce(Request<Body>) -> S,
    ) -> Response {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let request = request.body(Body::empty()).unwrap();
        runtime.block_on(gate().answer("127.0.0.1".parse().unwrap(), request, serve))
    }

    #[test]
    fn a_panic_is_an_answer_with_all_headers() {
        let request = Request::get("/").header("host", "localhost");
        let answer = answer(request, |_| async { panic!("planted") });
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.headers().contains_key(header::CONTENT_SECURITY_POLICY));
    }

    #[test]
    fn what_is_refused_reaches_no_route() {
        let request = Request::get("/").header("host", "evil.test");
        let refused = answer(request, |_| async { unreachable!("it was refused") });
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        let long = Request::get("/").header("host", "localhost").header("x", "x".repeat(HEAD_BYTES));
        let refused = answer(long, |_| async { unreachable!("it is too long") });
        assert_eq!(refused.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
}
