//! Element types of the key-value cache: how a row of one head is read as vectors and written.

use crate::abi_generated::dtype;
use crate::quant::BlockFormat;
use crate::quant::q8_0::Q8_0;
use crate::simd::Simd;
use crate::simd::float16::f32_to_f16;

/// Refuses types that no cache has, and heads that do not fill the blocks of theirs.
pub fn check_cache(cache_dtype: u32, head_dim: usize) -> Result<(), &'static str> {
    match cache_dtype {
        dtype::F32 | dtype::F16 => Ok(()),
        dtype::Q8_0 if CacheQ8::row_bytes(head_dim).is_some() => Ok(()),
        dtype::Q8_0 => Err("head_dim must be a multiple of 32 in a cache of q8_0"),
        _ => Err("cache_dtype must be f32, f16 or q8_0"),
    }
}

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

/// q8_0 blocks.
pub struct CacheQ8;

impl CacheElement for CacheQ8 {
    const WIDE: bool = false;

    fn row_bytes(head_dim: usize) -> Option<usize> {
        let whole = head_dim.is_multiple_of(Q8_0::ELEMENTS);
        whole.then_some(head_dim / Q8_0::ELEMENTS * Q8_0::BYTES)
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(row: *const u8, i: usize) -> S::F32 {
        unsafe {
            let block = row.add(i / Q8_0::ELEMENTS * Q8_0::BYTES);
            let levels = S::load_i8(block.add(2 + i % Q8_0::ELEMENTS).cast());
            S::mul(levels, S::splat_f16(block.cast()))
        }
    }
    #[inline(always)]
    unsafe fn load_first<S: Simd>(row: *const u8, i: usize, count: usize) -> S::F32 {
        // Rows are whole blocks and blocks whole vectors: all of it or nothing.
        if count == 0 {
            unsafe { S::zero() }
        } else {
            unsafe { Self::load::<S>(row, i) }
        }
    }
    #[inline(always)]
    unsafe fn store_row<S: Simd>(row: *mut u8, x: *const f32, dim: usize) {
        for block in 0..dim / Q8_0::ELEMENTS {
            unsafe {
                let x = x.add(block * Q8_0::ELEMENTS);
                Q8_0::quantize(x, row.add(block * Q8_0::BYTES));
            }
        }
    }
}
