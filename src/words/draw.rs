//! Random draws that depend only on the image, so that every caller draws the same and nothing has to be stored.

use super::{Digest, SampleId};

/// One image in this many is an audit image.
const ONE_IN: u64 = 10;

/// A number uniform over 0..2^64 for the image `id`; draws for different `purpose`s are independent.
///
/// It is the start of the SHA-256 of purpose and identity. Keeping the images with the smallest draws keeps a uniform
/// sample of all that ever came, however many come later.
#[must_use]
pub fn draw(id: &SampleId, purpose: &str) -> u64 {
    let digest = Digest::of(&[purpose.as_bytes(), b"\0", &id.0.0[..]].concat());
    digest.0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whether the image is one of the tenth that is labelled for the live figure alone.
///
/// Images are asked about because they are hard, new or odd, so what comes back says nothing of the usual image. A
/// tenth is designated before any model has looked, by a draw of its own; on those the share of right predictions is
/// an unbiased estimate of the live accuracy (a simple random sample; Cochran 1977, Sampling Techniques, chapter 2),
/// as far as the designated ones are labelled without regard to what they show.
#[must_use]
pub fn is_audit(id: &SampleId) -> bool {
    draw(id, "audit").is_multiple_of(ONE_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u32) -> impl Iterator<Item = SampleId> {
        (0..count).map(|i| SampleId::of(&i.to_le_bytes()))
    }

    #[test]
    fn one_in_ten_is_an_audit() {
        let audits = ids(20_000).filter(is_audit).count();
        // 2,000 expected, standard deviation 42.
        assert!((1830..2170).contains(&audits), "{audits}");
    }

    #[test]
    fn draws_for_different_purposes_do_not_go_together() {
        let small = |id: &SampleId, purpose| draw(id, purpose) < u64::MAX / 4;
        let both = ids(20_000).filter(|id| is_audit(id) && small(id, "subset")).count();
        // 500 expected, standard deviation 22.
        assert!((410..590).contains(&both), "{both}");
    }

    #[test]
    fn the_designated_images_stay_the_same_from_version_to_version() {
        let found: Vec<u32> = ids(40).zip(0..).filter(|(id, _)| is_audit(id)).map(|(_, i)| i).collect();
        // python: int.from_bytes(sha256(b"audit\0" + sha256(struct.pack("<I", i)).digest()).digest()[:8], "big") % 10
        // == 0
        assert_eq!(found, [7, 12, 28, 29]);
    }
}
