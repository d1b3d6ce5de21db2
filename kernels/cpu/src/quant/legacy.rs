//! q4_0, q4_1, q5_0, q5_1: 32 elements of four or five bits and one scale, two of them with a minimum.
//!
//! Low nibbles hold elements 0 ..= 15, high nibbles 16 ..= 31; the fifth bit of element j is bit j of a
//! 32-bit word. Scale (and minimum) first, then that word, then 16 bytes of nibbles.

use super::BlockFormat;
use super::fit::{Search, fit_symmetric, fit_with_minimum, largest};
use crate::simd::float16::{f16_to_f32, f32_to_f16};
use crate::simd::square_root;

/// The format of GGUF's type 2: x = d (q - 8).
pub struct Q4_0;
/// The format of GGUF's type 3: x = d q + m.
pub struct Q4_1;
/// The format of GGUF's type 6: x = d (q - 16).
pub struct Q5_0;
/// The format of GGUF's type 7: x = d q + m.
pub struct Q5_1;

/// One block taken apart.
struct Parts {
    scale: u16,
    minimum: u16,
    levels: [u8; 32],
}

/// Where the fields of a block stand.
#[derive(Clone, Copy)]
struct Layout {
    minimum: bool,
    fifth_bit: bool,
}

impl Layout {
    unsafe fn write(self, block: *mut u8, parts: &Parts) {
        unsafe {
            block.cast::<u16>().write_unaligned(parts.scale);
            let mut at = 2;
            if self.minimum {
                block.add(at).cast::<u16>().write_unaligned(parts.minimum);
                at += 2;
            }
            if self.fifth_bit {
                let mut word = 0u32;
                for (j, &level) in parts.levels.iter().enumerate() {
                    word |= u32::from(level >> 4) << j;
                }
                block.add(at).cast::<u32>().write_unaligned(word.to_le());
                at += 4;
            }
            for j in 0..16 {
                *block.add(at + j) = parts.levels[j] & 15 | parts.levels[j + 16] << 4;
            }
        }
    }

    unsafe fn read(self, block: *const u8) -> Parts {
        unsafe {
            let mut parts = Parts {
                scale: block.cast::<u16>().read_unaligned(),
                minimum: 0,
                levels: [0; 32],
            };
            let mut at = 2;
            if self.minimum {
                parts.minimum = block.add(at).cast::<u16>().read_unaligned();
                at += 2;
            }
            let mut word = 0;
            if self.fifth_bit {
                word = u32::from_le(block.add(at).cast::<u32>().read_unaligned());
                at += 4;
            }
            for j in 0..16 {
                let byte = *block.add(at + j);
                parts.levels[j] = byte & 15 | ((word >> j & 1) as u8) << 4;
                parts.levels[j + 16] = byte >> 4 | ((word >> (j + 16) & 1) as u8) << 4;
            }
            parts
        }
    }
}

/// d = (value of largest magnitude) / -half; q = min(2 half - 1, trunc(x / d + half + 0.5)).
unsafe fn quantize_symmetric(x: *const f32, half: f32) -> Parts {
    let x = unsafe { core::slice::from_raw_parts(x, 32) };
    let scale = largest(x).0 / -half;
    let inverse = if scale != 0.0 { 1.0 / scale } else { 0.0 };
    let mut levels = [0; 32];
    for (level, &x) in levels.iter_mut().zip(x) {
        // To a signed byte first, as the reference truncates.
        let q = (x * inverse + (half + 0.5)) as i8;
        *level = (q as u8).min(2 * half as u8 - 1);
    }
    Parts {
        scale: f32_to_f16(scale),
        minimum: 0,
        levels,
    }
}

/// m = min x, d = (max - min) / highest; q = min(highest, trunc((x - m) / d + 0.5)).
unsafe fn quantize_with_minimum(x: *const f32, highest: u8) -> Parts {
    let x = unsafe { core::slice::from_raw_parts(x, 32) };
    let (mut min, mut max) = (f32::MAX, -f32::MAX);
    for &x in x {
        min = if x < min { x } else { min };
        max = if x > max { x } else { max };
    }
    let scale = (max - min) / f32::from(highest);
    let inverse = if scale != 0.0 { 1.0 / scale } else { 0.0 };
    let mut levels = [0; 32];
    for (level, &x) in levels.iter_mut().zip(x) {
        *level = (((x - min) * inverse + 0.5) as i8 as u8).min(highest);
    }
    Parts {
        scale: f32_to_f16(scale),
        minimum: f32_to_f16(min),
        levels,
    }
}

/// importance * sqrt(mean square of the row + x^2).
unsafe fn weights_of(x: *const f32, importance: *const f32, mean_square: f32) -> [f32; 32] {
    let mut weights = [0f32; 32];
    for (i, weight) in weights.iter_mut().enumerate() {
        unsafe {
            let (x, importance) = (*x.add(i), *importance.add(i));
            *weight = importance * square_root(mean_square + x * x);
        }
    }
    weights
}

unsafe fn weigh_symmetric(x: *const f32, weights: &[f32; 32], half: i32) -> Parts {
    let x = unsafe { core::slice::from_raw_parts(x, 32) };
    let mut levels = [0i8; 32];
    let scale = fit_symmetric(x, Some(weights), half, &mut levels);
    Parts {
        scale: f32_to_f16(scale),
        minimum: 0,
        levels: levels.map(|l| l as u8),
    }
}

unsafe fn weigh_with_minimum(x: *const f32, weights: &[f32; 32], highest: i32) -> Parts {
    let x = unsafe { core::slice::from_raw_parts(x, 32) };
    let search = Search {
        first: -0.9,
        step: 0.05,
        steps: 36,
        absolute: false,
    };
    let mut levels = [0; 32];
    let (scale, minus) = fit_with_minimum(x, weights, highest, &mut levels, search);
    Parts {
        scale: f32_to_f16(scale),
        minimum: f32_to_f16(-minus),
        levels,
    }
}

macro_rules! format {
    ($name:ident, $bytes:literal, $layout:expr, |$x:ident| $quantize:expr,
     |$weights:ident| $weigh:expr, $offset:literal) => {
        impl BlockFormat for $name {
            const ELEMENTS: usize = 32;
            const BYTES: usize = $bytes;

            #[inline(always)]
            unsafe fn quantize($x: *const f32, block: *mut u8) {
                unsafe { $layout.write(block, &$quantize) }
            }

            unsafe fn quantize_weighted(
                $x: *const f32,
                importance: *const f32,
                mean_square: f32,
                block: *mut u8,
            ) {
                unsafe {
                    let $weights = &weights_of($x, importance, mean_square);
                    $layout.write(block, &$weigh)
                }
            }

            #[inline(always)]
            unsafe fn dequantize(block: *const u8, out: *mut f32) {
                unsafe {
                    let parts = $layout.read(block);
                    let (scale, minimum) = (f16_to_f32(parts.scale), f16_to_f32(parts.minimum));
                    for (j, &level) in parts.levels.iter().enumerate() {
                        let level = f32::from(level as i8 - $offset);
                        let x = level * scale;
                        *out.add(j) = if $layout.minimum { x + minimum } else { x };
                    }
                }
            }
        }
    };
}

const PLAIN_4: Layout = Layout {
    minimum: false,
    fifth_bit: false,
};
const MINIMUM_4: Layout = Layout {
    minimum: true,
    fifth_bit: false,
};
const PLAIN_5: Layout = Layout {
    minimum: false,
    fifth_bit: true,
};
const MINIMUM_5: Layout = Layout {
    minimum: true,
    fifth_bit: true,
};

format!(
    Q4_0,
    18,
    PLAIN_4,
    |x| quantize_symmetric(x, 8.0),
    |w| weigh_symmetric(x, w, 8),
    8
);
format!(
    Q4_1,
    20,
    MINIMUM_4,
    |x| quantize_with_minimum(x, 15),
    |w| weigh_with_minimum(x, w, 15),
    0
);
format!(
    Q5_0,
    22,
    PLAIN_5,
    |x| quantize_symmetric(x, 16.0),
    |w| weigh_symmetric(x, w, 16),
    16
);
format!(
    Q5_1,
    24,
    MINIMUM_5,
    |x| quantize_with_minimum(x, 31),
    |w| weigh_with_minimum(x, w, 31),
    0
);
