//! What an operator reads.

use serde_json::Value;

use crate::lab::Suite;
use crate::service::Service;

under_both!(messages_have_a_priority_a_name_and_no_time_of_their_own);

fn messages_have_a_priority_a_name_and_no_time_of_their_own(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    service.drop_in("Environment=EDGETUNED_LOG=info,edgetuned=debug");
    service.start();
    std::fs::write(service.camera().join("rubbish.jpg"), "no picture").unwrap();
    service.wait("a warning", || service.journal(&["--priority=warning"]).contains("rubbish.jpg"));
    assert_eq!(service.journal(&["--priority=err", "_COMM=edgetuned"]), "", "nothing is lost yet");
    service.run(&["systemctl", "stop", "edgetuned"]);

    let lines = service.journal(&["--output=json", "_COMM=edgetuned"]);
    let entries: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = |words: &str| entries.iter().filter(|entry| entry["MESSAGE"].as_str().unwrap().contains(words)).count();
    assert!(entries.len() > 5, "{lines}");
    for entry in &entries {
        assert_eq!(entry["SYSLOG_IDENTIFIER"], "edgetuned", "{entry}");
        let message = entry["MESSAGE"].as_str().expect("text; colours would make it bytes");
        let forbidden = ["INFO", "WARN", "DEBUG", "<6>", "\u{1b}"];
        assert!(!message.starts_with("20") && !forbidden.iter().any(|word| message.contains(word)), "{message}");
    }
    let priority = |words: &str| {
        let entry = entries.iter().find(|entry| entry["MESSAGE"].as_str().unwrap().contains(words));
        entry.unwrap_or_else(|| panic!("{words:?} is not in {lines}"))["PRIORITY"].as_str().unwrap()
    };
    assert_eq!(
        [priority("probe image"), priority("stopped"), priority("reading"), priority("quarantined")],
        ["6", "6", "7", "4"]
    );
    assert!(all("probe image") == 1, "{lines}");
}
