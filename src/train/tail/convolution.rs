//! Windows that slide over a map, and what depthwise convolutions do with them, forwards and backwards.
//!
//! Maps are (channels, height * width, batch): the pictures of a batch lie side by side, so a place of a map is a row of
//! vectors whatever the side of the map, and a border never cuts one.

#![allow(clippy::inline_always, reason = "a call out of the dispatched function would lose its instruction set")]

use pulp::{Arch, Simd, WithSimd};

/// How a kernel goes over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Down and to the right.
    pub stride: [usize; 2],
    /// Rows and columns of zeros before the map: above, on the left.
    pub before: [usize; 2],
    /// The same behind it: below, on the right.
    pub after: [usize; 2],
}

impl Window {
    /// A kernel of one value, as it is.
    pub const POINT: Self = Self { kernel: [1; 2], stride: [1; 2], before: [0; 2], after: [0; 2] };

    /// Height and width of what it makes of a map of this height and width; `None` where it does not fit in.
    #[must_use]
    pub fn of(&self, map: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let padded = map[axis].checked_add(self.before[axis])?.checked_add(self.after[axis])?;
            let room = padded.checked_sub(self.kernel[axis])?;
            Some(room.checked_div(self.stride[axis])? + 1)
        };
        Some([along(0)?, along(1)?])
    }

    /// Whether the kernel takes more than one place.
    #[must_use]
    pub fn is_spatial(&self) -> bool {
        self.kernel != [1; 2]
    }
}

/// Which value of a kernel joins which place of the input to which of the output.
#[derive(Debug, Clone)]
pub(crate) struct Taps {
    /// By place of the output: value of the kernel, place of the input.
    to_outputs: Vec<Vec<(usize, usize)>>,
    /// By place of the input: value of the kernel, place of the output.
    to_inputs: Vec<Vec<(usize, usize)>>,
    /// By value of the kernel: place of the output, place of the input.
    pairs: Vec<Vec<(usize, usize)>>,
}

impl Taps {
    /// Of `window` over a map of this height and width, where it makes one of `made`.
    pub fn new(window: &Window, map: [usize; 2], made: [usize; 2]) -> Self {
        let mut taps = Self {
            to_outputs: vec![Vec::new(); made[0] * made[1]],
            to_inputs: vec![Vec::new(); map[0] * map[1]],
            pairs: vec![Vec::new(); window.kernel[0] * window.kernel[1]],
        };
        let inside = |axis: usize, out: usize, k: usize| {
            (out * window.stride[axis] + k).checked_sub(window.before[axis]).filter(|place| *place < map[axis])
        };
        for output in 0..made[0] * made[1] {
            let (y, x) = (output / made[1], output % made[1]);
            for tap in 0..window.kernel[0] * window.kernel[1] {
                let (down, right) = (tap / window.kernel[1], tap % window.kernel[1]);
                let (Some(y), Some(x)) = (inside(0, y, down), inside(1, x, right)) else { continue };
                let input = y * map[1] + x;
                taps.to_outputs[output].push((tap, input));
                taps.to_inputs[input].push((tap, output));
                taps.pairs[tap].push((output, input));
            }
        }
        taps
    }

    /// Values of the kernel.
    pub fn count(&self) -> usize {
        self.pairs.len()
    }

    /// Places of the output.
    pub fn outputs(&self) -> usize {
        self.to_outputs.len()
    }

    /// Writes what `tap` meets at each place of the output into `to` (channels, outputs, batch): a value of `from`
    /// (channels, inputs, batch), or 0 beyond the border.
    pub fn shift(&self, tap: usize, from: &[f32], to: &mut [f32], batch: usize) {
        if self.pairs[tap].len() < self.outputs() {
            to.fill(0.0);
        }
        let (inputs, outputs) = (self.to_inputs.len() * batch, self.outputs() * batch);
        for (from, to) in from.chunks_exact(inputs).zip(to.chunks_exact_mut(outputs)) {
            for &(output, input) in &self.pairs[tap] {
                to[output * batch..][..batch].copy_from_slice(&from[input * batch..][..batch]);
            }
        }
    }

    /// Adds `from` (channels, outputs, batch) to the places of `to` (channels, inputs, batch) that `tap` meets.
    pub fn unshift(&self, tap: usize, from: &[f32], to: &mut [f32], batch: usize) {
        let (inputs, outputs) = (self.to_inputs.len() * batch, self.outputs() * batch);
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (from, to) in from.chunks_exact(outputs).zip(to.chunks_exact_mut(inputs)) {
                    for &(output, input) in &self.pairs[tap] {
                        let to = &mut to[input * batch..][..batch];
                        to.iter_mut().zip(&from[output * batch..][..batch]).for_each(|(to, from)| *to += from);
                    }
                }
            },
        );
    }

    /// A depthwise convolution: `to` (channels, outputs, batch) of `from` (channels, inputs, batch) and `kernels`
    /// (channels, taps).
    pub fn convolve(&self, kernels: &[f32], from: &[f32], to: &mut [f32], batch: usize) {
        Arch::new().dispatch(Gather { taps: &self.to_outputs, kernels, from, to, batch, add: false });
    }

    /// Its gradient by the input: `to` (channels, inputs, batch) of that by the output, `from`.
    pub fn convolve_back(&self, kernels: &[f32], from: &[f32], to: &mut [f32], batch: usize, add: bool) {
        Arch::new().dispatch(Gather { taps: &self.to_inputs, kernels, from, to, batch, add });
    }

    /// Its gradient by the kernels, added to `sum` (channels, taps): of the input `x` and the gradient by the output, `g`.
    pub fn correlate(&self, g: &[f32], x: &[f32], sum: &mut [f32], batch: usize) {
        let sides = [self.outputs() * batch, self.to_inputs.len() * batch];
        Arch::new().dispatch(Correlate { taps: &self.pairs, g, x, sum, batch, sides });
    }
}

struct Gather<'a> {
    /// By place of `to`: value of the kernel, place of `from`.
    taps: &'a [Vec<(usize, usize)>],
    kernels: &'a [f32],
    from: &'a [f32],
    to: &'a mut [f32],
    batch: usize,
    add: bool,
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { taps, kernels, from, to, batch, add } = self;
        let places = taps.len();
        let channels = to.len() / (places * batch);
        let (from_map, values) = (from.len() / channels, kernels.len() / channels);
        for (channel, to) in to.chunks_exact_mut(places * batch).enumerate() {
            let from = &from[channel * from_map..(channel + 1) * from_map];
            let kernel = &kernels[channel * values..(channel + 1) * values];
            for (taps, to) in taps.iter().zip(to.chunks_exact_mut(batch)) {
                let whole = batch / S::F32_LANES;
                let mut at = 0;
                while at < whole {
                    let left = whole - at;
                    let row = Row { taps, kernel, from, batch, at, add };
                    at += match left {
                        4.. => row.gather::<S, 4>(simd, to),
                        2 | 3 => row.gather::<S, 2>(simd, to),
                        _ => row.gather::<S, 1>(simd, to),
                    };
                }
                for picture in whole * S::F32_LANES..batch {
                    let mut sum = if add { to[picture] } else { 0.0 };
                    for &(tap, place) in taps {
                        sum += kernel[tap] * from[place * batch + picture];
                    }
                    to[picture] = sum;
                }
            }
        }
    }
}

/// The pictures of one place, from vector `at` on.
struct Row<'a> {
    taps: &'a [(usize, usize)],
    kernel: &'a [f32],
    from: &'a [f32],
    batch: usize,
    at: usize,
    add: bool,
}

impl Row<'_> {
    /// V vectors at once; V.
    #[inline(always)]
    fn gather<S: Simd, const V: usize>(&self, simd: S, to: &mut [f32]) -> usize {
        let from = self.at * S::F32_LANES;
        let width = V * S::F32_LANES;
        let to = S::as_mut_simd_f32s(&mut to[from..from + width]).0;
        let mut sums = [simd.splat_f32s(0.0); V];
        if self.add {
            sums.copy_from_slice(to);
        }
        for &(tap, place) in self.taps {
            let weight = simd.splat_f32s(self.kernel[tap]);
            let start = place * self.batch + from;
            let values = S::as_simd_f32s(&self.from[start..start + width]).0;
            for v in 0..V {
                sums[v] = simd.mul_add_e_f32s(weight, values[v], sums[v]);
            }
        }
        to.copy_from_slice(&sums);
        V
    }
}

struct Correlate<'a> {
    taps: &'a [Vec<(usize, usize)>],
    g: &'a [f32],
    x: &'a [f32],
    sum: &'a mut [f32],
    batch: usize,
    /// Values of a channel of `g`, and of `x`.
    sides: [usize; 2],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { taps, g, x, sum, batch, sides: [made, map] } = self;
        let channels = g.chunks_exact(made).zip(x.chunks_exact(map));
        for (sum, (g, x)) in sum.chunks_exact_mut(taps.len()).zip(channels) {
            for (sum, pairs) in sum.iter_mut().zip(taps) {
                // Four sums at a time: each waits for its last product.
                let mut vectors = [simd.splat_f32s(0.0); 4];
                let mut rest = 0.0;
                let mut turn = 0;
                for &(output, input) in pairs {
                    let (g, g_rest) = S::as_simd_f32s(&g[output * batch..][..batch]);
                    let (x, x_rest) = S::as_simd_f32s(&x[input * batch..][..batch]);
                    for (g, x) in g.iter().zip(x) {
                        vectors[turn % 4] = simd.mul_add_e_f32s(*g, *x, vectors[turn % 4]);
                        turn += 1;
                    }
                    rest += g_rest.iter().zip(x_rest).map(|(g, x)| g * x).sum::<f32>();
                }
                let [a, b, c, d] = vectors;
                let total = simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d));
                *sum += simd.reduce_sum_f32s(total) + rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const WINDOWS: [Window; 4] = [
        Window { kernel: [3, 3], stride: [1, 1], before: [1, 1], after: [1, 1] },
        Window { kernel: [3, 3], stride: [2, 2], before: [0, 0], after: [1, 1] },
        Window { kernel: [5, 1], stride: [1, 3], before: [2, 0], after: [0, 0] },
        Window { kernel: [2, 3], stride: [2, 1], before: [0, 3], after: [1, 2] },
    ];

    #[test]
    fn a_window_makes_maps_of_the_sizes_that_onnx_gives_and_refuses_maps_that_it_does_not_fit_in() {
        assert_eq!(WINDOWS.map(|window| window.of([7, 8])), [Some([7, 8]), Some([3, 4]), Some([5, 3]), Some([4, 11])]);
        assert_eq!(WINDOWS[2].of([2, 4]), None);
        assert_eq!(Window { stride: [0, 1], ..Window::POINT }.of([4, 4]), None);
        assert_eq!(Window { before: [usize::MAX; 2], ..Window::POINT }.of([4, 4]), None);
    }

    /// The three of a depthwise convolution in plain loops, by the definition, with one picture after another.
    #[test]
    fn depthwise_convolutions_are_those_of_plain_loops_for_every_batch() {
        let ([h, w], channels) = ([7, 6], 3);
        for (window, batch) in WINDOWS.iter().flat_map(|window| [1, 5, 16, 48, 70].map(|batch| (window, batch))) {
            let [oh, ow] = window.of([h, w]).unwrap();
            let (inputs, outputs) = (h * w, oh * ow);
            let [kh, kw] = window.kernel;
            let mut rng = ChaCha8Rng::seed_from_u64(batch as u64);
            let mut random = |n: usize| (0..n).map(|_| rng.random::<f32>() - 0.5).collect::<Vec<_>>();
            let (kernels, x) = (random(channels * kh * kw), random(channels * inputs * batch));
            let g = random(channels * outputs * batch);
            let (mut y, mut dx) = (vec![0.0; g.len()], vec![0.0; x.len()]);
            let mut dk = vec![0.0; kernels.len()];
            for c in 0..channels {
                for (o, (down, right)) in (0..outputs).flat_map(|o| (0..kh * kw).map(move |k| (o, (k / kw, k % kw)))) {
                    let row = (o / ow * window.stride[0] + down) as i64 - window.before[0] as i64;
                    let column = (o % ow * window.stride[1] + right) as i64 - window.before[1] as i64;
                    if !(0..h as i64).contains(&row) || !(0..w as i64).contains(&column) {
                        continue;
                    }
                    for b in 0..batch {
                        let from = (c * inputs + row as usize * w + column as usize) * batch + b;
                        let to = (c * outputs + o) * batch + b;
                        let k = (c * kh + down) * kw + right;
                        y[to] += kernels[k] * x[from];
                        dx[from] += kernels[k] * g[to];
                        dk[k] += x[from] * g[to];
                    }
                }
            }
            let taps = Taps::new(window, [h, w], [oh, ow]);
            let near = |found: &[f32], expected: &[f32], what| {
                let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart < 1e-4, "{what} of {window:?}, batch {batch}: {apart}");
            };
            let mut found = vec![f32::NAN; y.len()];
            taps.convolve(&kernels, &x, &mut found, batch);
            near(&found, &y, "forward");
            let mut found = vec![1.0; x.len()];
            taps.convolve_back(&kernels, &g, &mut found, batch, true);
            near(&found, &dx.iter().map(|v| v + 1.0).collect::<Vec<_>>(), "by the input, added");
            taps.convolve_back(&kernels, &g, &mut found, batch, false);
            near(&found, &dx, "by the input");
            let mut found = vec![0.0; dk.len()];
            taps.correlate(&g, &x, &mut found, batch);
            near(&found, &dk, "by the kernels");
        }
    }
}
