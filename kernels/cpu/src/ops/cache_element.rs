//! Element types of the key-value cache: how a row of one head is read as vectors and written.

use crate::simd::Simd;
use crate::simd::float16::f32_to_f16;

/// An element or block type of the cache. A vector never spans two blocks: `MAX_LANES` divides every
/// block length.
pub trait CacheElement {
    /// Whether rows are floats as they are, so that widening them first gains nothing.
    const WIDE: bool;

    /// Bytes of a row of `head_dim` elements, or `None` where the type cannot hold such a row.
    fn row_bytes(head_dim: usize) -> Option<usize>;

    /// Elements i .. i + LANES of a row.
    unsafe fn load<S: Simd>(row: *const u8, i: usize) -> S::F32;

    /// The first `count` of the elements i .. i + LANES; the other lanes are 0.
    unsafe fn load_first<S: Simd>(row: *const u8, i: usize, count: usize) -> S::F32;

    /// Writes a row of `dim` elements as floats, exactly.
    #[inline(always)]
    unsafe fn widen_row<S: Simd>(out: *mut f32, row: *const u8, dim: usize) {
        unsafe {
            let mut i = 0;
            while i + S::LANES <= dim {
                S::store(out.add(i), Self::load::<S>(row, i));
                i += S::LANES;
            }
            if i < dim {
                S::store_first(out.add(i), Self::load_first::<S>(row, i, dim - i), dim - i);
            }
        }
    }

    /// Writes `dim` floats as a row.
    unsafe fn store_row<S: Simd>(row: *mut u8, x: *const f32, dim: usize);
}

/// Single precision.
pub struct CacheF32;

impl CacheElement for CacheF32 {
    const WIDE: bool = true;

    fn row_bytes(head_dim: usize) -> Option<usize> {
        Some(head_dim * 4)
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(row: *const u8, i: usize) -> S::F32 {
        unsafe { S::load(row.cast::<f32>().add(i)) }
    }
    #[inline(always)]
    unsafe fn load_first<S: Simd>(row: *const u8, i: usize, count: usize) -> S::F32 {
        unsafe { S::load_first(row.cast::<f32>().add(i), count) }
    }
    #[inline(always)]
    unsafe fn store_row<S: Simd>(row: *mut u8, x: *const f32, dim: usize) {
        unsafe { core::ptr::copy_nonoverlapping(x, row.cast::<f32>(), dim) }
    }
}

/// Half precision.
pub struct CacheF16;

impl CacheElement for CacheF16 {
    const WIDE: bool = false;

    fn row_bytes(head_dim: usize) -> Option<usize> {
        Some(head_dim * 2)
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(row: *const u8, i: usize) -> S::F32 {
        unsafe { S::load_f16(row.cast::<u16>().add(i)) }
    }
    #[inline(always)]
    unsafe fn load_first<S: Simd>(row: *const u8, i: usize, count: usize) -> S::F32 {
        unsafe { S::load_f16_first(row.cast::<u16>().add(i), count) }
    }
    #[inline(always)]
    unsafe fn store_row<S: Simd>(row: *mut u8, x: *const f32, dim: usize) {
        unsafe {
            let row = row.cast::<u16>();
            let mut i = 0;
            while i + S::LANES <= dim {
                S::store_f16(row.add(i), S::load(x.add(i)));
                i += S::LANES;
            }
            while i < dim {
                *row.add(i) = f32_to_f16(*x.add(i));
                i += 1;
            }
        }
    }
}
