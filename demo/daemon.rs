//! The daemon under demonstration: its folder, its configuration, its process.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Outcome;
use crate::lamp;

/// What the demo chooses of the configuration.
pub struct Settings<'a> {
    /// A bundled name or a manifest's path.
    pub backbone: &'a str,
    /// Where the broker listens.
    pub broker: SocketAddr,
    /// Labels after which it trains by itself.
    pub min_new_labels: usize,
    /// Labels after which it trains for the task `lamp`; `None` without that task.
    pub lamp_labels: Option<usize>,
}

impl Settings<'_> {
    /// The whole configuration file; every other key keeps its default. Texts are JSON, which is YAML too.
    fn to_yaml(&self, folder: &Path) -> String {
        let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
        format!(
            "device: {{ id: demo, name: Demo }}\n\
             backbone: {{ model: {} }}\n\
             watch:\n  - {{ path: {}, recursive: true, label_from: folder, settle: 100ms }}\n\
             store: {{ path: {} }}\n\
             training: {{ schedule: null, min_new_labels: {}, cooldown: 0s }}\n\
             mqtt: {{ url: \"mqtt://{}\", prefix: edgetuned }}\n{}",
            serde_json::Value::from(self.backbone),
            quoted(&folder.join("camera")),
            quoted(&folder.join("state")),
            self.min_new_labels,
            self.broker,
            self.lamp_labels.map(tasks).unwrap_or_default(),
        )
    }
}

/// The parts on the belt as the task `default`, whose topics are those of a daemon without tasks; the lamp beside it.
fn tasks(lamp_labels: usize) -> String {
    format!(
        "tasks:\n  \
         - {{ id: default, from: [{{ region: {} }}] }}\n  \
         - {{ id: lamp, from: [{{ region: {} }}], state: {{ confirm: 2 of 3 }}, training: {{ min_new_labels: {lamp_labels} }} }}\n",
        lamp::BELT_REGION,
        lamp::LAMP_REGION,
    )
}

/// A running daemon; dropping it stops it and removes its folder.
pub struct Daemon {
    process: Child,
    folder: TempDir,
}

impl Daemon {
    /// Writes the configuration into a fresh folder and starts `edgetuned run`.
    pub fn start(program: &Path, settings: &Settings<'_>) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("edgetuned-demo-").tempdir()?;
        for name in ["camera", "state"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let config = folder.path().join("config.yaml");
        fs::write(&config, settings.to_yaml(folder.path()))?;
        let log = File::create(folder.path().join("log"))?;
        let process = Command::new(program)
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the demo, which then stops the daemon in its own way.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}; build it with 'cargo build'", program.display()))?;
        Ok(Self { process, folder })
    }

    /// The watched folder.
    pub fn camera_folder(&self) -> PathBuf {
        self.folder.path().join("camera")
    }

    /// How it ended, if it ended.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        if lines.is_empty() { "  (none)".into() } else { lines[lines.len().saturating_sub(20)..].join("\n") }
    }

    /// Sends SIGTERM and waits up to five seconds for its end.
    fn stop(&mut self) {
        // `kill` the program rather than the system call keeps this example free of unsafe code.
        let sent = Command::new("kill").arg(self.process.id().to_string()).stderr(Stdio::null()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while sent.is_ok() && Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.stop();
        }
        // It may have ended by now; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The `edgetuned` of the same build.
pub fn beside_this_program() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("edgetuned");
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("{} is not there; build it with 'cargo build', or start with 'make demo'", program.display())
            .into())
    }
}
