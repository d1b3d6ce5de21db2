//! What every x86 instruction set does with blocks of levels: 256-bit vectors.

use core::arch::x86_64::*;

/// 32 signed levels plus 128.
#[inline(always)]
pub unsafe fn raised_block(p: *const i8) -> __m256i {
    unsafe { _mm256_xor_si256(_mm256_loadu_si256(p.cast()), _mm256_set1_epi8(-128)) }
}

/// The halves of 16 bytes, first the lower ones, less `less`.
#[inline(always)]
pub unsafe fn halves_block(p: *const u8, less: i8) -> __m256i {
    unsafe {
        let bytes = _mm_loadu_si128(p.cast());
        let both = _mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes);
        let levels = _mm256_and_si256(both, _mm256_set1_epi8(15));
        if less == 0 {
            return levels;
        }
        _mm256_sub_epi8(levels, _mm256_set1_epi8(less))
    }
}

/// The product of two blocks in eight parts, without VNNI.
#[inline(always)]
unsafe fn parts_words(w: __m256i, x: __m256i) -> __m256i {
    unsafe {
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }
}

/// `parts_words` of four blocks.
#[inline(always)]
pub unsafe fn all_parts_words(w: &[__m256i; 4], x: __m256i) -> [__m256i; 4] {
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
pub unsafe fn halves_of_parts(parts: [__m256i; 4]) -> [__m128i; 2] {
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
pub unsafe fn sums_of_parts(parts: [__m256i; 4]) -> __m128i {
    unsafe {
        let [lower, upper] = halves_of_parts(parts);
        _mm_add_epi32(lower, upper)
    }
}

/// Turns a square of eight by eight words.
#[inline(always)]
pub unsafe fn transpose8(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
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
