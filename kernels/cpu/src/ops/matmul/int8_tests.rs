//! Products of quantized rows: to the bit those of the plain reference, on every path.

use super::{Product, int8_in_place, int8_packed, matmul_on};
use crate::abi_generated::dtype;
use crate::context::Context;
use crate::ops::testing::{context, numbers};
use crate::quant::BlockFormat;
use crate::quant::q8_0::Q8_0;
use crate::simd::float16::f16_to_f32;
use crate::simd::{Int8Isa, Isa};

/// Rows of q8_0 blocks of numbers whose size differs from block to block.
fn blocks(rows: usize, dim: usize, seed: u64) -> Vec<u8> {
    let mut x = numbers(rows * dim, seed);
    for (i, x) in x.iter_mut().enumerate() {
        *x *= [1.0, 0.01, 30.0, 0.0, 1e-6][(i / 32 * 7) % 5];
    }
    let mut bytes = vec![0u8; x.len() / 32 * Q8_0::BYTES];
    for (x, to) in x.chunks(32).zip(bytes.chunks_mut(Q8_0::BYTES)) {
        unsafe { Q8_0::quantize(x.as_ptr(), to.as_mut_ptr()) };
    }
    bytes
}

/// The plain reference: one chain over the blocks, rounded as the instruction set rounds.
fn reference(x: &[u8], w: &[u8], in_dim: usize, fused: bool) -> f32 {
    let mut sum = 0f32;
    for block in 0..in_dim / 32 {
        let at = block * Q8_0::BYTES;
        let parts = |row: &[u8]| {
            let scale = f16_to_f32(u16::from_le_bytes([row[at], row[at + 1]]));
            let levels: Vec<i32> = row[at + 2..at + 34]
                .iter()
                .map(|&b| i32::from(b as i8))
                .collect();
            (scale, levels)
        };
        let ((x_scale, x), (w_scale, w)) = (parts(x), parts(w));
        let levels = x.iter().zip(&w).map(|(x, w)| x * w).sum::<i32>() as f32;
        let scale = w_scale * x_scale;
        sum = if fused {
            levels.mul_add(scale, sum)
        } else {
            levels * scale + sum
        };
    }
    sum
}

type Path = unsafe fn(Int8Isa, &Context, &Product);

/// Runs a path on a product whose output has gaps, and gives the output without them.
fn run(
    path: (Path, Int8Isa, &Context),
    (x, w): (&[u8], &[u8]),
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
        weight_dtype: dtype::Q8_0,
        rows,
        out_dim,
        in_dim,
        x_stride: in_dim,
        out_stride: stride,
        accumulate,
    };
    unsafe { path.0(path.1, path.2, &product) };
    assert!(
        out.chunks(stride).all(|row| row[out_dim..] == [0.5; 3]),
        "wrote into a gap"
    );
    out.chunks(stride)
        .flat_map(|row| &row[..out_dim])
        .map(|x| x.to_bits())
        .collect()
}

#[test]
fn both_paths_give_the_bits_of_the_reference_on_everything_this_machine_has() {
    let shapes = [
        (1, 1, 32),
        (1, 5, 64),
        (2, 130, 96),
        (3, 33, 544),
        (4, 64, 32),
        (5, 31, 1024),
        (13, 97, 576),
        (70, 8, 96),
        (514, 19, 64),
    ];
    for (rows, out_dim, in_dim) in shapes {
        let (x, mut w) = (blocks(rows, in_dim, 1), blocks(out_dim, in_dim, 2));
        // The lowest level, which ggml's quantizer never makes, but others may.
        for block in w.chunks_mut(Q8_0::BYTES).step_by(3) {
            block[7] = 0x80;
        }
        let (x_bytes, w_bytes) = (x.len() / rows, w.len() / out_dim);
        for fused in [false, true] {
            let sums: Vec<f32> = (0..rows * out_dim)
                .map(|i| {
                    let x = &x[i / out_dim * x_bytes..][..x_bytes];
                    let w = &w[i % out_dim * w_bytes..][..w_bytes];
                    reference(x, w, in_dim, fused)
                })
                .collect();
            for isa in Int8Isa::available().filter(|isa| fused == (isa.isa() != Isa::Scalar)) {
                for path in [int8_in_place::multiply as Path, int8_packed::multiply] {
                    for accumulate in [false, true] {
                        let want: Vec<u32> = sums
                            .iter()
                            .map(|&sum| if accumulate { 0.5 + sum } else { sum }.to_bits())
                            .collect();
                        let path = (path, isa, context());
                        let got = run(path, (&x, &w), (rows, out_dim, in_dim), accumulate);
                        assert!(got == want, "{isa:?} {rows}x{out_dim}x{in_dim} differs");
                    }
                }
            }
        }
    }
}

#[test]
fn a_quantized_row_gives_the_same_bits_alone_and_among_others_on_any_number_of_threads() {
    let (rows, out_dim, in_dim) = (37, 70, 320);
    let (x, w) = (blocks(rows, in_dim, 3), blocks(out_dim, in_dim, 4));
    let row_bytes = x.len() / rows;
    let one = Context::new(1);
    for isa in Isa::available() {
        let path = |context, first: usize, rows: usize| {
            let multiply: Path = |isa, context, product| {
                unsafe { matmul_on(isa.isa(), context, product) }.unwrap();
            };
            let path = (multiply, Int8Isa::Plain(isa), context);
            run(
                path,
                (&x[first * row_bytes..], &w),
                (rows, out_dim, in_dim),
                false,
            )
        };
        let all = path(context(), 0, rows);
        assert_eq!(path(&one, 0, rows), all, "{isa:?}: threads change bits");
        for (first, count) in [(0, 1), (36, 1), (5, 2), (9, 3), (20, 4), (3, 5), (1, 30)] {
            let want = &all[first * out_dim..][..count * out_dim];
            assert_eq!(
                path(context(), first, count),
                want,
                "{isa:?}: rows {first}+{count}"
            );
        }
    }
}
