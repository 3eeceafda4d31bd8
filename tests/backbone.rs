//! Backbones on the real ONNX Runtime: the bundled one, four classic ones where they are at hand, and every way in
//! which a runtime library, a model or a manifest can be wrong.

// Helpers outside #[test] functions do not count as tests for the lint.
#![allow(clippy::unwrap_used)]

#[path = "support/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};
use std::process::Command;

use edgetuned::backbone::{BadModel, Manifest, OnnxBackbone, OpenError, Pool, environment, inspect};
use edgetuned::image::{Limits, decode};
use edgetuned::ports::Embedder;
use edgetuned::words::Digest;

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-test.yaml")
}

/// The bundled manifest with `from` replaced by `to`, its model beside it, opened.
fn altered(from: &str, to: &str) -> Result<OnnxBackbone, OpenError> {
    let text = std::fs::read_to_string(bundled()).unwrap();
    assert!(text.contains(from), "{from:?} is not in the manifest");
    let manifest = Manifest::parse(&text.replace(from, to), &bundled()).unwrap();
    OnnxBackbone::open(&manifest, 1)
}

/// The bundled manifest on other model bytes; `honest` puts their true SHA-256 into it.
fn with_model(bytes: &[u8], honest: bool) -> Result<OnnxBackbone, OpenError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny-test.onnx"), bytes).unwrap();
    let mut manifest = Manifest::load(&bundled()).unwrap();
    manifest.file = folder.path().join("tiny-test.onnx");
    if honest {
        manifest.sha256 = Digest::of(bytes);
    }
    OnnxBackbone::open(&manifest, 1)
}

fn model() -> Vec<u8> {
    std::fs::read(bundled().with_extension("onnx")).unwrap()
}

/// An error and its causes, as the program prints them.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn check_told(result: Result<OnnxBackbone, OpenError>, words: &[&str]) {
    let error = result.expect_err("a wrong model or manifest");
    assert!(!error.is_unavailable(), "{error}");
    let text = told(&error);
    for word in words {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
}

#[test]
fn a_batch_gives_what_single_images_give() {
    let mut backbone = OnnxBackbone::open(&Manifest::load(&bundled()).unwrap(), 1).unwrap();
    let len = backbone.preprocess().tensor_len();
    let tensors: Vec<f32> = (0..3 * len).map(|i| ((i * 7919 % 255) as f32 - 127.5) / 127.5).collect();
    let together = backbone.embed(&tensors, 3).unwrap();
    let dim = backbone.space().dim;
    assert_eq!(together.len(), 3 * dim);
    for (image, tensor) in tensors.chunks_exact(len).enumerate() {
        let alone = backbone.embed(tensor, 1).unwrap();
        let apart = alone.iter().zip(&together[image * dim..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-4, "image {image} differs by {apart}");
    }
    assert!(backbone.embed(&[], 0).unwrap().is_empty());
}

#[test]
fn a_model_with_a_fixed_batch_takes_any_number_of_images() {
    // In the model's input the axis name "n" becomes the length 1: dim_param (field 2, text) to dim_value (field 1).
    let bytes = model();
    let at = bytes.windows(5).position(|window| window == b"\n\x03\x12\x01n").expect("the input's batch axis");
    let mut fixed = bytes.clone();
    // {dim_value: 1} is two bytes, {dim_param: "n"} three: the unknown field 3 = 0 would need two, so the value 1 is
    // written as a varint of two bytes.
    fixed[at..at + 5].copy_from_slice(b"\n\x03\x08\x81\x00");
    let mut one_by_one = with_model(&fixed, true).unwrap();
    let mut any = with_model(&bytes, true).unwrap();
    let len = any.preprocess().tensor_len();
    let tensors: Vec<f32> = (0..3 * len).map(|i| ((i * 104_729 % 255) as f32 - 127.5) / 127.5).collect();
    let (a, b) = (one_by_one.embed(&tensors, 3).unwrap(), any.embed(&tensors, 3).unwrap());
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn an_inner_map_is_exposed_and_pooled() {
    let inner = altered("tensor: embedding\n  dim: 210\n  pool: none", "tensor: second_layer\n  dim: 32\n  pool: avg");
    let mut inner = inner.unwrap();
    let mut whole = OnnxBackbone::open(&Manifest::load(&bundled()).unwrap(), 1).unwrap();
    let tensor: Vec<f32> = (0..inner.preprocess().tensor_len()).map(|i| ((i % 97) as f32 - 48.0) / 48.0).collect();
    let (pooled, embedding) = (inner.embed(&tensor, 1).unwrap(), whole.embed(&tensor, 1).unwrap());
    // The script ends the embedding with the second layer's means, spreads and maxima, 32 of each.
    let apart = pooled.iter().zip(&embedding[210 - 96..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(pooled.len() == 32 && apart < 1e-4, "differs by {apart}");
    assert_ne!(inner.space().backbone, whole.space().backbone);
}

#[test]
fn inner_values_are_those_that_the_network_itself_makes_of_its_map() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(bundled()).unwrap();
    let inner =
        "pool: none\n  inner: [{ tensor: second_layer, stat: [std, mean] }, { tensor: contrast, stat: [mean] }]";
    std::fs::write(folder.path().join("tiny-test.yaml"), text.replace("pool: none", inner)).unwrap();
    std::fs::write(folder.path().join("tiny-test.onnx"), model()).unwrap();
    let manifest = Manifest::load(&folder.path().join("tiny-test.yaml")).unwrap();
    let mut backbone = OnnxBackbone::open(&manifest, 1).unwrap();
    let len = backbone.preprocess().tensor_len();
    let tensors: Vec<f32> = (0..5 * len).map(|i| ((i * 7919 % 255) as f32 - 127.5) / 127.5).collect();
    let rows = backbone.embed(&tensors, 5).unwrap();
    let width = manifest.space().dim;
    assert_eq!((manifest.embedding.dim, rows.len()), (210, 5 * width));
    let plain = OnnxBackbone::open(&Manifest::load(&bundled()).unwrap(), 1).unwrap().embed(&tensors, 5).unwrap();
    for (row, plain) in rows.chunks_exact(width).zip(plain.chunks_exact(210)) {
        let apart = row.iter().zip(plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-6, "the embedding comes first: {apart}");
        // The script ends the embedding with the second layer's means, root mean squares and maxima, 32 of each.
        let (means, deviations) = row[210..274].split_at(32);
        let powers = means.iter().zip(deviations).map(|(mean, std)| (mean * mean + std * std + 1e-6).sqrt());
        let found: Vec<f32> = means.iter().copied().chain(powers).collect();
        let apart = found.iter().zip(&plain[114..178]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-4, "means and deviations differ by {apart}");
    }
}

#[test]
fn every_difference_of_two_manifests_makes_a_space_of_its_own() {
    let plain = OnnxBackbone::open(&Manifest::load(&bundled()).unwrap(), 1).unwrap().space();
    let other_mean = altered("mean: 127.5", "mean: 128").unwrap().space();
    assert_eq!(plain.backbone, other_mean.backbone);
    assert_ne!(plain.preprocessing, other_mean.preprocessing);
    // Another file that computes the same (an empty producer version is appended) is another backbone.
    let other_file = with_model(&[&model()[..], b"\x1a\x00"].concat(), true).unwrap().space();
    assert_ne!(plain.backbone, other_file.backbone);
    assert_eq!(plain.dim, other_file.dim);
}

#[test]
fn a_model_with_another_sha256_is_refused() {
    let mut bytes = model();
    *bytes.last_mut().unwrap() ^= 1;
    let (expected, found) = (Digest::of(&model()).to_string(), Digest::of(&bytes).to_string());
    check_told(with_model(&bytes, false), &["tiny-test.onnx has SHA-256", &expected, &found, "fetch the model again"]);
}

#[test]
fn a_truncated_model_is_refused_as_such() {
    let bytes = model();
    for honest in [false, true] {
        check_told(
            with_model(&bytes[..bytes.len() / 2], honest),
            &["cannot use the model", "truncated", "copy it again"],
        );
    }
    check_told(with_model(b"", true), &["not an ONNX model"]);
    check_told(with_model(b"GIF89a, no model", true), &["cannot use the model"]);
}

#[test]
fn a_missing_model_file_is_named() {
    check_told(altered("file: tiny-test.onnx", "file: gone.onnx"), &["gone.onnx", "tiny-test.yaml", "No such file"]);
}

#[test]
fn an_unknown_tensor_is_refused_with_its_neighbours() {
    check_told(
        altered("tensor: embedding", "tensor: embeding"),
        &["no tensor \"embeding\"", "\"embedding\"", "inspect"],
    );
    check_told(altered("tensor: input", "tensor: image"), &["input.tensor says \"image\"", "\"input\""]);
}

#[test]
fn a_manifest_that_is_not_true_of_its_model_is_refused() {
    check_told(altered("dim: 210", "dim: 128"), &["dim 128", "210 values", "correct the manifest"]);
    check_told(altered("[96, 96]", "[96, 224]"), &["size [96, 224]", "[n, 3, 96, 96]"]);
    check_told(altered("layout: nchw", "layout: nhwc"), &["layout nhwc", "[n, 3, 96, 96]"]);
    check_told(altered("pool: none", "pool: avg"), &["pool avg", "shape [1, 210]"]);
}

#[test]
fn values_that_are_not_finite_are_refused_at_the_probe_and_later() {
    check_told(altered("std: 127.5", "std: 1e-38"), &["grey probe image", "mean, std and scale", "emits"]);
    let mut backbone = OnnxBackbone::open(&Manifest::load(&bundled()).unwrap(), 1).unwrap();
    let tensor = vec![f32::NAN; backbone.preprocess().tensor_len()];
    let message = backbone.embed(&tensor, 1).unwrap_err().to_string();
    assert!(message.contains("emits NaN at position"), "{message}");
}

#[test]
fn inspect_ranks_what_looks_like_an_embedding() {
    let found = inspect(&bundled().with_extension("onnx")).unwrap();
    assert_eq!((found.inputs.len(), found.sha256), (1, Digest::of(&model())));
    assert!(found.candidates.iter().any(|candidate| candidate.tensor == "embedding" && candidate.dim == Some(210)));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["inputs"][0]["shape"], serde_json::json!(["n", 3, 96, 96]));
    let error = inspect(Path::new("/nowhere.onnx")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the model /nowhere.onnx; give the path of an ONNX file");
    let error = inspect(&bundled()).unwrap_err();
    assert!(
        matches!(
            &error,
            edgetuned::backbone::InspectError::Model {
                source: BadModel::NotOnnx { .. } | BadModel::Truncated { .. },
                ..
            }
        ),
        "{error}"
    );
}

// The runtime library is loaded once a process, so each way of missing it needs a process of its own: this test
// binary, started again on the one test that only tries to load.

#[test]
#[ignore = "started by the tests below with an environment of their own"]
fn child_loads_the_runtime() {
    match environment() {
        Ok(_) => println!("loaded"),
        Err(missing) => println!("told: {missing}"),
    }
    // A second time in one process gives the same.
    println!("again: {}", environment().is_ok());
}

fn child(variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_loads_the_runtime", "--ignored", "--nocapture"]);
    command.env_remove("EDGETUNED_ORT").env_remove("ORT_DYLIB_PATH").envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_wrong_runtime_library_fails_at_once_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "this is a text and no library, long enough for a header\n".repeat(9)).unwrap();
    let other = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"].map(Path::new);
    let other = other.into_iter().find(|path| path.exists()).expect("the C library's own libm");
    let cases = [
        (folder.path().join("gone.so"), "not there"),
        (text.clone(), "invalid ELF header"),
        (other.to_owned(), "a library, but not ONNX Runtime"),
        (PathBuf::from("/dev/null"), "neither a file nor a folder"),
    ];
    for (path, why) in cases {
        let said = child(&[("EDGETUNED_ORT", &path)]);
        let wanted = format!("tried EDGETUNED_ORT {} ({why}", path.display());
        assert!(said.contains(&wanted) && said.contains("correct EDGETUNED_ORT"), "{said} lacks {wanted}");
        assert!(!said.contains("/usr/lib/edgetuned") && said.contains("again: false"), "{said}");
    }
}

#[test]
fn the_general_variable_falls_through_to_the_checkout() {
    let said = child(&[("ORT_DYLIB_PATH", Path::new("/gone.so"))]);
    assert!(said.contains("loaded") && said.contains("again: true"), "{said}");
}

#[test]
fn a_missing_runtime_library_is_reported_with_every_place_and_the_remedy() {
    // A copy of this binary outside the checkout finds nothing, unless the system has a library.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("alone");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args(["--exact", "child_loads_the_runtime", "--ignored", "--nocapture"]);
    let output = command.env_remove("EDGETUNED_ORT").env_remove("ORT_DYLIB_PATH").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    if said.contains("loaded") {
        skip::not_here("this system has an ONNX Runtime library of its own");
        return;
    }
    let beside = format!("beside the binary {}", folder.path().display());
    let places = [&beside, "/usr/lib/edgetuned", "libonnxruntime.so.1", "set EDGETUNED_ORT"];
    assert!(places.iter().all(|place| said.contains(place)), "{said}");
}

// The four classic models and the pictures with known answers, where they are at hand.

struct Classic {
    name: &'static str,
    size: u32,
    mean: &'static str,
    std: &'static str,
    channels: &'static str,
    dim: usize,
    /// Index of the first class proper among the logits.
    first: usize,
}

const CLASSICS: [Classic; 4] = [
    Classic {
        name: "mobilenetv2-1.0-224-tf2-fp32",
        size: 224,
        mean: "127.5",
        std: "127.5",
        channels: "rgb",
        dim: 1280,
        first: 1,
    },
    Classic {
        name: "mobilenetv2-1.0-224-qat-int8",
        size: 224,
        mean: "128",
        std: "128",
        channels: "rgb",
        dim: 1280,
        first: 1,
    },
    Classic {
        name: "squeezenet1.1-227-fp32",
        size: 227,
        mean: "[104, 117, 123]",
        std: "1",
        channels: "bgr",
        dim: 512,
        first: 0,
    },
    Classic {
        name: "mobilenetv1-0.25-128-fp32",
        size: 128,
        mean: "128",
        std: "128",
        channels: "rgb",
        dim: 256,
        first: 1,
    },
];

fn data() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if data.is_dir() {
        return Some(data);
    }
    skip::not_here("../shared/data is not here");
    None
}

impl Classic {
    fn manifest(&self, data: &Path, tensor: &str, dim: usize, pool: &str) -> Manifest {
        let file = data.join(format!("models/{}.onnx", self.name)).canonicalize().unwrap();
        let Self { name, size, mean, std, channels, .. } = self;
        let text = format!(
            "name: {name}\nfile: {}\nsha256: {}\ninput: {{ tensor: input, layout: nchw, size: [{size}, {size}], \
             channels: {channels}, mean: {mean}, std: {std}, resize: crop }}\n\
             embedding: {{ tensor: {tensor:?}, dim: {dim}, pool: {pool} }}\n",
            file.display(),
            Digest::of(&std::fs::read(&file).unwrap()),
        );
        Manifest::parse(&text, Path::new("classic.yaml")).unwrap()
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Largest difference between the mean of each channel of the crop and `wanted` (red first), in grey levels.
fn colour_error(classic: &Classic, backbone: &OnnxBackbone, tensor: &[f32], wanted: &[f32]) -> f32 {
    let preprocess = backbone.preprocess();
    let plane = tensor.len() / 3;
    let errors = (0..3).map(|channel| {
        let values = &tensor[channel * plane..][..plane];
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / plane as f64;
        let mean = mean as f32 * preprocess.std[channel] + preprocess.mean[channel];
        (mean - wanted[if classic.channels == "bgr" { 2 - channel } else { channel }]).abs()
    });
    errors.fold(0.0, f32::max)
}

#[test]
fn known_pictures_get_their_known_classes_and_embeddings() {
    let Some(data) = data() else { return };
    let expected = std::fs::read_to_string(data.join("imagenet/expected.json")).unwrap();
    let expected: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&expected).unwrap();
    assert_eq!(expected.len(), 12);
    for classic in &CLASSICS {
        let logits = if classic.first == 1 { 1001 } else { 1000 };
        let mut embedder = OnnxBackbone::open(&classic.manifest(&data, "embedding", classic.dim, "none"), 2).unwrap();
        let mut classifier = OnnxBackbone::open(&classic.manifest(&data, "logits", logits, "none"), 2).unwrap();
        let (mut least, mut worst_colour, mut all) = (1.0f64, 0.0f32, (Vec::new(), Vec::new()));
        for (picture, answers) in &expected {
            let bytes = std::fs::read(data.join("imagenet").join(picture)).unwrap();
            let tensor = embedder.preprocess().apply(&decode(&bytes, &Limits::default()).unwrap());
            let answer = &answers["models"][classic.name];
            let numbers = |key: &str| -> Vec<f32> { serde_json::from_value(answer[key].clone()).unwrap() };
            let scores = classifier.embed(&tensor, 1).unwrap();
            let classes = &scores[classic.first..];
            let top = (0..classes.len()).max_by(|&a, &b| classes[a].total_cmp(&classes[b])).unwrap();
            assert_eq!(top as u64, answer["top1"].as_u64().unwrap(), "{} on {picture}", classic.name);
            let (found, wanted) = (&embedder.embed(&tensor, 1).unwrap()[..8], numbers("embedding_first8"));
            let size = wanted.iter().map(|value| value * value).sum::<f32>().sqrt();
            if size > 0.1 {
                let cosine = cosine(found, &wanted);
                least = cosine.min(least);
                let held = cosine > 0.999 || classic.name.ends_with("int8");
                assert!(held, "{} on {picture}: cosine {cosine}, {found:?} for {wanted:?}", classic.name);
            } else {
                // A vector near zero has no direction; it must stay near zero.
                let apart = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart < 0.03, "{} on {picture}: {found:?} for {wanted:?}", classic.name);
            }
            all.0.extend_from_slice(found);
            all.1.extend(wanted);
            worst_colour = worst_colour.max(colour_error(classic, &embedder, &tensor, &numbers("crop_mean_rgb")));
        }
        assert!(worst_colour < 0.5, "{}: mean colour differs by {worst_colour}", classic.name);
        // An int8 network turns a pixel that differs by one into whole steps of small values: even with the very pixels
        // of the list, the runtime's lower optimisation levels come to 0.995 on single pictures. So it is held to the
        // cosine of all pictures' values together.
        let joint = cosine(&all.0, &all.1);
        assert!(joint > 0.999, "{}: cosine of all {joint}", classic.name);
        println!(
            "{}: cosine of all {joint:.6}, least {least:.6}, mean colour within {worst_colour:.3} of 255",
            classic.name
        );
    }
}

#[test]
fn an_inner_map_of_a_classic_pools_to_its_embedding() {
    let Some(data) = data() else { return };
    for classic in &CLASSICS {
        let found = inspect(&data.join(format!("models/{}.onnx", classic.name))).unwrap();
        assert!(found.candidates.iter().any(|candidate| candidate.tensor == "embedding"));
        // One of the maps listed has the embedding's width; SqueezeNet's classifier pools another one.
        let mut maps = found.candidates.iter().filter(|candidate| candidate.pool == Pool::Avg);
        let inner =
            maps.find_map(|map| OnnxBackbone::open(&classic.manifest(&data, &map.tensor, classic.dim, "avg"), 2).ok());
        let mut inner = inner.unwrap_or_else(|| panic!("{}: {:?}", classic.name, found.candidates));
        let mut plain = OnnxBackbone::open(&classic.manifest(&data, "embedding", classic.dim, "none"), 2).unwrap();
        let picture = std::fs::read(data.join("imagenet/n01491361_tiger_shark.jpg")).unwrap();
        let tensor = inner.preprocess().apply(&decode(&picture, &Limits::default()).unwrap());
        let cosine = cosine(&inner.embed(&tensor, 1).unwrap(), &plain.embed(&tensor, 1).unwrap());
        assert!(cosine > 0.9999, "{}: cosine {cosine}", classic.name);
    }
}

#[test]
fn two_backbones_of_one_width_have_different_spaces() {
    let Some(data) = data() else { return };
    let space = |classic: &Classic| {
        OnnxBackbone::open(&classic.manifest(&data, "embedding", classic.dim, "none"), 1).unwrap().space()
    };
    let (float, int8) = (space(&CLASSICS[0]), space(&CLASSICS[1]));
    assert_eq!(float.dim, int8.dim);
    assert_ne!(float.backbone, int8.backbone);
}
