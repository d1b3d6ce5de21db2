//! Scores of queries at the positions of a tile, in registers.
//!
//! A score is a dot product with one accumulator: lane l takes elements l, l + LANES, ..., the last
//! partial vector is filled with zeros, `reduce_add` folds. The order does not depend on how many
//! queries share the registers.

use super::super::cache_element::CacheElement;
use super::tile::{Rows, TILE, together};
use crate::simd::Simd;

/// Bytes of a cache line.
const LINE: usize = 64;

/// scores[m,j] = sum over d of q[m,d] * key[j,d] for `queries` queries and the first `count` positions.
/// `q` has rows of `head_dim`, `scores` rows of `TILE`. Asks for the rows `ahead`, which will be read
/// next, but column by column.
#[inline(always)]
pub unsafe fn scores<S: Simd, C: CacheElement>(
    scores: *mut f32,
    q: *const f32,
    keys: &Rows,
    queries: usize,
    count: usize,
    head_dim: usize,
    ahead: &Rows,
) {
    unsafe {
        let mut m = 0;
        while m < queries {
            let (to, q) = (scores.add(m * TILE), q.add(m * head_dim));
            let ahead = if m == 0 { Some(ahead) } else { None };
            m += match together(queries - m) {
                1 => strip::<S, C, 1, 8>(to, q, keys, count, head_dim, ahead),
                2 => strip::<S, C, 2, 4>(to, q, keys, count, head_dim, ahead),
                _ => strip::<S, C, 3, 4>(to, q, keys, count, head_dim, ahead),
            };
        }
    }
}

/// The scores of `M` queries, `N` positions at a time. Returns M.
#[inline(always)]
unsafe fn strip<S: Simd, C: CacheElement, const M: usize, const N: usize>(
    scores: *mut f32,
    q: *const f32,
    keys: &Rows,
    count: usize,
    head_dim: usize,
    ahead: Option<&Rows>,
) -> usize {
    unsafe {
        let row_bytes = C::row_bytes(head_dim).unwrap_or(0);
        let mut j = 0;
        while j + N <= count {
            if let Some(rows) = ahead {
                for row in rows.get_unchecked(j..j + N) {
                    let mut at = 0;
                    while at < row_bytes {
                        S::prefetch(row.wrapping_add(at));
                        at += LINE;
                    }
                }
            }
            dots::<S, C, M, N>(scores.add(j), q, keys.as_ptr().add(j), head_dim);
            j += N;
        }
        while j < count {
            dots::<S, C, M, 1>(scores.add(j), q, keys.as_ptr().add(j), head_dim);
            j += 1;
        }
    }
    M
}

/// The scores of `M` queries at `N` positions: N is 1 or a multiple of 4.
#[inline(always)]
unsafe fn dots<S: Simd, C: CacheElement, const M: usize, const N: usize>(
    scores: *mut f32,
    q: *const f32,
    keys: *const *const u8,
    head_dim: usize,
) {
    unsafe {
        let mut sums = [[S::zero(); N]; M];
        let mut rows = [core::ptr::null(); N];
        for (n, row) in rows.iter_mut().enumerate() {
            *row = *keys.add(n);
        }
        let mut d = 0;
        while d + S::LANES <= head_dim {
            let mut left = [S::zero(); M];
            for (m, left) in left.iter_mut().enumerate() {
                *left = S::load(q.add(m * head_dim + d));
            }
            for n in 0..N {
                let key = C::load::<S>(rows[n], d);
                for m in 0..M {
                    sums[m][n] = S::fma(left[m], key, sums[m][n]);
                }
            }
            d += S::LANES;
        }
        if d < head_dim {
            let rest = head_dim - d;
            for n in 0..N {
                let key = C::load_first::<S>(rows[n], d, rest);
                for (m, sums) in sums.iter_mut().enumerate() {
                    let left = S::load_first(q.add(m * head_dim + d), rest);
                    sums[n] = S::fma(left, key, sums[n]);
                }
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            let to = scores.add(m * TILE);
            if N == 1 {
                *to = S::reduce_add(sums[0]);
            }
            for n in (0..N / 4 * 4).step_by(4) {
                let four = S::reduce_add4([sums[n], sums[n + 1], sums[n + 2], sums[n + 3]]);
                to.add(n).cast::<[f32; 4]>().write_unaligned(four);
            }
        }
    }
}
