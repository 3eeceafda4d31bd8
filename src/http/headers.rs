//! What every answer of the door tells the browser that gets it.

use axum::http::{HeaderValue, header};
use axum::response::Response;

/// Nothing but what this device serves itself; no script that text could become.
macro_rules! policy {
    ($ancestors:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; ",
            "form-action 'self'; base-uri 'none'; frame-ancestors ",
            $ancestors,
            "; require-trusted-types-for 'script'; trusted-types 'none'"
        )
    };
}

/// Adds the headers; under ingress the page stands in a frame of the same origin.
pub(super) fn secure(answer: &mut Response, is_ingress: bool) {
    let policy = if is_ingress { policy!("'self'") } else { policy!("'none'") };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // For browsers that know no `frame-ancestors`.
        (header::X_FRAME_OPTIONS, if is_ingress { "SAMEORIGIN" } else { "DENY" }),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // What never changes says so itself: a file of the page by its version, a picture by its digest.
    let is_kept = |value: &HeaderValue| value.as_bytes().ends_with(b"immutable");
    if !answer.headers().get(header::CACHE_CONTROL).is_some_and(is_kept) {
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
