//! One vector trait, a file per instruction set.
//!
//! How to write an op with it:
//!
//! ```ignore
//! // 1. The body, once, generic over the instruction set. Vectors of `S::LANES` floats; the last,
//! //    partial vector through `load_first`/`store_first` (its other lanes are 0).
//! #[inline(always)]
//! unsafe fn scale_row<S: Simd>(x: *mut f32, dim: usize, factor: f32) {
//!     unsafe {
//!         let by = S::splat(factor);
//!         for i in (0..dim).step_by(S::LANES) {
//!             let count = dim - i;
//!             S::store_first(x.add(i), S::mul(S::load_first(x.add(i), count), by), count);
//!         }
//!     }
//! }
//! // 2. One instance per instruction set, and a function that picks among them by its first argument.
//! per_isa! { unsafe fn scale_row_on = scale_row(x: *mut f32, dim: usize, factor: f32); }
//! // 3. The op: `isa()` once, then chunks cut by shape alone.
//! context.parallel(rows, &|row, _| unsafe { scale_row_on(isa, x.add(row * dim), dim, factor) });
//! ```
//!
//! Every function on the way from `per_isa!` to the vectors is `#[inline(always)]`, closures too
//! (avoid them): what is not inlined is compiled without the instruction set, and slow. Keep the
//! whole op behind a function that takes `isa: Isa`, so that the tests can run it on each of
//! `Isa::available()`. Sums have one order per instruction set: lane l of a sum takes elements l,
//! l + LANES, ...; `reduce_add` folds the upper half of the lanes onto the lower until one is left.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_q8_0;
pub mod float16;
pub mod int8;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use int8::{Int8, Int8Isa};
pub use isa::{Isa, isa, multiplies_bf16};
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use scalar::{Scalar, square_root, square_root_f64};
#[cfg(target_arch = "wasm32")]
pub use wasm::Wasm;

pub(crate) use int8::per_int8_isa;
pub(crate) use isa::per_isa;

/// What an instruction set offers. Pointers need no alignment beyond their element's.
///
/// # Safety
/// Every function needs the instruction set that its type stands for, and pointers that are valid
/// for what its comment says it reads or writes.
pub trait Simd: Copy + Send + Sync + 'static {
    /// A vector of `LANES` floats.
    type F32: Copy;
    /// One truth value per lane.
    type Mask: Copy;
    /// Floats in a vector: a power of two, 16 at most.
    const LANES: usize;

    /// All lanes equal to `x`.
    unsafe fn splat(x: f32) -> Self::F32;
    /// Reads `LANES` floats.
    unsafe fn load(p: *const f32) -> Self::F32;
    /// Reads the first min(count, LANES) floats; the other lanes are 0.
    unsafe fn load_first(p: *const f32, count: usize) -> Self::F32;
    /// Writes `LANES` floats.
    unsafe fn store(p: *mut f32, v: Self::F32);
    /// Writes the first min(count, LANES) floats.
    unsafe fn store_first(p: *mut f32, v: Self::F32, count: usize);
    /// Reads `LANES` half-precision floats and widens them exactly.
    unsafe fn load_f16(p: *const u16) -> Self::F32;
    /// All lanes equal to the half-precision number at `p`, which may lie at an odd address.
    unsafe fn splat_f16(p: *const u16) -> Self::F32;
    /// `splat_f16` of four numbers.
    #[inline(always)]
    unsafe fn splats_f16(p: [*const u16; 4]) -> [Self::F32; 4] {
        unsafe {
            [
                Self::splat_f16(p[0]),
                Self::splat_f16(p[1]),
                Self::splat_f16(p[2]),
                Self::splat_f16(p[3]),
            ]
        }
    }
    /// Reads `LANES` bfloat16 and widens them exactly.
    unsafe fn load_bf16(p: *const u16) -> Self::F32;
    /// `load_bf16` of `LANES` numbers and of those that follow.
    #[inline(always)]
    unsafe fn load_bf16_pair(p: *const u16) -> [Self::F32; 2] {
        unsafe { [Self::load_bf16(p), Self::load_bf16(p.add(Self::LANES))] }
    }
    /// Reads `LANES` signed bytes and converts them exactly.
    unsafe fn load_i8(p: *const i8) -> Self::F32;
    /// `load_i8` of `LANES` signed bytes and of those that follow.
    #[inline(always)]
    unsafe fn load_i8_pair(p: *const i8) -> [Self::F32; 2] {
        unsafe { [Self::load_i8(p), Self::load_i8(p.add(Self::LANES))] }
    }
    /// Whether `q8_0_dots` is there.
    const Q8_0_DOTS: bool = false;
    /// One row `x` times four rows of `blocks` blocks of q8_0 that lie `apart` bytes from one another,
    /// lane by lane: sum = fma(x, level * scale, sum), in the order of k. Asks for memory past the rows.
    unsafe fn q8_0_dots(
        _x: *const f32,
        _w: *const u8,
        _apart: usize,
        _blocks: usize,
    ) -> [Self::F32; 4] {
        unreachable!("Q8_0_DOTS is false")
    }
    /// Rounds to half precision, to nearest even, and writes `LANES` of them. A NaN keeps its sign and
    /// the upper bits of its payload, and becomes quiet.
    unsafe fn store_f16(p: *mut u16, v: Self::F32);

    /// a + b
    unsafe fn add(a: Self::F32, b: Self::F32) -> Self::F32;
    /// a - b
    unsafe fn sub(a: Self::F32, b: Self::F32) -> Self::F32;
    /// a * b
    unsafe fn mul(a: Self::F32, b: Self::F32) -> Self::F32;
    /// a / b
    unsafe fn div(a: Self::F32, b: Self::F32) -> Self::F32;
    /// a * b + c, rounded once where the instruction set can.
    unsafe fn fma(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The larger; where either is NaN, which of the two comes back is the instruction set's.
    unsafe fn max(a: Self::F32, b: Self::F32) -> Self::F32;
    /// The smaller; where either is NaN, which of the two comes back is the instruction set's.
    unsafe fn min(a: Self::F32, b: Self::F32) -> Self::F32;
    /// The absolute value.
    unsafe fn abs(a: Self::F32) -> Self::F32;
    /// The square root, correctly rounded.
    unsafe fn sqrt(a: Self::F32) -> Self::F32;
    /// The nearest integer, halves to even. Defined for |a| < 2^22.
    unsafe fn round(a: Self::F32) -> Self::F32;
    /// 2^a for an integral a in -126 ..= 127.
    unsafe fn exp2_integral(a: Self::F32) -> Self::F32;
    /// Whether there is `scale`.
    const SCALES: bool = false;
    /// a * 2^n for an integral n of any size.
    #[inline(always)]
    unsafe fn scale(_a: Self::F32, _n: Self::F32) -> Self::F32 {
        unreachable!("SCALES is false")
    }
    /// Where a < b (false where either is NaN).
    unsafe fn lt(a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `yes` where the mask holds, else `no`.
    unsafe fn select(mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32;

    /// Sum of the lanes: upper half onto lower half, until one is left.
    unsafe fn reduce_add(v: Self::F32) -> f32;
    /// `reduce_add` of four vectors, to the bit, at a lower price than four times one.
    #[inline(always)]
    unsafe fn reduce_add4(v: [Self::F32; 4]) -> [f32; 4] {
        unsafe { v.map(|v| Self::reduce_add(v)) }
    }
    /// Largest lane, folded like `reduce_add`.
    unsafe fn reduce_max(v: Self::F32) -> f32;

    /// Writes lane l of line i to `to[l * stride + i]`: four lines become columns. Vectors of four
    /// lanes write l = 0, 1, 2, 3 in this order.
    #[inline(always)]
    unsafe fn store_across(to: *mut f32, stride: usize, lines: [Self::F32; 4]) {
        unsafe {
            let mut lanes = [[0f32; MAX_LANES]; 4];
            for (lanes, line) in lanes.iter_mut().zip(lines) {
                Self::store(lanes.as_mut_ptr(), line);
            }
            for l in 0..Self::LANES {
                let column = [lanes[0][l], lanes[1][l], lanes[2][l], lanes[3][l]];
                to.add(l * stride)
                    .cast::<[f32; 4]>()
                    .write_unaligned(column);
            }
        }
    }

    /// Whether there is `turn`.
    const TURNS: bool = false;

    /// Lane j of vector i is lane i of line j. Where LANES is 16.
    #[inline(always)]
    unsafe fn turn(lines: [Self::F32; MAX_LANES]) -> [Self::F32; MAX_LANES] {
        lines
    }

    /// Whether products have instructions to spare for `prefetch`: vectors are so wide that few multiply.
    const PREFETCHES_AHEAD: bool = false;

    /// Asks for the cache line at `p`; any address is allowed.
    unsafe fn prefetch(p: *const u8);

    /// A half-precision number.
    #[inline(always)]
    unsafe fn f16(p: *const u16) -> f32 {
        float16::f16_to_f32(unsafe { p.read_unaligned() })
    }

    /// All lanes 0.
    #[inline(always)]
    unsafe fn zero() -> Self::F32 {
        unsafe { Self::splat(0.0) }
    }
    /// Like `load_f16` for the first min(count, LANES); the other lanes are 0.
    #[inline(always)]
    unsafe fn load_f16_first(p: *const u16, count: usize) -> Self::F32 {
        unsafe { Self::load_f16(first::<u16>(p, count, Self::LANES).as_ptr()) }
    }
    /// Like `load_bf16` for the first min(count, LANES); the other lanes are 0.
    #[inline(always)]
    unsafe fn load_bf16_first(p: *const u16, count: usize) -> Self::F32 {
        unsafe { Self::load_bf16(first::<u16>(p, count, Self::LANES).as_ptr()) }
    }
}

/// The most lanes that any instruction set has.
pub const MAX_LANES: usize = 16;

/// The first min(count, lanes) elements, then zeros.
#[inline(always)]
unsafe fn first<T: Copy + Default>(p: *const T, count: usize, lanes: usize) -> [T; MAX_LANES] {
    let mut copy = [T::default(); MAX_LANES];
    let count = if count < lanes { count } else { lanes };
    for (i, slot) in copy.iter_mut().enumerate().take(count) {
        *slot = unsafe { *p.add(i) };
    }
    copy
}

#[cfg(test)]
mod tests;
