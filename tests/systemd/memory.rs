//! Little memory and much to do.

use crate::lab::Suite;
use crate::service::{Machine, Service};

/// For all of the machine: its systemd, the journal, the daemon, and the state, which lies in memory there.
const MEMORY: u64 = 64 << 20;
/// Pictures that wait when the daemon starts.
const BACKLOG: u64 = 3_000;

#[test]
fn a_backlog_on_a_machine_of_little_memory_is_worked_off_and_nothing_is_killed() {
    let machine = Machine { memory_bytes: Some(MEMORY), ..Machine::default() };
    let Some(service) = Service::install_on(Suite::Trixie, &machine) else { return };
    service.photograph(0..BACKLOG);
    service.start();
    service.wait_for_samples(BACKLOG);
    let [peak, at_bound, killed] = service.memory();
    let resident = service.status()["rss_bytes"].as_u64().unwrap();
    println!(
        "{BACKLOG} pictures within {} MiB: at most {} MiB used, {at_bound} times at the bound, {} MiB resident",
        MEMORY >> 20,
        peak >> 20,
        resident >> 20
    );
    assert_eq!(killed, 0, "the kernel had to end a process");
    assert_eq!(service.show("NRestarts"), "0", "{}", service.journal(&[]));
    assert!(resident < 100 << 20, "{resident} bytes");
    assert!((40 << 20..=MEMORY).contains(&peak), "{peak} bytes: the bound holds, and was measured");
}
