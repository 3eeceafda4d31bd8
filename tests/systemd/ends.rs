//! Every way in which it can end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::Suite;
use crate::service::{Service, photograph};

under_both!(
    a_killed_daemon_is_started_again_and_has_lost_nothing,
    a_hung_process_is_ended_by_the_watchdog_and_started_again,
    it_stops_within_its_time_under_load,
);

fn a_killed_daemon_is_started_again_and_has_lost_nothing(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    service.drop_in("RestartSec=100ms");
    service.start();
    service.photograph(0..20);
    service.wait("a sample", || service.status()["samples"].as_u64() > Some(0));
    service.run(&["systemctl", "kill", "--signal=KILL", "edgetuned"]);
    service.photograph(20..40);
    service.wait("started again", || service.show("NRestarts") == "1" && service.show("ActiveState") == "active");
    service.wait_for_samples(40);
    assert_eq!(service.show("NRestarts"), "1");
}

fn a_hung_process_is_ended_by_the_watchdog_and_started_again(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    service.drop_in("WatchdogSec=3\nTimeoutAbortSec=2\nRestartSec=100ms");
    service.start();
    service.photograph(0..3);
    service.wait_for_samples(3);
    service.wait_until_older_than_two_watchdogs(3);
    service.run(&["systemctl", "kill", "--kill-who=main", "--signal=STOP", "edgetuned"]);
    service.wait("started again", || service.show("NRestarts") == "1" && service.show("ActiveState") == "active");
    assert!(service.journal(&[]).contains("Watchdog timeout"), "{}", service.journal(&[]));
    service.photograph(3..5);
    service.wait_for_samples(5);
    assert_eq!(service.show("NRestarts"), "1");
}

fn it_stops_within_its_time_under_load(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    service.start();
    let (camera, written, is_over) = (service.camera(), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let number = written.fetch_add(1, Ordering::Relaxed);
                photograph(&camera, number..number + 1);
            }
        });
        service.wait("busy", || service.status()["samples"].as_u64() > Some(20));
        let asked = Instant::now();
        service.run(&["systemctl", "stop", "edgetuned"]);
        let took = asked.elapsed();
        is_over.store(true, Ordering::Relaxed);
        println!("stopped within {took:?} under load in {suite:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
    assert_eq!(service.show("Result"), "success", "{}", service.journal(&[]));
    service.start();
    service.wait_for_samples(written.load(Ordering::Relaxed));
}
