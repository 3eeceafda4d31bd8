//! The calls by which a process writes files, by `strace`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running `strace`.
pub struct Trace {
    child: Child,
    folder: TempDir,
}

/// What was written, by file.
#[derive(Default)]
pub struct Split(BTreeMap<String, File>);

#[derive(Default)]
struct File {
    bytes: u64,
    writes: u64,
    syncs: u64,
}

impl Trace {
    /// Of this process, from when it returns; `None` where `strace` cannot be run.
    pub fn of(process: u32) -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let mut child = Command::new("strace")
            .args(["-f", "-y", "-s", "0", "-e", "trace=write,pwrite64,fsync,fdatasync", "-o"])
            .arg(folder.path().join("calls"))
            .args(["-p", &process.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        // It says so when it is attached.
        let mut said = String::new();
        BufReader::new(child.stderr.take()?).read_line(&mut said).ok()?;
        said.contains("attached").then_some(Self { child, folder })
    }

    /// Lets the process go.
    pub fn end(mut self) -> Split {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        let mut split = Split::default();
        for line in calls.lines() {
            // Lines of other calls, or of the end of one, say nothing.
            let _ = split.count(line);
        }
        split
    }
}

impl Split {
    /// Counts a line such as `77 pwrite64(9</srv/state/edgetuned.db-wal>, ""..., 4096, 32) = 4096`.
    fn count(&mut self, line: &str) -> Option<()> {
        let (_, call) = line.split_once(' ')?;
        let (name, rest) = call.trim().split_once('(')?;
        let path = rest.split_once('<')?.1.split_once('>')?.0;
        let file = path.strip_prefix('/')?.rsplit('/').next()?.to_owned();
        let file = self.0.entry(file).or_default();
        if name.ends_with("sync") {
            file.syncs += 1;
        } else {
            file.writes += 1;
            // The count that was asked for: the result may be on another line.
            let asked = rest.rsplit_once('=').map_or(rest, |(asked, _)| asked);
            let numbers = asked.split(", ").nth(2)?;
            file.bytes += numbers.trim_end_matches([' ', ')', '<', '.']).split(')').next()?.parse::<u64>().ok()?;
        }
        Some(())
    }

    /// By image.
    pub fn table(&self, images: f64) -> String {
        let mut table = String::new();
        for (name, File { bytes, writes, syncs }) in &self.0 {
            let [kib, writes, syncs] = [*bytes as f64 / 1024.0, *writes as f64, *syncs as f64].map(|all| all / images);
            if name != "log" {
                let _ = writeln!(table, "    {name}: {kib:.2} KiB in {writes:.2} writes, {syncs:.2} syncs an image");
            }
        }
        table
    }
}
