//! Requests at the door without a browser: what they weigh, and how long the server takes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A connection that stays open, as a browser's does.
pub struct Client {
    reader: BufReader<TcpStream>,
    port: u16,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Vec<u8>,
    /// From the first byte sent to the last one received.
    pub time: Duration,
}

impl Answer {
    /// The data of a request that succeeded.
    pub fn data(&self) -> Value {
        let mut answer: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(answer["status"], "ok", "{answer}");
        answer["data"].take()
    }
}

impl Client {
    pub fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(crate::daemon::PATIENCE)).unwrap();
        Self { reader: BufReader::new(stream), port }
    }

    /// Reads something; `more` are lines of the head.
    pub fn get(&mut self, path: &str, more: &[&str]) -> Answer {
        self.ask("GET", path, more, &[])
    }

    /// Has something done.
    pub fn post(&mut self, name: &str, body: &Value) -> Answer {
        self.ask("POST", &format!("/api/v1/{name}"), &["Content-Type: application/json"], body.to_string().as_bytes())
    }

    fn ask(&mut self, method: &str, path: &str, more: &[&str], body: &[u8]) -> Answer {
        let lines: String = more.iter().flat_map(|line| [line, "\r\n"]).collect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n{lines}\r\n",
            self.port,
            body.len()
        );
        let started = Instant::now();
        self.reader.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
        let (mut length, mut etag) = (0, None);
        loop {
            line.clear();
            self.reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "etag" => etag = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; if status == 304 { 0 } else { length }];
        self.reader.read_exact(&mut body).unwrap();
        Answer { status, etag, body, time: started.elapsed() }
    }
}

/// Milliseconds since 1970, the clock that this program and the browser share.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}

/// Somebody who listens at the stream of messages until dropped.
pub struct Watcher {
    stream: TcpStream,
    thread: Option<JoinHandle<()>>,
    events: Arc<AtomicU64>,
    predictions: Arc<Mutex<Vec<(String, f64)>>>,
}

impl Watcher {
    pub fn open(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "GET /api/v1/watch HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let (events, predictions) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (counted, noted) = (Arc::clone(&events), Arc::clone(&predictions));
        let thread = thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                let Some(data) = line.strip_prefix("data:") else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                if data.contains("\"prediction\"") {
                    let message: Value = serde_json::from_str(data).unwrap_or_default();
                    if let Some(image) = message["payload"]["image"].as_str() {
                        noted.lock().unwrap().push((image.to_owned(), now()));
                    }
                }
            }
        });
        Self { stream, thread: Some(thread), events, predictions }
    }

    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// When the prediction of an image came.
    pub fn heard(&self, image: &str) -> Option<f64> {
        self.predictions.lock().unwrap().iter().find(|(other, _)| other == image).map(|(_, at)| *at)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
