//! The part of a picture that a task looks at, cut out before it is resized.

use std::borrow::Cow;

use super::{Preprocess, Rgb};
use crate::words::Region;

impl Rgb {
    /// The pixels of `region`: its box, and of a polygon everything outside `pad` on all channels.
    ///
    /// Pixels are in or out by their centres ([`Region::pixels`], [`Region::columns`]), nothing is antialiased. A
    /// polygon so thin that no centre lies within has its whole box.
    #[must_use]
    pub fn part(&self, region: &Region, pad: u8) -> Cow<'_, Self> {
        if region.is_whole() {
            return Cow::Borrowed(self);
        }
        let (of_width, of_height) = (self.width(), self.height());
        let [left, top, width, height] = region.pixels(of_width, of_height);
        let row_len = 3 * of_width as usize;
        let rows = self.pixels().chunks_exact(row_len).skip(top as usize).take(height as usize);
        let mut pixels: Vec<u8> = Vec::with_capacity(3 * width as usize * height as usize);
        for row in rows {
            pixels.extend_from_slice(&row[3 * left as usize..][..3 * width as usize]);
        }
        let within: Option<Vec<_>> = (top..top + height).map(|y| region.columns(y, of_width, of_height)).collect();
        if let Some(within) = within.filter(|rows| rows.iter().any(|columns| !columns.is_empty())) {
            for (row, columns) in pixels.chunks_exact_mut(3 * width as usize).zip(within) {
                let mut fill = |from: u32, to: u32| row[3 * from as usize..3 * to as usize].fill(pad);
                let end = columns.iter().fold(0, |from, columns| {
                    fill(from, columns.start - left);
                    columns.end - left
                });
                fill(end, width);
            }
        }
        // It is made: the box has at least one pixel, and all of its pixels were taken.
        Self::new(width, height, pixels).map_or(Cow::Borrowed(self), Cow::Owned)
    }
}

impl Preprocess {
    /// The tensors (n, 3*h*w) of n regions of one picture, in their order; of the whole picture as
    /// [`apply`](Self::apply) gives it. Each region is cut out first ([`Rgb::part`]) and then resized as a picture of
    /// its own: no pixel outside has an influence.
    #[must_use]
    pub fn apply_regions(&self, image: &Rgb, regions: &[Region]) -> Vec<f32> {
        let mut tensors = Vec::with_capacity(regions.len() * self.tensor_len());
        for region in regions {
            tensors.extend(self.apply(&image.part(region, self.pad)));
        }
        tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Channels, Decode, Layout, Resize};

    fn preprocess(size: (u32, u32), resize: Resize) -> Preprocess {
        let (layout, channels) = (Layout::Nchw, Channels::Rgb);
        Preprocess {
            size,
            layout,
            channels,
            mean: [0.0; 3],
            std: [1.0; 3],
            scale: [1.0; 3],
            resize,
            pad: 9,
            decode: Decode::Exact,
        }
    }

    /// No two neighbouring pixels alike.
    fn picture(width: u32, height: u32) -> Rgb {
        let pixels = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| [x * 7 + y * 3, x * y, x * 5 + y].map(|value| value as u8)));
        Rgb::new(width, height, pixels.collect()).unwrap()
    }

    const RESIZES: [Resize; 3] = [Resize::Stretch, Resize::CROP, Resize::Letterbox];

    fn region(text: &str) -> Region {
        text.parse().unwrap()
    }

    #[test]
    fn the_whole_picture_and_a_polygon_around_it_are_the_picture() {
        let image = picture(37, 23);
        assert!(matches!(image.part(&Region::WHOLE, 3), Cow::Borrowed(_)));
        let around = region("[[0,0],[1,0],[1,1],[0,1]]");
        assert_eq!(image.part(&around, 3).as_ref(), &image);
        for resize in RESIZES {
            let preprocess = preprocess((16, 12), resize);
            let whole = preprocess.apply(&image);
            assert_eq!(preprocess.apply_regions(&image, &[Region::WHOLE]), whole);
            assert_eq!(preprocess.apply_regions(&image, std::slice::from_ref(&around)), whole);
            assert_eq!(preprocess.apply_regions(&image, &[]), [0.0; 0]);
        }
    }

    #[test]
    fn regions_of_one_picture_are_the_tensors_of_pictures_that_were_cropped_before() {
        for (width, height) in [(1, 1), (5, 3), (37, 23), (640, 481)] {
            let image = picture(width, height);
            let regions = ["0,0.25,0.3,0.85", "0.99,0,1,0.01", "0.5,0.5,1,1"].map(region);
            let cropped = regions.clone().map(|region| {
                let [left, top, w, h] = region.pixels(width, height);
                let at = |x: u32, y: u32| &image.pixels()[3 * (y * width + x) as usize..][..3];
                let pixels = (top..top + h).flat_map(|y| (left..left + w).flat_map(move |x| at(x, y))).copied();
                Rgb::new(w, h, pixels.collect()).unwrap()
            });
            for resize in RESIZES {
                let preprocess = preprocess((16, 12), resize);
                let wanted: Vec<f32> = cropped.iter().flat_map(|cropped| preprocess.apply(cropped)).collect();
                assert_eq!(preprocess.apply_regions(&image, &regions), wanted, "{width} x {height}, {resize:?}");
            }
        }
    }

    #[test]
    fn around_a_polygon_is_padding_whatever_the_resize() {
        let image = Rgb::new(8, 4, vec![200; 96]).unwrap();
        let triangle = region("[[0,0],[1,0],[0,1]]");
        let red: Vec<u8> = image.part(&triangle, 114).pixels().iter().step_by(3).copied().collect();
        let rows: Vec<usize> = red.chunks(8).map(|row| row.iter().take_while(|red| **red == 200).count()).collect();
        // A centre on the slope is beyond it.
        assert_eq!(rows, [7, 5, 3, 1]);
        assert!(red.iter().all(|red| [114, 200].contains(red)));
        let [stretch, _, letterbox] =
            RESIZES.map(|resize| preprocess((4, 8), resize).apply_regions(&image, std::slice::from_ref(&triangle)));
        assert_eq!((stretch[7], letterbox[7]), (9.0, 9.0));
        // No centre lies in it.
        let thin = region("[[0,0.4],[1,0.4],[1,0.41],[0,0.42]]");
        assert_eq!(image.part(&thin, 114).pixels(), [200; 24]);
    }
}
