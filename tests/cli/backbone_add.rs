//! `backbone add`: what it writes is true of the model, and what it cannot know or use it refuses without a trace.

use std::fs;
use std::path::Path;

use edgetuned::backbone::{Graph, Manifest, OnnxBackbone, Pool, expose};
use edgetuned::image::{Layout, Resize, decode};
use edgetuned::ports::Embedder;

use crate::camera::Part;
use crate::desk::{Desk, models, picture};
use crate::onnx::Attribute::{Int, Ints};
use crate::onnx::{Net, body};

/// Pooling, a flat embedding of 8 values, a classifier.
fn classifier(body: Net) -> Vec<u8> {
    let net = body.weight("fc", &[5, 8]).node("GlobalAveragePool", "map", "gap").node("Flatten", "gap", "flat");
    net.node_with("Gemm", "flat fc", "logits", &[Int("transB", 1)]).output("logits", "n 5").bytes()
}

/// A desk with `m/net.onnx`.
fn desk(net: &[u8]) -> Desk {
    let desk = Desk::new();
    desk.put("m/net.onnx", net);
    desk
}

fn embedding(manifest: &Path) -> Vec<f32> {
    let mut backbone = OnnxBackbone::open(&Manifest::load(manifest).unwrap(), 1).unwrap();
    let tensor =
        backbone.preprocess().apply(&decode(&picture(Part::Gear, 3), &edgetuned::image::Limits::default()).unwrap());
    backbone.embed(&tensor, 1).unwrap()
}

#[test]
fn a_manifest_is_written_beside_the_model_and_trains() {
    let desk = desk(&classifier(body()));
    let done = desk.good("backbone add m/net.onnx --normalize imagenet --license MIT --source here");
    assert_eq!(done["manifest"], "m/net.yaml");
    assert_eq!(done["embedding"], serde_json::json!({ "tensor": "flat", "dim": 8, "pool": "none" }));
    assert_eq!(done["why"], "pooled, what the classifier reads");
    assert_eq!(done["next"], "edgetuned train DIR --backbone m/net.yaml");
    assert!(done["ms_per_image"].as_f64().unwrap() > 0.0 && done["warnings"].as_array().unwrap().is_empty());
    assert_eq!(done["candidates"].as_array().unwrap().len(), 4);
    let manifest = Manifest::load(&desk.path("m/net.yaml")).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.license.as_str(), manifest.source.as_str()), ("net", "MIT", "here"));
    assert_eq!((manifest.preprocess.size, manifest.preprocess.layout), ((16, 16), Layout::Nchw));
    assert_eq!(done["preprocess"]["mean"], serde_json::json!([123.675, 116.28, 103.53]));
    assert_eq!(manifest.preprocess.resize, Resize::Crop { ratio: 0.875 });
    assert!(fs::read_to_string(desk.path("m/net.yaml")).unwrap().contains("file: net.onnx "));
    assert_eq!(fs::read_dir(desk.path("m")).unwrap().count(), 2, "nothing else is left there");
    for part in [Part::Nut, Part::Gear] {
        desk.shoot("train", part, 0..6);
    }
    assert_eq!(desk.good("train train --backbone m/net.yaml --out h.safetensors")["backbone"]["dim"], 8);
}

#[test]
fn the_text_output_shows_what_was_chosen_and_the_next_command() {
    let desk = desk(&classifier(body()));
    let ran = desk.run("backbone add m/net.onnx --mean 127 --std 128 --out net.yaml");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for line in [
        "wrote      net.yaml\n",
        "input: nchw, 16x16, rgb, mean 127, std 128\n",
        "crop: shorter side to 18, then the centre 16x16; the usual way of classification models, --resize changes it\n",
        "flat: 8 values, pool none (pooled, what the classifier reads)\n",
        "ms per image on one thread\n",
        "other      map  dim 8, pool avg (Relu, the map that is pooled for the classifier)\n",
        "next       edgetuned train DIR --backbone net.yaml\n",
    ] {
        assert!(ran.out.contains(line), "{line:?} is not in {}", ran.out);
    }
    assert!(fs::read_to_string(desk.path("net.yaml")).unwrap().contains("file: m/net.onnx "));
}

#[test]
fn options_go_into_the_manifest() {
    let net = Net::default().input("x", "n h w 3").weight("w", &[8, 3, 1, 1]).output("map", "n 8 h w");
    let net = net.node_with("Transpose", "x", "nchw", &[Ints("perm", &[0, 3, 1, 2])]).node("Conv", "nchw w", "map");
    let desk = desk(&net.bytes());
    let options = "--size 20x12 --normalize caffe --scale 0.5 --resize letterbox --pad 7 --name bank --out other/b.yml";
    fs::create_dir(desk.path("other")).unwrap();
    desk.good(&format!("backbone add m/net.onnx {options}"));
    let manifest = Manifest::load(&desk.path("other/b.yml")).unwrap();
    let preprocess = &manifest.preprocess;
    assert_eq!((preprocess.size, preprocess.layout, preprocess.scale), ((20, 12), Layout::Nhwc, [0.5; 3]));
    assert_eq!((preprocess.resize, preprocess.pad, preprocess.mean[0]), (Resize::Letterbox, 7, 103.939));
    assert_eq!((manifest.embedding.pool, manifest.embedding.dim), (Pool::Avg, 8));
    assert!(manifest.file.is_absolute(), "the model lies elsewhere: {}", manifest.file.display());
    assert_eq!(embedding(&desk.path("other/b.yml")).len(), 8);
    let cropped = "--size 20 --normalize unit --channels bgr --resize crop --crop-ratio 1 --tensor map --pool avg";
    desk.good(&format!("backbone add m/net.onnx {cropped}"));
    let manifest = Manifest::load(&desk.path("m/net.yaml")).unwrap();
    assert_eq!(manifest.preprocess.resize, Resize::Crop { ratio: 1.0 });
    assert_eq!(manifest.preprocess.channels, edgetuned::image::Channels::Bgr);
}

#[test]
fn inner_maps_are_appended_and_a_head_on_them_trains_and_is_exported() {
    let desk = desk(&classifier(body().weight("w2", &[6, 8, 1, 1]).node("Conv", "map w2", "side:0")));
    let add = "backbone add m/net.onnx --normalize imagenet --force";
    let done = desk.good(&format!("{add} --inner map:mean --inner side:0"));
    let inner =
        serde_json::json!([{ "tensor": "map", "stat": ["mean"] }, { "tensor": "side:0", "stat": ["mean", "std"] }]);
    assert_eq!(done["embedding"], serde_json::json!({ "tensor": "flat", "dim": 8, "pool": "none", "inner": inner }));
    let manifest = Manifest::load(&desk.path("m/net.yaml")).unwrap();
    assert_eq!((manifest.embedding.dim, manifest.space().dim), (8, 8 + 8 + 12));
    assert_eq!(embedding(&desk.path("m/net.yaml")).len(), 28);
    // The embedding is the mean of the map, and so are its inner means.
    let row = embedding(&desk.path("m/net.yaml"));
    assert!(row[..8].iter().zip(&row[8..16]).all(|(a, b)| (a - b).abs() < 1e-5), "{row:?}");
    let shown = desk.run(&format!("{add} --inner map:std")).out;
    assert!(shown.contains("inner      map: 8 values, std of each channel\n"), "{shown}");
    desk.good(&format!("{add} --inner map --inner side:0:std"));
    for part in [Part::Nut, Part::Gear] {
        desk.shoot("train", part, 0..6);
    }
    let report = desk.good("train train --backbone m/net.yaml --out h.safetensors");
    assert_eq!(report["backbone"]["dim"], 8 + 16 + 6);
    let exported = desk.good("export --head h.safetensors --backbone m/net.yaml --out m.onnx");
    assert!(exported["largest_difference"].as_f64().unwrap() <= 1e-4, "{exported}");
    desk.fails(&format!("{add} --inner gap --inner map:max"), 78, &["no tensor \"map:max\""]);
    desk.fails(&format!("{add} --inner logits"), 78, &["wrote no manifest", "a map (1, h, w)", "--inner"]);
    desk.fails(&format!("{add} --inner flat"), 78, &["embedding.inner[0].tensor", "the embedding's own"]);
}

#[test]
fn the_class_token_of_a_transformer_is_the_embedding() {
    let net = body().integers("tokens", &[0, 8, -1]).weight("gamma", &[8]).node("Reshape", "map tokens", "patches");
    let net = net.node_with("Transpose", "patches", "rows", &[Ints("perm", &[0, 2, 1])]);
    let net = net.node("LayerNormalization", "rows gamma", "last_hidden_state");
    let net = net.output("last_hidden_state", "n tokens 8").integers("zero", &[0]).output("first", "n 1 8");
    let desk = desk(&net.node_with("Gather", "last_hidden_state zero", "first", &[Int("axis", 1)]).bytes());
    let add = "backbone add m/net.onnx --normalize imagenet --tensor last_hidden_state";
    // 16 x 16 patches and 256 tokens: that the first is a class token has to be given.
    desk.fails(add, 64, &["shape [1, 256, 8]", "no embedding follows", "--pool"]);
    let done = desk.good(&format!("{add} --pool cls"));
    assert_eq!(done["embedding"], serde_json::json!({ "tensor": "last_hidden_state", "dim": 8, "pool": "cls" }));
    desk.good("backbone add m/net.onnx --normalize imagenet --tensor first --out first.yaml");
    assert_eq!(embedding(&desk.path("m/net.yaml")), embedding(&desk.path("first.yaml")));
}

#[test]
fn a_file_that_is_no_model_ends_with_1() {
    let desk = Desk::new();
    let model = fs::read(models().join("tiny-test.onnx")).unwrap();
    desk.put("cut.onnx", &model[..50_000]);
    desk.put("text.onnx", b"this is no model");
    desk.fails("backbone add gone.onnx --normalize unit", 1, &["cannot read the model gone.onnx", "give the path"]);
    desk.fails("backbone add text.onnx --normalize unit", 1, &["cannot inspect text.onnx", "not an ONNX model"]);
    desk.fails("backbone add cut.onnx --normalize unit", 1, &["truncated after 50000 bytes", "copy it again"]);
    assert!(!desk.path("cut.yaml").exists() && !desk.path("text.yaml").exists());
}

#[test]
fn a_model_that_cannot_be_used_ends_with_78_and_leaves_no_manifest() {
    let refused = |net: &[u8], options: &str, says: &[&str]| {
        let desk = desk(net);
        desk.fails(&format!("backbone add m/net.onnx --normalize unit {options}"), 78, says);
        assert_eq!(fs::read_dir(desk.path("m")).unwrap().count(), 1, "{says:?}");
    };
    let two = classifier(body().input("mask", "n 256"));
    refused(&two, "", &["wrote no manifest for m/net.onnx", "\"input\", \"mask\"", "export it with one input"]);
    let half = Net::default().input_of("x", 10, "n 3 8 8").node("Relu", "x", "y").output("y", "n 3 8 8").bytes();
    refused(&half, "", &["input \"x\" takes float16, float32 is needed"]);
    let good = classifier(body());
    refused(&good, "--tensor flet", &["no tensor \"flet\"", "near it are \"flat\"", "backbone inspect"]);
    let blind = Net::default().input("input", "n 3 16 16").weight_of("w", &[8, 3, 1, 1], Some(0.0));
    let blind = classifier(blind.node("Conv", "input w", "map"));
    let says = ["tensor \"flat\"", "the same embedding, all zeros", "check mean, std and scale"];
    refused(&blind, "", &says);
    let shapeless = body().node("Shape", "map", "shape").output("map", "n 8 16 16").bytes();
    refused(&shapeless, "--tensor shape", &["wrote no manifest", "\"shape\"", "is of int64", "choose another tensor"]);
}

#[test]
fn options_that_are_missing_or_contradict_end_with_64() {
    let free = Net::default().input("input", "n 3 h w").weight("w", &[8, 3, 1, 1]).node("Conv", "input w", "map");
    let free = desk(&classifier(free));
    let says = ["[n, 3, h, w]", "leaves its size open", "--size 224"];
    free.fails("backbone add m/net.onnx --normalize unit", 64, &says);
    let desk = desk(&classifier(body()));
    let says = ["does not say how pixels were normalised", "--normalize imagenet", "--mean and --std"];
    desk.fails("backbone add m/net.onnx", 64, &says);
    for (options, says) in [
        ("--input image", "no input \"image\", its input is \"input\""),
        ("--size 224", "[n, 3, 16, 16], --size 224x224 does not fit it"),
        ("--layout nhwc", "--layout nhwc does not fit it"),
        ("--pool avg", "--pool avg does not fit"),
        ("--pool cls --tensor map", "--pool cls does not fit"),
        ("--resize stretch --crop-ratio 0.9", "--crop-ratio belongs to --resize crop"),
    ] {
        desk.fails(&format!("backbone add m/net.onnx --normalize unit {options}"), 64, &[says]);
    }
    for options in
        ["--mean 1", "--std 1", "--mean 1 --std 0", "--normalize unit --mean 1 --std 1", "--normalize nothing"]
    {
        assert_eq!(desk.run(&format!("backbone add m/net.onnx {options}")).code, Some(64), "{options}");
    }
    assert!(!desk.path("m/net.yaml").exists());
}

#[test]
fn an_existing_manifest_is_replaced_only_with_force() {
    let desk = desk(&classifier(body()));
    desk.put("m/net.yaml", b"mine");
    desk.fails("backbone add m/net.onnx --normalize unit", 1, &["m/net.yaml exists", "--force", "--out"]);
    assert_eq!(fs::read(desk.path("m/net.yaml")).unwrap(), b"mine");
    let wrong = "backbone add m/net.onnx --normalize unit --force --tensor flet";
    assert_eq!(desk.run(wrong).code, Some(78));
    assert_eq!(fs::read(desk.path("m/net.yaml")).unwrap(), b"mine", "nothing is lost before another is proved");
    desk.good("backbone add m/net.onnx --normalize unit --force");
    assert_eq!(embedding(&desk.path("m/net.yaml")).len(), 8);
    let says = ["cannot write gone/net.yaml", "check the folder"];
    desk.fails("backbone add m/net.onnx --normalize unit --out gone/net.yaml", 1, &says);
}

#[test]
fn the_classic_models_get_the_embedding_of_their_documents() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/models");
    if !data.is_dir() {
        return crate::skip::not_here("../shared/data is not here");
    }
    for (name, options, dim) in [
        ("mobilenetv2-1.0-224-tf2-fp32", "--normalize inception", 1280),
        ("mobilenetv2-1.0-224-qat-int8", "--mean 128 --std 128", 1280),
        ("squeezenet1.1-227-fp32", "--mean 104,117,123 --std 1 --channels bgr", 512),
        ("mobilenetv1-0.25-128-fp32", "--mean 128 --std 128", 256),
    ] {
        let whole = fs::read(data.join(format!("{name}.onnx"))).unwrap();
        // The same model with its scores alone declared: the pooled tensor has to be found.
        let scores = expose(&whole, &Graph::read(&whole).unwrap(), &["logits"]).unwrap();
        let desk = Desk::new();
        desk.put("whole.onnx", &whole);
        desk.put("scores.onnx", &scores);
        let documented = desk.good(&format!("backbone add whole.onnx {options}"));
        assert_eq!(
            (&documented["embedding"]["tensor"], &documented["embedding"]["dim"]),
            (&"embedding".into(), &dim.into())
        );
        let found = desk.good(&format!("backbone add scores.onnx {options}"));
        assert_ne!(found["embedding"]["tensor"], "embedding");
        let (wanted, found) = (embedding(&desk.path("whole.yaml")), embedding(&desk.path("scores.yaml")));
        let apart = wanted.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = wanted.iter().map(|value| value.abs()).fold(0.0, f32::max);
        assert!(found.len() == dim && apart <= 1e-4 * largest, "{name}: {apart} apart, the largest is {largest}");
    }
}
