//! The portable vector: four floats in an array, for processors without a file of their own.

use super::Simd;
use super::float16::{bf16_to_f32, f16_to_f32, f32_to_f16};

/// Four lanes in plain Rust; `fma` rounds twice.
#[derive(Clone, Copy)]
pub struct Scalar;

#[inline(always)]
fn map(a: [f32; 4], f: impl Fn(f32) -> f32) -> [f32; 4] {
    [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
}

#[inline(always)]
fn zip(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Simd for Scalar {
    type F32 = [f32; 4];
    type Mask = [bool; 4];
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; 4] {
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, count: usize) -> [f32; 4] {
        unsafe { Self::load(super::first(p, count, 4).as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; 4]) {
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: [f32; 4], count: usize) {
        for (i, x) in v.into_iter().enumerate().take(count) {
            unsafe { *p.add(i) = x }
        }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> [f32; 4] {
        unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(f16_to_f32)
    }
    #[inline(always)]
    unsafe fn splat_f16(p: *const u16) -> [f32; 4] {
        [f16_to_f32(unsafe { p.read_unaligned() }); 4]
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> [f32; 4] {
        unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(bf16_to_f32)
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> [f32; 4] {
        unsafe { p.cast::<[i8; 4]>().read_unaligned() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, v: [f32; 4]) {
        unsafe { p.cast::<[u16; 4]>().write_unaligned(v.map(f32_to_f16)) }
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        unsafe { Self::add(Self::mul(a, b), c) }
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn abs(a: [f32; 4]) -> [f32; 4] {
        map(a, |a| f32::from_bits(a.to_bits() & 0x7fff_ffff))
    }
    #[inline(always)]
    unsafe fn sqrt(a: [f32; 4]) -> [f32; 4] {
        map(a, square_root)
    }
    #[inline(always)]
    unsafe fn round(a: [f32; 4]) -> [f32; 4] {
        // Adding 2^23 leaves no bits for the fraction, so that the addition itself rounds.
        map(a, |a| {
            let whole = (f32::from_bits(a.to_bits() & 0x7fff_ffff) + 8_388_608.0) - 8_388_608.0;
            f32::from_bits(whole.to_bits() | a.to_bits() & 0x8000_0000)
        })
    }
    #[inline(always)]
    unsafe fn exp2_integral(a: [f32; 4]) -> [f32; 4] {
        map(a, |a| f32::from_bits(((a as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn lt(a: [f32; 4], b: [f32; 4]) -> [bool; 4] {
        [a[0] < b[0], a[1] < b[1], a[2] < b[2], a[3] < b[3]]
    }
    #[inline(always)]
    unsafe fn select(mask: [bool; 4], yes: [f32; 4], no: [f32; 4]) -> [f32; 4] {
        let pick = |i: usize| if mask[i] { yes[i] } else { no[i] };
        [pick(0), pick(1), pick(2), pick(3)]
    }
    #[inline(always)]
    unsafe fn reduce_add(v: [f32; 4]) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }
    #[inline(always)]
    unsafe fn reduce_max(v: [f32; 4]) -> f32 {
        let pair = |a: f32, b: f32| if a > b { a } else { b };
        pair(pair(v[0], v[2]), pair(v[1], v[3]))
    }
    #[inline(always)]
    unsafe fn prefetch(_p: *const u8) {}
}

#[cfg(not(target_arch = "wasm32"))]
#[inline(always)]
pub fn square_root(x: f32) -> f32 {
    x.sqrt()
}

#[cfg(target_arch = "wasm32")]
#[inline(always)]
pub fn square_root(x: f32) -> f32 {
    use core::arch::wasm32::{f32x4_extract_lane, f32x4_splat, f32x4_sqrt};
    f32x4_extract_lane::<0>(f32x4_sqrt(f32x4_splat(x)))
}

/// The square root in double precision, correctly rounded.
#[cfg(not(target_arch = "wasm32"))]
#[inline(always)]
pub fn square_root_f64(x: f64) -> f64 {
    x.sqrt()
}

/// The square root in double precision, correctly rounded.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
pub fn square_root_f64(x: f64) -> f64 {
    use core::arch::wasm32::{f64x2_extract_lane, f64x2_splat, f64x2_sqrt};
    f64x2_extract_lane::<0>(f64x2_sqrt(f64x2_splat(x)))
}
