//! Softmax of rows (Milakov & Gimelshein 2018, algorithm 2).

use super::chunks::{Shared, in_rows};
use super::exp_sum::{exp_sum, shift_of};
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};

/// out[r,:] = exp(x[r,:] - max) / sum; `out` may be `x`. A row of -inf alone gives NaN.
pub unsafe fn softmax(
    context: &Context,
    out: *mut f32,
    x: *const f32,
    rows: u32,
    dim: u32,
) -> Status {
    unsafe { softmax_with(isa(), context, out, x, rows as usize, dim as usize) };
    Ok(())
}

unsafe fn softmax_with(
    isa: Isa,
    context: &Context,
    out: *mut f32,
    x: *const f32,
    rows: usize,
    dim: usize,
) {
    if dim == 0 {
        return;
    }
    let shared = Shared::new((out, x));
    in_rows(context, rows, dim, &|first, last| {
        let (out, x) = shared.get();
        for row in first..last {
            unsafe { softmax_row_on(isa, out.add(row * dim), x.add(row * dim), dim) };
        }
    });
}

#[inline(always)]
unsafe fn softmax_row<S: Simd>(out: *mut f32, x: *const f32, dim: usize) {
    unsafe {
        let total = exp_sum::<S>(out, x, dim, shift_of::<S>(x, dim));
        let factor = S::splat((1.0 / total) as f32);
        for i in (0..dim).step_by(S::LANES) {
            let count = dim - i;
            S::store_first(
                out.add(i),
                S::mul(S::load_first(out.add(i), count), factor),
                count,
            );
        }
    }
}
per_isa! { unsafe fn softmax_row_on = softmax_row(out: *mut f32, x: *const f32, dim: usize); }

/// The plain reference, in double precision.
#[cfg(test)]
mod reference {
    pub fn softmax(x: &[f32]) -> Vec<f64> {
        let largest = x
            .iter()
            .fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v)));
        let e: Vec<f64> = x.iter().map(|&v| (f64::from(v) - largest).exp()).collect();
        let total: f64 = e.iter().sum();
        e.iter().map(|v| v / total).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, context, numbers};

    unsafe fn run(isa: Isa, x: &[f32], dim: usize) -> Vec<f32> {
        let mut out = vec![7.0; x.len()];
        let rows = x.len() / dim;
        unsafe { softmax_with(isa, context(), out.as_mut_ptr(), x.as_ptr(), rows, dim) };
        out
    }

    #[test]
    fn softmax_agrees_with_the_reference_relative_to_the_largest_probability() {
        for (rows, dim) in [(2, 1), (3, 5), (2, 64), (3, 517), (20, 2049), (1, 128_256)] {
            let x: Vec<f32> = numbers(rows * dim, 1)
                .iter()
                .map(|v| v * 5.0 + 1000.0)
                .collect();
            for isa in Isa::available() {
                let got = unsafe { run(isa, &x, dim) };
                for (x, got) in x.chunks(dim).zip(got.chunks(dim)) {
                    let want = reference::softmax(x);
                    let largest = want.iter().fold(0.0f64, |m, &v| m.max(v));
                    let scaled: Vec<f32> = got.iter().map(|v| v / largest as f32).collect();
                    let want: Vec<f64> = want.iter().map(|v| v / largest).collect();
                    assert_close(&scaled, &want, 2e-6, isa);
                }
            }
        }
    }

    #[test]
    fn masked_elements_get_nothing_and_a_masked_row_is_no_number() {
        let none = f32::NEG_INFINITY;
        for isa in Isa::available() {
            let row = [none, 2.0, none, 2.0, none, none, none, none, none, none];
            let mut want = [0.0; 10];
            (want[1], want[3]) = (0.5, 0.5);
            assert_eq!(unsafe { run(isa, &row, 10) }, want);
            assert!(
                unsafe { run(isa, &[none; 10], 10) }
                    .iter()
                    .all(|v| v.is_nan())
            );
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_place_and_among_others() {
        let dim = 3001;
        let x = numbers(30 * dim, 2);
        for isa in Isa::available() {
            let together = unsafe { run(isa, &x, dim) };
            for (row, together) in x.chunks(dim).zip(together.chunks(dim)) {
                let mut alone = row.to_vec();
                let p = alone.as_mut_ptr();
                unsafe { softmax_with(isa, context(), p, p, 1, dim) };
                assert_eq!(alone, together);
            }
        }
    }
}
