//! The programs that files of `samples export` are for read them: pandas and pyarrow, Hugging Face's datasets, Label
//! Studio's own checks and converter; and `samples import` reads what they write.
//!
//! `make formats` sets up an interpreter that has them; `EDGETUNED_FORMATS_PYTHON` names one. Without it these tests are
//! skipped. `readers.py` is the other side.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::desk::Desk;
use crate::formats::{good, prepared};
use crate::skip;

fn python() -> Option<OsString> {
    let python = std::env::var_os("EDGETUNED_FORMATS_PYTHON");
    if python.is_none() {
        skip::not_here("EDGETUNED_FORMATS_PYTHON names no Python with the readers of label files (make formats)");
    }
    python
}

/// What `readers.py` says to `words` in the desk's folder.
fn ask(python: &OsString, desk: &Desk, words: &[&str]) -> Value {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/readers.py"));
    let ran = command.args(words).current_dir(desk.root()).output().expect("EDGETUNED_FORMATS_PYTHON is a program");
    assert!(ran.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// What the program lists: the label of each image, of those that `count`.
fn listed(desk: &Desk, counts: impl Fn(&Value) -> bool) -> BTreeMap<String, Value> {
    let list = good(desk, "list");
    let rows = list.as_array().unwrap().iter().filter(|row| counts(row));
    rows.map(|row| (row["image"].as_str().unwrap().to_owned(), row["label"].clone())).collect()
}

/// Those whose picture is there and labelled.
fn with_pictures(desk: &Desk) -> BTreeMap<String, Value> {
    let done = good(desk, "export --out there.tar");
    let gone: Vec<String> = (done["left_out"].as_array().unwrap().iter())
        .map(|left| left["name"].as_str().unwrap().split(' ').next().unwrap().to_owned())
        .collect();
    listed(desk, |row| row["label"].is_string() && !gone.iter().any(|gone| row["image"] == gone.as_str()))
}

#[test]
fn pandas_and_pyarrow_read_the_table_with_its_types() {
    let Some(python) = python() else { return };
    let desk = prepared();
    good(&desk, "export --out labels.parquet");
    let read = ask(&python, &desk, &["table", "labels.parquet"]);
    assert_eq!(read["labels"], json!(listed(&desk, |_| true)));
    let types = json!({
        "image": "string", "path": "string", "label": "string", "label_source": "string",
        "labelled_at": "timestamp[ms, tz=UTC]", "arrived_at": "timestamp[ms, tz=UTC]", "predicted": "string",
        "probability": "float", "group": "string", "fold": "int32", "source": "string",
    });
    assert_eq!(read["columns"], types);
    assert_eq!(read["labelled_at"], json!(["2023-11-14 22:13:21+00:00"]));
    assert_eq!(read["probability"], json!([0.75]));
}

#[test]
fn datasets_reads_image_folders_whatever_the_classes_are_called() {
    let Some(python) = python() else { return };
    let desk = prepared();
    let expected = json!(with_pictures(&desk));
    good(&desk, "export --out flat/ --format imagefolder");
    assert_eq!(ask(&python, &desk, &["imagefolder", "flat"]), expected);
    good(&desk, "export --out flat.tar --format imagefolder");
    assert_eq!(ask(&python, &desk, &["imagefolder", "flat.tar"]), expected);
    good(&desk, "export --out linked/ --format imagefolder --links");
    assert_eq!(ask(&python, &desk, &["imagefolder", "linked"]), expected);
}

#[test]
fn folders_of_classes_are_read_by_datasets_and_the_archive_by_python() {
    let Some(python) = python() else { return };
    let desk = prepared();
    let expected = json!(with_pictures(&desk));
    assert_eq!(ask(&python, &desk, &["folders", "there.tar"]), expected);
    good(&desk, "export --out labels/");
    assert_eq!(ask(&python, &desk, &["folders", "labels"]), expected);
}

/// The labelling interface in `docs/formats.md`, with the classes of the desk.
fn interface(classes: &[&str]) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md")).unwrap();
    let (_, rest) = page.split_once("```xml\n").expect("docs/formats.md has a labelling interface");
    let (text, _) = rest.split_once("```").unwrap();
    let (before, rest) = text.split_once("    <Choice ").unwrap();
    let (_, after) = rest.rsplit_once("/>\n  </Choices>").unwrap();
    let escaped = |class: &str| class.replace('&', "&amp;").replace('"', "&quot;");
    let choice = |class: &&str| format!("    <Choice value=\"{}\"/>\n", escaped(class));
    let choices: Vec<String> = classes.iter().map(choice).collect();
    format!("{before}{}  </Choices>{after}", choices.concat())
}

#[test]
fn label_studio_takes_the_tasks_for_its_own_and_a_fault_is_seen() {
    let Some(python) = python() else { return };
    let desk = prepared();
    good(&desk, "export --out tasks.json");
    desk.put("interface.xml", interface(&["nut", "gear", crate::formats::ODD[0], crate::formats::ODD[1]]).as_bytes());
    let read = ask(&python, &desk, &["label_studio", "tasks.json", "interface.xml"]);
    assert_eq!(read["faults"], json!([]), "{read}");
    assert_eq!(read["predictions"], json!([["head 4", 0.75]]));
    assert_eq!(read["labels"], json!(listed(&desk, |_| true)));

    let done = good(&desk, "import exported/result.json");
    assert_eq!((&done["unchanged"], &done["changed"]), (&json!(7), &json!(0)), "{done}");
    assert_eq!(done["left_out"][0]["reason"], "it has no label");
    desk.fails("--config config.yaml samples import minimal/result.json", 1, &["not JSON-MIN"]);

    let text = fs::read_to_string(desk.path("tasks.json")).unwrap();
    desk.put("broken.json", text.replace("\"from_name\": \"label\"", "\"from_name\": \"lable\"").as_bytes());
    let read = ask(&python, &desk, &["label_studio", "broken.json", "interface.xml"]);
    assert!(read["faults"][0].as_str().unwrap().contains("lable"), "{read}");
}

#[test]
fn what_pandas_and_tarfile_write_is_imported() {
    let Some(python) = python() else { return };
    let desk = prepared();
    good(&desk, "export --out labels.parquet");
    good(&desk, "export --out labels/");
    ask(&python, &desk, &["write", "labels.parquet", "made.tar", "labels"]);
    let done = good(&desk, "import made.tar");
    assert_eq!((&done["unchanged"], &done["changed"], done.get("left_out")), (&json!(5), &json!(0), None));
    let done = good(&desk, "import labels.parquet.edited.parquet");
    assert_eq!((&done["changed"], &done["unchanged"]), (&json!(2), &json!(6)));
    desk.fails("--config config.yaml samples import labels.parquet.zstd.parquet", 1, &["Snappy", "compression="]);
}
