//! `train`, `predict`, `evaluate`, `embed` and `backbone` on pictures of the synthetic camera.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;

use edgetuned::head::HeadRecord;
use serde_json::Value;

use crate::desk::{Desk, SEED, default_backbone, models};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[test]
fn train_reports_every_figure_under_its_promised_name() {
    let desk = Desk::with_pictures();
    let report = desk.good("train train --out h.safetensors");
    assert_eq!((text(&report["head"]["path"]), &report["head"]["version"]), ("h.safetensors", &1.into()));
    let backbone = default_backbone();
    assert_eq!(text(&report["backbone"]["name"]), backbone.name);
    assert_eq!(report["backbone"]["dim"], backbone.space().dim);
    assert_eq!(text(&report["backbone"]["sha256"]).len(), 64);
    assert_eq!(report["classes"], serde_json::json!(["gear", "nut", "spring"]));
    assert_eq!((&report["n_train"], &report["embedded"]), (&24.into(), &24.into()));
    assert_eq!((text(&report["evaluated_on"]), text(&report["solver"])), ("heldout", "lbfgs"));
    for name in ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"] {
        let value = report[name].as_f64().unwrap();
        let interval: Vec<f64> = serde_json::from_value(report[format!("{name}_interval")].clone()).unwrap();
        assert!(interval.len() == 2 && interval[0] <= interval[1] && value >= 0.0, "{name}: {value} {interval:?}");
    }
    for name in ["embed_seconds", "fit_seconds", "lambda"] {
        assert!(report[name].as_f64().unwrap() > 0.0, "{name}");
    }
    let confusion: Vec<Vec<u64>> = serde_json::from_value(report["confusion"].clone()).unwrap();
    let n_test = report["n_test"].as_u64().unwrap();
    assert_eq!(confusion.iter().flatten().sum::<u64>(), n_test);
    let right: u64 = (0..3).map(|class| confusion[class][class]).sum();
    assert!((report["accuracy"].as_f64().unwrap() - right as f64 / n_test as f64).abs() < 1e-12);
    for (class, row) in report["per_class"].as_array().unwrap().iter().zip(&confusion) {
        let mut names: Vec<_> = class.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["class", "f1", "precision", "recall", "support"]);
        assert_eq!(class["support"].as_u64().unwrap(), row.iter().sum::<u64>());
    }
    // Where it is sent to, it must not be measured on what it was trained on.
    let record = HeadRecord::from_bytes(&fs::read(desk.path("h.safetensors")).unwrap()).unwrap();
    let trained = BTreeSet::from_iter(record.heldout.ids);
    assert_eq!(trained.len(), 24, "every picture is named");
    let beside: Value = serde_json::from_slice(&fs::read(desk.path("h.report.json")).unwrap()).unwrap();
    assert_eq!(beside, report);
}

#[test]
fn training_again_embeds_nothing_and_the_same_seed_gives_the_same_head() {
    let desk = Desk::with_pictures();
    let id = |words: &str| text(&desk.good(words)["head"]["id"]).to_owned();
    let first = id("train train --shots 5 --seed 3");
    let again = desk.good("train train --shots 5 --seed 3");
    assert_eq!((text(&again["head"]["id"]), &again["embedded"]), (first.as_str(), &0.into()), "seed {SEED}");
    assert_eq!(again["n_train"], 15);
    assert_ne!(id("train train --shots 5 --seed 4"), first, "another draw");
}

#[test]
fn every_kind_of_head_is_trained_and_used_alike_and_auto_reports_what_it_tried() {
    let desk = Desk::with_pictures();
    for kind in ["softmax", "mlp", "lda", "rp-ridge"] {
        let report = desk.good(&format!("train train --head {kind} --out h.safetensors"));
        assert_eq!((text(&report["kind"]), &report["candidates"]), (kind, &serde_json::json!([])));
        let again = desk.good("evaluate train --head h.safetensors");
        assert_eq!((text(&again["kind"]), &again["hyper"]), (kind, &report["hyper"]), "{kind}");
        assert!(again["accuracy"].as_f64().unwrap() > 0.8, "{kind}: {}", again["accuracy"]);
    }
    let report = desk.good("train train --head auto --out h.safetensors");
    let tried: Vec<&str> = report["candidates"].as_array().unwrap().iter().map(|one| text(&one["kind"])).collect();
    assert_eq!(tried, ["softmax", "lda", "rp-ridge"], "an mlp needs more pictures");
    assert!(tried.contains(&text(&report["kind"])));
    let people = desk.run("train train --head auto --out h.safetensors");
    for kind in tried {
        assert!(people.out.contains(&format!("tried      {kind}")), "{}", people.out);
    }
    assert!(people.out.contains(", chosen"), "{}", people.out);
    desk.fails("train train --head lda --epochs 5", 64, &["softmax head", "kind lda"]);
}

#[test]
fn the_classic_recipe_prints_a_line_for_each_epoch_and_needs_no_solver_named() {
    let desk = Desk::with_pictures();
    for words in ["train train --solver adam --epochs 5 --batch 8 --lr 1e-2", "train train --epochs 5 --json"] {
        let ran = desk.run(words);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let epochs: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("epoch ")).collect();
        assert_eq!(epochs.len(), 5, "{}", ran.err);
        assert!(epochs.iter().all(|line| line.contains("loss ") && line.contains("accuracy ")), "{epochs:?}");
        assert!(epochs[4].starts_with("epoch 5/5"), "{epochs:?}");
    }
    assert_eq!(text(&desk.good("train train --lr 1e-2 --epochs 2")["solver"]), "adam");
}

#[test]
fn evaluate_gives_the_figures_of_train_with_test() {
    let desk = Desk::with_pictures();
    let trained = desk.good("train train --test test --out h.safetensors");
    let evaluated = desk.good("evaluate test --head h.safetensors");
    assert_eq!((text(&trained["evaluated_on"]), &trained["n_test"]), ("test", &12.into()));
    let measured = ["n_test", "accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1", "per_class"];
    for name in measured.into_iter().chain(["confusion", "evaluated_on", "classes", "head", "backbone", "lambda"]) {
        assert_eq!(trained[name], evaluated[name], "{name}");
    }
    for name in ["log_loss", "ece"] {
        let (a, b) = (trained[name].as_f64().unwrap(), evaluated[name].as_f64().unwrap());
        assert!((a - b).abs() < 1e-6, "{name}: {a} and {b}");
    }
    let people = desk.run("evaluate test --head h.safetensors");
    assert!(people.out.contains("accuracy") && people.out.contains("spring"), "{}", people.out);
}

#[test]
fn predict_answers_in_the_order_of_its_arguments_and_a_bad_file_costs_only_itself() {
    let desk = Desk::with_pictures();
    desk.good("train train --out h.safetensors");
    desk.put("broken.jpg", b"no picture");
    let files = "test/nut/100.jpg broken.jpg gone.jpg test/gear/100.jpg";
    let (code, answers) = desk.json(&format!("predict {files} --head h.safetensors"));
    let answers = answers.as_array().unwrap();
    assert_eq!(code, Some(1));
    let named: Vec<&str> = answers.iter().map(|answer| text(&answer["file"])).collect();
    assert_eq!(named, files.split(' ').collect::<Vec<_>>());
    for bad in [&answers[1], &answers[2]] {
        assert!(text(&bad["error"]).contains(text(&bad["file"])) && bad.get("label").is_none(), "{bad}");
    }
    for good in [&answers[0], &answers[3]] {
        assert_eq!(good["top"].as_array().unwrap().len(), 3);
        assert_eq!((&good["top"][0]["label"], &good["top"][0]["probability"]), (&good["label"], &good["probability"]));
        let sum: f64 = good["top"].as_array().unwrap().iter().map(|top| top["probability"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!(good.get("unknown").is_some() && text(&good["image"]).len() == 64);
    }
    let people = desk.run(&format!("predict {files} --head h.safetensors --top-k 1"));
    assert_eq!(people.out.lines().count(), 2, "answers only: {}", people.out);
    assert_eq!(people.err.lines().filter(|line| line.starts_with("edgetuned: ")).count(), 2, "{}", people.err);
}

#[test]
fn a_renamed_picture_counts_by_its_content() {
    let desk = Desk::with_pictures();
    desk.good("train train --out h.safetensors");
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(40, 30, image::Rgb([90, 120, 60])).write_to(&mut png, image::ImageFormat::Png).unwrap();
    desk.put("really-a-png.jpg", png.get_ref());
    assert!(desk.good("predict really-a-png.jpg --head h.safetensors")[0]["label"].is_string());
}

#[test]
fn predict_finds_the_backbone_by_digest_and_reports_when_none_matches() {
    let desk = Desk::with_pictures();
    let manifest = fs::read_to_string(models().join("tiny-test.yaml")).unwrap();
    fs::create_dir(desk.path("own")).unwrap();
    fs::copy(models().join("tiny-test.onnx"), desk.path("own/tiny-test.onnx")).unwrap();
    let other = manifest.replace("name: tiny-test", "name: other").replace("resize: stretch", "resize: crop");
    desk.put("own/other.yaml", other.as_bytes());
    desk.good("train train --backbone own/other.yaml --out h.safetensors");
    // The head remembers where its manifest was, and looks beside itself too.
    let remembered = desk.good("predict test/nut/100.jpg --head h.safetensors");
    assert_eq!(text(&remembered[0]["backbone"]), "other");
    desk.good("evaluate test --head h.safetensors");
    desk.good("export --head h.safetensors --out h.onnx");
    fs::rename(desk.path("own"), desk.path("away")).unwrap();
    let says = ["no matching backbone for h.safetensors", "other", "--backbone"];
    desk.fails("predict test/nut/100.jpg --head h.safetensors", 78, &says);
    fs::copy(desk.path("h.safetensors"), desk.path("away/h.safetensors")).unwrap();
    desk.good("predict test/nut/100.jpg --head away/h.safetensors");
    // The digests decide: a manifest of another preparation in its place is not taken.
    desk.put("own/other.yaml", manifest.replace("resize: stretch", "resize: letterbox").as_bytes());
    fs::copy(models().join("tiny-test.onnx"), desk.path("own/tiny-test.onnx")).unwrap();
    desk.fails("predict test/nut/100.jpg --head h.safetensors", 78, &says);
    fs::remove_dir_all(desk.path("own")).unwrap();
    fs::rename(desk.path("away"), desk.path("own")).unwrap();
    let answers = desk.good("predict test/nut/100.jpg --head h.safetensors --backbone own/other.yaml");
    assert_eq!(text(&answers[0]["backbone"]), "other");
    desk.good("train train --out ours.safetensors");
    // A manifest that does not fit is no hindrance: the bundled one does.
    desk.good("predict test/nut/100.jpg --head ours.safetensors --backbone own/other.yaml");
}

/// The shape and the data of an array in a `NumPy` archive.
fn array(desk: &Desk, name: &str) -> (String, Vec<u8>) {
    let mut archive = zip::ZipArchive::new(fs::File::open(desk.path("e.npz")).unwrap()).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let begin = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    (String::from_utf8(bytes[10..begin].to_vec()).unwrap(), bytes[begin..].to_vec())
}

#[test]
fn embed_writes_what_numpy_reads() {
    let desk = Desk::with_pictures();
    let done = desk.good("embed test --out e.npz");
    assert_eq!((&done["n"], &done["embedded"]), (&12.into(), &12.into()));
    let dim = default_backbone().space().dim;
    let (header, data) = array(&desk, "embeddings");
    assert!(header.contains("'descr': '<f4'") && header.contains(&format!("'shape': (12, {dim})")), "{header}");
    let values: Vec<f32> = data.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert!(values.len() == 12 * dim && values.iter().all(|value| value.is_finite()));
    assert!(values.iter().any(|value| (value - values[0]).abs() > 1e-3));
    let (header, data) = array(&desk, "ids");
    assert!(header.contains("'descr': '<U64'") && header.contains("'shape': (12,)"), "{header}");
    assert_eq!(data.len(), 12 * 64 * 4);
    let (_, paths) = array(&desk, "paths");
    let first: String = paths.chunks_exact(4).take(17).map(|four| char::from(four[0])).collect();
    assert_eq!(first, "test/gear/100.jpg");
    let script = "import numpy; a = numpy.load('e.npz'); print(a['embeddings'].shape, a['paths'][0], len(a['ids'][0]))";
    let python = std::process::Command::new("/usr/bin/python3").args(["-c", script]).current_dir(desk.root()).output();
    match python {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(said.trim(), format!("(12, {dim}) test/gear/100.jpg 64"));
        }
        _ => eprintln!("numpy is not at hand; the archive was read in Rust only"),
    }
}

#[test]
fn embed_writes_parquet_with_the_same_names_and_refuses_other_endings() {
    let desk = Desk::with_pictures();
    assert_eq!(desk.good("embed test --out e.Parquet")["n"], 12);
    let file = fs::read(desk.path("e.Parquet")).unwrap();
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    desk.fails("embed test --out e.csv", 64, &["cannot write e.csv", ".npz or .parquet"]);
}

#[test]
fn backbones_are_listed_and_inspected() {
    let desk = Desk::new();
    let list = desk.good("backbone list");
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|row| text(&row["name"])).collect();
    assert!(names.contains(&"default") && !names.contains(&"tiny-test"), "{names:?}");
    let model = models().join("tiny-test.onnx");
    let found = desk.good(&format!("backbone inspect {}", model.display()));
    assert_eq!(text(&found["inputs"][0]["name"]), "input");
    assert_eq!(text(&found["outputs"][0]["name"]), "embedding");
    assert_eq!((text(&found["candidates"][0]["tensor"]), &found["candidates"][0]["dim"]), ("embedding", &210.into()));
}

#[test]
fn pictures_under_rarer_names_are_used_and_other_kinds_are_counted() {
    let desk = Desk::with_pictures();
    fs::rename(desk.path("train/nut/000.jpg"), desk.path("train/nut/000.JFIF")).unwrap();
    desk.put("train/nut/a.tif", b"II*");
    desk.put("train/gear/b.HEIC", b"");
    desk.put("train/gear/notes.txt", b"");
    let report = desk.good("train train --out h.safetensors");
    assert_eq!((&report["n_train"], &report["passed_over"]), (&24.into(), &serde_json::json!({"heic": 1, "tif": 1})));
    assert_eq!(report["pictures"], serde_json::json!({"jfif": 1, "jpg": 23}));
    let ran = desk.run("embed train --out e.npz");
    assert!(ran.err.contains("not read") && ran.err.contains("1 .heic and 1 .tif"), "{}", ran.err);
    desk.put("train/pin/a.tif", b"II*");
    desk.fails("train train --out h.safetensors", 1, &["train/pin", "(1 .tif)", "convert them to JPEG or PNG"]);
}
