//! q2_k, q4_k, q5_k: 256 elements in sub-blocks with a small scale and a small minimum each, and one
//! half-precision scale for either. x = d scale q - dmin minimum.

use super::BlockFormat;
use super::fit::{Search, fit_positive, fit_with_minimum, nearest};
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

/// What the trial scales of the reference are where importance is given.
const WEIGHTED_SEARCH: Search = Search {
    first: -0.9,
    step: 0.05,
    steps: 36,
    absolute: false,
};

/// Scales, minima, summed weights and first levels of `N` sub-blocks.
struct Fits<const N: usize> {
    scales: [f32; N],
    minima: [f32; N],
    weights: [f32; N],
    levels: [u8; SUPER],
}

fn fit<const N: usize>(
    x: &[f32],
    highest: i32,
    search: Search,
    weigh: impl Fn(usize, &[f32], &mut [f32]),
) -> Fits<N> {
    let size = SUPER / N;
    let mut fits = Fits {
        scales: [0.0; N],
        minima: [0.0; N],
        weights: [0.0; N],
        levels: [0; SUPER],
    };
    let mut weights = [0f32; 32];
    for j in 0..N {
        let range = size * j..size * (j + 1);
        let part = &x[range.clone()];
        weigh(size * j, part, &mut weights[..size]);
        let levels = &mut fits.levels[range];
        (fits.scales[j], fits.minima[j]) =
            fit_with_minimum(part, &weights[..size], highest, levels, search);
        for &weight in &weights[..size] {
            fits.weights[j] += weight;
        }
    }
    fits
}

/// Both half-precision scales before rounding, and the small scales and minima they multiply.
struct Header<const N: usize> {
    d: f32,
    dmin: f32,
    scales: [u8; N],
    minima: [u8; N],
}

impl<const N: usize> Fits<N> {
    /// Small integers up to `top`, by the largest of their kind.
    fn by_largest(&self, top: u8) -> Header<N> {
        let small = |values: &[f32; N]| {
            let max = values.iter().fold(0f32, |m, &x| if x > m { x } else { m });
            let inverse = if max > 0.0 { f32::from(top) / max } else { 0.0 };
            (
                max / f32::from(top),
                values.map(|x| (nearest(inverse * x) as u8).min(top)),
            )
        };
        let ((d, scales), (dmin, minima)) = (small(&self.scales), small(&self.minima));
        Header {
            d,
            dmin,
            scales,
            minima,
        }
    }

    /// Small integers up to `top`, by least error.
    fn by_least_error(&self, top: u8) -> Header<N> {
        let mut header = Header {
            d: 0.0,
            dmin: 0.0,
            scales: [0; N],
            minima: [0; N],
        };
        let top = i32::from(top);
        header.d = fit_positive(&self.scales, &self.weights, top, &mut header.scales);
        header.dmin = fit_positive(&self.minima, &self.weights, top, &mut header.minima);
        header
    }
}

/// |x| + root mean square of the sub-block.
fn loud_weights(_at: usize, x: &[f32], weights: &mut [f32]) {
    let mut sum = 0f32;
    for &x in x {
        sum += x * x;
    }
    let loudness = square_root(sum / x.len() as f32);
    for (weight, &x) in weights.iter_mut().zip(x) {
        *weight = loudness + x.abs();
    }
}

/// importance * sqrt(loudness + x^2), `loudness` being `factor` times the super-block's mean square.
fn importance_weights(
    x: &[f32],
    importance: &[f32],
    factor: f32,
) -> impl Fn(usize, &[f32], &mut [f32]) {
    let mut sum = 0f32;
    for &x in x {
        sum += x * x;
    }
    let loudness = factor * sum / SUPER as f32;
    move |at, x, weights| {
        for (i, (weight, &x)) in weights.iter_mut().zip(x).enumerate() {
            *weight = importance[at + i] * square_root(loudness + x * x);
        }
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
unsafe fn write_eighths(
    x: &[f32],
    block: *mut u8,
    highest: i32,
    header: &Header<8>,
    mut levels: [u8; SUPER],
) -> [u8; SUPER] {
    let packed = unsafe { core::slice::from_raw_parts_mut(block.add(4), 12) };
    packed.fill(0);
    for j in 0..8 {
        pack_scale_and_minimum(packed, j, header.scales[j], header.minima[j]);
    }
    let d = unsafe { write_half(block, header.d) };
    let dmin = unsafe { write_half(block.add(2), header.dmin) };
    for j in 0..8 {
        let (scale, minimum) = scale_and_minimum(packed, j);
        let (scale, minimum) = (d * f32::from(scale), dmin * f32::from(minimum));
        let range = 32 * j..32 * (j + 1);
        requantize(
            &x[range.clone()],
            scale,
            minimum,
            highest,
            &mut levels[range],
        );
    }
    levels
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

unsafe fn write_q4(x: &[f32], block: *mut u8, header: &Header<8>, levels: [u8; SUPER]) {
    unsafe {
        let levels = write_eighths(x, block, 15, header, levels);
        pack_four_bits(&levels, core::slice::from_raw_parts_mut(block.add(16), 128));
    }
}

impl BlockFormat for Q4K {
    const ELEMENTS: usize = SUPER;
    const BYTES: usize = 144;

    unsafe fn quantize(x: *const f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let search = Search {
            first: -1.0,
            step: 0.1,
            steps: 20,
            absolute: false,
        };
        let fits = fit::<8>(x, 15, search, loud_weights);
        unsafe { write_q4(x, block, &fits.by_largest(63), fits.levels) }
    }

    unsafe fn quantize_weighted(x: *const f32, importance: *const f32, _: f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let importance = unsafe { core::slice::from_raw_parts(importance, SUPER) };
        let fits = fit::<8>(
            x,
            15,
            WEIGHTED_SEARCH,
            importance_weights(x, importance, 2.0),
        );
        unsafe { write_q4(x, block, &fits.by_least_error(63), fits.levels) }
    }

    unsafe fn dequantize(block: *const u8, out: *mut f32) {
        unsafe {
            let low = core::slice::from_raw_parts(block.add(16), 128);
            dequantize_eighths(block, out, |i| four_bits(low, i));
        }
    }
}

unsafe fn write_q5(x: &[f32], block: *mut u8, header: &Header<8>, levels: [u8; SUPER]) {
    unsafe {
        let levels = write_eighths(x, block, 31, header, levels);
        let high = core::slice::from_raw_parts_mut(block.add(16), 32);
        high.fill(0);
        for (i, level) in levels.iter().enumerate() {
            high[i % 32] |= (level >> 4) << (i / 32);
        }
        pack_four_bits(&levels, core::slice::from_raw_parts_mut(block.add(48), 128));
    }
}

impl BlockFormat for Q5K {
    const ELEMENTS: usize = SUPER;
    const BYTES: usize = 176;

    unsafe fn quantize(x: *const f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let search = Search {
            first: -0.5,
            step: 0.1,
            steps: 15,
            absolute: false,
        };
        let fits = fit::<8>(x, 31, search, loud_weights);
        unsafe { write_q5(x, block, &fits.by_largest(63), fits.levels) }
    }

    unsafe fn quantize_weighted(x: *const f32, importance: *const f32, _: f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let importance = unsafe { core::slice::from_raw_parts(importance, SUPER) };
        let fits = fit::<8>(
            x,
            31,
            WEIGHTED_SEARCH,
            importance_weights(x, importance, 2.0),
        );
        unsafe { write_q5(x, block, &fits.by_least_error(63), fits.levels) }
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

unsafe fn write_q2(x: &[f32], block: *mut u8, header: &Header<16>, mut levels: [u8; SUPER]) {
    let bytes = unsafe { core::slice::from_raw_parts_mut(block, 80) };
    let d = unsafe { write_half(block.add(80), header.d) };
    let dmin = unsafe { write_half(block.add(82), header.dmin) };
    for (j, byte) in bytes[..16].iter_mut().enumerate() {
        *byte = header.scales[j] | header.minima[j] << 4;
        let scale = d * f32::from(header.scales[j]);
        let minimum = dmin * f32::from(header.minima[j]);
        let range = 16 * j..16 * (j + 1);
        requantize(&x[range.clone()], scale, minimum, 3, &mut levels[range]);
    }
    pack_two_bits(&levels, &mut bytes[16..]);
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
        let fits = fit::<16>(x, 3, search, |_, x, weights| {
            for (weight, &x) in weights.iter_mut().zip(x) {
                *weight = x.abs();
            }
        });
        unsafe { write_q2(x, block, &fits.by_largest(15), fits.levels) }
    }

    unsafe fn quantize_weighted(x: *const f32, importance: *const f32, _: f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let importance = unsafe { core::slice::from_raw_parts(importance, SUPER) };
        let fits = fit::<16>(
            x,
            3,
            WEIGHTED_SEARCH,
            importance_weights(x, importance, 1.0),
        );
        unsafe { write_q2(x, block, &fits.by_least_error(15), fits.levels) }
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
