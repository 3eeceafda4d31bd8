use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::super::drawn::Attribute::{Int, Ints};
use super::super::drawn::Net;
use super::super::{BadManifest, OnnxBackbone};
use super::*;
use crate::ports::Embedder;
use crate::words::Digest;

/// Maps `map` (8 channels of 16 x 16), `deep` (6 of 14 x 14) and `turned`, which is that with its channels last; `half`
/// and `coarse` are `map` in float16 and quantised; `flat`, 6 values, is the embedding.
fn net(batch: &str) -> Net {
    let net = Net::default().input("x", &format!("{batch} 3 16 16")).weight("w", &[8, 3, 1, 1]);
    let net = net.node("Conv", "x w", "conv").node("Relu", "conv", "map").weight("w2", &[6, 8, 3, 3]);
    let net = net.node_with("Cast", "map", "half", &[Int("to", 10)]).weight_of("s", &[], Some(0.01));
    let net = net.bytes_weight("z", &[]).node("QuantizeLinear", "map s z", "coarse");
    let net =
        net.node("Conv", "map w2", "deep").node("GlobalAveragePool", "deep", "gap").node("Flatten", "gap", "flat");
    let net = net.node_with("Transpose", "deep", "turned", &[Ints("perm", &[0, 2, 3, 1])]);
    net.output("flat", &format!("{batch} 6"))
}

/// The manifest of `model`, written beside it, with `embedding`.
fn manifest(folder: &Path, model: &[u8], embedding: &str) -> Result<Manifest, BadManifest> {
    std::fs::write(folder.join("net.onnx"), model).unwrap();
    let text = format!(
        "name: net\nfile: net.onnx\nsha256: {}\ninput: {{ tensor: x, layout: nchw, size: [16, 16], channels: rgb, mean: 0, \
         std: 1, resize: stretch }}\nembedding:\n  {embedding}\n",
        Digest::of(model)
    );
    let path = folder.join("net.yaml");
    std::fs::write(&path, text).unwrap();
    Manifest::load(&path)
}

fn with_inner(folder: &Path, model: &[u8], inner: &str) -> Manifest {
    manifest(folder, model, &format!("tensor: flat\n  dim: 6\n  inner: {inner}")).unwrap()
}

/// `n` pictures of 3 x 16 x 16 values, no two alike.
fn pictures(n: usize) -> Vec<f32> {
    (0..n * 768).map(|k| ((k * 7919 % 1021) as f32 / 511.0) - 1.0 + (k / 768) as f32 / 8.0).collect()
}

/// The values of `tensor` for the pictures: what the network itself computes.
fn values(folder: &Path, model: &[u8], tensor: &str, dim: usize, n: usize) -> Vec<f32> {
    let plain = manifest(folder, model, &format!("tensor: {tensor}\n  dim: {dim}")).unwrap();
    OnnxBackbone::open(&plain, 1).unwrap().embed(&pictures(n), n).unwrap()
}

/// Means and deviations of each channel of maps (n, channels, places), one picture after the other.
fn moments(maps: &[f32], channels: usize, places: usize) -> Vec<[Vec<f32>; 2]> {
    let of_channel = |map: &[f32]| {
        let mean = map.iter().map(|x| f64::from(*x)).sum::<f64>() / places as f64;
        let variance = map.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / places as f64;
        (mean as f32, variance.sqrt() as f32)
    };
    let pictures = maps.chunks_exact(channels * places);
    pictures.map(|map| map.chunks_exact(places).map(of_channel).collect::<(Vec<f32>, Vec<f32>)>().into()).collect()
}

fn close(found: &[f32], wanted: &[f32], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let apart = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-5, "{what}: {apart}");
}

#[test]
fn means_and_deviations_follow_the_embedding_in_the_order_of_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    // More pictures than go through one run, and a batch that the file fixes.
    for (batch, n) in [("n", 1), ("n", 7), ("4", 7), ("1", 2)] {
        let model = net(batch).bytes();
        let map = moments(&values(folder.path(), &model, "map", 8 * 256, n), 8, 256);
        let deep = moments(&values(folder.path(), &model, "deep", 6 * 196, n), 6, 196);
        let flat = values(folder.path(), &model, "flat", 6, n);
        let inner = "[{ tensor: deep, stat: [std, mean] }, { tensor: map, stat: [std] }]";
        let manifest = with_inner(folder.path(), &model, inner);
        assert_eq!((manifest.embedding.dim, manifest.space().dim), (6, 6 + 12 + 8));
        let mut backbone = OnnxBackbone::open(&manifest, 1).unwrap();
        assert_eq!(backbone.space(), manifest.space());
        let found = backbone.embed(&pictures(n), n).unwrap();
        let wanted: Vec<f32> = (0..n)
            .flat_map(|picture| {
                let ([mean, std], [_, map]) = (&deep[picture], &map[picture]);
                [&flat[picture * 6..][..6], mean, std, map].concat()
            })
            .collect();
        close(&found, &wanted, &format!("batch {batch}, {n} pictures"));
    }
}

#[test]
fn maps_with_channels_last_and_of_other_types_have_the_same_values() {
    let (folder, model) = (tempfile::tempdir().unwrap(), net("n").bytes());
    let row = |inner: &str| {
        let manifest = with_inner(folder.path(), &model, inner);
        OnnxBackbone::open(&manifest, 1).unwrap().embed(&pictures(2), 2).unwrap()
    };
    let near = |a: &str, b: &str, most: f32| {
        let (a, b) = (row(&format!("[{{ tensor: {a} }}]")), row(&format!("[{{ tensor: {b} }}]")));
        assert_eq!(a.len(), b.len());
        let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < most, "{apart}");
    };
    near("turned", "deep", 1e-5);
    near("half", "map", 1e-3);
    // Steps of 0.01, of which the first 256 are to be had.
    near("coarse", "map", 0.02);
}

#[test]
fn deviations_survive_a_large_mean() {
    let inner = Inner { tensor: "x".into(), stat: both(), channels: Some(1) };
    let values = [100_000.0, 100_000.5, 99_999.5, 100_000.0];
    let rows = inner.rows(&[1, 1, 2, 2], &values, Layout::Nchw).unwrap();
    close(&rows, &[100_000.0, 0.125_f32.sqrt()], "one channel");
    assert_eq!(inner.rows(&[1, 1, 2, 3], &values, Layout::Nchw), None, "more values are promised than there are");
    for shape in [&[1, 4][..], &[1, 2, 2], &[1, 2, 1, 2], &[1, 1, 0, 4], &[]] {
        assert_eq!(inner.rows(shape, &values, Layout::Nchw), None, "{shape:?}");
    }
}

#[test]
fn a_tensor_that_is_no_map_of_one_picture_is_named_with_its_key() {
    let (folder, model) = (tempfile::tempdir().unwrap(), net("n").integers("axes", &[2]));
    let model = model.node("ReduceMean", "map axes", "row").node_with("Flatten", "deep", "long", &[]).bytes();
    for (tensor, words) in [
        (
            "long",
            &["embedding.inner[1].tensor says a map", "the model has a tensor of shape [1, 1176] in \"long\""][..],
        ),
        ("flat2", &["no tensor \"flat2\""]),
    ] {
        let manifest = with_inner(folder.path(), &model, &format!("[{{ tensor: map }}, {{ tensor: {tensor} }}]"));
        let error = OnnxBackbone::open(&manifest, 1).unwrap_err();
        let text =
            format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        for word in words {
            assert!(text.contains(word), "{text:?} lacks {word:?}");
        }
    }
}

#[test]
fn a_missing_model_is_reported_when_it_is_opened_and_the_width_is_then_that_of_the_embedding() {
    let (folder, model) = (tempfile::tempdir().unwrap(), net("n").bytes());
    let known = with_inner(folder.path(), &model, "[{ tensor: map }]");
    std::fs::remove_file(folder.path().join("net.onnx")).unwrap();
    let manifest = Manifest::load(&folder.path().join("net.yaml")).unwrap();
    assert_eq!((manifest.space().dim, known.space().dim), (6, 22));
    assert_eq!(manifest.space().backbone, known.space().backbone);
    let error = OnnxBackbone::open(&manifest, 1).unwrap_err().to_string();
    assert!(error.contains("cannot read the model"), "{error}");
    // A folder in its place, and a file that is no model.
    std::fs::create_dir(folder.path().join("net.onnx")).unwrap();
    assert_eq!(Manifest::load(&folder.path().join("net.yaml")).unwrap().space().dim, 6);
    std::fs::remove_dir(folder.path().join("net.onnx")).unwrap();
    std::fs::write(folder.path().join("net.onnx"), b"no model").unwrap();
    assert_eq!(Manifest::load(&folder.path().join("net.yaml")).unwrap().space().dim, 6);
}

#[test]
fn channels_are_those_that_the_file_states_where_no_convolution_tells() {
    let preprocess = with_inner(tempfile::tempdir().unwrap().path(), &net("n").bytes(), "[]").preprocess;
    let channels = |shape: &str| {
        let net = net("n").node("Mystery", "deep", "odd").stated("odd", shape);
        let graph = Graph::read(&net.bytes()).unwrap();
        let inner = vec![Inner { tensor: "odd".into(), stat: both(), channels: None }];
        let mut embedding = Embedding { tensor: "flat".into(), dim: 6, pool: crate::backbone::Pool::None, inner };
        embedding.resolve(&graph, &preprocess);
        embedding.inner[0].channels
    };
    assert_eq!(channels("n 24 7 7"), Some(24));
    assert_eq!(channels("n 7 7 24"), Some(24));
    assert_eq!(channels("n 24 h w"), Some(24));
    assert_eq!(channels("n h w 24"), Some(24));
    assert_eq!(channels("n 24"), None);
    assert_eq!(channels("n c h w"), None);
    assert_eq!(channels("n 2048 7 7"), Some(CHANNELS_MAX));
    assert_eq!(channels("n 2049 7 7"), None);
    assert_eq!(channels("n -3 7 7"), None);
}

/// The digest of the space of a manifest with these entries.
fn digest(tensor: &str, inner: &[Inner]) -> Digest {
    let text = include_str!("../../models/tiny-test.yaml");
    let mut manifest = Manifest::parse(text, Path::new("net.yaml")).unwrap();
    manifest.embedding.tensor = tensor.into();
    manifest.embedding.inner = inner.to_vec();
    manifest.space().backbone
}

#[test]
fn without_inner_values_the_space_is_what_it_always_was() {
    let manifest = Manifest::parse(include_str!("../../models/tiny-test.yaml"), Path::new("net.yaml")).unwrap();
    let identity = format!("{} embedding none", manifest.sha256);
    assert_eq!(manifest.space().backbone, Digest::of(identity.as_bytes()));
    assert_eq!(manifest.space().dim, 210);
    let text = include_str!("../../models/tiny-test.yaml").replace("pool: none", "pool: none\n  inner: []");
    assert_eq!(Manifest::parse(&text, Path::new("net.yaml")).unwrap().space(), manifest.space());
}

#[test]
fn every_part_of_the_inner_values_makes_a_space_of_its_own() {
    let names = ["a", "b", "a b", "a\",\"b", "a avg", " [{", "[{\"tensor\":\"a\",\"stat\":[\"mean\"]}]", "ä", "a\n"];
    let stats = [vec![Stat::Mean], vec![Stat::Std], both()];
    for seed in 0..300 {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let draw = |random: &mut ChaCha8Rng| {
            let entry = |random: &mut ChaCha8Rng| Inner {
                tensor: (*names.choose(random).unwrap()).to_owned(),
                stat: stats.choose(random).unwrap().clone(),
                channels: None,
            };
            let tensor = (*names.choose(random).unwrap()).to_owned();
            let count = random.random_range(0..4_u8);
            (tensor, (0..count).map(|_| entry(random)).collect::<Vec<_>>())
        };
        let (a, b) = (draw(random), draw(random));
        assert_eq!(a == b, digest(&a.0, &a.1) == digest(&b.0, &b.1), "seed {seed}: {a:?} {b:?}");
    }
    let one = |tensor: &str, stat: &[Stat]| Inner { tensor: tensor.into(), stat: stat.to_vec(), channels: None };
    let spaces: BTreeSet<String> = [
        vec![],
        vec![one("a", &[Stat::Mean])],
        vec![one("a", &[Stat::Std])],
        vec![one("a", &both())],
        vec![one("b", &both())],
        vec![one("a", &both()), one("b", &both())],
        vec![one("b", &both()), one("a", &both())],
    ]
    .iter()
    .map(|inner| digest("t", inner).to_string())
    .collect();
    assert_eq!(spaces.len(), 7);
    // Nor does it matter whether the channels were looked up.
    let looked_up = Inner { channels: Some(4), ..one("a", &both()) };
    assert_eq!(digest("t", &[looked_up]), digest("t", &[one("a", &both())]));
}

#[test]
fn entries_that_cannot_be_meant_are_refused_with_key_and_line() {
    let many = |count: usize| {
        let entries: Vec<_> = (0..count).map(|k| format!("{{ tensor: t{k} }}")).collect();
        format!("[{}]", entries.join(", "))
    };
    let folder = tempfile::tempdir().unwrap();
    let refused = |inner: &str, words: &[&str]| {
        let embedding = format!("tensor: flat\n  dim: 6\n  inner: {inner}");
        let message = manifest(folder.path(), &net("n").bytes(), &embedding).unwrap_err().to_string();
        assert!(!message.contains('\n') && message.len() < 1000, "{message}");
        for word in words {
            assert!(message.contains(word), "{inner:.60} gives {message:?}, which lacks {word:?}");
        }
    };
    refused("[{ tensor: '' }]", &["net.yaml:8", "embedding.inner[0].tensor", "found nothing", "a name"]);
    refused("[{ tensor: flat }]", &["embedding.inner[0].tensor", "the embedding's own", "another tensor"]);
    refused("[{ tensor: map }, { tensor: map, stat: [std] }]", &["embedding.inner[1].tensor", "a second time"]);
    refused("[{ tensor: map, stat: [] }]", &["embedding.inner[0].stat", "found []", "[mean], [std] or [mean, std]"]);
    refused("[{ tensor: map, stat: [std, std] }]", &["embedding.inner[0].stat", "[std, std]"]);
    refused("[{ tensor: map, stat: [max] }]", &["net.yaml:8", "embedding.inner[0].stat[0]", "`max`", "`mean`"]);
    refused("[{ tensor: map, stats: [mean] }]", &["unknown key \"stats\"", "did you mean \"stat\"?"]);
    refused("[{ stat: [mean] }]", &["net.yaml:8", "embedding.inner[0].tensor", "found nothing", "add the key"]);
    refused("{ tensor: map }", &["embedding.inner", "a sequence"]);
    refused(&many(17), &["embedding.inner", "17 entries", "16 entries at most"]);
    refused(&many(20_000), &["20000 entries"]);
    refused(&format!("[{{ tensor: {} }}]", "x".repeat(100_000)), &["a name of 100000 bytes", "1024 bytes at most"]);
    let repeated = vec!["mean"; 5000].join(", ");
    refused(&format!("[{{ tensor: map, stat: [{repeated}] }}]"), &["embedding.inner[0].stat", "mean, …]"]);
    assert_eq!(
        manifest(folder.path(), &net("n").bytes(), &format!("tensor: flat\n  dim: 6\n  inner: {}", many(16)))
            .unwrap()
            .embedding
            .inner
            .len(),
        INNER_MAX
    );
}
