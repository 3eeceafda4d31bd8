//! Views of a picture for trainings on few labels: two crops of 60 to 90 % of its area.
//!
//! Where the crops lie is drawn from the image's identity: the same picture has the same views on every machine, and
//! nothing about them has to be stored. None is mirrored: left and right may be what a head is to tell apart.

use super::{Preprocess, Rgb};
use crate::words::{Digest, EmbeddingSpace, SampleId, draw};

/// Views of a picture.
pub const VIEWS: usize = 2;

/// Where the embeddings of a picture's views are kept, one behind another (2 * dim,): never together with those of
/// pictures, whose space has the same digest with views as without.
#[must_use]
pub fn space_of_views(space: EmbeddingSpace) -> EmbeddingSpace {
    let preprocessing = Digest::of(&[b"edgetuned views 1\n".as_slice(), &space.preprocessing.0].concat());
    EmbeddingSpace { preprocessing, dim: VIEWS * space.dim, ..space }
}

impl Preprocess {
    /// The tensors of the views of `image`, whose identity is `id`, one behind another (2, 3*h*w).
    #[must_use]
    pub fn apply_to_views(&self, image: &Rgb, id: &SampleId) -> Vec<f32> {
        (0..VIEWS).flat_map(|number| self.apply(&crop(image, id, number))).collect()
    }
}

/// The `number`th crop: its share of the area uniform in 0.6..0.9, in the proportions of the picture, its place uniform.
fn crop(image: &Rgb, id: &SampleId, number: usize) -> Rgb {
    let uniform = |what: &str| draw(id, &format!("crop {number} {what}")) as f64 / 2.0_f64.powi(64);
    let side = (0.6 + 0.3 * uniform("area")).sqrt();
    let span = |whole: u32, what: &str| {
        let length = ((f64::from(whole) * side).round() as u32).clamp(1, whole);
        let from = (f64::from(whole - length) * uniform(what)).round() as u32;
        (from as usize, length)
    };
    let ((left, width), (top, height)) = (span(image.width(), "left"), span(image.height(), "top"));
    let rows = image.pixels().chunks_exact(3 * image.width() as usize).skip(top).take(height as usize);
    let pixels = rows.flat_map(|row| &row[3 * left..3 * (left + width as usize)]).copied().collect();
    Rgb::new(width, height, pixels).expect("a part of a picture with sides of at least one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Channels, Layout, Resize};

    fn preprocess() -> Preprocess {
        Preprocess {
            size: (8, 6),
            layout: Layout::Nhwc,
            channels: Channels::Rgb,
            mean: [0.0; 3],
            std: [1.0; 3],
            scale: [1.0; 3],
            resize: Resize::Stretch,
        }
    }

    /// x and y are in red and green, both in steps of one.
    fn ramp(width: u32, height: u32) -> Rgb {
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 7])).collect();
        Rgb::new(width, height, pixels).unwrap()
    }

    #[test]
    fn crops_have_the_area_and_the_proportions_that_are_promised_and_lie_anywhere() {
        let (image, mut corners) = (ramp(200, 100), vec![]);
        for seed in 0..200_usize {
            let crop = crop(&image, &SampleId::of(&seed.to_le_bytes()), seed % VIEWS);
            let area = f64::from(crop.width() * crop.height()) / 20_000.0;
            assert!((0.59..0.91).contains(&area), "image {seed}: {area}");
            assert!(crop.width().abs_diff(2 * crop.height()) <= 1, "image {seed}: {crop:?}");
            let [left, top] = [crop.pixels()[0], crop.pixels()[1]].map(u32::from);
            assert!(left + crop.width() <= 200 && top + crop.height() <= 100, "image {seed}: {left} {top} {crop:?}");
            corners.push((left * 10 > 200 - crop.width(), top * 10 > 100 - crop.height()));
        }
        assert!([(true, true), (false, true), (true, false)].iter().all(|corner| corners.contains(corner)));
    }

    #[test]
    fn a_picture_has_the_same_views_every_time_and_another_one_others() {
        let (image, preprocess) = (ramp(40, 30), preprocess());
        let views = |name: &[u8]| preprocess.apply_to_views(&image, &SampleId::of(name));
        assert_eq!(views(b"a"), views(b"a"));
        assert_ne!(views(b"a"), views(b"b"));
    }

    #[test]
    fn the_smallest_picture_has_views() {
        let views = preprocess().apply_to_views(&ramp(1, 1), &SampleId::of(b"a"));
        assert!(views.chunks_exact(3).all(|pixel| pixel == [0.0, 0.0, 7.0]));
    }

    #[test]
    fn views_are_kept_apart_from_pictures() {
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 5 };
        let views = space_of_views(space);
        assert_eq!((views.backbone, views.dim), (space.backbone, VIEWS * 5));
        assert_ne!(views.preprocessing, space.preprocessing);
    }
}
