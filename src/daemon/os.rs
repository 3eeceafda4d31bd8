//! What only the machine knows, for `health`.

use std::fs;
use std::path::Path;

use crate::engine::Vitals;

/// Measures now; what the machine does not tell is zero or `None`.
pub(super) fn measure(store_bytes: u64) -> Vitals {
    Vitals {
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

/// As systemd-timesyncd says; `None` where it does not run.
fn time_synced() -> Option<bool> {
    let folder = Path::new("/run/systemd/timesync");
    folder.is_dir().then(|| folder.join("synchronized").exists())
}
