//! Products against the plain reference, and the same bits on every path.

use super::int8_tests::{BLOCK_TYPES, blocks};
use super::levels::{layout, with_format};
use super::panel::row_bytes;
use super::{Product, matmul_on};
use crate::abi_generated::dtype;
use crate::context::Context;
use crate::ops::testing::{context, numbers};
use crate::quant::BlockFormat;
use crate::quant::k_symmetric::{Q3K, Q6K};
use crate::quant::k_with_minimum::{Q2K, Q4K, Q5K};
use crate::quant::legacy::{Q4_0, Q4_1, Q5_0, Q5_1};
use crate::quant::q8_0::Q8_0;
use crate::simd::Isa;
use crate::simd::float16::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

const FLOATS: [u32; 4] = [dtype::F32, dtype::F16, dtype::BF16, dtype::Q8_0];

/// Types of x and of the weight.
const TYPES: [(u32, u32); 5] = [
    (dtype::F32, dtype::F32),
    (dtype::F32, dtype::F16),
    (dtype::F32, dtype::BF16),
    (dtype::F32, dtype::Q8_0),
    (dtype::BF16, dtype::BF16),
];

/// Whether rows of `k` can be of both types.
fn takes((x, weight): (u32, u32), k: usize) -> bool {
    (weight != dtype::Q8_0 || k.is_multiple_of(32)) && (x != dtype::BF16 || k.is_multiple_of(2))
}

#[test]
fn products_of_floats_with_blocks_are_those_with_the_floats_they_stand_for() {
    for (code, (rows, out_dim, k)) in BLOCK_TYPES
        .into_iter()
        .flat_map(|code| [(1, 9, 768), (3, 66, 256), (40, 50, 1280)].map(|shape| (code, shape)))
    {
        let x = matrix(dtype::F32, rows, k, 7).bytes;
        let w = blocks(code, out_dim, k, 8);
        let layout = layout(code).unwrap();
        let mut floats = vec![0f32; out_dim * k];
        for (from, to) in w
            .chunks(layout.bytes)
            .zip(floats.chunks_mut(layout.elements))
        {
            unsafe {
                with_format!(code, Format => Format::dequantize(from.as_ptr(), to.as_mut_ptr()), ())
            }
        }
        let wide: Vec<u8> = floats.iter().flat_map(|w| w.to_le_bytes()).collect();
        for isa in Isa::available() {
            let run = |w: &[u8], code| {
                let (x, w) = ((&x[..], dtype::F32), (w, code));
                bits(&product(isa, context(), x, w, (rows, out_dim, k)))
            };
            assert!(
                run(&w, code) == run(&wide, dtype::F32),
                "{isa:?} type {code}"
            );
        }
    }
}

/// A weight matrix as it lies in memory, and the floats that it stands for.
struct Matrix {
    bytes: Vec<u8>,
    floats: Vec<f32>,
}

fn matrix(dtype: u32, rows: usize, in_dim: usize, seed: u64) -> Matrix {
    let floats = numbers(rows * in_dim, seed);
    let halves = |to: fn(f32) -> u16, from: fn(u16) -> f32| Matrix {
        bytes: floats.iter().flat_map(|&x| to(x).to_le_bytes()).collect(),
        floats: floats.iter().map(|&x| from(to(x))).collect(),
    };
    match dtype {
        dtype::F32 => {
            let bytes = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
            Matrix { bytes, floats }
        }
        dtype::F16 => halves(f32_to_f16, f16_to_f32),
        dtype::BF16 => halves(f32_to_bf16, bf16_to_f32),
        _ => {
            let mut bytes = vec![0u8; floats.len() / 32 * 34];
            let mut wide = vec![0f32; floats.len()];
            for block in 0..floats.len() / 32 {
                unsafe {
                    let to = bytes.as_mut_ptr().add(block * 34);
                    Q8_0::quantize(floats.as_ptr().add(block * 32), to);
                    Q8_0::dequantize(to, wide.as_mut_ptr().add(block * 32));
                }
            }
            Matrix {
                bytes,
                floats: wide,
            }
        }
    }
}

/// The product of packed rows, into a fresh output.
fn product(
    isa: Isa,
    context: &Context,
    (x, x_dtype): (&[u8], u32),
    (weight, weight_dtype): (&[u8], u32),
    (rows, out_dim, in_dim): (usize, usize, usize),
) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows * out_dim];
    let product = Product {
        out: out.as_mut_ptr(),
        x: x.as_ptr(),
        weight: weight.as_ptr(),
        x_dtype,
        weight_dtype,
        rows,
        out_dim,
        in_dim,
        x_stride: in_dim,
        out_stride: out_dim,
        accumulate: false,
    };
    unsafe { matmul_on(isa, context, &product) }.unwrap();
    out
}

/// The plain reference: every sum in double precision, and what rounding may cost it.
fn reference(x: &[f32], w: &[f32], (rows, out_dim, k): (usize, usize, usize)) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for row in 0..rows {
        for column in 0..out_dim {
            let (x, w) = (&x[row * k..][..k], &w[column * k..][..k]);
            let terms = || x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w));
            let size: f64 = terms().map(f64::abs).sum();
            out.push((
                terms().sum(),
                size * (k / 4 + 8) as f64 * f64::from(f32::EPSILON) / 2.0,
            ));
        }
    }
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Rows, columns and k with every kind of tail: of vectors, panels, chunks and blocks over k.
const SHAPES: [(usize, usize, usize); 14] = [
    (1, 1, 32),
    (1, 7, 64),
    (1, 129, 96),
    (2, 5, 32),
    (3, 12, 1056),
    (4, 3, 64),
    (5, 50, 160),
    (6, 25, 32),
    (17, 97, 128),
    (48, 24, 2080),
    (129, 7, 1120),
    (257, 49, 64),
    (515, 5, 96),
    (9, 1030, 32),
];

#[test]
fn products_are_those_of_the_reference_for_every_type_and_shape() {
    for (rows, out_dim, whole) in SHAPES {
        for ((x_dtype, dtype), k) in TYPES
            .into_iter()
            .flat_map(|types| [whole, whole + 13, whole + 14, 5, 6].map(|k| (types, k)))
            .filter(|&(types, k)| takes(types, k))
        {
            let x = matrix(x_dtype, rows, k, 1);
            let w = matrix(dtype, out_dim, k, 2);
            let want = reference(&x.floats, &w.floats, (rows, out_dim, k));
            for isa in Isa::available() {
                let (x, w) = ((&x.bytes[..], x_dtype), (&w.bytes[..], dtype));
                let got = product(isa, context(), x, w, (rows, out_dim, k));
                for (i, (&got, &(want, off))) in got.iter().zip(&want).enumerate() {
                    let (row, column) = (i / out_dim, i % out_dim);
                    let what = format!("{isa:?} types {x_dtype} and {dtype} {rows}x{out_dim}x{k}");
                    assert!(
                        (f64::from(got) - want).abs() <= off,
                        "{what} [{row},{column}]: {got}, not {want}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_gives_the_same_bits_alone_and_among_others_on_any_number_of_threads() {
    let one = Context::new(1);
    for ((x_dtype, dtype), k) in TYPES
        .into_iter()
        .flat_map(|types| [2112, 4418, 77].map(|k| (types, k)))
        .filter(|&(types, k)| takes(types, k))
    {
        let (rows, out_dim) = (261, 53);
        let x = matrix(x_dtype, rows, k, 3).bytes;
        let w = matrix(dtype, out_dim, k, 4).bytes;
        for isa in Isa::available() {
            let run = |context: &Context, first: usize, rows: usize| {
                let x = (&x[row_bytes(x_dtype, first * k)..], x_dtype);
                bits(&product(isa, context, x, (&w, dtype), (rows, out_dim, k)))
            };
            let all = run(context(), 0, rows);
            let what = format!("{isa:?} types {x_dtype} and {dtype}");
            assert_eq!(run(&one, 0, rows), all, "{what}: threads change bits");
            for (first, count) in [
                (0, 1),
                (260, 1),
                (100, 2),
                (7, 3),
                (11, 4),
                (30, 5),
                (3, 50),
            ] {
                let some = run(context(), first, count);
                let same = some == all[first * out_dim..][..count * out_dim];
                assert!(same, "{what}: rows {first}+{count} differ from all");
            }
        }
    }
}

#[test]
fn weights_that_are_widened_give_the_bits_of_the_floats_they_stand_for() {
    let (rows, out_dim, k) = (5, 53, 2112);
    let x = matrix(dtype::F32, rows, k, 3).bytes;
    for dtype in FLOATS {
        let Matrix { bytes, floats } = matrix(dtype, out_dim, k, 4);
        let wide: Vec<u8> = floats.iter().flat_map(|w| w.to_le_bytes()).collect();
        for isa in Isa::available() {
            let run = |weight: &[u8], dtype| {
                let (x, weight) = ((&x[..], dtype::F32), (weight, dtype));
                bits(&product(isa, context(), x, weight, (rows, out_dim, k)))
            };
            let same = run(&bytes, dtype) == run(&wide, dtype::F32);
            assert!(same, "{isa:?} type {dtype}: widening changes bits");
        }
    }
}

#[test]
fn strides_leave_gaps_alone_and_accumulate_adds() {
    for (rows, out_dim, k) in [(2usize, 9usize, 37usize), (19, 30, 70)] {
        let (x_stride, out_stride) = (k + 3, out_dim + 5);
        let x = numbers(rows * x_stride, 5);
        let w = matrix(dtype::F32, out_dim, k, 6);
        let dense: Vec<f32> = x
            .chunks(x_stride)
            .flat_map(|row| &row[..k])
            .copied()
            .collect();
        let dense: Vec<u8> = dense.iter().flat_map(|x| x.to_le_bytes()).collect();
        for isa in Isa::available() {
            let (x_rows, w_rows) = ((&dense[..], dtype::F32), (&w.bytes[..], dtype::F32));
            let want = product(isa, context(), x_rows, w_rows, (rows, out_dim, k));
            for accumulate in [false, true] {
                let mut out = vec![0.75f32; rows * out_stride];
                let product = Product {
                    out: out.as_mut_ptr(),
                    x: x.as_ptr().cast(),
                    weight: w.bytes.as_ptr(),
                    x_dtype: dtype::F32,
                    weight_dtype: dtype::F32,
                    rows,
                    out_dim,
                    in_dim: k,
                    x_stride,
                    out_stride,
                    accumulate,
                };
                unsafe { matmul_on(isa, context(), &product) }.unwrap();
                for (row, out) in out.chunks(out_stride).enumerate() {
                    for (column, &got) in out.iter().enumerate() {
                        let sum = || want[row * out_dim + column];
                        let want = match (column < out_dim, accumulate) {
                            (false, _) => 0.75,
                            (true, false) => sum(),
                            (true, true) => 0.75 + sum(),
                        };
                        assert_eq!(got.to_bits(), want.to_bits(), "{isa:?} [{row},{column}]");
                    }
                }
            }
        }
    }
}

#[test]
fn products_of_nothing_are_zeros_and_impossible_ones_are_refused() {
    let mut out = [7f32; 4];
    let mut product = Product {
        out: out.as_mut_ptr(),
        x: [0f32; 8].as_ptr().cast(),
        weight: [0f32; 8].as_ptr().cast(),
        x_dtype: dtype::F32,
        weight_dtype: dtype::F32,
        rows: 2,
        out_dim: 2,
        in_dim: 0,
        x_stride: 0,
        out_stride: 2,
        accumulate: false,
    };
    let run = |product: &Product| unsafe { matmul_on(Isa::Scalar, context(), product) };
    run(&product).unwrap();
    assert_eq!(out, [0.0; 4]);
    product.rows = 0;
    run(&product).unwrap();
    product.rows = 2;
    product.in_dim = 4;
    assert!(run(&product).unwrap_err().contains("stride"));
    product.x_stride = 4;
    product.weight_dtype = dtype::Q8_0;
    assert!(
        run(&product)
            .unwrap_err()
            .contains("whole number of blocks")
    );
    product.weight_dtype = dtype::I32;
    assert!(run(&product).unwrap_err().contains("weight is"));
    product.weight_dtype = dtype::F32;
    product.x_dtype = dtype::BF16;
    assert!(run(&product).unwrap_err().contains("weights of bf16"));
    product.weight_dtype = dtype::BF16;
    product.x_stride = 5;
    assert!(run(&product).unwrap_err().contains("even"));
    product.x_dtype = dtype::F16;
    assert!(run(&product).unwrap_err().contains("x is"));
}
