//! AVX-512 (F, BW, DQ, VL): sixteen lanes.

use super::Simd;
use super::avx2::Avx2;
use core::arch::x86_64::*;

/// Sixteen lanes of 512-bit vectors.
#[derive(Clone, Copy)]
pub struct Avx512;

/// A mask whose first min(count, 16) lanes are set.
#[inline(always)]
fn first_mask(count: usize) -> __mmask16 {
    if count >= 16 {
        0xffff
    } else {
        (1 << count) - 1
    }
}

/// The upper eight lanes.
#[inline(always)]
unsafe fn upper(v: __m512) -> __m256 {
    unsafe { _mm512_extractf32x8_ps::<1>(v) }
}

/// Vector q has column q of every run of four lanes, run by run.
#[inline(always)]
unsafe fn turn_fours([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    unsafe {
        let ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
        let ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
        let cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
        let cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
        [
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low)),
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high)),
        ]
    }
}

/// Vector i has run i of four lanes of every vector.
#[inline(always)]
unsafe fn turn_runs([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    unsafe {
        let ab_low = _mm512_shuffle_f32x4::<0x44>(a, b);
        let ab_high = _mm512_shuffle_f32x4::<0xee>(a, b);
        let cd_low = _mm512_shuffle_f32x4::<0x44>(c, d);
        let cd_high = _mm512_shuffle_f32x4::<0xee>(c, d);
        [
            _mm512_shuffle_f32x4::<0x88>(ab_low, cd_low),
            _mm512_shuffle_f32x4::<0xdd>(ab_low, cd_low),
            _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high),
            _mm512_shuffle_f32x4::<0xdd>(ab_high, cd_high),
        ]
    }
}

impl Simd for Avx512 {
    type F32 = __m512;
    type Mask = __mmask16;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, count: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(first_mask(count), p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: __m512, count: usize) {
        unsafe {
            // A masked store of all lanes costs many times a plain one on some processors.
            if count >= 16 {
                _mm512_storeu_ps(p, v)
            } else {
                _mm512_mask_storeu_ps(p, first_mask(count), v)
            }
        }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn splat_f16(p: *const u16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_set1_epi16(p.cast::<i16>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn f16(p: *const u16) -> f32 {
        unsafe {
            let half = _mm_cvtsi32_si128(i32::from(p.read_unaligned()));
            _mm_cvtss_f32(_mm_cvtph_ps(half))
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> __m512 {
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()))) }
    }
    const Q8_0_DOTS: bool = true;
    #[inline(always)]
    unsafe fn q8_0_dots(x: *const f32, w: *const u8, apart: usize, blocks: usize) -> [__m512; 4] {
        unsafe { super::avx512_q8_0::dots(x, w, apart, blocks) }
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, v: __m512) {
        unsafe {
            let half = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
            _mm256_storeu_si256(p.cast(), half)
        }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn abs(a: __m512) -> __m512 {
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    unsafe fn sqrt(a: __m512) -> __m512 {
        unsafe { _mm512_sqrt_ps(a) }
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn exp2_integral(a: __m512) -> __m512 {
        unsafe {
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        }
    }
    const SCALES: bool = true;
    #[inline(always)]
    unsafe fn scale(a: __m512, n: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(a, n) }
    }
    #[inline(always)]
    unsafe fn lt(a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    unsafe fn select(mask: __mmask16, yes: __m512, no: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(mask, no, yes) }
    }
    #[inline(always)]
    unsafe fn reduce_add(v: __m512) -> f32 {
        unsafe { Avx2::reduce_add(_mm256_add_ps(_mm512_castps512_ps256(v), upper(v))) }
    }
    #[inline(always)]
    unsafe fn reduce_add4(v: [__m512; 4]) -> [f32; 4] {
        unsafe {
            let fold = |v: __m512| _mm256_add_ps(_mm512_castps512_ps256(v), upper(v));
            Avx2::reduce_add4([fold(v[0]), fold(v[1]), fold(v[2]), fold(v[3])])
        }
    }
    #[inline(always)]
    unsafe fn reduce_max(v: __m512) -> f32 {
        unsafe { Avx2::reduce_max(_mm256_max_ps(_mm512_castps512_ps256(v), upper(v))) }
    }
    #[inline(always)]
    unsafe fn store_across(to: *mut f32, stride: usize, lines: [__m512; 4]) {
        unsafe {
            for (q, v) in turn_fours(lines).into_iter().enumerate() {
                let to = to.add(q * stride);
                _mm_storeu_ps(to, _mm512_castps512_ps128(v));
                _mm_storeu_ps(to.add(4 * stride), _mm512_extractf32x4_ps::<1>(v));
                _mm_storeu_ps(to.add(8 * stride), _mm512_extractf32x4_ps::<2>(v));
                _mm_storeu_ps(to.add(12 * stride), _mm512_extractf32x4_ps::<3>(v));
            }
        }
    }
    const TURNS: bool = true;
    #[inline(always)]
    unsafe fn turn(lines: [__m512; 16]) -> [__m512; 16] {
        unsafe {
            let mut fours = [[Self::zero(); 4]; 4];
            for i in 0..4 {
                let [a, b, c, d] = [4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3];
                fours[i] = turn_fours([lines[a], lines[b], lines[c], lines[d]]);
            }
            let mut turned = [Self::zero(); 16];
            for q in 0..4 {
                let runs = turn_runs([fours[0][q], fours[1][q], fours[2][q], fours[3][q]]);
                for i in 0..4 {
                    turned[4 * i + q] = runs[i];
                }
            }
            turned
        }
    }
    const PREFETCHES_AHEAD: bool = true;
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
}
