//! Rows from one element type to another: f32 to f16, bf16 or a block format, and any of them to f32.

use super::chunks::{Shared, in_rows};
use super::convert_blocks::convert_blocks;
use crate::abi_generated::dtype;
use crate::context::{Context, Status};
use crate::quant::BlockFormat;
use crate::quant::q8_0::Q8_0;
use crate::simd::float16::f32_to_bf16;
use crate::simd::{Isa, MAX_LANES, Simd, isa, per_isa};

/// Elements that are converted together: those of a block. Rows lie one after another, so that all of
/// them are one long row.
const UNIT: usize = 32;

/// The kernel `convert` of the table. Rounds to nearest even; q8_0 as ggml's reference does.
pub unsafe fn convert(
    context: &Context,
    out: *mut u8,
    x: *const u8,
    out_dtype: u32,
    x_dtype: u32,
    rows: u32,
    dim: u32,
) -> Status {
    let shape = (rows as usize, dim as usize);
    unsafe { convert_with(isa(), context, (out, out_dtype), (x, x_dtype), shape) }
}

unsafe fn convert_with(
    isa: Isa,
    context: &Context,
    (out, out_dtype): (*mut u8, u32),
    (x, x_dtype): (*const u8, u32),
    (rows, dim): (usize, usize),
) -> Status {
    if [out_dtype, x_dtype].contains(&dtype::Q8_0) && dim % UNIT != 0 {
        return Err("a q8_0 row is a multiple of 32 long");
    }
    let sides = ((out, out_dtype), (x, x_dtype));
    if let Some(status) = unsafe { convert_blocks(context, sides.0, sides.1, rows * dim, dim) } {
        return status;
    }
    match (x_dtype, out_dtype) {
        (dtype::F32, dtype::F32 | dtype::F16 | dtype::BF16 | dtype::Q8_0) => {}
        (dtype::F16 | dtype::BF16 | dtype::Q8_0, dtype::F32) => {}
        _ => return Err("converts f32 to f16, bf16 or blocks, and these to f32"),
    }
    let count = rows * dim;
    let shared = Shared::new((out, x));
    in_rows(context, count.div_ceil(UNIT), UNIT, &|first, last| {
        let (out, x) = shared.get();
        let end = count.min(last * UNIT);
        unsafe { elements_on(isa, out, x, out_dtype, x_dtype, first * UNIT, end) };
    });
    Ok(())
}

per_isa! {
    unsafe fn elements_on = elements(
        out: *mut u8,
        x: *const u8,
        out_dtype: u32,
        x_dtype: u32,
        first: usize,
        end: usize,
    );
}

/// Elements `first` .. `end`; `first` is a multiple of `UNIT`.
#[inline(always)]
unsafe fn elements<S: Simd>(
    out: *mut u8,
    x: *const u8,
    out_dtype: u32,
    x_dtype: u32,
    first: usize,
    end: usize,
) {
    let count = end - first;
    unsafe {
        let floats = x.cast::<f32>().wrapping_add(first);
        let halves = x.cast::<u16>().wrapping_add(first);
        let to_floats = out.cast::<f32>().wrapping_add(first);
        let to_halves = out.cast::<u16>().wrapping_add(first);
        let at_block = first / UNIT * Q8_0::BYTES;
        match (x_dtype, out_dtype) {
            (dtype::F32, dtype::F32) => core::ptr::copy(floats, to_floats, count),
            (dtype::F32, dtype::F16) => round_f16::<S>(to_halves, floats, count),
            (dtype::F32, dtype::BF16) => round_bf16(to_halves, floats, count),
            (dtype::F32, _) => quantize(out.wrapping_add(at_block), floats, count),
            (dtype::F16, _) => widen_f16::<S>(to_floats, halves, count),
            (dtype::BF16, _) => widen_bf16::<S>(to_floats, halves, count),
            _ => dequantize(to_floats, x.wrapping_add(at_block), count),
        }
    }
}

#[inline(always)]
unsafe fn round_f16<S: Simd>(out: *mut u16, x: *const f32, count: usize) {
    unsafe {
        let whole = count / S::LANES * S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            S::store_f16(out.add(i), S::load(x.add(i)));
        }
        let mut rest = [0u16; MAX_LANES];
        S::store_f16(
            rest.as_mut_ptr(),
            S::load_first(x.add(whole), count - whole),
        );
        for (i, &half) in rest.iter().enumerate().take(count - whole) {
            *out.add(whole + i) = half;
        }
    }
}

#[inline(always)]
unsafe fn widen_f16<S: Simd>(out: *mut f32, x: *const u16, count: usize) {
    unsafe {
        let whole = count / S::LANES * S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            S::store(out.add(i), S::load_f16(x.add(i)));
        }
        let rest = S::load_f16_first(x.add(whole), count - whole);
        S::store_first(out.add(whole), rest, count - whole);
    }
}

#[inline(always)]
unsafe fn widen_bf16<S: Simd>(out: *mut f32, x: *const u16, count: usize) {
    unsafe {
        let whole = count / S::LANES * S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            S::store(out.add(i), S::load_bf16(x.add(i)));
        }
        let rest = S::load_bf16_first(x.add(whole), count - whole);
        S::store_first(out.add(whole), rest, count - whole);
    }
}

/// Whole numbers only: the compiler makes vectors of it by itself.
#[inline(always)]
unsafe fn round_bf16(out: *mut u16, x: *const f32, count: usize) {
    for i in 0..count {
        unsafe { *out.add(i) = f32_to_bf16(*x.add(i)) };
    }
}

/// Blocks; their loops have a fixed length, of which the compiler makes vectors by itself.
#[inline(always)]
unsafe fn quantize(out: *mut u8, x: *const f32, count: usize) {
    for block in 0..count / UNIT {
        unsafe { Q8_0::quantize(x.add(block * UNIT), out.add(block * Q8_0::BYTES)) };
    }
}

#[inline(always)]
unsafe fn dequantize(out: *mut f32, x: *const u8, count: usize) {
    for block in 0..count / UNIT {
        unsafe { Q8_0::dequantize(x.add(block * Q8_0::BYTES), out.add(block * UNIT)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{context, numbers};
    use crate::simd::float16::{bf16_to_f32, f16_to_f32, f32_to_f16};

    /// Converts and gives the bytes that came out; `bytes` of them.
    fn run(isa: Isa, x: &[u8], from: u32, to: u32, shape: (usize, usize), bytes: usize) -> Vec<u8> {
        let mut out = vec![0xa5u8; bytes + 8];
        let mut aligned = vec![0u64; x.len().div_ceil(8)];
        unsafe { core::ptr::copy(x.as_ptr(), aligned.as_mut_ptr().cast(), x.len()) };
        let (to, from) = ((out.as_mut_ptr(), to), (aligned.as_ptr().cast(), from));
        unsafe { convert_with(isa, context(), to, from, shape) }.unwrap();
        assert!(out[bytes..] == [0xa5; 8], "writes past its end");
        out.truncate(bytes);
        out
    }

    fn bytes_of(x: &[f32]) -> Vec<u8> {
        x.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn sixteen_bit_floats_round_and_widen_as_one_number_does() {
        for (rows, dim) in [(1, 1), (3, 5), (2, 100), (7, 20_001), (0, 3)] {
            let mut x = numbers(rows * dim, 1);
            for (i, x) in x.iter_mut().enumerate() {
                *x *= [1.0, 1e-6, 1e6, f32::INFINITY, f32::NAN][i % 5];
            }
            type Pair = (u32, fn(f32) -> u16, fn(u16) -> f32);
            let types: [Pair; 2] = [
                (dtype::F16, f32_to_f16, f16_to_f32),
                (dtype::BF16, f32_to_bf16, bf16_to_f32),
            ];
            for (to, round, widen) in types {
                let halves: Vec<u8> = x.iter().flat_map(|&x| round(x).to_le_bytes()).collect();
                let wide: Vec<f32> = x.iter().map(|&x| widen(round(x))).collect();
                for isa in Isa::available() {
                    let shape = (rows, dim);
                    let got = run(isa, &bytes_of(&x), dtype::F32, to, shape, halves.len());
                    assert!(got == halves, "{isa:?} f32 to type {to}");
                    let got = run(isa, &halves, to, dtype::F32, shape, halves.len() * 2);
                    assert!(got == bytes_of(&wide), "{isa:?} type {to} to f32");
                }
            }
        }
    }

    #[test]
    fn blocks_of_8_bits_are_those_of_the_golden_file() {
        let file = std::fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/golden/quant/quant.safetensors"
        ))
        .unwrap();
        let tensor = |name: &str| {
            let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            let header = std::str::from_utf8(&file[8..8 + length]).unwrap();
            let entry = header.split(&format!("\"{name}\"")).nth(1).unwrap();
            let offsets = entry.split("\"data_offsets\":").nth(1).unwrap();
            let inside = offsets.split(['[', ']']).nth(1).unwrap();
            let at: Vec<usize> = inside
                .split(',')
                .map(|n| n.trim().parse().unwrap())
                .collect();
            &file[8 + length..][at[0]..at[1]]
        };
        let (input, packed) = (tensor("input"), tensor("q8_0.packed"));
        let wide = tensor("q8_0.dequant");
        let shape = (1, input.len() / 4);
        for isa in Isa::available() {
            let got = run(isa, input, dtype::F32, dtype::Q8_0, shape, packed.len());
            assert!(got == packed, "{isa:?} quantizes differently");
            let got = run(isa, packed, dtype::Q8_0, dtype::F32, shape, wide.len());
            for (i, (got, want)) in got.chunks(4).zip(wide.chunks(4)).enumerate() {
                let bits = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
                let zeros = bits(got) << 1 == 0 && bits(want) << 1 == 0;
                assert!(
                    zeros || got == want,
                    "{isa:?} widens element {i} differently"
                );
            }
        }
    }

    #[test]
    fn a_block_with_a_number_that_is_not_finite_becomes_nan() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = numbers(96, 2);
            x[40] = odd;
            for isa in Isa::available() {
                let blocks = run(isa, &bytes_of(&x), dtype::F32, dtype::Q8_0, (1, 96), 102);
                let wide = run(isa, &blocks, dtype::Q8_0, dtype::F32, (1, 96), 384);
                for (i, wide) in wide.chunks(4).enumerate() {
                    let wide = f32::from_le_bytes(wide.try_into().unwrap());
                    assert_eq!(wide.is_nan(), (32..64).contains(&i), "{isa:?} {odd} [{i}]");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_converted_is_refused() {
        let mut out = [0u8; 256];
        let x = [0u8; 256];
        let mut refusal = |to, from, dim| {
            let (to, from) = ((out.as_mut_ptr(), to), (x.as_ptr(), from));
            unsafe { convert_with(Isa::Scalar, context(), to, from, (1, dim)) }.unwrap_err()
        };
        assert!(refusal(dtype::Q8_0, dtype::F32, 33).contains("multiple of 32"));
        assert!(refusal(dtype::F16, dtype::BF16, 32).contains("converts f32"));
        assert!(refusal(dtype::I32, dtype::F32, 32).contains("converts f32"));
    }
}
