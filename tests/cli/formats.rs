//! `samples export` and `import` in all formats, on a store whose pictures are there, gone, or kept of frames. What other
//! programs make of the files is asked in `readers.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use edgetuned::engine::{FileDisposition, FileStamp, LabelSource, Look, NewSample, Predicted, Write};
use edgetuned::head::BackboneRef;
use edgetuned::store::{OpenOptions, Precision, SpacesInUse, Store};
use edgetuned::words::{Digest, EmbeddingSpace, Label, Origin, SampleId, TaskId, Timestamp};
use serde_json::{Value, json};

use crate::camera::Part;
use crate::desk::{Desk, picture};

/// Classes with which a format could go wrong: commas and quotation marks, and the name of a split.
pub const ODD: [&str; 2] = ["späte \"Mutter\", 8", "test"];

/// What each sample is: its class, and its name where it is a file.
const SAMPLES: [(Option<&str>, Option<&str>); 8] = [
    (Some("nut"), Some("nut/0.jpg")),
    (Some(ODD[0]), Some("1 a,b.jpg")),
    (Some(ODD[1]), Some("2.jpg")),
    (Some("nut"), None),
    (Some("gear"), None),
    (None, Some("5.jpg")),
    (Some("gear"), Some("6.jpg")),
    (Some("gear"), Some("gear/0.jpg")),
];

/// The frame of which nothing is kept, and the file that is gone.
const MISSING: [usize; 2] = [4, 6];

/// The bytes of sample `n`.
fn bytes(n: usize) -> Vec<u8> {
    picture(Part::Nut, n as u64)
}

fn id(n: usize) -> SampleId {
    SampleId::of(&bytes(n))
}

fn space() -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"a"), preprocessing: Digest::of(b"b"), dim: 1 }
}

/// A desk with [`SAMPLES`], predicted as nuts by head 4, and a configuration that watches `camera`.
pub fn prepared() -> Desk {
    let desk = Desk::new();
    let folder = desk.path("camera");
    let mut writes = Vec::new();
    for (n, (label, name)) in SAMPLES.into_iter().enumerate() {
        let path = name.map(|name| folder.join(name));
        let origin = path.clone().map_or_else(|| Origin::Source("gate".parse().unwrap()), Origin::File);
        let predicted = Predicted { label: Label::new("nut").unwrap(), probability: 0.75, head: 4 };
        writes.push(Write::Sample(Box::new(NewSample {
            id: id(n),
            origin,
            bytes: bytes(n).len() as u64,
            arrived_at: Timestamp(1_700_000_000_000 + n as i64),
            embeddings: vec![(space(), vec![n as f32])],
            group: id(n),
            looks: vec![Look { task: TaskId::default(), space: space(), predicted: Some(predicted) }],
            thumbnail: None,
            picture: (name.is_none() && !MISSING.contains(&n)).then(|| bytes(n)),
        })));
        if let (Some(path), Some(name)) = (path, name) {
            if !MISSING.contains(&n) {
                desk.put(&format!("camera/{name}"), &bytes(n));
            }
            let stamp = FileStamp { size: 1, mtime_ns: 1, ctime_ns: 1 };
            writes.push(Write::File { path, stamp, fate: FileDisposition::Sample(id(n)) });
        }
        if let Some(label) = label {
            let (label, source, at) =
                (Some(Label::new(label).unwrap()), LabelSource::Mqtt, Timestamp(1_700_000_001_000));
            writes.push(Write::Label { task: TaskId::default(), id: id(n), label, source, at, change: Some(1) });
        }
    }
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"model"), dim: 1 };
    let options = OpenOptions { spaces: SpacesInUse::whole(space()), backbone: &backbone, precision: Precision::F16 };
    Store::open(&desk.path("state"), &options).unwrap().commit(&writes).unwrap();
    let (state, camera) = (desk.path("state"), folder);
    let config = format!(
        "store: {{ path: {} }}\nmqtt: {{ url: null }}\nwatch: [{{ path: {} }}]\n",
        state.display(),
        camera.display()
    );
    desk.put("config.yaml", config.as_bytes());
    desk
}

pub fn good(desk: &Desk, words: &str) -> Value {
    desk.good(&format!("--config config.yaml samples {words}"))
}

fn fails(desk: &Desk, words: &str, code: i32, says: &[&str]) {
    desk.fails(&format!("--config config.yaml samples {words}"), code, says);
}

/// The present labels.
fn labels(desk: &Desk) -> Vec<Option<String>> {
    let list = good(desk, "list");
    list.as_array().unwrap().iter().map(|row| row["label"].as_str().map(str::to_owned)).collect()
}

fn prepared_labels() -> Vec<Option<String>> {
    SAMPLES.map(|(label, _)| label.map(str::to_owned)).to_vec()
}

/// Takes all labels away, as one change.
fn forget_labels(desk: &Desk) {
    let lines: Vec<String> = (0..SAMPLES.len()).map(|n| format!("{},\n", id(n))).collect();
    desk.put("none.csv", format!("image,label\n{}", lines.concat()).as_bytes());
    good(desk, "import none.csv");
    assert_eq!(labels(desk), vec![None; SAMPLES.len()]);
}

/// `<class>/<start of the SHA-256>.jpg` of these samples.
fn in_folders(samples: &[usize]) -> BTreeMap<String, Vec<u8>> {
    let name = |n: usize| {
        let class = SAMPLES[n].0.unwrap_or("unlabelled");
        format!("{class}/{}.jpg", &id(n).to_string()[..16])
    };
    samples.iter().map(|n| (name(*n), bytes(*n))).collect()
}

/// The files in an archive, in the order in which they are there.
fn in_archive(desk: &Desk, path: &str) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(desk.path(path)).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn every_format_of_labels_takes_them_to_a_store_that_has_none() {
    let desk = prepared();
    let files = [
        ("labels.csv", 8),
        ("labels.jsonl", 8),
        ("labels.parquet", 8),
        ("labels.json", 8),
        ("labels.tar", 5),
        ("labels/", 5),
        ("flat.tar --format imagefolder", 5),
        ("flat/ --format imagefolder", 5),
        ("table.txt --format parquet", 8),
    ];
    for (file, samples) in files {
        assert_eq!(good(&desk, &format!("export --out {file}"))["samples"], samples, "{file}");
    }
    forget_labels(&desk);
    for (file, samples) in files {
        let done = good(&desk, &format!("import {file}"));
        let mut expected = prepared_labels();
        if samples == 5 {
            for n in MISSING {
                expected[n] = None;
            }
        }
        assert_eq!(labels(&desk), expected, "{file}: {done}");
        assert_eq!(
            (&done["awaited"], &done["changed"]),
            (&json!(0), &json!(expected.iter().flatten().count())),
            "{file}"
        );
        good(&desk, "undo");
        assert_eq!(labels(&desk), vec![None; SAMPLES.len()], "one change: {file}");
    }
}

#[test]
fn labels_of_pictures_wait_on_a_device_that_has_no_store_yet() {
    let desk = prepared();
    good(&desk, "export --out labels.tar");
    good(&desk, "export --out tasks.json");
    fs::remove_dir_all(desk.path("state")).unwrap();
    let done = good(&desk, "import labels.tar");
    assert_eq!((&done["awaited"], &done["changed"]), (&json!(5), &json!(0)));
    let done = good(&desk, "import tasks.json");
    assert_eq!((&done["awaited"], &done["unchanged"]), (&json!(2), &json!(5)), "of the two that are nowhere: {done}");
    assert_eq!(done["left_out"][0]["reason"], "it has no label");
}

#[test]
fn pictures_go_into_a_folder_for_each_class_and_what_is_missing_is_named() {
    let desk = prepared();
    let done = good(&desk, "export --out labels.tar");
    assert_eq!((&done["samples"], &done["unlabelled"]), (&json!(5), &json!(1)));
    let left: Vec<&str> =
        done["left_out"].as_array().unwrap().iter().map(|left| left["name"].as_str().unwrap()).collect();
    let gone = desk.path("camera/6.jpg").display().to_string();
    let mut expected = [format!("{} (gate)", id(4)), format!("{} ({gone})", id(6))];
    expected.sort();
    assert_eq!(left, expected);
    let found = in_archive(&desk, "labels.tar");
    assert!(found.is_sorted(), "in the order of their names");
    assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), in_folders(&[0, 1, 2, 3, 7]));

    let first = fs::read(desk.path("labels.tar")).unwrap();
    good(&desk, "export --out labels.tar");
    assert_eq!(fs::read(desk.path("labels.tar")).unwrap(), first, "the same store gives the same bytes");

    assert_eq!(good(&desk, "export --out all/ --unlabelled")["samples"], 6);
    assert_eq!(files_below(&desk.path("all")), in_folders(&[0, 1, 2, 3, 5, 7]));
    let done = good(&desk, "import all/");
    assert_eq!((&done["unchanged"], done["left_out"].as_array().unwrap().len()), (&json!(5), 1));

    assert_eq!(good(&desk, "export --out links --format folders --links")["samples"], 5);
    assert_eq!(files_below(&desk.path("links")), in_folders(&[0, 1, 2, 3, 7]));
    let link = |n: usize| desk.path("links").join(in_folders(&[n]).into_keys().next().unwrap());
    assert_eq!(fs::read_link(link(7)).unwrap(), desk.path("camera/gear/0.jpg"));
    assert!(!link(3).is_symlink(), "a frame has no file to link to");

    let people = desk.run("--config config.yaml samples export --out labels.tar");
    for says in ["5 samples in labels.tar", "left out: 1; --unlabelled", "left out: 2, no file of it", "(gate)"] {
        assert!(people.out.contains(says), "{says}: {}", people.out);
    }
}

#[test]
fn a_file_that_changed_is_not_what_was_labelled() {
    let desk = prepared();
    desk.put("camera/2.jpg", &bytes(99));
    let done = good(&desk, "export --out labels.tar");
    assert_eq!((&done["samples"], done["left_out"].as_array().unwrap().len()), (&json!(4), 3));
}

#[test]
fn image_folders_have_their_labels_in_a_list_whatever_the_classes_are_called() {
    let desk = prepared();
    desk.put("rename.csv", format!("image,label\n{},.hidden\n", id(2)).as_bytes());
    good(&desk, "import rename.csv");
    good(&desk, "export --out flat/ --format imagefolder --unlabelled");
    let mut files = files_below(&desk.path("flat"));
    let list = String::from_utf8(files.remove("metadata.csv").unwrap()).unwrap();
    let mut expected: Vec<String> = [0, 1, 2, 3, 5, 7]
        .map(|n| {
            let label = ["nut", "\"späte \"\"Mutter\"\", 8\"", ".hidden", "nut", "", "", "", "gear"][n];
            format!("{}.jpg,{label}", &id(n).to_string()[..16])
        })
        .to_vec();
    expected.sort();
    assert_eq!(list, format!("file_name,label\n{}\n", expected.join("\n")));
    assert_eq!(files.len(), 6);
    good(&desk, "export --out flat.tar --format imagefolder --unlabelled");
    let (list, files) =
        in_archive(&desk, "flat.tar").into_iter().partition::<Vec<_>, _>(|(name, _)| name == "metadata.csv");
    assert_eq!((list.len(), files.len()), (1, 6));

    fails(&desk, "export --out labels.tar", 1, &["class .hidden cannot be the name of a folder", "relabel"]);
    desk.put("rename.csv", format!("image,label\n{},unlabelled\n", id(2)).as_bytes());
    good(&desk, "import rename.csv");
    fails(&desk, "export --out labels/", 1, &["class unlabelled", "--format imagefolder"]);
}

#[test]
fn exports_of_label_studio_are_read_and_what_is_in_doubt_is_named() {
    let desk = prepared();
    good(&desk, "export --out tasks.json --image-root http://device:8080/api/v1/images/{image}");
    let tasks: Value = serde_json::from_slice(&fs::read(desk.path("tasks.json")).unwrap()).unwrap();
    let first = &tasks[0];
    assert_eq!(
        first["data"],
        json!({ "image": format!("http://device:8080/api/v1/images/{}", id(0)), "sha256": id(0) })
    );
    assert_eq!(first["annotations"][0]["result"][0]["value"], json!({ "choices": ["nut"] }));
    assert_eq!(first["predictions"][0]["model_version"], "head 4");
    assert_eq!((&tasks[5]["annotations"], &tasks[3]["data"]["source"]), (&json!([]), &json!("gate")));
    good(&desk, "export --out paths.json --image-root /data/local-files/?d=");
    let tasks: Value = serde_json::from_slice(&fs::read(desk.path("paths.json")).unwrap()).unwrap();
    assert_eq!(tasks[1]["data"]["image"], "/data/local-files/?d=1%20a%2Cb.jpg");

    // Somebody else's project: pictures are known by the names of their files alone.
    let task = |id: u64, image: &str, label: &str| {
        let result =
            json!([{ "from_name": "choice", "to_name": "img", "type": "choices", "value": { "choices": [label] } }]);
        json!({ "id": id, "data": { "image": image }, "annotations": [{ "result": result }] })
    };
    let export = json!([
        task(11, "/data/upload/1/deadbeef-2.jpg", "cog"),
        task(12, "/data/local-files/?d=gear/0.jpg", "cog"),
        task(13, "/data/upload/1/deadbeef-0.jpg", "cog"),
        task(14, "/data/upload/1/deadbeef-9.jpg", "cog"),
    ]);
    desk.put("export.json", export.to_string().as_bytes());
    let done = good(&desk, "import export.json");
    assert_eq!(done["changed"], 2);
    let left: Vec<&str> =
        done["left_out"].as_array().unwrap().iter().map(|left| left["name"].as_str().unwrap()).collect();
    assert_eq!(left, ["task 13 (/data/upload/1/deadbeef-0.jpg)", "task 14 (/data/upload/1/deadbeef-9.jpg)"]);
    let mut expected = prepared_labels();
    expected[2] = Some("cog".into());
    expected[7] = Some("cog".into());
    assert_eq!(labels(&desk), expected);

    desk.put("bad.json", json!([task(1, "2.jpg", "nut"), task(2, "5.jpg", "a/b")]).to_string().as_bytes());
    fails(
        &desk,
        "import bad.json",
        1,
        &["bad.json:2: task 2 (5.jpg): a label has no control characters and no slashes"],
    );
    assert_eq!(labels(&desk), expected, "nothing changes");
}

#[test]
fn archives_that_contradict_themselves_or_lead_out_change_nothing() {
    let desk = prepared();
    let archive = |members: &[(&str, usize)]| {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, n) in members {
            let bytes = bytes(*n);
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            archive.append(&header, &*bytes).unwrap();
        }
        archive.into_inner().unwrap()
    };
    desk.put("labels.tar", &archive(&[("cog/0.jpg", 0), ("nut/a/0.jpg", 0)]));
    fails(&desk, "import labels.tar", 1, &["labels.tar:2: nut/a/0.jpg: cog/0.jpg gives image", "another label, cog"]);
    desk.put("labels.tar", &archive(&[("cog/0.jpg", 0), ("../../nut/1.jpg", 1), ("/nut/2.jpg", 2)]));
    let ran = desk.run("--config config.yaml samples import labels.tar");
    assert_eq!((ran.code, ran.err.lines().count()), (Some(1), 2), "{}", ran.err);
    assert!(ran.err.contains("labels.tar:2: ../../nut/1.jpg: its path leads out"), "{}", ran.err);
    assert_eq!(labels(&desk), prepared_labels());
    desk.put("labels.tar", b"no archive");
    fails(&desk, "import labels.tar", 1, &["cannot read labels.tar"]);
    fails(&desk, "import gone.tar", 1, &["cannot read gone.tar", "samples export"]);
}

#[test]
fn options_that_do_not_belong_to_a_format_are_refused() {
    let desk = prepared();
    fails(&desk, "export --out a.csv --unlabelled", 64, &["--unlabelled is about pictures"]);
    fails(&desk, "export --out a.tar --links", 64, &["--links needs a folder"]);
    fails(&desk, "export --out a.csv --image-root x", 64, &["--image-root is about Label Studio"]);
    fails(&desk, "export --out a.zip --format folders", 64, &[".tar that is not compressed"]);
    fails(&desk, "import a.tar.gz", 64, &["cannot read a.tar.gz", "give --format"]);
    desk.put("full/kept.txt", b"kept");
    fails(&desk, "export --out full", 1, &["cannot write full: it is there and not an empty folder"]);
    fails(&desk, "export --out gone/a/", 1, &["cannot write gone/a"]);
    assert_eq!(files_below(&desk.path("full")).len(), 1);
    let parts = fs::read_dir(desk.root())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "part"));
    assert_eq!(parts.count(), 0);
    fs::create_dir(desk.path("empty")).unwrap();
    good(&desk, "export --out empty");
    assert_eq!(files_below(&desk.path("empty")).len(), 5);
}
