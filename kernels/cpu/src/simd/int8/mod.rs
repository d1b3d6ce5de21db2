//! Products of signed bytes: the levels of quantized weights times those of quantized activations.
//!
//! A block is 32 levels. Its product is a whole number and exact, in whatever order it is added up;
//! so layouts and instructions may differ where the bits of the result may not.

use super::{Isa, Simd};

/// What an instruction set offers for products of levels.
///
/// # Safety
/// As `Simd`.
pub trait Int8: Copy + 'static {
    /// The vectors of floats that go with it.
    type S: Simd;
    /// Levels of a block of a weight, in registers.
    type Block: Copy;
    /// Levels of a block of an activation, as `products` takes them.
    type Factor: Copy;
    /// Four floats.
    type Quad: Copy;
    /// As many 32-bit integers as `S` has lanes.
    type Ints: Copy;
    /// Bytes of a level in packed blocks: 1 or 2.
    const LEVEL_BYTES: usize;
    /// Rows and columns of the squares that `transpose` turns: a divisor of the lanes.
    const SQUARE: usize;

    /// Reads 32 levels of a weight.
    unsafe fn block(p: *const i8) -> Self::Block;
    /// Reads 32 levels of an activation.
    unsafe fn factor(p: *const i8) -> Self::Factor;
    /// Reads 32 signed levels of a weight as `products` takes them: plus 128, where these are unsigned.
    #[inline(always)]
    unsafe fn signed_block(p: *const i8) -> Self::Block {
        const { assert!(Self::LEVEL_BYTES != 1, "levels have to be raised") };
        unsafe { Self::block(p) }
    }
    /// Reads the 32 levels that are halves of 16 bytes, first the lower ones: as `products` takes them,
    /// less 8 where these are signed.
    #[inline(always)]
    unsafe fn halves_block(p: *const u8) -> Self::Block {
        let bytes = unsafe { p.cast::<[u8; 16]>().read() };
        let less = if Self::LEVEL_BYTES == 1 { 0 } else { 8 };
        let mut levels = [0i8; 32];
        for i in 0..16 {
            levels[i] = (bytes[i] & 15) as i8 - less;
            levels[i + 16] = (bytes[i] >> 4) as i8 - less;
        }
        unsafe { Self::block(levels.as_ptr()) }
    }
    /// Four products of blocks, as floats. No level of x is -128. Where `LEVEL_BYTES` is 1 the levels
    /// of w are unsigned, and `start` is added.
    unsafe fn products(w: &[Self::Block; 4], x: Self::Factor, start: i32) -> Self::Quad;
    /// The same of the first and of the last 16 levels of the blocks.
    unsafe fn half_products(
        w: &[Self::Block; 4],
        x: Self::Factor,
        starts: [i32; 2],
    ) -> [Self::Quad; 2];

    /// The same float four times.
    unsafe fn quad_splat(x: f32) -> Self::Quad;
    /// Reads four floats.
    unsafe fn quad_load(p: &[f32; 4]) -> Self::Quad;
    /// Widens four half-precision numbers.
    unsafe fn quad_f16(p: [*const u16; 4]) -> Self::Quad;
    /// `quad_f16` of four numbers and of four more.
    #[inline(always)]
    unsafe fn quads_f16(p: [[*const u16; 4]; 2]) -> [Self::Quad; 2] {
        unsafe { [Self::quad_f16(p[0]), Self::quad_f16(p[1])] }
    }
    /// a * b
    unsafe fn quad_mul(a: Self::Quad, b: Self::Quad) -> Self::Quad;
    /// a * b + c, rounded as `S::fma` rounds.
    unsafe fn quad_fma(a: Self::Quad, b: Self::Quad, c: Self::Quad) -> Self::Quad;
    /// The four floats.
    unsafe fn quad_floats(a: Self::Quad) -> [f32; 4];

    /// All lanes equal to `x`.
    unsafe fn ints_splat(x: i32) -> Self::Ints;
    /// Reads one integer a lane.
    unsafe fn ints_load(p: *const u8) -> Self::Ints;
    /// Adds, in each lane, the products of the packed levels of a weight and of an activation.
    unsafe fn ints_dot(sum: Self::Ints, w: Self::Ints, x: Self::Ints) -> Self::Ints;
    /// Adds, in each lane, the products of four bytes: levels of a weight from 0 to 127, and signed levels
    /// of an activation.
    unsafe fn ints_dot_bytes(sum: Self::Ints, w: Self::Ints, x: Self::Ints) -> Self::Ints;
    /// a & b
    unsafe fn ints_and(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// a | b
    unsafe fn ints_or(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Writes one integer a lane.
    unsafe fn ints_store(p: *mut u8, a: Self::Ints);
    /// a - b in both halves of every lane, 16-bit integers.
    unsafe fn ints_sub_halves(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// a - b, wrapping.
    unsafe fn ints_sub(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// a >> bits, zeros coming in; bits < 32.
    unsafe fn ints_shr(a: Self::Ints, bits: u32) -> Self::Ints;
    /// a << bits; bits < 32.
    unsafe fn ints_shl(a: Self::Ints, bits: u32) -> Self::Ints;
    /// The lanes as floats.
    unsafe fn ints_floats(a: Self::Ints) -> <Self::S as Simd>::F32;
    /// Turns a square of 32-bit words: word c of row r becomes word r of row c. Strides in bytes.
    unsafe fn transpose(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize);

    /// Packs 32 levels: bytes as they are, or signed bytes as 16-bit integers.
    #[inline(always)]
    unsafe fn pack_levels(to: *mut u8, levels: *const u8) {
        // Arrays, not memory, which the compiler would have to take for overlapping.
        let levels = unsafe { levels.cast::<[i8; 32]>().read() };
        let mut words = [0i16; 32];
        for i in 0..32 {
            words[i] = i16::from(levels[i]);
        }
        unsafe {
            match Self::LEVEL_BYTES {
                1 => to.cast::<[i8; 32]>().write_unaligned(levels),
                _ => to.cast::<[i16; 32]>().write_unaligned(words),
            }
        }
    }
}

/// How products of levels are made here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Int8Isa {
    /// With the instructions that every processor of an instruction set has.
    Plain(Isa),
    /// 256-bit vectors with AVX-VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni,
    /// 512-bit vectors with AVX512-VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Int8Isa {
    /// The best for an instruction set on this machine.
    pub fn of(isa: Isa) -> Int8Isa {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if is_x86_feature_detected!("avxvnni") => Int8Isa::Avx2Vnni,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if is_x86_feature_detected!("avx512vnni") => Int8Isa::Avx512Vnni,
            _ => Int8Isa::Plain(isa),
        }
    }

    /// All that this machine can do.
    pub fn available() -> impl Iterator<Item = Int8Isa> {
        Isa::available().flat_map(|isa| {
            let best = Int8Isa::of(isa);
            let plain = Int8Isa::Plain(isa);
            [Some(plain), (best != plain).then_some(best)]
                .into_iter()
                .flatten()
        })
    }

    /// The instruction set that it extends.
    pub fn isa(self) -> Isa {
        match self {
            Int8Isa::Plain(isa) => isa,
            #[cfg(target_arch = "x86_64")]
            Int8Isa::Avx2Vnni => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Int8Isa::Avx512Vnni => Isa::Avx512,
        }
    }

    /// Bytes of a level in packed blocks.
    pub fn level_bytes(self) -> usize {
        match self {
            Int8Isa::Plain(_) => 2,
            #[cfg(target_arch = "x86_64")]
            _ => 1,
        }
    }
}

/// Makes `fn NAME(isa: Int8Isa, ...)` from a body that is generic over `Int8`, as `per_isa!` does for
/// `Simd`.
macro_rules! per_int8_isa {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?);) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name(isa: $crate::simd::Int8Isa, $($arg: $ty),*) {
            use $crate::simd::{Int8Isa, Isa, int8};
            #[inline(never)]
            unsafe fn scalar($($arg: $ty),*) {
                unsafe { $body::<int8::scalar::Scalar8>($($arg),*) }
            }
            #[cfg(target_arch = "wasm32")]
            #[inline(never)]
            unsafe fn wasm($($arg: $ty),*) {
                unsafe { $body::<int8::wasm::Wasm8>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            unsafe fn neon($($arg: $ty),*) {
                unsafe { $body::<int8::neon::Neon8>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2($($arg: $ty),*) {
                unsafe { $body::<int8::x86::Avx2Words>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
            unsafe fn avx2_vnni($($arg: $ty),*) {
                unsafe { $body::<int8::x86::Avx2Vnni>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            unsafe fn avx512($($arg: $ty),*) {
                unsafe { $body::<int8::x86::Avx512Words>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
            unsafe fn avx512_vnni($($arg: $ty),*) {
                unsafe { $body::<int8::x86::Avx512Vnni>($($arg),*) }
            }
            unsafe {
                match isa {
                    Int8Isa::Plain(Isa::Scalar) => scalar($($arg),*),
                    #[cfg(target_arch = "wasm32")]
                    Int8Isa::Plain(Isa::Wasm) => wasm($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    Int8Isa::Plain(Isa::Neon) => neon($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Int8Isa::Plain(Isa::Avx2) => avx2($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Int8Isa::Plain(Isa::Avx512) => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Int8Isa::Avx2Vnni => avx2_vnni($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Int8Isa::Avx512Vnni => avx512_vnni($($arg),*),
                }
            }
        }
    };
}
pub(crate) use per_int8_isa;

#[cfg(target_arch = "aarch64")]
pub mod neon;
pub mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "wasm32")]
pub mod wasm;
#[cfg(target_arch = "x86_64")]
pub mod x86;
#[cfg(target_arch = "x86_64")]
mod x86_blocks;
