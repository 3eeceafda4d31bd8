//! Exported models with inner values against backbone and head.

use ndarray::{Array1, Array2};

use super::super::drawn::Attribute::{Int, Ints};
use super::super::drawn::Net;
use super::*;
use crate::head::TrainingFacts;
use crate::words::{Label, Timestamp};

/// Maps of pictures of 16 x 16: `map` of 8 channels, `deep` of 6, `turned`, which is that with its channels last, `half`
/// in float16 and `coarse` in 8 bits; `flat`, 6 values, is the embedding.
fn net(opset: i64) -> Vec<u8> {
    let net = Net::default().opset(opset).ir(if opset < 9 { 3 } else { 8 }).input("x", "n 3 16 16");
    let (first, second) = ("w", "w2");
    let net = net.weight(first, &[8, 3, 1, 1]).weight(second, &[6, 8, 3, 3]);
    let net = if opset < 9 { net.input(first, "8 3 1 1").input(second, "6 8 3 3") } else { net };
    let net = net.node("Conv", "x w", "conv").node("Relu", "conv", "map").node("Conv", "map w2", "deep");
    let net = net.node("GlobalAveragePool", "deep", "gap").node("Flatten", "gap", "flat");
    let net = net.node_with("Transpose", "deep", "turned", &[Ints("perm", &[0, 2, 3, 1])]);
    let net = net.node_with("Cast", "map", "half", &[Int("to", 10)]);
    let net = if opset < 10 {
        net
    } else {
        net.weight_of("s", &[], Some(0.01)).bytes_weight("z", &[]).node("QuantizeLinear", "map s z", "coarse")
    };
    net.output("flat", "n 6").bytes()
}

fn manifest(file: &Path, bytes: &[u8], inner: &str) -> Manifest {
    let text = format!(
        "name: net\nfile: {}\nsha256: {}\ninput: {{ tensor: x, layout: nchw, size: [16, 16], channels: rgb, mean: 100, std: \
         90, resize: stretch }}\nembedding: {{ tensor: flat, dim: 6, inner: {inner} }}\n",
        file.display(),
        Digest::of(bytes)
    );
    Manifest::parse(&text, Path::new("net.yaml")).unwrap().resolved()
}

fn record(manifest: &Manifest) -> HeadRecord {
    let space = manifest.space();
    let classes = ["a", "b", "c"].map(|name| Label::new(name).unwrap()).into_iter().collect();
    let weights = Array2::from_shape_fn((3, space.dim), |(k, i)| ((k * 31 + i * 17) % 13) as f32 / 6.0 - 1.0);
    let dense = DenseHead { temperature: 0.7, ..DenseHead::linear(space, classes, weights, Array1::zeros(3)) };
    HeadRecord {
        training: TrainingFacts { lambda: 1.0, loss: 1.0, n_train: 1, ..TrainingFacts::default() },
        ..HeadRecord::new(dense, 1, Timestamp(1_700_000_000_000), manifest.reference())
    }
}

/// What `export` itself does: the largest difference that its proof finds.
fn proved(opset: i64, inner: &str) -> (f32, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    let bytes = net(opset);
    std::fs::write(&file, &bytes).unwrap();
    let manifest = manifest(&file, &bytes, inner);
    let record = record(&manifest);
    let proof = Proof::prepare(&manifest, 1, &record).unwrap();
    let model = with_head(&bytes, &manifest, proof.cut(), &record).unwrap();
    let out = folder.path().join("out.onnx");
    std::fs::write(&out, &model).unwrap();
    (proof.compare(&out, Digest::of(&model)).unwrap(), model)
}

#[test]
fn every_opset_gives_the_probabilities_of_backbone_and_head() {
    for opset in OPSETS {
        let quantised = if opset < 10 { "" } else { ", { tensor: coarse, stat: [std] }" };
        let inner = format!("[{{ tensor: map }}, {{ tensor: turned, stat: [mean] }}, {{ tensor: half }}{quantised}]");
        let (apart, _) = proved(opset, &inner);
        assert!(apart < 1e-5, "opset {opset}: {apart}");
    }
}

#[test]
fn a_model_that_leaves_the_inner_values_out_is_not_proved() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    let bytes = net(18);
    std::fs::write(&file, &bytes).unwrap();
    let right = manifest(&file, &bytes, "[{ tensor: map, stat: [std] }, { tensor: deep, stat: [mean] }]");
    let record = record(&right);
    let proof = Proof::prepare(&right, 1, &record).unwrap();
    let mut wrong = right.clone();
    wrong.embedding.inner[0].stat = vec![Stat::Mean];
    let model = with_head(&bytes, &wrong, proof.cut(), &record).unwrap();
    let out = folder.path().join("out.onnx");
    std::fs::write(&out, &model).unwrap();
    assert!(matches!(proof.compare(&out, Digest::of(&model)), Err(Unproved::Differs { .. })));
}

#[test]
fn the_metadata_name_the_inner_values_in_their_order() {
    let (_, model) = proved(13, "[{ tensor: deep, stat: [std, mean] }, { tensor: map, stat: [std] }]");
    let named = |key: &str| {
        let entries = fields(&model).map_while(Result::ok).filter(|field| field.number == METADATA);
        let entry = entries.into_iter().find(|field| name_in(*field, 1).as_deref() == Some(key)).unwrap();
        serde_json::from_str::<serde_json::Value>(&name_in(entry, 2).unwrap()).unwrap()
    };
    let backbone = named("backbone");
    let inner: Vec<Inner> = serde_json::from_value(backbone["inner"].clone()).unwrap();
    let told: Vec<_> = inner.iter().map(|inner| (inner.tensor.as_str(), &inner.stat[..])).collect();
    assert_eq!(told, [("deep", &[Stat::Mean, Stat::Std][..]), ("map", &[Stat::Std])]);
    assert_eq!(backbone["dim"], 6);
}
