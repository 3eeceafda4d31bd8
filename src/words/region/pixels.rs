//! Which pixels of a picture lie in a region: those whose centres do.
//!
//! A centre on an edge belongs to what is on the right of it, on a horizontal one to what is below: regions with a common
//! edge have no pixel in common, and none between them. All in whole numbers, so that every machine gives the same.

use std::ops::Range;

use super::{Corner, PARTS, Region, Shape};

/// [`PARTS`] as a whole number.
const MILLION: i128 = PARTS as i128;

impl Region {
    /// Left, top, width and height of its box in a picture of `width` x `height`, in pixels.
    ///
    /// A box too narrow to have a centre is the pixel in its middle: at least one, of a picture that has any.
    #[must_use]
    pub fn pixels(&self, width: u32, height: u32) -> [u32; 4] {
        let (low, high) = self.extent();
        let (x, y) = (between(low[0], high[0], width), between(low[1], high[1], height));
        [x.start, y.start, x.end - x.start, y.end - y.start]
    }

    /// The columns of a polygon in the row `y` of a picture of `width` x `height`, from left to right, none touching
    /// another, by the even-odd rule; they lie within [`Region::pixels`]. `None` for a box.
    #[must_use]
    pub fn columns(&self, y: u32, width: u32, height: u32) -> Option<Vec<Range<u32>>> {
        let Shape::Polygon(corners) = &self.0 else { return None };
        let following = corners.iter().cycle().skip(1);
        let mut crossings: Vec<u32> =
            corners.iter().zip(following).filter_map(|(from, to)| crossing(*from, *to, y, (width, height))).collect();
        crossings.sort_unstable();
        let mut columns: Vec<Range<u32>> = Vec::new();
        for pair in crossings.chunks_exact(2) {
            match columns.last_mut() {
                Some(last) if last.end == pair[0] => last.end = pair[1],
                _ if pair[0] < pair[1] => columns.push(pair[0]..pair[1]),
                _ => {}
            }
        }
        Some(columns)
    }
}

/// The pixels between two edges in millionths of `length`.
fn between(low: u32, high: u32, length: u32) -> Range<u32> {
    let (low, high, length) = (u64::from(low), u64::from(high), u64::from(length));
    let million = PARTS as u64;
    // The least x with (x + 1/2) millions of parts at least that: the half is rounded down.
    let edge = |at: u64| (2 * at * length + million - 1) / (2 * million);
    let (start, end) = (edge(low), edge(high));
    if start < end {
        return start as u32..end as u32;
    }
    let middle = ((low + high) * length / (2 * million)).min(length.saturating_sub(1));
    middle as u32..(middle + 1) as u32
}

/// The first column of row `y` whose centre is on the right of the edge between two corners, or on it; `None` where the
/// edge does not cross the line through the row's centres.
///
/// Centre (x + 1/2) / w is compared with a corner of m millionths as (2 x + 1) millions with 2 w m.
fn crossing(from: Corner, to: Corner, y: u32, (width, height): (u32, u32)) -> Option<u32> {
    let scaled = |at: Corner| [2 * i128::from(width) * i128::from(at[0]), 2 * i128::from(height) * i128::from(at[1])];
    let (mut above, mut below) = (scaled(from), scaled(to));
    if above[1] > below[1] {
        std::mem::swap(&mut above, &mut below);
    }
    let row = (2 * i128::from(y) + 1) * MILLION;
    if !(above[1] <= row && row < below[1]) {
        return None;
    }
    // Where it crosses is numerator / down: the first x with (2 x + 1) millions at least that.
    let down = below[1] - above[1];
    let numerator = above[0] * down + (row - above[1]) * (below[0] - above[0]);
    let (by, rest) = (2 * MILLION * down, numerator - MILLION * down);
    let first = rest.div_euclid(by) + i128::from(rest.rem_euclid(by) > 0);
    Some(first.clamp(0, i128::from(width)) as u32)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_box_has_the_pixels_whose_centres_lie_within_and_at_least_one() {
        let pixels = |edges, width, height| Region::rectangle(edges).unwrap().pixels(width, height);
        assert_eq!(pixels([0.0, 0.25, 0.3, 0.85], 640, 480), [0, 120, 192, 288]);
        // The edge goes through the centre of the third column.
        assert_eq!(pixels([0.0, 0.0, 0.25, 1.0], 10, 1), [0, 0, 2, 1]);
        assert_eq!(pixels([0.25, 0.0, 1.0, 1.0], 10, 1), [2, 0, 8, 1]);
        // No centre lies between the edges.
        assert_eq!(pixels([0.49, 0.0, 0.51, 1.0], 4, 1), [2, 0, 1, 1]);
        assert_eq!(pixels([0.99, 0.99, 1.0, 1.0], 3, 1), [2, 0, 1, 1]);
        assert_eq!(Region::WHOLE.pixels(1, 9999), [0, 0, 1, 9999]);
    }

    #[test]
    fn centres_on_an_edge_belong_to_one_side_only() {
        let rows = |corners: &[[f64; 2]], width, height| -> Vec<Vec<[u32; 2]>> {
            let region = Region::polygon(corners).unwrap();
            let columns = |y| region.columns(y, width, height).unwrap().into_iter();
            (0..height).map(|y| columns(y).map(|columns| [columns.start, columns.end]).collect()).collect()
        };
        // The diagonal goes through the centres of a square picture.
        assert_eq!(rows(&[[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]], 3, 3), [vec![], vec![[0, 1]], vec![[0, 2]]]);
        assert_eq!(rows(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], 3, 3), [[[0, 3]], [[1, 3]], [[2, 3]]]);
        // A star of five points: its middle is outside by the even-odd rule.
        let star = [[0.5, 0.0], [0.8, 1.0], [0.0, 0.4], [1.0, 0.4], [0.2, 1.0]];
        assert_eq!(rows(&star, 20, 10)[5], [[4, 7], [13, 16]]);
        assert_eq!(Region::WHOLE.columns(0, 3, 3), None);
    }

    #[test]
    fn columns_are_those_whose_centres_a_ray_says_are_within() {
        let seed = 5;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for case in 0..300 {
            let corners: Vec<[f64; 2]> =
                (0..random.random_range(3..9)).map(|_| [(); 2].map(|()| random.random::<f64>())).collect();
            let (Ok(region), width, height) =
                (Region::polygon(&corners), random.random_range(1..40), random.random_range(1..40))
            else {
                continue;
            };
            let corners = region.corners().unwrap();
            let [left, top, of_width, of_height] = region.pixels(width, height);
            for y in 0..height {
                let columns = region.columns(y, width, height).unwrap();
                let in_box = |columns: &Range<u32>| columns.start >= left && columns.end <= left + of_width;
                let in_rows = columns.is_empty() || (top..top + of_height).contains(&y);
                assert!(in_rows && columns.iter().all(in_box), "seed {seed}, case {case}: {columns:?} in row {y}");
                assert!(columns.iter().all(|columns| columns.start < columns.end));
                assert!(columns.windows(2).all(|pair| pair[0].end < pair[1].start), "seed {seed}, case {case}");
                for x in 0..width {
                    let at = [(f64::from(x) + 0.5) / f64::from(width), (f64::from(y) + 0.5) / f64::from(height)];
                    let found = columns.iter().any(|columns| columns.contains(&x));
                    let wanted = within(&corners, at);
                    assert!(wanted.is_none_or(|wanted| wanted == found), "seed {seed}, case {case}, {x}, {y}");
                }
            }
        }
    }

    /// Whether a ray to the left crosses the polygon an odd number of times; `None` too near to an edge to say.
    fn within(corners: &[[f64; 2]], [x, y]: [f64; 2]) -> Option<bool> {
        let mut inside = false;
        for (place, from) in corners.iter().enumerate() {
            let to = corners[(place + 1) % corners.len()];
            if (from[1] - y).abs() < 1e-9 || (to[1] - y).abs() < 1e-9 {
                return None;
            }
            if (from[1] < y) != (to[1] < y) {
                let crossing = from[0] + (y - from[1]) * (to[0] - from[0]) / (to[1] - from[1]);
                if (crossing - x).abs() < 1e-9 {
                    return None;
                }
                inside ^= crossing < x;
            }
        }
        Some(inside)
    }
}
