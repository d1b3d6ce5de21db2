//! RMSNorm (Zhang & Sennrich 2019, eq. 4) and LayerNorm (Ba et al. 2016, eq. 4) of rows.

use super::chunks::{Shared, in_rows};
use super::reduce::{Plain, Square, SquareFrom, sum};
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};

/// out[r,:] = weight * x[r,:] / sqrt(mean(x[r,:]^2) + eps); `out` may be `x`.
pub unsafe fn rms_norm(
    context: &Context,
    out: *mut f32,
    x: *const f32,
    weight: *const f32,
    rows: u32,
    dim: u32,
    eps: f32,
) -> Status {
    unsafe {
        rms_norm_with(
            isa(),
            context,
            out,
            x,
            weight,
            rows as usize,
            dim as usize,
            eps,
        )
    };
    Ok(())
}

/// out[r,:] = weight * (x[r,:] - mean) / sqrt(var + eps) + bias with the biased variance; `bias` may
/// be null, `out` may be `x`.
pub unsafe fn layer_norm(
    context: &Context,
    out: *mut f32,
    x: *const f32,
    weight: *const f32,
    bias: *const f32,
    rows: u32,
    dim: u32,
    eps: f32,
) -> Status {
    let (rows, dim) = (rows as usize, dim as usize);
    unsafe { layer_norm_with(isa(), context, out, x, weight, bias, rows, dim, eps) };
    Ok(())
}

unsafe fn rms_norm_with(
    isa: Isa,
    context: &Context,
    out: *mut f32,
    x: *const f32,
    weight: *const f32,
    rows: usize,
    dim: usize,
    eps: f32,
) {
    let shared = Shared::new((out, x, weight));
    in_rows(context, rows, dim, &|first, last| {
        let (out, x, weight) = shared.get();
        for row in first..last {
            let at = row * dim;
            unsafe { rms_row_on(isa, out.add(at), x.add(at), weight, dim, eps) };
        }
    });
}

unsafe fn layer_norm_with(
    isa: Isa,
    context: &Context,
    out: *mut f32,
    x: *const f32,
    weight: *const f32,
    bias: *const f32,
    rows: usize,
    dim: usize,
    eps: f32,
) {
    let shared = Shared::new((out, x, weight, bias));
    in_rows(context, rows, dim, &|first, last| {
        let (out, x, weight, bias) = shared.get();
        for row in first..last {
            let at = row * dim;
            unsafe { layer_row_on(isa, out.add(at), x.add(at), weight, bias, dim, eps) };
        }
    });
}

#[inline(always)]
unsafe fn rms_row<S: Simd>(out: *mut f32, x: *const f32, weight: *const f32, dim: usize, eps: f32) {
    unsafe {
        let mean = sum::<S>(x, dim, Square) / dim as f32;
        let factor = S::div(S::splat(1.0), S::sqrt(S::splat(mean + eps)));
        for i in (0..dim).step_by(S::LANES) {
            let count = dim - i;
            let normal = S::mul(S::load_first(x.add(i), count), factor);
            let scaled = S::mul(S::load_first(weight.add(i), count), normal);
            S::store_first(out.add(i), scaled, count);
        }
    }
}
per_isa! {
    unsafe fn rms_row_on = rms_row(
        out: *mut f32, x: *const f32, weight: *const f32, dim: usize, eps: f32,
    );
}

#[inline(always)]
unsafe fn layer_row<S: Simd>(
    out: *mut f32,
    x: *const f32,
    weight: *const f32,
    bias: *const f32,
    dim: usize,
    eps: f32,
) {
    unsafe {
        let mean = sum::<S>(x, dim, Plain) / dim as f32;
        // A second pass over the distances, for the difference of two large sums would cancel.
        let variance = sum::<S>(x, dim, SquareFrom(mean)) / dim as f32;
        let factor = S::div(S::splat(1.0), S::sqrt(S::splat(variance + eps)));
        let mean = S::splat(mean);
        for i in (0..dim).step_by(S::LANES) {
            let count = dim - i;
            let normal = S::mul(S::sub(S::load_first(x.add(i), count), mean), factor);
            let weight = S::load_first(weight.add(i), count);
            let scaled = if bias.is_null() {
                S::mul(weight, normal)
            } else {
                S::fma(weight, normal, S::load_first(bias.add(i), count))
            };
            S::store_first(out.add(i), scaled, count);
        }
    }
}
per_isa! {
    unsafe fn layer_row_on = layer_row(
        out: *mut f32, x: *const f32, weight: *const f32, bias: *const f32, dim: usize, eps: f32,
    );
}

/// The plain reference, in double precision.
#[cfg(test)]
mod reference {
    pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f64> {
        let mean = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / x.len() as f64;
        let factor = 1.0 / (mean + f64::from(eps)).sqrt();
        let pairs = x.iter().zip(weight);
        pairs
            .map(|(&x, &w)| f64::from(w) * f64::from(x) * factor)
            .collect()
    }

    pub fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32) -> Vec<f64> {
        let n = x.len() as f64;
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = x
            .iter()
            .map(|&v| (f64::from(v) - mean).powi(2))
            .sum::<f64>()
            / n;
        let factor = 1.0 / (variance + f64::from(eps)).sqrt();
        let one = |i: usize| f64::from(weight[i]) * (f64::from(x[i]) - mean) * factor;
        (0..x.len())
            .map(|i| one(i) + bias.map_or(0.0, |b| f64::from(b[i])))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, context, numbers};

    const SHAPES: [(usize, usize); 7] = [
        (1, 1),
        (3, 5),
        (2, 8),
        (4, 31),
        (3, 64),
        (2, 1027),
        (40, 2048),
    ];

    #[test]
    fn rms_norm_agrees_with_the_reference_on_every_instruction_set() {
        for (rows, dim) in SHAPES {
            let (x, weight) = (numbers(rows * dim, 1), numbers(dim, 2));
            for isa in Isa::available() {
                let mut got = vec![0.0; rows * dim];
                let (to, from, w) = (got.as_mut_ptr(), x.as_ptr(), weight.as_ptr());
                unsafe { rms_norm_with(isa, context(), to, from, w, rows, dim, 1e-5) };
                for (x, got) in x.chunks(dim).zip(got.chunks(dim)) {
                    assert_close(got, &reference::rms_norm(x, &weight, 1e-5), 1e-6, isa);
                }
            }
        }
    }

    #[test]
    fn layer_norm_agrees_with_the_reference_far_from_zero_too() {
        for (rows, dim) in SHAPES {
            for shift in [0.0, 100.0] {
                let x: Vec<f32> = numbers(rows * dim, 3).iter().map(|v| v + shift).collect();
                let (weight, bias) = (numbers(dim, 4), numbers(dim, 5));
                for (isa, biased) in Isa::available().flat_map(|i| [(i, false), (i, true)]) {
                    let mut got = vec![0.0; rows * dim];
                    let bias = biased.then_some(&bias[..]);
                    let b = bias.map_or(core::ptr::null(), |b| b.as_ptr());
                    let (to, from, w) = (got.as_mut_ptr(), x.as_ptr(), weight.as_ptr());
                    unsafe { layer_norm_with(isa, context(), to, from, w, b, rows, dim, 1e-5) };
                    // A mean of 100 costs the input itself seven more bits.
                    let tolerance = if shift == 0.0 { 1e-6 } else { 1e-4 };
                    for (x, got) in x.chunks(dim).zip(got.chunks(dim)) {
                        let want = reference::layer_norm(x, &weight, bias, 1e-5);
                        assert_close(got, &want, tolerance, isa);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_in_place_and_among_others() {
        let (rows, dim) = (37, 1531);
        let (x, weight) = (numbers(rows * dim, 6), numbers(dim, 7));
        for isa in Isa::available() {
            let mut together = vec![0.0; rows * dim];
            let (to, from, w) = (together.as_mut_ptr(), x.as_ptr(), weight.as_ptr());
            unsafe { rms_norm_with(isa, context(), to, from, w, rows, dim, 1e-6) };
            for row in 0..rows {
                let mut alone = x[row * dim..(row + 1) * dim].to_vec();
                let p = alone.as_mut_ptr();
                unsafe { rms_norm_with(isa, context(), p, p, w, 1, dim, 1e-6) };
                assert_eq!(alone, together[row * dim..(row + 1) * dim]);
            }
        }
    }
}
