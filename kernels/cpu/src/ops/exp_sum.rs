//! The sum of the exponentials of a row, on which softmax and the log-sum-exp rest.

use super::exp::{exp, exp_of};
use super::maximum::maximum;
use crate::simd::Simd;

/// Vectors whose single-precision sums are added up before double precision takes over: few enough
/// that their rounding stays below 1e-6 of the sum.
const BLOCK: usize = 64;
/// Vectors whose exponentials are taken side by side.
const TOGETHER: usize = 4;

/// What to subtract from a row before the exponentials are taken: its maximum, or 0 where that is
/// infinite (whose difference with itself is no number).
#[inline(always)]
pub unsafe fn shift_of<S: Simd>(x: *const f32, dim: usize) -> f32 {
    let largest = unsafe { maximum::<S>(x, dim) };
    if largest.is_infinite() { 0.0 } else { largest }
}

/// sum exp(x - shift) over `dim` floats; every exponential goes to `out` where that is not null.
/// Single precision within blocks, double precision over them.
#[inline(always)]
pub unsafe fn exp_sum<S: Simd>(out: *mut f32, x: *const f32, dim: usize, shift: f32) -> f64 {
    unsafe {
        let shift = S::splat(shift);
        let mut total = 0.0;
        let mut first = 0;
        while first < dim {
            let last = (first + BLOCK * S::LANES).min(dim);
            let mut sums = [S::zero(); TOGETHER];
            let mut i = first;
            while i + TOGETHER * S::LANES <= last {
                let mut e = [S::zero(); TOGETHER];
                for (j, e) in e.iter_mut().enumerate() {
                    *e = S::sub(S::load(x.add(i + j * S::LANES)), shift);
                }
                let e = exp_of::<S, TOGETHER>(e);
                for j in 0..TOGETHER {
                    if !out.is_null() {
                        S::store(out.add(i + j * S::LANES), e[j]);
                    }
                    sums[j] = S::add(sums[j], e[j]);
                }
                i += TOGETHER * S::LANES;
            }
            let [a, b, c, d] = sums;
            total += f64::from(S::reduce_add(S::add(S::add(a, b), S::add(c, d))));
            while i < last {
                total += f64::from(partial::<S>(out, x, i, (last - i).min(S::LANES), shift));
                i += S::LANES;
            }
            first = last;
        }
        total
    }
}

/// The same for the first `count` lanes of one vector.
#[inline(always)]
unsafe fn partial<S: Simd>(
    out: *mut f32,
    x: *const f32,
    at: usize,
    count: usize,
    shift: S::F32,
) -> f32 {
    unsafe {
        let e = exp::<S>(S::sub(S::load_first(x.add(at), count), shift));
        if !out.is_null() {
            S::store_first(out.add(at), e, count);
        }
        let mut lanes = [0.0; crate::simd::MAX_LANES];
        S::store_first(lanes.as_mut_ptr(), e, count);
        S::reduce_add(S::load(lanes.as_ptr()))
    }
}
