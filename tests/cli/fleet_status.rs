//! `fleet status`: what a real mosquitto keeps of played devices, as a table and as JSON.

use serde_json::json;

use crate::desk::Desk;
use crate::fleet::{Fleet, Nature};
use crate::mosquitto::Mosquitto;

/// The first example of `name` in the page of messages.
fn documented(name: &str) -> String {
    let page = include_str!("../../docs/mqtt.md");
    let (_, rest) = page.split_once(&format!("```json {name}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn every_device_that_the_broker_knows_has_a_row() {
    let Some(broker) = Mosquitto::start() else { return };
    let desk = Desk::new();
    let status = format!("fleet status --url mqtt://127.0.0.1:{}", broker.port);
    desk.fails(&status, 69, &["no device *", "edgetuned/+/info", "check --devices"]);
    let devices = [("line-2", Nature::Installs), ("line-1", Nature::Installs), ("cam-1", Nature::Installs)];
    let fleet = Fleet::new(broker.port, &devices);
    for topic in ["info", "health", "state"] {
        let name = if topic == "state" { "prediction" } else { topic };
        fleet.say("line-1", topic, &documented(name));
    }
    fleet.say("line-1", "alert/drift", &documented("alert/drift"));
    fleet.say("line-2", "status", "offline");
    fleet.settle("line-1");

    let rows = desk.good(&format!("{status} --devices line-*"));
    let rows = rows.as_array().unwrap();
    let of = |key: &str| rows.iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!(
        (of("device"), of("status")),
        (vec![json!("line-1"), json!("line-2")], vec![json!("online"), json!("offline")])
    );
    assert_eq!((&rows[0]["heads"][0]["head"]["version"], &rows[0]["drift"]), (&json!(7), &json!(true)));
    assert_eq!((&rows[0]["heads"][0]["live"]["prequential"]["right"], &rows[0]["outbox"]), (&json!(36), &json!(0)));
    assert!(rows[0]["latest"]["label"].is_string(), "{}", rows[0]);

    // Where there is no terminal, --watch is one table.
    for words in [status.clone(), format!("{status} --watch")] {
        let ran = desk.run(&words);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!(lines.len(), 4, "{}", ran.out);
        let cells = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(cells(0), "device status head live drift queue outbox labelled alerts");
        assert_eq!(cells(1), "cam-1 online - - - - - - -");
        assert_eq!(cells(2), "line-1 online 7 90.0% of 40 yes 0 0 60/420 drift");
        assert_eq!(cells(3), "line-2 offline - - - - - - -");
    }
}

#[test]
fn a_fleet_that_cannot_be_seen_says_what_to_do() {
    let desk = Desk::new();
    for words in ["fleet", "fleet status --devices Line", "fleet status --every 3"] {
        assert_eq!(desk.run(words).code, Some(64), "{words}");
    }
    desk.fails("fleet status --url nonsense", 64, &["mqtt.url"]);
    // Nobody listens at port 1.
    desk.fails("fleet status --url mqtt://127.0.0.1:1", 69, &["no connection to", "127.0.0.1:1", "check --url"]);
}
