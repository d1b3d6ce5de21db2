//! Products of quantized rows: to the bit those of the plain reference, on every path.

use super::levels::{Layout, Levels, layout, with_format};
use super::{Product, int8_direct, int8_in_place, int8_packed, matmul_on};
use crate::abi_generated::dtype;
use crate::context::Context;
use crate::ops::testing::{context, numbers};
use crate::quant::BlockFormat;
use crate::quant::k_symmetric::{Q3K, Q6K};
use crate::quant::k_with_minimum::{Q2K, Q4K, Q5K};
use crate::quant::legacy::{Q4_0, Q4_1, Q5_0, Q5_1};
use crate::quant::q8_0::Q8_0;
use crate::simd::{Int8Isa, Isa, Scalar};

/// The block types.
pub const BLOCK_TYPES: [u32; 10] = [
    dtype::Q4_0,
    dtype::Q4_1,
    dtype::Q5_0,
    dtype::Q5_1,
    dtype::Q8_0,
    dtype::Q2_K,
    dtype::Q3_K,
    dtype::Q4_K,
    dtype::Q5_K,
    dtype::Q6_K,
];

/// Rows of blocks of numbers whose size differs from block to block.
pub fn blocks(code: u32, rows: usize, dim: usize, seed: u64) -> Vec<u8> {
    let mut x = numbers(rows * dim, seed);
    for (i, x) in x.iter_mut().enumerate() {
        *x *= [1.0, 0.01, 30.0, 0.0, 1e-6][(i / 32 * 7) % 5];
    }
    let layout = layout(code).unwrap();
    let mut bytes = vec![0u8; rows * layout.row_bytes(dim)];
    for (x, to) in x
        .chunks(layout.elements)
        .zip(bytes.chunks_mut(layout.bytes))
    {
        unsafe {
            with_format!(code, Format => Format::quantize(x.as_ptr(), to.as_mut_ptr()), panic!())
        }
    }
    bytes
}

/// A row of weights taken apart: levels, and scale and minimum of each.
struct Parts {
    levels: Vec<i32>,
    scales: Vec<f32>,
    minima: Vec<f32>,
}

fn parts(code: u32, row: &[u8]) -> Parts {
    let (mut levels, mut scales, mut minima) = (Vec::new(), Vec::new(), Vec::new());
    let layout = layout(code).unwrap();
    for block in row.chunks(layout.bytes) {
        let mut bytes = vec![0u8; layout.elements];
        let (s, m) = unsafe {
            with_format!(code, Format => {
                Format::levels::<true>(block.as_ptr(), bytes.as_mut_ptr());
                Format::scales::<Scalar>(block.as_ptr())
            }, panic!())
        };
        for (i, &level) in bytes.iter().enumerate() {
            levels.push(i32::from(level as i8));
            scales.push(s[i / layout.unit]);
            minima.push(m[i / layout.unit]);
        }
    }
    Parts {
        levels,
        scales,
        minima,
    }
}

/// The plain reference: one chain over the units, rounded as the instruction set rounds.
fn reference(x: &Parts, w: &Parts, layout: &Layout, fused: bool) -> f32 {
    let add = |a: f32, b: f32, sum: f32| {
        if fused {
            a.mul_add(b, sum)
        } else {
            a * b + sum
        }
    };
    let mut sum = 0f32;
    for at in (0..w.levels.len()).step_by(layout.unit) {
        let (x_levels, w_levels) = (&x.levels[at..at + layout.unit], &w.levels[at..]);
        let product: i32 = x_levels.iter().zip(w_levels).map(|(x, w)| x * w).sum();
        sum = add(product as f32, w.scales[at] * x.scales[at], sum);
        if layout.minimum {
            let total = x_levels.iter().sum::<i32>() as f32;
            sum = add(w.minima[at], x.scales[at] * total, sum);
        }
    }
    sum
}

type Path = unsafe fn(Int8Isa, &Context, &Product, Layout);

/// Runs a path on a product whose output has gaps, and gives the output without them.
fn run(
    path: (Path, Int8Isa, &Context),
    (x, w, weight_dtype): (&[u8], &[u8], u32),
    (rows, out_dim, in_dim): (usize, usize, usize),
    accumulate: bool,
) -> Vec<u32> {
    let stride = out_dim + 3;
    let mut out = vec![0.5f32; rows * stride];
    let product = Product {
        out: out.as_mut_ptr(),
        x: x.as_ptr(),
        weight: w.as_ptr(),
        x_dtype: dtype::Q8_0,
        weight_dtype,
        rows,
        out_dim,
        in_dim,
        x_stride: in_dim,
        out_stride: stride,
        accumulate,
    };
    unsafe { path.0(path.1, path.2, &product, layout(weight_dtype).unwrap()) };
    assert!(
        out.chunks(stride).all(|row| row[out_dim..] == [0.5; 3]),
        "wrote into a gap"
    );
    out.chunks(stride)
        .flat_map(|row| &row[..out_dim])
        .map(|x| x.to_bits())
        .collect()
}

/// Requires every path on everything that this machine has to give the bits of the reference.
fn check(code: u32, (rows, out_dim, in_dim): (usize, usize, usize)) {
    let layout = layout(code).unwrap();
    let in_dim = in_dim.next_multiple_of(layout.elements);
    let x = blocks(dtype::Q8_0, rows, in_dim, 1);
    let mut w = blocks(code, out_dim, in_dim, 2);
    if code == dtype::Q8_0 {
        // The lowest level, which ggml's quantizer never makes, but others may.
        for block in w.chunks_mut(layout.bytes).step_by(3) {
            block[7] = 0x80;
        }
    }
    let apart = |code: u32, rows: &[u8], count: usize| -> Vec<Parts> {
        let bytes = rows.len() / count;
        rows.chunks(bytes).map(|row| parts(code, row)).collect()
    };
    let (x_parts, w_parts) = (apart(dtype::Q8_0, &x, rows), apart(code, &w, out_dim));
    for fused in [false, true] {
        let sums: Vec<f32> = (0..rows * out_dim)
            .map(|i| reference(&x_parts[i / out_dim], &w_parts[i % out_dim], &layout, fused))
            .collect();
        for isa in Int8Isa::available().filter(|isa| fused == (isa.isa() != Isa::Scalar)) {
            let mut paths = vec![int8_packed::multiply as Path];
            if rows <= int8_in_place::MAX_ROWS {
                paths.push(int8_in_place::multiply);
            }
            if code == dtype::Q8_0 {
                paths.push(int8_direct::multiply);
            }
            for path in paths {
                for accumulate in [false, true] {
                    let want: Vec<u32> = sums
                        .iter()
                        .map(|&sum| if accumulate { 0.5 + sum } else { sum }.to_bits())
                        .collect();
                    let path = (path, isa, context());
                    let got = run(path, (&x, &w, code), (rows, out_dim, in_dim), accumulate);
                    let what = format!("{isa:?} type {code} {rows}x{out_dim}x{in_dim}");
                    assert!(got == want, "{what} differs");
                }
            }
        }
    }
}

#[test]
fn all_paths_give_the_bits_of_the_reference_on_everything_this_machine_has() {
    let shapes = [
        (1, 1, 32),
        (1, 5, 64),
        (2, 130, 96),
        (3, 33, 544),
        (4, 64, 32),
        (5, 31, 1024),
        (12, 9, 320),
        (13, 97, 576),
        (70, 8, 96),
        (514, 19, 64),
    ];
    for code in BLOCK_TYPES {
        for shape in shapes {
            check(code, shape);
        }
    }
}

#[test]
fn a_quantized_row_gives_the_same_bits_alone_and_among_others_on_any_number_of_threads() {
    let (rows, out_dim, in_dim) = (37, 70, 512);
    let one = Context::new(1);
    let x = blocks(dtype::Q8_0, rows, in_dim, 3);
    let row_bytes = x.len() / rows;
    for (code, isa) in BLOCK_TYPES
        .into_iter()
        .flat_map(|code| Isa::available().map(move |isa| (code, isa)))
    {
        let w = blocks(code, out_dim, in_dim, 4);
        let path = |context, first: usize, rows: usize| {
            let multiply: Path = |isa, context, product, _| {
                unsafe { matmul_on(isa.isa(), context, product) }.unwrap();
            };
            let path = (multiply, Int8Isa::Plain(isa), context);
            let x = &x[first * row_bytes..];
            run(path, (x, &w, code), (rows, out_dim, in_dim), false)
        };
        let all = path(context(), 0, rows);
        let what = format!("{isa:?} type {code}");
        assert_eq!(path(&one, 0, rows), all, "{what}: threads change bits");
        for (first, count) in [(0, 1), (36, 1), (5, 2), (9, 3), (20, 4), (3, 5), (1, 30)] {
            let want = &all[first * out_dim..][..count * out_dim];
            assert_eq!(
                path(context(), first, count),
                want,
                "{what}: rows {first}+{count}"
            );
        }
    }
}
