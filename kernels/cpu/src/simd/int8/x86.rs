//! Products of levels on x86: with AVX2, AVX-512, and with the VNNI extensions of both.
//!
//! In place all of them use 256-bit vectors, as one block fills one. VNNI multiplies the unsigned
//! levels of weights as they are. Without it |w| times x with the sign of w is what the instruction
//! for unsigned by signed bytes can multiply: its 16-bit sums of two do not overflow, as
//! 2 * 128 * 127 < 2^15.

use super::Int8;
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

/// 32 signed levels plus 128.
#[inline(always)]
unsafe fn raised_block(p: *const i8) -> __m256i {
    unsafe { _mm256_xor_si256(_mm256_loadu_si256(p.cast()), _mm256_set1_epi8(-128)) }
}

/// The product of two blocks in eight parts, without VNNI.
#[inline(always)]
unsafe fn parts_words(w: __m256i, x: __m256i) -> __m256i {
    unsafe {
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }
}

#[inline(always)]
unsafe fn all_parts_words(w: &[__m256i; 4], x: __m256i) -> [__m256i; 4] {
    unsafe {
        [
            parts_words(w[0], x),
            parts_words(w[1], x),
            parts_words(w[2], x),
            parts_words(w[3], x),
        ]
    }
}

/// Adds up the eight parts of each of four products, the first four and the last four by themselves.
#[inline(always)]
unsafe fn halves_of_parts(parts: [__m256i; 4]) -> [__m128i; 2] {
    unsafe {
        let ab = _mm256_hadd_epi32(parts[0], parts[1]);
        let cd = _mm256_hadd_epi32(parts[2], parts[3]);
        let sums = _mm256_hadd_epi32(ab, cd);
        let upper = _mm256_extracti128_si256::<1>(sums);
        [_mm256_castsi256_si128(sums), upper]
    }
}

/// Adds up the eight parts of each of four products.
#[inline(always)]
unsafe fn sums_of_parts(parts: [__m256i; 4]) -> __m128i {
    unsafe {
        let [lower, upper] = halves_of_parts(parts);
        _mm_add_epi32(lower, upper)
    }
}

/// Turns a square of eight by eight words.
#[inline(always)]
unsafe fn transpose8(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
    unsafe {
        let mut rows = [_mm256_setzero_si256(); 8];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = _mm256_loadu_si256(from.add(i * from_stride).cast());
        }
        // Pairs of words of neighbouring rows, pairs of those pairs, then the halves.
        let mut two = rows;
        for i in 0..4 {
            two[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            two[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        let mut four = two;
        for i in 0..2 {
            for j in 0..2 {
                let (a, b) = (two[4 * i + j], two[4 * i + j + 2]);
                four[4 * i + 2 * j] = _mm256_unpacklo_epi64(a, b);
                four[4 * i + 2 * j + 1] = _mm256_unpackhi_epi64(a, b);
            }
        }
        for i in 0..4 {
            let low = _mm256_permute2x128_si256::<0x20>(four[i], four[i + 4]);
            let high = _mm256_permute2x128_si256::<0x31>(four[i], four[i + 4]);
            _mm256_storeu_si256(to.add(i * to_stride).cast(), low);
            _mm256_storeu_si256(to.add((i + 4) * to_stride).cast(), high);
        }
    }
}

/// What the four have in common.
macro_rules! in_256_bits {
    () => {
        type Block = __m256i;
        type Quad = __m128;
        const SQUARE: usize = 8;

        #[inline(always)]
        unsafe fn block(p: *const i8) -> __m256i {
            unsafe { _mm256_loadu_si256(p.cast()) }
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
}
