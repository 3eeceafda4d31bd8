//! The way to the running daemon: HTTP over its Unix socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::cli::failure::Failure;
use crate::config::Config;
use crate::http::{self, PREFIX, Reachable, WATCH};
use crate::wire::{Answer, Payload};

/// Longer than the daemon takes for any answer.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a list of samples takes is far below.
const ANSWER_BYTES: usize = 64 << 20;

/// A way to the daemon of one configuration.
pub struct Client {
    runtime: Runtime,
    path: PathBuf,
}

impl Client {
    pub fn new(config: &Config) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
        let path = http::path(std::env::var_os("RUNTIME_DIRECTORY").as_deref(), &config.store.path);
        Ok(Self { runtime, path })
    }

    /// What the daemon answers to a request.
    pub fn ask(&self, name: &str, arguments: Map<String, Value>) -> Result<Answer, Failure> {
        let transaction = arguments.get("transaction").cloned();
        let lost = |why: String| {
            let again = match &transaction {
                Some(Value::String(word)) => format!("repeat it with --transaction {word}, which has no second effect"),
                _ => "ask again".into(),
            };
            Failure::unavailable(format!("the daemon at {} gave no answer ({why}); {again}", self.path.display()))
        };
        self.exchange(Method::POST, &format!("{PREFIX}{name}"), Value::Object(arguments).to_string(), lost)
    }

    /// What the daemon answers to a `GET` of this path.
    pub fn read(&self, path: &str) -> Result<Answer, Failure> {
        let lost = |why: String| {
            Failure::unavailable(format!("the daemon at {} gave no answer ({why}); ask again", self.path.display()))
        };
        self.exchange(Method::GET, path, String::new(), lost)
    }

    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: String,
        lost: impl Fn(String) -> Failure,
    ) -> Result<Answer, Failure> {
        self.runtime.block_on(async {
            let stream = self.connect().await?;
            let answered = async {
                let response = send(stream, method, path, body).await?;
                let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
                body.map_err(|error| error.to_string()).map(http_body_util::Collected::to_bytes)
            };
            let answered = timeout(PATIENCE, answered).await.unwrap_or_else(|_| Err("it takes too long".into()));
            let bytes = answered.map_err(&lost)?;
            Answer::decode(&bytes).map_err(|error| lost(error.to_string()))
        })
    }

    /// What the daemon answers to `GET` at this path, with its query: the body of an answer that is no refusal.
    pub fn get(&self, path: &str) -> Result<Bytes, Failure> {
        if !path.starts_with('/') || path.parse::<hyper::Uri>().is_err() {
            return Err(Failure::usage(format!("{path:?} is no path of the daemon; write one such as /healthz")));
        }
        let lost = |why: String| {
            Failure::unavailable(format!("the daemon at {} gave no answer ({why}); ask again", self.path.display()))
        };
        self.runtime.block_on(async {
            let stream = self.connect().await?;
            let answered = async {
                let response = send(stream, Method::GET, path, String::new()).await?;
                let status = response.status();
                let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
                body.map(|body| (status, body.to_bytes())).map_err(|error| error.to_string())
            };
            let answered = timeout(PATIENCE, answered).await.unwrap_or_else(|_| Err("it takes too long".into()));
            let (status, body) = answered.map_err(lost)?;
            if status.is_success() {
                return Ok(body);
            }
            let why = match Answer::decode(&body) {
                Ok(Answer::Error { error }) => error.message,
                _ => String::from_utf8_lossy(&body).trim_end().to_owned(),
            };
            Err(Failure::failed(format!("GET {path} is answered with {}: {why}", status.as_u16())))
        })
    }

    /// Calls `take` with each message of the daemon, or the number of those that were missed, until the stream ends or `take`
    /// fails.
    pub fn watch(&self, mut take: impl FnMut(Frame<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let stream = self.connect().await?;
            let mut response = send(stream, Method::GET, WATCH, String::new()).await.map_err(Failure::unavailable)?;
            if !response.status().is_success() {
                let body = response.into_body().collect().await.map_err(Failure::unavailable)?.to_bytes();
                let refused = Answer::decode(&body).map_err(Failure::unavailable)?;
                return super::data(refused).map(|_| ());
            }
            let mut events = Events::default();
            // The end of the daemon is the end of the stream, clean or not.
            while let Some(Ok(frame)) = response.frame().await {
                let Ok(bytes) = frame.into_data() else { continue };
                events.read(&bytes, &mut take)?;
            }
            Ok(())
        })
    }

    async fn connect(&self) -> Result<UnixStream, Failure> {
        let shown = self.path.display();
        let connected = match Reachable::new(&self.path) {
            Ok(reachable) => UnixStream::connect(reachable.path()).await,
            Err(error) => Err(error),
        };
        connected.map_err(|error| {
            Failure::unavailable(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                    "no daemon answers at {shown}; start it with 'edgetuned run', or name its configuration with \
                     --config"
                ),
                io::ErrorKind::PermissionDenied => {
                    format!(
                        "the socket {shown} is not accessible to this user; join its group, or run the command as its \
                         owner"
                    )
                }
                _ => format!(
                    "cannot connect to {shown}: {error}; check that the daemon is running ('systemctl status \
                     edgetuned')"
                ),
            })
        })
    }
}

async fn send(stream: UnixStream, method: Method, path: &str, body: String) -> Result<Response<Incoming>, String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    // It ends with the response, and what it ended on shows there.
    drop(tokio::spawn(connection));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    sender.send_request(request).await.map_err(text)
}

/// A message of the watch.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message: `{"topic": …, "payload": …}`.
    Message(&'a str),
    /// The number of messages that were missed.
    Skipped(&'a str),
}

/// Server-sent events out of pieces of bytes.
#[derive(Debug, Default)]
struct Events {
    rest: Vec<u8>,
    skipped: bool,
}

impl Events {
    fn read(&mut self, bytes: &[u8], take: &mut impl FnMut(Frame<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            if let Some(data) = line.strip_prefix("data: ") {
                take(if self.skipped { Frame::Skipped(data) } else { Frame::Message(data) })?;
            } else {
                self.skipped = line == "event: skipped";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let stream = b": keep-alive\n\ndata: {\"a\":1}\n\nevent: skipped\ndata: 7\n\ndata: {\"b\":2}\n\n";
        for cut in 1..stream.len() {
            let (mut events, mut heard) = (Events::default(), Vec::new());
            let mut take = |frame: Frame<'_>| {
                heard.push(format!("{frame:?}"));
                Ok(())
            };
            for piece in stream.chunks(cut) {
                events.read(piece, &mut take).unwrap();
            }
            assert_eq!(
                heard,
                [r#"Message("{\"a\":1}")"#, r#"Skipped("7")"#, r#"Message("{\"b\":2}")"#],
                "cut at {cut}"
            );
        }
    }
}
