//! The signal lamp of the drawn machine, on a post at the right edge of the picture: a second thing to ask about.

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::Outcome;

/// The post takes this share of the width, to the right of the belt; the boundary is one of JPEG's blocks.
const POST: f64 = 0.2;

/// Where the belt is, as a region of the configuration.
pub const BELT_REGION: &str = "[0.0, 0.0, 0.8, 1.0]";

/// Where the lamp is: a square on the post, of which the lens fills most.
pub const LAMP_REGION: &str = "[0.8, 0.1, 1.0, 0.43]";

/// A lamp in one picture.
#[derive(Debug, Clone, Copy)]
pub struct Lamp {
    /// Whether it is lit.
    pub is_on: bool,
    /// Light, place and noise come from this.
    pub seed: u64,
}

/// The classes of the question whether it is on.
pub fn word(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// The JPEG bytes of a picture of the belt with the post beside it.
pub fn beside(belt: &RgbImage, lamp: Lamp) -> Outcome<Vec<u8>> {
    let (belt_px, height_px) = belt.dimensions();
    let post_px = (f64::from(belt_px) * POST / (1.0 - POST)).round() as u32;
    let mut picture = RgbImage::new(belt_px + post_px, height_px);
    imageops::replace(&mut picture, belt, 0, 0);
    imageops::replace(&mut picture, &post(post_px, height_px, lamp), belt_px.into(), 0);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 88).encode_image(&picture)?;
    Ok(bytes)
}

/// The post with its lamp; light, place and noise vary.
fn post(width_px: u32, height_px: u32, Lamp { is_on, seed }: Lamp) -> RgbImage {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (width, height) = (width_px as f32, height_px as f32);
    let lens = width * rng.random_range(0.27..0.31_f32);
    let centre = (width * rng.random_range(0.47..0.53_f32), height * rng.random_range(0.25..0.28_f32));
    let light = rng.random_range(0.75..1.2_f32);
    let steel = [74.0, 80.0, 86.0];
    let [glass, glow] =
        if is_on { [[255.0, 196.0, 70.0], [255.0, 150.0, 30.0]] } else { [[92.0, 48.0, 16.0], [0.0; 3]] };
    RgbImage::from_fn(width_px, height_px, |x, y| {
        let (dx, dy) = (x as f32 - centre.0, y as f32 - centre.1);
        let off = dx.hypot(dy) / lens;
        // A highlight of the room's light on the glass, lit or not.
        let shine = (1.0 - (dx + 0.4 * lens).hypot(dy + 0.4 * lens) / (0.3 * lens)).max(0.0);
        let grain = rng.random_range(-6.0..6.0_f32);
        let channel = |c: usize| {
            let surface = match off {
                ..1.0 if is_on => glass[c] + (255.0 - glass[c]) * (1.0 - off),
                ..1.0 => (glass[c] * (1.2 - 0.4 * off) + 110.0 * shine) * light,
                // The rim around the glass.
                ..1.15 => 28.0 * light,
                _ => steel[c] * light,
            };
            let halo = if off > 1.0 { glow[c] * 0.7 * (-(off - 1.0) * 1.6).exp() } else { 0.0 };
            (surface + halo + grain).clamp(0.0, 255.0) as u8
        };
        Rgb([channel(0), channel(1), channel(2)])
    })
}
