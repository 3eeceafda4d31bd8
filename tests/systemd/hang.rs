//! An ONNX Runtime that hangs: the process lives, answers and listens, and does nothing.

use std::path::Path;
use std::process::Command;

use crate::lab::Suite;
use crate::service::{Machine, Service};

under_both!(a_hung_onnx_runtime_is_ended_by_the_watchdog_and_nothing_is_lost);

const HANGS: &str = "/run/onnxruntime-hangs";

fn a_hung_onnx_runtime_is_ended_by_the_watchdog_and_nothing_is_lost(suite: Suite) {
    let folder = tempfile::tempdir().unwrap();
    crate::lab::allow(folder.path(), 0o755);
    let shim = folder.path().join("libonnxruntime.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/hang.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&shim).arg(source).status();
    if !compiled.as_ref().is_ok_and(std::process::ExitStatus::success) {
        assert!(compiled.is_err(), "the shim does not compile");
        return crate::skip::skip("there is no C compiler");
    }
    let Some(service) = Service::install_on(suite, &Machine { library: Some(&shim), ..Machine::default() }) else {
        return;
    };
    service.drop_in("WatchdogSec=3\nRestartSec=100ms");
    service.start();
    service.photograph(0..3);
    service.wait_for_samples(3);
    service.wait_until_older_than_two_watchdogs(3);

    service.run(&["touch", HANGS]);
    service.photograph(3..6);
    // It still answers, so a look from outside would not notice.
    service.wait("told of it", || service.journal(&["--priority=warning"]).contains("stuck"));
    assert_eq!(service.status()["samples"], 3);
    service.wait("ended by the watchdog", || service.journal(&[]).contains("Watchdog timeout"));
    service.run(&["rm", HANGS]);
    service.wait("started again", || service.show("NRestarts") != "0" && service.show("ActiveState") == "active");
    service.wait_for_samples(6);
}
