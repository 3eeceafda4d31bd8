use std::collections::HashMap;
use std::path::Path;

use ndarray::{Array1, Array2};

use super::super::OnnxBackbone;
use super::super::onnx::reader::{INITIALIZER, INPUT, Versions};
use super::super::onnx::wire::put_int;
use super::*;
use crate::head::{Hidden, Origin, TrainingFacts};
use crate::ports::Embedder;
use crate::words::{Digest, Label, Timestamp};

const NAMES: [&str; 3] = ["Mutter \"M6\"", "Zahnräder", "ナット"];

/// A network of one node that computes `map` of pictures of 4 x 5.
struct Net {
    op: &'static str,
    attributes: &'static [Attribute<'static>],
    /// Of `map`, for one picture.
    shape: &'static [i64],
    dim: usize,
    ir: i64,
    opset: Option<i64>,
    layout: &'static str,
    pool: &'static str,
    batch: Axis,
    map: &'static str,
}

const RELU: Net = Net {
    op: "Relu",
    attributes: &[],
    shape: &[1, 3, 4, 5],
    dim: 3,
    ir: 8,
    opset: Some(13),
    layout: "nchw",
    pool: "avg",
    batch: Axis::Free(String::new()),
    map: "map",
};

impl Net {
    fn bytes(&self) -> Vec<u8> {
        let (mut import, mut model) = (Vec::new(), Vec::new());
        let mut tail = Tail::behind(b"", Versions { ir: self.ir, opset: self.opset });
        tail.node_called(self.op, &["input"], self.attributes, self.map);
        let mut graph = tail.into_fields();
        let lengths = if self.layout == "nchw" { [3, 4, 5] } else { [4, 5, 3] };
        let shape: Vec<Axis> = [self.batch.clone()].into_iter().chain(lengths.map(Axis::Fixed)).collect();
        put_bytes(&mut graph, 2, b"net");
        put_bytes(&mut graph, INPUT, &float_info("input", &shape));
        let shape: Vec<Axis> =
            [self.batch.clone()].into_iter().chain(self.shape[1..].iter().map(|side| Axis::Fixed(*side))).collect();
        put_bytes(&mut graph, OUTPUT, &float_info(self.map, &shape));
        put_int(&mut model, 1, self.ir);
        put_bytes(&mut model, GRAPH, &graph);
        if let Some(opset) = self.opset {
            put_int(&mut import, 2, opset);
            put_bytes(&mut model, 8, &import);
        }
        model
    }

    fn manifest(&self, file: &Path, bytes: &[u8]) -> Manifest {
        let (layout, pool, map, dim) = (self.layout, self.pool, self.map, self.dim);
        let text = format!(
            "name: relu\nfile: {}\nsha256: {}\nlicense: MIT\ninput: {{ tensor: input, layout: {layout}, size: [4, 5], \
             channels: bgr, mean: [0.485, 0.456, 0.406], std: 0.25, scale: 0.003921569, resize: crop }}\n\
             embedding: {{ tensor: {map:?}, dim: {dim}, pool: {pool} }}\n",
            file.display(),
            Digest::of(bytes)
        );
        Manifest::parse(&text, Path::new("relu.yaml")).unwrap()
    }

    fn export(&self) -> Result<Vec<u8>, CannotExport> {
        let bytes = self.bytes();
        let manifest = self.manifest(Path::new("relu.onnx"), &bytes);
        with_head(&bytes, &manifest, &cut(self.shape), &record(&manifest))
    }
}

fn cut(shape: &[i64]) -> Cut {
    Cut { embedding: Taken { shape: shape.to_vec(), widening: None }, inner: Vec::new(), alone: None }
}

fn record(manifest: &Manifest) -> HeadRecord {
    let (d, space) = (manifest.embedding.dim, manifest.space());
    let classes = NAMES.iter().map(|name| Label::new(name).unwrap()).collect();
    let weights = Array2::from_shape_fn((3, d), |(k, i)| ((k * 31 + i * 17) % 13) as f32 / 6.0 - 1.0);
    let bias = Array1::from_vec(vec![0.5, -0.25, 0.0]);
    let dense = DenseHead { temperature: 0.7, ..DenseHead::linear(space, classes, weights, bias) };
    HeadRecord {
        training: TrainingFacts { lambda: 1.0, loss: 1.0, n_train: 1, ..TrainingFacts::default() },
        ..HeadRecord::new(dense, 4, Timestamp(1_700_000_000_000), manifest.reference())
    }
}

fn metadata_of(model: &[u8]) -> HashMap<String, String> {
    let entries = fields(model).map(Result::unwrap).filter(|field| field.number == METADATA);
    let entries: Vec<_> = entries.map(|field| (name_in(field, 1).unwrap(), name_in(field, 2).unwrap())).collect();
    let count = entries.len();
    let map: HashMap<_, _> = entries.into_iter().collect();
    assert_eq!(map.len(), count, "no key twice");
    map
}

/// The record's head with `hidden` before it.
fn deepened(record: HeadRecord, hidden: Hidden) -> HeadRecord {
    let width = hidden.width();
    let weights = Array2::from_shape_fn((3, width), |(k, i)| ((k * 29 + i * 19) % 11) as f32 / 5.0 - 1.0);
    HeadRecord { dense: DenseHead { hidden: Some(hidden), weights, ..record.dense }, ..record }
}

/// Largest difference between the exported model's probabilities of two pictures and those of backbone and head.
fn difference(net: &Net) -> f32 {
    difference_of(net, |record| record)
}

/// The same of the head that `change` makes of the usual one.
fn difference_of(net: &Net, change: impl Fn(HeadRecord) -> HeadRecord) -> f32 {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, file) = (net.bytes(), folder.path().join("relu.onnx"));
    std::fs::write(&file, &bytes).unwrap();
    let manifest = net.manifest(&file, &bytes);
    let record = change(record(&manifest));
    let tensors: Vec<f32> = (0..120).map(|i| ((i * 7919) % 101) as f32 / 40.0 - 1.0).collect();
    let embeddings = OnnxBackbone::open(&manifest, 1).unwrap().embed(&tensors, 2).unwrap();
    let embeddings = Array2::from_shape_vec((2, manifest.embedding.dim), embeddings).unwrap();
    let expected = record.dense.probabilities_of(&embeddings).unwrap();

    let model = with_head(&bytes, &manifest, OnnxBackbone::open(&manifest, 1).unwrap().cut(), &record).unwrap();
    std::fs::write(&file, &model).unwrap();
    let mut exported = manifest.clone();
    exported.sha256 = Digest::of(&model);
    exported.embedding = Embedding { tensor: PROBABILITIES.into(), dim: 3, pool: Pool::None, inner: Vec::new() };
    let found = OnnxBackbone::open(&exported, 1).unwrap().embed(&tensors, 2).unwrap();
    found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

#[test]
fn every_opset_pooling_and_layout_gives_the_probabilities_of_backbone_and_head() {
    for opset in OPSETS {
        // Structure 3 is that of the first files with opset 7.
        let ir = if opset < 9 { 3 } else { 8 };
        for (layout, pool) in [("nchw", "none"), ("nchw", "avg"), ("nhwc", "none"), ("nhwc", "avg")] {
            let (shape, dim): (&[i64], usize) =
                (if layout == "nchw" { &[1, 3, 4, 5] } else { &[1, 4, 5, 3] }, if pool == "none" { 60 } else { 3 });
            let apart = difference(&Net { ir, opset: Some(opset), layout, pool, shape, dim, ..RELU });
            assert!(apart < 1e-6, "opset {opset}, {layout}, {pool}: {apart}");
        }
    }
}

#[test]
fn hidden_layers_learned_and_made_of_a_seed_give_the_probabilities_of_backbone_and_head() {
    for opset in [7, 9, 13, 18, 22] {
        let net = Net { ir: if opset < 9 { 3 } else { 8 }, opset: Some(opset), ..RELU };
        let learned = |record| {
            let weights = Array2::from_shape_fn((5, 3), |(unit, i)| ((unit * 23 + i * 41) % 17) as f32 / 4.0 - 2.0);
            deepened(record, Hidden { weights, bias: Array1::from_elem(5, 0.125), origin: Origin::Learned })
        };
        let made = |record| deepened(record, Hidden::projection(9, 40, Array1::from_elem(3, 0.1), Array1::ones(3)));
        let (learned, made) = (difference_of(&net, learned), difference_of(&net, made));
        assert!(learned < 1e-6 && made < 1e-6, "opset {opset}: {learned}, {made}");
    }
}

#[test]
fn units_below_zero_are_cut_off_by_a_node_of_their_own() {
    let bytes = RELU.bytes();
    let manifest = RELU.manifest(Path::new("relu.onnx"), &bytes);
    let deep = deepened(record(&manifest), Hidden::projection(9, 40, Array1::zeros(3), Array1::ones(3)));
    let model = with_head(&bytes, &manifest, &cut(RELU.shape), &deep).unwrap();
    let fields = graph_fields(&model).unwrap();
    let nodes = fields.iter().filter(|field| field.number == super::super::onnx::reader::NODE);
    let ops: Vec<String> = nodes.map(|field| name_in(*field, 4).unwrap()).collect();
    assert_eq!(ops[ops.len() - 4..], ["Gemm", "Relu", "Gemm", "Softmax"]);
}

#[test]
fn channels_are_where_the_width_says_and_the_class_token_is_the_first() {
    let turned = Net {
        op: "Transpose",
        attributes: &[Attribute::Ints("perm", &[0, 3, 1, 2])],
        layout: "nhwc",
        shape: &[1, 3, 4, 5],
        ..RELU
    };
    let tokens = Net {
        op: "ReduceMean",
        attributes: &[Attribute::Ints("axes", &[1]), Attribute::Int("keepdims", 0)],
        pool: "cls",
        shape: &[1, 4, 5],
        dim: 5,
        ..RELU
    };
    for (net, what) in [(turned, "a map in NCHW of a picture in NHWC"), (tokens, "tokens")] {
        let apart = difference(&net);
        assert!(apart < 1e-6, "{what}: {apart}");
    }
}

#[test]
fn other_opsets_are_refused_with_what_to_do() {
    for (opset, words) in [(Some(6), "version 6"), (Some(23), "version 23"), (None, "no stated version")] {
        let error = Net { opset, ..RELU }.export().unwrap_err();
        assert_eq!(error, CannotExport::Opset { found: opset });
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("7 to 22") && text.contains("version_converter"), "{text}");
    }
}

#[test]
fn input_and_batch_stay_and_probabilities_are_the_only_output() {
    for batch in [Axis::Fixed(2), Axis::Free("n".into()), Axis::Free(String::new())] {
        let net = Net { batch: batch.clone(), ..RELU };
        let (before, after) = (Graph::read(&net.bytes()).unwrap(), Graph::read(&net.export().unwrap()).unwrap());
        assert_eq!(after.inputs, before.inputs);
        assert_eq!(after.outputs.len(), 1);
        assert_eq!(after.outputs[0].name, PROBABILITIES);
        assert_eq!(after.outputs[0].shape, Some(vec![batch, Axis::Fixed(3)]));
    }
    assert!(difference(&Net { batch: Axis::Fixed(2), ..RELU }) < 1e-6);
}

#[test]
fn weights_are_inputs_as_well_where_the_structure_is_of_version_3() {
    for (ir, listed) in [(3, true), (4, false)] {
        let model = Net { ir, opset: Some(7), ..RELU }.export().unwrap();
        let fields = graph_fields(&model).unwrap();
        let named = |kind, number| -> Vec<String> {
            let fields = fields.iter().filter(|field| field.number == kind);
            fields.map(|field| name_in(*field, number).unwrap()).collect()
        };
        let (weights, inputs) = (named(INITIALIZER, 8), named(INPUT, 1));
        assert!(weights.len() == 3 && weights.iter().all(|weight| inputs.contains(weight) == listed), "{inputs:?}");
    }
}

#[test]
fn names_of_the_backbone_are_never_taken() {
    for map in ["edgetuned/gemm_1", "edgetuned2/", "edgetuned/"] {
        assert!(difference(&Net { map, ..RELU }) < 1e-6, "{map}");
    }
    let error = Net { map: PROBABILITIES, ..RELU }.export().unwrap_err();
    assert_eq!(error, CannotExport::NameTaken);
    assert!(error.to_string().contains("rename it"), "{error}");
}

#[test]
fn the_metadata_say_all_that_a_user_needs_and_replace_only_their_own_keys() {
    let mut bytes = RELU.bytes();
    for (key, value) in [("classes", "old"), ("author", "Zoë"), ("classes", "older"), ("head", "")] {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, value.as_bytes());
        put_bytes(&mut bytes, METADATA, &entry);
    }
    let manifest = RELU.manifest(Path::new("relu.onnx"), &bytes);
    let record = record(&manifest);
    let found = metadata_of(&with_head(&bytes, &manifest, &cut(RELU.shape), &record).unwrap());
    assert_eq!((found.len(), found["author"].as_str()), (5, "Zoë"));
    let json = |key: &str| -> serde_json::Value { serde_json::from_str(&found[key]).unwrap() };
    assert_eq!(json("classes"), serde_json::json!(NAMES));
    let head = serde_json::json!({ "id": record.head.id, "version": 4, "created": "2023-11-14T22:13:20.000Z", "kind": "softmax" });
    assert_eq!(json("head"), head);
    let backbone = json("backbone");
    assert_eq!((&backbone["name"], &backbone["tensor"]), (&"relu".into(), &"map".into()));
    assert_eq!((&backbone["pool"], &backbone["license"]), (&"avg".into(), &"MIT".into()));
    assert_eq!(backbone["sha256"], manifest.sha256.to_string());
    let way = found["preprocessing"].as_str();
    for words in [
        "\"tensor\":\"input\"",
        "\"layout\":\"nchw\"",
        "\"size\":[4,5]",
        "\"channels\":\"bgr\"",
        "\"mean\":[0.485,0.456,0.406]",
        "\"std\":[0.25,0.25,0.25]",
        "\"scale\":[0.003921569,0.003921569,0.003921569]",
        "\"resize\":\"crop\"",
        "\"crop_ratio\":0.875",
        "\"pad\":null",
        "(pixel * scale - mean) / std",
    ] {
        assert!(way.contains(words), "{words} is not in {way}");
    }
}

#[test]
fn a_damaged_model_is_refused() {
    let bytes = RELU.bytes();
    let manifest = RELU.manifest(Path::new("relu.onnx"), &bytes);
    let record = record(&manifest);
    for end in 0..bytes.len() {
        // Cut between two fields it may still be a model, one without versions.
        assert!(with_head(&bytes[..end], &manifest, &cut(RELU.shape), &record).is_err(), "{end} bytes");
    }
}
