//! A file system of its own for the state folder, on a device whose sectors the kernel counts.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Bytes of a sector in `/sys/block`, whatever the device has.
const SECTOR: u64 = 512;

/// A loop device with ext4, mounted; nothing where this process may not mount.
pub struct Device {
    mounted: Option<Mounted>,
}

struct Mounted {
    at: PathBuf,
    name: String,
    _image: TempDir,
}

impl Device {
    /// Mounts one at `folder`, which is made.
    pub fn under(folder: &Path) -> Self {
        let mounted = mount(folder);
        if let Err(why) = &mounted {
            println!("no device of its own, only the process is measured: {why}");
        }
        Self { mounted: mounted.ok() }
    }

    /// Bytes that were written to it so far.
    pub fn written(&self) -> Option<u64> {
        self.sync();
        let Mounted { name, .. } = self.mounted.as_ref()?;
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).ok()?;
        stat.split_whitespace().nth(6)?.parse::<u64>().ok().map(|sectors| sectors * SECTOR)
    }

    /// Writes what the kernel still holds back.
    pub fn sync(&self) {
        if let Some(Mounted { at, .. }) = &self.mounted
            && let Ok(folder) = File::open(at)
        {
            let _ = rustix::fs::syncfs(folder);
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(Mounted { at, .. }) = &self.mounted {
            let _ = Command::new("umount").arg("--lazy").arg(at).status();
        }
    }
}

fn mount(at: &Path) -> Result<Mounted, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("ext4");
    File::create(&image)?.set_len(512 << 20)?;
    // Nothing is made later, in the background.
    run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]).arg(&image))?;
    fs::create_dir_all(at)?;
    run(Command::new("mount").args(["-o", "loop,noatime"]).arg(&image).arg(at))?;
    let source = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(at).output()?;
    let source = String::from_utf8(source.stdout)?;
    let name = source.trim().trim_start_matches("/dev/").to_owned();
    Ok(Mounted { at: at.to_owned(), name, _image: folder })
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().into()) }
}

/// Bytes that a process caused to be written to storage so far.
pub fn write_bytes(process: u32) -> Result<u64, Box<dyn Error>> {
    let io = fs::read_to_string(format!("/proc/{process}/io"))?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).ok_or("no write_bytes")?;
    Ok(line.parse()?)
}
