//! Labels that commands change: by the daemon while one runs, in the store while none does, with the same outcome.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::camera::Part;
use crate::daemon::{Daemon, Home};
use crate::socket::{alone, good, until};
use crate::{ENDING, name, picture};

/// A home, and its daemon while it runs.
struct Desk {
    home: Home,
    daemon: Option<Daemon>,
    /// Whether commands are given while the daemon is stopped.
    stops: bool,
}

impl Desk {
    fn new(stops: bool) -> Self {
        let home = alone();
        Self { daemon: Some(home.start()), home, stops }
    }

    /// What `samples` prints as JSON, and its exit code.
    fn samples(&mut self, words: &[&str]) -> (Option<i32>, Value) {
        if self.stops
            && let Some(mut daemon) = self.daemon.take()
        {
            daemon.stop(ENDING);
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgetuned"));
        command.args(["--json", "--config"]).arg(self.home.config()).arg("samples").args(words);
        command.current_dir(self.home.camera().parent().unwrap()).env_remove("RUNTIME_DIRECTORY");
        let ran = command.output().unwrap();
        (ran.status.code(), serde_json::from_slice(&ran.stdout).unwrap())
    }

    /// The fields of an answer that do not depend on the time.
    fn does(&mut self, words: &[&str], fields: &[&str]) -> Value {
        let (code, said) = self.samples(words);
        assert_eq!(code, Some(0), "{words:?}: {said}");
        fields.iter().map(|field| said[field].clone()).collect()
    }

    fn runs(&mut self) -> &Home {
        self.daemon.get_or_insert_with(|| self.home.start());
        &self.home
    }

    /// Puts an image in its place, and waits until so many are stored.
    fn takes_in(&mut self, path: &str, bytes: &[u8], samples: u64) {
        self.runs().put(path, bytes);
        until(&self.home, |status| status["samples"] == samples);
    }

    /// The label of every image and its source, as the command and the daemon have them, and the history of each image.
    fn labels(&mut self) -> Value {
        let (_, list) = self.samples(&["list"]);
        let rows: Vec<Value> = list.as_array().unwrap().clone();
        let labels: Vec<Value> =
            rows.iter().map(|row| json!([row["image"], row["label"], row["label_source"]])).collect();
        let histories: Vec<Value> = (rows.iter())
            .map(|row| {
                let (_, lines) = self.samples(&["history", row["image"].as_str().unwrap()]);
                let line = |line: &Value| json!([line["label"], line["source"], line["change"], line["undone"]]);
                lines.as_array().unwrap().iter().map(line).collect()
            })
            .collect();
        let said = good(self.runs(), "samples", &json!({}));
        for (row, asked) in rows.iter().zip(said.as_array().unwrap()) {
            assert_eq!((&row["image"], &row["label"]), (&asked["image"], &asked["label"]));
        }
        json!([labels, histories])
    }
}

const IMPORTED: [&str; 5] = ["change", "changed", "unchanged", "awaited", "dropped"];
const UNDONE: [&str; 6] = ["change", "source", "changed", "kept", "awaited", "restored"];

/// A day of labels; everything that is said and everything that is stored.
fn played(stops: bool) -> Vec<Value> {
    let mut desk = Desk::new(stops);
    let [nut, bolt, pin, late] = [Part::Nut, Part::Bolt, Part::Pin, Part::Gear].map(|part| picture(part, 5));
    for (samples, (path, bytes)) in (1..).zip([("nut/1.jpg", &nut), ("2.jpg", &bolt), ("3.jpg", &pin)]) {
        desk.takes_in(path, bytes, samples);
    }
    // More lines than go into one request; the folder's label is confirmed, a line is repeated.
    let mut text = "image,label\n".to_owned();
    for (image, label) in [(&nut, "nut"), (&bolt, "cog"), (&pin, "pin"), (&late, "gear"), (&pin, "pin")] {
        writeln!(text, "{},{label}", name(image)).unwrap();
    }
    (0..1_200).for_each(|n| writeln!(text, "{n:016x},cog").unwrap());
    let folder = desk.home.camera().with_file_name("");
    fs::write(folder.join("bad.csv"), format!("{text}xyz,cog\n")).unwrap();
    fs::write(folder.join("labels.csv"), text).unwrap();
    fs::write(folder.join("more.csv"), format!("image,label\n{},\n{},bolt\n", name(&bolt), name(&nut))).unwrap();

    let mut said = Vec::new();
    let (code, bad) = desk.samples(&["import", "bad.csv"]);
    assert_eq!((code, &bad["problems"][0]["line"]), (Some(1), &json!(1_207)), "{bad}");
    said.push(desk.labels());
    said.push(desk.does(&["import", "labels.csv"], &IMPORTED));
    assert_eq!(said[1], json!([1, 2, 2, 1_201, 0]));
    desk.takes_in("4.jpg", &late, 4);
    said.push(desk.labels());
    said.push(desk.does(&["relabel", "cog", "washer"], &["set", "kept"]));
    assert_eq!(said[3], json!([1, 1_200]));
    said.push(desk.does(&["import", "more.csv"], &IMPORTED));
    said.push(desk.labels());
    // The latest, the first, which the relabelled images are no longer of, and what is left.
    for words in [&["undo"][..], &["undo", "1"], &["undo"]] {
        said.push(desk.does(words, &UNDONE));
        said.push(desk.labels());
    }
    let (code, none) = desk.samples(&["undo"]);
    said.push(json!([code, none]));
    until(desk.runs(), |status| status["labelled"] == 1);
    said
}

#[test]
fn import_and_undo_do_the_same_while_the_daemon_runs_and_while_it_is_stopped() {
    let (runs, stopped) = (played(false), played(true));
    for (step, (runs, stopped)) in runs.iter().zip(&stopped).enumerate() {
        assert_eq!(runs, stopped, "step {step}, by the daemon and in the store");
    }
    let undone: Vec<Value> = [6, 8, 10].map(|step: usize| runs[step].as_array().unwrap()[..5].into()).into();
    let latest = json!([3, "import", 2, 0, 0]);
    // The renamed ones are kept, those that wait for their image too.
    let first = json!([1, "import", 2, 1_201, 0]);
    let renamed = json!([2, "mqtt", 1, 0, 1_200]);
    assert_eq!(undone, [latest, first, renamed]);
    assert_eq!(runs[12], json!([1, {"error": "there is no change of labels to undo"}]));
}

/// Images that are excluded, get another label meanwhile, and are brought back; what is said and what is stored.
fn set_aside(stops: bool) -> Vec<Value> {
    let mut desk = Desk::new(stops);
    let [nut, bolt] = [Part::Nut, Part::Bolt].map(|part| picture(part, 5));
    for (samples, (path, bytes)) in (1..).zip([("1.jpg", &nut), ("2.jpg", &bolt)]) {
        desk.takes_in(path, bytes, samples);
    }
    let items = json!([{"image": name(&nut), "label": "cog"}, {"image": name(&bolt), "label": "bolt"}]);
    good(desk.runs(), "label", &json!({ "items": items }));
    good(desk.runs(), "exclude", &json!({"images": [name(&nut)]}));
    let mut said = vec![desk.does(&["relabel", "cog", "washer"], &["set", "kept", "change"])];
    let listed = |desk: &mut Desk| -> Value {
        let (_, rows) = desk.samples(&["list"]);
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| json!([row["label"], row["excluded"], row["fold"].is_null()]))
            .collect()
    };
    said.push(listed(&mut desk));
    desk.does(&["export", "--out", "all.csv"], &["samples"]);
    let file = fs::read_to_string(desk.home.camera().with_file_name("all.csv")).unwrap();
    said.push(file.lines().map(|line| line.rsplit(',').next().unwrap_or_default()).collect());
    said.push(desk.does(&["undo", "2"], &UNDONE));
    said.push(listed(&mut desk));
    let (_, history) = desk.samples(&["history", &name(&nut)]);
    let line = |line: &Value| json!([line["label"], line["excluded"], line["source"], line["change"], line["undone"]]);
    said.push(history.as_array().unwrap().iter().map(line).collect());
    said
}

#[test]
fn an_exclusion_is_undone_the_same_while_the_daemon_runs_and_while_it_is_stopped() {
    let (runs, stopped) = (set_aside(false), set_aside(true));
    assert_eq!(runs, stopped, "by the daemon and in the store");
    assert_eq!(runs[0], json!([1, 0, 3]), "it keeps its label, which may change");
    assert_eq!(runs[1], json!([["washer", true, true], ["bolt", null, false]]));
    assert_eq!(runs[2], json!(["excluded", "true", ""]));
    assert_eq!(runs[3].as_array().unwrap()[..5], [json!(2), json!("mqtt"), json!(1), json!(0), json!(0)]);
    assert_eq!(runs[3][5][0]["excluded"], false);
    assert_eq!(runs[4], json!([["washer", null, false], ["bolt", null, false]]));
    let history = json!([
        ["cog", null, "mqtt", 1, false],
        [null, true, "mqtt", 2, true],
        ["washer", null, "mqtt", 3, false],
        [null, false, "undo", null, false],
    ]);
    assert_eq!(runs[5], history);
}
