//! A picture in small, for people who look at many.

use std::borrow::Cow;

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::Rgb;
use super::preprocess::resample;

/// Pixels of the longer side; a smaller picture keeps its size.
const SIDE: u32 = 160;

/// Bytes that a thumbnail has at most, whatever it shows.
pub const BYTES_MAX: usize = 8 * 1024;

/// Pixels of the longer side of a picture for a screen.
const VIEW_SIDE: u32 = 1280;
/// Its quality.
const VIEW_QUALITY: u8 = 85;

/// Qualities that are tried, best first: at the last one noise fits, too.
const QUALITIES: [u8; 4] = [70, 45, 20, 5];

/// The picture as a JPEG of at most [`BYTES_MAX`] bytes whose longer side has 160 pixels or, of a smaller picture, as many as
/// that has; `None` where it cannot be made so small.
#[must_use]
pub fn thumbnail(image: &Rgb) -> Option<Vec<u8>> {
    let small = Scaled::new(image, SIDE);
    QUALITIES.iter().filter_map(|quality| small.jpeg(*quality)).find(|jpeg| jpeg.len() <= BYTES_MAX)
}

/// The picture as a JPEG for a screen: its longer side has 1,280 pixels or, of a smaller picture, as many as that has. Nothing
/// is in it but the pixels.
#[must_use]
pub fn view(image: &Rgb) -> Option<Vec<u8>> {
    Scaled::new(image, VIEW_SIDE).jpeg(VIEW_QUALITY)
}

/// A picture whose longer side is bounded.
struct Scaled<'a> {
    pixels: Cow<'a, [u8]>,
    width: u32,
    height: u32,
}

impl<'a> Scaled<'a> {
    fn new(image: &'a Rgb, longest: u32) -> Self {
        let (width, height) = (image.width(), image.height());
        let longer = width.max(height);
        if longer <= longest {
            return Self { pixels: image.pixels().into(), width, height };
        }
        let side = |pixels: u32| (u64::from(pixels) * u64::from(longest)).div_ceil(u64::from(longer)) as u32;
        let (to_width, to_height) = (side(width), side(height));
        let whole = [0.0, 0.0, f64::from(width), f64::from(height)];
        Self { pixels: resample(image, whole, to_width, to_height).into(), width: to_width, height: to_height }
    }

    fn jpeg(&self, quality: u8) -> Option<Vec<u8>> {
        let mut jpeg = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, quality);
        encoder.encode(&self.pixels, self.width, self.height, ExtendedColorType::Rgb8).ok()?;
        Some(jpeg)
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::image::{Limits, decode};

    fn noise(width: u32, height: u32) -> Rgb {
        let mut pixels = vec![0; 3 * width as usize * height as usize];
        ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut pixels);
        Rgb::new(width, height, pixels).unwrap()
    }

    #[test]
    fn the_longer_side_has_160_pixels_and_none_is_lost() {
        for (width, height, expected) in [
            (640, 480, (160, 120)),
            (480, 640, (120, 160)),
            (160, 3, (160, 3)),
            (20, 10, (20, 10)),
            (9_000, 1, (160, 1)),
            (161, 161, (160, 160)),
        ] {
            let grey = Rgb::new(width, height, vec![90; 3 * width as usize * height as usize]).unwrap();
            let jpeg = thumbnail(&grey).unwrap();
            let small = decode(&jpeg, &Limits::default()).unwrap();
            assert_eq!((small.width(), small.height()), expected, "{width} x {height}");
            assert!(small.pixels().iter().all(|value| value.abs_diff(90) <= 2), "{width} x {height}");
        }
    }

    #[test]
    fn for_a_screen_the_longer_side_has_at_most_1280_pixels() {
        for (width, height, expected) in [(2_560, 1_920, (1_280, 960)), (1_280, 3, (1_280, 3)), (20, 10, (20, 10))] {
            let grey = Rgb::new(width, height, vec![90; 3 * width as usize * height as usize]).unwrap();
            let shown = decode(&view(&grey).unwrap(), &Limits::default()).unwrap();
            assert_eq!((shown.width(), shown.height()), expected, "{width} x {height}");
        }
    }

    #[test]
    fn whatever_it_shows_it_is_small() {
        for (width, height) in [(160, 160), (1_000, 1_000), (160, 100)] {
            let jpeg = thumbnail(&noise(width, height)).expect("noise fits");
            assert!(jpeg.len() <= BYTES_MAX, "{width} x {height}: {} bytes", jpeg.len());
            assert!(decode(&jpeg, &Limits::default()).is_ok());
        }
    }
}
