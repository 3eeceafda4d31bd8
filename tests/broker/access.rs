//! Who may connect: passwords, authorities, client certificates.

use std::fs;
use std::path::Path;
use std::process::Command;

use edgetuned::mqtt::{ClientCertificate, Credentials, Settings, Tls};

use crate::device::{Device, settings};
use crate::mosquitto::{Mosquitto, free_port};

#[test]
fn a_wrong_password_is_told_in_words_and_a_right_one_is_taken_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["line", "right"]).status();
    if !made.is_ok_and(|status| status.success()) {
        crate::skip::skip("mosquitto_passwd is not installed");
        return;
    }
    let lines = "allow_anonymous false\npassword_file {folder}/users\n";
    let Some(broker) = Mosquitto::start_in(folder, free_port(), lines) else { return };
    let password_file = broker.folder().join("password");
    let credentials = Credentials { username: "line".into(), password_file: Some(password_file.clone()) };
    let device = Device::start(Settings { credentials: Some(credentials), ..settings(broker.port) });
    let reason = device.barred();
    assert!(reason.contains("cannot read the password") && reason.contains("mqtt.password_file"), "{reason}");
    fs::write(&password_file, "wrong\n").unwrap();
    let reason = device.barred();
    assert!(reason.contains(r#"refuses user "line""#), "{reason}");
    fs::write(&password_file, "right\n").unwrap();
    device.connected();
    let anonymous = Device::start(settings(broker.port));
    let reason = anonymous.barred();
    assert!(reason.contains("without a name"), "{reason}");
}

#[test]
fn tls_checks_the_broker_against_the_given_authority() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1".split(' '))
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder.path())
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        crate::skip::skip("openssl is not installed");
        return;
    }
    let lines = "allow_anonymous true\ncertfile {folder}/cert.pem\nkeyfile {folder}/key.pem\n";
    let Some(broker) = Mosquitto::start_in(folder, free_port(), lines) else { return };
    let with_ca = |ca_file: &str, scheme: &str| Settings {
        broker: format!("{scheme}://127.0.0.1:{}", broker.port).parse().unwrap(),
        tls: Tls { ca_file: Some(broker.folder().join(ca_file)), client: None },
        ..settings(broker.port)
    };
    let device = Device::start(with_ca("missing.pem", "mqtts"));
    let reason = device.barred();
    assert!(reason.contains("missing.pem") && reason.contains("mqtt.ca_file"), "{reason}");
    drop(device);

    fs::copy(broker.folder().join("cert.pem"), broker.folder().join("ca.pem")).unwrap();
    Device::start(with_ca("ca.pem", "mqtts")).connected();
    // The system's authorities have not signed this one.
    let device = Device::start(Settings { tls: Tls::default(), ..with_ca("ca.pem", "mqtts") });
    let reason = device.barred();
    assert!(reason.contains("TLS") || reason.contains("ca-certificates"), "{reason}");
    drop(device);
    let reason = Device::start(with_ca("ca.pem", "mqtt")).disconnected();
    assert!(reason.contains("with TLS for mqtts:// only"), "{reason}");
}

/// Runs openssl in `folder`; whether it could.
fn openssl(folder: &Path, line: &str) -> bool {
    let run = Command::new("openssl").args(line.split(' ')).current_dir(folder).output();
    run.is_ok_and(|output| output.status.success())
}

#[test]
fn a_client_certificate_opens_a_broker_that_asks_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let made = [
        format!("req -x509 {key} -days 2 -subj /CN=authority -keyout authority-key.pem -out authority.pem"),
        format!("req {key} -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out broker.csr"),
        "x509 -req -in broker.csr -CA authority.pem -CAkey authority-key.pem -days 2 -copy_extensions copy -out \
         cert.pem"
            .to_owned(),
        format!("req {key} -subj /CN=line-3 -addext extendedKeyUsage=clientAuth -keyout line-key.pem -out line.csr"),
        "x509 -req -in line.csr -CA authority.pem -CAkey authority-key.pem -days 2 -copy_extensions copy -out line.pem"
            .to_owned(),
    ]
    .iter()
    .all(|line| openssl(folder.path(), line));
    if !made {
        crate::skip::skip("openssl is not installed");
        return;
    }
    let lines = "allow_anonymous true\ncafile {folder}/authority.pem\ncertfile {folder}/cert.pem\n\
                 keyfile {folder}/key.pem\nrequire_certificate true\n";
    let Some(broker) = Mosquitto::start_in(folder, free_port(), lines) else { return };
    let file = |name: &str| broker.folder().join(name);
    let with = |client: Option<ClientCertificate>| Settings {
        broker: format!("mqtts://127.0.0.1:{}", broker.port).parse().unwrap(),
        tls: Tls { ca_file: Some(file("authority.pem")), client },
        ..settings(broker.port)
    };
    let ours = ClientCertificate { cert_file: file("line.pem"), key_file: file("line-key.pem") };
    Device::start(with(Some(ours.clone()))).connected();

    let reason = Device::start(with(None)).disconnected();
    assert!(reason.contains("TLS") || reason.contains("closed the connection"), "{reason}");
    let strangers_key = ClientCertificate { key_file: file("key.pem"), ..ours };
    let reason = Device::start(with(Some(strangers_key))).disconnected();
    assert!(reason.contains("do not match") && reason.contains("mqtt.key_file"), "{reason}");
}
