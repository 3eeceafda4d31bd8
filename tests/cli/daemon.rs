//! `run`: one daemon per state folder, and a clean stop.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::desk::Desk;

/// A running daemon; killed when a test fails.
pub struct Daemon(Child);

impl Daemon {
    /// Starts one by `config.yaml` and waits until it answers.
    pub fn start(desk: &Desk) -> Self {
        let mut daemon = Self(desk.command("run --config config.yaml").stderr(Stdio::null()).spawn().unwrap());
        while desk.run("--config config.yaml ctl status").code != Some(0) {
            assert!(daemon.0.try_wait().unwrap().is_none(), "the daemon ended by itself");
        }
        daemon
    }

    pub fn stop(&mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn desk() -> Desk {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("camera")).unwrap();
    let [camera, state] = ["camera", "state"].map(|name| desk.path(name).display().to_string());
    let text = format!("watch:\n  - path: {camera}\nstore:\n  path: {state}\nmqtt:\n  url: null\n");
    desk.put("config.yaml", text.as_bytes());
    desk
}

#[test]
fn a_second_daemon_names_the_first_and_the_first_stops_cleanly_on_sigterm() {
    let desk = desk();
    let spawned = desk.command("run --config config.yaml").stderr(Stdio::piped()).spawn().unwrap();
    let mut first = Daemon(spawned);
    let mut log = BufReader::new(first.0.stderr.take().unwrap()).lines();
    let up = log.by_ref().map(Result::unwrap).find(|line| line.contains("probe image"));
    assert!(up.is_some(), "the log ended before the daemon was up");
    // The lock is taken right after that line; its number is written with it.
    let lock = desk.path("state/daemon.lock");
    let pid = first.0.id().to_string();
    while std::fs::read_to_string(&lock).unwrap_or_default().trim() != pid {
        assert!(first.0.try_wait().unwrap().is_none(), "the daemon ended by itself");
        std::thread::yield_now();
    }
    desk.fails("run --config config.yaml", 69, &["cannot work on", &format!("process {pid}"), "stop it"]);
    kill_process(Pid::from_child(&first.0), Signal::TERM).unwrap();
    let rest: Vec<String> = log.map(Result::unwrap).collect();
    assert_eq!(first.0.wait().unwrap().code(), Some(0), "{rest:#?}");
    assert!(rest.iter().any(|line| line.contains("stopped")), "{rest:#?}");
}

#[test]
fn a_state_folder_that_cannot_be_used_ends_with_69() {
    let desk = desk();
    desk.put("state", b"a file in its place");
    desk.fails("run --config config.yaml", 69, &["state", "where a folder is needed", "store.path"]);
}
