//! NEON (Advanced SIMD of 64-bit Arm): four lanes.

use super::Simd;
use super::float16::f32_to_f16;
use core::arch::aarch64::*;

/// Four lanes of 128-bit vectors.
#[derive(Clone, Copy)]
pub struct Neon;

/// Widens four half-precision numbers, one in the lower bits of each lane.
#[inline(always)]
unsafe fn widen_f16(half: uint32x4_t) -> float32x4_t {
    unsafe {
        // As in wasm.rs: the conversion instruction needs a type that stable Rust does not have.
        let sign = vshlq_n_u32::<16>(vandq_u32(half, vdupq_n_u32(0x8000)));
        let rest = vshlq_n_u32::<13>(vandq_u32(half, vdupq_n_u32(0x7fff)));
        let scale = vdupq_n_f32(f32::from_bits((112 + 127) << 23));
        let number = vreinterpretq_u32_f32(vmulq_f32(vreinterpretq_f32_u32(rest), scale));
        let top = vcgeq_u32(rest, vdupq_n_u32(0x7c00 << 13));
        let nan = vcgtq_u32(rest, vdupq_n_u32(0x7c00 << 13));
        let special = vorrq_u32(rest, vdupq_n_u32(0x7f80_0000));
        let special = vorrq_u32(special, vandq_u32(nan, vdupq_n_u32(1 << 22)));
        vreinterpretq_f32_u32(vorrq_u32(vbslq_u32(top, special, number), sign))
    }
}

impl Simd for Neon {
    type F32 = float32x4_t;
    type Mask = uint32x4_t;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, count: usize) -> float32x4_t {
        unsafe {
            if count >= 4 {
                vld1q_f32(p)
            } else {
                vld1q_f32(super::first(p, count, 4).as_ptr())
            }
        }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: float32x4_t) {
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: float32x4_t, count: usize) {
        unsafe {
            if count >= 4 {
                return vst1q_f32(p, v);
            }
            let mut lanes = [0f32; 4];
            vst1q_f32(lanes.as_mut_ptr(), v);
            for (i, &x) in lanes.iter().enumerate().take(count) {
                *p.add(i) = x;
            }
        }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> float32x4_t {
        unsafe { widen_f16(vmovl_u16(vld1_u16(p))) }
    }
    #[inline(always)]
    unsafe fn splat_f16(p: *const u16) -> float32x4_t {
        unsafe { widen_f16(vdupq_n_u32(u32::from(p.read_unaligned()))) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> float32x4_t {
        unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vld1_u16(p)))) }
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> float32x4_t {
        unsafe {
            let four = vcreate_s8(u64::from(p.cast::<u32>().read_unaligned()));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(four))))
        }
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, v: float32x4_t) {
        let mut lanes = [0f32; 4];
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), v);
            p.cast::<[u16; 4]>().write_unaligned(lanes.map(f32_to_f16));
        }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vminq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn abs(a: float32x4_t) -> float32x4_t {
        unsafe { vabsq_f32(a) }
    }
    #[inline(always)]
    unsafe fn sqrt(a: float32x4_t) -> float32x4_t {
        unsafe { vsqrtq_f32(a) }
    }
    #[inline(always)]
    unsafe fn round(a: float32x4_t) -> float32x4_t {
        unsafe { vrndnq_f32(a) }
    }
    #[inline(always)]
    unsafe fn exp2_integral(a: float32x4_t) -> float32x4_t {
        unsafe {
            let biased = vaddq_s32(vcvtnq_s32_f32(a), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
        }
    }
    #[inline(always)]
    unsafe fn lt(a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        unsafe { vcltq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn select(mask: uint32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(mask, yes, no) }
    }
    #[inline(always)]
    unsafe fn reduce_add(v: float32x4_t) -> f32 {
        unsafe {
            let two = vadd_f32(vget_low_f32(v), vget_high_f32(v));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }
    #[inline(always)]
    unsafe fn reduce_max(v: float32x4_t) -> f32 {
        unsafe { vmaxvq_f32(v) }
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        unsafe {
            core::arch::asm!("prfm pldl1keep, [{}]", in(reg) p, options(nostack, readonly, preserves_flags))
        }
    }
}
