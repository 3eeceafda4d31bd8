//! Tails of real and of drawn models beside ONNX Runtime, and their gradients beside `PyTorch`'s.
//!
//! `PyTorch` is that of `EDGETUNED_PYTHON` or python3, with the package `onnx`; where it has none, what needs it is skipped.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use edgetuned::backbone::{Embedding, Manifest, NotTrainable, OnnxBackbone, Pool, read, tail_input, tail_network};
use edgetuned::ports::Embedder;
use edgetuned::train::{TailLayers, TailNetwork, TailRunner};
use edgetuned::words::Digest;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/onnx.rs"]
mod onnx;
#[path = "support/skip.rs"]
mod skip;

use onnx::Attribute::{Float, Int, Ints, Text};
use onnx::{Attribute, Net};

const LAYERS: [TailLayers; 2] = [TailLayers::LastConv, TailLayers::LastBlock];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A tail, and the manifest whose embedding is what it starts from.
struct Cut {
    network: TailNetwork,
    latents: Manifest,
}

fn cut(manifest: &Manifest, layers: TailLayers) -> Result<Cut, NotTrainable> {
    let (bytes, graph) = read(manifest).unwrap();
    let input = tail_input(&graph, &manifest.embedding.tensor, layers)?;
    let of = |dim| Embedding { tensor: input.clone(), dim, pool: Pool::None, inner: Vec::new() };
    let shape = OnnxBackbone::shape(&Manifest { embedding: of(1), ..manifest.clone() }).unwrap();
    let [1, c, h, w] = shape[..] else { panic!("{input} of {shape:?} is no map") };
    let shape = [c, h, w].map(|side| side as usize);
    let network = tail_network(&bytes, &graph, &input, &manifest.embedding, shape, layers)?;
    Ok(Cut { network, latents: Manifest { embedding: of(shape.iter().product()), ..manifest.clone() } })
}

/// Pictures as the model reads them.
fn tensors(manifest: &Manifest, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    (0..count * manifest.preprocess.tensor_len()).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect()
}

/// The largest difference between the tail's embeddings of three pictures and the runtime's, and the values of its cut.
fn apart(manifest: &Manifest, layers: TailLayers) -> (f32, usize) {
    let Cut { network, latents } = cut(manifest, layers).unwrap();
    let tensors = tensors(manifest, 3);
    let expected = OnnxBackbone::open(manifest, 1).unwrap().embed(&tensors, 3).unwrap();
    let latents = OnnxBackbone::open(&latents, 1).unwrap().embed(&tensors, 3).unwrap();
    let values = network.cut().values();
    let found = TailRunner::original(network).embed(&latents);
    assert_eq!(found.len(), expected.len());
    assert!(expected.iter().any(|z| z.abs() > 1e-3), "the embedding is of zeros");
    (found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max), values)
}

fn bundled(name: &str) -> Option<Manifest> {
    let manifest = Manifest::load(&root().join(format!("models/{name}.yaml"))).unwrap();
    if !manifest.file.is_file() {
        skip::not_here(format!("the model of {name} was not made (tools/setup.sh)"));
        return None;
    }
    Some(manifest)
}

/// A float32 `MobileNet` of `../shared`.
fn mobilenet(name: &str, side: u32, dim: usize) -> Option<Manifest> {
    let file = root().join(format!("../shared/data/models/{name}.onnx"));
    if !file.is_file() {
        skip::not_here(format!("../shared/data/models/{name}.onnx is not here"));
        return None;
    }
    Some(written(
        &file,
        [side; 2],
        "input",
        &Embedding { tensor: "embedding".to_owned(), dim, pool: Pool::None, inner: Vec::new() },
    ))
}

fn written(file: &Path, [height, width]: [u32; 2], input: &str, embedding: &Embedding) -> Manifest {
    let sha256 = Digest::of(&std::fs::read(file).unwrap());
    let Embedding { tensor, dim, pool, .. } = embedding;
    let text = format!(
        "name: drawn\nfile: {}\nsha256: {sha256}\ninput:\n  tensor: {input}\n  layout: nchw\n  size: [{height}, {width}]\n  \
         channels: rgb\n  mean: 127.5\n  std: 127.5\n  resize: stretch\nembedding:\n  tensor: {tensor}\n  dim: {dim}\n  pool: {}\n",
        file.display(),
        pool.as_str()
    );
    Manifest::parse(&text, Path::new("drawn.yaml")).unwrap()
}

#[test]
fn tails_of_real_models_make_the_embeddings_of_onnx_runtime() {
    let models = [
        // [values at the cut of last_conv, of last_block]
        (bundled("photo"), [320 * 16, 160 * 16]),
        (bundled("default"), [320 * 49, 192 * 49]),
        (mobilenet("mobilenetv2-1.0-224-tf2-fp32", 224, 1280), [320 * 49, 160 * 49]),
        (mobilenet("mobilenetv1-0.25-128-fp32", 128, 256), [256 * 16, 128 * 16]),
    ];
    for (manifest, cuts) in models {
        let Some(manifest) = manifest else { continue };
        for (layers, values) in LAYERS.into_iter().zip(cuts) {
            let (apart, found) = apart(&manifest, layers);
            assert!(apart < 1e-3, "{} {layers:?}: {apart}", manifest.file.display());
            assert_eq!(found, values, "{} {layers:?}", manifest.file.display());
        }
    }
}

fn conv(net: Net, from: &str, to: &str, shape: &[i64], attributes: &[Attribute<'_>]) -> Net {
    let (w, b) = (format!("{to}.w"), format!("{to}.b"));
    net.weight(&w, shape).weight(&b, &shape[..1]).node_with("Conv", &format!("{from} {w} {b}"), to, attributes)
}

fn norm(mut net: Net, from: &str, to: &str, channels: i64) -> Net {
    for part in ["scale", "shift", "mean"] {
        net = net.weight(&format!("{to}.{part}"), &[channels]);
    }
    net = net.weight_of(&format!("{to}.variance"), &[channels], Some(0.7));
    let inputs = format!("{from} {to}.scale {to}.shift {to}.mean {to}.variance");
    net.node_with("BatchNormalization", &inputs, to, &[Float("epsilon", 1e-3)])
}

/// `ResNet`'s last two blocks, with statistics that are not folded, on a map of `side`.
fn residual(channels: i64, side: i64) -> Net {
    let pads = [Ints("pads", &[1, 1, 1, 1])];
    let wide = [channels, channels, 3, 3];
    let mut net = Net::default().input("input", &format!("n 3 {side} {side}"));
    net = conv(net, "input", "stem", &[channels, 3, 1, 1], &[]);
    for (from, to) in [("stem", "one"), ("one", "two")] {
        let [first, norm1, relu, second, norm2, sum] =
            ["first", "norm1", "relu", "second", "norm2", "sum"].map(|part| format!("{to}.{part}"));
        // Small enough that values stay in one range.
        for conv in [&first, &second] {
            net = net.weight(&format!("{conv}.w"), &wide);
        }
        net = net.node_with("Conv", &format!("{from} {first}.w"), &first, &pads);
        net = norm(net, &first, &norm1, channels).node("Relu", &norm1, &relu);
        net = net.node_with("Conv", &format!("{relu} {second}.w"), &second, &pads);
        net = norm(net, &second, &norm2, channels).node("Add", &format!("{norm2} {from}"), &sum);
        net = net.node("Relu", &sum, to);
    }
    net.node("GlobalAveragePool", "two", "mean").node("Flatten", "mean", "embedding").output("embedding", "n d")
}

/// `MobileNetV3`'s way of writing things, with TensorFlow's padding.
fn swishing() -> Net {
    let scalars = [("three", 3.0), ("zero", 0.0), ("six", 6.0)];
    let net = scalars.into_iter().fold(Net::default(), |net, (name, value)| net.weight_of(name, &[], Some(value)));
    let net = conv(net.input("input", "n 3 9 7"), "input", "stem", &[4, 3, 1, 1], &[]);
    let net = conv(net, "stem", "expand", &[8, 4, 1, 1], &[]);
    let net = net.node("Add", "expand three", "a").node("Clip", "a zero six", "b").node("Mul", "expand b", "c");
    let net = net.node("Div", "c six", "d");
    let halving = [Int("group", 8), Ints("strides", &[2, 2]), Text("auto_pad", "SAME_UPPER")];
    let net = conv(net, "d", "deep", &[8, 1, 3, 3], &halving);
    let sigmoid = [Float("alpha", 1.0 / 6.0), Float("beta", 0.5)];
    let net = net.node_with("HardSigmoid", "deep", "gate", &sigmoid).node("Mul", "gate deep", "e");
    let net = conv(net, "e", "last", &[6, 8, 1, 1], &[]).node("HardSwish", "last", "f").integers("axes", &[-1, -2]);
    let mean = [Int("keepdims", 0)];
    net.node_with("ReduceMean", "f axes", "embedding", &mean).output("embedding", "n 6")
}

fn drawn(net: Net, folder: &Path, size: [u32; 2], embedding: &Embedding) -> Manifest {
    let file = folder.join("drawn.onnx");
    std::fs::write(&file, net.bytes()).unwrap();
    written(&file, size, "input", embedding)
}

#[test]
fn tails_of_drawn_models_make_the_embeddings_of_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let embedding = |tensor: &str, dim, pool| Embedding { tensor: tensor.to_owned(), dim, pool, inner: Vec::new() };
    let row = embedding("embedding", 6, Pool::None);
    for (net, size, embedding) in [
        (residual(6, 5), [5, 5], row.clone()),
        (residual(6, 5), [5, 5], embedding("two", 6, Pool::Avg)),
        (swishing(), [9, 7], row),
    ] {
        let manifest = drawn(net, folder.path(), size, &embedding);
        for layers in LAYERS {
            let (apart, _) = apart(&manifest, layers);
            assert!(apart < 1e-3, "{embedding:?} {layers:?}: {apart}");
        }
    }
}

#[test]
fn of_a_resnet_18_the_last_convolution_is_trained_and_the_last_block_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let embedding = Embedding { tensor: "embedding".to_owned(), dim: 512, pool: Pool::None, inner: Vec::new() };
    let manifest = drawn(residual(512, 7), folder.path(), [7, 7], &embedding);
    let network = cut(&manifest, TailLayers::LastConv).unwrap().network;
    assert_eq!(network.trained(), 512 * 512 * 9);
    let refused = cut(&manifest, TailLayers::LastBlock).map(|_| ()).unwrap_err();
    let words = refused.to_string();
    assert!(matches!(refused, NotTrainable::Network(_)) && words.contains("more than 64 MiB"), "{words}");
}

/// A Python that has `PyTorch`.
fn python() -> Option<String> {
    let python = std::env::var("EDGETUNED_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import torch, onnx"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skip::not_here(format!("{python} has no torch and onnx; name one that has in EDGETUNED_PYTHON"));
    None
}

fn floats(file: &Path) -> Vec<f32> {
    std::fs::read(file).unwrap().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn put(file: PathBuf, values: &[f32]) -> PathBuf {
    std::fs::write(&file, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    file
}

#[test]
fn gradients_are_those_of_pytorch() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let embedding = |dim| Embedding { tensor: "embedding".to_owned(), dim, pool: Pool::None, inner: Vec::new() };
    let models = [
        (Some(drawn(residual(512, 7), folder.path(), [7, 7], &embedding(512))), TailLayers::LastConv),
        (bundled("photo"), TailLayers::LastBlock),
        (bundled("default"), TailLayers::LastBlock),
        (mobilenet("mobilenetv2-1.0-224-tf2-fp32", 224, 1280), TailLayers::LastBlock),
    ];
    for (manifest, layers) in models {
        let Some(manifest) = manifest else { continue };
        let Cut { network, latents } = cut(&manifest, layers).unwrap();
        let count = 4;
        let latents = OnnxBackbone::open(&latents, 1).unwrap().embed(&tensors(&manifest, count), count).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let factors: Vec<f32> = (0..count * network.dim()).map(|_| rng.random::<f32>() - 0.5).collect();
        let gradients = network.gradients(&latents, &factors);
        let names: Vec<&str> = gradients.weights.iter().map(|weight| &weight.name[..]).collect();
        std::fs::write(folder.path().join("names"), names.join("\n")).unwrap();
        let shape = network.cut();
        let mut command = Command::new(&python);
        command.arg(root().join("benches/tail_peer.py")).arg("gradients").arg(&manifest.file);
        command.args([network.input(), &manifest.embedding.tensor]);
        command.args([shape.channels, shape.height, shape.width].map(|side| side.to_string()));
        command.arg(put(folder.path().join("latents"), &latents)).arg(put(folder.path().join("factors"), &factors));
        command.arg(folder.path().join("names")).arg(folder.path().join("out"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected = floats(&folder.path().join("out"));
        let mut from = 0;
        for weight in &gradients.weights {
            let expected = &expected[from..from + weight.values.len()];
            from += weight.values.len();
            let largest = expected.iter().fold(0.0, |largest: f32, g| largest.max(g.abs()));
            let apart = weight.values.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let name = manifest.file.display();
            assert!(largest > 0.0 && apart < 1e-3 * largest, "{name} {}: {apart} of {largest}", weight.name);
        }
        assert_eq!(from, expected.len());
    }
}
