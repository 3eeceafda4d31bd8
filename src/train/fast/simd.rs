//! The two matrix products of the softmax loss and its gradient, in f32 on the processor's widest vectors.
//!
//! Both read rows of features in place: nothing is packed or transposed. Widths are padded with zeros to [`LANES`],
//! rows to [`TILE`], so that there are no ragged ends. The instruction set is chosen at run time by `pulp`; on one
//! machine the order of every sum is fixed.

#![allow(clippy::inline_always, reason = "a call out of the dispatched function would lose its instruction set")]

use pulp::{Arch, Simd, WithSimd};

/// Widths are multiples of this: the widest vector of f32 there is.
pub(crate) const LANES: usize = 16;
/// Numbers of rows are multiples of this.
pub(crate) const TILE: usize = 4;

/// Writes `x w^T` (rows, m) into `out`; `x` is (rows, width), `w` (m, width).
pub(crate) fn products(x: &[f32], w: &[f32], width: usize, out: &mut [f32]) {
    let (rows, m) = (x.len() / width, w.len() / width);
    assert!(width.is_multiple_of(LANES) && rows.is_multiple_of(TILE) && out.len() == rows * m, "padded shapes");
    Arch::new().dispatch(Products { x, w, width, out });
}

/// Adds `r^T x` (m, width) to `sum`; `r` is (rows, m), `x` (rows, width).
pub(crate) fn accumulate(r: &[f32], x: &[f32], width: usize, sum: &mut [f32]) {
    let (rows, m) = (x.len() / width, sum.len() / width);
    assert!(width.is_multiple_of(LANES) && r.len() == rows * m, "padded shapes");
    Arch::new().dispatch(Accumulate { r, x, width, sum });
}

/// Writes `((z - high) - low) inverse` into `out`, value by value.
pub(crate) fn standardise(z: &[f32], high: &[f32], low: &[f32], inverse: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(Standardise { z, high, low, inverse, out });
}

struct Products<'a> {
    x: &'a [f32],
    w: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let m = self.w.len() / self.width;
        let strips = m.div_ceil(strip::<S>());
        for (x, out) in self.x.chunks_exact(TILE * self.width).zip(self.out.chunks_exact_mut(TILE * m)) {
            for number in 0..strips {
                let (from, to) = (m * number / strips, m * (number + 1) / strips);
                let w = &self.w[from * self.width..to * self.width];
                match to - from {
                    1 => dots::<S, 1>(simd, x, w, self.width, &mut out[from..], m),
                    2 => dots::<S, 2>(simd, x, w, self.width, &mut out[from..], m),
                    3 => dots::<S, 3>(simd, x, w, self.width, &mut out[from..], m),
                    4 => dots::<S, 4>(simd, x, w, self.width, &mut out[from..], m),
                    _ => dots::<S, 5>(simd, x, w, self.width, &mut out[from..], m),
                }
            }
        }
    }
}

/// Classes handled at once: with [`TILE`] as many sums as registers hold (32 of 512 bits, 16 of 256).
#[inline(always)]
fn strip<S: Simd>() -> usize {
    if S::F32_LANES == 16 { 5 } else { 3 }
}

/// [`TILE`] rows of `x` against B rows of `w`.
#[inline(always)]
fn dots<S: Simd, const B: usize>(simd: S, x: &[f32], w: &[f32], width: usize, out: &mut [f32], m: usize) {
    let vectors = width / S::F32_LANES;
    let mut xs: [&[S::f32s]; TILE] = [&[]; TILE];
    for a in 0..TILE {
        xs[a] = &S::as_simd_f32s(&x[a * width..(a + 1) * width]).0[..vectors];
    }
    let mut ws: [&[S::f32s]; B] = [&[]; B];
    for b in 0..B {
        ws[b] = &S::as_simd_f32s(&w[b * width..(b + 1) * width]).0[..vectors];
    }
    let mut sums = [[simd.splat_f32s(0.0); B]; TILE];
    for i in 0..vectors {
        let mut w = [simd.splat_f32s(0.0); B];
        for b in 0..B {
            w[b] = ws[b][i];
        }
        for a in 0..TILE {
            let x = xs[a][i];
            for b in 0..B {
                sums[a][b] = simd.mul_add_e_f32s(x, w[b], sums[a][b]);
            }
        }
    }
    for a in 0..TILE {
        for b in 0..B {
            out[a * m + b] = simd.reduce_sum_f32s(sums[a][b]);
        }
    }
}

struct Accumulate<'a> {
    r: &'a [f32],
    x: &'a [f32],
    width: usize,
    sum: &'a mut [f32],
}

impl WithSimd for Accumulate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let m = self.sum.len() / self.width;
        let strips = m.div_ceil(strip::<S>());
        let stride = self.width / S::F32_LANES;
        let x = S::as_simd_f32s(self.x).0;
        let sum = S::as_mut_simd_f32s(self.sum).0;
        let mut column = 0;
        while column < stride {
            let wide = column + TILE <= stride;
            for number in 0..strips {
                let (from, to) = (m * number / strips, m * (number + 1) / strips);
                let at = Place { m, from, stride, column };
                match (to - from, wide) {
                    (1, true) => outer::<S, 1, TILE>(simd, self.r, x, sum, at),
                    (2, true) => outer::<S, 2, TILE>(simd, self.r, x, sum, at),
                    (3, true) => outer::<S, 3, TILE>(simd, self.r, x, sum, at),
                    (4, true) => outer::<S, 4, TILE>(simd, self.r, x, sum, at),
                    (_, true) => outer::<S, 5, TILE>(simd, self.r, x, sum, at),
                    (1, false) => outer::<S, 1, 1>(simd, self.r, x, sum, at),
                    (2, false) => outer::<S, 2, 1>(simd, self.r, x, sum, at),
                    (3, false) => outer::<S, 3, 1>(simd, self.r, x, sum, at),
                    (4, false) => outer::<S, 4, 1>(simd, self.r, x, sum, at),
                    (_, false) => outer::<S, 5, 1>(simd, self.r, x, sum, at),
                }
            }
            column += if wide { TILE } else { 1 };
        }
    }
}

/// Which part of the sums: classes from `from` of m, vectors from `column` of `stride`.
#[derive(Clone, Copy)]
struct Place {
    m: usize,
    from: usize,
    stride: usize,
    column: usize,
}

/// B classes against V vectors of every row.
#[inline(always)]
fn outer<S: Simd, const B: usize, const V: usize>(simd: S, r: &[f32], x: &[S::f32s], sum: &mut [S::f32s], at: Place) {
    let mut sums = [[simd.splat_f32s(0.0); V]; B];
    for (b, sums) in sums.iter_mut().enumerate() {
        let from = (at.from + b) * at.stride + at.column;
        sums.copy_from_slice(&sum[from..from + V]);
    }
    for (r, x) in r.chunks_exact(at.m).zip(x.chunks_exact(at.stride)) {
        let (r, x) = (&r[at.from..at.from + B], &x[at.column..at.column + V]);
        for b in 0..B {
            let r = simd.splat_f32s(r[b]);
            for v in 0..V {
                sums[b][v] = simd.mul_add_e_f32s(r, x[v], sums[b][v]);
            }
        }
    }
    for (b, sums) in sums.iter().enumerate() {
        let from = (at.from + b) * at.stride + at.column;
        sum[from..from + V].copy_from_slice(sums);
    }
}

struct Standardise<'a> {
    z: &'a [f32],
    high: &'a [f32],
    low: &'a [f32],
    inverse: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Standardise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let n = self.out.len();
        let (z, high, low, inverse) = (&self.z[..n], &self.high[..n], &self.low[..n], &self.inverse[..n]);
        for i in 0..n {
            self.out[i] = ((z[i] - high[i]) - low[i]) * inverse[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ArrayView2};
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn both_products_are_those_of_plain_sums_for_every_number_of_classes() {
        for m in 1..=12 {
            let (rows, width) = (8, 80);
            let mut rng = ChaCha8Rng::seed_from_u64(m as u64);
            let mut random = |n: usize| (0..n).map(|_| rng.random::<f32>() - 0.5).collect::<Vec<_>>();
            let (x, w, r, start) = (random(rows * width), random(m * width), random(rows * m), random(m * width));
            let (mut out, mut sum) = (vec![0.0; rows * m], start.clone());
            products(&x, &w, width, &mut out);
            accumulate(&r, &x, width, &mut sum);
            let matrix = |v: &[f32], a, b| -> Array2<f64> {
                ArrayView2::from_shape((a, b), v).expect("the shape fits").mapv(f64::from)
            };
            let expected = matrix(&x, rows, width).dot(&matrix(&w, m, width).t());
            let worst = (&matrix(&out, rows, m) - &expected).mapv(f64::abs).fold(0.0, |a: f64, b| a.max(*b));
            assert!(worst < 1e-5, "{m} classes: {worst}");
            let expected = matrix(&r, rows, m).t().dot(&matrix(&x, rows, width)) + matrix(&start, m, width);
            let worst = (&matrix(&sum, m, width) - &expected).mapv(f64::abs).fold(0.0, |a: f64, b| a.max(*b));
            assert!(worst < 1e-5, "{m} classes: {worst}");
        }
    }
}
