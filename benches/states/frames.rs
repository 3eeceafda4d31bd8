//! Frames of an evening as embeddings: rendered, cut to each task's region, stored as JPEG, embedded by the default
//! backbone and kept, in half precision as the store keeps them, in `target/states`.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use edgetuned::backbone::{OnnxBackbone, bundled, embed_all};
use edgetuned::head::BackboneRef;
use edgetuned::image::Limits;
use edgetuned::ports::Embedder as _;
use edgetuned::store::{Cache, CacheOptions, Precision};
use edgetuned::words::{EmbeddingSpace, SampleId};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::evening::{EVERY_S, Evening, FRAMES};
use super::scene::{HEIGHT, REGIONS, Site, WIDTH};

/// One region of one frame.
#[derive(Debug, Clone)]
pub struct Crop {
    pub s: f64,
    pub image: SampleId,
    pub embedding: Vec<f32>,
}

/// The pictures of an evening in their order, with their times; the first comes at a random part of the first period.
pub fn pictures(site: &Site, evening: &Evening, seed: u64) -> impl Iterator<Item = (f64, RgbImage)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut gain = 0.0;
    (0..FRAMES).map(move |frame| {
        let s = (frame as f64 + 0.5) * EVERY_S;
        (s, site.render(&evening.moment(s), &mut gain, &mut rng))
    })
}

/// A backbone with what it has embedded before.
pub struct Embedded {
    pub backbone: OnnxBackbone,
    cache: Cache,
}

impl Embedded {
    /// # Errors
    /// In words, when the default backbone is not there.
    pub fn open(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let found = bundled::list().into_iter().find(|(name, _)| name == "default");
        let manifest = found.ok_or("the backbone 'default' is not bundled; run make setup")?.1?;
        let backbone = OnnxBackbone::open(&manifest, 1)?;
        let space = backbone.space();
        let reference = BackboneRef { name: manifest.name.clone(), sha256: backbone.sha256(), dim: space.dim };
        let options = CacheOptions { space, backbone: &reference, precision: Precision::F16 };
        Ok(Self { backbone, cache: Cache::open(folder, &options)? })
    }

    pub fn space(&self) -> EmbeddingSpace {
        self.backbone.space()
    }

    /// Widths of the parts of an embedding.
    pub fn parts(&self) -> Vec<usize> {
        self.backbone.parts()
    }

    /// The crops of each task, for frames that `wanted` takes by task and number.
    pub fn crops(
        &mut self,
        pictures: impl Iterator<Item = (f64, RgbImage)>,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Result<[Vec<Crop>; 3], Box<dyn Error>> {
        let mut files: [Vec<(f64, SampleId)>; 3] = Default::default();
        let mut missing = Vec::new();
        for (frame, (s, picture)) in pictures.enumerate() {
            for task in (0..3).filter(|task| wanted(*task, frame)) {
                let bytes = cut(&picture, REGIONS[task])?;
                let id = SampleId::of(&bytes);
                files[task].push((s, id));
                if self.cache.get(&id)?.is_none() {
                    missing.push((id, bytes));
                }
            }
        }
        let mut fresh = Vec::new();
        embed_all(
            &mut self.backbone,
            missing,
            |(_, bytes), preprocess, regions| {
                let looked = preprocess.look(bytes, &Limits::default(), regions);
                looked.map(|looked| looked.tensors).map_err(std::io::Error::other)
            },
            |(id, _), result| {
                fresh.push((id, result.expect("what was drawn is whole")));
                ControlFlow::Continue(())
            },
        )?;
        self.cache.put(fresh.iter().map(|(id, z)| (id, z.as_slice())))?;
        let mut crops: [Vec<Crop>; 3] = Default::default();
        for (crops, files) in crops.iter_mut().zip(files) {
            for (s, image) in files {
                let embedding = self.cache.get(&image)?.ok_or("it was put there")?;
                crops.push(Crop { s, image, embedding });
            }
        }
        Ok(crops)
    }
}

/// The region's part of a picture as the bytes of a JPEG file.
fn cut(picture: &RgbImage, region: [f32; 4]) -> Result<Vec<u8>, Box<dyn Error>> {
    let [left, top, right, bottom] = region;
    let (x, y) = ((left * WIDTH as f32) as u32, (top * HEIGHT as f32) as u32);
    let (width, height) = (((right - left) * WIDTH as f32) as u32, ((bottom - top) * HEIGHT as f32) as u32);
    let part = image::imageops::crop_imm(picture, x, y, width, height).to_image();
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 85).encode_image(&part)?;
    Ok(bytes)
}
