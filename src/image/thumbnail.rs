//! A picture in small, for people who look at many.

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::Rgb;
use super::preprocess::resample;

/// Pixels of the longer side; a smaller picture keeps its size.
const SIDE: u32 = 160;

/// Bytes that a thumbnail has at most, whatever it shows.
pub const BYTES_MAX: usize = 8 * 1024;

/// Qualities that are tried, best first: at the last one noise fits, too.
const QUALITIES: [u8; 4] = [70, 45, 20, 5];

/// The picture as a JPEG of at most [`BYTES_MAX`] bytes whose longer side has 160 pixels or, of a smaller picture, as many as
/// that has; `None` where it cannot be made so small.
#[must_use]
pub fn thumbnail(image: &Rgb) -> Option<Vec<u8>> {
    let (width, height) = (image.width(), image.height());
    let longer = width.max(height);
    let small;
    let (pixels, width, height) = if longer <= SIDE {
        (image.pixels(), width, height)
    } else {
        let side = |pixels: u32| (u64::from(pixels) * u64::from(SIDE)).div_ceil(u64::from(longer)) as u32;
        let (to_width, to_height) = (side(width), side(height));
        small = resample(image, [0.0, 0.0, f64::from(width), f64::from(height)], to_width, to_height);
        (&small[..], to_width, to_height)
    };
    QUALITIES.iter().find_map(|quality| {
        let mut jpeg = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, *quality);
        encoder.encode(pixels, width, height, ExtendedColorType::Rgb8).ok()?;
        (jpeg.len() <= BYTES_MAX).then_some(jpeg)
    })
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
    fn whatever_it_shows_it_is_small() {
        for (width, height) in [(160, 160), (1_000, 1_000), (160, 100)] {
            let jpeg = thumbnail(&noise(width, height)).expect("noise fits");
            assert!(jpeg.len() <= BYTES_MAX, "{width} x {height}: {} bytes", jpeg.len());
            assert!(decode(&jpeg, &Limits::default()).is_ok());
        }
    }
}
