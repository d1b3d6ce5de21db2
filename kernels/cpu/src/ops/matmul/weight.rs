//! Weight rows as vectors of floats, widened exactly in registers.

use crate::simd::Simd;

/// An element type of weights.
pub trait Weight {
    /// Whether it is `Block8`, whose elements share scales.
    const BLOCKS: bool = false;

    /// Whether elements are widened best two vectors at a time.
    const PAIRS: bool = false;

    /// Whether one row of x is multiplied by eight rows of weights at a time rather than four: where
    /// weights take fewer bytes than the floats they are multiplied by.
    fn many<S: Simd>() -> bool {
        false
    }

    /// Bytes of a row of `in_dim` elements.
    fn row_bytes(in_dim: usize) -> usize;

    /// `S::LANES` elements from index `k`, a multiple of `S::LANES`.
    unsafe fn load<S: Simd>(row: *const u8, k: usize) -> S::F32;

    /// `load` from `k` and from `k + S::LANES`.
    #[inline(always)]
    unsafe fn load_pair<S: Simd>(row: *const u8, k: usize) -> [S::F32; 2] {
        unsafe { [Self::load::<S>(row, k), Self::load::<S>(row, k + S::LANES)] }
    }

    /// The first min(count, `S::LANES`) elements from index `k`; the other lanes are 0.
    unsafe fn load_first<S: Simd>(row: *const u8, k: usize, count: usize) -> S::F32;
}

/// Single precision.
pub struct Single;
/// Half precision.
pub struct Half;
/// bfloat16.
pub struct Brain;
/// q8_0 blocks.
pub struct Block8;

impl Block8 {
    /// Bytes of a block: a scale in half precision, then 32 levels.
    pub const BYTES: usize = 34;
}

impl Weight for Single {
    fn row_bytes(in_dim: usize) -> usize {
        in_dim * 4
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(row: *const u8, k: usize) -> S::F32 {
        unsafe { S::load(row.cast::<f32>().add(k)) }
    }
    #[inline(always)]
    unsafe fn load_first<S: Simd>(row: *const u8, k: usize, count: usize) -> S::F32 {
        unsafe { S::load_first(row.cast::<f32>().add(k), count) }
    }
}

impl Weight for Half {
    fn many<S: Simd>() -> bool {
        S::LANES >= 8
    }
    fn row_bytes(in_dim: usize) -> usize {
        in_dim * 2
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(row: *const u8, k: usize) -> S::F32 {
        unsafe { S::load_f16(row.cast::<u16>().add(k)) }
    }
    #[inline(always)]
    unsafe fn load_first<S: Simd>(row: *const u8, k: usize, count: usize) -> S::F32 {
        unsafe { S::load_f16_first(row.cast::<u16>().add(k), count) }
    }
}

impl Weight for Brain {
    const PAIRS: bool = true;

    fn many<S: Simd>() -> bool {
        S::LANES >= 8
    }
    fn row_bytes(in_dim: usize) -> usize {
        in_dim * 2
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(row: *const u8, k: usize) -> S::F32 {
        unsafe { S::load_bf16(row.cast::<u16>().add(k)) }
    }
    #[inline(always)]
    unsafe fn load_pair<S: Simd>(row: *const u8, k: usize) -> [S::F32; 2] {
        unsafe { S::load_bf16_pair(row.cast::<u16>().add(k)) }
    }
    #[inline(always)]
    unsafe fn load_first<S: Simd>(row: *const u8, k: usize, count: usize) -> S::F32 {
        unsafe { S::load_bf16_first(row.cast::<u16>().add(k), count) }
    }
}

impl Weight for Block8 {
    const BLOCKS: bool = true;

    fn row_bytes(in_dim: usize) -> usize {
        in_dim / 32 * 34
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(row: *const u8, k: usize) -> S::F32 {
        unsafe {
            let block = row.add(k / 32 * 34);
            let scale = S::splat_f16(block.cast());
            S::mul(S::load_i8(block.add(2 + k % 32).cast()), scale)
        }
    }
    #[inline(always)]
    unsafe fn load_first<S: Simd>(row: *const u8, k: usize, count: usize) -> S::F32 {
        // Rows are whole blocks and blocks whole vectors: all of it or nothing.
        if count == 0 {
            unsafe { S::zero() }
        } else {
            unsafe { Self::load::<S>(row, k) }
        }
    }
}
