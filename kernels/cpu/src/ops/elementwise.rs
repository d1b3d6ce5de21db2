//! Sums and products of whole buffers, in place.

use super::chunks::{Shared, in_rows};
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};

/// out[i] += x[i]
pub unsafe fn add(context: &Context, out: *mut f32, x: *const f32, count: usize) -> Status {
    unsafe { add_with(isa(), context, out, x, count) };
    Ok(())
}

/// x[i] *= factor
pub unsafe fn scale(context: &Context, x: *mut f32, factor: f32, count: usize) -> Status {
    unsafe { scale_with(isa(), context, x, factor, count) };
    Ok(())
}

/// Floats that one vector loop handles at a time.
const BLOCK: usize = 4096;

unsafe fn add_with(isa: Isa, context: &Context, out: *mut f32, x: *const f32, count: usize) {
    let shared = Shared::new((out, x));
    in_rows(context, count.div_ceil(BLOCK), BLOCK, &|first, last| {
        let (out, x) = shared.get();
        let (first, last) = (first * BLOCK, (last * BLOCK).min(count));
        unsafe { add_run_on(isa, out.add(first), x.add(first), last - first) };
    });
}

unsafe fn scale_with(isa: Isa, context: &Context, x: *mut f32, factor: f32, count: usize) {
    let shared = Shared::new(x);
    in_rows(context, count.div_ceil(BLOCK), BLOCK, &|first, last| {
        let x = shared.get();
        let (first, last) = (first * BLOCK, (last * BLOCK).min(count));
        unsafe { scale_run_on(isa, x.add(first), factor, last - first) };
    });
}

#[inline(always)]
unsafe fn add_run<S: Simd>(out: *mut f32, x: *const f32, count: usize) {
    unsafe {
        for i in (0..count).step_by(S::LANES) {
            let left = count - i;
            let sum = S::add(
                S::load_first(out.add(i), left),
                S::load_first(x.add(i), left),
            );
            S::store_first(out.add(i), sum, left);
        }
    }
}
per_isa! { unsafe fn add_run_on = add_run(out: *mut f32, x: *const f32, count: usize); }

#[inline(always)]
unsafe fn scale_run<S: Simd>(x: *mut f32, factor: f32, count: usize) {
    unsafe {
        let factor = S::splat(factor);
        for i in (0..count).step_by(S::LANES) {
            let left = count - i;
            S::store_first(
                x.add(i),
                S::mul(S::load_first(x.add(i), left), factor),
                left,
            );
        }
    }
}
per_isa! { unsafe fn scale_run_on = scale_run(x: *mut f32, factor: f32, count: usize); }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{context, numbers};

    #[test]
    fn add_and_scale_are_exact_and_touch_nothing_beyond() {
        for count in [0, 1, 3, 8, 17, 4095, 4097, 100_001] {
            let (a, b) = (numbers(count + 1, 1), numbers(count + 1, 2));
            for isa in Isa::available() {
                let mut sum = a.clone();
                unsafe { add_with(isa, context(), sum.as_mut_ptr(), b.as_ptr(), count) };
                let mut product = a.clone();
                unsafe { scale_with(isa, context(), product.as_mut_ptr(), -0.3, count) };
                for i in 0..count {
                    assert_eq!(sum[i], a[i] + b[i], "{isa:?}: {i} of {count}");
                    assert_eq!(product[i], a[i] * -0.3, "{isa:?}: {i} of {count}");
                }
                assert_eq!((sum[count], product[count]), (a[count], a[count]));
            }
        }
    }
}
