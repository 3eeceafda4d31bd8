//! Views of a picture: what else it could have looked like, for a training that is to see more than the picture itself.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::Rgb;
use crate::words::{Region, SampleId};

/// The least share of the picture's area that a crop has.
const LEAST_AREA: f64 = 0.5;
/// The logarithm of a crop's proportions, over those of the picture, is at most this far from 0.
const MOST_STRETCH: f64 = 0.2;

/// A part of a picture, mirrored or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    part: Region,
    mirrored: bool,
}

impl View {
    /// The picture as it is.
    pub const PLAIN: Self = Self { part: Region::WHOLE, mirrored: false };

    /// `count` views of the picture `id`, always the same: as it is, mirrored, and then crops of half its area and more,
    /// in slightly other proportions, every other one mirrored by chance.
    #[must_use]
    pub fn of(id: SampleId, count: usize) -> Vec<Self> {
        let mut rng = ChaCha8Rng::from_seed(id.0.0);
        let crops = std::iter::repeat_with(|| Self::crop(&mut rng));
        [Self::PLAIN, Self { mirrored: true, ..Self::PLAIN }].into_iter().chain(crops).take(count).collect()
    }

    fn crop(rng: &mut ChaCha8Rng) -> Self {
        let area = LEAST_AREA + (1.0 - LEAST_AREA) * rng.random::<f64>();
        let stretch = (MOST_STRETCH * (2.0 * rng.random::<f64>() - 1.0)).exp();
        let [width, height] = [area * stretch, area / stretch].map(|side| side.sqrt().min(1.0));
        let [left, top] = [1.0 - width, 1.0 - height].map(|free| free * rng.random::<f64>());
        let right = (left + width).min(1.0);
        let part = Region::rectangle([left, top, right, (top + height).min(1.0)]).unwrap_or(Region::WHOLE);
        Self { part, mirrored: rng.random() }
    }

    /// What it shows of `image`.
    #[must_use]
    pub fn apply(&self, image: &Rgb) -> Rgb {
        let part = image.part(&self.part, 0);
        if !self.mirrored {
            return part.into_owned();
        }
        let row = 3 * part.width() as usize;
        let rows = part.pixels().chunks_exact(row);
        let pixels = rows.flat_map(|row| row.chunks_exact(3).rev().flatten()).copied().collect();
        Rgb::new(part.width(), part.height(), pixels).unwrap_or_else(|| part.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Rgb {
        Rgb::new(40, 30, (0..3600).map(|value| (value % 251) as u8).collect()).unwrap()
    }

    #[test]
    fn the_first_view_is_the_picture_and_the_second_its_mirror_image() {
        let picture = picture();
        let views = View::of(SampleId::of(b"a"), 6);
        assert_eq!((views.len(), views[0].apply(&picture)), (6, picture.clone()));
        let mirrored = views[1].apply(&picture);
        assert_ne!(mirrored, picture);
        assert_eq!(mirrored.pixels()[..3], picture.pixels()[3 * 39..3 * 40]);
        assert_eq!(views[1].apply(&mirrored), picture);
    }

    #[test]
    fn a_picture_always_has_the_same_views_and_another_one_others() {
        assert_eq!(View::of(SampleId::of(b"a"), 6), View::of(SampleId::of(b"a"), 6));
        assert_ne!(View::of(SampleId::of(b"a"), 6), View::of(SampleId::of(b"b"), 6));
        assert_eq!(View::of(SampleId::of(b"a"), 3), View::of(SampleId::of(b"a"), 6)[..3]);
    }

    #[test]
    fn crops_keep_half_of_the_picture_about_its_proportions_and_are_mirrored_now_and_then() {
        let picture = picture();
        let crops: Vec<View> =
            (0..200_u32).flat_map(|n| View::of(SampleId::of(&n.to_le_bytes()), 6).split_off(2)).collect();
        for crop in &crops {
            let [left, top, right, bottom] = crop.part.bounds();
            let (width, height) = (right - left, bottom - top);
            // A crop that is wider than the picture is cut off.
            assert!(width * height > LEAST_AREA * (-MOST_STRETCH).exp(), "{crop:?}");
            assert!((width / height).ln().abs() < MOST_STRETCH + 1e-3, "{crop:?}");
            let seen = crop.apply(&picture);
            assert!(seen.width() * seen.height() * 2 >= 40 * 30 * 7 / 10, "{crop:?}: {seen:?}");
        }
        let mirrored = crops.iter().filter(|crop| crop.mirrored).count();
        assert!((crops.len() * 2 / 5..crops.len() * 3 / 5).contains(&mirrored), "{mirrored} of {}", crops.len());
    }
}
