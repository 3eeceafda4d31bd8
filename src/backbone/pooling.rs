//! From the embedding tensor, whatever its axes, to one row of values an image.

use super::manifest::Pool;
use crate::image::Layout;

/// One row of values an image, or `None` when the tensor's axes do not allow the pooling.
///
/// A map has its channels where `dim` says, else where the model's `layout` has them: a model that eats NHWC may
/// compute in NCHW inside.
pub fn pooled(shape: &[i64], values: &[f32], pool: Pool, dim: usize, layout: Layout) -> Option<Vec<f32>> {
    if pool == Pool::None {
        return Some(values.to_vec());
    }
    let axes: Vec<usize> = shape.iter().map(|&length| length as usize).collect();
    if axes.iter().product::<usize>() != values.len() || values.is_empty() {
        return None;
    }
    match (pool, &axes[..]) {
        (Pool::Cls, &[_, tokens, width]) => {
            Some(values.chunks_exact(tokens * width).flat_map(|image| &image[..width]).copied().collect())
        }
        (Pool::Avg, &[_, a, b, c]) => Some(if channels_last([a, c], dim, layout) {
            let mean = |map: &[f32], k: usize| map[k..].iter().step_by(c).sum::<f32>() / (a * b) as f32;
            values.chunks_exact(a * b * c).flat_map(|map| (0..c).map(move |k| mean(map, k))).collect()
        } else {
            values.chunks_exact(b * c).map(|map| map.iter().sum::<f32>() / map.len() as f32).collect()
        }),
        _ => None,
    }
}

/// Whether a map whose second and last axes have these lengths has its channels last: where `dim` says, else where
/// `layout` has them.
pub fn channels_last([second, last]: [usize; 2], dim: usize, layout: Layout) -> bool {
    if (second == dim) == (last == dim) { layout == Layout::Nhwc } else { last == dim }
}

/// The pooling and the width that a tensor of `shape`, computed for one picture of `size` (height, width), needs;
/// `None` where it is not an embedding of anything.
///
/// (1, d) and maps of one place need no pooling, maps the mean, lists of tokens their class token, where they have one.
pub fn fitting(shape: &[i64], layout: Layout, size: (u32, u32), patch: Option<(u32, u32)>) -> Option<(Pool, usize)> {
    let (pool, dim) = match *shape {
        [d] | [1, d] | [1, 1, d] | [1, d, 1, 1] | [1, 1, 1, d] => (Pool::None, d),
        [1, tokens, d] if has_class_token(tokens, size, patch) => (Pool::Cls, d),
        [1, a, b, c] if a.min(b).min(c) > 0 => {
            // The sides of a map are in the proportions of the picture.
            let apart = |h: i64, w: i64| (h as f64 / w as f64).ln() - (f64::from(size.0) / f64::from(size.1)).ln();
            let (nchw, nhwc) = (apart(b, c).abs(), apart(a, b).abs());
            let last = if (nchw - nhwc).abs() < 1e-9 { layout == Layout::Nhwc } else { nhwc < nchw };
            (Pool::Avg, if last { c } else { a })
        }
        _ => return None,
    };
    usize::try_from(dim).ok().filter(|dim| *dim > 0).map(|dim| (pool, dim))
}

/// The width of a row that `pool` makes of a tensor of `shape`, computed for one picture of `size`.
pub fn width(shape: &[i64], pool: Pool, layout: Layout, size: (u32, u32)) -> Option<usize> {
    let dim = match (pool, shape) {
        (Pool::None, _) => shape.iter().product(),
        (Pool::Cls, [1, _, d]) => *d,
        (Pool::Avg, [1, _, _, _]) => return fitting(shape, layout, size, None).map(|(_, dim)| dim),
        _ => return None,
    };
    usize::try_from(dim).ok().filter(|dim| *dim > 0)
}

/// Whether `tokens` are one more than the patches that a picture of `size` (height, width) is cut into: the class token
/// comes first then.
///
/// Where the `patch` (height, width) is not known, every square one is tried that fits the numbers; what could be either
/// is no class token.
pub fn has_class_token(tokens: i64, (height, width): (u32, u32), patch: Option<(u32, u32)>) -> bool {
    let patches = |(h, w): (u32, u32)| i64::from(height / h.max(1)) * i64::from(width / w.max(1));
    if let Some(patch) = patch {
        return tokens == patches(patch) + 1;
    }
    let cut_into = |count: i64| (1..=height.max(width)).any(|side| patches((side, side)) == count);
    tokens > 1 && cut_into(tokens - 1) && !cut_into(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_taken_over_the_axes_that_are_not_the_channels() {
        // Two channels of 1 x 3, of which channel 0 has the mean 2, channel 1 the mean 20.
        let (nchw, nhwc) = ([1., 3., 2., 10., 30., 20.], [1., 10., 3., 30., 2., 20.]);
        for layout in [Layout::Nchw, Layout::Nhwc] {
            assert_eq!(pooled(&[1, 2, 1, 3], &nchw, Pool::Avg, 2, layout), Some(vec![2., 20.]));
            assert_eq!(pooled(&[1, 1, 3, 2], &nhwc, Pool::Avg, 2, layout), Some(vec![2., 20.]));
        }
    }

    #[test]
    fn the_layout_decides_where_channels_could_be_on_either_side() {
        let values = [1., 3., 10., 30.];
        assert_eq!(pooled(&[1, 2, 1, 2], &values, Pool::Avg, 2, Layout::Nchw), Some(vec![2., 20.]));
        assert_eq!(pooled(&[1, 2, 1, 2], &values, Pool::Avg, 2, Layout::Nhwc), Some(vec![5.5, 16.5]));
    }

    #[test]
    fn the_class_token_is_the_first_of_each_image() {
        // Two images of three tokens of two values.
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        assert_eq!(pooled(&[2, 3, 2], &values, Pool::Cls, 2, Layout::Nchw), Some(vec![0., 1., 6., 7.]));
    }

    #[test]
    fn axes_that_do_not_fit_the_pooling_are_refused() {
        let values = [1., 3., 10., 30.];
        for (shape, pool) in [
            (&[1, 4][..], Pool::Avg),
            (&[1, 4], Pool::Cls),
            (&[1, 2, 2], Pool::Avg),
            (&[1, 2, 1, 2], Pool::Cls),
            (&[1, 3, 2], Pool::Cls),
        ] {
            assert_eq!(pooled(shape, &values, pool, 4, Layout::Nchw), None, "{shape:?}");
        }
        assert_eq!(pooled(&[1, 4], &values, Pool::None, 4, Layout::Nchw), Some(values.to_vec()));
    }

    #[test]
    fn a_shape_determines_its_pooling_and_width() {
        let (square, wide) = ((224, 224), (224, 320));
        for (shape, layout, size, wanted) in [
            (&[1, 1280][..], Layout::Nchw, square, Some((Pool::None, 1280))),
            (&[1, 1280, 1, 1], Layout::Nchw, square, Some((Pool::None, 1280))),
            (&[1, 1, 1, 1280], Layout::Nhwc, square, Some((Pool::None, 1280))),
            (&[1, 1280, 7, 7], Layout::Nhwc, square, Some((Pool::Avg, 1280))),
            (&[1, 7, 7, 1280], Layout::Nchw, square, Some((Pool::Avg, 1280))),
            (&[1, 512, 7, 10], Layout::Nhwc, wide, Some((Pool::Avg, 512))),
            (&[1, 7, 10, 512], Layout::Nchw, wide, Some((Pool::Avg, 512))),
            (&[1, 8, 8, 8], Layout::Nchw, square, Some((Pool::Avg, 8))),
            (&[1, 257, 384], Layout::Nchw, square, Some((Pool::Cls, 384))),
            (&[1, 256, 384], Layout::Nchw, square, None),
            (&[1, 281, 384], Layout::Nchw, wide, Some((Pool::Cls, 384))),
            (&[1, 280, 384], Layout::Nchw, wide, None),
            (&[1, 8, 0, 7], Layout::Nchw, square, None),
            (&[2, 3], Layout::Nchw, square, None),
            (&[], Layout::Nchw, square, None),
        ] {
            assert_eq!(fitting(shape, layout, size, None), wanted, "{shape:?}");
            let same = wanted.and_then(|(pool, _)| width(shape, pool, layout, size));
            assert_eq!(same, wanted.map(|(_, dim)| dim), "{shape:?}");
        }
        assert_eq!(width(&[1, 8, 2, 2], Pool::None, Layout::Nchw, square), Some(32));
        assert_eq!(width(&[1, 256, 384], Pool::Cls, Layout::Nchw, square), Some(384));
        assert_eq!(width(&[1, 8], Pool::Avg, Layout::Nchw, square), None);
    }
}
