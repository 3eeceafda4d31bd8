//! JPEG, by libjpeg-turbo's decoder; what it only warns of, and what it cannot know, is refused.
//!
//! The markers are walked first ([`structure`]): a picture without its end marker may still be being written, one
//! whose scans do not bring every coefficient was cut and closed. Then [`libjpeg`] decodes it.

mod libjpeg;
mod structure;

use image::RgbImage;
use image::metadata::Orientation;

use super::decode::{BadImage, Limits};
use libjpeg::Leftovers;
use structure::Structure;

/// Progressive pictures have about ten scans, however they were made; each costs a pass over the whole picture.
const SCANS_MAX: usize = 500;

/// Pixels as they are stored, and how they have to be turned. `shrink` says of upright columns and rows by what they are to be
/// divided: 1, 2, 4 or 8.
pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    shrink: &mut dyn FnMut(u32, u32) -> u32,
) -> Result<(RgbImage, Orientation), BadImage> {
    let structure = Structure::read(bytes);
    if let Some((width, height)) = structure.size
        && u64::from(width) * u64::from(height) > limits.pixels
    {
        return Err(BadImage::TooLargePicture { width, height, limit: limits.pixels });
    }
    let Some(end) = structure.end else {
        return Err(without_end(&structure, bytes));
    };
    let orientation = structure.exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let shrink = structure.size.map_or(1, |(width, height)| {
        let (width, height) = if is_on_its_side(orientation) { (height, width) } else { (width, height) };
        shrink(width, height)
    });
    let picture = whole(&structure, &bytes[..end], shrink)
        .map_err(|reason| BadImage::Decode { format: "JPEG", reason: reason.to_string() })?;
    Ok((picture, orientation))
}

fn is_on_its_side(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Decodes a picture that has its end marker, or says why not.
fn whole(structure: &Structure<'_>, bytes: &[u8], shrink: u32) -> Result<RgbImage, Damage> {
    if structure.scans > SCANS_MAX {
        return Err(Damage::Scans(structure.scans));
    }
    if structure.size.is_some() && !structure.has_every_scan() {
        return Err(Damage::ScanMissing);
    }
    if structure.has_hole {
        return Err(Damage::Hole);
    }
    // Zeros that are left over were not written where there is room for a picture: they are in its place.
    let leftovers = if structure.has_zeros { Leftovers::Refused } else { Leftovers::Taken };
    libjpeg::decode(bytes, structure.size, shrink, leftovers)
}

/// Why a picture without its end marker is not taken: it is truncated, or nothing but the marker is missing.
fn without_end(structure: &Structure<'_>, bytes: &[u8]) -> BadImage {
    let is_all_there = structure.has_every_scan() && whole(structure, &[bytes, b"\xff\xd9"].concat(), 8).is_ok();
    if is_all_there {
        BadImage::Unended { bytes: bytes.len() }
    } else {
        BadImage::Truncated { format: "JPEG", bytes: bytes.len() }
    }
}

/// Why a JPEG file with an end marker is not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Damage {
    /// The decoder's words.
    #[error("{0}")]
    Decoder(String),
    /// By their headers.
    #[error("its scans end before the picture is complete")]
    ScanMissing,
    /// By a row of zeros.
    #[error("zeros in place of its data")]
    Hole,
    /// More than the limit.
    #[error("it has {0} scans, at most {SCANS_MAX} are decoded")]
    Scans(usize),
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
