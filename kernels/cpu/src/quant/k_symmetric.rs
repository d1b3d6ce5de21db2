//! q3_k and q6_k: 256 elements in 16 sub-blocks of 16 with a small signed scale each, and one
//! half-precision scale. x = d scale q.

use super::BlockFormat;
use super::fit::{SMALLEST_MAGNITUDE, fit_by_exchange, fit_symmetric, nearest};
use super::super_block::{SUPER, pack_two_bits, read_half, two_bits, write_half};

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

impl BlockFormat for Q3K {
    const ELEMENTS: usize = SUPER;
    const BYTES: usize = 110;

    unsafe fn quantize(x: *const f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let block = unsafe { core::slice::from_raw_parts_mut(block, Self::BYTES) };
        block.fill(0);
        let mut scales = [0f32; 16];
        for (scale, part) in scales.iter_mut().zip(x.chunks_exact(16)) {
            *scale = fit_by_exchange(part, 4);
        }
        let (loudest, _) = loudest(&scales);
        let mut d = 0.0;
        if loudest != 0.0 {
            let inverse = -32.0 / loudest;
            let packed = &mut block[96..108];
            for (j, &scale) in scales.iter().enumerate() {
                let level = (nearest(inverse * scale).clamp(-32, 31) + 32) as u8;
                packed[j % 8] |= (level & 15) << (4 * (j / 8));
                packed[8 + j % 4] |= (level >> 4) << (2 * (j / 4));
            }
            d = 1.0 / inverse;
        }
        let d = unsafe { write_half(block.as_mut_ptr().add(108), d) };
        // A sub-block whose scale rounds to 0 keeps the levels of the fit in the reference; they stand
        // for zeros either way, and 4 is the level of zero.
        let mut levels = [4u8; SUPER];
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

impl BlockFormat for Q6K {
    const ELEMENTS: usize = SUPER;
    const BYTES: usize = 210;

    unsafe fn quantize(x: *const f32, block: *mut u8) {
        let x = unsafe { core::slice::from_raw_parts(x, SUPER) };
        let block = unsafe { core::slice::from_raw_parts_mut(block, Self::BYTES) };
        block.fill(0);
        let mut scales = [0f32; 16];
        let mut levels = [0i8; SUPER];
        for (j, scale) in scales.iter_mut().enumerate() {
            let range = 16 * j..16 * (j + 1);
            *scale = fit_symmetric(&x[range.clone()], 32, &mut levels[range]);
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
