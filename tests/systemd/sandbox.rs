//! What the service may touch.

use crate::lab::Suite;
use crate::service::Service;

under_both!(it_writes_to_its_own_folders_only, a_read_only_system_is_enough);

/// Where everything of the daemon's user has to lie; the last is its `/tmp`.
const OWN: [&str; 4] = ["/var/lib/edgetuned", "/var/cache/edgetuned", "/run/edgetuned", "/tmp/systemd-private-"];

fn it_writes_to_its_own_folders_only(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    crate::lab::allow(&service.camera(), 0o777);
    // The shell is in the daemon's sandbox, and where modes let everybody write only that can refuse.
    service.run(&["mkdir", "--mode=777", "/srv/open", "/var/open", "/etc/open"]);
    let touch = "for folder in /srv/camera /srv/open /var/open /etc/open /run /dev /home /var/lib/edgetuned; do \
        touch $folder/mark 2>/dev/null && echo wrote to $folder; done; true";
    service.drop_in(&format!("ExecStartPost=/bin/sh -c '{}'", touch.replace('$', "$$")));
    service.start();
    service.photograph(0..5);
    service.wait_for_samples(5);
    let journal = service.journal(&[]);
    assert_eq!(journal.matches("wrote to").count(), 1, "{journal}");
    assert!(journal.contains("wrote to /var/lib/edgetuned"), "{journal}");

    // Its control group is its own from 254 on.
    let owned = service.sh("find / -user edgetuned -not -path '/proc/*' -not -path '/sys/*' 2>/dev/null || true");
    let foreign: Vec<_> = owned.lines().filter(|path| !OWN.iter().any(|own| path.starts_with(own))).collect();
    assert!(owned.contains("/var/lib/edgetuned/edgetuned.db") && foreign.is_empty(), "{owned}");
}

fn a_read_only_system_is_enough(suite: Suite) {
    let Some(service) = Service::install(suite) else { return };
    // As devices have it that never write to their system: state on a partition of its own, the rest in memory.
    service.run(&["journalctl", "--relinquish-var"]);
    service.sh("mount -t tmpfs state /var/lib; mount -t tmpfs cache /var/cache; mount -o remount,bind,ro /");
    assert!(!service.try_run(&["touch", "/etc/mark"]).status.success());
    service.start();
    service.photograph(0..5);
    service.wait_for_samples(5);
    service.run(&["systemctl", "restart", "edgetuned"]);
    service.wait_for_samples(5);
}
