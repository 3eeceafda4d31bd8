//! Decoding no larger than what looks at a picture takes.
//!
//! A JPEG is kept as blocks of 8 x 8 frequencies. Half, a quarter or an eighth of its columns and rows are computed from the low
//! ones alone, which spares most of the work on a picture that is much larger than the network's input. The pixels are nearly those of
//! a picture resized so, so this is a part of the preprocessing and its digest. How far a picture is shrunk depends on the region that is
//! looked at, the input and the picture's size alone, not on what else is looked at.

use serde::{Deserialize, Serialize};

use super::decode::decode_shrunk;
use super::preprocess::crop_box;
use super::{BadImage, Limits, Preprocess, Resize, Rgb};
use crate::words::{Region, keywords};

keywords! {
    /// How large a JPEG is decoded.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Decode {
        /// With all its pixels.
        #[default]
        Exact = "exact",
        /// With half, a quarter or an eighth of its columns and rows, as few as the input has at least.
        Scaled = "scaled",
    }
}

/// What columns and rows can be divided by.
const SHRINKS: [u32; 3] = [8, 4, 2];

/// A picture as it is looked at.
#[derive(Debug)]
pub struct Looked {
    /// Tensors (n, 3*h*w) of n regions, in their order.
    pub tensors: Vec<f32>,
    /// The picture, as it was decoded for the first of them; for the whole where there is none.
    pub picture: Rgb,
}

impl Preprocess {
    /// Decodes a JPEG, PNG, WebP or BMP file for one region of the picture.
    ///
    /// # Errors
    /// As [`decode`](super::decode()).
    pub fn decode(&self, bytes: &[u8], limits: &Limits, region: &Region) -> Result<Rgb, BadImage> {
        decode_shrunk(bytes, limits, &mut |width, height| self.shrink(region, width, height))
    }

    /// Decodes a file, once where that will do for all `regions`, and makes their tensors.
    ///
    /// # Errors
    /// As [`decode`](super::decode()).
    pub fn look(&self, bytes: &[u8], limits: &Limits, regions: &[Region]) -> Result<Looked, BadImage> {
        let first = regions.first().unwrap_or(&Region::WHOLE);
        let mut stored = None;
        let picture = decode_shrunk(bytes, limits, &mut |width, height| {
            stored = Some((width, height));
            self.shrink(first, width, height)
        })?;
        // Of a picture that is not a JPEG, nothing is asked.
        let shrink = |region: &Region| stored.map_or(1, |(width, height)| self.shrink(region, width, height));
        let mut decoded = vec![(shrink(first), picture)];
        let mut tensors = Vec::with_capacity(regions.len() * self.tensor_len());
        for region in regions {
            let wanted = shrink(region);
            let known = decoded.iter().position(|(shrink, _)| *shrink == wanted);
            let at = if let Some(at) = known {
                at
            } else {
                decoded.push((wanted, decode_shrunk(bytes, limits, &mut |_, _| wanted)?));
                decoded.len() - 1
            };
            tensors.extend(self.apply(&decoded[at].1.part(region, self.pad)));
        }
        Ok(Looked { tensors, picture: decoded.swap_remove(0).1 })
    }

    /// By what the columns and rows of a picture are divided: as much as leaves at least a pixel for each of the tensor's that
    /// shows the region.
    fn shrink(&self, region: &Region, width: u32, height: u32) -> u32 {
        if self.decode == Decode::Exact {
            return 1;
        }
        let [_, _, width, height] = region.pixels(width, height);
        let (h, w) = (f64::from(self.size.0), f64::from(self.size.1));
        let by_side = match self.resize {
            Resize::Stretch => [f64::from(width) / w, f64::from(height) / h],
            Resize::Crop { ratio } => {
                let [_, _, shown_w, shown_h] = crop_box((width, height), self.size, f64::from(ratio));
                [shown_w / w, shown_h / h]
            }
            Resize::Letterbox => [(f64::from(width) / w).max(f64::from(height) / h); 2],
        };
        let spare = by_side[0].min(by_side[1]);
        SHRINKS.into_iter().find(|shrink| f64::from(*shrink) <= spare).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;

    use super::*;
    use crate::image::{Channels, Layout, decode};

    fn way(size: (u32, u32), resize: Resize, decode: Decode) -> Preprocess {
        let (layout, channels) = (Layout::Nhwc, Channels::Rgb);
        Preprocess { size, layout, channels, mean: [0.0; 3], std: [1.0; 3], scale: [1.0; 3], resize, pad: 9, decode }
    }

    /// Slow waves in every direction.
    fn picture(width: u32, height: u32) -> Rgb {
        let wave = |x: u32, y: u32, by: f32| (127.0 + 100.0 * ((x as f32 + by * y as f32) / 23.0).sin()) as u8;
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [0.3, -0.7, 2.0].map(|by| wave(x, y, by))));
        Rgb::new(width, height, pixels.collect()).unwrap()
    }

    fn jpeg(image: &Rgb) -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95)
            .encode(image.pixels(), image.width(), image.height(), image::ExtendedColorType::Rgb8)
            .unwrap();
        bytes
    }

    #[test]
    fn a_picture_is_shrunk_as_far_as_the_input_allows_and_no_further() {
        let whole = Region::WHOLE;
        for (size, resize, of, expected) in [
            ((128, 128), Resize::Stretch, (640, 480), 2),
            ((128, 128), Resize::Stretch, (4000, 3000), 8),
            ((128, 128), Resize::Stretch, (512, 512), 4),
            ((128, 128), Resize::Stretch, (511, 512), 2),
            ((224, 224), Resize::CROP, (640, 480), 1),
            ((224, 224), Resize::CROP, (1024, 512), 2),
            ((224, 224), Resize::CROP, (4000, 3000), 8),
            ((224, 224), Resize::Letterbox, (640, 480), 2),
            ((96, 64), Resize::Stretch, (10, 5), 1),
        ] {
            let shrink = way(size, resize, Decode::Scaled).shrink(&whole, of.0, of.1);
            assert_eq!(shrink, expected, "{size:?} of {of:?} by {resize:?}");
            assert_eq!(way(size, resize, Decode::Exact).shrink(&whole, of.0, of.1), 1);
        }
        let quarter = Region::rectangle([0.0, 0.0, 0.25, 0.25]).unwrap();
        assert_eq!(way((128, 128), Resize::Stretch, Decode::Scaled).shrink(&quarter, 4000, 3000), 4);
    }

    #[test]
    fn a_scaled_picture_is_nearly_the_exact_one() {
        let image = picture(512, 400);
        let bytes = jpeg(&image);
        for (size, resize) in [((100, 128), Resize::Stretch), ((64, 64), Resize::CROP), ((32, 32), Resize::Letterbox)] {
            let of = |decode| {
                let way = way(size, resize, decode);
                way.look(&bytes, &Limits::default(), &[Region::WHOLE]).unwrap().tensors
            };
            let (exact, scaled) = (of(Decode::Exact), of(Decode::Scaled));
            let gaps: Vec<f32> = exact.iter().zip(&scaled).map(|(a, b)| (a - b).abs()).collect();
            let mean = gaps.iter().sum::<f32>() / gaps.len() as f32;
            assert!(mean > 0.0 && mean < 2.0, "{size:?} by {resize:?}: {mean} of 255");
        }
    }

    #[test]
    fn a_region_is_the_same_whatever_else_is_looked_at_and_other_formats_are_as_they_are() {
        let image = picture(512, 400);
        let regions = [Region::WHOLE, Region::rectangle([0.5, 0.0, 1.0, 1.0]).unwrap(), Region::WHOLE];
        let way = way((60, 60), Resize::Stretch, Decode::Scaled);
        let limits = Limits::default();
        let mut bmp = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_raw(512, 400, image.pixels().to_vec())
            .unwrap()
            .write_to(&mut bmp, image::ImageFormat::Bmp)
            .unwrap();
        for bytes in [jpeg(&image), bmp.into_inner()] {
            let together = way.look(&bytes, &limits, &regions).unwrap().tensors;
            let alone: Vec<f32> = regions
                .iter()
                .flat_map(|region| way.look(&bytes, &limits, std::slice::from_ref(region)).unwrap().tensors)
                .collect();
            assert_eq!(together, alone);
            for region in &regions {
                let decoded = way.decode(&bytes, &limits, region).unwrap();
                let tensor = way.apply(&decoded.part(region, way.pad));
                assert_eq!(tensor, way.look(&bytes, &limits, std::slice::from_ref(region)).unwrap().tensors);
            }
        }
    }

    #[test]
    fn exact_decoding_is_that_of_the_whole_picture() {
        let bytes = jpeg(&picture(512, 400));
        let limits = Limits::default();
        let way = way((60, 60), Resize::Stretch, Decode::Exact);
        let decoded = decode(&bytes, &limits).unwrap();
        let Looked { tensors, picture } = way.look(&bytes, &limits, &[Region::WHOLE]).unwrap();
        assert_eq!((tensors, &picture), (way.apply(&decoded), &decoded));
        assert_eq!(way.look(&bytes, &limits, &[]).unwrap().tensors, [0.0_f32; 0]);
    }
}
