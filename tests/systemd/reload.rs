//! A new configuration without a stop.

use crate::lab::Suite;
use crate::service::Service;

under_both!(
    a_good_configuration_takes_effect_once,
    a_bad_configuration_fails_the_reload_and_the_former_goes_on,
    a_hang_up_signal_reloads_too,
);

/// How often the daemon has begun to watch the second folder.
fn second_watched(service: &Service) -> usize {
    service.journal(&[]).matches("folder=/srv/second").count()
}

fn with_second_folder(service: &Service) {
    service.run(&["mkdir", "/srv/second"]);
    service.configure("watch", "watch: [{ path: /srv/camera, settle: 100ms }, { path: /srv/second, settle: 100ms }]");
}

fn a_good_configuration_takes_effect_once(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    service.start();
    let process = service.show("MainPID");
    with_second_folder(&service);
    service.run(&["systemctl", "reload", "edgetuned"]);
    service.wait("the second folder", || second_watched(&service) > 0);
    // A reload after this one would be seen before it: the journal is in order.
    service.run(&["systemctl", "reload", "edgetuned"]);
    service.wait("the second folder again", || second_watched(&service) > 1);
    service.run(&["systemctl", "stop", "edgetuned"]);
    let journal = service.journal(&[]);
    assert_eq!(journal.matches("config_changed").count(), 2, "one for each reload: {journal}");
    assert_eq!(second_watched(&service), 2, "{journal}");
    assert!(!journal.contains("timed out"), "{journal}");
    assert_eq!(service.show("NRestarts"), "0");
    assert!(journal.matches("Started edgetuned").count() == 1 && process != "0", "{journal}");
}

fn a_bad_configuration_fails_the_reload_and_the_former_goes_on(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    service.start();
    let process = service.show("MainPID");
    service.configure("bad", "prediction: { top_q: 3 }");
    let reloaded = service.try_run(&["systemctl", "reload", "edgetuned"]);
    assert!(!reloaded.status.success(), "{}", service.journal(&[]));
    assert_eq!([service.show("ActiveState"), service.show("MainPID")], ["active".to_owned(), process]);
    let told = service.journal(&["--priority=err"]);
    assert!(told.contains("top_q"), "who looks for errors finds the reason: {told}");
    service.photograph(0..2);
    // Without the bad file, so that 'ctl' finds the socket.
    service.configure("bad", "");
    service.wait_for_samples(2);
    assert!(!service.journal(&[]).contains("config_changed"), "{}", service.journal(&[]));
}

fn a_hang_up_signal_reloads_too(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    service.start();
    with_second_folder(&service);
    service.run(&["systemctl", "kill", "--kill-who=main", "--signal=HUP", "edgetuned"]);
    service.wait("the second folder", || second_watched(&service) > 0);
    service.wait("running", || service.show("SubState") == "running");
}
