//! A synthetic camera above a sorting line: seeded pictures of machine parts, for the demo and the tests.
//!
//! Position, rotation, scale, metal, background, light, blur and noise vary from picture to picture. The same
//! seed, part, index, light and size give the same bytes on the same machine and build. It draws one part a
//! picture and knows nothing of files, brokers or the daemon.

mod part;
mod scene;
mod shape;
mod texture;

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use part::Part;
use scene::Scene;

/// The light over the line; every picture varies a little around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Light {
    /// Exposure; 1 is well lit.
    pub brightness: f32,
    /// From -1 (blue, overcast) to 1 (yellow, tungsten).
    pub warmth: f32,
    /// Where the lamp hangs, degrees clockwise from the right edge of the picture.
    pub azimuth_deg: f32,
    /// How high it hangs, degrees above the belt; low lamps throw long shadows.
    pub elevation_deg: f32,
}

impl Light {
    /// Daylight from the upper left.
    pub const DAY: Self = Self { brightness: 1.0, warmth: 0.0, azimuth_deg: 225.0, elevation_deg: 55.0 };

    /// A low, dim, yellow lamp on the other side.
    pub const EVENING: Self = Self { brightness: 0.6, warmth: 0.8, azimuth_deg: 20.0, elevation_deg: 32.0 };
}

/// A camera whose pictures are decided by its seed.
#[derive(Debug, Clone, Copy)]
pub struct Camera {
    seed: u64,
    width_px: u32,
    height_px: u32,
    quality: u8,
}

impl Camera {
    /// A camera of 320 x 240 pixels that writes JPEG of quality 88.
    pub fn new(seed: u64) -> Self {
        Self { seed, width_px: 320, height_px: 240, quality: 88 }
    }

    /// The same with pictures of another size; sides below 16 become 16.
    pub fn with_size(self, width_px: u32, height_px: u32) -> Self {
        Self { width_px: width_px.max(16), height_px: height_px.max(16), ..self }
    }

    /// The same with another JPEG quality, 1 to 100.
    pub fn with_quality(self, quality: u8) -> Self {
        Self { quality: quality.clamp(1, 100), ..self }
    }

    /// The picture number `index` of `part`.
    pub fn shot(&self, part: Part, index: u64, light: &Light) -> RgbImage {
        let (scene, mut rng) = self.scene(part, index, light);
        scene.render(&mut rng)
    }

    /// The same picture as the bytes of a JPEG file.
    pub fn jpeg(&self, part: Part, index: u64, light: &Light) -> Vec<u8> {
        let picture = self.shot(part, index, light);
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, self.quality)
            .encode_image(&picture)
            .expect("a picture within JPEG's 65,535 pixels a side encodes into memory");
        bytes
    }

    /// The same picture without the part: only its ground.
    pub fn ground(&self, part: Part, index: u64, light: &Light) -> RgbImage {
        let (scene, mut rng) = self.scene(part, index, light);
        scene.emptied().render(&mut rng)
    }

    /// The share of the picture that the part covers, 0..1.
    pub fn coverage(&self, part: Part, index: u64, light: &Light) -> f32 {
        self.scene(part, index, light).0.coverage()
    }

    fn scene(&self, part: Part, index: u64, light: &Light) -> (Scene, ChaCha8Rng) {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&index.to_le_bytes());
        seed[16] = part as u8;
        let mut rng = ChaCha8Rng::from_seed(seed);
        (Scene::draw(part, light, (self.width_px, self.height_px), &mut rng), rng)
    }
}
