//! Signing in with a form without any script, and out.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use tokio::time::timeout;

use super::authorisation::LOGIN;
use super::forwarded::Visit;
use super::gate::{Gate, SignIn, with_hints};
use super::page;
use super::routes::{BODY, refuse};
use super::sessions::LONGEST;
use crate::wire::ErrorCode;

/// Bytes of the form.
const FORM_BYTES: usize = 4 << 10;

/// The routes that only a door has.
pub(super) fn routes(gate: Arc<Gate>) -> axum::Router {
    axum::Router::new().route(LOGIN, get(form).post(sign_in)).route("/logout", post(sign_out)).with_state(gate)
}

/// The form. Its own referrer policy lets the browser say where it comes from: under `no-referrer`, which every answer has,
/// the browser sends `Origin: null`, which is refused.
fn filled(device: &str, complaint: &str) -> Html<String> {
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"referrer\" content=\"same-origin\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>edgetuned: sign in</title>\n\
         <link rel=\"stylesheet\" href=\"{}\">\n</head>\n<body>\n<main class=\"login\">\n<h1>edgetuned: {device}</h1>\n{complaint}<form method=\"post\" action=\"login\">\n\
         <p><label for=\"token\">Token, as in http.token_file of this device</label></p>\n\
         <p><input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus></p>\n\
         <p><button class=\"primary\">Sign in</button></p>\n</form>\n</main>\n</body>\n</html>\n",
        page::style()
    ))
}

async fn form(State(gate): State<Arc<Gate>>) -> Html<String> {
    filled(gate.device(), "")
}

async fn sign_in(State(gate): State<Arc<Gate>>, request: Request<Body>) -> Response {
    let visit = request.extensions().get::<Visit>().cloned();
    let Ok(Ok(body)) = timeout(BODY, to_bytes(request.into_body(), FORM_BYTES)).await else {
        let message = "the form cannot be read; send the field 'token' alone";
        return refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message);
    };
    let (Some(visit), Some(token)) = (visit, field(&body, "token")) else {
        let message = "the form has no field 'token'; send it";
        return refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message);
    };
    match gate.sign_in(&visit, &token).await {
        SignIn::Needless => Redirect::to("./").into_response(),
        SignIn::Session(value) => {
            let secure = if visit.https { "; Secure" } else { "" };
            let cookie = format!(
                "{}={value}; Path={}/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
                gate.cookie(),
                visit.prefix,
                LONGEST.as_secs()
            );
            let mut answer = Redirect::to("./").into_response();
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                answer.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            answer
        }
        SignIn::Refused(refusal) => {
            let complaint = "<p role=\"alert\">This is not the token. After 5 wrong ones none is looked at for a \
                             minute.</p>\n";
            let mut answer = (refusal.status(), filled(gate.device(), complaint)).into_response();
            with_hints(&mut answer, &refusal);
            answer
        }
    }
}

async fn sign_out(State(gate): State<Arc<Gate>>, request: Request<Body>) -> Response {
    gate.sign_out(&request);
    let prefix = request.extensions().get::<Visit>().map_or("", |visit| &visit.prefix);
    let cookie = format!("{}=; Path={prefix}/; Max-Age=0; HttpOnly; SameSite=Strict", gate.cookie());
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

/// The value of a field of a form; `None` where there is none, or more than one.
fn field(form: &[u8], name: &str) -> Option<Vec<u8>> {
    let pairs = form.split(|byte| *byte == b'&').map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (&pair[..at], pair.get(at + 1..).unwrap_or_default())
    });
    let mut values = pairs.filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value);
    let value = values.next()?;
    if values.next().is_some() { None } else { decoded(value) }
}

/// Without what the form's type escapes.
fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = value.iter();
    let mut decoded = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [*bytes.next()?, *bytes.next()?];
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?
            }
            byte => *byte,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_of_a_form_is_read_as_it_was_typed() {
        for (form, value) in [
            ("token=abc", Some("abc")),
            ("x=1&token=a%2Bb+c%25&y", Some("a+b c%")),
            ("token=", Some("")),
            ("token", Some("")),
            ("token=a=b", Some("a=b")),
            ("token=a&token=b", None),
            ("token=%4", None),
            ("token=%zz", None),
            ("Token=a", None),
            ("", None),
        ] {
            assert_eq!(field(form.as_bytes(), "token").as_deref(), value.map(str::as_bytes), "{form}");
        }
    }
}
