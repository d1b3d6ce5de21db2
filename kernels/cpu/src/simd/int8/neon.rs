//! Products of levels with NEON.

use super::Int8;
use crate::simd::Neon;
use crate::simd::float16::f16_to_f32;
use core::arch::aarch64::*;

/// Four lanes; packed levels are 16-bit integers.
#[derive(Clone, Copy)]
pub struct Neon8;

/// The product of 16 levels in four parts.
#[inline(always)]
unsafe fn part(w: int8x16_t, x: int8x16_t) -> int32x4_t {
    unsafe {
        let low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
        vpadalq_s16(vpaddlq_s16(low), vmull_high_s8(w, x))
    }
}

/// Adds up the four parts of each of four products.
#[inline(always)]
unsafe fn quad_of_parts(parts: [int32x4_t; 4]) -> float32x4_t {
    unsafe {
        let ab = vpaddq_s32(parts[0], parts[1]);
        let cd = vpaddq_s32(parts[2], parts[3]);
        vcvtq_f32_s32(vpaddq_s32(ab, cd))
    }
}

impl Int8 for Neon8 {
    type S = Neon;
    type Block = [int8x16_t; 2];
    type Factor = [int8x16_t; 2];
    type Quad = float32x4_t;
    type Ints = int32x4_t;
    const LEVEL_BYTES: usize = 2;
    const SQUARE: usize = 4;

    #[inline(always)]
    unsafe fn block(p: *const i8) -> [int8x16_t; 2] {
        unsafe { [vld1q_s8(p), vld1q_s8(p.add(16))] }
    }
    #[inline(always)]
    unsafe fn factor(p: *const i8) -> [int8x16_t; 2] {
        unsafe { Self::block(p) }
    }
    #[inline(always)]
    unsafe fn products(w: &[[int8x16_t; 2]; 4], x: [int8x16_t; 2], _start: i32) -> float32x4_t {
        unsafe {
            let mut parts = [vdupq_n_s32(0); 4];
            for i in 0..4 {
                parts[i] = vaddq_s32(part(w[i][0], x[0]), part(w[i][1], x[1]));
            }
            quad_of_parts(parts)
        }
    }
    #[inline(always)]
    unsafe fn half_products(
        w: &[[int8x16_t; 2]; 4],
        x: [int8x16_t; 2],
        _starts: [i32; 2],
    ) -> [float32x4_t; 2] {
        unsafe {
            let mut parts = [[vdupq_n_s32(0); 4]; 2];
            for i in 0..4 {
                parts[0][i] = part(w[i][0], x[0]);
                parts[1][i] = part(w[i][1], x[1]);
            }
            [quad_of_parts(parts[0]), quad_of_parts(parts[1])]
        }
    }
    #[inline(always)]
    unsafe fn quad_splat(x: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn quad_load(p: &[f32; 4]) -> float32x4_t {
        unsafe { vld1q_f32(p.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn quad_f16(p: [*const u16; 4]) -> float32x4_t {
        unsafe {
            let floats = p.map(|p| f16_to_f32(p.read_unaligned()));
            vld1q_f32(floats.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn quad_mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn quad_fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn quad_floats(a: float32x4_t) -> [f32; 4] {
        let mut floats = [0f32; 4];
        unsafe { vst1q_f32(floats.as_mut_ptr(), a) };
        floats
    }
    #[inline(always)]
    unsafe fn ints_splat(x: i32) -> int32x4_t {
        unsafe { vdupq_n_s32(x) }
    }
    #[inline(always)]
    unsafe fn ints_load(p: *const u8) -> int32x4_t {
        unsafe { vreinterpretq_s32_u8(vld1q_u8(p)) }
    }
    #[inline(always)]
    unsafe fn ints_dot(sum: int32x4_t, w: int32x4_t, x: int32x4_t) -> int32x4_t {
        unsafe {
            let (w, x) = (vreinterpretq_s16_s32(w), vreinterpretq_s16_s32(x));
            let low = vmull_s16(vget_low_s16(w), vget_low_s16(x));
            vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(w, x)))
        }
    }
    #[inline(always)]
    unsafe fn ints_dot_bytes(sum: int32x4_t, w: int32x4_t, x: int32x4_t) -> int32x4_t {
        unsafe {
            let (w, x) = (vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(x));
            let low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
            vpadalq_s16(sum, vpaddq_s16(low, vmull_high_s8(w, x)))
        }
    }
    #[inline(always)]
    unsafe fn ints_and(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vandq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn ints_or(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vorrq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn ints_store(p: *mut u8, a: int32x4_t) {
        unsafe { vst1q_u8(p, vreinterpretq_u8_s32(a)) }
    }
    #[inline(always)]
    unsafe fn ints_sub_halves(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe {
            vreinterpretq_s32_s16(vsubq_s16(
                vreinterpretq_s16_s32(a),
                vreinterpretq_s16_s32(b),
            ))
        }
    }
    #[inline(always)]
    unsafe fn ints_sub(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vsubq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn ints_shr(a: int32x4_t, bits: u32) -> int32x4_t {
        unsafe {
            let down = vdupq_n_s32(-(bits as i32));
            vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), down))
        }
    }
    #[inline(always)]
    unsafe fn ints_shl(a: int32x4_t, bits: u32) -> int32x4_t {
        unsafe { vshlq_s32(a, vdupq_n_s32(bits as i32)) }
    }
    #[inline(always)]
    unsafe fn ints_floats(a: int32x4_t) -> float32x4_t {
        unsafe { vcvtq_f32_s32(a) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
        unsafe {
            let row = |i: usize| vld1q_u32(from.add(i * from_stride).cast());
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            let pair = |a: uint32x4_t, b: uint32x4_t| {
                let (even, odd) = (vtrn1q_u32(a, b), vtrn2q_u32(a, b));
                [vreinterpretq_u64_u32(even), vreinterpretq_u64_u32(odd)]
            };
            let (ab, cd) = (pair(a, b), pair(c, d));
            for i in 0..2 {
                let low = vtrn1q_u64(ab[i], cd[i]);
                let high = vtrn2q_u64(ab[i], cd[i]);
                vst1q_u32(to.add(i * to_stride).cast(), vreinterpretq_u32_u64(low));
                vst1q_u32(
                    to.add((i + 2) * to_stride).cast(),
                    vreinterpretq_u32_u64(high),
                );
            }
        }
    }
}
