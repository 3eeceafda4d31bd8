//! What the daemon needs from the operating system: the figures for `health`, and memory returned when it is freed.

use std::fs;
use std::path::Path;

use crate::engine::SystemMetrics;

/// The current metrics; one that the machine does not provide is zero or `None`.
pub(super) fn measure(store_bytes: u64) -> SystemMetrics {
    SystemMetrics {
        store_bytes,
        rss_bytes: rss_bytes().unwrap_or(0),
        temperature_c: temperature_c(),
        time_synced: time_synced(),
    }
}

fn rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The hottest of the machine's thermal zones.
pub(super) fn temperature_c() -> Option<f64> {
    let zones = fs::read_dir("/sys/class/thermal").ok()?;
    let milli = |path: &Path| fs::read_to_string(path.join("temp")).ok()?.trim().parse::<i32>().ok();
    zones.flatten().filter_map(|zone| milli(&zone.path())).max().map(|milli| f64::from(milli) / 1000.0)
}

/// As reported by systemd-timesyncd; `None` where it does not run.
fn time_synced() -> Option<bool> {
    let folder = Path::new("/run/systemd/timesync");
    folder.is_dir().then(|| folder.join("synchronized").exists())
}

/// Blocks of at least this many bytes are returned to the system when they are freed, and so is that much free space
/// at the end of a heap. It is larger than most tensors within a backbone, whose pages would otherwise be mapped again
/// for every image.
#[cfg(target_env = "gnu")]
const LARGE_BLOCK_BYTES: libc::c_int = 4 << 20;

/// Makes glibc return large blocks to the system when they are freed; call it before any thread starts.
///
/// glibc maps a large block by itself and returns it when it is freed, but it learns what is large from the blocks
/// that it sees: after the first training with matrices of tens of MiB, up to 64 MiB would stay with the process for
/// good
/// (`mallopt(3)`, "dynamic mmap threshold"). A device of 512 MiB has better use for them.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the C library offers it to C only")]
pub(super) fn return_large_blocks() {
    // SAFETY: takes numbers, changes the allocator's own settings, and no other thread runs yet. Where the allocator
    // does not accept them it stays as it is.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE_BLOCK_BYTES);
    }
}

/// Other C libraries return large blocks by themselves.
#[cfg(not(target_env = "gnu"))]
pub(super) fn return_large_blocks() {}
