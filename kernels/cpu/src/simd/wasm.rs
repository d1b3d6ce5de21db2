//! WebAssembly simd128 with relaxed SIMD: four lanes.

use super::Simd;
use core::arch::wasm32::*;

/// Four lanes of 128-bit vectors; `fma` rounds once where the host processor can.
#[derive(Clone, Copy)]
pub struct Wasm;

/// Widens four half-precision numbers, each in the lower half of its lane and sign-extended.
#[inline(always)]
fn widen_f16(half: v128) -> v128 {
    // Sign, exponent and mantissa moved into place; what has the largest exponent gets the largest
    // one again. The product with 2^112 puts the exponents of numbers and of subnormals right,
    // exactly, and makes a NaN quiet.
    let moved = v128_and(i32x4_shl(half, 13), u32x4_splat(0x8fff_e000));
    let rest = v128_and(moved, u32x4_splat(0x7fff_ffff));
    let top = i32x4_gt(rest, i32x4_splat((0x7c00 << 13) - 1));
    let top = v128_and(top, u32x4_splat(0x7f80_0000));
    f32x4_mul(
        v128_or(moved, top),
        f32x4_splat(f32::from_bits(0x7780_0000)),
    )
}

/// Widens four halves from different places.
#[inline(always)]
pub unsafe fn four_f16(p: [*const u16; 4]) -> v128 {
    unsafe {
        let halves = i16x8_splat(0);
        let halves = v128_load16_lane::<0>(halves, p[0]);
        let halves = v128_load16_lane::<1>(halves, p[1]);
        let halves = v128_load16_lane::<2>(halves, p[2]);
        let halves = v128_load16_lane::<3>(halves, p[3]);
        widen_f16(i32x4_extend_low_i16x8(halves))
    }
}

/// What `eight_f16` works with. Read from memory, at an address that needs no check: of a constant in
/// the code the engine makes three instructions, at each use.
static HALVES: [[u16; 8]; 3] = [[0x8fff; 8], [0x0f80; 8], [0x7f80; 8]];

/// `four_f16` of four halves and of four more: the upper halves of their results are made together.
#[inline(always)]
pub unsafe fn eight_f16([p, q]: [[*const u16; 4]; 2]) -> [v128; 2] {
    unsafe {
        let halves = v128_load16_splat(p[0].cast());
        let halves = v128_load16_lane::<1>(halves, p[1].cast());
        let halves = v128_load16_lane::<2>(halves, p[2].cast());
        let halves = v128_load16_lane::<3>(halves, p[3].cast());
        let halves = v128_load16_lane::<4>(halves, q[0].cast());
        let halves = v128_load16_lane::<5>(halves, q[1].cast());
        let halves = v128_load16_lane::<6>(halves, q[2].cast());
        let halves = v128_load16_lane::<7>(halves, q[3].cast());
        let constant = |i: usize| (&raw const HALVES[i]).cast::<v128>().read_volatile();
        let moved = v128_and(i16x8_shr(halves, 3), constant(0));
        let top = i16x8_eq(v128_and(moved, constant(1)), constant(1));
        let upper = v128_or(moved, v128_and(top, constant(2)));
        let lower = i16x8_shl(halves, 13);
        let factor = f32x4_splat(f32::from_bits(0x7780_0000));
        [
            f32x4_mul(
                i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(lower, upper),
                factor,
            ),
            f32x4_mul(
                i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(lower, upper),
                factor,
            ),
        ]
    }
}

impl Simd for Wasm {
    type F32 = v128;
    type Mask = v128;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> v128 {
        f32x4_splat(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> v128 {
        unsafe { v128_load(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, count: usize) -> v128 {
        unsafe {
            match count {
                0 => f32x4_splat(0.0),
                1 => v128_load32_zero(p.cast()),
                2 => v128_load64_zero(p.cast()),
                3 => v128_load32_lane::<2>(v128_load64_zero(p.cast()), p.add(2).cast()),
                _ => v128_load(p.cast()),
            }
        }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: v128) {
        unsafe { v128_store(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: v128, count: usize) {
        unsafe {
            match count {
                0 => {}
                1 => v128_store32_lane::<0>(v, p.cast()),
                2 => v128_store64_lane::<0>(v, p.cast()),
                3 => {
                    v128_store64_lane::<0>(v, p.cast());
                    v128_store32_lane::<2>(v, p.add(2).cast())
                }
                _ => v128_store(p.cast(), v),
            }
        }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> v128 {
        unsafe { widen_f16(i32x4_load_extend_i16x4(p.cast())) }
    }
    #[inline(always)]
    unsafe fn splat_f16(p: *const u16) -> v128 {
        unsafe { widen_f16(i32x4_splat(i32::from(p.cast::<i16>().read_unaligned()))) }
    }
    #[inline(always)]
    unsafe fn splats_f16(p: [*const u16; 4]) -> [v128; 4] {
        unsafe {
            let four = four_f16(p);
            [
                i32x4_shuffle::<0, 0, 0, 0>(four, four),
                i32x4_shuffle::<1, 1, 1, 1>(four, four),
                i32x4_shuffle::<2, 2, 2, 2>(four, four),
                i32x4_shuffle::<3, 3, 3, 3>(four, four),
            ]
        }
    }
    #[inline(always)]
    unsafe fn f16(p: *const u16) -> f32 {
        unsafe { f32x4_extract_lane::<0>(Self::splat_f16(p)) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> v128 {
        unsafe { u32x4_shl(u32x4_load_extend_u16x4(p.cast()), 16) }
    }
    #[inline(always)]
    unsafe fn load_bf16_pair(p: *const u16) -> [v128; 2] {
        // One instruction each: a zero below every number.
        let (zero, eight) = (i16x8_splat(0), unsafe { v128_load(p.cast()) });
        [
            i16x8_shuffle::<8, 0, 9, 1, 10, 2, 11, 3>(eight, zero),
            i16x8_shuffle::<12, 4, 13, 5, 14, 6, 15, 7>(eight, zero),
        ]
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> v128 {
        unsafe {
            let bytes = v128_load32_zero(p.cast());
            f32x4_convert_i32x4(i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes)))
        }
    }
    #[inline(always)]
    unsafe fn load_i8_pair(p: *const i8) -> [v128; 2] {
        unsafe {
            let words = i16x8_load_extend_i8x8(p);
            [
                f32x4_convert_i32x4(i32x4_extend_low_i16x8(words)),
                f32x4_convert_i32x4(i32x4_extend_high_i16x8(words)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, v: v128) {
        let half = |x: f32| super::float16::f32_to_f16(x);
        unsafe {
            p.write_unaligned(half(f32x4_extract_lane::<0>(v)));
            p.add(1).write_unaligned(half(f32x4_extract_lane::<1>(v)));
            p.add(2).write_unaligned(half(f32x4_extract_lane::<2>(v)));
            p.add(3).write_unaligned(half(f32x4_extract_lane::<3>(v)));
        }
    }
    #[inline(always)]
    unsafe fn add(a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: v128, b: v128, c: v128) -> v128 {
        f32x4_relaxed_madd(a, b, c)
    }
    #[inline(always)]
    unsafe fn max(a: v128, b: v128) -> v128 {
        f32x4_pmax(a, b)
    }
    #[inline(always)]
    unsafe fn min(a: v128, b: v128) -> v128 {
        f32x4_pmin(a, b)
    }
    #[inline(always)]
    unsafe fn abs(a: v128) -> v128 {
        f32x4_abs(a)
    }
    #[inline(always)]
    unsafe fn sqrt(a: v128) -> v128 {
        f32x4_sqrt(a)
    }
    #[inline(always)]
    unsafe fn round(a: v128) -> v128 {
        f32x4_nearest(a)
    }
    #[inline(always)]
    unsafe fn exp2_integral(a: v128) -> v128 {
        let biased = i32x4_add(i32x4_relaxed_trunc_f32x4(a), i32x4_splat(127));
        i32x4_shl(biased, 23)
    }
    #[inline(always)]
    unsafe fn lt(a: v128, b: v128) -> v128 {
        f32x4_lt(a, b)
    }
    #[inline(always)]
    unsafe fn select(mask: v128, yes: v128, no: v128) -> v128 {
        v128_bitselect(yes, no, mask)
    }
    #[inline(always)]
    unsafe fn reduce_add(v: v128) -> f32 {
        let two = f32x4_add(v, i32x4_shuffle::<2, 3, 2, 3>(v, v));
        f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
    }
    #[inline(always)]
    unsafe fn reduce_add4(v: [v128; 4]) -> [f32; 4] {
        let pair =
            |a: v128, b: v128| f32x4_add(i64x2_shuffle::<0, 2>(a, b), i64x2_shuffle::<1, 3>(a, b));
        let (ab, cd) = (pair(v[0], v[1]), pair(v[2], v[3]));
        let even = i32x4_shuffle::<0, 2, 4, 6>(ab, cd);
        let odd = i32x4_shuffle::<1, 3, 5, 7>(ab, cd);
        let mut sums = [0f32; 4];
        unsafe { v128_store(sums.as_mut_ptr().cast(), f32x4_add(even, odd)) };
        sums
    }
    #[inline(always)]
    unsafe fn reduce_max(v: v128) -> f32 {
        let two = f32x4_pmax(v, i32x4_shuffle::<2, 3, 2, 3>(v, v));
        let one = f32x4_pmax(two, i32x4_shuffle::<1, 1, 1, 1>(two, two));
        f32x4_extract_lane::<0>(one)
    }
    #[inline(always)]
    unsafe fn store_across(to: *mut f32, stride: usize, [a, b, c, d]: [v128; 4]) {
        let (ab_low, ab_high) = (
            i32x4_shuffle::<0, 4, 1, 5>(a, b),
            i32x4_shuffle::<2, 6, 3, 7>(a, b),
        );
        let (cd_low, cd_high) = (
            i32x4_shuffle::<0, 4, 1, 5>(c, d),
            i32x4_shuffle::<2, 6, 3, 7>(c, d),
        );
        unsafe {
            v128_store(to.cast(), i64x2_shuffle::<0, 2>(ab_low, cd_low));
            v128_store(to.add(stride).cast(), i64x2_shuffle::<1, 3>(ab_low, cd_low));
            v128_store(
                to.add(2 * stride).cast(),
                i64x2_shuffle::<0, 2>(ab_high, cd_high),
            );
            v128_store(
                to.add(3 * stride).cast(),
                i64x2_shuffle::<1, 3>(ab_high, cd_high),
            );
        }
    }
    #[inline(always)]
    unsafe fn prefetch(_p: *const u8) {}
}
