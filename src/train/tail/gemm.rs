//! Matrix products in f32 on the processor's widest vectors: packed panels, one register tile at a time.
//!
//! The scheme is that of Goto and van de Geijn (doi 10.1145/1356052.1356053): a panel of `b` stays in the first cache,
//! a block of `a` in the second, and a tile of the product in registers. The instruction set is chosen at run time by
//! `pulp`; on one machine the order of every sum is fixed.

#![allow(clippy::inline_always, reason = "a call out of the dispatched function would lose its instruction set")]

use pulp::{Arch, Simd, WithSimd};

/// Most products summed before a tile goes back to memory.
const DEPTH: usize = 192;
/// Rows of `a` packed at once; a multiple of every tile's.
const ROWS: usize = 240;
/// Columns of `b` packed at once; a multiple of every tile's.
const COLUMNS: usize = 512;
/// Values of the largest tile.
const TILE: usize = 12 * 32;

/// A matrix in a slice: element (i, j) is at `i * row + j * column`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub column: usize,
}

impl<'a> Matrix<'a> {
    /// Row by row, `width` values each.
    pub fn rows(values: &'a [f32], width: usize) -> Self {
        Self { values, row: width, column: 1 }
    }

    /// The transpose of what is stored row by row, `width` values each.
    pub fn transposed(values: &'a [f32], width: usize) -> Self {
        Self { values, row: 1, column: width }
    }

    fn at(&self, i: usize, j: usize) -> usize {
        i * self.row + j * self.column
    }
}

/// Where a product goes: element (i, j) to `values[i * row + j * column]`.
pub(crate) struct Target<'a> {
    pub values: &'a mut [f32],
    pub row: usize,
    pub column: usize,
    /// Whether the product is added to what is there.
    pub add: bool,
}

impl<'a> Target<'a> {
    /// Row by row, `width` values each, in place of what is there.
    pub fn rows(values: &'a mut [f32], width: usize) -> Self {
        Self { values, row: width, column: 1, add: false }
    }

    /// The same, added to what is there where `add`.
    pub fn adding(self, add: bool) -> Self {
        Self { add, ..self }
    }
}

/// The memory that products are computed in; it grows to the largest one and is used again.
#[derive(Default)]
pub(crate) struct Gemm {
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Gemm {
    /// Writes `a b` (m, n) to `target`; `a` is (m, k), `b` (k, n), none of the three 0.
    pub fn multiply(&mut self, [m, k, n]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target<'_>) {
        self.a.resize(DEPTH * ROWS, 0.0);
        self.b.resize(DEPTH * COLUMNS, 0.0);
        let (a_panels, b_panels) = (&mut self.a[..], &mut self.b[..]);
        Arch::new().dispatch(Product { size: [m, k, n], a, b, target, a_panels, b_panels });
    }
}

struct Product<'a> {
    size: [usize; 3],
    a: Matrix<'a>,
    b: Matrix<'a>,
    target: Target<'a>,
    a_panels: &'a mut [f32],
    b_panels: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as registers hold: 32 of 512 bits or of NEON's 128, 16 of 256.
        if S::F32_LANES == 8 { self.run::<S, 6, 2>(simd) } else { self.run::<S, 12, 2>(simd) }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NR: usize>(self, simd: S) {
        let Self { size: [m, k, n], a, b, mut target, a_panels, b_panels } = self;
        let width = NR * S::F32_LANES;
        let parts = k.div_ceil(DEPTH).max(1);
        for left in (0..n).step_by(COLUMNS) {
            let columns = COLUMNS.min(n - left);
            for part in 0..parts {
                let (from, to) = (k * part / parts, k * (part + 1) / parts);
                let depth = to - from;
                let add = target.add || part > 0;
                let b_panels = &mut b_panels[..columns.div_ceil(width) * width * depth];
                pack_columns(b, [from, left], [depth, columns], width, b_panels);
                for top in (0..m).step_by(ROWS) {
                    let rows = ROWS.min(m - top);
                    let a_panels = &mut a_panels[..rows.div_ceil(MR) * MR * depth];
                    pack_rows(a, [top, from], [rows, depth], MR, a_panels);
                    for (column, b) in (0..columns).step_by(width).zip(b_panels.chunks_exact(width * depth)) {
                        for (row, a) in (0..rows).step_by(MR).zip(a_panels.chunks_exact(MR * depth)) {
                            let tile = tile::<S, MR, NR>(simd, a, b);
                            let place = [top + row, left + column];
                            let inside = [MR.min(rows - row), width.min(columns - column)];
                            store::<S, MR, NR>(simd, &tile, &mut target, place, inside, add);
                        }
                    }
                }
            }
        }
    }
}

/// The sums of one tile: MR rows of `a` (depth, MR) against NR vectors of `b` (depth, NR vectors).
#[inline(always)]
fn tile<S: Simd, const MR: usize, const NR: usize>(simd: S, a: &[f32], b: &[f32]) -> [[S::f32s; NR]; MR] {
    let mut sums = [[simd.splat_f32s(0.0); NR]; MR];
    let (a, b) = (a.as_chunks::<MR>().0, S::as_simd_f32s(b).0.as_chunks::<NR>().0);
    for (a, b) in a.iter().zip(b) {
        for i in 0..MR {
            let value = simd.splat_f32s(a[i]);
            for j in 0..NR {
                sums[i][j] = simd.mul_add_e_f32s(value, b[j], sums[i][j]);
            }
        }
    }
    // A copy: what is read by computed indices later would not stay in registers above.
    let mut tile = [[simd.splat_f32s(0.0); NR]; MR];
    for i in 0..MR {
        for j in 0..NR {
            tile[i][j] = sums[i][j];
        }
    }
    tile
}

/// Writes the `inside` (rows, columns) of a tile to its `place` in `target`.
#[inline(always)]
fn store<S: Simd, const MR: usize, const NR: usize>(
    simd: S,
    sums: &[[S::f32s; NR]; MR],
    target: &mut Target<'_>,
    [top, left]: [usize; 2],
    [rows, columns]: [usize; 2],
    add: bool,
) {
    let width = NR * S::F32_LANES;
    if columns == width && target.column == 1 {
        for (i, sums) in sums.iter().enumerate().take(rows) {
            let from = (top + i) * target.row + left;
            let to = S::as_mut_simd_f32s(&mut target.values[from..from + width]).0;
            for j in 0..NR {
                to[j] = if add { simd.add_f32s(to[j], sums[j]) } else { sums[j] };
            }
        }
        return;
    }
    let mut values = [0.0; TILE];
    for (i, sums) in sums.iter().enumerate() {
        S::as_mut_simd_f32s(&mut values[i * width..(i + 1) * width]).0.copy_from_slice(sums);
    }
    for i in 0..rows {
        for j in 0..columns {
            let to = &mut target.values[(top + i) * target.row + (left + j) * target.column];
            *to = if add { *to } else { 0.0 } + values[i * width + j];
        }
    }
}

/// Copies `size` (rows, depth) of `a` from `place` on into panels (depth, `height`), rows that are missing as zeros.
#[inline(always)]
fn pack_rows(a: Matrix<'_>, [top, left]: [usize; 2], [rows, depth]: [usize; 2], height: usize, out: &mut [f32]) {
    for (first, panel) in (0..rows).step_by(height).zip(out.chunks_exact_mut(height * depth)) {
        let inside = height.min(rows - first);
        if inside < height {
            panel.fill(0.0);
        }
        if a.column == 1 {
            for i in 0..inside {
                let from = a.at(top + first + i, left);
                let values = &a.values[from..from + depth];
                for (to, value) in panel[i..].iter_mut().step_by(height).zip(values) {
                    *to = *value;
                }
            }
        } else {
            for (to, k) in panel.chunks_exact_mut(height).zip(0..depth) {
                let from = a.at(top + first, left + k);
                let values = a.values[from..].iter().step_by(a.row);
                to[..inside].iter_mut().zip(values).for_each(|(to, value)| *to = *value);
            }
        }
    }
}

/// Copies `size` (depth, columns) of `b` from `place` on into panels (depth, `width`), columns that are missing as zeros.
#[inline(always)]
fn pack_columns(b: Matrix<'_>, [top, left]: [usize; 2], [depth, columns]: [usize; 2], width: usize, out: &mut [f32]) {
    for (first, panel) in (0..columns).step_by(width).zip(out.chunks_exact_mut(width * depth)) {
        let inside = width.min(columns - first);
        if inside < width {
            panel.fill(0.0);
        }
        if b.column == 1 {
            for (to, k) in panel.chunks_exact_mut(width).zip(0..depth) {
                let from = b.at(top + k, left + first);
                to[..inside].copy_from_slice(&b.values[from..from + inside]);
            }
        } else {
            for j in 0..inside {
                let from = b.at(top, left + first + j);
                let values = b.values[from..].iter().step_by(b.row);
                for (to, value) in panel[j..].iter_mut().step_by(width).zip(values) {
                    *to = *value;
                }
            }
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
    fn products_are_those_of_plain_sums_whatever_the_sizes_and_the_order_of_the_axes() {
        let mut gemm = Gemm::default();
        for (seed, [m, k, n]) in
            [[1, 1, 1], [13, 7, 33], [12, 192, 32], [245, 400, 70], [31, 193, 530]].iter().enumerate()
        {
            let (m, k, n) = (*m, *k, *n);
            let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
            let mut random = |n: usize| (0..n).map(|_| rng.random::<f32>() - 0.5).collect::<Vec<_>>();
            let (a, b, start) = (random(m * k), random(k * n), random(m * n));
            let matrix = |v: &[f32], rows, columns| -> Array2<f64> {
                ArrayView2::from_shape((rows, columns), v).unwrap().mapv(f64::from)
            };
            let check = |found: &[f32], expected: &Array2<f64>| {
                let worst = (&matrix(found, m, n) - expected).mapv(f64::abs).fold(0.0, |a: f64, b| a.max(*b));
                assert!(worst < 1e-4, "seed {seed}, {m} x {k} x {n}: {worst}");
            };
            let (as_rows, bs_rows) = (Matrix::rows(&a, k), Matrix::rows(&b, n));
            let mut c = start.clone();
            gemm.multiply([m, k, n], as_rows, bs_rows, Target::rows(&mut c, n));
            let expected = matrix(&a, m, k).dot(&matrix(&b, k, n));
            check(&c, &expected);
            c.copy_from_slice(&start);
            gemm.multiply([m, k, n], as_rows, bs_rows, Target::rows(&mut c, n).adding(true));
            check(&c, &(&expected + &matrix(&start, m, n)));
            gemm.multiply([m, k, n], Matrix::transposed(&a, m), Matrix::transposed(&b, k), Target::rows(&mut c, n));
            check(&c, &matrix(&a, k, m).t().dot(&matrix(&b, n, k).t()));
            let mut turned = vec![0.0; m * n];
            gemm.multiply([m, k, n], as_rows, bs_rows, Target { values: &mut turned, row: 1, column: m, add: false });
            check(&(0..m * n).map(|i| turned[i % n * m + i / n]).collect::<Vec<_>>(), &expected);
        }
    }
}
