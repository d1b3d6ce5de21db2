//! q8_0: 32 signed bytes and one half-precision scale; 34 bytes, scale first. x = d * q.

use super::BlockFormat;
use crate::simd::float16::{f16_to_f32, f32_to_f16};

/// The format of GGUF's type 8.
pub struct Q8_0;

impl BlockFormat for Q8_0 {
    const ELEMENTS: usize = 32;
    const BYTES: usize = 34;

    /// d = max|x| / 127; q = x / d rounded half away from zero, with the d that is not yet rounded to
    /// half precision. A NaN becomes 0.
    #[inline(always)]
    unsafe fn quantize(x: *const f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, 32) };
        let magnitude = |x: f32| f32::from_bits(x.to_bits() & 0x7fff_ffff);
        let largest = x.iter().fold(
            0f32,
            |m, &x| if magnitude(x) > m { magnitude(x) } else { m },
        );
        let scale = largest / 127.0;
        let inverse = if scale != 0.0 { 1.0 / scale } else { 0.0 };
        unsafe { block.cast::<u16>().write_unaligned(f32_to_f16(scale)) };
        for (i, &x) in x.iter().enumerate() {
            unsafe { *block.add(2 + i).cast::<i8>() = round_half_away(x * inverse) };
        }
    }

    #[inline(always)]
    unsafe fn dequantize(block: *const u8, out: *mut f32) {
        unsafe {
            let scale = f16_to_f32(block.cast::<u16>().read_unaligned());
            for i in 0..32 {
                *out.add(i) = f32::from(*block.add(2 + i).cast::<i8>()) * scale;
            }
        }
    }
}

/// Rounds to the nearest integer, halves away from zero.
#[inline(always)]
fn round_half_away(x: f32) -> i8 {
    // The fraction that truncation leaves is exact, so that 0.49999997 is not mistaken for a half.
    let whole = x as i32;
    let rest = x - whole as f32;
    let away = i32::from(rest >= 0.5) - i32::from(rest <= -0.5);
    (whole + away) as i8
}
