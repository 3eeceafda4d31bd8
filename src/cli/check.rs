//! `edgetuned check`: the configuration and everything that it points at, every problem at once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::args::{self, Args};
use super::configuration;
use super::failure::{Failure, one_line, one_line_chain};
use super::log::Priority;
use super::output::Output;
use crate::backbone::{BadManifest, OnnxBackbone, OpenError, SLOW, Slow};
use crate::config::{Config, Feed, ImageSource, Mqtt, Problem};
use crate::http::{TokenError, check_token};
use crate::mqtt::{ClientCertificate, Tls, check_tls, try_broker};
use crate::shared::backbone::{BackboneInUse, NoBackbone};
use crate::shared::files::read_key;
use crate::shared::settings::{broker, credentials_folder, password_file};
use crate::store::{Reader, SpacesInUse, StoreError};
use crate::wire::{ProviderReport, ProviderUse};
use crate::words::{Access, CPU};

/// MiB that a quota has at least, for the whole of the state folder to stay within it.
const QUOTA_MIN: u64 = 8;

/// Folders that the packaged service does not see, and the settings of its unit that hide them.
const HIDDEN: [(&str, &str); 5] = [
    ("/tmp", "PrivateTmp"),
    ("/var/tmp", "PrivateTmp"),
    ("/home", "ProtectHome"),
    ("/root", "ProtectHome"),
    ("/run/user", "ProtectHome"),
];

#[derive(Debug, Serialize)]
struct Checked {
    ok: bool,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// What could be better, and is no fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
}

pub fn check(args: &Args, check: &args::Check, output: Output) -> Result<(), Failure> {
    let path = configuration::path(args);
    let (problems, warnings, hints, unavailable) = match configuration::read_valid(&path) {
        Err(problems) => (problems, Vec::new(), Vec::new(), 0),
        Ok((loaded, mut problems)) => {
            let file = path.display().to_string();
            let mut world = World { file, places: loaded.places, ..World::default() };
            world.look(&loaded.config);
            if !problems.is_empty() {
                // What is written wrongly was looked at by its default.
                world.problems.retain(|problem| world.places.contains_key(&problem.key));
            } else if !check.offline {
                world.broker(&loaded.config);
            }
            problems.append(&mut world.problems);
            (problems, [loaded.warnings, world.warnings].concat(), world.hints, world.unavailable)
        }
    };
    let checked = Checked { ok: problems.is_empty(), problems, warnings, hints };
    output.print(&checked, |out| {
        // As the service's first command it writes to the journal.
        let [warned, failed] = [Priority::Warning, Priority::Error].map(|priority| priority.mark(io::stdout()));
        checked.hints.iter().try_for_each(|hint| writeln!(out, "hint: {}", one_line(hint)))?;
        checked.warnings.iter().try_for_each(|warning| writeln!(out, "{warned}warning: {warning}"))?;
        checked.problems.iter().try_for_each(|problem| writeln!(out, "{failed}{problem}"))?;
        match checked.problems.len() {
            0 => writeln!(out, "{}: good", path.display()),
            1 => writeln!(out, "1 problem"),
            count => writeln!(out, "{count} problems"),
        }
    })?;
    match checked.problems.len() {
        0 => Ok(()),
        // The configuration itself is good; the machine lacks something.
        count if count == unavailable => Err(Failure::already_printed(69)),
        _ => Err(Failure::already_printed(78)),
    }
}

/// What the configuration points at.
#[derive(Default)]
struct World {
    /// The position of keys that no layer sets.
    file: String,
    /// Layer and line of the others.
    places: BTreeMap<String, (String, Option<u64>)>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    hints: Vec<String>,
    /// How many of the problems are none of the configuration's.
    unavailable: usize,
}

impl World {
    fn look(&mut self, config: &Config) {
        self.backbone(config);
        for (index, watch) in config.watch.iter().enumerate() {
            if let Err(error) = fs::read_dir(&watch.path) {
                let remedy = "create it, or let the daemon's user read it";
                self.add(&format!("watch[{index}].path"), &watch.path, &error.to_string(), "a readable folder", remedy);
            }
            self.sandbox(&format!("watch[{index}].path"), &watch.path);
        }
        self.store(config);
        for (index, source) in config.sources.iter().enumerate() {
            self.source(index, source);
        }
        if let Some(mqtt) = &config.mqtt {
            self.mqtt(mqtt);
        }
        if let Some(path) = &config.http.token_file {
            self.token(path);
        }
        for path in &config.updates.trusted_keys {
            if let Err(error) = read_key(path) {
                let remedy = "put the .pub file there that 'edgetuned update keygen' made, or correct the path";
                self.problem("updates.trusted_keys", one_line_chain(&error), "ed25519 public keys in PEM form", remedy);
            }
        }
    }

    /// Connects to the broker as the daemon would, unless what it needs for that is among the problems.
    fn broker(&mut self, config: &Config) {
        let Ok(Some(settings)) = broker(config) else { return };
        if self.problems.iter().any(|problem| problem.key.starts_with("mqtt.")) {
            return;
        }
        let Err(reason) = try_broker(settings) else { return };
        // The daemon goes on trying; this command does not.
        let reason = reason.trim_end_matches("; connecting again");
        let (found, remedy) = reason.split_once("; ").unwrap_or((reason, "look after the broker, and check again"));
        let keys =
            ["mqtt.username", "mqtt.password_file", "mqtt.client_id", "mqtt.ca_file", "mqtt.cert_file", "mqtt.url"];
        let named = keys.iter().filter_map(|key| Some((remedy.find(key)?, *key))).min();
        self.unavailable += 1;
        self.problem(
            named.map_or("mqtt.url", |(_, key)| key),
            found.to_owned(),
            "a broker that accepts this device",
            remedy,
        );
    }

    /// The files of a camera.
    fn source(&mut self, index: usize, source: &ImageSource) {
        let Feed::Http(camera) = &source.feed else { return };
        let access = match &camera.access {
            Some(Access::Basic { password_file: Some(path), .. }) => Some(("password_file", path)),
            Some(Access::Bearer { token_file }) => Some(("token_file", token_file)),
            Some(Access::Basic { password_file: None, .. }) | None => None,
        };
        let ca_file = camera.ca_file.as_ref().map(|path| ("ca_file", path));
        for (name, path) in access.into_iter().chain(ca_file) {
            self.readable(&format!("sources[{index}].{name}"), path);
        }
    }

    /// A file that the daemon reads when it connects.
    fn readable(&mut self, key: &str, path: &Path) {
        if let Err(error) = fs::read(path) {
            self.add(key, path, &error.to_string(), "a readable file", "put the file there, or correct the path");
        }
    }

    /// The broker's files.
    fn mqtt(&mut self, mqtt: &Mqtt) {
        let files = [
            ("mqtt.password_file", &password_file(mqtt, credentials_folder().as_deref())),
            ("mqtt.ca_file", &mqtt.ca_file),
            ("mqtt.cert_file", &mqtt.cert_file),
            ("mqtt.key_file", &mqtt.key_file),
        ];
        let before = self.problems.len();
        for (key, path) in files {
            if let Some(path) = path {
                self.readable(key, path);
            }
        }
        if self.problems.len() > before || !mqtt.url.starts_with("mqtts:") {
            return;
        }
        let pair = mqtt.cert_file.clone().zip(mqtt.key_file.clone());
        let client = pair.map(|(cert_file, key_file)| ClientCertificate { cert_file, key_file });
        if let Err(error) = check_tls(&Tls { ca_file: mqtt.ca_file.clone(), client }) {
            let (found, remedy) = error.rsplit_once("; ").unwrap_or((&error, "correct the file"));
            let key = files.iter().map(|(key, _)| *key).find(|key| remedy.contains(key)).unwrap_or("mqtt.ca_file");
            self.problem(key, found.to_owned(), "certificates and keys in PEM form", remedy);
        }
    }

    /// The door's token.
    fn token(&mut self, path: &Path) {
        let key = "http.token_file";
        match check_token(path) {
            Ok(false) => {}
            Ok(true) => {
                let found = format!("{}, which every user of this machine may read", path.display());
                let expected = "a file that the daemon's user alone may read".to_owned();
                self.warning(key, found, expected, format!("run 'chmod 600 {}'", path.display()));
            }
            Err(TokenError::Unreadable { source, .. }) => {
                let remedy = "put the file there for the daemon's user, or correct the path";
                self.add(key, path, &source.to_string(), "a readable file", remedy);
            }
            Err(TokenError::Unusable { found, .. }) => {
                let remedy = "write a token into it, for example that of 'openssl rand -hex 32'";
                self.add(key, path, &found, "16 to 512 visible characters on one line", remedy);
            }
        }
    }

    /// Opens the backbone as the daemon would: library, model, digest, tensor, probe image.
    fn backbone(&mut self, config: &Config) {
        let in_use = match BackboneInUse::find(config) {
            // That is looked at for itself.
            Err(NoBackbone::Store(_)) => BackboneInUse::configured(config),
            found => found,
        };
        let in_use = match in_use {
            Ok(in_use) => in_use,
            Err(NoBackbone::Manifest(BadManifest::Wrong(problem))) => {
                let problem = *problem;
                return self.problems.push(Problem {
                    file: problem.file.display().to_string(),
                    line: problem.line.map(|line| line as u64),
                    key: problem.key,
                    found: problem.found,
                    expected: problem.expected,
                    remedy: problem.remedy,
                });
            }
            Err(NoBackbone::Gone(error)) => {
                self.unavailable += 1;
                let error = one_line_chain(&error);
                let (found, remedy) = error.split_once("; ").unwrap_or((&error, "put its model back"));
                return self.model(config, found, remedy);
            }
            Err(error) => {
                return self.model(config, &one_line_chain(&error), "name a bundled backbone or a manifest's path");
            }
        };
        self.hints.extend(in_use.hint());
        if let Some(stand_in) = &in_use.manifest.stands_in {
            let found = format!("{}, whose model {} is not there", stand_in.asked, stand_in.missing.display());
            let expected = format!("a backbone with its model; {} serves until then", stand_in.serves);
            self.warning("backbone.model", found, expected, stand_in.remedy.to_owned());
        }
        match OnnxBackbone::open_on(&in_use.manifest, &config.backbone.execution()) {
            Ok((backbone, provider)) => {
                self.provider(&provider);
                if let Some(slow) = Slow::of(&in_use.manifest.name, backbone.one_picture()) {
                    let found = format!("one picture takes {} ms", slow.one_picture.as_millis());
                    let expected = format!("{} ms at most", SLOW.as_millis());
                    self.warning("backbone.model", found, expected, slow.remedy());
                }
            }
            Err(error) => {
                self.unavailable += usize::from(error.is_unavailable());
                let reason = one_line_chain(&error);
                if let OpenError::Provider { .. } = error {
                    let (found, remedy) = reason.rsplit_once("; ").unwrap_or((&reason, "put cpu at its end"));
                    let expected = "an execution provider that computes the backbone";
                    return self.problem("backbone.execution_providers", found.to_owned(), expected, remedy);
                }
                let remedy =
                    if error.is_unavailable() { "install ONNX Runtime" } else { "correct the manifest or the model" };
                self.model(config, &reason, remedy);
            }
        }
    }

    /// Whether the execution provider that was asked for computes the backbone, and what it is worth.
    fn provider(&mut self, provider: &ProviderUse) {
        let key = "backbone.execution_providers";
        let ProviderReport { asked, running, cosine, speedup, .. } = &provider.report;
        if let Some(text) = provider.fallback() {
            let (found, remedy) = text.split_once("; correct ").unwrap_or((&text, ""));
            let expected = format!("{} to compute the backbone", asked[0]);
            self.warning(key, found.to_owned(), expected, format!("correct {remedy}"));
        } else if let Some(text) = provider.shared() {
            self.hints.push(text);
        }
        if running != CPU {
            self.hints.push(format!(
                "the backbone runs on {running}, {speedup:.2} times as fast as on the CPU; cosine of their embeddings {cosine:.6}"
            ));
        }
        if let Some(own) = provider.report.of_its_own() {
            self.hints.push(format!(
                "embeddings of {own} are not those of the CPU: they are kept apart, so images are embedded again and heads \
                 trained anew when the provider changes"
            ));
        }
    }

    fn model(&mut self, config: &Config, found: &str, remedy: &str) {
        let found = format!("{}: {found}", config.backbone.model);
        self.problem("backbone.model", found, "a backbone that opens", remedy);
    }

    /// The state folder, or the nearest folder above it that exists, must be writable, and its store must open.
    fn store(&mut self, config: &Config) {
        let (path, quota) = (&config.store.path, config.store.quota_mb);
        if quota < QUOTA_MIN {
            let remedy = "raise it: the database and its log take one MiB by themselves";
            self.problem("store.quota_mb", quota.to_string(), &format!("{QUOTA_MIN} or more"), remedy);
        }
        self.sandbox("store.path", path);
        let Some(there) = path.ancestors().find(|folder| folder.exists()) else { return };
        let probe = there.join(format!(".edgetuned-check-{}", std::process::id()));
        let unusable = match fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
            Ok(()) => Reader::open(path, SpacesInUse::default()).err(),
            Err(error) => {
                let remedy = "let the daemon's user write there, or set another store.path";
                self.unavailable += 1;
                return self.add("store.path", there, &error.to_string(), "a writable folder", remedy);
            }
        };
        if let Some(error) = unusable.filter(|error| !matches!(error, StoreError::Missing { .. })) {
            let error = one_line_chain(&error);
            let (found, remedy) = error.split_once("; ").unwrap_or((&error, "restore a backup of it"));
            self.unavailable += 1;
            self.problem("store.path", found.to_owned(), "a state folder that opens", remedy);
        }
    }

    /// What the service cannot see, though this process can.
    fn sandbox(&mut self, key: &str, path: &Path) {
        let Some((_, why)) = HIDDEN.iter().find(|(folder, _)| path.starts_with(folder)) else { return };
        let expected = format!("a folder that the service's sandbox shows ({why})");
        let remedy = "use another folder, or let the service see it by systemd/examples/watched-folder.conf".to_owned();
        self.warning(key, path.display().to_string(), expected, remedy);
    }

    fn warning(&mut self, key: &str, found: String, expected: String, remedy: String) {
        let (file, line) = self.place(key);
        self.warnings.push(Problem { file, line, key: key.to_owned(), found, expected, remedy });
    }

    fn place(&self, key: &str) -> (String, Option<u64>) {
        self.places.get(key).cloned().unwrap_or_else(|| (self.file.clone(), None))
    }

    fn add(&mut self, key: &str, path: &Path, why: &str, expected: &str, remedy: &str) {
        self.problem(key, format!("{}: {why}", path.display()), expected, remedy);
    }

    fn problem(&mut self, key: &str, found: String, expected: &str, remedy: &str) {
        let (file, line) = self.place(key);
        self.problems.push(Problem {
            file,
            line,
            key: key.to_owned(),
            found,
            expected: expected.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
}
