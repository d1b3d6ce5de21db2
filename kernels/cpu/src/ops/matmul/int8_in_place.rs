//! Few rows of quantized activations: weights are read where they lie, four of their rows at once.
//!
//! As in in_place.rs the rows that are read together lie a quarter of a chunk apart.

use super::Product;
use super::panel::{chunk_columns, write};
use crate::context::Context;
use crate::quant::BlockFormat;
use crate::quant::q8_0::Q8_0;
use crate::simd::{Int8, Int8Isa, per_int8_isa};

/// Columns that are computed together.
const STREAMS: usize = 4;

/// Rows that share the weights of a block while these are in registers.
const PANEL: usize = 3;

/// Computes the product; meant for few rows.
pub unsafe fn multiply(isa: Int8Isa, context: &Context, product: &Product) {
    let columns = chunk_columns(product, STREAMS);
    context.parallel(product.out_dim.div_ceil(columns), &|chunk, _| {
        let first = chunk * columns;
        let count = columns.min(product.out_dim - first);
        unsafe { chunk_on(isa, product, first, count) }
    });
}

per_int8_isa! { unsafe fn chunk_on = chunk(product: &Product, first: usize, count: usize); }

/// All rows of `count` columns of the output.
#[inline(always)]
unsafe fn chunk<Q: Int8>(product: &Product, first: usize, count: usize) {
    let apart = count.div_ceil(STREAMS);
    for at in 0..apart {
        // Where there is no fourth column, the first one is computed again, and not written.
        let mut columns = [first + at; STREAMS];
        let present = (count - at).div_ceil(apart);
        for (j, column) in columns.iter_mut().enumerate().take(present) {
            *column += j * apart;
        }
        let columns = (columns, present);
        for row in (0..product.rows).step_by(PANEL) {
            unsafe {
                match product.rows - row {
                    1 => tile::<Q, 1>(product, row, columns),
                    2 => tile::<Q, 2>(product, row, columns),
                    _ => tile::<Q, PANEL>(product, row, columns),
                }
            }
        }
    }
}

/// `MR` rows of four columns.
#[inline(always)]
unsafe fn tile<Q: Int8, const MR: usize>(
    product: &Product,
    row: usize,
    (columns, present): ([usize; STREAMS], usize),
) {
    unsafe {
        let weight_bytes = product.in_dim / 32 * Q8_0::BYTES;
        let w = columns.map(|column| product.weight.add(column * weight_bytes));
        let x_bytes = product.x_stride / 32 * Q8_0::BYTES;
        let mut x = [product.x; MR];
        for (i, x) in x.iter_mut().enumerate() {
            *x = x.add((row + i) * x_bytes);
        }
        let mut sums = [Q::quad_splat(0.0); MR];
        for at in (0..product.in_dim / 32 * Q8_0::BYTES).step_by(Q8_0::BYTES) {
            let [a, b, c, d] = w.map(|w| w.add(at));
            let scales = Q::quad_f16([a.cast(), b.cast(), c.cast(), d.cast()]);
            let blocks = [
                Q::block(a.add(2).cast()),
                Q::block(b.add(2).cast()),
                Q::block(c.add(2).cast()),
                Q::block(d.add(2).cast()),
            ];
            for i in 0..MR {
                let from = x[i].add(at);
                let products = Q::products(&blocks, Q::block(from.add(2).cast()));
                let scale = Q::quad_mul(scales, Q::quad_f16([from.cast(); 4]));
                sums[i] = Q::quad_fma(products, scale, sums[i]);
            }
        }
        for (i, &sums) in sums.iter().enumerate() {
            let sums = Q::quad_floats(sums);
            for (&column, sum) in columns.iter().zip(sums).take(present) {
                write(product, row + i, column, sum);
            }
        }
    }
}
