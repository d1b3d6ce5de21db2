//! Few rows of quantized activations by repacked weights, which are read from one end to the other.

use super::super::Product;
use super::super::levels::Layout;
use super::super::prepared::{Prepared, prepare_rows_on};
use super::GROUP;
use super::formats::{Columns, Repacked, with_repacked};
use crate::context::Context;
use crate::simd::{Int8, Int8Isa, Simd, per_int8_isa};

/// Chunks of work that a product is cut into where its size allows.
const CHUNKS: usize = 16;

/// Bytes of weights in a chunk, at least and at most: less than for weights in rows, since they take
/// less time.
const MIN_CHUNK: usize = 16 << 10;
const MAX_CHUNK: usize = 256 << 10;

/// What the threads share.
struct Task<'a> {
    product: &'a Product,
    x: *const Prepared,
}

unsafe impl Sync for Task<'_> {}

/// Computes the product; outputs are whole groups.
pub unsafe fn multiply(isa: Int8Isa, context: &Context, product: &Product, layout: Layout) {
    let bytes = product.rows * (product.in_dim / 32) * size_of::<Prepared>();
    let x = context.scratch(bytes).cast::<Prepared>();
    unsafe { prepare_rows_on(isa.isa(), product, &layout, x) };
    let task = Task { product, x };
    let row_bytes = layout.row_bytes(product.in_dim);
    let bytes = (row_bytes * product.out_dim / CHUNKS).clamp(MIN_CHUNK, MAX_CHUNK);
    let columns = (bytes / row_bytes).next_multiple_of(GROUP);
    context.parallel(product.out_dim.div_ceil(columns), &|chunk, _| {
        let first = chunk * columns;
        let count = columns.min(product.out_dim - first);
        unsafe { chunk_on(isa, &task, first, count) }
    });
}

per_int8_isa! { unsafe fn chunk_on = chunk(task: &Task, first: usize, count: usize); }

/// All rows of `count` columns of the output.
#[inline(always)]
unsafe fn chunk<Q: Int8>(task: &Task, first: usize, count: usize) {
    let code = task.product.weight_dtype;
    unsafe { with_repacked!(code, Format => columns::<Q, Format>(task, first, count)) }
}

#[inline(always)]
unsafe fn columns<Q: Int8, F: Repacked>(task: &Task, first: usize, count: usize) {
    let mut row = 0;
    for column in (first..first + count).step_by(GROUP) {
        while row < task.product.rows {
            unsafe {
                row += match task.product.rows - row {
                    1 => group::<Q, F, 1>(task, row, column),
                    2 | 3 => group::<Q, F, 2>(task, row, column),
                    _ => group::<Q, F, 4>(task, row, column),
                };
            }
        }
        row = 0;
    }
}

/// `MR` rows of one group of columns, as many columns at a time as a vector has lanes; gives `MR`.
#[inline(always)]
unsafe fn group<Q: Int8, F: Repacked, const MR: usize>(
    task: &Task,
    row: usize,
    column: usize,
) -> usize {
    unsafe {
        let product = task.product;
        let blocks = product.in_dim / F::ELEMENTS;
        let stride = product.in_dim / 32;
        let weight = product.weight.add(column * blocks * F::BYTES);
        for lane in (0..GROUP).step_by(Q::S::LANES) {
            let mut sums = [Q::S::zero(); MR];
            for block in 0..blocks {
                let w = Columns::new(weight.add(block * GROUP * F::BYTES), lane);
                let x = task.x.add(row * stride + block * (F::ELEMENTS / 32));
                sums = add_block::<Q, F, MR>(sums, w, x, stride);
            }
            for i in 0..MR {
                let out = (row + i) * product.out_stride + column + lane;
                let (out, mut sum) = (product.out.add(out), sums[i]);
                if product.accumulate {
                    sum = Q::S::add(Q::S::load(out), sum);
                }
                Q::S::store(out, sum);
            }
        }
        MR
    }
}

/// Adds one block of the columns to the sums of `MR` rows, whose blocks lie `stride` apart.
#[inline(always)]
unsafe fn add_block<Q: Int8, F: Repacked, const MR: usize>(
    mut sums: [<Q::S as Simd>::F32; MR],
    w: Columns,
    x: *const Prepared,
    stride: usize,
) -> [<Q::S as Simd>::F32; MR] {
    unsafe {
        let units = F::ELEMENTS / F::UNIT;
        for unit in 0..units {
            if F::AHEAD {
                w.ask_ahead::<Q::S>(GROUP * F::BYTES, unit, units);
            }
            let (x, part) = (x.add(unit * F::UNIT / 32), unit % (32 / F::UNIT));
            let mut ints = [Q::ints_splat(0); MR];
            for i in 0..MR {
                ints[i] = Q::ints_splat((*x.add(i * stride)).starts[part]);
            }
            for word in 0..F::UNIT / 4 {
                let levels = F::word::<Q>(w, unit, word);
                for i in 0..MR {
                    let words = (*x.add(i * stride)).levels.as_ptr().cast::<i32>();
                    let x = Q::ints_splat(*words.add(part * F::UNIT / 4 + word));
                    ints[i] = Q::ints_dot_bytes(ints[i], levels, x);
                }
            }
            let (scale, minimum) = F::unit_scales::<Q>(w, unit);
            for i in 0..MR {
                let x = &*x.add(i * stride);
                let scale = Q::S::mul(scale, Q::S::splat(x.scale));
                sums[i] = Q::S::fma(Q::ints_floats(ints[i]), scale, sums[i]);
                if F::MINIMUM {
                    sums[i] = Q::S::fma(minimum, Q::S::splat(x.sums[part]), sums[i]);
                }
            }
        }
        sums
    }
}
