//! From nothing to ready.

use crate::lab::Suite;
use crate::service::Service;

under_both!(
    it_is_ready_after_the_probe_image_and_says_how_it_is,
    the_unit_is_understood_and_lets_out_little,
    without_network_it_starts_and_works,
    what_is_unavailable_is_tried_again_for_ever,
    what_only_a_person_can_mend_is_not_tried_again,
);

fn it_is_ready_after_the_probe_image_and_says_how_it_is(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    service.start();
    let journal = service.journal(&[]);
    let at = |words: &str| journal.find(words).unwrap_or_else(|| panic!("{words:?} is not in\n{journal}"));
    assert!(at("answered a probe image") < at("Started edgetuned.service"), "{journal}");
    service.wait("a status in words", || service.show("StatusText").contains(' '));
    assert_eq!(service.show("NRestarts"), "0");
    assert_eq!(service.show("User"), "edgetuned");
    service.photograph(0..3);
    service.wait_for_samples(3);
}

fn the_unit_is_understood_and_lets_out_little(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    let complaints = || {
        let verified = service.try_run(&["systemd-analyze", "verify", "--man=no", "edgetuned.service"]);
        String::from_utf8(verified.stderr).unwrap()
    };
    let found = complaints();
    assert!(found.is_empty(), "{found}");

    let exposure = || {
        let told = service.ask(&["systemd-analyze", "security", "--no-pager", "edgetuned.service"]);
        let level = told.lines().find_map(|line| line.split_once("exposure level for edgetuned.service: "));
        let level = level.unwrap_or_else(|| panic!("no level in\n{told}")).1.split(' ').next().unwrap().to_owned();
        level.parse::<f64>().unwrap()
    };
    println!("exposure in {suite:?}: {}", exposure());
    assert!(exposure() <= 1.5, "{}", exposure());

    // Neither look is blind.
    service.drop_in("ProtectSystem=no\nPrivateDevices=no\nSystemCallFilter=\nProtectSytem=strict");
    assert!(exposure() > 1.5, "{}", exposure());
    assert!(complaints().contains("'ProtectSytem'"), "{}", complaints());
}

fn without_network_it_starts_and_works(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    service.configure("mqtt", "mqtt: { url: 'mqtt://broker.invalid:1883' }");
    service.start();
    service.photograph(0..3);
    service.wait_for_samples(3);
    let status = service.status();
    assert_eq!(status["broker"], "disconnected", "{status}");
    assert!(status["spooled"].as_u64() >= Some(3), "what the broker has to hear waits: {status}");
}

fn what_is_unavailable_is_tried_again_for_ever(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    // More failures within a second than systemd's own limit, which would be five in ten seconds.
    service.drop_in("RestartSec=20ms\nInaccessiblePaths=/usr/lib/edgetuned/libonnxruntime.so");
    service.try_run(&["systemctl", "start", "--no-block", "edgetuned"]);
    service.wait("seven restarts", || service.show("NRestarts").parse::<u64>().unwrap() >= 7);
    assert!(service.journal(&[]).contains("status=69"), "{}", service.journal(&[]));
    service.drop_in("RestartSec=20ms");
    service.wait("active", || service.show("ActiveState") == "active");
}

fn what_only_a_person_can_mend_is_not_tried_again(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    let stays_down = |code: &str| {
        assert!(!service.try_run(&["systemctl", "start", "edgetuned"]).status.success());
        // Between two attempts it would be 'activating'.
        let ended = ["ActiveState", "ExecMainStatus", "NRestarts"].map(|property| service.show(property));
        assert_eq!(ended, ["failed", code, "0"], "{}", service.journal(&[]));
    };
    service.configure("bad", "prediction: { top_q: 3 }");
    stays_down("78");
    assert!(service.journal(&["--priority=err"]).contains("top_q"), "{}", service.journal(&["--priority=err"]));

    service.configure("bad", "");
    service.drop_in("ExecStart=\nExecStart=/usr/bin/edgetuned run --backwards");
    service.run(&["systemctl", "reset-failed", "edgetuned"]);
    stays_down("64");

    service.drop_in("");
    service.start();
}
