//! From a file's bytes to upright RGB pixels.
//!
//! The format is recognised by content. Orientation (EXIF) is applied, 16 bits become 8, grey and CMYK become RGB, of
//! an animation the first frame is taken, colour profiles are ignored. Alpha is laid over black: fully transparent
//! pixels are commonly stored as black, so this agrees with programs that drop alpha.
//!
//! Decoders are lenient: half a JPEG decodes to a picture with a grey lower half. A file that is still being
//! written must not become a sample, so its structure is walked before it is decoded. Bytes behind the end are
//! fine, cameras put thumbnails and notes there.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use crate::words::on_one_line;

/// Upright pixels, 8 bits a channel: (height, width, 3), red first; never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Rgb {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Rgb {
    /// An image from `pixels` (height, width, 3); `None` when a side is zero or the number of bytes is another.
    #[must_use]
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Option<Self> {
        let expected = (width as usize).checked_mul(height as usize)?.checked_mul(3)?;
        (expected > 0 && pixels.len() == expected).then_some(Self { width, height, pixels })
    }

    /// Columns, at least 1.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows, at least 1.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// (height, width, 3), red first.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

impl std::fmt::Debug for Rgb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rgb({} x {})", self.width, self.height)
    }
}

/// What an image may cost before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Width times height, as the file's header states them.
    pub pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, pixels: 64_000_000 }
    }
}

/// Why bytes are not a usable image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadImage {
    /// The file has no bytes yet.
    #[error("the file is empty (0 bytes); it is read again when it grows")]
    Empty,
    /// The end is missing; it may still be being written.
    #[error("the {format} file is truncated after {bytes} bytes; it is read again when it grows")]
    Truncated {
        /// By its first bytes.
        format: &'static str,
        /// Bytes there are.
        bytes: usize,
    },
    /// None of the four formats, whatever its name is.
    #[error("the file is not a JPEG, PNG, WebP or BMP image: it begins with {begins}; remove it or convert it")]
    Format {
        /// Its first bytes in hexadecimal digits.
        begins: String,
    },
    /// More bytes than the limit.
    #[error("the file has {bytes} bytes, at most {limit} are read; save it smaller")]
    TooLargeFile {
        /// Bytes there are.
        bytes: usize,
        /// [`Limits::bytes`].
        limit: usize,
    },
    /// More pixels than the limit; nothing was allocated for them.
    #[error("the picture has {width} x {height} pixels, at most {limit} are decoded; save it smaller")]
    TooLargePicture {
        /// Columns by the header.
        width: u32,
        /// Rows by the header.
        height: u32,
        /// [`Limits::pixels`].
        limit: u64,
    },
    /// Complete, but the decoder refuses it.
    #[error("the {format} file is damaged or of an unsupported kind ({reason}); save it again")]
    Decode {
        /// By its first bytes.
        format: &'static str,
        /// The decoder's message.
        reason: String,
    },
}

impl BadImage {
    /// True when the file may still be being written, so that it is worth reading again later.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Empty | Self::Truncated { .. })
    }
}

/// Decodes a JPEG, PNG, WebP or BMP file into upright RGB pixels.
///
/// Both limits are checked before anything is allocated for pixels.
///
/// # Errors
/// [`BadImage`]; those with [`BadImage::is_incomplete`] may pass later, the others never will.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Rgb, BadImage> {
    if bytes.is_empty() {
        return Err(BadImage::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(BadImage::TooLargeFile { bytes: bytes.len(), limit: limits.bytes });
    }
    let (format, name) = format_of(bytes)?;
    // A decoder that panics on a hostile file must cost that file, not the process.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_as(format, name, bytes, limits)));
    decoded.unwrap_or_else(|_| Err(BadImage::Decode { format: name, reason: "the decoder panicked".into() }))
}

fn format_of(bytes: &[u8]) -> Result<(ImageFormat, &'static str), BadImage> {
    match image::guess_format(bytes) {
        Ok(format @ ImageFormat::Jpeg) => Ok((format, "JPEG")),
        Ok(format @ ImageFormat::Png) => Ok((format, "PNG")),
        Ok(format @ ImageFormat::WebP) => Ok((format, "WebP")),
        Ok(format @ ImageFormat::Bmp) => Ok((format, "BMP")),
        _ if may_become_an_image(bytes) => Err(BadImage::Truncated { format: "image", bytes: bytes.len() }),
        _ => {
            let begins: Vec<_> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            Err(BadImage::Format { begins: begins.concat() })
        }
    }
}

fn decode_as(format: ImageFormat, name: &'static str, bytes: &[u8], limits: &Limits) -> Result<Rgb, BadImage> {
    let truncated = || BadImage::Truncated { format: name, bytes: bytes.len() };
    let damaged = |error: image::ImageError| {
        if is_whole(format, bytes) {
            BadImage::Decode { format: name, reason: on_one_line(&error.to_string()) }
        } else {
            truncated()
        }
    };
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(BadImage::TooLargePicture { width, height, limit: limits.pixels });
    }
    if !is_whole(format, bytes) {
        return Err(truncated());
    }
    let mut memory = image::Limits::no_limits();
    // 16 bits on four channels at most, and memory for what a file has beside the pixels.
    memory.max_alloc = Some(limits.pixels.saturating_mul(8).saturating_add(16 << 20));
    decoder.set_limits(memory).map_err(damaged)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    let mut upright = DynamicImage::ImageRgb8(over_black(decoded));
    upright.apply_orientation(orientation);
    let (width, height) = (upright.width(), upright.height());
    Rgb::new(width, height, upright.into_rgb8().into_raw())
        .ok_or_else(|| BadImage::Decode { format: name, reason: "it has no pixels".into() })
}

fn over_black(image: DynamicImage) -> image::RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let mut rgba = image.into_rgba8();
    for pixel in rgba.pixels_mut() {
        let alpha = u16::from(pixel[3]);
        for channel in &mut pixel.0[..3] {
            *channel = ((u16::from(*channel) * alpha + 127) / 255) as u8;
        }
    }
    DynamicImage::ImageRgba8(rgba).into_rgb8()
}

/// True when `bytes`, a file of this `format`, ends where its structure says or later.
///
/// JPEG: the end marker is met by walking segments and scans. PNG: the chunk `IEND` is there. WebP: as long as its
/// RIFF header and each chunk in it say. BMP: the pixel array is there in full; compressed ones are as long as their
/// header says.
pub fn is_whole(format: ImageFormat, bytes: &[u8]) -> bool {
    match format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Png => png(bytes),
        ImageFormat::WebP => webp(bytes),
        ImageFormat::Bmp => bmp(bytes),
        _ => Some(true),
    }
    .unwrap_or(false)
}

/// True when `bytes` may be the first few of one of the four formats, too few to be sure.
pub fn may_become_an_image(bytes: &[u8]) -> bool {
    let begins = |magic: &[Option<u8>]| {
        bytes.len() < magic.len() && bytes.iter().zip(magic).all(|(byte, want)| want.is_none_or(|want| want == *byte))
    };
    let exact = |magic: &[u8]| begins(&magic.iter().copied().map(Some).collect::<Vec<_>>());
    let webp: Vec<_> = b"RIFF".iter().copied().map(Some).chain([None; 4]).chain(b"WEBP".map(Some)).collect();
    exact(b"\xff\xd8\xff") || exact(b"\x89PNG\r\n\x1a\n") || exact(b"BM") || begins(&webp)
}

fn u16_be(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// `None` and `Some(false)` both mean: the end is missing.
fn jpeg(bytes: &[u8]) -> Option<bool> {
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    let mut at = 0;
    loop {
        // To the next marker: 0xff, any number of fill bytes 0xff, then the code. Inside a scan 0xff00 is data.
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        at += bytes.get(at..)?.iter().position(|&byte| byte != 0xff)?;
        let code = *bytes.get(at)?;
        at += 1;
        match code {
            END => return Some(true),
            0x00 | 0x01 | 0xd0..=0xd7 | START => {}
            _ => at += u16_be(bytes, at)?.max(2),
        }
    }
}

fn png(bytes: &[u8]) -> Option<bool> {
    let mut at = 8;
    loop {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let kind = bytes.get(at + 4..at + 8)?;
        at = at.checked_add(length)?.checked_add(12)?;
        if kind == b"IEND" {
            return Some(at <= bytes.len());
        }
    }
}

fn webp(bytes: &[u8]) -> Option<bool> {
    let mut end = u64::from(u32_le(bytes, 4)?) + 8;
    let mut at = 12;
    while at + 8 <= end {
        let chunk_end = at + 8 + u64::from(u32_le(bytes, usize::try_from(at).ok()? + 4)?);
        // The decoder reads a chunk to its own end, also where the header of the file has an earlier one.
        end = end.max(chunk_end);
        at = chunk_end + (chunk_end & 1);
    }
    Some(end <= bytes.len() as u64)
}

fn bmp(bytes: &[u8]) -> Option<bool> {
    const RGB: u32 = 0;
    const BITFIELDS: u32 = 3;
    const ALPHA_BITFIELDS: u32 = 6;
    let (file_size, pixels_at, header_size) = (u32_le(bytes, 2)?, u32_le(bytes, 10)?, u32_le(bytes, 14)?);
    let (width, height, depth, compression) = if header_size == 12 {
        (u16_le(bytes, 18)?, u16_le(bytes, 20)?, u16_le(bytes, 24)?, RGB)
    } else {
        let size = |at| Some(u64::from(u32_le(bytes, at)?.cast_signed().unsigned_abs()));
        (size(18)?, size(22)?, u16_le(bytes, 28)?, u32_le(bytes, 30)?)
    };
    let end = if matches!(compression, RGB | BITFIELDS | ALPHA_BITFIELDS) {
        let row = (width * depth).div_ceil(32) * 4;
        u64::from(pixels_at).saturating_add(row.saturating_mul(height))
    } else {
        u64::from(file_size)
    };
    Some(end <= bytes.len() as u64)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
