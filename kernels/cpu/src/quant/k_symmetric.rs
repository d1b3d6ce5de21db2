//! q3_k and q6_k: 256 elements in 16 sub-blocks of 16 with a small signed scale each, and one
//! half-precision scale. x = d scale q.

use super::BlockFormat;
use super::fit::{SMALLEST_MAGNITUDE, fit_by_exchange, fit_symmetric, nearest};
use super::super_block::{SUPER, pack_two_bits, read_half, two_bits, write_half};
use crate::simd::square_root;

/// The format of GGUF's type 11: three bits; hmask[32] (third bit), qs[64], scales[12] (six bits,
/// plus 32), d; 110 bytes.
pub struct Q3K;
/// The format of GGUF's type 14: six bits; ql[128], qh[64], scales[16] (signed bytes), d; 210 bytes.
pub struct Q6K;

/// The scale of largest magnitude, the first of equals, and that magnitude.
fn loudest(scales: &[f32; 16]) -> (f32, f32) {
    super::fit::largest(scales)
}

/// Six-bit scale j, minus 32, of q3_k.
fn scale_of_q3(packed: &[u8], j: usize) -> i8 {
    let low = if j < 8 {
        packed[j] & 15
    } else {
        packed[j - 8] >> 4
    };
    let high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
    (low | high << 4) as i8 - 32
}

/// Writes a q3_k block from d and the small scales (plus 32); levels are those nearest to x.
fn write_q3(x: &[f32], block: &mut [u8], d: f32, scales: [u8; 16], mut levels: [u8; SUPER]) {
    block.fill(0);
    for (j, &scale) in scales.iter().enumerate() {
        let packed = &mut block[96..108];
        packed[j % 8] |= (scale & 15) << (4 * (j / 8));
        packed[8 + j % 4] |= (scale >> 4) << (2 * (j / 4));
    }
    let d = unsafe { write_half(block.as_mut_ptr().add(108), d) };
    for j in 0..16 {
        let scale = d * f32::from(scale_of_q3(&block[96..108], j));
        for i in 16 * j..16 * (j + 1) {
            if scale != 0.0 {
                levels[i] = (nearest(x[i] / scale).clamp(-4, 3) + 4) as u8;
            }
        }
    }
    for (i, level) in levels.iter().enumerate() {
        block[i % 32] |= (level >> 2) << (i / 32);
    }
    pack_two_bits(&levels, &mut block[32..96]);
}

impl BlockFormat for Q3K {
    const ELEMENTS: usize = SUPER;
    const BYTES: usize = 110;

    unsafe fn quantize(x: *const f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let block = unsafe { core::slice::from_raw_parts_mut(block, Self::BYTES) };
        let mut scales = [0f32; 16];
        let mut levels = [0u8; SUPER];
        for (j, scale) in scales.iter_mut().enumerate() {
            let range = 16 * j..16 * (j + 1);
            *scale = fit_by_exchange(&x[range.clone()], 4, &mut levels[range]);
        }
        let (loudest, _) = loudest(&scales);
        if loudest == 0.0 {
            // All small scales stay 0, which reads as -32, times d = 0.
            return write_q3(x, block, 0.0, [0; 16], levels);
        }
        let inverse = -32.0 / loudest;
        let small = scales.map(|scale| (nearest(inverse * scale).clamp(-32, 31) + 32) as u8);
        write_q3(x, block, 1.0 / inverse, small, levels);
    }

    unsafe fn quantize_weighted(x: *const f32, importance: *const f32, _: f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let importance = unsafe { core::slice::from_raw_parts(importance, SUPER) };
        let block = unsafe { core::slice::from_raw_parts_mut(block, Self::BYTES) };
        let mut sum = 0f32;
        for &x in x {
            sum += x * x;
        }
        let loudness = 2.0 * sum / SUPER as f32;
        let (mut scales, mut sums) = ([0f32; 16], [0f32; 16]);
        let mut levels = [0i8; SUPER];
        for j in 0..16 {
            let range = 16 * j..16 * (j + 1);
            let part = &x[range.clone()];
            let mut weights = [0f32; 16];
            for (i, weight) in weights.iter_mut().enumerate() {
                *weight = importance[16 * j + i] * square_root(loudness + part[i] * part[i]);
                sums[j] += *weight;
            }
            scales[j] = fit_symmetric(part, Some(&weights), 4, &mut levels[range]);
        }
        let mut small = [0i8; 16];
        let d = fit_symmetric(&scales, Some(&sums), 32, &mut small);
        write_q3(x, block, d, small.map(|s| s as u8), levels.map(|l| l as u8));
    }

    unsafe fn dequantize(block: *const u8, out: *mut f32) {
        let block = unsafe { core::slice::from_raw_parts(block, Self::BYTES) };
        let d = unsafe { read_half(block.as_ptr().add(108)) };
        for j in 0..16 {
            let scale = d * f32::from(scale_of_q3(&block[96..108], j));
            for i in 16 * j..16 * (j + 1) {
                let third = block[i % 32] >> (i / 32) & 1;
                let level = two_bits(&block[32..96], i) as i8 - 4 * (1 - third as i8);
                unsafe { *out.add(i) = scale * f32::from(level) };
            }
        }
    }
}

unsafe fn quantize_q6(x: *const f32, importance: Option<&[f32]>, block: *mut u8) {
    let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
    let block = unsafe { core::slice::from_raw_parts_mut(block, Q6K::BYTES) };
    block.fill(0);
    let mut scales = [0f32; 16];
    let mut levels = [0i8; SUPER];
    for (j, scale) in scales.iter_mut().enumerate() {
        let range = 16 * j..16 * (j + 1);
        let weights = importance.map(|importance| &importance[range.clone()]);
        *scale = fit_symmetric(&x[range.clone()], weights, 32, &mut levels[range]);
    }
    let (loudest, magnitude) = loudest(&scales);
    if magnitude < SMALLEST_MAGNITUDE {
        return;
    }
    let inverse = -128.0 / loudest;
    let d = unsafe { write_half(block.as_mut_ptr().add(208), 1.0 / inverse) };
    for (j, &scale) in scales.iter().enumerate() {
        let small = nearest(inverse * scale).min(127) as i8;
        block[192 + j] = small as u8;
        let scale = d * f32::from(small);
        for i in 16 * j..16 * (j + 1) {
            if scale != 0.0 {
                levels[i] = (nearest(x[i] / scale).clamp(-32, 31) + 32) as i8;
            }
        }
    }
    for (i, &level) in levels.iter().enumerate() {
        let (half, quarter, l) = (i / 128, i % 128 / 32, i % 32);
        block[64 * half + 32 * (quarter % 2) + l] |= (level as u8 & 15) << (4 * (quarter / 2));
        block[128 + 32 * half + l] |= (level as u8 >> 4) << (2 * quarter);
    }
}

impl BlockFormat for Q6K {
    const ELEMENTS: usize = SUPER;
    const BYTES: usize = 210;

    unsafe fn quantize(x: *const f32, block: *mut u8) {
        unsafe { quantize_q6(x, None, block) }
    }

    unsafe fn quantize_weighted(x: *const f32, importance: *const f32, _: f32, block: *mut u8) {
        unsafe {
            quantize_q6(
                x,
                Some(core::slice::from_raw_parts(importance, SUPER)),
                block,
            );
        }
    }

    unsafe fn dequantize(block: *const u8, out: *mut f32) {
        let block = unsafe { core::slice::from_raw_parts(block, Self::BYTES) };
        let d = unsafe { read_half(block.as_ptr().add(208)) };
        for i in 0..SUPER {
            let (half, quarter, l) = (i / 128, i % 128 / 32, i % 32);
            let low = block[64 * half + 32 * (quarter % 2) + l] >> (4 * (quarter / 2)) & 15;
            let high = block[128 + 32 * half + l] >> (2 * quarter) & 3;
            let level = (low | high << 4) as i8 - 32;
            let scale = d * f32::from(block[192 + i / 16] as i8);
            unsafe { *out.add(i) = scale * f32::from(level) };
        }
    }
}
