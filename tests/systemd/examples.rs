//! The drop-ins by example, as they stand in `systemd/examples`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::daemon::Listener;
use crate::lab::Suite;
use crate::mosquitto::{Mosquitto, free_port};
use crate::service::{Machine, Service, photograph};

under_both!(
    every_example_is_understood_and_lets_the_daemon_start,
    a_folder_in_the_home_of_another_user_is_read_and_nothing_else_there,
    the_password_of_the_broker_comes_as_a_credential,
    the_broker_is_reached_when_it_comes_and_hears_what_was_before,
    who_is_not_on_the_list_of_addresses_is_not_reached,
);

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/examples").join(name).with_extension("conf");
    fs::read_to_string(path).unwrap()
}

/// A machine that reaches a broker on this one.
fn beside(port: u16) -> Machine<'static> {
    Machine { broker: Some(port), ..Machine::default() }
}

/// A user with a folder of pictures that only its group may see.
fn with_camera_user(service: &Service) {
    service.put("/etc/sysusers.d/camera.conf", b"u camera - \"a camera\" /home/camera");
    service.sh(
        "systemd-sysusers; mkdir -p /home/camera/pictures /home/camera/private; chown -R camera:camera /home/camera; \
         chmod 750 /home/camera /home/camera/*",
    );
}

fn every_example_is_understood_and_lets_the_daemon_start(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    with_camera_user(&service);
    service.put("/etc/edgetuned/mqtt_password", b"secret\n");
    // As udev would make it.
    service.put("/etc/sysusers.d/render.conf", b"g render -");
    service.run(&["systemd-sysusers"]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/examples");
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        let name = name.to_str().unwrap();
        service.run(&["rm", "-rf", "/etc/systemd/system/edgetuned.service.d"]);
        service.drop_in_text(name.trim_end_matches(".conf"), &example(name));
        let verified = service.try_run(&["systemd-analyze", "verify", "--man=no", "edgetuned.service"]);
        let complaints = String::from_utf8(verified.stderr).unwrap();
        assert!(!complaints.contains(name), "{complaints}");
        service.start();
        service.run(&["systemctl", "stop", "edgetuned"]);
    }
}

fn a_folder_in_the_home_of_another_user_is_read_and_nothing_else_there(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    with_camera_user(&service);
    service.configure("watch", "watch: [{ path: /home/camera/pictures, settle: 100ms }]");
    let pictures = tempfile::tempdir().unwrap();
    photograph(pictures.path(), 0..1);
    let picture = fs::read(pictures.path().join("0.jpg")).unwrap();
    service.put("/home/camera/pictures/0.jpg", &picture);
    service.sh("chown camera:camera /home/camera/pictures/0.jpg; chmod 640 /home/camera/pictures/0.jpg");

    service.drop_in_text("watched-folder", &example("watched-folder"));
    // In the daemon's sandbox.
    service.drop_in("ExecStartPost=/bin/sh -c 'ls /home/camera; touch /home/camera/pictures/mark || echo refused'");
    service.start();
    service.wait_for_samples(1);
    // What the last command of a start writes may reach the journal after the start has ended, as its last line.
    service.wait("the refusal in the journal", || service.journal(&[]).lines().any(|line| line == "refused"));
    let journal = service.journal(&[]);
    assert!(journal.lines().any(|line| line == "pictures"), "{journal}");
    assert!(!journal.lines().any(|line| line == "private"), "{journal}");

    // Even where everybody may look.
    service.sh("chmod -R o+rX /home/camera");
    service.run(&["rm", "/etc/systemd/system/edgetuned.service.d/watched-folder.conf"]);
    service.run(&["systemctl", "daemon-reload"]);
    service.run(&["systemctl", "restart", "edgetuned"]);
    let journal = service.journal(&["--priority=err"]);
    assert!(journal.contains("/home/camera/pictures"), "without it the folder is hidden, and that is said: {journal}");
}

fn the_password_of_the_broker_comes_as_a_credential(suite: Suite) {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["line-3", "right"]).status();
    if !made.is_ok_and(|status| status.success()) {
        return crate::skip::skip("mosquitto_passwd is not installed");
    }
    let inside = free_port();
    let lines = format!(
        "per_listener_settings true\nallow_anonymous false\npassword_file {{folder}}/users\n\
         listener {inside} 127.0.0.1\nallow_anonymous true\n"
    );
    let Some(broker) = Mosquitto::start_in(folder, free_port(), &lines) else { return };
    let Some(service) = Service::install_on(suite, &beside(broker.port)) else { return };
    service.configure("user", "mqtt: { username: line-3 }");
    service.put("/etc/edgetuned/mqtt_password", b"right\n");
    service.run(&["chmod", "600", "/etc/edgetuned/mqtt_password"]);
    service.drop_in_text("mqtt-password", &example("mqtt-password"));
    let mut ears = Listener::new(inside);
    service.start();
    ears.wait("status", "online", |status| status == "online");
    assert!(!service.journal(&[]).contains("right"), "{}", service.journal(&[]));
    service.run(&["systemctl", "stop", "edgetuned"]);
    ears.wait("status", "stopped", |status| status == "stopped");
}

fn the_broker_is_reached_when_it_comes_and_hears_what_was_before(suite: Suite) {
    let port = free_port();
    let Some(service) = Service::install_on(suite, &beside(port)) else { return };
    service.start();
    service.photograph(0..3);
    service.wait_for_samples(3);
    let broker = Mosquitto::start_in(tempfile::tempdir().unwrap(), port, "allow_anonymous true\n");
    let Some(_broker) = broker else { return };
    let mut ears = Listener::new(port);
    for number in 0..3 {
        let path = format!("/srv/camera/{number}.jpg");
        let prediction = ears.wait("prediction", &path, |prediction| prediction["path"] == path.as_str());
        assert_eq!(prediction.json["replayed"], true, "{:?}", prediction.json);
    }
}

fn who_is_not_on_the_list_of_addresses_is_not_reached(suite: Suite) {
    let Some(broker) = Mosquitto::start() else { return };
    let Some(service) = Service::install_on(suite, &beside(broker.port)) else { return };
    let mut ears = Listener::new(broker.port);
    service.drop_in_text("ip-allow-list", &example("ip-allow-list"));
    service.start();
    ears.wait("status", "online", |status| status == "online");
    service.run(&["systemctl", "stop", "edgetuned"]);
    service.drop_in_text("zz-elsewhere", "[Service]\nIPAddressAllow=\nIPAddressAllow=192.0.2.1\n");
    service.start();
    service.wait("told of it", || service.journal(&["--priority=warning"]).contains("no connection to the broker"));
    assert_eq!(service.status()["broker"], "disconnected");
}

/// Packets are dropped under an open connection, which neither side closes, as where a cable is pulled. With one systemd
/// only: it takes a minute until the loss is noticed.
#[test]
fn a_network_that_is_lost_and_comes_back_costs_no_message() {
    let Some(broker) = Mosquitto::start() else { return };
    let Some(service) = Service::install_on(Suite::Trixie, &beside(broker.port)) else { return };
    let mut ears = Listener::new(broker.port);
    // Filters are put in place when the service starts; only their lists are replaced under it.
    service.drop_in("IPAddressAllow=any");
    service.start();
    ears.wait("status", "online", |status| status == "online");
    service.run(&["systemctl", "set-property", "--runtime", "edgetuned", "IPAddressAllow=", "IPAddressDeny=any"]);
    service.photograph(0..3);
    service.wait_for_samples(3);
    service.wait("the loss noticed", || service.status()["broker"] == "disconnected");
    let status = service.status();
    assert!(status["spooled"].as_u64() >= Some(3), "what the broker has to hear waits: {status}");
    service.run(&["systemctl", "set-property", "--runtime", "edgetuned", "IPAddressAllow=any", "IPAddressDeny="]);
    for number in 0..3 {
        let path = format!("/srv/camera/{number}.jpg");
        ears.wait("prediction", &path, |prediction| prediction["path"] == path.as_str());
    }
    service.wait("an empty outbox", || service.status()["spooled"] == 0);
    assert_eq!(service.show("NRestarts"), "0", "{}", service.journal(&[]));
}
