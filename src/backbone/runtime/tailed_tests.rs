use std::path::Path;
use std::sync::Arc;

use ndarray::{Array1, Array2};

use super::*;
use crate::backbone::{Manifest, tail_input, tail_network};
use crate::head::{BackboneRef, DenseHead, Tuning};
use crate::train::TailLayers;
use crate::words::{Digest, Label, Timestamp};

fn manifest(name: &str) -> Manifest {
    Manifest::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{name}.yaml"))).unwrap()
}

/// The last block of `manifest`, its weights times `factor`.
fn tail(manifest: &Manifest, factor: f32) -> Tail {
    let (bytes, graph) = read(manifest).unwrap();
    let input = tail_input(&graph, &manifest.embedding.tensor, TailLayers::LastBlock).unwrap();
    let cut = crate::backbone::Embedding { tensor: input.clone(), inner: Vec::new(), ..manifest.embedding.clone() };
    let shape = OnnxBackbone::shape(&Manifest { embedding: cut, ..manifest.clone() }).unwrap();
    let [1, c, h, w] = shape[..] else { panic!("{shape:?}") };
    let axes = [c, h, w].map(|length| length as usize);
    let network = tail_network(&bytes, &graph, &input, &manifest.embedding, axes, TailLayers::LastBlock).unwrap();
    network.tail(&network.original().iter().map(|value| value * factor).collect::<Vec<_>>())
}

/// A head that carries `tail`.
fn head(manifest: &Manifest, tail: Tail) -> Arc<HeadRecord> {
    let trunk = manifest.space();
    let classes: crate::words::ClassSet = ["a", "b"].map(|name| Label::new(name).unwrap()).into_iter().collect();
    let layer = |space| DenseHead::linear(space, classes.clone(), Array2::zeros((2, trunk.dim)), Array1::zeros(2));
    let backbone = BackboneRef { name: "photo".into(), sha256: Digest::of(b"m"), dim: trunk.dim };
    let record = HeadRecord::new(layer(tail.space(trunk)), 1, Timestamp(0), backbone);
    Arc::new(HeadRecord { tuning: Some(Tuning { tail, first: layer(trunk), figures: None }), ..record })
}

fn picture(backbone: &OnnxBackbone, seed: u32) -> Vec<f32> {
    let pixels = (0..3 * 64 * 64).map(|n: u32| (n.wrapping_mul(7919 + seed) >> 5) as u8).collect();
    backbone.preprocess().apply(&crate::image::Rgb::new(64, 64, pixels).unwrap())
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn one_run_gives_the_frozen_embedding_and_what_each_tail_makes_of_the_same_picture() {
    // The weights of the last one are in half precision, behind a cast.
    for name in ["photo", "photo-inner", "default"] {
        let manifest = manifest(name);
        if !manifest.file.is_file() {
            println!("{name}: its model was not made (make setup)");
            continue;
        }
        let mut plain = OnnxBackbone::open(&manifest, 1).unwrap();
        let pictures = [picture(&plain, 1), picture(&plain, 2)];
        let frozen = plain.embed(&pictures.concat(), 2).unwrap();
        let heads = [1.2, 0.7].map(|factor| head(&manifest, tail(&manifest, factor)));
        let alone = heads.each_ref().map(|head| {
            let with_tail = manifest.clone().with_tail(head.tail().cloned());
            assert_eq!(with_tail.space(), head.dense.space);
            OnnxBackbone::open(&with_tail, 1).unwrap().embed(&pictures.concat(), 2).unwrap()
        });
        let mut both = OnnxBackbone::open(&manifest, 1).unwrap();
        both.follow(&heads).unwrap();
        let rows = both.embed_tailed(&pictures.concat(), 2).unwrap();
        let dim = manifest.space().dim;
        for (image, (own, tuned)) in rows.iter().enumerate() {
            let place = image * dim..(image + 1) * dim;
            assert!(apart(own.as_ref().unwrap(), &frozen[place.clone()]) < 1e-4, "{name}: the frozen embedding");
            assert_eq!(tuned.len(), 2);
            for (tuned, alone) in tuned.iter().zip(&alone) {
                assert!(apart(tuned, &alone[place.clone()]) < 1e-3, "{name}: a tail beside others");
                assert!(apart(tuned, &frozen[place.clone()]) > 0.01, "{name}: it is another one");
            }
        }
        both.follow(&[]).unwrap();
        let rows = both.embed_tailed(&pictures[0], 1).unwrap();
        assert!(rows[0].1.is_empty() && apart(rows[0].0.as_ref().unwrap(), &frozen[..dim]) < 1e-4);
    }
}

#[test]
fn a_tail_of_another_model_is_refused_and_the_backbone_goes_on() {
    let manifest = manifest("photo");
    let mut backbone = OnnxBackbone::open(&manifest, 1).unwrap();
    let picture = picture(&backbone, 1);
    let before = backbone.embed(&picture, 1).unwrap();
    let mut foreign = tail(&manifest, 1.0);
    foreign.weights[0].name.push('x');
    let why = backbone.follow(&[head(&manifest, foreign)]).unwrap_err();
    assert!(why.contains("no weight"), "{why}");
    let rows = backbone.embed_tailed(&picture, 1).unwrap();
    assert!(rows[0].1.is_empty() && rows[0].0.as_ref().unwrap() == &before);
}
