//! The process: what survives a restart within it (the clock, the sender of events, the link and the socket), its figures
//! for `health`, and memory returned when it is freed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::event_sender::EventSender;
use super::metrics::Metrics;
use super::startup::{PendingConfig, Read};
use crate::engine::{Carried, SystemMetrics};
use crate::source::Slots;
use crate::store::Reader;
use crate::words::{Now, Timestamp};
use crate::{http, mqtt};

/// Events that may wait for the loop; senders block beyond it.
pub(super) const EVENTS: usize = 1_024;

/// What lives as long as the process.
#[derive(Clone)]
pub(super) struct Process {
    /// Reads the device's configuration.
    pub read: Arc<Read>,
    /// A configuration that was read again, for the next restart.
    pub pending_config: PendingConfig,
    /// Sends to the engine that runs now.
    pub events: EventSender,
    /// Frames that came from sources and wait.
    pub slots: Arc<Slots>,
    /// Its monotonic half began with the process.
    pub clock: Clock,
    /// Another identifier at every start of the process.
    pub boot: String,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether a termination signal came; its event may still be in the queue.
    pub stop_asked: Arc<AtomicBool>,
}

/// What an engine passes on to the next one of the same process.
pub(super) struct Carryover {
    pub carried: Carried,
    pub link: Option<Link>,
    pub socket: Option<Socket>,
}

/// The socket, and where it is.
pub(super) struct Socket {
    pub path: PathBuf,
    pub store: PathBuf,
    pub handle: http::Handle,
}

/// The link to the broker, and the settings it was started with.
pub(super) struct Link {
    pub settings: mqtt::Settings,
    pub handle: mqtt::Handle,
    /// Where it reads the outbox: beside the writer of now, also when the link outlives a former one.
    pub outbox: Arc<Mutex<Reader>>,
}

/// The current time, by the machine's clocks.
#[derive(Clone)]
pub(super) struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall: Timestamp(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)), mono: self.0.elapsed() }
    }
}

/// The current metrics; one that the machine does not provide is zero or `None`.
pub(super) fn measure(store_bytes: u64, store_beside_bytes: u64) -> SystemMetrics {
    SystemMetrics {
        store_bytes,
        store_beside_bytes,
        rss_bytes: rss_bytes().unwrap_or(0),
        temperature_c: temperature_c(),
        time_synced: time_synced(),
    }
}

/// Memory of this process that is resident.
pub(crate) fn rss_bytes() -> Option<u64> {
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
