//! From decoded pixels to a tensor.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use super::{Decode, Rgb};
use crate::words::{Digest, Keyword, keywords};

keywords! {
    /// Order of the tensor's axes.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Layout {
        /// (n, 3, h, w), as in `PyTorch`.
        Nchw = "nchw",
        /// (n, h, w, 3), as in `TensorFlow`.
        Nhwc = "nhwc",
    }
}

keywords! {
    /// Order of the colour channels in the tensor.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Channels {
        /// Red first.
        Rgb = "rgb",
        /// Blue first.
        Bgr = "bgr",
    }
}

/// How an image of any size gets the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// To h x w, whatever the proportions.
    Stretch,
    /// Shorter side to round(S / ratio), then the centre S x S; `ratio` is 0.875 by default.
    Crop {
        /// S over the length of the shorter side.
        ratio: f32,
    },
    /// Fitted inside, the rest filled with [`Preprocess::pad`].
    Letterbox,
}

impl Resize {
    /// The crop by which classification models are mostly evaluated.
    pub const CROP: Self = Self::Crop { ratio: 0.875 };
}

impl Keyword for Resize {
    const ALL: &'static [Self] = &[Self::Stretch, Self::CROP, Self::Letterbox];
    const WORDS: &'static [&'static str] = &["stretch", "crop", "letterbox"];

    fn as_str(self) -> &'static str {
        match self {
            Self::Stretch => Self::WORDS[0],
            Self::Crop { .. } => Self::WORDS[1],
            Self::Letterbox => Self::WORDS[2],
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Stretch => "Stretched, without keeping proportions.",
            Self::Crop { .. } => "The centre, as most classification models are evaluated.",
            Self::Letterbox => "The whole image with a border.",
        }
    }
}

/// Everything that happens between decoded pixels and tensor: `(pixel * scale - mean) / std` on 0..255 values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Height and width of the tensor.
    pub size: (u32, u32),
    /// Order of axes.
    pub layout: Layout,
    /// Order of channels; `mean`, `std` and `scale` are in this order.
    pub channels: Channels,
    /// Subtracted after scaling.
    pub mean: [f32; 3],
    /// Divided by at the end.
    pub std: [f32; 3],
    /// Multiplied with first.
    pub scale: [f32; 3],
    /// How the size is reached.
    pub resize: Resize,
    /// What is filled, on all channels, 0..255: the rest of a letterbox, and of a polygon's box.
    pub pad: u8,
    /// How large JPEGs are decoded.
    #[serde(default)]
    pub decode: Decode,
}

impl Preprocess {
    /// The usual filling: grey, as in YOLO.
    pub const PAD: u8 = 114;

    /// Numbers in the tensor of one image: 3 * h * w.
    #[must_use]
    pub fn tensor_len(&self) -> usize {
        3 * self.size.0 as usize * self.size.1 as usize
    }

    /// The tensor of `image`, in this layout and channel order.
    ///
    /// Resizing is a convolution with a triangle filter as wide as the reduction (Pillow's `Image.BILINEAR`), on 8-bit
    /// values; only the part that ends up in the tensor is computed.
    #[must_use]
    pub fn apply(&self, image: &Rgb) -> Vec<f32> {
        let mut tensor = vec![0.0; self.tensor_len()];
        self.normalise(&self.resized(image), &mut tensor);
        tensor
    }

    /// The identity of this preprocessing: equal for equal settings, on every machine and in every version.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let three = |values: [f32; 3]| values.map(|value| format!("{value:?}")).join(" ");
        let (layout, channels) = (self.layout.as_str(), self.channels.as_str());
        let resize = match self.resize {
            Resize::Stretch => "stretch".to_owned(),
            Resize::Crop { ratio } => format!("crop {ratio:?}"),
            Resize::Letterbox => format!("letterbox {}", self.pad),
        };
        // Where it fills polygons alone, the usual value is none: embeddings stored by older versions stay readable.
        let is_usual = self.pad == Self::PAD || self.resize == Resize::Letterbox;
        let pad = if is_usual { String::new() } else { format!("pad {}\n", self.pad) };
        let decode = if self.decode == Decode::Exact { "" } else { "decode scaled\n" };
        let text = format!(
            "edgetuned preprocess 1\nsize {} {}\nlayout {layout}\nchannels {channels}\nmean {}\nstd {}\nscale {}\n\
             resize {resize} triangle\n{pad}{decode}",
            self.size.0,
            self.size.1,
            three(self.mean),
            three(self.std),
            three(self.scale),
        );
        Digest::of(text.as_bytes())
    }

    /// (h, w, 3) pixels, red first.
    fn resized(&self, image: &Rgb) -> Vec<u8> {
        let (height, width) = self.size;
        let (from_w, from_h) = (f64::from(image.width()), f64::from(image.height()));
        match self.resize {
            Resize::Stretch => resample(image, [0.0, 0.0, from_w, from_h], width, height),
            Resize::Crop { ratio } => {
                let part = crop_box((image.width(), image.height()), self.size, f64::from(ratio));
                resample(image, part, width, height)
            }
            Resize::Letterbox => {
                let scale = (f64::from(width) / from_w).min(f64::from(height) / from_h);
                let inner_w = ((from_w * scale).round_ties_even() as u32).clamp(1, width);
                let inner_h = ((from_h * scale).round_ties_even() as u32).clamp(1, height);
                let inner = resample(image, [0.0, 0.0, from_w, from_h], inner_w, inner_h);
                let (left, top) = ((width - inner_w) / 2, (height - inner_h) / 2);
                let mut canvas = vec![self.pad; self.tensor_len()];
                let rows = canvas.chunks_exact_mut(3 * width as usize).skip(top as usize);
                for (row, from) in rows.zip(inner.chunks_exact(3 * inner_w as usize)) {
                    row[3 * left as usize..][..from.len()].copy_from_slice(from);
                }
                canvas
            }
        }
    }

    /// Writes `(pixel * scale - mean) / std` of `pixels` (h, w, 3) into `tensor`.
    fn normalise(&self, pixels: &[u8], tensor: &mut [f32]) {
        let plane = pixels.len() / 3;
        for channel in 0..3 {
            let source = match self.channels {
                Channels::Rgb => channel,
                Channels::Bgr => 2 - channel,
            };
            let (scale, mean, std) = (self.scale[channel], self.mean[channel], self.std[channel]);
            let value: [f32; 256] = std::array::from_fn(|pixel| (pixel as f32 * scale - mean) / std);
            let values = pixels[source..].iter().step_by(3).map(|&pixel| value[usize::from(pixel)]);
            match self.layout {
                Layout::Nchw => tensor[channel * plane..][..plane].iter_mut().zip(values).for_each(|(to, v)| *to = v),
                Layout::Nhwc => tensor[channel..].iter_mut().step_by(3).zip(values).for_each(|(to, v)| *to = v),
            }
        }
    }
}

/// Left, top, width and height, in the source's pixels, of what a centre crop of `size` shows.
///
/// The source is thought of as resized until it just covers (h / ratio, w / ratio), rounded; the side that fits
/// exactly is that length, the other is in proportion, rounded; the crop's offsets are floored.
pub(super) fn crop_box((width, height): (u32, u32), size: (u32, u32), ratio: f64) -> [f64; 4] {
    let (from_w, from_h) = (f64::from(width), f64::from(height));
    let (h, w) = (f64::from(size.0), f64::from(size.1));
    let (cover_h, cover_w) = ((h / ratio).round_ties_even(), (w / ratio).round_ties_even());
    let (full_w, full_h) = if cover_w * from_h >= cover_h * from_w {
        (cover_w, (from_h * cover_w / from_w).round_ties_even().max(h))
    } else {
        ((from_w * cover_h / from_h).round_ties_even().max(w), cover_h)
    };
    let (left, top) = (((full_w - w) / 2.0).floor(), ((full_h - h) / 2.0).floor());
    [left * from_w / full_w, top * from_h / full_h, w * from_w / full_w, h * from_h / full_h]
}

/// The part `[left, top, width, height]` of `image` as `width` x `height` pixels.
///
/// Rows first, then columns, with 8-bit values between, as Pillow does: the resizer by itself goes the other way round,
/// and a sixth of the pixels then differ by one.
///
/// Typed, since the resizer's untyped images bring its code for every other kind of pixel into the program: minutes of
/// compiling.
pub(super) fn resample(image: &Rgb, [left, top, from_w, from_h]: [f64; 4], width: u32, height: u32) -> Vec<u8> {
    // The rows that the second pass reads: the triangle reaches one output pixel (at least one input pixel) further.
    let reach = (from_h / f64::from(height)).max(1.0) + 1.0;
    let first = (top - reach).floor().max(0.0);
    let rows = (top + from_h + reach).ceil().min(f64::from(image.height())) - first;
    let whole = (image.width(), image.height());
    let narrow = resample_once(image.pixels(), whole, [left, first, from_w, rows], (width, rows as u32));
    let rest = [0.0, top - first, f64::from(width), from_h];
    resample_once(&narrow, (width, rows as u32), rest, (width, height))
}

/// The part `[left, top, width, height]` of RGB `pixels` of `size` (width, height), as RGB pixels of size `to`.
fn resample_once(pixels: &[u8], size: (u32, u32), part: [f64; 4], to: (u32, u32)) -> Vec<u8> {
    let source: TypedImageRef<'_, U8x3> =
        TypedImageRef::from_buffer(size.0, size.1, pixels).expect("as many bytes as the sides say");
    let [left, top, from_w, from_h] = part;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        left,
        top,
        inside(left, from_w, size.0),
        inside(top, from_h, size.1),
    );
    let mut resized = vec![0; to.0 as usize * to.1 as usize * 3];
    let mut target: TypedImage<'_, U8x3> =
        TypedImage::from_buffer(to.0, to.1, &mut resized).expect("made with these sides");
    Resizer::new().resize_typed(&source, &mut target, &options).expect("the part lies within the image");
    resized
}

/// `length`, or a trifle less where rounding pushes its far end past `whole`, which the resizer refuses.
fn inside(from: f64, length: f64, whole: u32) -> f64 {
    let mut length = length;
    while from + length > f64::from(whole) {
        length = (f64::from(whole) - from).min(length.next_down());
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(size: (u32, u32), resize: Resize) -> Preprocess {
        let (layout, channels) = (Layout::Nhwc, Channels::Rgb);
        Preprocess {
            size,
            layout,
            channels,
            mean: [0.0; 3],
            std: [1.0; 3],
            scale: [1.0; 3],
            resize,
            pad: Preprocess::PAD,
            decode: Decode::Exact,
        }
    }

    /// x and y are in red and green, both in steps of one.
    fn ramp(width: u32, height: u32) -> Rgb {
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 7])).collect();
        Rgb::new(width, height, pixels).unwrap()
    }

    #[test]
    fn pixels_are_scaled_shifted_and_divided_in_channel_order() {
        let pixel = Rgb::new(1, 1, vec![10, 20, 40]).unwrap();
        let mut preprocess = settings((1, 1), Resize::Stretch);
        (preprocess.scale, preprocess.mean, preprocess.std) = ([1.0, 1.0, 0.5], [1.0, 2.0, 3.0], [1.0, 2.0, 4.0]);
        assert_eq!(preprocess.apply(&pixel), [9.0, 9.0, 4.25]);
        preprocess.channels = Channels::Bgr;
        assert_eq!(preprocess.apply(&pixel), [39.0, 9.0, 0.5]);
    }

    #[test]
    fn both_layouts_hold_the_same_numbers() {
        let image = ramp(5, 4);
        let mut preprocess = settings((4, 5), Resize::Stretch);
        let nhwc = preprocess.apply(&image);
        preprocess.layout = Layout::Nchw;
        let nchw = preprocess.apply(&image);
        for (place, pixel) in nhwc.chunks_exact(3).enumerate() {
            assert_eq!(pixel, [nchw[place], nchw[20 + place], nchw[40 + place]]);
        }
    }

    #[test]
    fn a_crop_of_the_right_scale_is_the_exact_middle() {
        // Shorter side 8 = round(7 / 0.875), so nothing is resized; offsets floor((12 - 7) / 2) = 2 and floor(1 / 2) =
        // 0.
        let tensor = settings((7, 7), Resize::Crop { ratio: 0.875 }).apply(&ramp(12, 8));
        let wanted = ramp(12, 8);
        for y in 0..7 {
            for x in 0..7 {
                let pixel = &wanted.pixels()[3 * (y * 12 + x + 2)..][..2];
                let found = &tensor[3 * (y * 7 + x)..][..2];
                assert_eq!(found, [f32::from(pixel[0]), f32::from(pixel[1])], "at {x}, {y}");
            }
        }
    }

    #[test]
    fn crop_shows_what_the_formula_says() {
        // 500 x 313 for S = 224: 256 / 313 of 500 is 408.9 -> 409 columns; offsets floor(92.5) = 92 and 16.
        let found = crop_box((500, 313), (224, 224), 0.875);
        let wanted = [92.0 * 500.0 / 409.0, 16.0 * 313.0 / 256.0, 224.0 * 500.0 / 409.0, 224.0 * 313.0 / 256.0];
        assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn reduction_averages_like_pillow() {
        // Pillow 13.0: Image.fromarray(np.arange(8, dtype=np.uint8)[None] ** 2).resize((3, 1), Image.BILINEAR), grey.
        let pixels = (0..8u8).flat_map(|x| [x * x; 3]).collect();
        let found = settings((1, 3), Resize::Stretch).apply(&Rgb::new(8, 1, pixels).unwrap());
        let red: Vec<_> = found.iter().step_by(3).copied().collect();
        assert_eq!(red, [2.0, 13.0, 36.0]);
    }

    #[test]
    fn letterbox_pads_evenly_and_keeps_proportions() {
        let tensor = settings((4, 4), Resize::Letterbox).apply(&Rgb::new(8, 4, vec![200; 96]).unwrap());
        let rows: Vec<_> = tensor.chunks_exact(12).map(|row| row[0]).collect();
        assert_eq!(rows, [114.0, 200.0, 200.0, 114.0]);
    }

    #[test]
    fn no_shape_of_picture_breaks_a_resize() {
        for (width, height) in [(1, 1), (1, 4000), (4000, 1), (3, 2), (640, 427), (227, 227), (999, 1000), (65, 8191)] {
            let image = Rgb::new(width, height, vec![90; (width * height * 3) as usize]).unwrap();
            for resize in [Resize::Stretch, Resize::Crop { ratio: 0.875 }, Resize::Crop { ratio: 1.0 }] {
                for size in [(1, 1), (227, 227), (96, 64), (31, 97)] {
                    let tensor = settings(size, resize).apply(&image);
                    assert!(
                        tensor.iter().all(|&value| (value - 90.0).abs() < 1e-6),
                        "{width} x {height} to {size:?} by {resize:?}"
                    );
                }
            }
            let letterbox = Preprocess { pad: 90, ..settings((31, 97), Resize::Letterbox) };
            assert_eq!(letterbox.apply(&image), vec![90.0; 31 * 97 * 3]);
        }
    }

    #[test]
    fn the_digest_is_stable_and_differs_with_every_setting() {
        let base = settings((224, 224), Resize::Crop { ratio: 0.875 });
        // SHA-256 of the canonical text, by sha256sum: embeddings stored by older versions must stay readable.
        assert_eq!(base.digest().to_string(), GOLDEN);
        let changed: [fn(&mut Preprocess); 12] = [
            |p| p.size = (224, 225),
            |p| p.layout = Layout::Nchw,
            |p| p.channels = Channels::Bgr,
            |p| p.mean[0] = 1.0,
            |p| p.std[1] = 2.0,
            |p| p.scale[2] = 0.5,
            |p| p.resize = Resize::Stretch,
            |p| p.resize = Resize::Crop { ratio: 0.9 },
            |p| p.resize = Resize::Letterbox,
            |p| (p.resize, p.pad) = (Resize::Letterbox, 0),
            |p| p.pad = 0,
            |p| p.decode = Decode::Scaled,
        ];
        let mut seen = std::collections::HashSet::from([base.digest()]);
        for (place, change) in changed.iter().enumerate() {
            let mut other = base.clone();
            change(&mut other);
            assert!(seen.insert(other.digest()), "change {place}");
        }
    }

    const GOLDEN: &str = "0495b9f69ba8c0a4d2a23745054f130173b1420451d47ccbaca8cf9ea1453029";
}
