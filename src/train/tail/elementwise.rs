//! Passes over the values of maps: bias, residual and activation, their gradients, the mean over a map.
//!
//! Plain loops, compiled for the processor's widest vectors; sums go by [`LANES`] in a fixed order.

#![allow(clippy::inline_always, reason = "a call out of the dispatched function would lose its instruction set")]

use pulp::Arch;

/// Partial sums of a sum over a row.
const LANES: usize = 16;

/// The range that an activation leaves values in: [0, inf] of Relu, [0, 6] of `ReLU6`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clamp {
    /// Smallest value.
    pub low: f32,
    /// Largest value.
    pub high: f32,
}

/// Adds `bias` (channels,) and `residual` to `map` (channels, places) and clamps it.
pub(crate) fn finish(
    map: &mut [f32],
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    clamp: Option<Clamp>,
    places: usize,
) {
    let Clamp { low, high } = clamp.unwrap_or(Clamp { low: f32::NEG_INFINITY, high: f32::INFINITY });
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (channel, row) in map.chunks_exact_mut(places).enumerate() {
                let bias = bias.map_or(0.0, |bias| bias[channel]);
                match residual {
                    Some(residual) => {
                        let residual = &residual[channel * places..(channel + 1) * places];
                        row.iter_mut().zip(residual).for_each(|(v, r)| *v = within(*v + bias + r, low, high));
                    }
                    None => row.iter_mut().for_each(|v| *v = within(*v + bias, low, high)),
                }
            }
        },
    );
}

/// What is no number stays so, so that a divergence is seen.
#[inline(always)]
fn within(value: f32, low: f32, high: f32) -> f32 {
    let value = if value < low { low } else { value };
    if value > high { high } else { value }
}

/// Sets the gradient `g` to 0 where the value `y` behind the activation is at a bound of its range.
pub(crate) fn mask(g: &mut [f32], y: &[f32], Clamp { low, high }: Clamp) {
    Arch::new().dispatch(
        #[inline(always)]
        || g.iter_mut().zip(y).for_each(|(g, y)| *g = if *y > low && *y < high { *g } else { 0.0 }),
    );
}

/// Adds the sum of each row of `map` (channels, places) to `sums` (channels,).
pub(crate) fn add_row_sums(map: &[f32], sums: &mut [f32], places: usize) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (row, sum) in map.chunks_exact(places).zip(sums) {
                *sum += total(row, |v| *v);
            }
        },
    );
}

#[inline(always)]
fn total<T>(row: &[T], value: impl Fn(&T) -> f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += value(&chunk[lane]);
        }
    }
    rest.iter().zip(&mut sums).for_each(|(v, sum)| *sum += value(v));
    sums.iter().sum()
}

/// Writes `from`, or adds it, to `to`.
pub(crate) fn put(from: &[f32], to: &mut [f32], add: bool) {
    if add {
        Arch::new().dispatch(
            #[inline(always)]
            || to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
        );
    } else {
        to.copy_from_slice(from);
    }
}

/// `y = x scale + shift`, row by row: `scale` and `shift` (channels,).
pub(crate) fn affine(x: &[f32], y: &mut [f32], scale: impl Fn(usize) -> [f32; 2], places: usize) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (channel, (x, y)) in x.chunks_exact(places).zip(y.chunks_exact_mut(places)).enumerate() {
                let [scale, shift] = scale(channel);
                y.iter_mut().zip(x).for_each(|(y, x)| *y = x * scale + shift);
            }
        },
    );
}

/// Writes `g scale(channel)`, or adds it, to `to`.
pub(crate) fn put_scaled(g: &[f32], to: &mut [f32], scale: impl Fn(usize) -> f32, places: usize, add: bool) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (channel, (g, to)) in g.chunks_exact(places).zip(to.chunks_exact_mut(places)).enumerate() {
                let scale = scale(channel);
                if add {
                    to.iter_mut().zip(g).for_each(|(to, g)| *to += scale * g);
                } else {
                    to.iter_mut().zip(g).for_each(|(to, g)| *to = scale * g);
                }
            }
        },
    );
}

/// `sum_i g_i (x_i - mean)` of a row.
pub(crate) fn centred_product(g: &[f32], x: &[f32], mean: f32) -> f32 {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut sums = [0.0; LANES];
            for (g, x) in g.chunks(LANES).zip(x.chunks(LANES)) {
                for (sum, (g, x)) in sums.iter_mut().zip(g.iter().zip(x)) {
                    *sum += g * (x - mean);
                }
            }
            sums.iter().sum()
        },
    )
}

/// `y = x clamp(x + 3, 0, 6) / 6` (Howard et al. 2019, arXiv 1905.02244).
pub(crate) fn hard_swish(x: &[f32], y: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || y.iter_mut().zip(x).for_each(|(y, x)| *y = x * within(x + 3.0, 0.0, 6.0) / 6.0),
    );
}

/// Writes `g` times the slope of [`hard_swish`] at `x`, or adds it, to `to`: 0 up to -3, 1 from 3 on, `(2 x + 3) / 6`
/// between.
pub(crate) fn hard_swish_back(g: &[f32], x: &[f32], to: &mut [f32], add: bool) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for ((to, g), x) in to.iter_mut().zip(g).zip(x) {
                let slope = if *x <= -3.0 {
                    0.0
                } else if *x >= 3.0 {
                    1.0
                } else {
                    (2.0 * x + 3.0) / 6.0
                };
                *to = if add { *to } else { 0.0 } + g * slope;
            }
        },
    );
}

/// The mean over the places of a map: `y` (channels, batch) of `x` (channels, places, batch).
pub(crate) fn mean(x: &[f32], y: &mut [f32], places: usize, batch: usize) {
    let share = 1.0 / places as f32;
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(places * batch).zip(y.chunks_exact_mut(batch)) {
                y.fill(0.0);
                for x in x.chunks_exact(batch) {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                }
                for y in y {
                    *y *= share;
                }
            }
        },
    );
}

/// Its gradient: writes `g` (channels, batch) over the number of places, or adds it, to each place of `to`.
pub(crate) fn mean_back(g: &[f32], to: &mut [f32], places: usize, batch: usize, add: bool) {
    let share = 1.0 / places as f32;
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (g, to) in g.chunks_exact(batch).zip(to.chunks_exact_mut(places * batch)) {
                for to in to.chunks_exact_mut(batch) {
                    to.iter_mut().zip(g).for_each(|(to, g)| *to = if add { *to } else { 0.0 } + share * g);
                }
            }
        },
    );
}
