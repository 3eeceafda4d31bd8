//! A daemon with a door, pictures for it, and a browser in front.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::words::SampleId;
use serde_json::{Value, json};

use crate::browser::{Browser, DESK, Driver, Screen};
use crate::camera::{Camera, Light, Part};
use crate::daemon::{Daemon, Home, Listener, PATIENCE};
use crate::mosquitto::Mosquitto;
use crate::skip::skip;
use crate::wheels::text_of;

/// One browser at a time: several would wait for each other's pictures.
static ALONE: Mutex<()> = Mutex::new(());

/// What a test has.
pub struct Stage {
    pub home: Home,
    pub daemon: Option<Daemon>,
    pub driver: Driver,
    pub port: u16,
    pub broker: Option<Mosquitto>,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// A daemon whose configuration has these lines, too; `None` where this machine has no browser.
    pub fn set(more: &str) -> Option<Self> {
        Self::configured("mqtt: { url: null }", None, more, None)
    }

    fn configured(mqtt: &str, token: Option<&str>, more: &str, broker: Option<Mosquitto>) -> Option<Self> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(driver) = Driver::start() else {
            skip("there is no chromedriver (apt-get install chromium chromium-driver)");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), 1, "");
        let http = token.map_or(String::new(), |token| {
            let file = token_file(&home);
            std::fs::write(&file, token).unwrap();
            format!("token_file: {}", file.display())
        });
        home.configure(&format!(
            "backbone: {{ model: tiny-test }}\n{mqtt}\nhttp: {{ listen: '127.0.0.1:{port}', {http} }}\n{more}"
        ));
        let daemon = Some(home.start());
        let stage = Self { home, daemon, driver, port, broker, _alone: alone };
        stage.ready();
        Some(stage)
    }

    /// The same, for whoever has this token.
    pub fn guarded(token: &str) -> Option<Self> {
        Self::configured("mqtt: { url: null }", Some(token), "", None)
    }

    /// The same with a broker, and somebody who listens there.
    pub fn with_broker(more: &str) -> Option<(Self, Listener)> {
        let broker = Mosquitto::start()?;
        let ears = Listener::new(broker.port);
        let broker_lines = format!("mqtt: {{ url: 'mqtt://127.0.0.1:{}' }}", broker.port);
        let stage = Self::configured(&broker_lines, None, more, Some(broker))?;
        Some((stage, ears))
    }

    /// Waits until the daemon answers.
    pub fn ready(&self) {
        self.until("the daemon answers", || self.ask("GET", "status", None).filter(|answer| answer["status"] == "ok"));
    }

    /// Starts the daemon again.
    pub fn start(&mut self) {
        self.daemon = Some(self.home.start());
        self.ready();
    }

    /// Waits for a condition of the daemon.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            let log = || std::fs::read_to_string(self.home.log()).unwrap_or_default();
            assert!(Instant::now() < until, "never: {what}; its log:\n{}", log());
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// A request without a browser; `None` where nobody answers.
    pub fn ask(&self, method: &str, name: &str, body: Option<&Value>) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let token = std::fs::read_to_string(token_file(&self.home))
            .map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "{method} /api/v1/{name} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{token}Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line).ok()? > 2 {
            line.clear();
        }
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).ok()?;
        serde_json::from_slice(&answer).ok()
    }

    /// The data of a request that succeeds.
    pub fn good(&self, method: &str, name: &str, body: Option<&Value>) -> Value {
        let mut answer = self.ask(method, name, body).unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(answer["status"], "ok", "{name}: {answer}");
        answer["data"].take()
    }

    /// Writes pictures of a part into the watched folder; in its class folder where they are `labelled`.
    pub fn pictures(&self, part: Part, numbers: std::ops::Range<u64>, labelled: bool) -> Vec<String> {
        let written = numbers.map(|number| {
            let bytes = Camera::new(5).jpeg(part, number, &Light::DAY);
            let folder = if labelled { format!("{part}/") } else { String::new() };
            self.home.put(&format!("{folder}{part}-{number}.jpg"), &bytes);
            SampleId::of(&bytes).to_string()
        });
        written.collect()
    }

    /// Waits until so many images are stored.
    pub fn samples(&self, count: u64) {
        self.until(&format!("{count} images are stored"), || {
            let status = self.ask("GET", "status", None)?;
            (status["data"]["samples"].as_u64()? >= count).then_some(())
        });
    }

    /// Trains, and waits for the head.
    pub fn train(&self) {
        let before = self.good("GET", "heads", None).as_array().unwrap().len();
        self.good("POST", "train", Some(&json!({})));
        self.until("the training ends", || {
            let heads = self.ask("GET", "heads", None)?;
            (heads["data"].as_array()?.len() > before).then_some(())
        });
    }

    /// Where the page is.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A browser at the page.
    pub fn browser(&self) -> Browser {
        self.browser_with(DESK)
    }

    pub fn browser_with(&self, screen: Screen) -> Browser {
        Browser::open(&self.driver, &self.address(), screen, &[])
    }
}

/// Where the token is, where there is one.
fn token_file(home: &Home) -> PathBuf {
    home.config().with_file_name("token")
}

/// The text of axe-core; `None` where it is not here.
pub fn axe() -> Option<String> {
    text_of("axe_playwright_python-0.1.8-py3-none-any.whl", "axe_playwright_python/axe.min.js")
}
