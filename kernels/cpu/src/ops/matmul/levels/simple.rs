//! The formats with blocks of 32: one unit a block.

use super::{Levels, MAX_UNITS, put};
use crate::quant::legacy::{Q4_0, Q4_1, Q5_0, Q5_1};
use crate::quant::q8_0::Q8_0;
use crate::simd::Simd;

/// Low nibbles of 16 bytes, then their high nibbles.
#[inline(always)]
unsafe fn nibbles(from: *const u8) -> [u8; 32] {
    let bytes = unsafe { from.cast::<[u8; 16]>().read_unaligned() };
    let mut levels = [0; 32];
    for i in 0..16 {
        levels[i] = bytes[i] & 15;
        levels[i + 16] = bytes[i] >> 4;
    }
    levels
}

/// Nibbles, and bit i of the word before them as the fifth bit of level i.
#[inline(always)]
unsafe fn five_bits(from: *const u8) -> [u8; 32] {
    let word = unsafe { from.cast::<[u8; 4]>().read_unaligned() };
    let mut levels = unsafe { nibbles(from.add(4)) };
    for (i, level) in levels.iter_mut().enumerate() {
        let bit = word[i / 8] & (1 << (i % 8));
        *level |= if bit != 0 { 16 } else { 0 };
    }
    levels
}

#[inline(always)]
unsafe fn half<S: Simd>(from: *const u8) -> [f32; MAX_UNITS] {
    [unsafe { S::f16(from.cast()) }; MAX_UNITS]
}

macro_rules! levels {
    ($name:ident, $offset:literal, |$block:ident| $levels:expr, $minimum:literal) => {
        impl Levels for $name {
            const UNIT: usize = 32;
            const MINIMUM: bool = $minimum;
            const OFFSET: u8 = $offset;

            #[inline(always)]
            unsafe fn levels<const SIGNED: bool>($block: *const u8, to: *mut u8) {
                unsafe { put::<SIGNED>(to, $levels, $offset) }
            }

            #[inline(always)]
            unsafe fn scales<S: Simd>(block: *const u8) -> ([f32; MAX_UNITS], [f32; MAX_UNITS]) {
                unsafe {
                    (
                        half::<S>(block),
                        if $minimum {
                            half::<S>(block.add(2))
                        } else {
                            [0.0; 16]
                        },
                    )
                }
            }
        }
    };
}

levels!(Q4_0, 8, |block| nibbles(block.add(2)), false);
levels!(Q4_1, 0, |block| nibbles(block.add(4)), true);
levels!(Q5_0, 16, |block| five_bits(block.add(2)), false);
levels!(Q5_1, 0, |block| five_bits(block.add(4)), true);
levels!(Q8_0, 128, |block| raised(block.add(2)), false);

/// Signed bytes, raised by 128.
#[inline(always)]
unsafe fn raised(from: *const u8) -> [u8; 32] {
    let mut levels = unsafe { from.cast::<[u8; 32]>().read_unaligned() };
    for level in &mut levels {
        *level ^= 0x80;
    }
    levels
}
