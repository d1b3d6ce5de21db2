//! What a register tile does with the units that panels hold: 4 bytes, one f32 or two bf16 that
//! follow one another in depth.

use core::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use crate::simd::Avx512;
use crate::simd::{Isa, Simd, multiplies_bf16};

/// How operands are packed and multiplied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arithmetic {
    /// f32 as it is.
    Floats,
    /// f32 rounded to bf16, where the processor knows no products of it.
    Rounded,
    /// Pairs of bf16.
    Pairs,
}

impl Arithmetic {
    /// What an instruction set has for a precision.
    pub fn of(isa: Isa, brain: bool) -> Arithmetic {
        match (brain, multiplies_bf16(isa)) {
            (false, _) => Arithmetic::Floats,
            (true, false) => Arithmetic::Rounded,
            (true, true) => Arithmetic::Pairs,
        }
    }

    /// Elements of depth in a unit.
    pub fn unit_depth(self) -> usize {
        if self == Arithmetic::Pairs { 2 } else { 1 }
    }
}

/// Products of units.
pub trait Multiply {
    /// The vectors.
    type S: Simd;
    /// sum + a * b, unit by unit.
    unsafe fn add(
        sum: <Self::S as Simd>::F32,
        a: <Self::S as Simd>::F32,
        b: <Self::S as Simd>::F32,
    ) -> <Self::S as Simd>::F32;
}

/// Units of one f32.
pub struct Floats<S>(PhantomData<S>);

impl<S: Simd> Multiply for Floats<S> {
    type S = S;
    #[inline(always)]
    unsafe fn add(sum: S::F32, a: S::F32, b: S::F32) -> S::F32 {
        unsafe { S::fma(a, b, sum) }
    }
}

/// Units of two bf16.
#[cfg(target_arch = "x86_64")]
pub struct Pairs;

#[cfg(target_arch = "x86_64")]
impl Multiply for Pairs {
    type S = Avx512;
    #[inline(always)]
    unsafe fn add(
        sum: <Avx512 as Simd>::F32,
        a: <Avx512 as Simd>::F32,
        b: <Avx512 as Simd>::F32,
    ) -> <Avx512 as Simd>::F32 {
        use core::arch::x86_64::*;
        unsafe {
            let bits = |v: __m512| core::mem::transmute::<__m512, __m512bh>(v);
            _mm512_dpbf16_ps(sum, bits(a), bits(b))
        }
    }
}
