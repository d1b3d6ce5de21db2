//! Products of levels in plain Rust.

use super::Int8;
use crate::simd::float16::f16_to_f32;
use crate::simd::{Scalar, Simd};

/// Four lanes; packed levels are 16-bit integers.
#[derive(Clone, Copy)]
pub struct Scalar8;

#[inline(always)]
fn product_of(w: &[i8], x: &[i8]) -> i32 {
    let terms = w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x));
    terms.sum()
}

impl Int8 for Scalar8 {
    type S = Scalar;
    type Block = [i8; 32];
    type Factor = [i8; 32];
    type Quad = [f32; 4];
    type Ints = [i32; 4];
    const LEVEL_BYTES: usize = 2;
    const SQUARE: usize = 4;

    #[inline(always)]
    unsafe fn block(p: *const i8) -> [i8; 32] {
        unsafe { p.cast::<[i8; 32]>().read() }
    }
    #[inline(always)]
    unsafe fn factor(p: *const i8) -> [i8; 32] {
        unsafe { Self::block(p) }
    }
    #[inline(always)]
    unsafe fn products(w: &[[i8; 32]; 4], x: [i8; 32], _start: i32) -> [f32; 4] {
        w.map(|w| product_of(&w, &x) as f32)
    }
    #[inline(always)]
    unsafe fn half_products(w: &[[i8; 32]; 4], x: [i8; 32], _starts: [i32; 2]) -> [[f32; 4]; 2] {
        [0..16, 16..32].map(|half| w.map(|w| product_of(&w[half.clone()], &x[half.clone()]) as f32))
    }
    #[inline(always)]
    unsafe fn quad_splat(x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn quad_load(p: &[f32; 4]) -> [f32; 4] {
        *p
    }
    #[inline(always)]
    unsafe fn quad_f16(p: [*const u16; 4]) -> [f32; 4] {
        p.map(|p| f16_to_f32(unsafe { p.read_unaligned() }))
    }
    #[inline(always)]
    unsafe fn quad_mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        unsafe { Scalar::mul(a, b) }
    }
    #[inline(always)]
    unsafe fn quad_fma(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        unsafe { Scalar::fma(a, b, c) }
    }
    #[inline(always)]
    unsafe fn quad_floats(a: [f32; 4]) -> [f32; 4] {
        a
    }
    #[inline(always)]
    unsafe fn ints_splat(x: i32) -> [i32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn ints_load(p: *const u8) -> [i32; 4] {
        unsafe { p.cast::<[i32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn ints_dot(mut sum: [i32; 4], w: [i32; 4], x: [i32; 4]) -> [i32; 4] {
        for i in 0..4 {
            sum[i] += i32::from(w[i] as i16) * i32::from(x[i] as i16);
            sum[i] += (w[i] >> 16) * (x[i] >> 16);
        }
        sum
    }
    #[inline(always)]
    unsafe fn ints_dot_bytes(mut sum: [i32; 4], w: [i32; 4], x: [i32; 4]) -> [i32; 4] {
        for i in 0..4 {
            let (w, x) = (w[i].to_le_bytes(), x[i].to_le_bytes());
            for byte in 0..4 {
                sum[i] += i32::from(w[byte]) * i32::from(x[byte] as i8);
            }
        }
        sum
    }
    #[inline(always)]
    unsafe fn ints_and(mut a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        for i in 0..4 {
            a[i] &= b[i];
        }
        a
    }
    #[inline(always)]
    unsafe fn ints_or(mut a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        for i in 0..4 {
            a[i] |= b[i];
        }
        a
    }
    #[inline(always)]
    unsafe fn ints_store(p: *mut u8, a: [i32; 4]) {
        unsafe { p.cast::<[i32; 4]>().write_unaligned(a) }
    }
    #[inline(always)]
    unsafe fn ints_sub_halves(mut a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        for i in 0..4 {
            let low = (a[i] as i16).wrapping_sub(b[i] as i16);
            let high = (a[i] >> 16).wrapping_sub(b[i] >> 16);
            a[i] = high << 16 | i32::from(low as u16);
        }
        a
    }
    #[inline(always)]
    unsafe fn ints_sub(mut a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
        for i in 0..4 {
            a[i] = a[i].wrapping_sub(b[i]);
        }
        a
    }
    #[inline(always)]
    unsafe fn ints_shr(a: [i32; 4], bits: u32) -> [i32; 4] {
        a.map(|a| (a as u32 >> bits) as i32)
    }
    #[inline(always)]
    unsafe fn ints_shl(a: [i32; 4], bits: u32) -> [i32; 4] {
        a.map(|a| a << bits)
    }
    #[inline(always)]
    unsafe fn ints_floats(a: [i32; 4]) -> [f32; 4] {
        a.map(|a| a as f32)
    }
    #[inline(always)]
    unsafe fn transpose(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
        for r in 0..4 {
            for c in 0..4 {
                unsafe {
                    let word = from
                        .add(r * from_stride)
                        .cast::<u32>()
                        .add(c)
                        .read_unaligned();
                    to.add(c * to_stride)
                        .cast::<u32>()
                        .add(r)
                        .write_unaligned(word);
                }
            }
        }
    }
}
