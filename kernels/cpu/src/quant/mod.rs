//! Block formats: weights stored as blocks of small integers with a scale. One trait, a file a format.

mod fit;
#[cfg(test)]
mod golden_tests;
pub mod k_symmetric;
pub mod k_with_minimum;
pub mod legacy;
pub mod q8_0;
mod super_block;

/// A block format: how its blocks are made and read. The functions here are the plain reference,
/// bit for bit; fast paths live with the ops that use them.
pub trait BlockFormat {
    /// Elements that share a block.
    const ELEMENTS: usize;
    /// Bytes of a block.
    const BYTES: usize;

    /// Writes the block of `ELEMENTS` floats.
    ///
    /// # Safety
    /// `x` is readable for `ELEMENTS` floats, `block` writable for `BYTES` bytes.
    unsafe fn quantize(x: *const f32, block: *mut u8);

    /// The same with an importance per element: errors where it is large count for more.
    /// `mean_square` is that of the whole row. A format that importance cannot help ignores it.
    ///
    /// # Safety
    /// As for `quantize`, and `importance` is readable for `ELEMENTS` floats.
    unsafe fn quantize_weighted(
        x: *const f32,
        _importance: *const f32,
        _mean_square: f32,
        block: *mut u8,
    ) {
        unsafe { Self::quantize(x, block) }
    }

    /// Writes the `ELEMENTS` floats that a block stands for.
    ///
    /// # Safety
    /// `block` is readable for `BYTES` bytes, `out` writable for `ELEMENTS` floats.
    unsafe fn dequantize(block: *const u8, out: *mut f32);
}
