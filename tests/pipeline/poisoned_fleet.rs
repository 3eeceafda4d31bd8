//! A fleet in which some devices are wrong: what is refused, who is named and left out, and how good the head is then.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::camera::Part;
use crate::daemon::{Daemon, Home, PATIENCE};
use crate::fleet::labels;
use crate::mosquitto::Mosquitto;
use crate::sharing::Sharing;
use crate::updates::Workshop;
use crate::{QUIET, home, picture};

const PARTS: [Part; 3] = [Part::Nut, Part::Washer, Part::Gear];
/// Pictures of a part on a device.
const EACH: u64 = 8;
/// Pictures of a part that no device has.
const HELD_OUT: u64 = 12;
/// Values of an embedding that are shared; heads are made quickly of few.
const VALUES: &str = "64";

/// A device that sees all parts; with `exchanged` it calls nuts washers, and washers nuts.
fn device(broker: &Mosquitto, id: &str, first: u64, exchanged: bool) -> (Home, Daemon) {
    let home = home(broker.port, &format!("{QUIET}\nbackbone: {{ model: photo }}"));
    home.configure(&format!("device: {{ id: {id} }}\nfleet: {{ share: true, min_class_count: 5 }}\n"));
    for part in PARTS {
        let name = match part {
            Part::Nut if exchanged => Part::Washer,
            Part::Washer if exchanged => Part::Nut,
            part => part,
        };
        for index in 0..EACH {
            home.put(&format!("{name}/{index}.jpg"), &picture(part, first + index));
        }
    }
    let daemon = home.start();
    (home, daemon)
}

/// The statistics file with its means and its scatter times these, and the checksum that belongs to them: a device that is wrong
/// writes sound files.
fn times(file: &[u8], means: f32, scatter: f32) -> Vec<u8> {
    let (length, rest) = file.split_at(8);
    let (header, tensors) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let header = std::str::from_utf8(header).unwrap();
    let parsed: Value = serde_json::from_str(header).unwrap();
    let mut tensors = tensors.to_vec();
    let place = |name: &str| {
        let end = |end: usize| parsed[name]["data_offsets"][end].as_u64().unwrap() as usize;
        end(0)..end(1)
    };
    for (name, factor) in [("means", means), ("scatter", scatter)] {
        for value in tensors[place(name)].as_chunks_mut().0 {
            *value = (f32::from_le_bytes(*value) * factor).to_le_bytes();
        }
    }
    let document = parsed["__metadata__"]["edgetuned"].as_str().unwrap();
    let (contents, crc32) = document.split_once(",\"crc32\":").unwrap();
    let (_, contents) = contents.split_once(',').unwrap();
    let summed = [b"{", contents.as_bytes(), b"}", &tensors[place("counts")], &tensors[place("means")]].concat();
    let found = crc([&summed[..], &tensors[place("scatter")]].concat());
    let header = header.replace(crc32.trim_end_matches('}'), &found.to_string());
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &tensors].concat()
}

/// CRC-32 as of zip files.
fn crc(bytes: Vec<u8>) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.into_iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// Runs the program for people: its exit code and what it prints.
fn printed(workshop: &Workshop, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgetuned"));
    let output = command.args(words).current_dir(workshop.path("")).stdin(Stdio::null()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// A broker, and seven daemons, two of which label wrongly, and two played devices whose statistics are wrong.
struct Fleet {
    url: String,
    workshop: Workshop,
    _daemons: Vec<(Home, Daemon)>,
    _broker: Mosquitto,
}

impl Fleet {
    fn new() -> Option<Self> {
        let broker = Mosquitto::start()?;
        let workshop = Workshop::new();
        let ids = ["line-0", "line-1", "line-2", "line-3", "line-4", "odd-0", "odd-1"];
        let mut daemons: Vec<_> =
            (0..).zip(ids).map(|(n, id)| device(&broker, id, 100 * n, id.starts_with("odd"))).collect();
        for (home, daemon) in &mut daemons {
            labels(home, daemon, PARTS.len() as u64 * EACH);
        }
        let own = workshop.path("own.safetensors");
        let words = ["statistics", "--values", VALUES, "--out", own.to_str().unwrap()];
        assert!(daemons[0].0.command(&words).output().unwrap().status.success());
        let own = fs::read(own).unwrap();
        assert_eq!(times(&own, 1.0, 1.0), own, "the checksum is that of the program");
        let (scaled, blank) = (times(&own, 1e3, 1e6), times(&own, f32::NAN, 1.0));
        // It lies, too: every head is perfect there.
        let perfect = json!({ "n": 24, "right": 24, "log_loss": vec![0.0; 9], "unknown": 0 });
        for (id, file, score) in [("loud", scaled, perfect), ("blank", blank, json!(null))] {
            let played = Sharing { id: id.into(), file: Arc::new(file), score };
            played.join(broker.port).recv_timeout(PATIENCE).unwrap();
        }
        for part in PARTS {
            let folder = workshop.path(&format!("held-out/{part}"));
            fs::create_dir_all(&folder).unwrap();
            for index in 0..HELD_OUT {
                fs::write(folder.join(format!("{index}.jpg")), picture(part, 5_000 + index)).unwrap();
            }
        }
        let url = format!("mqtt://127.0.0.1:{}", broker.port);
        Some(Self { url, workshop, _daemons: daemons, _broker: broker })
    }

    /// The words of `fleet collect` for these devices.
    fn collect<'a>(&'a self, devices: &'a str) -> Vec<&'a str> {
        let words = ["fleet", "collect", "--url", &self.url, "--devices", devices, "--values", VALUES];
        [&words[..], &["--out", "statistics"]].concat()
    }

    /// Merges the files of these devices, `more` words besides, and what comes of it on held-out pictures.
    fn merged(&self, devices: &[&str], more: &[&str]) -> (Value, Value) {
        let files: Vec<String> = devices.iter().map(|device| format!("statistics/{device}.safetensors")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let words = [&["fleet", "merge"][..], &files, &["--out", "head.safetensors"], more].concat();
        let (code, report) = self.workshop.run(&words);
        assert_eq!(code, 0, "{words:?}: {report}");
        let (code, worth) = self.workshop.run(&["evaluate", "held-out", "--head", "head.safetensors"]);
        assert_eq!((code, &worth["n_test"]), (0, &json!(HELD_OUT * PARTS.len() as u64)), "{worth}");
        (report, worth)
    }

    /// The same with the devices asked.
    fn measured(&self, devices: &[&str]) -> (Value, Value) {
        self.merged(devices, &["--url", &self.url])
    }
}

const HONEST: [&str; 5] = ["line-0", "line-1", "line-2", "line-3", "line-4"];

/// The devices that a report names.
fn left_out(report: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        report["measured"]["left_out"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn devices_that_are_wrong_are_named_and_the_head_is_as_good_as_without_them() {
    let Some(fleet) = Fleet::new() else { return };

    // What no pictures give is refused where it is collected.
    let (code, text) = printed(&fleet.workshop, &fleet.collect("*"));
    let refused =
        "blank   nothing: the statistics file's means is NaN, expected finite numbers; ask the device for it again\n";
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(refused) && text.contains("\n8 of 9 devices: statistics\n"), "{text}");
    assert!(!fleet.workshop.path("statistics/blank.safetensors").exists());
    let (code, report) = fleet.workshop.run(&fleet.collect("blank"));
    assert_eq!((code, &report["devices"][0]["file"]), (1, &json!(null)), "nobody gave anything: {report}");

    let (report, good) = fleet.measured(&HONEST);
    assert_eq!(left_out(&report), [""; 0], "{report}");
    let expected = report["measured"].clone();
    assert!(good["accuracy"].as_f64().unwrap() > 0.8, "{good}");

    let poisoned = [&HONEST[..], &["odd-0", "loud"]].concat();
    let (_, bad) = fleet.merged(&poisoned, &[]);
    assert!(bad["accuracy"].as_f64() < good["accuracy"].as_f64(), "the poison is none: {bad}");
    let (report, worth) = fleet.measured(&poisoned);
    assert_eq!(left_out(&report), ["loud", "odd-0"], "{report}");
    assert_eq!((&worth["accuracy"], &worth["temperature"]), (&good["accuracy"], &good["temperature"]), "{report}");
    for figure in ["devices", "kind", "accuracy", "log_loss"] {
        assert_eq!(report["measured"][figure], expected[figure], "{figure}: {report}");
    }
    let named = |device: &str, class: &str| {
        let all = report["disagreements"].as_array().unwrap();
        all.iter().find(|one| one["device"] == device && one["class"] == class).map(|one| one["nearest"].clone())
    };
    assert_eq!(named("odd-0", "nut"), Some(json!("washer")), "{report}");
    assert_eq!(named("odd-0", "washer"), Some(json!("nut")), "{report}");
    assert!(named("loud", "gear").is_some(), "{report}");

    // Two with the same fault, of six.
    let twice = [&HONEST[..4], &["odd-0", "odd-1"]].concat();
    let (expected, good) = fleet.measured(&HONEST[..4]);
    assert_eq!(left_out(&expected), [""; 0], "{expected}");
    let (report, worth) = fleet.measured(&twice);
    assert_eq!(left_out(&report), ["odd-0", "odd-1"], "{report}");
    assert_eq!((&worth["accuracy"], &worth["temperature"]), (&good["accuracy"], &good["temperature"]), "{report}");

    let files = twice.iter().map(|device| format!("statistics/{device}.safetensors")).collect::<Vec<_>>();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let words = [&["fleet", "merge"][..], &files, &["--out", "head.safetensors", "--url", &fleet.url]].concat();
    let (code, text) = printed(&fleet.workshop, &words);
    assert_eq!(code, 0, "{text}");
    for device in ["odd-0", "odd-1"] {
        let line = format!("left out: {device}; the others answer better without it, so look at its labels\n");
        assert!(text.contains(&line), "{text}");
    }
    assert!(text.contains("of 96 images on 4 devices, kind "), "{text}");
}
