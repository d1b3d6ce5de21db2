//! The exponential, and what is made of it, as vectors: one polynomial for every instruction set.

use crate::simd::Simd;

/// Arguments below this give 0: their exponentials are smaller than 2^-125.5.
const LOWEST: f32 = -86.98;
/// The first argument whose exponential is infinite in single precision.
const INFINITE: f32 = 88.722_84;
/// The polynomial's coefficients, that of r^6 first.
const POLYNOMIAL: [f32; 7] = [
    0.001_382_066_2,
    0.008_368_675,
    0.041_668_266,
    0.166_665_21,
    0.499_999_94,
    1.0,
    1.0,
];

/// exp(x), within 1.3 units in the last place; 0 below -86.98 and for -inf, infinite where the
/// result is, NaN for NaN.
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S::F32) -> S::F32 {
    let [result] = unsafe { exp_of::<S, 1>([x]) };
    result
}

/// `exp` of several vectors, step by step side by side: each constant is read once for all of them,
/// and none waits for its own last step.
///
/// x = n ln 2 + r with integral n and |r| <= ln 2 / 2; exp(r) is a minimax polynomial of degree 6
/// with relative error 3.2e-9, and 2^n an exponent.
#[inline(always)]
pub unsafe fn exp_of<S: Simd, const N: usize>(x: [S::F32; N]) -> [S::F32; N] {
    unsafe {
        let mut n = x;
        for n in &mut n {
            *n = S::min(S::max(*n, S::splat(LOWEST)), S::splat(INFINITE));
            *n = S::round(S::mul(*n, S::splat(core::f32::consts::LOG2_E)));
        }
        let mut r = x;
        for i in 0..N {
            // ln 2 in two parts; n times the first, of nine bits, is exact.
            r[i] = S::fma(n[i], S::splat(-0.693_359_4), r[i]);
            r[i] = S::fma(n[i], S::splat(2.121_944_4e-4), r[i]);
        }
        // Twice the polynomial times 2^(n-1), because 2^128 alone is no number.
        let mut p = [S::splat(2.0 * POLYNOMIAL[0]); N];
        for coefficient in &POLYNOMIAL[1..] {
            for i in 0..N {
                p[i] = S::fma(p[i], r[i], S::splat(2.0 * coefficient));
            }
        }
        for i in 0..N {
            p[i] = S::mul(p[i], S::exp2_integral(S::sub(n[i], S::splat(1.0))));
            p[i] = S::select(S::lt(x[i], S::splat(LOWEST)), S::zero(), p[i]);
            // What is not below the limit is infinite or NaN; the product makes either of itself.
            let beyond = S::mul(x[i], S::splat(f32::INFINITY));
            p[i] = S::select(S::lt(x[i], S::splat(INFINITE)), p[i], beyond);
        }
        p
    }
}

/// Arguments below this give 0 by `exp2_of`.
const LOWEST_EXPONENT: f32 = -125.5;
/// Coefficients for 2^r, |r| <= 1/2, that of r^6 first: relative error 2e-9.
const POLYNOMIAL_2: [f32; 7] = [
    0.000_153_458_12,
    0.001_339_993_1,
    0.009_618_489,
    0.055_503_286,
    0.240_226_46,
    core::f32::consts::LN_2,
    1.0,
];

/// 2^x of several vectors, for weights of a softmax: x up to 126, 0 below -125.5, NaN for NaN.
#[inline(always)]
pub unsafe fn exp2_of<S: Simd, const N: usize>(x: [S::F32; N]) -> [S::F32; N] {
    unsafe {
        let mut n = x;
        for n in &mut n {
            if !S::SCALES {
                *n = S::max(*n, S::splat(LOWEST_EXPONENT));
            }
            *n = S::round(*n);
        }
        let mut p = [S::splat(POLYNOMIAL_2[0]); N];
        for coefficient in &POLYNOMIAL_2[1..] {
            for i in 0..N {
                p[i] = S::fma(p[i], S::sub(x[i], n[i]), S::splat(*coefficient));
            }
        }
        for i in 0..N {
            p[i] = if S::SCALES {
                S::scale(p[i], n[i])
            } else {
                S::mul(p[i], S::exp2_integral(n[i]))
            };
            p[i] = S::select(S::lt(x[i], S::splat(LOWEST_EXPONENT)), S::zero(), p[i]);
        }
        p
    }
}

/// x / (1 + exp(-x)) of several vectors, by way of exp(-|x|), which cannot overflow.
#[inline(always)]
pub unsafe fn silu_of<S: Simd, const N: usize>(x: [S::F32; N]) -> [S::F32; N] {
    unsafe {
        let mut e = x;
        for e in &mut e {
            *e = S::sub(S::zero(), S::abs(*e));
        }
        let mut e = exp_of::<S, N>(e);
        let one = S::splat(1.0);
        for i in 0..N {
            let above = S::select(S::lt(x[i], S::zero()), e[i], one);
            e[i] = S::div(S::mul(x[i], above), S::add(one, e[i]));
        }
        e
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, per_isa};

    #[inline(always)]
    unsafe fn map_exp<S: Simd>(out: &mut [f32], x: &[f32]) {
        for i in (0..x.len()).step_by(S::LANES) {
            let count = x.len() - i;
            unsafe {
                let v = exp::<S>(S::load_first(x.as_ptr().add(i), count));
                S::store_first(out.as_mut_ptr().add(i), v, count);
            }
        }
    }
    per_isa! { unsafe fn map_exp_on = map_exp(out: &mut [f32], x: &[f32]); }

    #[inline(always)]
    unsafe fn map_silu<S: Simd>(out: &mut [f32], x: &[f32]) {
        for i in (0..x.len()).step_by(S::LANES) {
            let count = x.len() - i;
            unsafe {
                let [v] = silu_of::<S, 1>([S::load_first(x.as_ptr().add(i), count)]);
                S::store_first(out.as_mut_ptr().add(i), v, count);
            }
        }
    }
    per_isa! { unsafe fn map_silu_on = map_silu(out: &mut [f32], x: &[f32]); }

    #[inline(always)]
    unsafe fn map_exp2<S: Simd>(out: &mut [f32], x: &[f32]) {
        for i in (0..x.len()).step_by(S::LANES) {
            let count = x.len() - i;
            unsafe {
                let [v] = exp2_of::<S, 1>([S::load_first(x.as_ptr().add(i), count)]);
                S::store_first(out.as_mut_ptr().add(i), v, count);
            }
        }
    }
    per_isa! { unsafe fn map_exp2_on = map_exp2(out: &mut [f32], x: &[f32]); }

    #[test]
    fn exp2_is_within_1_3_units_in_the_last_place_and_exact_at_the_edges() {
        let x: Vec<f32> = (0..600_000)
            .map(|i| LOWEST_EXPONENT + i as f32 * (126.0 - LOWEST_EXPONENT) / 600_000.0)
            .collect();
        for isa in Isa::available() {
            let mut got = vec![0.0; x.len()];
            unsafe { map_exp2_on(isa, &mut got, &x) };
            for (&x, &got) in x.iter().zip(&got) {
                let error = units_in_last_place(got, f64::from(x).exp2());
                assert!(error <= 1.3, "{isa:?}: 2^{x} = {got}, {error} units off");
            }
            let mut got = [7.0; 6];
            let edges = [0.0, 1.0, -126.0, f32::MIN, f32::NEG_INFINITY, f32::NAN];
            unsafe { map_exp2_on(isa, &mut got, &edges) };
            assert_eq!(got[..5], [1.0, 2.0, 0.0, 0.0, 0.0], "{isa:?}");
            assert!(got[5].is_nan(), "{isa:?}");
        }
    }

    fn units_in_last_place(got: f32, want: f64) -> f64 {
        let rounded = want as f32;
        let spacing = f64::from(f32::from_bits(rounded.to_bits() + 1)) - f64::from(rounded);
        (f64::from(got) - want).abs() / spacing
    }

    #[test]
    fn exp_is_within_1_3_units_in_the_last_place() {
        let x: Vec<f32> = (0..1_200_000)
            .map(|i| LOWEST + i as f32 * (88.72 - LOWEST) / 1_200_000.0)
            .chain((0..400_000).map(|i| (i as f32 - 200_000.0) * 3e-6))
            .collect();
        for isa in Isa::available() {
            let mut got = vec![0.0; x.len()];
            unsafe { map_exp_on(isa, &mut got, &x) };
            for (&x, &got) in x.iter().zip(&got) {
                let error = units_in_last_place(got, f64::from(x).exp());
                assert!(error <= 1.3, "{isa:?}: exp({x}) = {got}, {error} units off");
            }
        }
    }

    #[test]
    fn exp_of_the_edges_is_exact() {
        let cases = [
            (0.0, 1.0),
            (-0.0, 1.0),
            (f32::NEG_INFINITY, 0.0),
            (f32::MIN, 0.0),
            (-1e5, 0.0),
            (-87.0, 0.0),
            (88.8, f32::INFINITY),
            (1e30, f32::INFINITY),
            (f32::INFINITY, f32::INFINITY),
        ];
        let x: Vec<f32> = cases.iter().map(|c| c.0).collect();
        for isa in Isa::available() {
            let mut got = vec![7.0; x.len()];
            unsafe { map_exp_on(isa, &mut got, &x) };
            for (&(x, want), &got) in cases.iter().zip(&got) {
                assert_eq!(got, want, "{isa:?}: exp({x})");
            }
            unsafe { map_exp_on(isa, &mut got, &[f32::NAN; 9]) };
            assert!(
                got.iter().all(|v| v.is_nan()),
                "{isa:?}: exp(NaN) = {got:?}"
            );
        }
    }

    #[test]
    fn silu_keeps_its_precision_and_never_overflows() {
        let x: Vec<f32> = (0..40_001).map(|i| (i as f32 - 20_000.0) * 0.01).collect();
        for isa in Isa::available() {
            let mut got = vec![0.0; x.len()];
            unsafe { map_silu_on(isa, &mut got, &x) };
            for (&x, &got) in x.iter().zip(&got) {
                let wide = f64::from(x);
                let want = wide / (1.0 + (-wide).exp());
                let off = (f64::from(got) - want).abs();
                // Below -86.98 the true value is smaller than 1.6e-36 and the kernel's is 0.
                assert!(
                    off <= 3e-7 * want.abs() + 2e-36,
                    "{isa:?}: silu({x}) = {got}, not {want}"
                );
            }
            let mut got = [7.0; 3];
            unsafe { map_silu_on(isa, &mut got, &[f32::MAX, f32::MIN, f32::NAN]) };
            assert_eq!(got[0], f32::MAX);
            assert_eq!(got[1], 0.0);
            assert!(got[2].is_nan());
        }
    }
}
