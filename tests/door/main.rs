//! The HTTP door from outside: the built program, and clients that write their requests byte by byte.
//!
//! What a browser does with the answers is not tested here.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "../support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/daemon.rs"]
mod daemon;

mod access;
mod changes;
mod client;
mod health;
mod limits;
mod metrics;
mod page;
mod pictures;
mod proxies;
mod reads;
#[path = "../support/skip.rs"]
mod skip;
mod start;
mod tokens;
mod watch;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use daemon::{Daemon, Home};

use client::Client;

/// A token that is long enough.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A daemon without a broker, with a door.
struct Stage {
    home: Home,
    daemon: Daemon,
    port: u16,
}

impl Stage {
    /// A door on loopback; `more` are further keys of `http`.
    fn set(more: &str) -> Self {
        let (home, port) = home(more);
        let daemon = home.start();
        let stage = Self { home, daemon, port };
        stage.client().wait();
        stage
    }

    /// One that asks for [`TOKEN`].
    fn guarded(more: &str) -> Self {
        let (home, port) = home("");
        fs::write(token_file(&home), TOKEN).unwrap();
        configure(&home, port, &format!("token_file: {}, {more}", token_file(&home).display()));
        let daemon = home.start();
        let stage = Self { home, daemon, port };
        stage.client().wait();
        stage
    }

    fn client(&self) -> Client {
        Client::new(self.port)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.log()).unwrap()
    }
}

fn home(more: &str) -> (Home, u16) {
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), 1, "training: { schedule: null, min_new_labels: 1000000 }");
    let port = free_port();
    configure(&home, port, more);
    (home, port)
}

fn configure(home: &Home, port: u16, more: &str) {
    home.configure(&format!("mqtt: {{ url: null }}\nhttp: {{ listen: '127.0.0.1:{port}', {more} }}"));
}

fn token_file(home: &Home) -> PathBuf {
    home.config().with_file_name("token")
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
