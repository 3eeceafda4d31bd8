//! edgetuned as a package would install it, on a machine of its own.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::camera::{Camera, Light, Part};
use crate::lab::{Lab, Suite};

/// What every test begins with: the small backbone, one folder, and nothing that happens by itself.
const CONFIGURATION: &str = "device: { id: line-3 }\nbackbone: { model: tiny-test }\n\
    training: { schedule: null, min_new_labels: 1000000 }\n";
const WATCH: &str = "watch: [{ path: /srv/camera, settle: 100ms }]\n";
const NO_BROKER: &str = "mqtt: { url: null }\n";

/// The installed service; it has not been started.
pub struct Service {
    lab: Lab,
}

impl Deref for Service {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

/// What is special about a machine.
#[derive(Default)]
pub struct Machine<'a> {
    /// The port of a broker on this machine, whose network the other one then shares; else it has none.
    pub broker: Option<u16>,
    /// Stands in the place of ONNX Runtime's library, which is `libonnxruntime.real.so` then.
    pub library: Option<&'a Path>,
    /// All the memory that there is, for everything that runs there.
    pub memory_bytes: Option<u64>,
}

impl Service {
    /// On an ordinary machine without any network; `None`, and a word of why, where no machine can be had.
    pub fn install(suite: Suite) -> Option<Self> {
        Self::install_on(suite, &Machine::default())
    }

    /// On this machine.
    pub fn install_on(suite: Suite, machine: &Machine) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let Some(library) = library(root) else {
            crate::skip::skip("there is no ONNX Runtime library; tools/setup.sh gets it");
            return None;
        };
        let put = |from: &Path, to: &str| format!("--bind-ro={}:{to}", from.display());
        let files = [
            put(Path::new(env!("CARGO_BIN_EXE_edgetuned")), "/usr/bin/edgetuned"),
            put(machine.library.unwrap_or(&library), "/usr/lib/edgetuned/libonnxruntime.so"),
            put(&root.join("models"), "/usr/share/edgetuned/models"),
            put(&root.join("systemd/edgetuned.service"), "/usr/lib/systemd/system/edgetuned.service"),
            put(&root.join("systemd/edgetuned.sysusers"), "/usr/lib/sysusers.d/edgetuned.conf"),
        ];
        let real = machine.library.map(|_| put(&library, "/usr/lib/edgetuned/libonnxruntime.real.so"));
        let network = machine.broker.is_none().then(|| "--private-network".to_owned());
        let lab = Lab::boot(suite, &[&files, real.as_slice(), network.as_slice()].concat(), machine.memory_bytes)?;
        let service = Self { lab };
        service.run(&["systemd-sysusers"]);
        service.put("/etc/edgetuned/config.yaml", format!("{CONFIGURATION}{WATCH}").as_bytes());
        let broker = machine.broker.map(|port| format!("mqtt: {{ url: 'mqtt://127.0.0.1:{port}' }}\n"));
        service.configure("mqtt", broker.as_deref().unwrap_or(NO_BROKER));
        Some(service)
    }

    /// Adds a file to the configuration; it counts from the next start or reload.
    pub fn configure(&self, name: &str, text: &str) {
        self.put(&format!("/etc/edgetuned/conf.d/{name}.yaml"), text.as_bytes());
    }

    /// Adds a drop-in with these lines in its section `[Service]`.
    pub fn drop_in(&self, lines: &str) {
        self.drop_in_text("50-test", &format!("[Service]\n{lines}\n"));
    }

    /// Adds this drop-in.
    pub fn drop_in_text(&self, name: &str, text: &str) {
        self.put(&format!("/etc/systemd/system/edgetuned.service.d/{name}.conf"), text.as_bytes());
        self.run(&["systemctl", "daemon-reload"]);
    }

    /// Starts it; returns when it is ready.
    pub fn start(&self) {
        self.run(&["systemctl", "start", "edgetuned"]);
        assert_eq!(self.show("ActiveState"), "active");
    }

    /// What the daemon says of itself; null while it does not answer.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.ask(&["edgetuned", "--json", "ctl", "status"])).unwrap_or_default()
    }

    /// Waits until the watchdog would have ended it twice if nobody spoke; its period is `seconds`.
    pub fn wait_until_older_than_two_watchdogs(&self, seconds: u64) {
        let since: u64 = self.show("ActiveEnterTimestampMonotonic").parse().unwrap();
        self.wait("old enough", || {
            let uptime = self.run(&["cat", "/proc/uptime"]);
            let now: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
            now - since as f64 / 1e6 > 2.0 * seconds as f64
        });
        assert!(!self.journal(&[]).contains("Watchdog timeout"), "{}", self.journal(&[]));
    }

    /// Waits until the daemon has as many samples.
    pub fn wait_for_samples(&self, count: u64) {
        self.wait(&format!("{count} samples"), || self.status()["samples"] == count);
    }

    /// Writes different pictures into the watched folder, numbered like this.
    pub fn photograph(&self, numbers: std::ops::Range<u64>) {
        photograph(&self.camera(), numbers);
    }
}

/// Writes pictures into a folder as a careful camera does: whole or not at all.
pub fn photograph(folder: &Path, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let bytes = Camera::new(11).with_size(64, 48).jpeg(Part::Bolt, number, &Light::DAY);
        let hidden = folder.join(format!(".{number}"));
        fs::write(&hidden, bytes).unwrap();
        fs::rename(hidden, folder.join(format!("{number}.jpg"))).unwrap();
    }
}

/// The library that the tests of this checkout use.
fn library(root: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("EDGETUNED_ORT").map(PathBuf::from);
    let fetched = || {
        let files = fs::read_dir(root.join(".ort")).ok()?.flatten().map(|entry| entry.path());
        let is_library = |path: &PathBuf| path.extension().is_some_and(|extension| extension != "sha256");
        files.filter(is_library).find(|path| path.to_string_lossy().contains("libonnxruntime.so"))
    };
    fs::canonicalize(named.or_else(fetched)?).ok()
}
