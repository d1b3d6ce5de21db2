//! Products of levels in WebAssembly.
//!
//! The relaxed byte product is left alone: with the signs that it needs on x86 it takes as many
//! instructions as exact 16-bit products of levels that are widened while they are read, and what it
//! computes for a level of -128 is the host's choice (kernels/lab/LOG.md has the numbers).

use super::Int8;
use crate::simd::{Simd, Wasm};
use core::arch::wasm32::*;

/// Four lanes; packed levels are 16-bit integers.
#[derive(Clone, Copy)]
pub struct Wasm8;

impl Int8 for Wasm8 {
    type S = Wasm;
    type Block = [v128; 4];
    type Quad = v128;
    type Ints = v128;
    const LEVEL_BYTES: usize = 2;
    const SQUARE: usize = 4;

    #[inline(always)]
    unsafe fn block(p: *const i8) -> [v128; 4] {
        unsafe {
            [
                i16x8_load_extend_i8x8(p),
                i16x8_load_extend_i8x8(p.add(8)),
                i16x8_load_extend_i8x8(p.add(16)),
                i16x8_load_extend_i8x8(p.add(24)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn products(w: &[[v128; 4]; 4], x: [v128; 4]) -> v128 {
        let parts = |w: &[v128; 4]| {
            let ab = i32x4_add(i32x4_dot_i16x8(w[0], x[0]), i32x4_dot_i16x8(w[1], x[1]));
            let cd = i32x4_add(i32x4_dot_i16x8(w[2], x[2]), i32x4_dot_i16x8(w[3], x[3]));
            i32x4_add(ab, cd)
        };
        let halves = |a: v128, b: v128| {
            let low = i32x4_shuffle::<0, 4, 1, 5>(a, b);
            i32x4_add(low, i32x4_shuffle::<2, 6, 3, 7>(a, b))
        };
        let ab = halves(parts(&w[0]), parts(&w[1]));
        let cd = halves(parts(&w[2]), parts(&w[3]));
        let even = i64x2_shuffle::<0, 2>(ab, cd);
        f32x4_convert_i32x4(i32x4_add(even, i64x2_shuffle::<1, 3>(ab, cd)))
    }
    #[inline(always)]
    unsafe fn quad_splat(x: f32) -> v128 {
        f32x4_splat(x)
    }
    #[inline(always)]
    unsafe fn quad_f16(p: [*const u16; 4]) -> v128 {
        unsafe {
            let [a, b, c, d] = p.map(|p| p.read_unaligned());
            let halves = [a, b, c, d];
            Wasm::load_f16(halves.as_ptr())
        }
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
