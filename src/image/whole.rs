//! Whether a PNG, WebP or BMP file has its end, by walking its structure; for JPEG see [`super::jpeg`].

use image::ImageFormat;

/// True when `bytes`, a file of this `format`, ends where its structure says or later.
///
/// PNG: the chunk `IEND` is there. WebP: as long as its RIFF header and each chunk in it say. BMP: the pixel array is
/// there in full; compressed ones are as long as their header says.
pub(super) fn is_whole(format: ImageFormat, bytes: &[u8]) -> bool {
    match format {
        ImageFormat::Png => png(bytes),
        ImageFormat::WebP => webp(bytes),
        ImageFormat::Bmp => bmp(bytes),
        _ => Some(true),
    }
    .unwrap_or(false)
}

/// True when `bytes` may be the first few of one of the four formats, too few to be sure.
pub(super) fn may_become_an_image(bytes: &[u8]) -> bool {
    let begins = |magic: &[Option<u8>]| {
        bytes.len() < magic.len() && bytes.iter().zip(magic).all(|(byte, want)| want.is_none_or(|want| want == *byte))
    };
    let exact = |magic: &[u8]| begins(&magic.iter().copied().map(Some).collect::<Vec<_>>());
    let webp: Vec<_> = b"RIFF".iter().copied().map(Some).chain([None; 4]).chain(b"WEBP".map(Some)).collect();
    exact(b"\xff\xd8\xff") || exact(b"\x89PNG\r\n\x1a\n") || exact(b"BM") || begins(&webp)
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// `None` and `Some(false)` both mean: the end is missing.
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
