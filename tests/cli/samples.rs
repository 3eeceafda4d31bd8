//! `samples` on a store that the library prepared: labels out, edited, in, and taken back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use edgetuned::engine::{FileDisposition, FileStamp, LabelSource, Look, NewSample, Predicted, Write};
use edgetuned::head::{BackboneRef, Calibration, DenseHead, HeadRecord, HeldOut, TrainingFacts};
use edgetuned::store::{OpenOptions, Precision, Reader, SpacesInUse, Store};
use edgetuned::train::LabelStats;
use edgetuned::words::{Digest, EmbeddingSpace, HeadId, HeadRef, Label, Origin, Region, SampleId, TaskId, Timestamp};
use serde_json::{Value, json};

use crate::desk::Desk;

const COLUMNS: &str = "image,path,label,label_source,labelled_at,arrived_at,predicted,probability,group,fold";

fn id(n: u8) -> SampleId {
    SampleId::of(&[n])
}

fn space() -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"a"), preprocessing: Digest::of(b"b"), dim: 1 }
}

fn store(desk: &Desk) -> Store {
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"model"), dim: 1 };
    Store::open(
        &desk.path("state"),
        &OpenOptions { spaces: SpacesInUse::whole(space()), backbone: &backbone, precision: Precision::F16 },
    )
    .unwrap()
}

/// The path of sample `n`: 1 has what CSV must quote, 2 what is not UTF-8.
fn path(n: u8) -> PathBuf {
    match n {
        1 => "/srv/a \"b\", c\nd.jpg".into(),
        2 => OsStr::from_bytes(b"/srv/\xff.jpg").into(),
        n => format!("/srv/{n}.jpg").into(),
    }
}

/// A desk with six samples, 0 to 5: 0 and 1 are nuts, 2 and 3 gears, labelled over MQTT; 3 was predicted.
fn prepared() -> Desk {
    let desk = Desk::new();
    let sample = |n: u8| {
        Write::Sample(Box::new(NewSample {
            id: id(n),
            origin: Origin::File(path(n)),
            bytes: 10,
            arrived_at: Timestamp(i64::from(n)),
            embeddings: vec![(space(), vec![f32::from(n)])],
            group: id(n),
            looks: vec![Look {
                task: TaskId::default(),
                space: space(),
                predicted: (n == 3).then(|| Predicted {
                    label: Label::new("nut").unwrap(),
                    probability: 0.75,
                    head: 4,
                }),
            }],
            thumbnail: None,
            picture: None,
        }))
    };
    let label = |n: u8| Write::Label {
        task: TaskId::default(),
        id: id(n),
        label: Some(Label::new(if n < 2 { "nut" } else { "gear" }).unwrap()),
        source: LabelSource::Mqtt,
        at: Timestamp(1_000),
        change: Some(1),
    };
    let writes: Vec<Write> = (0..6).map(sample).chain((0..4).map(label)).collect();
    store(&desk).commit(&writes).unwrap();
    let config = format!("store: {{ path: {} }}\nmqtt: {{ url: null }}\n", desk.path("state").display());
    desk.put("config.yaml", config.as_bytes());
    desk
}

fn good(desk: &Desk, words: &str) -> Value {
    desk.good(&format!("--config config.yaml samples {words}"))
}

fn fails(desk: &Desk, words: &str, code: i32, says: &[&str]) {
    desk.fails(&format!("--config config.yaml samples {words}"), code, says);
}

/// The present labels of samples 0 to 5.
fn labels(desk: &Desk) -> Vec<Option<String>> {
    let list = good(desk, "list");
    list.as_array().unwrap().iter().map(|row| row["label"].as_str().map(str::to_owned)).collect()
}

fn named(names: [&str; 6]) -> Vec<Option<String>> {
    names.map(|name| (!name.is_empty()).then(|| name.to_owned())).to_vec()
}

fn new_labels(desk: &Desk) -> u64 {
    store(desk).snapshot().unwrap().default_task().training.new_labels
}

#[test]
fn samples_are_listed_beside_a_running_daemon() {
    let desk = prepared();
    let _held = store(&desk);
    let list = good(&desk, "list");
    let mut columns: Vec<&str> = COLUMNS.split(',').collect();
    columns.sort_unstable();
    assert_eq!(list[0].as_object().unwrap().keys().collect::<Vec<_>>(), columns);
    let third = json!({
        "image": id(3), "path": "/srv/3.jpg", "label": "gear", "label_source": "mqtt",
        "labelled_at": "1970-01-01T00:00:01.000Z", "arrived_at": "1970-01-01T00:00:00.003Z",
        "predicted": "nut", "probability": 0.75, "group": id(3), "fold": list[3]["fold"],
    });
    assert_eq!(list[3], third);
    assert_eq!(list[2]["path"], "/srv/\u{fffd}.jpg");
    assert!(list[0]["fold"] != list[1]["fold"] && list[2]["fold"] != list[3]["fold"], "a class is spread: {list}");
    assert_eq!(
        (&list[4]["fold"], &list[4]["label_source"], &list[4]["probability"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let images = |words: &str| -> Vec<String> {
        let list = good(&desk, &format!("list {words}"));
        list.as_array().unwrap().iter().map(|row| row["image"].as_str().unwrap().to_owned()).collect()
    };
    let ids = |numbers: &[u8]| numbers.iter().map(|n| id(*n).to_string()).collect::<Vec<_>>();
    assert_eq!(images("--labelled"), ids(&[0, 1, 2, 3]));
    assert_eq!(images("--unlabelled"), ids(&[4, 5]));
    assert_eq!(images("--class gear"), ids(&[2, 3]));
    assert_eq!(images("--class gear --limit 1"), ids(&[3]), "the latest");
    assert_eq!(images("--class cog"), ids(&[]));
    let people = desk.run("--config config.yaml samples list");
    assert_eq!(people.out.lines().count(), 7, "a line each, whatever their paths are: {}", people.out);
    assert!(people.out.contains("75.0%") && people.out.contains("gear"), "{}", people.out);
}

#[test]
fn exported_labels_are_edited_imported_and_undone() {
    let desk = prepared();
    assert_eq!(good(&desk, "export --out labels.csv"), json!({"out": "labels.csv", "samples": 6}));
    let text = std::fs::read_to_string(desk.path("labels.csv")).unwrap();
    assert!(text.starts_with(&format!("{COLUMNS}\n")), "{text}");
    assert!(text.contains("\"/srv/a \"\"b\"\", c\nd.jpg\",nut,mqtt,1970-01-01T00:00:01.000Z"), "{text}");
    let unchanged = json!({"change": null, "changed": 0, "unchanged": 6, "awaited": 0, "dropped": 0});
    assert_eq!(good(&desk, "import labels.csv"), unchanged);
    assert_eq!(new_labels(&desk), 0);

    // 1 becomes a cog, 3 loses its label, 5 gets one.
    let mut edited = text.replace("d.jpg\",nut,", "d.jpg\",cog,").replace("/srv/3.jpg,gear,", "/srv/3.jpg,,");
    edited = edited.replace("/srv/5.jpg,,", "/srv/5.jpg,nut,").replace('\n', "\r\n");
    desk.put("edited.csv", format!("\u{feff}{edited}").as_bytes());
    let done = json!({"change": 2, "changed": 3, "unchanged": 3, "awaited": 0, "dropped": 0});
    assert_eq!(good(&desk, "import edited.csv"), done);
    assert_eq!(labels(&desk), named(["nut", "cog", "gear", "", "", "nut"]));
    assert_eq!(new_labels(&desk), 3);
    let list = good(&desk, "list --labelled");
    assert_eq!((&list[1]["label_source"], &list[0]["label_source"]), (&"import".into(), &"mqtt".into()));
    assert_eq!(list[1]["labelled_at"], list[3]["labelled_at"], "one time for all");

    let undone = good(&desk, "undo");
    assert_eq!((&undone["source"], undone["restored"].as_array().unwrap().len()), (&"import".into(), 3));
    assert_eq!((&undone["change"], &undone["changed"], &undone["kept"]), (&json!(2), &json!(3), &json!(0)));
    let first = json!({"image": id(1), "label": "nut", "instead_of": "cog"});
    assert_eq!(undone["restored"][0], first);
    assert_eq!(labels(&desk), named(["nut", "nut", "gear", "gear", "", ""]));
    assert_eq!(new_labels(&desk), 6, "labels that came back are changes too");
    let undone = good(&desk, "undo");
    assert_eq!((&undone["source"], &undone["at"]), (&"mqtt".into(), &"1970-01-01T00:00:01.000Z".into()));
    assert_eq!(labels(&desk), named([""; 6]));
    fails(&desk, "undo", 1, &["no change of labels to undo"]);

    let history = good(&desk, &format!("history {}", &id(1).to_string()[..8]));
    let history: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (&change["source"], &change["label"], &change["undone"]))
        .collect();
    let expected = [
        ("mqtt", json!("nut"), true),
        ("import", json!("cog"), true),
        ("undo", json!("nut"), false),
        ("undo", Value::Null, false),
    ];
    let expected = expected.map(|(source, label, undone)| (json!(source), label, json!(undone)));
    assert_eq!(history, expected.iter().map(|(source, label, undone)| (source, label, undone)).collect::<Vec<_>>());
    let people = desk.run(&format!("--config config.yaml samples history {}", id(1)));
    assert!(people.out.contains("cog  (taken back)") && people.out.contains("(removed)"), "{}", people.out);
    assert_eq!(good(&desk, &format!("history {}", id(4))), json!([]));
}

#[test]
fn json_lines_go_out_and_in_like_csv() {
    let desk = prepared();
    good(&desk, "export --out labels.jsonl");
    let text = std::fs::read_to_string(desk.path("labels.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(Value::from(rows), good(&desk, "list"));
    let lines = format!(
        "{}\n\n{}\n{}\n",
        json!({"image": id(0), "label": null, "more": [1]}),
        json!({"image": id(1).to_string()[..8].to_uppercase(), "label": " gear "}),
        json!({"image": id(2), "label": ""}),
    );
    desk.put("labels.ndjson", lines.as_bytes());
    assert_eq!(good(&desk, "import labels.ndjson")["changed"], 3);
    assert_eq!(labels(&desk), named(["", "gear", "", "gear", "", ""]));
}

#[test]
fn every_bad_line_is_reported_and_nothing_changes() {
    let desk = prepared();
    let text = format!(
        "note, Image ,label\n,{},cog\n,xyz,cog\n,{},a/b\n\"two\nlines\",{},cog\n,{},nut\n,{}\n,{},{}\n",
        id(0),
        id(1),
        id(2),
        id(0),
        id(3),
        id(4),
        "x".repeat(129),
    );
    desk.put("labels.csv", text.as_bytes());
    let ran = desk.run("--config config.yaml samples import labels.csv");
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let reported: Vec<&str> = ran.err.lines().collect();
    let says = [
        ("3", "first 8 or more hexadecimal digits, found \"xyz\""),
        ("4", "no slashes"),
        ("7", "line 2 gives image"),
        ("8", "2 columns where the first line names 3"),
        ("9", "at most 128 bytes"),
    ];
    assert_eq!(reported.len(), says.len(), "{reported:#?}");
    for (line, (number, words)) in reported.iter().zip(says) {
        assert!(line.starts_with(&format!("edgetuned: labels.csv:{number}: ")) && line.contains(words), "{line}");
    }
    let (code, document) = desk.json("--config config.yaml samples import labels.csv");
    assert_eq!((code, &document["problems"][0]["line"]), (Some(1), &3.into()));
    assert_eq!((document["problems"].as_array().unwrap().len(), new_labels(&desk)), (5, 0));
    assert_eq!(labels(&desk), named(["nut", "nut", "gear", "gear", "", ""]));

    let lines = ["{", "7", r#"{"image": "0123abcd"}"#, r#"{"image": "0123abcd", "label": 7}"#, "\u{0}"];
    desk.put("labels.jsonl", lines.join("\n").as_bytes());
    let ran = desk.run("--config config.yaml samples import labels.jsonl");
    let reported: Vec<&str> = ran.err.lines().collect();
    assert_eq!((ran.code, reported.len()), (Some(1), lines.len()), "{reported:#?}");
    assert!(reported[2].contains("labels.jsonl:3: missing field `label`"), "{reported:#?}");
}

#[test]
fn files_that_hold_no_labels_are_refused() {
    let desk = prepared();
    fails(&desk, "import gone.csv", 1, &["cannot read gone.csv", "give the path"]);
    fails(&desk, "import labels.txt", 64, &["cannot read labels.txt", ".csv, .jsonl (.ndjson)"]);
    fails(&desk, "export --out labels.xlsx", 64, &["cannot write labels.xlsx", ".csv, .jsonl (.ndjson)"]);
    fails(&desk, "export --out gone/labels.csv", 1, &["cannot write gone/labels.csv"]);
    let hostile: [(&[u8], &str); 6] = [
        (b"", "names no column \"image\""),
        (b"image;label\n0123abcd;nut\n", "commas between, found \"image;label\""),
        (b"image,label,label\n", "two columns \"label\""),
        (b"\xff\xfei\0m\0a\0g\0e\0", "names no column \"image\""),
        (b"image,label\n0123abcd,\"nut\n", "1 images that"),
        (b"image,label\n0123abcd,n\xfct\n", "not UTF-8"),
    ];
    for (bytes, words) in hostile {
        desk.put("labels.csv", bytes);
        let ran = desk.run("--config config.yaml samples import labels.csv");
        if words == "1 images that" {
            // A quotation mark that nothing closes ends with the file; what is in it is a label like any other.
            assert_eq!(ran.code, Some(0), "{}", ran.err);
            continue;
        }
        ran.failed(1, &["labels.csv", words]);
    }
    desk.put("labels.csv", b"image,label\n");
    assert_eq!(good(&desk, "import labels.csv")["unchanged"], 0);
}

#[test]
fn labels_for_images_to_come_wait_up_to_their_bound_and_the_oldest_go() {
    let desk = prepared();
    let lines = |range: std::ops::Range<u32>, label: &str| {
        let lines: Vec<String> = range.map(|n| format!("{n:08x},{label}\n")).collect();
        lines.concat()
    };
    desk.put("one.csv", format!("image,label\n{}", lines(0..9_999, "nut")).as_bytes());
    assert_eq!(
        good(&desk, "import one.csv"),
        json!({"change": 2, "changed": 0, "unchanged": 0, "awaited": 9_999, "dropped": 0})
    );
    assert_eq!(good(&desk, "import one.csv")["unchanged"], 9_999);
    assert_eq!(new_labels(&desk), 0, "they count when their images come");
    let text = format!("image,label\n{}{}00000001,\n", lines(20_000..20_004, "gear"), lines(2..3, "gear"));
    desk.put("two.csv", text.as_bytes());
    assert_eq!(
        good(&desk, "import two.csv"),
        json!({"change": 3, "changed": 0, "unchanged": 0, "awaited": 6, "dropped": 2})
    );
    let waiting = store(&desk).snapshot().unwrap().awaited;
    assert_eq!(waiting.len(), 10_000);
    let two = waiting.iter().find(|awaited| awaited.prefix == "00000002").unwrap();
    assert_eq!((two.label.as_str(), two.source), ("gear", LabelSource::Import));
    desk.put("many.csv", format!("image,label\n{}", lines(0..10_001, "cog")).as_bytes());
    fails(&desk, "import many.csv", 1, &["labels 10001 images that have not arrived", "at most 10000"]);
    assert!(store(&desk).snapshot().unwrap().awaited.iter().all(|awaited| awaited.label.as_str() != "cog"));
}

#[test]
fn what_changes_labels_is_asked_of_a_running_daemon() {
    let desk = prepared();
    desk.put("labels.csv", format!("image,label\n{},cog\n", id(0)).as_bytes());
    let held = store(&desk);
    // The daemon has no socket here.
    for words in ["import labels.csv", "undo", "undo 1", "relabel nut cog", "forget --class nut"] {
        fails(&desk, words, 69, &["no daemon answers"]);
    }
    let counts = Reader::open(&desk.path("state"), SpacesInUse::default()).unwrap().counts().unwrap();
    assert_eq!(counts.labelled, 4);
    desk.put("bad.csv", b"image,label\nxyz,cog\n");
    fails(&desk, "import bad.csv", 1, &["bad.csv:2: expected an image's SHA-256"]);
    drop(held);
    assert_eq!(good(&desk, "import labels.csv")["changed"], 1);
}

#[test]
fn an_older_change_is_undone_where_its_labels_still_are() {
    let desk = prepared();
    desk.put("labels.csv", format!("image,label\n{},cog\n{},cog\n0123abcd,cog\n", id(1), id(4)).as_bytes());
    assert_eq!(good(&desk, "import labels.csv")["change"], 2);
    good(&desk, "relabel cog pin");
    let undone = good(&desk, "undo 1");
    assert_eq!((&undone["changed"], &undone["kept"]), (&json!(3), &json!(1)), "1 has a later label");
    assert_eq!(labels(&desk), named(["", "pin", "", "", "pin", ""]));
    fails(&desk, "undo 1", 1, &["change 1 is undone already"]);
    fails(&desk, "undo 9", 1, &["there is no change 9 of labels"]);
    let undone = good(&desk, "undo");
    assert_eq!((&undone["change"], &undone["changed"], &undone["awaited"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(labels(&desk), named(["", "cog", "", "", "cog", ""]));
    let waiting = || -> Vec<_> {
        let awaited = store(&desk).snapshot().unwrap().awaited;
        awaited.into_iter().map(|awaited| (awaited.prefix, awaited.label.to_string())).collect()
    };
    assert_eq!(waiting(), [("0123abcd".to_owned(), "cog".to_owned())]);
    let people = desk.run("--config config.yaml samples undo");
    assert!(people.out.contains("change 2 of") && people.out.contains("no label, not cog"), "{}", people.out);
    assert!(people.out.contains("labels that wait for their image: 1"), "{}", people.out);
    assert_eq!((labels(&desk), waiting()), (named([""; 6]), vec![]), "and not the labels of change 1");
    let history = desk.run(&format!("--config config.yaml samples history {}", id(1)));
    assert!(history.out.contains("import  cog  (taken back)  change 2"), "{}", history.out);
}

#[test]
fn wrong_usage_and_a_missing_store_have_their_messages() {
    let desk = prepared();
    for words in [
        "",
        "list --labelled --unlabelled",
        "list --unlabelled --class nut",
        "list --limit 0",
        "export",
        "import",
        "history abc",
    ] {
        assert_eq!(desk.run(&format!("--config config.yaml samples {words}")).code, Some(64), "{words}");
    }
    fails(&desk, "history 00000000", 1, &["no sample's SHA-256 begins with 00000000", "samples list"]);
    let empty = Desk::new();
    let config = format!("store: {{ path: {} }}\n", empty.path("state").display());
    empty.put("config.yaml", config.as_bytes());
    empty.put("labels.csv", b"image,label\n");
    for words in ["list", "export --out a.csv", "import labels.csv", "undo", "history 00000000"] {
        fails(&empty, words, 69, &["there is no store yet"]);
    }
    assert!(!empty.path("state").exists() && !empty.path("a.csv").exists(), "nothing was made");
    empty.put("labels.csv", b"image,label\n01234567,nut\n");
    assert_eq!(good(&empty, "import labels.csv")["awaited"], 1, "labels may come before the first image");
    assert_eq!(good(&empty, "import labels.csv")["unchanged"], 1, "and are in a store");
}

#[test]
fn a_class_gets_another_name_and_what_waits_for_its_image_too() {
    let desk = prepared();
    desk.put("labels.csv", b"image,label\n01234567,nut\n");
    good(&desk, "import labels.csv");
    let renamed = good(&desk, "relabel nut washer");
    assert_eq!((&renamed["set"], &renamed["kept"]), (&json!(2), &json!(1)));
    assert_eq!(good(&desk, "list --class washer").as_array().unwrap().len(), 2);
    fails(&desk, "relabel nut washer", 1, &["no image has the label nut"]);
    assert_eq!(good(&desk, "undo")["restored"].as_array().unwrap().len(), 2, "it is one change");
}

/// A head of nuts and gears that tells nothing.
fn head(space: EmbeddingSpace) -> HeadRecord {
    HeadRecord {
        head: HeadRef { id: HeadId("0123456789ab".into()), version: 1 },
        created: Timestamp(0),
        backbone: BackboneRef { name: "tiny".into(), sha256: space.backbone, dim: 1 },
        manifest: None,
        region: Region::WHOLE,
        tuning: None,
        prior: None,
        dense: DenseHead {
            space,
            classes: ["gear", "nut"].map(|name| Label::new(name).unwrap()).into_iter().collect(),
            hidden: None,
            weights: ndarray::Array2::zeros((2, 1)),
            bias: ndarray::Array1::zeros(2),
            temperature: 1.0,
        },
        training: TrainingFacts::default(),
        figures: None,
        heldout: HeldOut::default(),
        calibration: Calibration::default(),
    }
}

/// The statistics of all labels, as they are in the store.
fn statistics(desk: &Desk) -> LabelStats {
    LabelStats::from_bytes(&store(desk).reader().unwrap().statistics(&TaskId::default()).unwrap().unwrap()).unwrap()
}

#[test]
fn samples_are_forgotten_with_what_the_statistics_have_of_them() {
    let desk = prepared();
    let space = {
        let mut store = store(&desk);
        let space = EmbeddingSpace { backbone: Digest::of(b"a"), preprocessing: Digest::of(b"b"), dim: 1 };
        let mut statistics = LabelStats::new(space);
        let nut = Label::new("nut").unwrap();
        (1..4).for_each(|n| statistics.set(id(n), Some(&nut), &[f32::from(n)]));
        store.commit(&[Write::Statistics { task: TaskId::default(), file: statistics.to_bytes() }]).unwrap();
        space
    };
    store(&desk).commit(&[Write::Head { task: TaskId::default(), record: Box::new(head(space)) }]).unwrap();
    let stamp = FileStamp { size: 10, mtime_ns: 1, ctime_ns: 1 };
    let fate = FileDisposition::Sample(id(3));
    store(&desk).commit(&[Write::File { path: path(3), stamp, fate }]).unwrap();
    desk.put("labels.csv", b"image,label\n01234567,nut\n");
    good(&desk, "import labels.csv");

    fails(&desk, "forget 00000000", 1, &["no sample's SHA-256 begins with 00000000"]);
    fails(&desk, "forget --class cog", 1, &["no image has the label cog"]);
    assert_eq!(good(&desk, "forget --class nut"), json!({"samples": 2, "awaited": 1}));
    assert_eq!(good(&desk, &format!("forget {} {}", id(3), id(5))), json!({"samples": 2, "awaited": 0}));
    let list = good(&desk, "list");
    let left: Vec<&Value> = list.as_array().unwrap().iter().map(|row| &row["image"]).collect();
    assert_eq!(left, [&json!(id(2)), &json!(id(4))]);
    assert_eq!(statistics(&desk).contributors().map(|(id, _)| *id).collect::<Vec<_>>(), [id(2)]);
    assert_eq!(new_labels(&desk), 3, "labels that went are changes too");
    let store = store(&desk);
    assert!(store.reader().unwrap().embedding(&id(3), &space).unwrap().is_none());
    assert!(store.reader().unwrap().label_history(&TaskId::default(), &id(3)).unwrap().is_empty());
    assert!(store.reader().unwrap().file_is_known(&path(3), stamp).unwrap(), "its file is not taken in again");
}
