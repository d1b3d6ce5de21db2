//! More rows than a few of quantized activations: blocks of both operands are packed so that the lanes
//! of a vector are columns of the output, which spares folding lanes and shares the scales.
//!
//! A panel of weights holds, for each block of 32 of k, words of packed levels (two or four of k in a
//! word) with a lane for each column, then the columns' scales; a panel of x the words of its rows
//! side by side, then their scales and what their sums of products start from. All of x is packed
//! first; then each chunk of the output, one panel wide, packs its weights some blocks at a time.

use super::Product;
use crate::context::Context;
use crate::quant::BlockFormat;
use crate::quant::q8_0::Q8_0;
use crate::simd::float16::f16_to_f32;
use crate::simd::{Int8, Int8Isa, Simd, per_int8_isa};

/// Rows of x in a panel, and vectors of columns in a panel of weights: a tile.
const MR: usize = 4;
const NV: usize = 2;

/// Blocks of k that are packed and multiplied at a time: their weights stay in the first cache.
const BLOCKS: usize = 16;

/// Rows of x that are packed at a time.
const MAX_ROWS: usize = 512;

/// The most bytes of packed levels that a panel has per block: 32 columns of 64 bytes.
const MAX_LEVELS: usize = 2048;

/// What the threads share: the product, and where things lie in scratch.
struct Plan<'a> {
    product: &'a Product,
    first_row: usize,
    rows: usize,
    /// Packed x, and bytes of one block of a panel of it.
    x: *mut u8,
    x_block: usize,
    /// Packed weights and sums of the first worker; the next worker's follow after `work_bytes`.
    work: *mut u8,
    work_bytes: usize,
}

unsafe impl Sync for Plan<'_> {}

/// Bytes of one block of a panel of x.
const fn x_block(level_bytes: usize) -> usize {
    MR * (32 * level_bytes + 8)
}

/// Bytes of one block of a panel of weights.
const fn w_block(level_bytes: usize, lanes: usize) -> usize {
    NV * lanes * (32 * level_bytes + 4)
}

/// Computes the product.
pub unsafe fn multiply(isa: Int8Isa, context: &Context, product: &Product) {
    let lanes = isa.isa().lanes();
    let x_block = x_block(isa.level_bytes());
    let max_rows = product.rows.min(MAX_ROWS).next_multiple_of(MR);
    let x_bytes = (max_rows / MR * (product.in_dim / 32) * x_block).next_multiple_of(64);
    let work_bytes = BLOCKS * w_block(isa.level_bytes(), lanes) + max_rows * NV * lanes * 4;
    let work_bytes = work_bytes.next_multiple_of(64);
    let x = context.scratch(x_bytes + work_bytes * context.threads());
    let work = unsafe { x.add(x_bytes) };
    for first_row in (0..product.rows).step_by(MAX_ROWS) {
        let rows = MAX_ROWS.min(product.rows - first_row);
        let plan = Plan {
            product,
            first_row,
            rows,
            x,
            x_block,
            work,
            work_bytes,
        };
        context.parallel(rows.div_ceil(MR), &|panel, _| {
            unsafe { pack_x_on(isa, &plan, panel) };
        });
        context.parallel(product.out_dim.div_ceil(NV * lanes), &|chunk, worker| {
            unsafe { chunk_on(isa, &plan, chunk * NV * lanes, worker) };
        });
    }
}

per_int8_isa! { unsafe fn pack_x_on = pack_x(plan: &Plan, panel: usize); }
per_int8_isa! { unsafe fn chunk_on = chunk(plan: &Plan, column: usize, worker: usize); }

/// Packs one panel of x. Rows past the last are zeros.
#[inline(always)]
unsafe fn pack_x<Q: Int8>(plan: &Plan, panel: usize) {
    let product = plan.product;
    let row = plan.first_row + panel * MR;
    let present = MR.min(product.rows - row);
    let (row_bytes, words) = (product.x_stride / 32 * Q8_0::BYTES, 8 * Q::LEVEL_BYTES);
    let blocks = product.in_dim / 32;
    for block in 0..blocks {
        unsafe {
            let to = plan.x.add((panel * blocks + block) * plan.x_block);
            let scales = to.add(MR * words * 4).cast::<f32>();
            for i in 0..MR {
                let mut levels = [0u32; 16];
                let (mut scale, mut start) = (0.0, 0);
                if i < present {
                    let from = product.x.add((row + i) * row_bytes + block * Q8_0::BYTES);
                    scale = f16_to_f32(from.cast::<u16>().read_unaligned());
                    start = Q::pack_activation(levels.as_mut_ptr().cast(), from.add(2).cast());
                }
                for (word, &level) in levels.iter().enumerate().take(words) {
                    *to.cast::<u32>().add(word * MR + i) = level;
                }
                *scales.add(i) = scale;
                *scales.add(MR + i).cast::<i32>() = start;
            }
        }
    }
}

/// All rows of one panel of columns.
#[inline(always)]
unsafe fn chunk<Q: Int8>(plan: &Plan, column: usize, worker: usize) {
    unsafe {
        let (lanes, product) = (Q::S::LANES, plan.product);
        let weights = plan.work.add(worker * plan.work_bytes);
        let sums = weights
            .add(BLOCKS * w_block(Q::LEVEL_BYTES, lanes))
            .cast::<f32>();
        let columns = (NV * lanes).min(product.out_dim - column);
        let blocks = product.in_dim / 32;
        for first in (0..blocks).step_by(BLOCKS) {
            let count = BLOCKS.min(blocks - first);
            for block in 0..count {
                let to = weights.add(block * w_block(Q::LEVEL_BYTES, lanes));
                pack_weights::<Q>(product, to, column, columns, first + block);
            }
            for panel in 0..plan.rows.div_ceil(MR) {
                let x = plan.x.add((panel * blocks + first) * plan.x_block);
                let sums = sums.add(panel * MR * NV * lanes);
                tile::<Q>(x, weights, count, sums, first == 0);
            }
        }
        for row in 0..plan.rows {
            let out = (plan.first_row + row) * product.out_stride + column;
            for i in (0..columns).step_by(lanes) {
                let out = product.out.add(out + i);
                let mut sum = Q::S::load(sums.add(row * NV * lanes + i));
                if product.accumulate {
                    sum = Q::S::add(Q::S::load_first(out, columns - i), sum);
                }
                Q::S::store_first(out, sum, columns - i);
            }
        }
    }
}

/// Packs one block of a panel of weights. Columns past the last are zeros.
#[inline(always)]
unsafe fn pack_weights<Q: Int8>(
    product: &Product,
    to: *mut u8,
    column: usize,
    columns: usize,
    block: usize,
) {
    unsafe {
        let (bytes, size) = (32 * Q::LEVEL_BYTES, NV * Q::S::LANES);
        let row_bytes = product.in_dim / 32 * Q8_0::BYTES;
        let scales = to.add(size * bytes).cast::<f32>();
        let none = [0u8; Q8_0::BYTES];
        let mut rows = [0u64; MAX_LEVELS / 8];
        let rows = rows.as_mut_ptr().cast::<u8>();
        for i in (0..size).step_by(4) {
            let mut four = [none.as_ptr(); 4];
            for (j, from) in four.iter_mut().enumerate().take(columns.saturating_sub(i)) {
                *from = product
                    .weight
                    .add((column + i + j) * row_bytes + block * Q8_0::BYTES);
                Q::S::prefetch(from.wrapping_add(BLOCKS * Q8_0::BYTES));
            }
            for (j, from) in four.iter().enumerate() {
                Q::pack_weight(rows.add((i + j) * bytes), from.add(2).cast());
            }
            let four = Q::quad_floats(Q::quad_f16(four.map(|from| from.cast())));
            scales.add(i).cast::<[f32; 4]>().write_unaligned(four);
        }
        for word in (0..bytes / 4).step_by(Q::SQUARE) {
            for i in (0..size).step_by(Q::SQUARE) {
                let to = to.add((word * size + i) * 4);
                Q::transpose(rows.add(i * bytes + word * 4), bytes, to, size * 4);
            }
        }
    }
}

/// Adds `blocks` blocks of k to a tile, whose sums lie in memory row by row.
#[inline(always)]
unsafe fn tile<Q: Int8>(x: *const u8, w: *const u8, blocks: usize, kept: *mut f32, first: bool) {
    unsafe {
        let lanes = Q::S::LANES;
        let words = 8 * Q::LEVEL_BYTES;
        let mut sums = [[Q::S::zero(); NV]; MR];
        if !first {
            for (i, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
                *sum = Q::S::load(kept.add(i * lanes));
            }
        }
        for block in 0..blocks {
            let x = x.add(block * x_block(Q::LEVEL_BYTES));
            let w = w.add(block * w_block(Q::LEVEL_BYTES, lanes));
            let x_scales = x.add(MR * words * 4).cast::<f32>();
            let w_scales = w.add(NV * lanes * words * 4).cast::<f32>();
            let mut ints = [[Q::ints_splat(0); NV]; MR];
            for i in 0..MR {
                ints[i] = [Q::ints_splat(*x_scales.add(MR + i).cast::<i32>()); NV];
            }
            for word in 0..words {
                let mut levels = [Q::ints_splat(0); NV];
                for (v, level) in levels.iter_mut().enumerate() {
                    *level = Q::ints_load(w.add((word * NV + v) * lanes * 4));
                }
                for i in 0..MR {
                    let x = Q::ints_splat(*x.cast::<i32>().add(word * MR + i));
                    for v in 0..NV {
                        ints[i][v] = Q::ints_dot(ints[i][v], levels[v], x);
                    }
                }
            }
            for i in 0..MR {
                let x_scale = Q::S::splat(*x_scales.add(i));
                for v in 0..NV {
                    let scale = Q::S::mul(Q::S::load(w_scales.add(v * lanes)), x_scale);
                    sums[i][v] = Q::S::fma(Q::ints_floats(ints[i][v]), scale, sums[i][v]);
                }
            }
        }
        for (i, &sum) in sums.as_flattened().iter().enumerate() {
            Q::S::store(kept.add(i * lanes), sum);
        }
    }
}
