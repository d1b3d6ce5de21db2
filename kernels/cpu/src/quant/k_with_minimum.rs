//! q2_k, q4_k, q5_k: 256 elements in sub-blocks with a small scale and a small minimum each, and one
//! half-precision scale for either. x = d scale q - dmin minimum.

use super::BlockFormat;
use super::fit::{Search, fit_with_minimum, nearest};
use super::super_block::{
    SUPER, four_bits, pack_four_bits, pack_scale_and_minimum, pack_two_bits, read_half,
    scale_and_minimum, two_bits, write_half,
};
use crate::simd::square_root;

/// The format of GGUF's type 10: 16 sub-blocks of 16, two bits; scales[16] (low nibble scale, high
/// minimum), qs[64], d, dmin; 84 bytes.
pub struct Q2K;
/// The format of GGUF's type 12: eight sub-blocks of 32, four bits; d, dmin, scales[12], qs[128].
pub struct Q4K;
/// The format of GGUF's type 13: eight sub-blocks of 32, five bits; d, dmin, scales[12], qh[32],
/// qs[128].
pub struct Q5K;

/// Scales, minima and first levels of `N` sub-blocks.
struct Fits<const N: usize> {
    scales: [f32; N],
    minima: [f32; N],
    levels: [u8; SUPER],
}

fn fit<const N: usize>(
    x: &[f32],
    highest: i32,
    search: Search,
    weigh: impl Fn(&[f32], &mut [f32]),
) -> Fits<N> {
    let size = SUPER / N;
    let mut fits = Fits {
        scales: [0.0; N],
        minima: [0.0; N],
        levels: [0; SUPER],
    };
    let mut weights = [0f32; 32];
    for j in 0..N {
        let range = size * j..size * (j + 1);
        let part = &x[range.clone()];
        weigh(part, &mut weights[..size]);
        let levels = &mut fits.levels[range];
        (fits.scales[j], fits.minima[j]) =
            fit_with_minimum(part, &weights[..size], highest, levels, search);
    }
    fits
}

fn greatest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |m, &x| if x > m { x } else { m })
}

/// |x| + root mean square of the sub-block.
fn loud_weights(x: &[f32], weights: &mut [f32]) {
    let mut sum = 0f32;
    for &x in x {
        sum += x * x;
    }
    let loudness = square_root(sum / x.len() as f32);
    for (weight, &x) in weights.iter_mut().zip(x) {
        *weight = loudness + x.abs();
    }
}

fn requantize(x: &[f32], scale: f32, minimum: f32, highest: i32, levels: &mut [u8]) {
    if scale == 0.0 {
        return;
    }
    for (level, &x) in levels.iter_mut().zip(x) {
        *level = nearest((x + minimum) / scale).clamp(0, highest) as u8;
    }
}

/// The common half of q4_k and q5_k: d, dmin and scales at the block's start; gives the levels.
unsafe fn quantize_eighths(x: &[f32], block: *mut u8, highest: i32, search: Search) -> [u8; SUPER] {
    let mut fits = fit::<8>(x, highest, search, loud_weights);
    let (max_scale, max_minimum) = (greatest(&fits.scales), greatest(&fits.minima));
    let inverse = |max: f32| if max > 0.0 { 63.0 / max } else { 0.0 };
    let (inverse_scale, inverse_minimum) = (inverse(max_scale), inverse(max_minimum));
    let packed = unsafe { core::slice::from_raw_parts_mut(block.add(4), 12) };
    packed.fill(0);
    for j in 0..8 {
        let scale = (nearest(inverse_scale * fits.scales[j]) as u8).min(63);
        let minimum = (nearest(inverse_minimum * fits.minima[j]) as u8).min(63);
        pack_scale_and_minimum(packed, j, scale, minimum);
    }
    let d = unsafe { write_half(block, max_scale / 63.0) };
    let dmin = unsafe { write_half(block.add(2), max_minimum / 63.0) };
    for j in 0..8 {
        let (scale, minimum) = scale_and_minimum(packed, j);
        let (scale, minimum) = (d * f32::from(scale), dmin * f32::from(minimum));
        let range = 32 * j..32 * (j + 1);
        requantize(
            &x[range.clone()],
            scale,
            minimum,
            highest,
            &mut fits.levels[range],
        );
    }
    fits.levels
}

unsafe fn dequantize_eighths(block: *const u8, out: *mut f32, level: impl Fn(usize) -> u8) {
    unsafe {
        let (d, dmin) = (read_half(block), read_half(block.add(2)));
        let packed = core::slice::from_raw_parts(block.add(4), 12);
        for j in 0..8 {
            let (scale, minimum) = scale_and_minimum(packed, j);
            let (scale, minimum) = (d * f32::from(scale), dmin * f32::from(minimum));
            for i in 32 * j..32 * (j + 1) {
                *out.add(i) = scale * f32::from(level(i)) - minimum;
            }
        }
    }
}

impl BlockFormat for Q4K {
    const ELEMENTS: usize = SUPER;
    const BYTES: usize = 144;

    unsafe fn quantize(x: *const f32, block: *mut u8) {
        unsafe {
            let x = core::slice::from_raw_parts(x, SUPER);
            let search = Search {
                first: -1.0,
                step: 0.1,
                steps: 20,
                absolute: false,
            };
            let levels = quantize_eighths(x, block, 15, search);
            pack_four_bits(&levels, core::slice::from_raw_parts_mut(block.add(16), 128));
        }
    }

    unsafe fn dequantize(block: *const u8, out: *mut f32) {
        unsafe {
            let low = core::slice::from_raw_parts(block.add(16), 128);
            dequantize_eighths(block, out, |i| four_bits(low, i));
        }
    }
}

impl BlockFormat for Q5K {
    const ELEMENTS: usize = SUPER;
    const BYTES: usize = 176;

    unsafe fn quantize(x: *const f32, block: *mut u8) {
        unsafe {
            let x = core::slice::from_raw_parts(x, SUPER);
            let search = Search {
                first: -0.5,
                step: 0.1,
                steps: 15,
                absolute: false,
            };
            let levels = quantize_eighths(x, block, 31, search);
            let high = core::slice::from_raw_parts_mut(block.add(16), 32);
            high.fill(0);
            for (i, level) in levels.iter().enumerate() {
                high[i % 32] |= (level >> 4) << (i / 32);
            }
            pack_four_bits(&levels, core::slice::from_raw_parts_mut(block.add(48), 128));
        }
    }

    unsafe fn dequantize(block: *const u8, out: *mut f32) {
        unsafe {
            let high = core::slice::from_raw_parts(block.add(16), 32);
            let low = core::slice::from_raw_parts(block.add(48), 128);
            let level = |i: usize| four_bits(low, i) | (high[i % 32] >> (i / 32) & 1) << 4;
            dequantize_eighths(block, out, level);
        }
    }
}

impl BlockFormat for Q2K {
    const ELEMENTS: usize = SUPER;
    const BYTES: usize = 84;

    unsafe fn quantize(x: *const f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let search = Search {
            first: -0.5,
            step: 0.1,
            steps: 15,
            absolute: true,
        };
        let mut fits = fit::<16>(x, 3, search, |x, weights| {
            for (weight, &x) in weights.iter_mut().zip(x) {
                *weight = x.abs();
            }
        });
        let packed = unsafe { core::slice::from_raw_parts_mut(block, 16) };
        packed.fill(0);
        let (max_scale, max_minimum) = (greatest(&fits.scales), greatest(&fits.minima));
        let (mut d, mut dmin) = (0.0, 0.0);
        if max_scale > 0.0 {
            let inverse = 15.0 / max_scale;
            for (byte, &scale) in packed.iter_mut().zip(&fits.scales) {
                *byte = nearest(inverse * scale) as u8;
            }
            d = max_scale / 15.0;
        }
        if max_minimum > 0.0 {
            let inverse = 15.0 / max_minimum;
            for (byte, &minimum) in packed.iter_mut().zip(&fits.minima) {
                *byte |= (nearest(inverse * minimum) as u8) << 4;
            }
            dmin = max_minimum / 15.0;
        }
        let (d, dmin) = unsafe {
            (
                write_half(block.add(80), d),
                write_half(block.add(82), dmin),
            )
        };
        for (j, &byte) in packed.iter().enumerate() {
            let (scale, minimum) = (d * f32::from(byte & 15), dmin * f32::from(byte >> 4));
            let range = 16 * j..16 * (j + 1);
            requantize(
                &x[range.clone()],
                scale,
                minimum,
                3,
                &mut fits.levels[range],
            );
        }
        let bytes = unsafe { core::slice::from_raw_parts_mut(block.add(16), 64) };
        pack_two_bits(&fits.levels, bytes);
    }

    unsafe fn dequantize(block: *const u8, out: *mut f32) {
        unsafe {
            let packed = core::slice::from_raw_parts(block, 16);
            let low = core::slice::from_raw_parts(block.add(16), 64);
            let (d, dmin) = (read_half(block.add(80)), read_half(block.add(82)));
            for (j, &byte) in packed.iter().enumerate() {
                let (scale, minimum) = (d * f32::from(byte & 15), dmin * f32::from(byte >> 4));
                for i in 16 * j..16 * (j + 1) {
                    *out.add(i) = scale * f32::from(two_bits(low, i)) - minimum;
                }
            }
        }
    }
}
