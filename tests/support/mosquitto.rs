//! A real mosquitto on a free loopback port, for one test.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use tempfile::TempDir;

/// A running broker; it is killed when dropped.
pub struct Mosquitto {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one that lets everybody in and forgets everything when it is killed; `None`, and a word of why, where
    /// mosquitto is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with("allow_anonymous true\n")
    }

    /// The same with these lines in its configuration; `{folder}` in them stands for [`Mosquitto::folder`].
    pub fn start_with(lines: &str) -> Option<Self> {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"), free_port(), lines)
    }

    /// The same on this port and with files that lie in `folder`.
    pub fn start_in(folder: TempDir, port: u16, lines: &str) -> Option<Self> {
        if program().is_none() {
            crate::skip::skip("mosquitto is not installed");
            return None;
        }
        let mut config = fs::File::create(folder.path().join("mosquitto.conf")).expect("a configuration file");
        let lines = lines.replace("{folder}", &folder.path().display().to_string());
        // As root it would else become a user who may not read the temporary folder.
        write!(config, "user root\nlistener {port} 127.0.0.1\nlog_dest stderr\nlog_type all\n{lines}")
            .expect("a configuration file");
        let mut broker = Self { port, folder, child: None };
        broker.restart();
        Some(broker)
    }

    /// Its folder, with whatever files it needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Ends it at once, as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end and waits: it writes down what it remembers, where it has persistence.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let asked = Command::new("kill").arg(child.id().to_string()).status();
            assert!(asked.is_ok_and(|status| status.success()), "mosquitto can be asked to end");
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port and returns when it listens.
    pub fn restart(&mut self) {
        self.kill();
        let mut child = Command::new(program().expect("it was there before"))
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("mosquitto starts");
        let mut log = BufReader::new(child.stderr.take().expect("its stderr is ours")).lines();
        let mut said = Vec::new();
        loop {
            match log.next() {
                Some(Ok(line)) if line.contains("running") => break,
                Some(Ok(line)) => said.push(line),
                _ => panic!("mosquitto ended at once: {said:#?}"),
            }
        }
        // Its log goes on, and it must not wait for a reader.
        thread::spawn(move || log.for_each(drop));
        self.child = Some(child);
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port on which nothing listens. It is below those that the system gives to whoever asks for any port, so that no
/// other test gets it between this call and its use.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = process::id().wrapping_mul(100);
    loop {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(20_000 + number % 12_000).expect("it is below 32,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn program() -> Option<&'static str> {
    ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|program| Command::new(program).arg("-h").output().is_ok())
}
