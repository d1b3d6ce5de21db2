//! q8_0: 32 signed bytes and one half-precision scale; 34 bytes, scale first. x = d * q.

use super::BlockFormat;
use crate::simd::float16::{f16_to_f32, f32_to_f16};

/// The format of GGUF's type 8.
pub struct Q8_0;

impl BlockFormat for Q8_0 {
    const ELEMENTS: usize = 32;
    const BYTES: usize = 34;

    /// d = max|x| / 127; q = x / d rounded half away from zero, with the d that is not yet rounded to
    /// half precision. A block in which something is not finite becomes NaN.
    #[inline(always)]
    unsafe fn quantize(x: *const f32, block: *mut u8) {
        // Arrays, not memory, which the compiler would have to take for overlapping.
        let x = unsafe { x.cast::<[f32; 32]>().read_unaligned() };
        let mut largest = 0;
        for x in x {
            // As integers the magnitudes have the same order, and no order in which to compare them.
            largest = largest.max(x.to_bits() & 0x7fff_ffff);
        }
        let scale = f32::from_bits(largest) / 127.0;
        let inverse = if scale != 0.0 { 1.0 / scale } else { 0.0 };
        let mut levels = [0i8; 32];
        for (level, x) in levels.iter_mut().zip(x) {
            *level = round_half_away(x * inverse);
        }
        unsafe {
            block.cast::<u16>().write_unaligned(f32_to_f16(scale));
            block.add(2).cast::<[i8; 32]>().write(levels);
        }
    }

    #[inline(always)]
    unsafe fn dequantize(block: *const u8, out: *mut f32) {
        unsafe {
            let scale = f16_to_f32(block.cast::<u16>().read_unaligned());
            let levels = block.add(2).cast::<[i8; 32]>().read();
            out.cast::<[f32; 32]>()
                .write_unaligned(levels.map(|q| f32::from(q) * scale));
        }
    }
}

/// Rounds to the nearest integer, halves away from zero; what is no level at all becomes 0.
#[inline(always)]
fn round_half_away(x: f32) -> i8 {
    // The largest number below a half: with a half, 0.49999997 would round up.
    let half = f32::from_bits(0x3eff_ffff | x.to_bits() & 0x8000_0000);
    let raised = x + half;
    let level = if raised.abs() < 128.0 { raised } else { 0.0 };
    // Checked just above; a cast with `as` would keep the compiler from making vectors of this.
    unsafe { level.to_int_unchecked::<i32>() as i8 }
}
