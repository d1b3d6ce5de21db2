//! Products of levels on x86: with AVX2, AVX-512, and with the VNNI extensions of both.
//!
//! In place all of them use 256-bit vectors, as one block fills one. VNNI multiplies the unsigned
//! levels of weights as they are. Without it |w| times x with the sign of w is what the instruction
//! for unsigned by signed bytes can multiply: its 16-bit sums of two do not overflow, as
//! 2 * 128 * 127 < 2^15.

use super::Int8;
use super::x86_blocks::{
    all_parts_words, halves_block, halves_of_parts, raised_block, sums_of_parts, transpose8,
};
use crate::simd::{Avx2, Avx512};
use core::arch::x86_64::*;

/// Eight lanes; packed levels are 16-bit integers.
#[derive(Clone, Copy)]
pub struct Avx2Words;

/// Eight lanes; packed levels are bytes.
#[derive(Clone, Copy)]
pub struct Avx2Vnni;

/// Sixteen lanes; packed levels are 16-bit integers.
#[derive(Clone, Copy)]
pub struct Avx512Words;

/// Sixteen lanes; packed levels are bytes.
#[derive(Clone, Copy)]
pub struct Avx512Vnni;

/// What the four have in common.
macro_rules! in_256_bits {
    () => {
        type Block = __m256i;
        type Factor = __m256i;
        type Quad = __m128;
        const SQUARE: usize = 8;

        #[inline(always)]
        unsafe fn block(p: *const i8) -> __m256i {
            unsafe { _mm256_loadu_si256(p.cast()) }
        }
        #[inline(always)]
        unsafe fn factor(p: *const i8) -> __m256i {
            unsafe { Self::block(p) }
        }
        #[inline(always)]
        unsafe fn halves_block(p: *const u8) -> __m256i {
            unsafe { halves_block(p, if Self::LEVEL_BYTES == 1 { 0 } else { 8 }) }
        }
        #[inline(always)]
        unsafe fn quad_splat(x: f32) -> __m128 {
            unsafe { _mm_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn quad_load(p: &[f32; 4]) -> __m128 {
            unsafe { _mm_loadu_ps(p.as_ptr()) }
        }
        #[inline(always)]
        unsafe fn quad_f16(p: [*const u16; 4]) -> __m128 {
            unsafe {
                let [a, b, c, d] = p;
                let (a, b) = (
                    a.cast::<i16>().read_unaligned(),
                    b.cast::<i16>().read_unaligned(),
                );
                let (c, d) = (
                    c.cast::<i16>().read_unaligned(),
                    d.cast::<i16>().read_unaligned(),
                );
                _mm_cvtph_ps(_mm_setr_epi16(a, b, c, d, 0, 0, 0, 0))
            }
        }
        #[inline(always)]
        unsafe fn quads_f16([p, q]: [[*const u16; 4]; 2]) -> [__m128; 2] {
            unsafe {
                let h = |p: *const u16| p.cast::<i16>().read_unaligned();
                let (a, b, c, d) = (h(p[0]), h(p[1]), h(p[2]), h(p[3]));
                let halves = _mm_setr_epi16(a, b, c, d, h(q[0]), h(q[1]), h(q[2]), h(q[3]));
                let wide = _mm256_cvtph_ps(halves);
                [
                    _mm256_castps256_ps128(wide),
                    _mm256_extractf128_ps::<1>(wide),
                ]
            }
        }
        #[inline(always)]
        unsafe fn quad_mul(a: __m128, b: __m128) -> __m128 {
            unsafe { _mm_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn quad_fma(a: __m128, b: __m128, c: __m128) -> __m128 {
            unsafe { _mm_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn quad_floats(a: __m128) -> [f32; 4] {
            let mut floats = [0f32; 4];
            unsafe { _mm_storeu_ps(floats.as_mut_ptr(), a) };
            floats
        }
        #[inline(always)]
        unsafe fn transpose(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
            unsafe { transpose8(from, from_stride, to, to_stride) }
        }
    };
}

/// Integers in 256-bit vectors.
macro_rules! ints_in_256_bits {
    () => {
        type S = Avx2;
        type Ints = __m256i;

        #[inline(always)]
        unsafe fn ints_splat(x: i32) -> __m256i {
            unsafe { _mm256_set1_epi32(x) }
        }
        #[inline(always)]
        unsafe fn ints_load(p: *const u8) -> __m256i {
            unsafe { _mm256_loadu_si256(p.cast()) }
        }
        #[inline(always)]
        unsafe fn ints_and(a: __m256i, b: __m256i) -> __m256i {
            unsafe { _mm256_and_si256(a, b) }
        }
        #[inline(always)]
        unsafe fn ints_or(a: __m256i, b: __m256i) -> __m256i {
            unsafe { _mm256_or_si256(a, b) }
        }
        #[inline(always)]
        unsafe fn ints_store(p: *mut u8, a: __m256i) {
            unsafe { _mm256_storeu_si256(p.cast(), a) }
        }
        #[inline(always)]
        unsafe fn ints_sub_halves(a: __m256i, b: __m256i) -> __m256i {
            unsafe { _mm256_sub_epi16(a, b) }
        }
        #[inline(always)]
        unsafe fn ints_sub(a: __m256i, b: __m256i) -> __m256i {
            unsafe { _mm256_sub_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn ints_shr(a: __m256i, bits: u32) -> __m256i {
            unsafe { _mm256_srlv_epi32(a, _mm256_set1_epi32(bits as i32)) }
        }
        #[inline(always)]
        unsafe fn ints_shl(a: __m256i, bits: u32) -> __m256i {
            unsafe { _mm256_sllv_epi32(a, _mm256_set1_epi32(bits as i32)) }
        }
        #[inline(always)]
        unsafe fn ints_floats(a: __m256i) -> __m256 {
            unsafe { _mm256_cvtepi32_ps(a) }
        }
    };
}

/// Integers in 512-bit vectors.
macro_rules! ints_in_512_bits {
    () => {
        type S = Avx512;
        type Ints = __m512i;

        #[inline(always)]
        unsafe fn ints_splat(x: i32) -> __m512i {
            unsafe { _mm512_set1_epi32(x) }
        }
        #[inline(always)]
        unsafe fn ints_load(p: *const u8) -> __m512i {
            unsafe { _mm512_loadu_si512(p.cast()) }
        }
        #[inline(always)]
        unsafe fn ints_and(a: __m512i, b: __m512i) -> __m512i {
            unsafe { _mm512_and_si512(a, b) }
        }
        #[inline(always)]
        unsafe fn ints_or(a: __m512i, b: __m512i) -> __m512i {
            unsafe { _mm512_or_si512(a, b) }
        }
        #[inline(always)]
        unsafe fn ints_store(p: *mut u8, a: __m512i) {
            unsafe { _mm512_storeu_si512(p.cast(), a) }
        }
        #[inline(always)]
        unsafe fn ints_sub_halves(a: __m512i, b: __m512i) -> __m512i {
            unsafe { _mm512_sub_epi16(a, b) }
        }
        #[inline(always)]
        unsafe fn ints_sub(a: __m512i, b: __m512i) -> __m512i {
            unsafe { _mm512_sub_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn ints_shr(a: __m512i, bits: u32) -> __m512i {
            unsafe { _mm512_srlv_epi32(a, _mm512_set1_epi32(bits as i32)) }
        }
        #[inline(always)]
        unsafe fn ints_shl(a: __m512i, bits: u32) -> __m512i {
            unsafe { _mm512_sllv_epi32(a, _mm512_set1_epi32(bits as i32)) }
        }
        #[inline(always)]
        unsafe fn ints_floats(a: __m512i) -> __m512 {
            unsafe { _mm512_cvtepi32_ps(a) }
        }
    };
}

impl Int8 for Avx2Words {
    in_256_bits!();
    ints_in_256_bits!();
    const LEVEL_BYTES: usize = 2;

    #[inline(always)]
    unsafe fn products(w: &[__m256i; 4], x: __m256i, _start: i32) -> __m128 {
        unsafe { _mm_cvtepi32_ps(sums_of_parts(all_parts_words(w, x))) }
    }
    #[inline(always)]
    unsafe fn half_products(w: &[__m256i; 4], x: __m256i, _starts: [i32; 2]) -> [__m128; 2] {
        unsafe {
            let [a, b] = halves_of_parts(all_parts_words(w, x));
            [_mm_cvtepi32_ps(a), _mm_cvtepi32_ps(b)]
        }
    }
    #[inline(always)]
    unsafe fn ints_dot(sum: __m256i, w: __m256i, x: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(w, x)) }
    }
    #[inline(always)]
    unsafe fn ints_dot_bytes(sum: __m256i, w: __m256i, x: __m256i) -> __m256i {
        unsafe {
            let pairs = _mm256_maddubs_epi16(w, x);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

impl Int8 for Avx2Vnni {
    in_256_bits!();
    ints_in_256_bits!();
    const LEVEL_BYTES: usize = 1;

    #[inline(always)]
    unsafe fn signed_block(p: *const i8) -> __m256i {
        unsafe { raised_block(p) }
    }
    #[inline(always)]
    unsafe fn products(w: &[__m256i; 4], x: __m256i, start: i32) -> __m128 {
        unsafe {
            let mut parts = [_mm256_setzero_si256(); 4];
            for i in 0..4 {
                parts[i] = _mm256_dpbusd_avx_epi32(parts[i], w[i], x);
            }
            let sums = _mm_add_epi32(sums_of_parts(parts), _mm_set1_epi32(start));
            _mm_cvtepi32_ps(sums)
        }
    }
    #[inline(always)]
    unsafe fn half_products(w: &[__m256i; 4], x: __m256i, starts: [i32; 2]) -> [__m128; 2] {
        unsafe {
            let mut parts = [_mm256_setzero_si256(); 4];
            for i in 0..4 {
                parts[i] = _mm256_dpbusd_avx_epi32(parts[i], w[i], x);
            }
            let [a, b] = halves_of_parts(parts);
            [
                _mm_cvtepi32_ps(_mm_add_epi32(a, _mm_set1_epi32(starts[0]))),
                _mm_cvtepi32_ps(_mm_add_epi32(b, _mm_set1_epi32(starts[1]))),
            ]
        }
    }
    #[inline(always)]
    unsafe fn ints_dot(sum: __m256i, w: __m256i, x: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sum, w, x) }
    }
    #[inline(always)]
    unsafe fn ints_dot_bytes(sum: __m256i, w: __m256i, x: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sum, w, x) }
    }
}

impl Int8 for Avx512Words {
    in_256_bits!();
    ints_in_512_bits!();
    const LEVEL_BYTES: usize = 2;

    #[inline(always)]
    unsafe fn products(w: &[__m256i; 4], x: __m256i, start: i32) -> __m128 {
        unsafe { Avx2Words::products(w, x, start) }
    }
    #[inline(always)]
    unsafe fn half_products(w: &[__m256i; 4], x: __m256i, starts: [i32; 2]) -> [__m128; 2] {
        unsafe { Avx2Words::half_products(w, x, starts) }
    }
    #[inline(always)]
    unsafe fn ints_dot(sum: __m512i, w: __m512i, x: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(sum, _mm512_madd_epi16(w, x)) }
    }
    #[inline(always)]
    unsafe fn ints_dot_bytes(sum: __m512i, w: __m512i, x: __m512i) -> __m512i {
        unsafe {
            let pairs = _mm512_maddubs_epi16(w, x);
            _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }
}

impl Int8 for Avx512Vnni {
    in_256_bits!();
    ints_in_512_bits!();
    const LEVEL_BYTES: usize = 1;

    #[inline(always)]
    unsafe fn signed_block(p: *const i8) -> __m256i {
        unsafe { raised_block(p) }
    }
    #[inline(always)]
    unsafe fn products(w: &[__m256i; 4], x: __m256i, start: i32) -> __m128 {
        unsafe {
            let mut parts = [_mm256_setzero_si256(); 4];
            for i in 0..4 {
                parts[i] = _mm256_dpbusd_epi32(parts[i], w[i], x);
            }
            let sums = _mm_add_epi32(sums_of_parts(parts), _mm_set1_epi32(start));
            _mm_cvtepi32_ps(sums)
        }
    }
    #[inline(always)]
    unsafe fn half_products(w: &[__m256i; 4], x: __m256i, starts: [i32; 2]) -> [__m128; 2] {
        unsafe {
            let mut parts = [_mm256_setzero_si256(); 4];
            for i in 0..4 {
                parts[i] = _mm256_dpbusd_epi32(parts[i], w[i], x);
            }
            let [a, b] = halves_of_parts(parts);
            [
                _mm_cvtepi32_ps(_mm_add_epi32(a, _mm_set1_epi32(starts[0]))),
                _mm_cvtepi32_ps(_mm_add_epi32(b, _mm_set1_epi32(starts[1]))),
            ]
        }
    }
    #[inline(always)]
    unsafe fn ints_dot(sum: __m512i, w: __m512i, x: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, w, x) }
    }
    #[inline(always)]
    unsafe fn ints_dot_bytes(sum: __m512i, w: __m512i, x: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, w, x) }
    }
}
