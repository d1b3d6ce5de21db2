//! Repacked weights: the same bits as those that lie where the file has them.

use super::super::int8_tests::{BLOCK_TYPES, blocks};
use super::super::levels::layout;
use super::super::{Product, matmul_on};
use super::{GROUP, halves, matmul_repacked_on, repack};
use crate::abi_generated::dtype;
use crate::context::{Context, Status};
use crate::ops::testing::context;
use crate::simd::Isa;

type Multiply = unsafe fn(Isa, &Context, &Product) -> Status;

/// The output of a product whose rows have gaps, as bits.
fn run(
    multiply: Multiply,
    (isa, context): (Isa, &Context),
    (x, weight, weight_dtype): (&[u8], &[u8], u32),
    (rows, out_dim, in_dim): (usize, usize, usize),
    accumulate: bool,
) -> Vec<u32> {
    let out_stride = out_dim + 3;
    let mut out = vec![0.25f32; rows * out_stride];
    let product = Product {
        out: out.as_mut_ptr(),
        x: x.as_ptr(),
        weight: weight.as_ptr(),
        x_dtype: dtype::Q8_0,
        weight_dtype,
        rows,
        out_dim,
        in_dim,
        x_stride: in_dim,
        out_stride,
        accumulate,
    };
    unsafe { multiply(isa, context, &product) }.unwrap();
    out.into_iter().map(f32::to_bits).collect()
}

fn repacked(code: u32, weight: &[u8], rows: usize, dim: usize) -> Vec<u8> {
    let mut to = vec![0u8; weight.len()];
    let from = weight.as_ptr();
    unsafe {
        repack(
            context(),
            to.as_mut_ptr(),
            from,
            code,
            rows as u32,
            dim as u32,
        )
    }
    .unwrap();
    to
}

#[test]
fn repacked_weights_give_the_bits_of_those_in_rows() {
    let one = Context::new(1);
    for code in BLOCK_TYPES
        .into_iter()
        .filter(|&code| halves(code).is_some())
    {
        let elements = layout(code).unwrap().elements;
        for (rows, out_dim, blocks_of_k) in [
            (1, 5, 1),
            (1, 16, 3),
            (2, 70, 2),
            (3, 48, 1),
            (7, 33, 5),
            (12, 32, 2),
            (13, 80, 3),
            (40, 112, 2),
        ] {
            let shape = (rows, out_dim, blocks_of_k * elements);
            let x = blocks(dtype::Q8_0, rows, shape.2, 5);
            let w = blocks(code, out_dim, shape.2, 6);
            let interleaved = repacked(code, &w, out_dim, shape.2);
            for isa in Isa::available() {
                for (context, accumulate) in [(context(), false), (context(), true), (&one, false)]
                {
                    let on = (isa, context);
                    let want = run(matmul_on, on, (&x, &w, code), shape, accumulate);
                    let weight = (&x[..], &interleaved[..], code);
                    let got = run(matmul_repacked_on, on, weight, shape, accumulate);
                    assert!(got == want, "{isa:?} type {code} {shape:?} differs");
                }
            }
        }
    }
}

#[test]
fn weights_are_interleaved_where_they_lie_and_rows_past_the_last_group_stay() {
    for code in BLOCK_TYPES
        .into_iter()
        .filter(|&code| halves(code).is_some())
    {
        let (rows, dim) = (2 * GROUP + 3, 512);
        let w = blocks(code, rows, dim, 7);
        let apart = repacked(code, &w, rows, dim);
        let mut there = w.clone();
        let at = there.as_mut_ptr();
        unsafe { repack(context(), at, at, code, rows as u32, dim as u32) }.unwrap();
        assert_eq!(there, apart);
        let groups = w.len() / rows * 2 * GROUP;
        assert_eq!(w[groups..], apart[groups..]);
        let sorted = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.sort_unstable();
            bytes
        };
        assert_eq!(sorted(&w), sorted(&apart), "bytes are lost");
    }
}

#[test]
fn types_without_an_interleaved_layout_are_refused() {
    let mut out = [0u8; 64];
    let x = [0u8; 64];
    for code in [dtype::F32, dtype::BF16, dtype::Q8_0, 99] {
        assert!(unsafe { repack(context(), out.as_mut_ptr(), x.as_ptr(), code, 1, 32) }.is_err());
    }
    let got = unsafe { repack(context(), out.as_mut_ptr(), x.as_ptr(), dtype::Q4_K, 1, 32) };
    assert!(got.is_err(), "half a block");
}
