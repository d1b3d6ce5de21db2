//! How factors of attention's products lie in working memory and are multiplied: in units of 4 bytes,
//! one f32 or two bf16 that follow one another in a sum.

use core::marker::PhantomData;

pub use crate::ops::gemm::Arithmetic;
#[cfg(target_arch = "x86_64")]
use crate::ops::gemm::Pairs;
use crate::ops::gemm::{Floats, Multiply};
use crate::simd::float16::{bf16_to_f32, f32_to_bf16};
use crate::simd::{MAX_LANES, Simd};

/// A vector of numbers, or of units.
pub type Vector<F> = <<F as Multiply>::S as Simd>::F32;

/// Factors of one arithmetic. Vectors of numbers come in twos; with units of one f32 the second is
/// ignored.
pub trait Factors: Multiply {
    /// Factors of a unit.
    const DEPTH: usize;
    /// LANES units of DEPTH * LANES numbers that follow one another.
    unsafe fn along(numbers: [Vector<Self>; 2]) -> Vector<Self>;
    /// LANES units of the numbers of two rows side by side.
    unsafe fn across(rows: [Vector<Self>; 2]) -> Vector<Self>;
    /// Writes LANES numbers that follow one another, as LANES / DEPTH units.
    unsafe fn store(to: *mut f32, numbers: Vector<Self>);
}

impl<S: Simd> Factors for Floats<S> {
    const DEPTH: usize = 1;
    #[inline(always)]
    unsafe fn along(numbers: [S::F32; 2]) -> S::F32 {
        numbers[0]
    }
    #[inline(always)]
    unsafe fn across(rows: [S::F32; 2]) -> S::F32 {
        rows[0]
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, numbers: S::F32) {
        unsafe { S::store(to, numbers) }
    }
}

/// Units of one f32 that is rounded to bf16, where the processor knows no products of it.
pub struct Rounded<S>(PhantomData<S>);

impl<S: Simd> Multiply for Rounded<S> {
    type S = S;
    #[inline(always)]
    unsafe fn add(sum: S::F32, a: S::F32, b: S::F32) -> S::F32 {
        unsafe { S::fma(a, b, sum) }
    }
}

impl<S: Simd> Factors for Rounded<S> {
    const DEPTH: usize = 1;
    #[inline(always)]
    unsafe fn along(numbers: [S::F32; 2]) -> S::F32 {
        unsafe {
            let mut lanes = [0f32; MAX_LANES];
            S::store(lanes.as_mut_ptr(), numbers[0]);
            S::load(lanes.map(|x| bf16_to_f32(f32_to_bf16(x))).as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn across(rows: [S::F32; 2]) -> S::F32 {
        unsafe { Self::along(rows) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, numbers: S::F32) {
        unsafe { S::store(to, Self::along([numbers, numbers])) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Factors for Pairs {
    const DEPTH: usize = 2;
    #[inline(always)]
    unsafe fn along(numbers: [Vector<Pairs>; 2]) -> Vector<Pairs> {
        use core::arch::x86_64::*;
        unsafe { core::mem::transmute(_mm512_cvtne2ps_pbh(numbers[1], numbers[0])) }
    }
    #[inline(always)]
    unsafe fn across(rows: [Vector<Pairs>; 2]) -> Vector<Pairs> {
        use core::arch::x86_64::*;
        unsafe {
            let order = _mm512_loadu_si512(IN_TURN.as_ptr().cast());
            let bits = _mm512_castps_si512(Self::along(rows));
            _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, bits))
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, numbers: Vector<Pairs>) {
        use core::arch::x86_64::*;
        unsafe {
            let halves: __m256i = core::mem::transmute(_mm512_cvtneps_pbh(numbers));
            _mm256_storeu_si256(to.cast(), halves);
        }
    }
}

/// The first and the second half of 32 numbers in turn.
#[cfg(target_arch = "x86_64")]
static IN_TURN: [u16; 32] = {
    let mut order = [0; 32];
    let mut i = 0;
    while i < 32 {
        order[i] = (i as u16) / 2 + (i as u16) % 2 * 16;
        i += 1;
    }
    order
};

/// Makes `fn NAME(isa: Isa, arithmetic: Arithmetic, ...)` from a body that is generic over `Factors`.
macro_rules! per_arithmetic {
    (unsafe fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?);) => {
        #[allow(clippy::too_many_arguments)]
        unsafe fn $name(
            isa: $crate::simd::Isa,
            arithmetic: $crate::ops::gemm::Arithmetic,
            $($arg: $ty),*
        ) {
            use $crate::ops::gemm::{Arithmetic, Floats};
            use $crate::simd::{Simd, per_isa};
            #[inline(always)]
            unsafe fn floats<S: Simd>($($arg: $ty),*) {
                unsafe { $body::<Floats<S>>($($arg),*) }
            }
            per_isa! { unsafe fn floats_on = floats($($arg: $ty),*); }
            #[inline(always)]
            unsafe fn rounded<S: Simd>($($arg: $ty),*) {
                unsafe { $body::<super::factors::Rounded<S>>($($arg),*) }
            }
            per_isa! { unsafe fn rounded_on = rounded($($arg: $ty),*); }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
            unsafe fn pairs($($arg: $ty),*) {
                unsafe { $body::<$crate::ops::gemm::Pairs>($($arg),*) }
            }
            unsafe {
                match arithmetic {
                    Arithmetic::Floats => floats_on(isa, $($arg),*),
                    Arithmetic::Rounded => rounded_on(isa, $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Arithmetic::Pairs => pairs($($arg),*),
                    #[cfg(not(target_arch = "x86_64"))]
                    Arithmetic::Pairs => unreachable!("nothing here multiplies bf16"),
                }
            }
        }
    };
}
pub(crate) use per_arithmetic;
