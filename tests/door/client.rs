//! A client that sends what it is told to, and reads what comes back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::PATIENCE;

/// Where the door is, and the headers that each request has.
#[derive(Clone)]
pub struct Client {
    port: u16,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    /// One that names the right host and nothing else.
    pub fn new(port: u16) -> Self {
        Self { port, headers: vec![("Host".into(), format!("127.0.0.1:{port}"))] }
    }

    /// The same with a further header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.into(), value.into()));
        client
    }

    /// The same without a header.
    pub fn without(&self, name: &str) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(found, _)| found != name);
        client
    }

    /// The same with the token.
    pub fn with_token(&self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// The same from this device's own page.
    pub fn at_home(&self) -> Self {
        self.with("Origin", &format!("http://127.0.0.1:{}", self.port))
    }

    /// Waits until somebody listens.
    pub fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "nobody listens on {}", self.port);
            // Nothing reports that a port is listened on.
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The bytes of a request.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        if !body.is_empty() || method == "POST" {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        bytes
    }

    /// The answer to a request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let mut stream = self.connect();
        // Who is refused early may find that nobody reads any more.
        let _ = stream.write_all(&self.request(method, path, body));
        let mut reader = BufReader::new(stream);
        Reply::read(&mut reader, method).unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, b"")
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.with("Content-Type", "application/json").send("POST", path, body.as_bytes())
    }

    /// Posts the form of the sign-in.
    pub fn sign_in(&self, token: &str) -> Reply {
        let form = format!("token={token}");
        self.with("Content-Type", "application/x-www-form-urlencoded").send("POST", "/login", form.as_bytes())
    }
}

impl Reply {
    /// The next answer, of which the body is not read where it is a stream; `None` where the connection ends before.
    pub fn read(reader: &mut BufReader<TcpStream>, method: &str) -> Option<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines.first()?.split(' ').nth(1)?.parse().ok()?;
        let pairs = lines[1..].iter().filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut reply = Self { status, headers, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        if method != "HEAD" {
            reply.body = vec![0; length];
            reader.read_exact(&mut reply.body).ok()?;
        }
        Some(reply)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The cookie that it sets, as a browser sends it back.
    pub fn cookie(&self) -> String {
        self.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
    }
}
