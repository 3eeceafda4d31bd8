//! The Debian package: installed, configured, upgraded, removed, installed again, purged.
//!
//! Of what `make packages` built, in `target/packages` or in the folder that `EDGETUNED_PACKAGES` names; skipped, with a
//! word of it, where that has not been done.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Lab, Suite, allow};

under_both!(
    installed_it_is_enabled_and_starts_when_configured,
    an_upgrade_keeps_state_and_settings_and_restarts_only_what_runs,
    removed_it_leaves_what_the_operator_made_and_purged_nothing,
);

const CONFIGURE: &str = "printf 'watch:\\n  - path: /srv/camera\\nmqtt:\\n  url: null\\n' >>/etc/edgetuned/config.yaml";

/// The package for this machine, as the folder that `dpkg` gets: `first.deb`, and `second.deb` of a later version that
/// ships another configuration.
struct Packages(tempfile::TempDir);

impl Packages {
    /// `None`, and a word of why, where there is none.
    fn find() -> Option<Self> {
        let named = std::env::var_os("EDGETUNED_PACKAGES").map(PathBuf::from);
        let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/packages"));
        let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let Some(built) = files.into_iter().find(|path| path.to_string_lossy().ends_with("_amd64.deb")) else {
            crate::skip::not_here("there is no package to install (make packages ARCH=amd64)");
            return None;
        };
        let packages = Self(tempfile::tempdir().unwrap());
        allow(packages.0.path(), 0o755);
        fs::copy(&built, packages.path("first.deb")).unwrap();
        packages.make_second();
        Some(packages)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn make_second(&self) {
        let (tree, dpkg) = (self.path("tree"), |arguments: &[&Path]| {
            assert!(Command::new("dpkg-deb").args(arguments).output().unwrap().status.success(), "{arguments:?}");
        });
        dpkg(&[Path::new("--raw-extract"), &self.path("first.deb"), &tree]);
        let edit = |file: &str, old: &str, new: &str| {
            let text = fs::read_to_string(tree.join(file)).unwrap();
            assert!(text.contains(old), "{file}: {text}");
            fs::write(tree.join(file), text.replace(old, new)).unwrap();
        };
        edit("DEBIAN/control", "\nVersion: ", "\nVersion: 1:");
        edit("etc/edgetuned/config.yaml", "# edgetuned:", "# A later version.\n# edgetuned:");
        dpkg(&[Path::new("-Znone"), Path::new("--build"), &tree, &self.path("second.deb")]);
        fs::remove_dir_all(tree).unwrap();
    }

    fn boot(&self, suite: Suite) -> Option<Lab> {
        Lab::boot(suite, &[format!("--bind-ro={}:/packages", self.0.path().display())], None)
    }
}

/// Installs as unattended upgrades do: without questions, own settings stay.
fn install(lab: &Lab, name: &str) -> String {
    lab.run(&[
        "dpkg",
        "--force-confdef",
        "--force-confold",
        "--force-downgrade",
        "--install",
        &format!("/packages/{name}"),
    ])
}

fn is_active(lab: &Lab) -> bool {
    lab.ask(&["systemctl", "is-active", "edgetuned"]) == "active"
}

fn is_there(lab: &Lab, path: &str) -> bool {
    lab.try_run(&["test", "-e", path]).status.success()
}

fn installed_it_is_enabled_and_starts_when_configured(suite: Suite) {
    let Some(packages) = Packages::find() else { return };
    let Some(lab) = packages.boot(suite) else { return };
    let said = install(&lab, "first.deb");
    assert!(said.contains("edgetuned is not started until it is configured"), "{said}");
    assert_eq!(lab.ask(&["systemctl", "is-enabled", "edgetuned"]), "enabled");
    lab.run(&["systemctl", "start", "edgetuned"]);
    assert!(!is_active(&lab), "it was started without a configuration");
    assert_eq!(lab.ask(&["systemctl", "is-failed", "edgetuned"]), "inactive");
    assert_eq!(lab.run(&["stat", "--format=%U %a", "/etc/edgetuned/config.yaml"]), "root 644");

    lab.sh(CONFIGURE);
    lab.run(&["edgetuned", "check"]);
    lab.run(&["systemctl", "start", "edgetuned"]);
    assert!(is_active(&lab), "{}", lab.journal(&[]));
    assert_eq!(lab.run(&["stat", "--format=%U", "/var/lib/edgetuned"]), "edgetuned");
}

fn an_upgrade_keeps_state_and_settings_and_restarts_only_what_runs(suite: Suite) {
    let Some(packages) = Packages::find() else { return };
    let Some(lab) = packages.boot(suite) else { return };
    install(&lab, "first.deb");
    lab.sh(CONFIGURE);
    lab.run(&["systemctl", "start", "edgetuned"]);
    let (process, state) = (lab.show("MainPID"), lab.sh("ls -i /var/lib/edgetuned/*.db | sort"));
    assert!(!state.is_empty());

    install(&lab, "second.deb");
    assert!(is_active(&lab), "{}", lab.journal(&[]));
    assert_ne!(lab.show("MainPID"), process, "the former program still runs");
    assert_eq!(lab.sh("ls -i /var/lib/edgetuned/*.db | sort"), state);
    assert!(lab.run(&["cat", "/etc/edgetuned/config.yaml"]).contains("\nwatch:"), "its settings are lost");
    assert!(lab.run(&["cat", "/etc/edgetuned/config.yaml.dpkg-dist"]).contains("A later version"));

    lab.run(&["systemctl", "stop", "edgetuned"]);
    install(&lab, "first.deb");
    assert!(!is_active(&lab), "an upgrade started what an operator had stopped");
}

fn removed_it_leaves_what_the_operator_made_and_purged_nothing(suite: Suite) {
    let Some(packages) = Packages::find() else { return };
    let Some(lab) = packages.boot(suite) else { return };
    install(&lab, "first.deb");
    lab.sh(CONFIGURE);
    lab.run(&["systemctl", "start", "edgetuned"]);

    lab.run(&["dpkg", "--remove", "edgetuned"]);
    assert!(!is_active(&lab) && !is_there(&lab, "/usr/bin/edgetuned"));
    assert!(is_there(&lab, "/var/lib/edgetuned") && is_there(&lab, "/etc/edgetuned/config.yaml"));
    install(&lab, "first.deb");
    assert!(is_active(&lab), "installed again it is configured, and does not start");

    lab.put("/etc/edgetuned/mqtt_password", b"secret");
    lab.run(&["dpkg", "--purge", "edgetuned"]);
    assert!(!is_active(&lab));
    for path in
        ["/var/lib/edgetuned", "/var/cache/edgetuned", "/etc/edgetuned", "/usr/lib/edgetuned", "/usr/share/edgetuned"]
    {
        assert!(!is_there(&lab, path), "{path} is left");
    }
    assert!(!lab.try_run(&["getent", "passwd", "edgetuned"]).status.success(), "its user is left");
    assert_eq!(lab.sh("find /etc/systemd /var/lib/systemd -name 'edgetuned*'"), "", "traces of the unit are left");
}
