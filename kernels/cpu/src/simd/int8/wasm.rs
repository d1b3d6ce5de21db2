//! Products of levels in WebAssembly.
//!
//! The relaxed byte product wants one factor below 128. Levels of repacked weights are. For signed ones
//! an activation is taken for the difference of two factors, its positive levels and its negative ones
//! without their sign: at every place one of them is 0, so that the difference of the products, like
//! each of them, fits 16 bits, 2 * 128 * 127 < 2^15, whatever the level of the weight
//! (kernels/lab/LOG.md has the numbers).

use super::Int8;
use crate::simd::Wasm;
use crate::simd::wasm::{eight_f16, four_f16};
use core::arch::wasm32::*;

/// Four lanes; packed levels are 16-bit integers.
#[derive(Clone, Copy)]
pub struct Wasm8;

/// The product of vector `I` of a block, 16 levels, in four parts.
#[inline(always)]
fn part<const I: usize>(w: &[v128; 2], x: &[v128; 4]) -> v128 {
    let positive = i16x8_relaxed_dot_i8x16_i7x16(w[I], x[I]);
    let negative = i16x8_relaxed_dot_i8x16_i7x16(w[I], x[I + 2]);
    i32x4_extadd_pairwise_i16x8(i16x8_sub(positive, negative))
}

/// Adds up the four parts of two products to two parts of each.
#[inline(always)]
fn halves(a: v128, b: v128) -> v128 {
    let low = i32x4_shuffle::<0, 4, 1, 5>(a, b);
    i32x4_add(low, i32x4_shuffle::<2, 6, 3, 7>(a, b))
}

/// Adds up the four parts of each of four products.
#[inline(always)]
fn quad_of_parts(parts: [v128; 4]) -> v128 {
    let (ab, cd) = (halves(parts[0], parts[1]), halves(parts[2], parts[3]));
    let even = i64x2_shuffle::<0, 2>(ab, cd);
    f32x4_convert_i32x4(i32x4_add(even, i64x2_shuffle::<1, 3>(ab, cd)))
}

impl Int8 for Wasm8 {
    type S = Wasm;
    type Block = [v128; 2];
    type Factor = [v128; 4];
    type Quad = v128;
    type Ints = v128;
    const LEVEL_BYTES: usize = 2;
    const SQUARE: usize = 4;

    #[inline(always)]
    unsafe fn block(p: *const i8) -> [v128; 2] {
        unsafe { [v128_load(p.cast()), v128_load(p.add(16).cast())] }
    }
    #[inline(always)]
    unsafe fn factor(p: *const i8) -> [v128; 4] {
        let [a, b] = unsafe { Self::block(p) };
        let zero = i8x16_splat(0);
        [
            i8x16_max(a, zero),
            i8x16_max(b, zero),
            i8x16_max(i8x16_neg(a), zero),
            i8x16_max(i8x16_neg(b), zero),
        ]
    }
    #[inline(always)]
    unsafe fn products(w: &[[v128; 2]; 4], x: [v128; 4], _start: i32) -> v128 {
        let mut parts = [i32x4_splat(0); 4];
        for i in 0..4 {
            parts[i] = i32x4_add(part::<0>(&w[i], &x), part::<1>(&w[i], &x));
        }
        quad_of_parts(parts)
    }
    #[inline(always)]
    unsafe fn half_products(w: &[[v128; 2]; 4], x: [v128; 4], _starts: [i32; 2]) -> [v128; 2] {
        let mut parts = [[i32x4_splat(0); 4]; 2];
        for i in 0..4 {
            parts[0][i] = part::<0>(&w[i], &x);
            parts[1][i] = part::<1>(&w[i], &x);
        }
        [quad_of_parts(parts[0]), quad_of_parts(parts[1])]
    }
    #[inline(always)]
    unsafe fn quad_splat(x: f32) -> v128 {
        f32x4_splat(x)
    }
    #[inline(always)]
    unsafe fn quad_load(p: &[f32; 4]) -> v128 {
        unsafe { v128_load(p.as_ptr().cast()) }
    }
    #[inline(always)]
    unsafe fn quad_f16(p: [*const u16; 4]) -> v128 {
        unsafe { four_f16(p) }
    }
    #[inline(always)]
    unsafe fn quads_f16(p: [[*const u16; 4]; 2]) -> [v128; 2] {
        unsafe { eight_f16(p) }
    }
    #[inline(always)]
    unsafe fn quad_mul(a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    unsafe fn quad_fma(a: v128, b: v128, c: v128) -> v128 {
        f32x4_relaxed_madd(a, b, c)
    }
    #[inline(always)]
    unsafe fn quad_floats(a: v128) -> [f32; 4] {
        let mut floats = [0f32; 4];
        unsafe { v128_store(floats.as_mut_ptr().cast(), a) };
        floats
    }
    #[inline(always)]
    unsafe fn ints_splat(x: i32) -> v128 {
        i32x4_splat(x)
    }
    #[inline(always)]
    unsafe fn ints_load(p: *const u8) -> v128 {
        unsafe { v128_load(p.cast()) }
    }
    #[inline(always)]
    unsafe fn ints_dot(sum: v128, w: v128, x: v128) -> v128 {
        i32x4_add(sum, i32x4_dot_i16x8(w, x))
    }
    /// Exact however the processor does it: signed times seven bits fits every intermediate type.
    #[inline(always)]
    unsafe fn ints_dot_bytes(sum: v128, w: v128, x: v128) -> v128 {
        i32x4_relaxed_dot_i8x16_i7x16_add(x, w, sum)
    }
    #[inline(always)]
    unsafe fn ints_and(a: v128, b: v128) -> v128 {
        v128_and(a, b)
    }
    #[inline(always)]
    unsafe fn ints_or(a: v128, b: v128) -> v128 {
        v128_or(a, b)
    }
    #[inline(always)]
    unsafe fn ints_store(p: *mut u8, a: v128) {
        unsafe { v128_store(p.cast(), a) }
    }
    #[inline(always)]
    unsafe fn ints_sub_halves(a: v128, b: v128) -> v128 {
        i16x8_sub(a, b)
    }
    #[inline(always)]
    unsafe fn ints_sub(a: v128, b: v128) -> v128 {
        i32x4_sub(a, b)
    }
    #[inline(always)]
    unsafe fn ints_shr(a: v128, bits: u32) -> v128 {
        u32x4_shr(a, bits)
    }
    #[inline(always)]
    unsafe fn ints_shl(a: v128, bits: u32) -> v128 {
        i32x4_shl(a, bits)
    }
    #[inline(always)]
    unsafe fn ints_floats(a: v128) -> v128 {
        f32x4_convert_i32x4(a)
    }
    #[inline(always)]
    unsafe fn transpose(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
        unsafe {
            let row = |i: usize| v128_load(from.add(i * from_stride).cast());
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            let (ab, cd) = (
                i32x4_shuffle::<0, 4, 1, 5>(a, b),
                i32x4_shuffle::<0, 4, 1, 5>(c, d),
            );
            v128_store(to.cast(), i64x2_shuffle::<0, 2>(ab, cd));
            v128_store(to.add(to_stride).cast(), i64x2_shuffle::<1, 3>(ab, cd));
            let (ab, cd) = (
                i32x4_shuffle::<2, 6, 3, 7>(a, b),
                i32x4_shuffle::<2, 6, 3, 7>(c, d),
            );
            v128_store(to.add(2 * to_stride).cast(), i64x2_shuffle::<0, 2>(ab, cd));
            v128_store(to.add(3 * to_stride).cast(), i64x2_shuffle::<1, 3>(ab, cd));
        }
    }
}
