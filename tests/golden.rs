//! The backbone `photo` gives generated pictures the embeddings of another implementation of its manifest: Pillow's
//! resizing and ONNX Runtime's Python, in `tests/data/make_backbone_golden.py`. Preprocessing and model are guarded
//! together, for whole pictures and for regions of them. And the bundled models in 8-bit integers are near those in float32.

use std::collections::BTreeMap;

use edgetuned::backbone::{Manifest, OnnxBackbone, bundled};
use edgetuned::image::Rgb;
use edgetuned::ports::Embedder;
use edgetuned::words::Region;

#[path = "support/skip.rs"]
mod skip;

/// Of a cosine of int8 to float32: generated pictures are further apart than photographs.
const LEAST: f64 = 0.9;
const GOLDEN: &str = include_str!("data/backbone.json");
const REGIONS_GOLDEN: &str = include_str!("data/regions.json");

/// The regions of the script: name, picture, region.
const REGIONS: [(&str, &str, &str); 4] = [
    ("ramps box", "ramps", "0,0.25,0.3,0.85"),
    ("checks box", "checks", "0.501,0.1,0.999,0.333333"),
    ("checks triangle", "checks", "[[0.1,0.1],[0.9,0.2],[0.4,0.95]]"),
    ("rings star", "rings", "[[0.5,0],[0.8,1],[0,0.4],[1,0.4],[0.2,1]]"),
];

/// A picture of `width` x `height` whose pixels are `colour(x, y)`.
fn drawn(width: u32, height: u32, colour: impl Fn(i64, i64) -> [i64; 3]) -> Rgb {
    let at = |x, y| colour(i64::from(x), i64::from(y)).map(|level| u8::try_from(level).expect("a level up to 255"));
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| at(x, y)).collect();
    Rgb::new(width, height, pixels).expect("three bytes a pixel")
}

/// The pictures of the script, by its formulas.
fn pictures() -> BTreeMap<&'static str, Rgb> {
    let rings = |x: i64, y: i64| (x - 48).pow(2) + (y - 100).pow(2);
    BTreeMap::from([
        ("ramps", drawn(200, 150, |x, y| [x * 255 / 199, y * 255 / 149, (x + y) * 255 / 348])),
        (
            "checks",
            drawn(128, 128, |x, y| [(x / (1 + y / 16) + y / 8) % 2 * 255, (x / 8 + y / 8) % 2 * 200, (x ^ y) % 256]),
        ),
        (
            "rings",
            drawn(97, 211, |x, y| {
                let rings = rings(x, y);
                [rings / 16 % 256, 255 - rings / 64 % 256, if rings < 1600 { 230 } else { 40 }]
            }),
        ),
    ])
}

fn region(text: &str) -> Region {
    text.parse().expect("a region")
}

/// The embeddings of the pictures, and of their regions.
fn embedded(name: &str) -> BTreeMap<&'static str, Vec<f32>> {
    let manifest = Manifest::resolve(name).expect("bundled");
    let mut backbone = OnnxBackbone::open(&manifest, 1).expect("opens");
    let (preprocess, pictures) = (backbone.preprocess().clone(), pictures());
    let whole = pictures.iter().map(|(name, picture)| (*name, preprocess.apply(picture)));
    let parts =
        REGIONS.iter().map(|(name, of, text)| (*name, preprocess.apply_regions(&pictures[of], &[region(text)])));
    let tensors: Vec<_> = whole.chain(parts).collect();
    tensors.into_iter().map(|(name, tensor)| (name, backbone.embed(&tensor, 1).expect("embeds"))).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn generated_pictures_have_their_golden_embeddings() {
    let golden: BTreeMap<String, Vec<f32>> = serde_json::from_str(GOLDEN).expect("the script's file");
    let found = embedded("photo-inner");
    assert_eq!(golden.len(), found.len());
    let dim = Manifest::resolve("photo").expect("bundled").embedding.dim;
    for (name, row) in &found {
        let (embedding, inner) = row.split_at(dim);
        let (wanted, wanted_inner) = golden[*name].split_at(dim);
        assert_eq!(inner.len(), wanted_inner.len());
        let apart = inner.iter().zip(wanted_inner).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: largest difference of the inner values {apart:.5}");
        assert!(apart < 0.02 && !inner.is_empty(), "{name}: inner values differ by {apart}");
        let apart = embedding.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let cosine = cosine(embedding, wanted);
        println!("{name}: cosine {cosine:.7}, largest difference {apart:.4}");
        assert!(cosine > 0.9999 && apart < 0.05, "{name}: cosine {cosine}, largest difference {apart}");
    }
}

#[test]
fn regions_have_the_golden_size_and_the_golden_number_of_pixels() {
    let golden: BTreeMap<String, serde_json::Value> = serde_json::from_str(REGIONS_GOLDEN).expect("the script's file");
    assert_eq!(golden.len(), REGIONS.len());
    // No pixel of the regions has this grey on all channels, so what has it was filled.
    let pad = 114;
    for (name, of, text) in REGIONS {
        let part = pictures()[of].part(&region(text), pad).into_owned();
        let kept = part.pixels().chunks_exact(3).filter(|pixel| *pixel != [pad; 3]).count();
        assert_eq!(serde_json::json!({ "size": [part.width(), part.height()], "kept": kept }), golden[name], "{name}");
    }
}

/// Largest difference of pictures embedded together from the same alone, as a share of the largest value, in all bundled
/// backbones; more of them than go through one run.
#[test]
fn pictures_together_have_the_embeddings_that_they_have_alone() {
    let pictures = pictures();
    let regions: Vec<Region> = REGIONS.iter().map(|(_, _, text)| region(text)).collect();
    for (name, manifest) in bundled::list() {
        let Some(manifest) = manifest.ok().filter(|manifest| manifest.file.is_file()) else {
            println!("{name} is not here");
            continue;
        };
        for threads in [1, 2] {
            let mut backbone = OnnxBackbone::open(&manifest, threads).expect("opens");
            let tensors: Vec<f32> =
                pictures.values().flat_map(|picture| backbone.preprocess().apply_regions(picture, &regions)).collect();
            let (n, len) = (pictures.len() * regions.len(), backbone.preprocess().tensor_len());
            let together = backbone.embed(&tensors, n).expect("embeds");
            let alone: Vec<f32> =
                tensors.chunks(len).flat_map(|tensor| backbone.embed(tensor, 1).expect("embeds")).collect();
            let largest = alone.iter().map(|value| value.abs()).fold(0.0, f32::max);
            let apart = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{name}, {threads} threads: {apart:e} of {largest}, same bits: {}", alone == together);
            assert_eq!(alone.len(), together.len());
            assert!(apart <= 1e-5 * largest, "{name}, {threads} threads: {apart} of {largest}");
        }
    }
}

/// Cosines of every picture's embedding in 8-bit integers to that in float32, inner values left out.
fn cosines(float: &str, int8: &str) -> Vec<f64> {
    let dim = Manifest::resolve(float).expect("bundled").embedding.dim;
    let (float, int8) = (embedded(float), embedded(int8));
    let cosines = float.iter().map(|(name, row)| {
        let cosine = cosine(&row[..dim], &int8[name][..dim]);
        println!("{name}: cosine of int8 and float32 {cosine:.4}");
        cosine
    });
    cosines.collect()
}

#[test]
fn the_default_backbone_in_int8_stays_near_the_float_one_on_every_processor() {
    if Manifest::resolve("default-int8").expect("bundled").stands_in.is_some() {
        return skip::not_here("the models of EfficientNet-Lite0 were not made (tools/setup.sh)");
    }
    // Its dense weights have 7 bits, so that no sum of products saturates: no processor is let off.
    let cosines = cosines("default", "default-int8");
    assert!(cosines.iter().all(|cosine| *cosine > LEAST), "{cosines:?}");
}

/// Whether this processor sums products of 8 bits exactly: on x86 only with VNNI, without it they saturate.
fn sums_exactly() -> bool {
    #[cfg(target_arch = "x86_64")]
    let exactly = is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    let exactly = true;
    exactly
}

#[test]
fn photo_in_int8_stays_near_the_float_one_as_far_as_the_processor_sums_exactly() {
    let least = if sums_exactly() { 0.9 } else { 0.8 };
    let cosines = cosines("photo", "photo-int8");
    assert!(cosines.iter().all(|cosine| *cosine > least), "{cosines:?}, at least {least} asked of this processor");
}
