//! The products of a tile: vectors along the columns of B and C, single numbers of A.
//!
//! One register tile does for all seven of them, because a unit of A is read from wherever it lies: A
//! and its transpose cost the same. A unit is one f32, or two bf16 that follow one another along k.

use crate::ops::gemm::Multiply;
use crate::simd::Simd;

/// Queries of a tile; a multiple of every vector and of every register tile's rows.
pub const QUERIES: usize = 96;
/// Keys of a tile; a multiple of every register tile's rows.
pub const KEYS: usize = 48;

/// Rows of a register tile: with two vectors of columns, what sixteen or thirty-two registers hold.
#[inline(always)]
pub const fn tile_rows<S: Simd>() -> usize {
    if wide::<S>() { 12 } else { 6 }
}

#[inline(always)]
const fn wide<S: Simd>() -> bool {
    S::LANES == 16 || cfg!(target_arch = "aarch64")
}

/// A number rounded up to a multiple.
#[inline(always)]
pub const fn round_up(count: usize, multiple: usize) -> usize {
    count.div_ceil(multiple) * multiple
}

/// What C holds before the product is added to it.
#[derive(Clone, Copy)]
pub enum Before {
    /// Nothing.
    Zero,
    /// What it held.
    Same,
    /// What it held times a number for each of its rows.
    Scaled(*const f32),
}

/// C[i,j] = before + sum over k of A[i,k] B[k,j], rows, columns and units of k counted from those of the
/// pointers.
#[derive(Clone, Copy)]
pub struct Product {
    pub c: *mut f32,
    pub c_stride: usize,
    pub a: *const f32,
    /// Distance of the rows of A.
    pub a_row: usize,
    /// Distance of the units of A along k.
    pub a_step: usize,
    pub b: *const f32,
    pub b_stride: usize,
}

impl Product {
    /// `tile_rows` rows from `row` on, the columns `first .. last` in whole vectors, and the units of k
    /// in `from .. to`.
    #[inline(always)]
    pub unsafe fn rows<M: Multiply>(
        &self,
        row: usize,
        (first, last): (usize, usize),
        (from, to): (usize, usize),
        before: Before,
    ) {
        unsafe {
            if wide::<M::S>() {
                self.columns::<M, 12>(row, (first, last), (from, to), before);
            } else {
                self.columns::<M, 6>(row, (first, last), (from, to), before);
            }
        }
    }

    #[inline(always)]
    unsafe fn columns<M: Multiply, const MR: usize>(
        &self,
        row: usize,
        (first, last): (usize, usize),
        k: (usize, usize),
        before: Before,
    ) {
        unsafe {
            let lanes = M::S::LANES;
            let mut column = first;
            while column + 2 * lanes <= last {
                self.block::<M, MR, 2>((row, column), k, before);
                column += 2 * lanes;
            }
            if column < last {
                self.block::<M, MR, 1>((row, column), k, before);
            }
        }
    }

    #[inline(always)]
    unsafe fn block<M: Multiply, const MR: usize, const NV: usize>(
        &self,
        (row, column): (usize, usize),
        (from, to): (usize, usize),
        before: Before,
    ) {
        unsafe {
            let c = self.c.add(row * self.c_stride + column);
            let mut sums = [[M::S::zero(); NV]; MR];
            if !matches!(before, Before::Zero) {
                for (i, sums) in sums.iter_mut().enumerate() {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        *sum = M::S::load(c.add(i * self.c_stride + j * M::S::LANES));
                    }
                }
            }
            if let Before::Scaled(factors) = before {
                for (i, sums) in sums.iter_mut().enumerate() {
                    let factor = M::S::splat(*factors.add(row + i));
                    for sum in sums {
                        *sum = M::S::mul(*sum, factor);
                    }
                }
            }
            let mut a = self.a.add(row * self.a_row + from * self.a_step);
            let mut b = self.b.add(from * self.b_stride + column);
            for _ in from..to {
                let mut vectors = [M::S::zero(); NV];
                for (j, vector) in vectors.iter_mut().enumerate() {
                    *vector = M::S::load(b.add(j * M::S::LANES));
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let unit = M::S::splat(*a.add(i * self.a_row));
                    for j in 0..NV {
                        sums[j] = M::add(sums[j], unit, vectors[j]);
                    }
                }
                a = a.wrapping_add(self.a_step);
                b = b.wrapping_add(self.b_stride);
            }
            for (i, sums) in sums.iter().enumerate() {
                for (j, sum) in sums.iter().enumerate() {
                    M::S::store(c.add(i * self.c_stride + j * M::S::LANES), *sum);
                }
            }
        }
    }
}
