//! What the optimizers share: how their elements are cut, and the last steps of an element.

use super::chunks::{Shared, in_rows};
use crate::context::{Context, Status};
use crate::simd::float16::f32_to_bf16;
use crate::simd::{MAX_LANES, Simd};

/// The tensors of a step; `compute` may be null.
#[derive(Clone, Copy)]
pub struct Tensors {
    pub weight: *mut f32,
    pub m: *mut f32,
    pub v: *mut f32,
    pub grad: *const f32,
    pub compute: *mut u16,
}

impl Tensors {
    /// The tensors from element `at` on.
    #[inline(always)]
    pub unsafe fn from(self, at: usize) -> Tensors {
        unsafe {
            Tensors {
                weight: self.weight.add(at),
                m: self.m.add(at),
                v: self.v.add(at),
                grad: self.grad.add(at),
                compute: if self.compute.is_null() {
                    self.compute
                } else {
                    self.compute.add(at)
                },
            }
        }
    }
}

/// Elements whose partial sums belong together; a multiple of every vector.
pub const PART: usize = 1 << 15;

/// Calls `work(part, first, count)` for all parts of `count` elements, on the threads of the pool.
pub fn in_parts(context: &Context, count: usize, work: &(dyn Fn(usize, usize, usize) + Sync)) {
    let parts = count.div_ceil(PART);
    in_rows(context, parts, PART, &|first, last| {
        for part in first..last {
            let at = part * PART;
            work(part, at, PART.min(count - at));
        }
    });
}

/// Writes what every part gives.
pub unsafe fn each_part<const N: usize>(
    context: &Context,
    count: usize,
    sums: *mut [f64; N],
    part: &(dyn Fn(usize, usize) -> [f64; N] + Sync),
) {
    let sums = Shared::new(sums);
    in_parts(context, count, &|number, at, count| unsafe {
        *sums.get().add(number) = part(at, count);
    });
}

/// Sums what every part gave, part by part.
pub fn sum_parts<const N: usize>(
    context: &Context,
    count: usize,
    part: &(dyn Fn(usize, usize) -> [f64; N] + Sync),
) -> [f64; N] {
    let parts = count.div_ceil(PART);
    let sums = context.scratch(parts * 8 * N).cast::<[f64; N]>();
    unsafe { each_part(context, count, sums, part) };
    let mut total = [0f64; N];
    for number in 0..parts {
        let one = unsafe { *sums.add(number) };
        for (total, one) in total.iter_mut().zip(one) {
            *total += one;
        }
    }
    total
}

/// Refuses a number of parts that is not that of `count` elements.
pub fn check_parts(parts: usize, count: usize) -> Status {
    if parts == count.div_ceil(PART) {
        return Ok(());
    }
    Err("parts must be count / 32768, rounded up")
}

/// Numbers, and 0 for those that are subnormal: a moment that decays would stay subnormal for ever,
/// and arithmetic with such numbers is slow on some processors.
#[inline(always)]
pub unsafe fn without_subnormal<S: Simd>(x: S::F32) -> S::F32 {
    unsafe {
        let tiny = S::lt(S::abs(x), S::splat(f32::MIN_POSITIVE));
        S::select(tiny, S::zero(), x)
    }
}

/// Writes weights, and their copy in bf16 where there is one.
#[inline(always)]
pub unsafe fn store_weight<S: Simd>(weight: *mut f32, compute: *mut u16, w: S::F32, left: usize) {
    unsafe {
        S::store_first(weight, w, left);
        if compute.is_null() {
            return;
        }
        let mut lanes = [0f32; MAX_LANES];
        S::store(lanes.as_mut_ptr(), w);
        let narrow = lanes.map(f32_to_bf16);
        if left >= S::LANES {
            core::ptr::copy_nonoverlapping(narrow.as_ptr(), compute, S::LANES);
        } else {
            core::ptr::copy_nonoverlapping(narrow.as_ptr(), compute, left);
        }
    }
}
