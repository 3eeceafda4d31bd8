//! The password of the broker as a credential of the service.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::daemon::Listener;
use crate::mosquitto::{Mosquitto, free_port};
use crate::{ENDING, QUIET, home};

const USER: &str = "mqtt: { username: line-3 }\n";

#[test]
fn without_a_password_file_the_service_credential_opens_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["line-3", "right"]).status();
    if !made.is_ok_and(|status| status.success()) {
        crate::skip::skip("mosquitto_passwd is not installed");
        return;
    }
    let inside = free_port();
    let lines = format!(
        "per_listener_settings true\nallow_anonymous false\npassword_file {{folder}}/users\n\
         listener {inside} 127.0.0.1\nallow_anonymous true\n"
    );
    let Some(broker) = Mosquitto::start_in(folder, free_port(), &lines) else { return };
    let home = home(broker.port, QUIET);
    home.configure(USER);
    let credentials = tempfile::tempdir().unwrap();
    fs::write(credentials.path().join("mqtt_password"), "right\n").unwrap();
    let mut ears = Listener::new(inside);
    let mut daemon = home.start_with(&[("CREDENTIALS_DIRECTORY", credentials.path())]);
    ears.wait("status", "online", |status| status == "online");
    daemon.stop(ENDING);
    let log = fs::read_to_string(home.log()).unwrap();
    assert!(!log.contains("right"), "the password is a secret: {log}");
}

#[test]
fn check_reports_a_credential_that_cannot_be_read() {
    let home = home(1, QUIET);
    home.configure(USER);
    let credentials = tempfile::tempdir().unwrap();
    let check = || {
        let output = Command::new(env!("CARGO_BIN_EXE_edgetuned"))
            .args(["--json", "check", "--offline", "--config"])
            .arg(home.config())
            .env("CREDENTIALS_DIRECTORY", credentials.path())
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(check()["ok"], true, "the service may have other credentials only");
    fs::create_dir(credentials.path().join("mqtt_password")).unwrap();
    let checked = check();
    assert_eq!(checked["problems"][0]["key"], "mqtt.password_file", "{checked}");
}
