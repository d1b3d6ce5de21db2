//! AVX2 with FMA and F16C: eight lanes.

use super::Simd;
use core::arch::x86_64::*;

/// Eight lanes of 256-bit vectors.
#[derive(Clone, Copy)]
pub struct Avx2;

/// A sliding window over this gives a mask whose first lanes are set.
static FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// A mask whose first min(count, 8) lanes are set.
#[inline(always)]
unsafe fn first_mask(count: usize) -> __m256i {
    unsafe { _mm256_loadu_si256(FIRST.as_ptr().add(8 - count.min(8)).cast()) }
}

impl Simd for Avx2 {
    type F32 = __m256;
    type Mask = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, count: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(p, first_mask(count)) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: __m256, count: usize) {
        unsafe {
            // A masked store of all lanes costs many times a plain one on some processors.
            if count >= 8 {
                _mm256_storeu_ps(p, v)
            } else {
                _mm256_maskstore_ps(p, first_mask(count), v)
            }
        }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn splat_f16(p: *const u16) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_set1_epi16(p.cast::<i16>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn f16(p: *const u16) -> f32 {
        unsafe {
            let half = _mm_cvtsi32_si128(i32::from(p.read_unaligned()));
            _mm_cvtss_f32(_mm_cvtph_ps(half))
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> __m256 {
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))) }
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, v: __m256) {
        unsafe {
            let half = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
            _mm_storeu_si128(p.cast(), half)
        }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn abs(a: __m256) -> __m256 {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    unsafe fn sqrt(a: __m256) -> __m256 {
        unsafe { _mm256_sqrt_ps(a) }
    }
    #[inline(always)]
    unsafe fn round(a: __m256) -> __m256 {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn exp2_integral(a: __m256) -> __m256 {
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        }
    }
    #[inline(always)]
    unsafe fn lt(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    unsafe fn select(mask: __m256, yes: __m256, no: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(no, yes, mask) }
    }
    #[inline(always)]
    unsafe fn reduce_add(v: __m256) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn reduce_add4(v: [__m256; 4]) -> [f32; 4] {
        unsafe {
            let halves = |a: __m256, b: __m256| {
                let upper = _mm256_permute2f128_ps::<0x31>(a, b);
                _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), upper)
            };
            let (ac, bd) = (halves(v[0], v[2]), halves(v[1], v[3]));
            let low = _mm256_shuffle_ps::<0b01_00_01_00>(ac, bd);
            let two = _mm256_add_ps(low, _mm256_shuffle_ps::<0b11_10_11_10>(ac, bd));
            let (ab, cd) = (_mm256_castps256_ps128(two), _mm256_extractf128_ps::<1>(two));
            let even = _mm_shuffle_ps::<0b10_00_10_00>(ab, cd);
            let odd = _mm_shuffle_ps::<0b11_01_11_01>(ab, cd);
            let mut sums = [0f32; 4];
            _mm_storeu_ps(sums.as_mut_ptr(), _mm_add_ps(even, odd));
            sums
        }
    }
    #[inline(always)]
    unsafe fn reduce_max(v: __m256) -> f32 {
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn store_across(to: *mut f32, stride: usize, lines: [__m256; 4]) {
        unsafe {
            let [a, b, c, d] = lines;
            let pair = |x: __m256, y: __m256| {
                let low = _mm256_castps_pd(_mm256_unpacklo_ps(x, y));
                (low, _mm256_castps_pd(_mm256_unpackhi_ps(x, y)))
            };
            let ((ab_low, ab_high), (cd_low, cd_high)) = (pair(a, b), pair(c, d));
            // Column q of both runs of four lanes.
            let columns = [
                _mm256_unpacklo_pd(ab_low, cd_low),
                _mm256_unpackhi_pd(ab_low, cd_low),
                _mm256_unpacklo_pd(ab_high, cd_high),
                _mm256_unpackhi_pd(ab_high, cd_high),
            ];
            for (q, v) in columns.into_iter().enumerate() {
                let v = _mm256_castpd_ps(v);
                let to = to.add(q * stride);
                _mm_storeu_ps(to, _mm256_castps256_ps128(v));
                _mm_storeu_ps(to.add(4 * stride), _mm256_extractf128_ps::<1>(v));
            }
        }
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
}
