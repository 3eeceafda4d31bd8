//! From a file's bytes to upright RGB pixels.
//!
//! The format is recognised by content. Orientation (EXIF) is applied, 16 bits become 8, grey and CMYK become RGB, of
//! an animation the first frame is taken, colour profiles are ignored. Alpha is laid over black: fully transparent
//! pixels are commonly stored as black, so this agrees with programs that drop alpha. A BMP whose alpha is 0 throughout
//! has none: programs reserve its bits without writing any.
//!
//! A file that is still being written must not become a sample, so its structure is walked before it is decoded
//! ([`super::whole`], [`super::jpeg`]). Bytes behind the end are fine, cameras put thumbnails and notes there.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use super::jpeg;
use super::whole::{is_whole, may_become_an_image};
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
    /// Nothing but the end marker is missing; it may still be being written.
    #[error(
        "the JPEG file has all its pixels but no end marker after {bytes} bytes; save it again, or wait until it is written"
    )]
    Unended {
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
        matches!(self, Self::Empty | Self::Truncated { .. } | Self::Unended { .. })
    }
}

/// Decodes a JPEG, PNG, WebP or BMP file into upright RGB pixels.
///
/// Both limits are checked before anything is allocated for pixels.
///
/// # Errors
/// [`BadImage`]; those with [`BadImage::is_incomplete`] may pass later, the others never will.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Rgb, BadImage> {
    decode_shrunk(bytes, limits, &mut |_, _| 1)
}

/// The same with the columns and rows of a JPEG divided by what `shrink` says of them, 1, 2, 4 or 8; rounded up.
pub(super) fn decode_shrunk(
    bytes: &[u8],
    limits: &Limits,
    shrink: &mut dyn FnMut(u32, u32) -> u32,
) -> Result<Rgb, BadImage> {
    if bytes.is_empty() {
        return Err(BadImage::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(BadImage::TooLargeFile { bytes: bytes.len(), limit: limits.bytes });
    }
    let (format, name) = format_of(bytes)?;
    // A decoder that panics on a hostile file must cost that file, not the process.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_as(format, name, bytes, limits, shrink)));
    decoded.unwrap_or_else(|_| Err(BadImage::Decode { format: name, reason: "the decoder panicked".into() }))
}

/// The ending that a file with these first bytes is called by, `jpg`, `png`, `webp` or `bmp`; `None` where they begin
/// no image that [`decode`] reads.
#[must_use]
pub fn ending_of(bytes: &[u8]) -> Option<&'static str> {
    match format_of(bytes).ok()?.0 {
        ImageFormat::Jpeg => Some("jpg"),
        ImageFormat::Png => Some("png"),
        ImageFormat::WebP => Some("webp"),
        ImageFormat::Bmp => Some("bmp"),
        _ => None,
    }
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

fn decode_as(
    format: ImageFormat,
    name: &'static str,
    bytes: &[u8],
    limits: &Limits,
    shrink: &mut dyn FnMut(u32, u32) -> u32,
) -> Result<Rgb, BadImage> {
    let (stored, orientation) = if format == ImageFormat::Jpeg {
        jpeg::decode(bytes, limits, shrink)?
    } else {
        decode_other(format, name, bytes, limits)?
    };
    let mut upright = DynamicImage::ImageRgb8(stored);
    upright.apply_orientation(orientation);
    let (width, height) = (upright.width(), upright.height());
    Rgb::new(width, height, upright.into_rgb8().into_raw())
        .ok_or_else(|| BadImage::Decode { format: name, reason: "it has no pixels".into() })
}

/// PNG, WebP and BMP: the pixels as they are stored, and how they have to be turned.
fn decode_other(
    format: ImageFormat,
    name: &'static str,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(RgbImage, Orientation), BadImage> {
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
    Ok((if format == ImageFormat::Bmp { opaque_or_over_black(decoded) } else { over_black(decoded) }, orientation))
}

/// A BMP's pixels: without alpha where it is 0 in each, since then nobody wrote any.
fn opaque_or_over_black(image: DynamicImage) -> RgbImage {
    match image {
        DynamicImage::ImageRgba8(pixels) if pixels.pixels().all(|pixel| pixel[3] == 0) => {
            DynamicImage::ImageRgba8(pixels).into_rgb8()
        }
        other => over_black(other),
    }
}

fn over_black(image: DynamicImage) -> RgbImage {
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

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
