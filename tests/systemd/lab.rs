//! A machine with a real systemd, as a container that begins clean and is gone when dropped.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than anything here takes; reached only when something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at what the machine says only when it is asked.
const LOOK: Duration = Duration::from_millis(50);

/// A release of Debian, for the systemd in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// systemd 252.
    Bookworm,
    /// systemd 257.
    Trixie,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Builds its tree unless that is there; false, and the test is skipped, where it cannot be.
    fn is_ready(self) -> bool {
        static FAULTS: [OnceLock<Option<String>>; 2] = [OnceLock::new(), OnceLock::new()];
        // Both need apt, which only one may use at a time.
        static APT: Mutex<()> = Mutex::new(());
        let fault = FAULTS[self as usize].get_or_init(|| {
            let _turn = APT.lock();
            let setup = script().args(["setup", self.name()]).output().expect("bash runs");
            (!setup.status.success()).then(|| String::from_utf8_lossy(&setup.stderr).trim_end().to_owned())
        });
        if let Some(why) = fault {
            crate::skip::skip(format_args!("no systemd to test with: {why}"));
        }
        fault.is_none()
    }
}

/// A running machine.
pub struct Lab {
    /// Its release.
    pub suite: Suite,
    name: String,
    nspawn: Child,
    folder: TempDir,
}

impl Lab {
    /// Boots one with further arguments of systemd-nspawn and a bound to its memory in bytes; `None`, and a word of why, where that cannot be done.
    pub fn boot(suite: Suite, arguments: &[String], memory: Option<u64>) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !suite.is_ready() {
            return None;
        }
        let name = format!("edgetuned-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("camera")).expect("a folder");
        // The daemon's user has to get there.
        allow(folder.path(), 0o755);
        let console = File::create(folder.path().join("console")).expect("a file");
        let camera = format!("--bind={}:/srv/camera", folder.path().join("camera").display());
        let nspawn = script()
            .args(["up", suite.name(), &name, &camera])
            .args(arguments)
            .env("LAB_MEMORY", memory.map(|bytes| bytes.to_string()).unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a file"))
            .stderr(console)
            .spawn()
            .expect("bash runs");
        let mut lab = Self { suite, name, nspawn, folder };
        let up = |lab: &mut Self| {
            assert!(
                lab.nspawn.try_wait().expect("its state can be asked for").is_none(),
                "it ended: {}",
                lab.console()
            );
            matches!(lab.ask(&["systemctl", "is-system-running"]).as_str(), "running" | "degraded")
        };
        let until = Instant::now() + PATIENCE;
        while !up(&mut lab) {
            assert!(Instant::now() < until, "it does not boot: {}", lab.console());
            thread::park_timeout(LOOK);
        }
        Some(lab)
    }

    /// The most memory that it has had in bytes, how often it was at its bound, and processes that were ended by that.
    pub fn memory(&self) -> [u64; 3] {
        let told = script().args(["memory", &self.name]).output().expect("bash runs").stdout;
        let numbers =
            String::from_utf8_lossy(&told).lines().map(|line| line.parse().expect("a number")).collect::<Vec<_>>();
        numbers.try_into().expect("three numbers")
    }

    /// A folder of this machine that is `/srv/camera` in there.
    pub fn camera(&self) -> PathBuf {
        self.folder.path().join("camera")
    }

    /// Runs a command.
    pub fn try_run(&self, command: &[&str]) -> Output {
        script().args(["run", &self.name]).args(command).stdin(Stdio::null()).output().expect("bash runs")
    }

    /// What a command says on standard output, however it ends.
    pub fn ask(&self, command: &[&str]) -> String {
        String::from_utf8_lossy(&self.try_run(command).stdout).trim_end().to_owned()
    }

    /// The same; fails where the command does.
    pub fn run(&self, command: &[&str]) -> String {
        let output = self.try_run(command);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let (out, err) = (said(&output.stdout), said(&output.stderr));
        assert!(output.status.success(), "{command:?} {}: {out}\n{err}\n{}", output.status, self.journal(&[]));
        out
    }

    /// Runs lines of the shell.
    pub fn sh(&self, lines: &str) -> String {
        self.run(&["sh", "-euc", lines])
    }

    /// Writes a file, making folders where needed.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let mut child = script()
            .args(["run", &self.name, "sh", "-euc", "mkdir -p \"$(dirname \"$0\")\"; cat >\"$0\"", path])
            .stdin(Stdio::piped())
            .spawn()
            .expect("bash runs");
        child.stdin.take().expect("it is ours").write_all(bytes).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "{path} can be written");
    }

    /// What `systemctl show` says of the service.
    pub fn show(&self, property: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", property, "edgetuned"])
    }

    /// Messages of the service in the journal, with further arguments of journalctl.
    pub fn journal(&self, arguments: &[&str]) -> String {
        let command = ["journalctl", "--quiet", "--no-pager", "--output=cat", "--unit=edgetuned"];
        self.ask(&[&command, arguments].concat())
    }

    /// Waits until `is` holds; fails with the journal when it never does.
    pub fn wait(&self, what: &str, mut is: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is() {
            assert!(Instant::now() < until, "never {what}; the journal:\n{}", self.journal(&[]));
            thread::park_timeout(LOOK);
        }
    }

    fn console(&self) -> String {
        fs::read_to_string(self.folder.path().join("console")).unwrap_or_default()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the journal in {:?}:\n{}", self.suite, self.ask(&["journalctl", "--no-pager", "--lines=60"]));
        }
        let _ = script().args(["down", &self.name]).status();
        let _ = self.nspawn.wait();
        let _ = script().args(["sweep", &self.name]).status();
    }
}

/// Sets the mode of a file or folder.
pub fn allow(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode can be set");
}

fn script() -> Command {
    let mut command = Command::new("bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/lab.sh"));
    command
}
