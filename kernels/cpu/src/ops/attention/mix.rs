//! The values of a tile's positions, mixed by their weights, in registers.
//!
//! An output element takes its positions one after another, each by one `fma`. The order does not
//! depend on how many queries share the registers.

use super::super::cache_element::CacheElement;
use super::tile::{Rows, TILE, together};
use crate::simd::Simd;

/// out[m,d] = factor[m] * out[m,d] + sum over j of weights[m,j] * value[j,d], where query m takes its
/// first `counts[m]` positions. `out` has rows of `head_dim`, `weights` rows of `TILE`.
#[inline(always)]
pub unsafe fn mix<S: Simd, C: CacheElement>(
    out: *mut f32,
    factors: &[f32],
    weights: *const f32,
    values: &Rows,
    counts: &[usize],
    head_dim: usize,
) {
    unsafe {
        let queries = counts.len();
        let mut m = 0;
        while m < queries {
            let together = together(queries - m);
            let counts = &counts[m..m + together];
            let common = counts.iter().fold(TILE, |least, &c| least.min(c));
            let (to, weights) = (out.add(m * head_dim), weights.add(m * TILE));
            let factors = &factors[m..m + together];
            let span = (0, common);
            match together {
                1 => columns::<S, C, 1, 8>(to, factors, weights, values, span, head_dim),
                2 => columns::<S, C, 2, 4>(to, factors, weights, values, span, head_dim),
                _ => columns::<S, C, 3, 4>(to, factors, weights, values, span, head_dim),
            }
            // What only some of them see, query by query.
            for (i, &count) in counts.iter().enumerate() {
                if count > common {
                    let (to, weights) = (to.add(i * head_dim), weights.add(i * TILE));
                    let span = (common, count);
                    columns::<S, C, 1, 8>(to, &[1.0], weights, values, span, head_dim);
                }
            }
            m += together;
        }
    }
}

/// All columns of `M` queries, at most `N` vectors of columns at a time.
#[inline(always)]
unsafe fn columns<S: Simd, C: CacheElement, const M: usize, const N: usize>(
    out: *mut f32,
    factors: &[f32],
    weights: *const f32,
    values: &Rows,
    span: (usize, usize),
    head_dim: usize,
) {
    unsafe {
        let mut d = 0;
        while d + N * S::LANES <= head_dim {
            block::<S, C, M, N, true>(out, factors, weights, values, span, head_dim, d);
            d += N * S::LANES;
        }
        if N > 4 && d + 4 * S::LANES <= head_dim {
            block::<S, C, M, 4, true>(out, factors, weights, values, span, head_dim, d);
            d += 4 * S::LANES;
        }
        if N > 2 && d + 2 * S::LANES <= head_dim {
            block::<S, C, M, 2, true>(out, factors, weights, values, span, head_dim, d);
            d += 2 * S::LANES;
        }
        if d + S::LANES <= head_dim {
            block::<S, C, M, 1, true>(out, factors, weights, values, span, head_dim, d);
            d += S::LANES;
        }
        if d < head_dim {
            block::<S, C, M, 1, false>(out, factors, weights, values, span, head_dim, d);
        }
    }
}

/// Columns d .. d + N * LANES of `M` queries; `FULL` says that all of them exist.
#[inline(always)]
unsafe fn block<S: Simd, C: CacheElement, const M: usize, const N: usize, const FULL: bool>(
    out: *mut f32,
    factors: &[f32],
    weights: *const f32,
    values: &Rows,
    (first, last): (usize, usize),
    head_dim: usize,
    d: usize,
) {
    unsafe {
        let rest = head_dim - d;
        let mut sums = [[S::zero(); N]; M];
        for m in 0..M {
            let factor = S::splat(factors[m]);
            for n in 0..N {
                let at = out.add(m * head_dim + d + n * S::LANES);
                let before = if FULL {
                    S::load(at)
                } else {
                    S::load_first(at, rest)
                };
                sums[m][n] = S::mul(before, factor);
            }
        }
        for j in first..last {
            let row = *values.as_ptr().add(j);
            let mut weight = [S::zero(); M];
            for (m, weight) in weight.iter_mut().enumerate() {
                *weight = S::splat(*weights.add(m * TILE + j));
            }
            for n in 0..N {
                let at = d + n * S::LANES;
                let value = if FULL {
                    C::load::<S>(row, at)
                } else {
                    C::load_first::<S>(row, at, rest)
                };
                for m in 0..M {
                    sums[m][n] = S::fma(weight[m], value, sums[m][n]);
                }
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                let at = out.add(m * head_dim + d + n * S::LANES);
                if FULL {
                    S::store(at, sum);
                } else {
                    S::store_first(at, sum, rest);
                }
            }
        }
    }
}
