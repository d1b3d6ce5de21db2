//! Vectors of units read from operands in memory.

use crate::simd::Simd;
use crate::simd::float16::{bf16_to_f32, f32_to_bf16};

/// An element type of an operand, and what becomes of it in a panel.
pub trait Source {
    /// Bytes of an element.
    const BYTES: usize;
    /// Elements of depth in a unit.
    const DEPTH: usize;

    /// LANES units of one line, whose depth lies side by side; `left` elements are there, the rest
    /// are 0.
    unsafe fn along<S: Simd>(from: *const u8, left: usize) -> S::F32;

    /// A unit of each of LANES lines that lie side by side, of which `lines` are there. The second
    /// element of a unit lies `step` bytes after the first; null where there is none.
    unsafe fn across<S: Simd>(from: *const u8, step: usize, pair: bool, lines: usize) -> S::F32;
}

/// f32 as it is.
pub struct Single;
/// bf16, widened.
pub struct Brain;
/// f32, rounded to bf16.
pub struct Rounded;

impl Source for Single {
    const BYTES: usize = 4;
    const DEPTH: usize = 1;
    #[inline(always)]
    unsafe fn along<S: Simd>(from: *const u8, left: usize) -> S::F32 {
        unsafe { S::load_first(from.cast(), left) }
    }
    #[inline(always)]
    unsafe fn across<S: Simd>(from: *const u8, _: usize, _: bool, lines: usize) -> S::F32 {
        unsafe { S::load_first(from.cast(), lines) }
    }
}

impl Source for Brain {
    const BYTES: usize = 2;
    const DEPTH: usize = 1;
    #[inline(always)]
    unsafe fn along<S: Simd>(from: *const u8, left: usize) -> S::F32 {
        unsafe {
            if left >= S::LANES {
                S::load_bf16(from.cast())
            } else {
                S::load_bf16_first(from.cast(), left)
            }
        }
    }
    #[inline(always)]
    unsafe fn across<S: Simd>(from: *const u8, _: usize, _: bool, lines: usize) -> S::F32 {
        unsafe { Self::along::<S>(from, lines) }
    }
}

impl Source for Rounded {
    const BYTES: usize = 4;
    const DEPTH: usize = 1;
    #[inline(always)]
    unsafe fn along<S: Simd>(from: *const u8, left: usize) -> S::F32 {
        unsafe {
            let mut lanes = [0f32; crate::simd::MAX_LANES];
            S::store(lanes.as_mut_ptr(), S::load_first(from.cast(), left));
            S::load(lanes.map(|x| bf16_to_f32(f32_to_bf16(x))).as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn across<S: Simd>(from: *const u8, _: usize, _: bool, lines: usize) -> S::F32 {
        unsafe { Self::along::<S>(from, lines) }
    }
}

#[cfg(target_arch = "x86_64")]
pub use pairs::{BrainPairs, SinglePairs};

#[cfg(target_arch = "x86_64")]
mod pairs {
    use super::Source;
    use crate::simd::{Avx512, Simd};
    use core::arch::x86_64::*;

    /// Pairs of bf16 from f32, rounded to nearest even.
    pub struct SinglePairs;
    /// Pairs of bf16 as they are.
    pub struct BrainPairs;

    // Both are used with Avx512 alone: other vectors have no such pairs.
    #[inline(always)]
    unsafe fn cast<S: Simd>(v: __m512) -> S::F32 {
        const { assert!(size_of::<S::F32>() <= size_of::<__m512>()) };
        unsafe { core::mem::transmute_copy(&v) }
    }

    /// Sixteen bf16, those past the first `left` 0.
    #[inline(always)]
    unsafe fn halves(from: *const u8, left: usize) -> __m256i {
        unsafe {
            if left >= 16 {
                return _mm256_loadu_si256(from.cast());
            }
            _mm256_maskz_loadu_epi16((1 << left) - 1, from.cast())
        }
    }

    /// Lower and upper halves of sixteen units.
    #[inline(always)]
    unsafe fn interleave(low: __m256i, high: __m256i) -> __m512 {
        unsafe {
            let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
            _mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(low), high))
        }
    }

    impl Source for SinglePairs {
        const BYTES: usize = 4;
        const DEPTH: usize = 2;
        #[inline(always)]
        unsafe fn along<S: Simd>(from: *const u8, left: usize) -> S::F32 {
            unsafe {
                let low = Avx512::load_first(from.cast(), left);
                let rest = left.saturating_sub(16);
                let high = Avx512::load_first(from.wrapping_add(64).cast(), rest);
                let pairs = _mm512_cvtne2ps_pbh(high, low);
                cast::<S>(core::mem::transmute::<__m512bh, __m512>(pairs))
            }
        }
        #[inline(always)]
        unsafe fn across<S: Simd>(
            from: *const u8,
            step: usize,
            pair: bool,
            lines: usize,
        ) -> S::F32 {
            unsafe {
                let row = |from: *const u8, lines: usize| {
                    let narrow = _mm512_cvtneps_pbh(Avx512::load_first(from.cast(), lines));
                    core::mem::transmute::<__m256bh, __m256i>(narrow)
                };
                let second = if pair { lines } else { 0 };
                let high = row(from.wrapping_add(step), second);
                cast::<S>(interleave(row(from, lines), high))
            }
        }
    }

    impl Source for BrainPairs {
        const BYTES: usize = 2;
        const DEPTH: usize = 2;
        #[inline(always)]
        unsafe fn along<S: Simd>(from: *const u8, left: usize) -> S::F32 {
            unsafe {
                if left >= 32 {
                    return cast::<S>(_mm512_loadu_ps(from.cast()));
                }
                let mask = (1u32 << left) - 1;
                cast::<S>(_mm512_castsi512_ps(_mm512_maskz_loadu_epi16(
                    mask,
                    from.cast(),
                )))
            }
        }
        #[inline(always)]
        unsafe fn across<S: Simd>(
            from: *const u8,
            step: usize,
            pair: bool,
            lines: usize,
        ) -> S::F32 {
            unsafe {
                let second = if pair { lines } else { 0 };
                let high = halves(from.wrapping_add(step), second);
                cast::<S>(interleave(halves(from, lines), high))
            }
        }
    }
}
