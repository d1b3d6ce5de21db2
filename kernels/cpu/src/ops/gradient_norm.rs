//! The norm of the gradient, and what clips it.

use super::chunks::Shared;
use super::moments::{check_parts, each_part, sum_parts};
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa, square_root_f64};

/// Sums that take turns; the same on every instruction set, so that all of them give the same bits.
const SUMS: usize = 32;

/// sum[0] += sum of x^2 in double precision.
pub unsafe fn square_sum(context: &Context, sum: *mut f64, x: *const f32, count: usize) -> Status {
    unsafe { *sum += square_sum_on(isa(), context, x, count) };
    Ok(())
}

unsafe fn square_sum_on(isa: Isa, context: &Context, x: *const f32, count: usize) -> f64 {
    let x = Shared::new(x);
    let [total] = sum_parts(context, count, &|at, count| {
        [unsafe { part_on(isa, x.get().add(at), count) }]
    });
    total
}

/// sums[p] = sum of x^2 over part p: what `square_sum` adds up.
pub unsafe fn square_sums(
    context: &Context,
    sums: *mut f64,
    x: *const f32,
    parts: usize,
    count: usize,
) -> Status {
    check_parts(parts, count)?;
    let isa = isa();
    let x = Shared::new(x);
    unsafe {
        each_part(context, count, sums.cast(), &|at, count| {
            [part_on(isa, x.get().add(at), count)]
        });
    }
    Ok(())
}

per_isa! { unsafe fn part_on = part(x: *const f32, count: usize) -> f64; }

/// Sums the squares of one part; the type says which instructions the compiler may use.
#[allow(clippy::extra_unused_type_parameters)]
#[inline(always)]
unsafe fn part<S: Simd>(x: *const f32, count: usize) -> f64 {
    let x = unsafe { core::slice::from_raw_parts(x, count) };
    let mut sums = [0f64; SUMS];
    let (whole, rest) = x.as_chunks::<SUMS>();
    for x in whole {
        for (sum, &x) in sums.iter_mut().zip(x) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(rest) {
        *sum += f64::from(x) * f64::from(x);
    }
    let mut half = SUMS / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// clip[0] = sqrt(sum[0]), clip[1] = the factor that clips it to `limit`, clip[2] = whether an
/// optimizer may move: nothing in its state would overflow.
pub unsafe fn clip_scale(_: &Context, clip: *mut f32, sum: *const f64, limit: f32) -> Status {
    let norm = square_root_f64(unsafe { *sum });
    let limit = f64::from(limit);
    let factor = if limit > 0.0 && norm > limit {
        limit / norm
    } else {
        1.0
    };
    let clipped = factor * norm;
    let finite = (norm as f32).is_finite() && ((clipped * clipped) as f32).is_finite();
    unsafe {
        *clip = norm as f32;
        *clip.add(1) = factor as f32;
        *clip.add(2) = f32::from(u8::from(finite));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{context, numbers};

    #[test]
    fn sums_are_double_precise_and_the_same_bits_on_every_instruction_set() {
        for count in [0, 1, 31, 32, 1000, 32_768, 100_003] {
            let x = numbers(count, 3);
            let want: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            let mut all = Isa::available()
                .map(|isa| unsafe { square_sum_on(isa, context(), x.as_ptr(), count) });
            let first = all.next().unwrap();
            assert!((first - want).abs() <= 1e-11 * want, "{first}, not {want}");
            assert!(all.all(|sum| sum.to_bits() == first.to_bits()));
        }
    }

    #[test]
    fn the_sums_of_parts_are_those_that_are_added_up() {
        let count = 100_003;
        let x = numbers(count, 3);
        let mut sums = [7f64; 5];
        unsafe { square_sums(context(), sums.as_mut_ptr(), x.as_ptr(), 4, count) }.unwrap();
        assert_eq!(sums[4], 7.0);
        let mut sum = 0.0;
        unsafe { square_sum(context(), &mut sum, x.as_ptr(), count) }.unwrap();
        assert_eq!(sums[..4].iter().fold(0.0, |sum, part| sum + part), sum);
        assert!(unsafe { square_sums(context(), &mut sum, x.as_ptr(), 1, count) }.is_err());
    }

    #[test]
    fn squares_beyond_single_precision_are_summed() {
        let x = [3e30f32, -4e30, 1e-30];
        let mut sum = 1.0;
        unsafe { square_sum(context(), &mut sum, x.as_ptr(), 3) }.unwrap();
        assert!((sum / 25e60 - 1.0).abs() < 1e-6, "{sum}");
    }

    fn clip(sum: f64, limit: f32) -> [f32; 3] {
        let mut clip = [7f32; 3];
        unsafe { clip_scale(context(), clip.as_mut_ptr(), &sum, limit) }.unwrap();
        clip
    }

    #[test]
    fn the_factor_clips_to_the_limit_and_only_beyond_it() {
        assert_eq!(clip(16.0, 1.0), [4.0, 0.25, 1.0]);
        assert_eq!(clip(16.0, 5.0), [4.0, 1.0, 1.0]);
        assert_eq!(clip(16.0, 0.0), [4.0, 1.0, 1.0]);
        assert_eq!(clip(0.0, 1.0), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn what_is_not_finite_or_would_overflow_a_moment_moves_nothing() {
        assert_eq!(clip(f64::INFINITY, 1.0)[2], 0.0);
        assert_eq!(clip(f64::NAN, 1.0)[2], 0.0);
        assert_eq!(clip(1e60, 1.0)[2], 1.0);
        assert_eq!(clip(1e60, 0.0)[2], 0.0);
        assert_eq!(clip(1e80, 1.0)[2], 0.0);
    }
}
