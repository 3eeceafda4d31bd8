//! A bundled name that means another backbone than before, and a person who changes over to it.
//!
//! The backbones are two models with the same embeddings, so that one is as good as the other, and one that knows colours
//! alone.

use std::fs;
use std::process::Output;

use edgetuned::words::Digest;
use serde_json::Value;

use super::camera::Part;
use super::daemon::{Daemon, Home, Listener, PATIENCE, signal};
use super::mosquitto::Mosquitto;
use super::onnx::{body, more_weights};
use super::{ENDING, home, picture};

const PARTS: [Part; 3] = [Part::Nut, Part::Spring, Part::Washer];
/// Of each part.
const IMAGES: u64 = 12;

/// A device on which `default` is the small backbone, with a head on three classes.
struct Stage {
    // Killed last.
    _broker: Mosquitto,
    home: Home,
    daemon: Daemon,
    ears: Listener,
    /// Of its head.
    head: Value,
}

/// The model of the project's tests with weights that nothing reads, so many and more: two models with the same embeddings,
/// neither of which is bundled with the program.
fn models() -> [(&'static str, Vec<u8>); 2] {
    let model = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny-test.onnx")).unwrap();
    [("small", 8), ("large", 16)]
        .map(|(name, values)| (name, [model.clone(), more_weights("ballast", values)].concat()))
}

/// The manifest of the model called `name`.
fn manifest(name: &str, resize: &str) -> String {
    let model = models().into_iter().find(|(model, _)| *model == name).unwrap().1;
    let bundled = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny-test.yaml")).unwrap();
    let with = |line: &str| match line.trim_start().split(':').next() {
        Some("name") => format!("name: {name}"),
        Some("file") => format!("file: {name}.onnx"),
        Some("sha256") => format!("sha256: {}", Digest::of(&model)),
        Some("resize") => format!("  resize: {resize}"),
        _ => line.to_owned(),
    };
    bundled.lines().map(with).collect::<Vec<_>>().join("\n")
}

/// A backbone of the mean colours of a picture.
fn colours(sha256: Digest) -> String {
    format!(
        "name: colours\nfile: colours.onnx\nsha256: {sha256}\ninput:\n  tensor: input\n  layout: nchw\n  size: [16, 16]\n  \
         channels: rgb\n  mean: 0\n  std: 255\n  resize: stretch\nembedding:\n  tensor: map\n  dim: 8\n  pool: avg\n"
    )
}

fn bundle_models(home: &Home) {
    for (name, model) in models() {
        home.bundle(&format!("{name}.onnx"), &model);
    }
}

/// The manifest of a backbone of the repository, for another folder.
fn released(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let text = fs::read_to_string(format!("{folder}/{name}.yaml")).unwrap();
    text.replace("file: ", &format!("file: {folder}/"))
}

impl Stage {
    fn set() -> Option<Self> {
        Self::with(&manifest("small", "stretch"))
    }

    /// The same where `default` is another one.
    fn with(default: &str) -> Option<Self> {
        let broker = Mosquitto::start_with("allow_anonymous true\npersistence true\npersistence_location {folder}/\n")?;
        let home = home(broker.port, "training: { schedule: null, min_new_labels: 36, cooldown: 0s }");
        bundle_models(&home);
        home.bundle("default.yaml", default.as_bytes());
        let poor = body().output("map", "n 8 16 16").bytes();
        home.bundle("colours.yaml", colours(Digest::of(&poor)).as_bytes());
        home.bundle("colours.onnx", &poor);
        let mut ears = Listener::new(broker.port);
        let daemon = home.start();
        ears.wait("status", "online", |status| status == "online");
        for index in 0..IMAGES {
            for part in PARTS {
                home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
            }
        }
        let result = ears.wait("train/result", "promoted", |result| result["promoted"] == true).json;
        let head = result["head"].clone();
        Some(Self { _broker: broker, home, daemon, ears, head })
    }

    /// An upgrade of the package: `default` is the large backbone from now on, and the small one has a name of its own.
    fn upgrade(&self) {
        self.home.bundle("default.yaml", manifest("large", "stretch").as_bytes());
        self.home.bundle("photo.yaml", manifest("small", "stretch").as_bytes());
    }

    /// What runs now, by its name.
    fn serves(&mut self, backbone: &str) -> Value {
        let info = self.ears.wait("info", backbone, |info| info["backbone"]["name"] == backbone).json;
        info["head"].clone()
    }

    fn stop(&mut self) {
        self.daemon.stop(ENDING);
        self.ears.wait("status", "stopped", |status| status == "stopped");
        self.ears.forget();
    }

    fn kill(&mut self) {
        signal("KILL", self.daemon.id());
        self.daemon.gone();
        self.ears.forget();
    }

    fn start(&mut self) {
        self.daemon = self.home.start();
    }

    fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.home.command(words).output().unwrap();
        (status.code(), [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
    }

    /// Where the switch is, by `ctl status`.
    fn status(&self) -> Value {
        let (code, said) = self.run(&["--json", "ctl", "status"]);
        assert_eq!(code, Some(0), "{said}");
        serde_json::from_str::<Value>(&said).unwrap()["switch"].clone()
    }

    /// The database of the stopped daemon.
    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.home.state().join("edgetuned.db")).unwrap()
    }

    /// Samples and labels in the store.
    fn holdings(&self) -> (u64, u64) {
        let sql = "SELECT count(*), count(label) FROM task_samples";
        self.database().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    /// Files of backbones in the state folder.
    fn files(&self) -> usize {
        fs::read_dir(self.home.state().join("backbones")).map_or(0, Iterator::count)
    }

    /// A new picture, and the backbone that predicted it.
    fn predicts(&mut self, index: u64) -> Value {
        let path = self.home.put(&format!("after-{index}.jpg"), &picture(Part::Spring, index));
        let prediction = self.ears.prediction(&path);
        assert!(prediction["label"].is_string(), "{prediction}");
        prediction["backbone"].clone()
    }
}

#[test]
fn an_upgrade_keeps_the_backbone_until_a_person_changes_over() {
    let Some(mut stage) = Stage::set() else { return };
    stage.stop();
    stage.upgrade();
    // Twice: the first store remembers what served, the second one is of a version that did not.
    for start in 0..2 {
        stage.start();
        assert_eq!(stage.serves("small")["id"], stage.head["id"], "the head serves on");
        assert_eq!(stage.predicts(500 + start), "small");
        stage.stop();
        stage.database().execute("UPDATE state SET backbone = NULL", []).unwrap();
    }
    let log = fs::read_to_string(stage.home.log()).unwrap();
    let hints = log.lines().filter(|line| line.contains("'edgetuned backbone switch default'")).count();
    assert_eq!(hints, 2, "a hint at each start: {log}");
    let (code, said) = stage.run(&["check", "--offline"]);
    assert!(code == Some(0) && said.contains("hint: ") && said.contains("backbone switch default"), "{said}");
    let (_, listed) = stage.run(&["backbone", "list"]);
    let serving: Vec<_> = listed.lines().filter(|line| line.ends_with(", serves")).collect();
    assert!(serving.len() == 1 && serving[0].starts_with("photo "), "{listed}");

    // The file that a store needs is not there: nothing is embedded anew by another backbone.
    stage.start();
    stage.serves("small");
    stage.stop();
    let photo = stage.home.bundle("photo.yaml", b"");
    fs::remove_file(&photo).unwrap();
    stage.start();
    assert_eq!(stage.daemon.gone().code(), Some(69));
    let log = fs::read_to_string(stage.home.log()).unwrap();
    assert!(
        log.contains("the images and heads of this device are of small") && log.contains("put its model back"),
        "{log}"
    );
    let (code, said) = stage.run(&["check", "--offline"]);
    assert!(code == Some(69) && said.contains("are of small"), "{said}");

    // It is back, and a person changes the setting.
    stage.upgrade();
    stage.home.configure("backbone: { model: default-int8 }");
    let quick = manifest("small", "crop").replace("name: small", "name: quick");
    stage.home.bundle("default-int8.yaml", quick.as_bytes());
    stage.start();
    stage.serves("quick");
    stage.ears.wait("event", "about the change", |event| event["event_type"] == "backbone_changed");
    stage.stop();
}

#[test]
fn a_store_of_the_former_default_goes_on_with_it_under_its_new_name() {
    let Some(mut stage) = Stage::with(&released("photo")) else { return };
    stage.stop();
    stage.database().execute("UPDATE state SET backbone = NULL", []).unwrap();
    stage.home.bundle("default.yaml", manifest("large", "stretch").as_bytes());
    stage.start();
    assert_eq!(stage.serves("edgetuned-photo")["id"], stage.head["id"]);
    assert_eq!(stage.predicts(500), "edgetuned-photo");
    let log = fs::read_to_string(stage.home.log()).unwrap();
    assert!(log.contains("edgetuned-photo (photo), of which the images and heads here are, serves on"), "{log}");
    stage.stop();
}

#[test]
fn a_switch_embeds_again_judges_and_takes_over_and_what_does_not_open_gives_way() {
    let Some(mut stage) = Stage::set() else { return };
    stage.stop();
    stage.upgrade();
    let (code, said) = stage.run(&["backbone", "switch", "default"]);
    assert!(
        code == Some(69) && said.contains("no daemon answers") && said.contains("setting backbone.model"),
        "{said}"
    );
    stage.start();
    let before = stage.serves("small");
    let (code, said) = stage.run(&["backbone", "switch", "photo"]);
    assert!(code == Some(0) && said.contains("small serves already"), "{said}");

    // Worse ones stay out.
    let (code, said) = stage.run(&["backbone", "switch", "colours"]);
    assert!(code == Some(1) && said.contains("was refused") && said.contains("nothing has changed"), "{said}");
    assert_eq!((stage.files(), stage.status()["phase"].clone()), (0, "refused".into()));
    assert_eq!(stage.predicts(600), "small");
    let (code, said) = stage.run(&["backbone", "switch", "smal"]);
    assert!(code == Some(1) && said.contains("there is no bundled backbone \"smal\""), "{said}");

    let (code, said) = stage.run(&["backbone", "switch", "default"]);
    println!("{said}");
    assert!(
        code == Some(0)
            && said.contains("default (large) serves, on probation")
            && said.contains("37 images embedded again"),
        "{said}"
    );
    let head = stage.serves("large");
    assert_ne!(head["id"], before["id"]);
    stage.ears.wait("event", "about the change", |event| event["event_type"] == "backbone_changed");
    assert_eq!(stage.predicts(601), "large");
    assert_eq!(stage.status()["phase"], "trial");
    let (code, said) = stage.run(&["backbone", "switch", "photo"]);
    assert!(code == Some(1) && said.contains("on probation until it has served for a minute"), "{said}");
    let states = stage.ears.heard("update/backbone/state");
    assert!(states.iter().all(|state| state.json["phase"] == "idle"), "it is no update: {states:?}");

    // The package moves away; the device has a copy of what it switched to.
    stage.stop();
    fs::rename(stage.home.bundle("x", b"").parent().unwrap(), stage.home.state().with_file_name("elsewhere")).unwrap();
    stage.home.bundle("default.yaml", b"no: manifest");
    stage.start();
    assert_eq!(stage.serves("large")["id"], head["id"]);

    // Still on trial, and it does not open any more: the pair before it serves again by itself.
    stage.kill();
    stage.upgrade();
    bundle_models(&stage.home);
    for file in fs::read_dir(stage.home.state().join("backbones")).unwrap() {
        fs::write(file.unwrap().path(), b"damaged").unwrap();
    }
    stage.start();
    assert_eq!(stage.serves("small")["id"], before["id"]);
    let reported = |event: &Value| event["event_type"] == "update_failed" && event["code"] == "did_not_hold";
    stage.ears.wait("event", "that it did not hold", reported);
    let status = stage.status();
    assert_eq!((&status["phase"], &status["backbone"]), (&"reverted".into(), &"default".into()), "{status}");
    assert_eq!((stage.predicts(602), stage.files()), ("small".into(), 0));
    stage.stop();
}

#[test]
fn a_crash_while_images_are_embedded_again_and_one_at_the_change_lose_nothing() {
    let Some(mut stage) = Stage::set() else { return };
    stage.stop();
    stage.upgrade();
    let holdings = stage.holdings();
    assert_eq!(holdings, (3 * IMAGES, 3 * IMAGES));
    // The load is above that on a machine that runs tests: it pauses after the first image.
    stage.home.configure("training: { pause_above_load: 0.1 }");
    stage.start();
    stage.serves("small");
    let mut command = stage.home.command(&["backbone", "switch", "default"]).spawn().unwrap();
    let until = std::time::Instant::now() + PATIENCE;
    while stage.files() < 2 {
        assert!(std::time::Instant::now() < until, "nothing was written");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    stage.kill();
    let state: String = stage.database().query_row("SELECT backbone FROM state", [], |row| row.get(0)).unwrap();
    println!("killed with this state: {state}");
    assert!(state.contains("\"switch\":{") || state.contains("\"switched\":{"), "{state}");
    assert_eq!(stage.holdings(), holdings);

    // What another crash may have left.
    let stray = stage.home.state().join(format!("backbones/{}.onnx", Digest::of(b"stray")));
    fs::write(&stray, "").unwrap();

    // It goes on by itself, and the command that waits sees its end.
    stage.home.configure("training: {}");
    stage.start();
    stage.ears.wait("event", "about the change", |event| event["event_type"] == "backbone_changed");
    stage.kill();
    stage.start();
    let head = stage.serves("large");
    assert!(head["id"].is_string() && head["id"] != stage.head["id"], "{head}");
    assert_eq!(command.wait().unwrap().code(), Some(0));
    assert!(!stray.exists(), "it belongs to no backbone");
    assert_eq!(stage.predicts(700), "large");
    stage.stop();
    assert_eq!(stage.holdings(), (holdings.0 + 1, holdings.1));
    let sql = "SELECT count(*) FROM samples WHERE (SELECT count(*) FROM embeddings WHERE embeddings.image = samples.image) < 1";
    let without: u64 = stage.database().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(without, 0);
}
