//! `export`: the file that it writes, run in ONNX Runtime by itself, and what it refuses.

use std::fs;
use std::path::Path;

use edgetuned::backbone::{Manifest, environment};
use edgetuned::head::HeadRecord;
use edgetuned::image::{Limits, decode};
use edgetuned::words::{Digest, Region};
use ort::session::Session;
use ort::value::{Outlet, TensorRef};
use serde_json::Value;

use crate::camera::Part;
use crate::desk::{Desk, default_backbone, models};

/// Class folders whose names need escaping.
const NAMES: [&str; 3] = ["Feder, \"lang\"", "Mutter's", "Zahnräder ⚙"];

/// A desk with `train/` and `test/` of classes called [`NAMES`], and embeddings kept exactly.
fn desk() -> Desk {
    let desk = Desk::new();
    for (name, part) in NAMES.into_iter().zip([Part::Spring, Part::Nut, Part::Gear]) {
        for (folder, indices) in [("train", 0..8), ("test", 100..104)] {
            desk.shoot(folder, part, indices);
            fs::rename(desk.path(&format!("{folder}/{part}")), desk.path(&format!("{folder}/{name}"))).unwrap();
        }
    }
    for (index, name) in NAMES.into_iter().enumerate() {
        fs::copy(desk.path(&format!("test/{name}/100.jpg")), desk.path(&format!("{index}.jpg"))).unwrap();
        fs::copy(desk.path(&format!("test/{name}/101.jpg")), desk.path(&format!("{}.jpg", index + 3))).unwrap();
    }
    let config = format!(
        "store: {{ path: {}, precision: f32 }}\nmqtt: {{ url: null }}\n\
         watch: [{{ path: {} }}]\n",
        desk.path("state").display(),
        desk.path("train").display()
    );
    desk.put("f32.yaml", config.as_bytes());
    desk
}

/// A manifest beside a link to the tiny model, its embedding an inner map that is to be averaged.
fn pooled(desk: &Desk) {
    let manifest = fs::read_to_string(models().join("tiny-test.yaml")).unwrap();
    let changed = manifest
        .replace("tensor: embedding\n  dim: 210\n  pool: none", "tensor: second_layer\n  dim: 32\n  pool: avg")
        .replace("resize: stretch", "resize: letterbox\n  pad: 90");
    assert_ne!(changed, manifest);
    desk.put("own/pooled.yaml", changed.as_bytes());
    desk.put("own/tiny-test.onnx", &fs::read(models().join("tiny-test.onnx")).unwrap());
}

/// Makes the head in `file` less sure: these networks tell the camera's parts apart beyond doubt.
fn soften(file: &Path) {
    let mut record = HeadRecord::from_bytes(&fs::read(file).unwrap()).unwrap();
    record.dense.temperature *= 20.0;
    record.head.id = record.dense.id();
    fs::write(file, record.to_bytes()).unwrap();
}

/// Probabilities (k,) of a picture by the file `model`, run as any program would, prepared as `manifest` and the file's
/// own `region` say.
fn run(model: &Path, manifest: &Manifest, picture: &Path) -> Vec<f32> {
    let way = &manifest.preprocess;
    let mut session = Session::builder(&environment().unwrap()).unwrap().commit_from_file(model).unwrap();
    let region = session.metadata().unwrap().custom("region");
    let region = region.map_or(Region::WHOLE, |region| serde_json::from_str(&region).unwrap());
    let picture = decode(&fs::read(picture).unwrap(), &Limits::default()).unwrap();
    let tensor = way.apply_regions(&picture, &[region]);
    assert_eq!(session.outputs().iter().map(Outlet::name).collect::<Vec<_>>(), ["probabilities"]);
    assert_eq!(session.inputs().iter().map(Outlet::name).collect::<Vec<_>>(), [&manifest.input]);
    let (h, w) = (way.size.0 as usize, way.size.1 as usize);
    let outputs = session.run(ort::inputs![TensorRef::from_array_view(([1, 3, h, w], &*tensor)).unwrap()]).unwrap();
    outputs[0].try_extract_tensor::<f32>().unwrap().1.to_vec()
}

/// Largest difference between what `predict` says of six pictures and what the exported file does.
fn difference(desk: &Desk, options: &str, model: &str, manifest: &Path) -> f64 {
    let manifest = Manifest::load(manifest).unwrap();
    let answers = desk.good(&format!("predict 0.jpg 1.jpg 2.jpg 3.jpg 4.jpg 5.jpg --top-k 99 {options}"));
    let (mut apart, mut least): (f64, f64) = (0.0, 1.0);
    for answer in answers.as_array().unwrap() {
        let found = run(&desk.path(model), &manifest, &desk.path(answer["file"].as_str().unwrap()));
        let top = answer["top"].as_array().unwrap();
        assert_eq!((top.len(), found.len()), (NAMES.len(), NAMES.len()));
        for choice in top {
            let class = NAMES.iter().position(|name| choice["label"] == *name).unwrap();
            apart = apart.max((choice["probability"].as_f64().unwrap() - f64::from(found[class])).abs());
        }
        least = least.min(top[0]["probability"].as_f64().unwrap());
    }
    // A head that is sure of everything would hide what differs.
    assert!(least < 0.9, "the least sure answer has {least}");
    apart
}

#[test]
fn an_exported_file_gives_what_predict_gives_whatever_the_solver_and_the_pooling() {
    let desk = desk();
    pooled(&desk);
    let bundled = models().join("tiny-test.yaml");
    let own = desk.path("own/pooled.yaml");
    for (backbone, manifest) in [("--backbone tiny-test", &bundled), ("--backbone own/pooled.yaml", &own)] {
        let ways = ["--l2 1", "--l2 1 --solver adam --epochs 5", "--head mlp", "--head lda", "--head rp-ridge --l2 1"];
        for way in ways {
            let options = format!("--head h.safetensors --config f32.yaml {backbone}");
            desk.good(&format!("train train --config f32.yaml --out h.safetensors {way} {backbone}"));
            let done = desk.good(&format!("export --out m.onnx --force {options}"));
            let apart = difference(&desk, &options, "m.onnx", manifest);
            println!("{way} {backbone}: {apart:.1e}, export itself says {}", done["largest_difference"]);
            assert!(apart < 1e-4, "{way} {backbone}: {apart}");
            assert_eq!(done["classes"], serde_json::json!(NAMES));
            assert_eq!(done["bytes"], fs::metadata(desk.path("m.onnx")).unwrap().len());
            assert!(done["largest_difference"].as_f64().unwrap() <= 1e-4 && done["probes"] == 3, "{done}");
            assert!(!desk.path("m.onnx.part").exists());
        }
    }
}

#[test]
fn the_metadata_can_be_read_by_any_program() {
    let desk = desk();
    let head = desk.good("train train --out h.safetensors")["head"]["id"].clone();
    let people = desk.run("export --head h.safetensors --out m.onnx");
    assert_eq!(people.code, Some(0), "{}", people.err);
    let manifest = default_backbone();
    for words in ["m.onnx", &manifest.name, NAMES[2], "probabilities", "within "] {
        assert!(people.out.contains(words), "{words:?} is not in {}", people.out);
    }
    let session = Session::builder(&environment().unwrap()).unwrap().commit_from_file(desk.path("m.onnx")).unwrap();
    let metadata = session.metadata().unwrap();
    let json = |key| -> Value { serde_json::from_str(&metadata.custom(key).unwrap()).unwrap() };
    assert_eq!(json("classes"), serde_json::json!(NAMES));
    assert_eq!(json("head")["id"], head);
    assert_eq!(json("backbone")["sha256"], manifest.sha256.to_string());
    let way = json("preprocessing");
    let (height, width) = manifest.preprocess.size;
    let resize = if manifest.stands_in.is_some() { "stretch" } else { "crop" };
    assert_eq!((&way["size"], &way["resize"]), (&serde_json::json!([height, width]), &resize.into()));
    assert_eq!(way["mean"], serde_json::json!(manifest.preprocess.mean));
}

#[test]
fn a_head_of_a_region_is_exported_with_it_and_wants_it_cut_out() {
    let desk = desk();
    let bundled = models().join("tiny-test.yaml");
    for (region, kept, how) in [
        ("0.1,0.1,0.9,0.8", serde_json::json!([0.1, 0.1, 0.9, 0.8]), "whose centres lie in region, then to size"),
        ("[[0.1,0],[0.9,0],[0.5,1]]", serde_json::json!([[0.1, 0.0], [0.9, 0.0], [0.5, 1.0]]), "114 on all channels"),
    ] {
        let options = "--head h.safetensors --config f32.yaml --backbone tiny-test";
        let train = "train train --config f32.yaml --out h.safetensors --l2 1 --backbone tiny-test";
        desk.good(&format!("{train} --region {region}"));
        let done = desk.good(&format!("export --out m.onnx --force {options}"));
        assert_eq!(done["region"], kept);
        let apart = difference(&desk, options, "m.onnx", &bundled);
        assert!(apart < 1e-4, "{region}: {apart}");
        let session = Session::builder(&environment().unwrap()).unwrap().commit_from_file(desk.path("m.onnx")).unwrap();
        let metadata = session.metadata().unwrap();
        let json = |key| -> Value { serde_json::from_str(&metadata.custom(key).unwrap()).unwrap() };
        assert_eq!(json("region"), kept);
        let resizing = json("preprocessing")["resizing"].as_str().unwrap().to_owned();
        assert!(resizing.contains(how), "{resizing}");
        let people = desk.run(&format!("export --out m.onnx --force {options}"));
        assert!(people.out.contains("region     [") && people.out.contains("cut it out before"), "{}", people.out);
    }
}

#[test]
fn nothing_is_overwritten_without_force_and_never_a_source() {
    let desk = Desk::with_pictures();
    pooled(&desk);
    desk.good("train train --backbone own/pooled.yaml --out h.safetensors");
    let options = "--head h.safetensors --backbone own/pooled.yaml";
    desk.put("m.onnx", b"somebody's");
    desk.fails(&format!("export {options} --out m.onnx"), 1, &["m.onnx exists", "--force"]);
    assert_eq!(fs::read(desk.path("m.onnx")).unwrap(), b"somebody's");
    for source in ["h.safetensors", "own/tiny-test.onnx", "own/pooled.yaml"] {
        let before = fs::read(desk.path(source)).unwrap();
        let says = [source, "is the head that is exported", "give another file"];
        desk.fails(&format!("export {options} --out {source} --force"), 64, &says);
        assert_eq!(fs::read(desk.path(source)).unwrap(), before);
    }
    desk.good(&format!("export {options} --out m.onnx --force"));
    assert!(fs::read(desk.path("m.onnx")).unwrap().len() > 1000);
}

#[test]
fn a_failed_export_has_its_reason_and_leaves_nothing_behind() {
    let desk = Desk::with_pictures();
    pooled(&desk);
    desk.good("train train --out h.safetensors");
    desk.good("train train --backbone own/pooled.yaml --out own.safetensors");
    desk.fails("export --head gone --out m.onnx", 1, &["cannot read the head gone", "trained head"]);
    desk.fails("export --head 0.jpg --out m.onnx", 1, &["cannot read the head 0.jpg"]);
    desk.fails("export --head test/nut/100.jpg --out m.onnx", 1, &["not a head file", "train again"]);
    // The manifest that the head remembers is no longer there.
    fs::rename(desk.path("own/pooled.yaml"), desk.path("own/moved.yaml")).unwrap();
    let says = ["no matching backbone for own.safetensors", "--backbone"];
    desk.fails("export --head own.safetensors --out m.onnx", 78, &says);
    fs::rename(desk.path("own/moved.yaml"), desk.path("own/pooled.yaml")).unwrap();
    let says = ["cannot write gone/m.onnx", "No such file", "check the folder"];
    desk.fails("export --head h.safetensors --out gone/m.onnx", 1, &says);
    // A file in the folder's place can be written into by nobody, root included.
    desk.fails("export --head h.safetensors --out 0.jpg/m.onnx", 1, &["cannot write 0.jpg/m.onnx"]);
    desk.fails("export --head h.safetensors --out own --force", 1, &["cannot write own: Is a directory"]);
    let model = fs::read(desk.path("own/tiny-test.onnx")).unwrap();
    let options = "--head own.safetensors --backbone own/pooled.yaml --out m.onnx";
    desk.put("own/tiny-test.onnx", &model[..40_000]);
    desk.fails(&format!("export {options}"), 78, &["truncated after 40000 bytes", "copy it again"]);
    let mut changed = model.clone();
    *changed.last_mut().unwrap() ^= 1;
    desk.put("own/tiny-test.onnx", &changed);
    desk.fails(&format!("export {options}"), 78, &["has SHA-256", "fetch the model again"]);
    for left in ["m.onnx", "m.onnx.part", "own.part"] {
        assert!(!desk.path(left).exists(), "{left}");
    }
}

/// A field of a protobuf message, of fewer than 128 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128, "a longer length takes two bytes");
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

/// A backbone of one node in `m/`: `map` = Relu("input") on pictures of 4 x 4, in operators of version `opset`.
fn relu(desk: &Desk, map: &str, opset: u8) {
    let axes = [field(2, b"n"), vec![8, 3], vec![8, 4], vec![8, 4]].map(|axis| field(1, &axis)).concat();
    let kind = field(1, &[vec![8, 1], field(2, &axes)].concat());
    let tensor = |name: &str| [field(1, name.as_bytes()), field(2, &kind)].concat();
    let node = [field(1, b"input"), field(2, map.as_bytes()), field(4, b"Relu")].concat();
    let graph = [field(1, &node), field(2, b"relu"), field(11, &tensor("input")), field(12, &tensor(map))].concat();
    let model = [vec![8, 8], field(7, &graph), field(8, &[0x10, opset])].concat();
    let manifest = format!(
        "name: relu\nfile: relu.onnx\nsha256: {}\ninput: {{ tensor: input, layout: nchw, size: [4, 4], \
         channels: rgb, mean: 0, std: 255, resize: crop }}\nembedding: {{ tensor: {map}, dim: 3, pool: avg }}\n",
        Digest::of(&model)
    );
    desk.put("m/relu.onnx", &model);
    desk.put("m/relu.yaml", manifest.as_bytes());
}

#[test]
fn a_model_to_which_no_head_can_be_appended_is_refused_with_the_remedy() {
    let desk = Desk::with_pictures();
    for (map, opset, says) in [
        ("map", 23, ["version 23", "7 to 22", "version_converter"]),
        ("probabilities", 13, ["\"probabilities\" before its embedding", "choose an embedding before it", "rename it"]),
    ] {
        relu(&desk, map, opset);
        desk.good("train train --backbone m/relu.yaml --out relu.safetensors");
        let words = "export --head relu.safetensors --backbone m/relu.yaml --out m.onnx";
        desk.fails(words, 1, &[&["cannot export relu.safetensors"][..], &says].concat());
        assert!(!desk.path("m.onnx").exists());
    }
    relu(&desk, "map", 22);
    desk.good("train train --backbone m/relu.yaml --out relu.safetensors");
    desk.good("export --head relu.safetensors --backbone m/relu.yaml --out m.onnx");
}

#[test]
fn the_classic_models_export_in_float_and_in_int8() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/models");
    if !data.is_dir() {
        return crate::skip::not_here("../shared/data is not here");
    }
    let desk = desk();
    for (name, size, mean, std, channels, dim) in [
        ("mobilenetv2-1.0-224-tf2-fp32", 224, "127.5", "127.5", "rgb", 1280),
        ("mobilenetv2-1.0-224-qat-int8", 224, "128", "128", "rgb", 1280),
        ("squeezenet1.1-227-fp32", 227, "[104, 117, 123]", "1", "bgr", 512),
        ("mobilenetv1-0.25-128-fp32", 128, "128", "128", "rgb", 256),
    ] {
        let file = data.join(format!("{name}.onnx")).canonicalize().unwrap();
        let manifest = format!(
            "name: {name}\nfile: {}\nsha256: {}\ninput: {{ tensor: input, layout: nchw, size: [{size}, {size}], \
             channels: {channels}, mean: {mean}, std: {std}, resize: crop }}\n\
             embedding: {{ tensor: embedding, dim: {dim} }}\n",
            file.display(),
            Digest::of(&fs::read(&file).unwrap()),
        );
        desk.put("classic.yaml", manifest.as_bytes());
        let options = "--head h.safetensors --backbone classic.yaml --config f32.yaml";
        desk.good("train train --out h.safetensors --backbone classic.yaml --config f32.yaml --l2 10");
        soften(&desk.path("h.safetensors"));
        let done = desk.good(&format!("export {options} --out m.onnx --force"));
        let apart = difference(&desk, options, "m.onnx", &desk.path("classic.yaml"));
        println!("{name}: {apart:.1e}, export itself says {}", done["largest_difference"]);
        assert!(apart < 1e-4, "{name}: {apart}");
    }
}
