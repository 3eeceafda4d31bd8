//! What the system knows of the daemon, and what was heard of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::traffic::Traffic;

/// A process as `/proc` has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process {
    /// Resident memory.
    pub rss_kib: u64,
    /// Open file descriptors.
    pub files: u64,
    /// Its threads.
    pub threads: u64,
    /// Processor time so far, to a hundredth of a second.
    pub cpu_s: f64,
    /// Bytes that it caused to be written to storage so far.
    pub written_bytes: u64,
    /// How often threads that are alive now went to sleep so far, which is how often they woke up.
    pub sleeps: u64,
}

impl Process {
    /// Of the process with this id, which runs.
    pub fn of(id: u32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{id}/{name}")).expect("it runs");
        let number = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel tells it");
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        let (status, stat, io) = (read("status"), read("stat"), read("io"));
        // Its name may have spaces; user and system time are the 12th and 13th number after the last bracket.
        let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("it runs").flatten();
        // A thread may end between the listing and the look.
        let statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
        Self {
            rss_kib: number(&status, "VmRSS"),
            files: fs::read_dir(format!("/proc/{id}/fd")).expect("it runs").count() as u64,
            threads: number(&status, "Threads"),
            cpu_s: ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0,
            written_bytes: number(&io, "write_bytes"),
            sleeps: statuses.map(|status| number(&status, "voluntary_ctxt_switches")).sum(),
        }
    }
}

/// One look at the daemon.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Since the script began.
    pub at: Duration,
    /// The process.
    pub process: Process,
    /// Bytes that the state folder takes on the disk.
    pub store_bytes: u64,
    /// Images that were put so far.
    pub images: u64,
    /// Median of what the daemon said of its time from a ready file to its prediction, since the last look.
    pub latency_ms: Option<f64>,
    /// Median time from writing the file to hearing its prediction, broken links included.
    pub heard_ms: Option<f64>,
}

impl Measure {
    /// Looks now.
    pub fn of(at: Duration, id: u32, state: &Path, traffic: &mut Traffic) -> Self {
        let (latencies, heard) = traffic.take_latencies();
        Self {
            at,
            process: Process::of(id),
            store_bytes: on_disk(state),
            images: traffic.done.images,
            latency_ms: median(latencies),
            heard_ms: median(heard),
        }
    }
}

/// The middle of `values`; of an even number, the mean of both in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[low], values[high]))
}

fn on_disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    // Files of the database come and go.
    let sizes = entries.filter_map(|entry| {
        let about = entry.metadata().ok()?;
        Some(if about.is_dir() { on_disk(&entry.path()) } else { about.blocks() * 512 })
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_with_its_memory_files_threads_and_time() {
        let process = Process::of(std::process::id());
        assert!(process.rss_kib > 1_000 && process.files >= 3 && process.threads >= 2, "{process:?}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
    }
}
