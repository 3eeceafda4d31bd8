//! A head in stages: three real daemons, of which one trusts nobody at first.

use serde_json::{Value, json};

use crate::daemon::{Daemon, Home};
use crate::mosquitto::Mosquitto;
use crate::updates::Workshop;
use crate::{ENDING, QUIET, home};

/// What `ctl status` says, once the daemon is connected to the broker.
fn status(home: &Home, daemon: &mut Daemon) -> Value {
    loop {
        assert!(daemon.is_running(), "the daemon ended by itself");
        let output = home.command(&["ctl", "status", "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if status["broker"] == "connected" {
            return status;
        }
    }
}

#[test]
fn a_fleet_gets_a_head_in_stages_until_a_device_refuses_and_all_of_it_when_run_again() {
    let Some(broker) = Mosquitto::start() else { return };
    let workshop = Workshop::new();
    workshop.train("parts.safetensors", 0, "default");
    let manifest = workshop.sign("parts.safetensors", 5, "signing.key");
    let trusting = |id: &str| {
        let key = workshop.path("signing.key.pub");
        format!("device: {{ id: {id} }}\nupdates: {{ trusted_keys: [{}] }}\n", key.display())
    };
    let mut devices: Vec<(Home, Daemon)> = ["line-1", "line-2", "line-3"]
        .into_iter()
        .map(|id| {
            let home = home(broker.port, QUIET);
            let doubts = format!("device: {{ id: {id} }}\n");
            home.configure(&if id == "line-2" { doubts } else { trusting(id) });
            let daemon = home.start();
            (home, daemon)
        })
        .collect();
    for (home, daemon) in &mut devices {
        assert_eq!(status(home, daemon)["head"], Value::Null);
    }
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let roll_out = |more: &[&str]| {
        let words =
            ["update", "publish", &manifest, "--file", "parts.safetensors", "--device", "line-*", "--url", &url];
        workshop.run(&[&words[..], more].concat())
    };
    let (code, report) = roll_out(&["--first", "34%", "--stop-after", "1"]);
    let line = |report: &Value, n: usize| report["devices"][n].clone();
    assert_eq!((code, &report["stopped"]), (1, &json!(true)), "{report}");
    assert_eq!((&line(&report, 1)["outcome"], &line(&report, 1)["code"]), (&json!("refused"), &json!("no_keys")));
    assert_eq!(line(&report, 2)["outcome"], "not_sent");
    // How far the first one was when the second refused is a matter of moments.
    let first = line(&report, 0)["outcome"].clone();
    assert!(first == "withdrawn" || first == "on_probation", "{report}");
    let (home, daemon) = &mut devices[2];
    assert_eq!(status(home, daemon)["head"], Value::Null);

    let (home, daemon) = &mut devices[1];
    daemon.stop(ENDING);
    home.configure(&trusting("line-2"));
    *daemon = home.start();
    status(home, daemon);
    let (code, report) = roll_out(&["--stop-after", "1"]);
    assert_eq!(code, 0, "{report}");
    for n in 0..3 {
        assert_eq!((&line(&report, n)["outcome"], &line(&report, n)["stage"]), (&json!("installed"), &json!(1)));
    }
    let heads: Vec<Value> =
        devices.iter_mut().map(|(home, daemon)| status(home, daemon)["head"]["id"].clone()).collect();
    assert!(heads[0].is_string() && heads.iter().all(|head| *head == heads[0]), "{heads:?}");
    let (code, rows) = workshop.run(&["fleet", "status", "--url", &url]);
    let of = |key: &str| rows.as_array().unwrap().iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!((code, of("device")), (0, vec![json!("line-1"), json!("line-2"), json!("line-3")]), "{rows}");
    assert!(of("status").iter().all(|status| status == "online"), "{rows}");
    assert!(of("heads").iter().all(|served| served[0]["head"]["id"] == heads[0]), "{rows}");
    let (code, report) = roll_out(&[]);
    assert_eq!((code, &report["chunks_sent"]), (0, &json!(0)), "what is installed is not sent again: {report}");
}
