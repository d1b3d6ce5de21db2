//! What the formats with super-blocks of 256 elements share: how small integers are packed.

use crate::simd::float16::{f16_to_f32, f32_to_f16};

/// Elements of a super-block.
pub const SUPER: usize = 256;

/// Reads a half-precision number.
pub unsafe fn read_half(p: *const u8) -> f32 {
    f16_to_f32(unsafe { p.cast::<u16>().read_unaligned() })
}

/// Rounds to half precision and writes it; gives the rounded value.
pub unsafe fn write_half(p: *mut u8, x: f32) -> f32 {
    let half = f32_to_f16(x);
    unsafe { p.cast::<u16>().write_unaligned(half) };
    f16_to_f32(half)
}

/// Scale and minimum (six bits each) of sub-block j of eight, from twelve packed bytes.
pub fn scale_and_minimum(packed: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        return (packed[j] & 63, packed[j + 4] & 63);
    }
    let scale = packed[j + 4] & 15 | (packed[j - 4] >> 6) << 4;
    let minimum = packed[j + 4] >> 4 | (packed[j] >> 6) << 4;
    (scale, minimum)
}

/// Packs scale and minimum of sub-block j; `packed` starts as zeros, j ascends.
pub fn pack_scale_and_minimum(packed: &mut [u8], j: usize, scale: u8, minimum: u8) {
    if j < 4 {
        packed[j] = scale;
        packed[j + 4] = minimum;
    } else {
        packed[j + 4] = scale & 15 | (minimum & 15) << 4;
        packed[j - 4] |= (scale >> 4) << 6;
        packed[j] |= (minimum >> 4) << 6;
    }
}

/// Two bits each: byte 32 (j / 128) + l holds elements l, l + 32, l + 64, l + 96 of a half.
pub fn pack_two_bits(levels: &[u8; SUPER], bytes: &mut [u8]) {
    for half in 0..2 {
        for l in 0..32 {
            let level = |i: usize| levels[128 * half + l + 32 * i] & 3;
            bytes[32 * half + l] = level(0) | level(1) << 2 | level(2) << 4 | level(3) << 6;
        }
    }
}

/// The two bits of element i.
pub fn two_bits(bytes: &[u8], i: usize) -> u8 {
    bytes[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3
}

/// Four bits each: byte 32 (j / 64) + l holds elements l and l + 32 of a quarter.
pub fn pack_four_bits(levels: &[u8; SUPER], bytes: &mut [u8]) {
    for quarter in 0..4 {
        for l in 0..32 {
            let at = 64 * quarter + l;
            bytes[32 * quarter + l] = levels[at] & 15 | levels[at + 32] << 4;
        }
    }
}

/// The four bits of element i.
pub fn four_bits(bytes: &[u8], i: usize) -> u8 {
    bytes[32 * (i / 64) + i % 32] >> (4 * (i % 64 / 32)) & 15
}
