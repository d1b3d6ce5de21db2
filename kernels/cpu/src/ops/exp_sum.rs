//! The sum of the exponentials of a row, on which softmax and the log-sum-exp rest.

use super::exp::exp;
use super::maximum::maximum;
use crate::simd::Simd;

/// Vectors whose single-precision sums are added up before double precision takes over: few enough
/// that their rounding stays below 1e-6 of the sum.
const BLOCK: usize = 64;

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
            let mut sums = [S::zero(); 2];
            let mut i = first;
            while i + 2 * S::LANES <= last {
                for (j, sum) in sums.iter_mut().enumerate() {
                    let at = i + j * S::LANES;
                    let e = exp::<S>(S::sub(S::load(x.add(at)), shift));
                    if !out.is_null() {
                        S::store(out.add(at), e);
                    }
                    *sum = S::add(*sum, e);
                }
                i += 2 * S::LANES;
            }
            total += f64::from(S::reduce_add(S::add(sums[0], sums[1])));
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
