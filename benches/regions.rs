//! Several regions of one picture, beside as many pictures: milliseconds of decoding, preparing, backbone and head.
//!
//! `cargo bench --bench regions [-- MANIFEST]`, by default with the backbone `default`. What is compared is measured in
//! turns, medians of them are printed. The bar: a picture at which eight tasks look, each at a region, costs at most 1.1
//! times what eight pictures cost at which one task looks.

use std::time::Instant;

use edgetuned::backbone::{Manifest, OnnxBackbone};
use edgetuned::head::DenseHead;
use edgetuned::image::{Limits, decode};
use edgetuned::ports::Embedder;
use edgetuned::words::{ClassSet, Label, Region};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use ndarray::{Array1, Array2};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

type Error = Box<dyn std::error::Error>;
/// Milliseconds of decoding, preparing, backbone and head.
type Way = fn(&mut Work, &[Region]) -> Result<[f64; 4], Error>;

const SEED: u64 = 11;
const REGIONS: usize = 8;
const TURNS: usize = 15;
const BAR: f64 = 1.1;

fn main() -> Result<(), Error> {
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let manifest = Manifest::resolve(named.as_deref().unwrap_or("default"))?;
    let mut work = Work::open(&manifest)?;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let regions = (0..REGIONS).map(|_| {
        let [left, top] = [(); 2].map(|()| random.random_range(0.0..0.6));
        Region::rectangle([left, top, left + random.random_range(0.2..0.4), top + random.random_range(0.2..0.4)])
    });
    let regions: Vec<Region> = regions.collect::<Result<_, _>>()?;
    println!(
        "{}, {REGIONS} regions of a picture of 1,920 x 1,080, median of {TURNS} turns, seed {SEED}",
        manifest.name
    );
    let ways: [(&str, Way); 3] = [
        ("one picture, regions together", |work, regions| work.picture(regions, REGIONS)),
        ("one picture, regions one by one", |work, regions| work.picture(regions, 1)),
        ("as many pictures, whole", |work, regions| {
            regions.iter().try_fold([0.0; 4], |sum, _| Ok(added(sum, work.picture(&[Region::WHOLE], 1)?)))
        }),
    ];
    let mut taken = vec![Vec::new(); ways.len()];
    // The first turns warm caches and allocators.
    for turn in 0..TURNS + 2 {
        for ((_, way), taken) in ways.iter().zip(&mut taken) {
            let times = way(&mut work, &regions)?;
            if turn >= 2 {
                taken.push(times);
            }
        }
    }
    let medians: Vec<[f64; 4]> =
        taken.iter().map(|taken| [0, 1, 2, 3].map(|part| median(taken, |times| times[part]))).collect();
    let whole: Vec<f64> = taken.iter().map(|taken| median(taken, |times| times.iter().sum())).collect();
    println!("{:32} decoding  preparing  backbone   head     all", "ms");
    for ((name, _), (parts, all)) in ways.iter().zip(medians.iter().zip(&whole)) {
        let [decoding, preparing, backbone, head] = parts;
        println!("{name:32} {decoding:8.2}  {preparing:9.2}  {backbone:8.2}  {head:5.3}  {all:6.1}");
    }
    let ratio = whole[0] / whole[2];
    println!("backbone together over one by one: {:.2}", medians[0][2] / medians[1][2]);
    println!(
        "{REGIONS} tasks on one picture over one task on {REGIONS} pictures: {ratio:.2}, bar at most {BAR}: {}",
        if ratio <= BAR { "reached" } else { "missed" }
    );
    Ok(())
}

struct Work {
    backbone: OnnxBackbone,
    head: DenseHead,
    file: Vec<u8>,
}

impl Work {
    fn open(manifest: &Manifest) -> Result<Self, Error> {
        let backbone = OnnxBackbone::open(manifest, 1)?;
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let picture = RgbImage::from_fn(1920, 1080, |x, y| {
            let noise: u32 = random.random_range(0..24);
            Rgb([x * 200 / 1919 + noise, y * 200 / 1079 + noise, (x / 40 + y / 40) % 2 * 150 + noise]
                .map(|value| value as u8))
        });
        let mut file = Vec::new();
        JpegEncoder::new_with_quality(&mut file, 88).encode_image(&picture)?;
        let classes: ClassSet = ["closed", "open"].map(Label::new).into_iter().collect::<Result<_, _>>()?;
        let space = backbone.space();
        let weights = Array2::from_shape_fn((2, space.dim), |_| random.random_range(-0.1..0.1));
        let head = DenseHead::linear(space, classes, weights, Array1::zeros(2));
        Ok(Self { backbone, head, file })
    }

    /// Milliseconds of decoding, preparing, backbone and head; so many regions go into the backbone together.
    fn picture(&mut self, regions: &[Region], together: usize) -> Result<[f64; 4], Error> {
        let clock = Instant::now();
        let image = decode(&self.file, &Limits::default())?;
        let decoded = clock.elapsed();
        let tensors = self.backbone.preprocess().apply_regions(&image, regions);
        let prepared = clock.elapsed();
        let mut embeddings = Vec::new();
        for tensors in tensors.chunks(together * self.backbone.preprocess().tensor_len()) {
            embeddings.extend(self.backbone.embed(tensors, tensors.len() / self.backbone.preprocess().tensor_len())?);
        }
        let embedded = clock.elapsed();
        for embedding in embeddings.chunks_exact(self.head.space.dim) {
            self.head.probabilities(embedding)?;
        }
        let answered = clock.elapsed();
        let [decoded, prepared, embedded, answered] =
            [decoded, prepared, embedded, answered].map(|time| time.as_secs_f64() * 1e3);
        Ok([decoded, prepared - decoded, embedded - prepared, answered - embedded])
    }
}

fn added(a: [f64; 4], b: [f64; 4]) -> [f64; 4] {
    [0, 1, 2, 3].map(|part| a[part] + b[part])
}

fn median(taken: &[[f64; 4]], of: impl Fn(&[f64; 4]) -> f64) -> f64 {
    let mut values: Vec<f64> = taken.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
