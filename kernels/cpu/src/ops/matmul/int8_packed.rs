//! More rows than a few of quantized activations: blocks of both operands are packed so that the lanes
//! of a vector are columns of the output, which spares folding lanes and shares the scales.
//!
//! A panel of weights holds, for each block of 32 of k, words of packed levels (two or four of k in a
//! word) with a lane for each column; then the scales of all its units, and their minima. A panel of x
//! holds for each block the words of its rows side by side, then what `Prepared` has beside levels.
//! All of x is packed first; then each chunk of the output, one panel wide, packs its weights some
//! blocks at a time.

use super::Product;
use super::int8_pack::{pack_groups, pack_piece_on};
use super::levels::{Layout, PIECE};
use super::prepared::{Prepared, prepare_block};
use crate::context::Context;
use crate::quant::BlockFormat;
use crate::quant::q8_0::Q8_0;
use crate::simd::{Int8, Int8Isa, Simd, per_int8_isa};

/// Rows of x in a panel, and vectors of columns in a panel of weights: a tile.
const MR: usize = 4;
pub const NV: usize = 2;

/// Blocks of k that are packed and multiplied at a time: their weights stay in the first cache.
pub const BLOCKS: usize = 16;

/// Blocks of k that are taken apart at a time.
const PIECE_BLOCKS: usize = PIECE / 32;

/// Rows of x that are packed at a time.
const MAX_ROWS: usize = 512;

/// What the threads share: the product, and where things lie in scratch.
pub struct Plan<'a> {
    pub product: &'a Product,
    pub layout: Layout,
    /// Whether rows of weights are interleaved in groups.
    repacked: bool,
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

/// Bytes of one block of a panel of x: levels, scales, and starts and sums of two units.
const fn x_block(level_bytes: usize) -> usize {
    MR * (32 * level_bytes + 4 + 2 * 8)
}

/// Bytes of the levels of one block of a panel of weights.
pub const fn level_block(level_bytes: usize, lanes: usize) -> usize {
    NV * lanes * 32 * level_bytes
}

/// Floats of the scales of a panel of weights, or of its minima: two units a block.
pub const fn scale_floats(lanes: usize) -> usize {
    2 * BLOCKS * NV * lanes
}

/// Bytes of a panel of weights.
const fn panel_bytes(level_bytes: usize, lanes: usize) -> usize {
    BLOCKS * level_block(level_bytes, lanes) + 2 * 4 * scale_floats(lanes)
}

/// Computes the product.
pub unsafe fn multiply(isa: Int8Isa, context: &Context, product: &Product, layout: Layout) {
    unsafe { multiply_any(isa, context, product, layout, false) }
}

/// The same of repacked weights, whole groups of them.
pub unsafe fn multiply_repacked(
    isa: Int8Isa,
    context: &Context,
    product: &Product,
    layout: Layout,
) {
    unsafe { multiply_any(isa, context, product, layout, true) }
}

unsafe fn multiply_any(
    isa: Int8Isa,
    context: &Context,
    product: &Product,
    layout: Layout,
    repacked: bool,
) {
    let lanes = isa.isa().lanes();
    let x_block = x_block(isa.level_bytes());
    let max_rows = product.rows.min(MAX_ROWS).next_multiple_of(MR);
    let x_bytes = (max_rows / MR * (product.in_dim / 32) * x_block).next_multiple_of(64);
    let work_bytes = panel_bytes(isa.level_bytes(), lanes) + max_rows * NV * lanes * 4;
    let work_bytes = work_bytes.next_multiple_of(64);
    let x = context.scratch(x_bytes + work_bytes * context.threads());
    let work = unsafe { x.add(x_bytes) };
    for first_row in (0..product.rows).step_by(MAX_ROWS) {
        let rows = MAX_ROWS.min(product.rows - first_row);
        #[rustfmt::skip]
        let plan = Plan { product, layout, repacked, first_row, rows, x, x_block, work, work_bytes };
        context.parallel(rows.div_ceil(MR), &|panel, _| {
            unsafe { pack_x_on(isa, &plan, panel) };
        });
        context.parallel(product.out_dim.div_ceil(NV * lanes), &|chunk, worker| {
            unsafe { chunk_of(isa, &plan, chunk * NV * lanes, worker) };
        });
    }
}

per_int8_isa! { unsafe fn pack_x_on = pack_x(plan: &Plan, panel: usize); }

/// Packs one panel of x. Rows past the last are zeros.
#[inline(always)]
unsafe fn pack_x<Q: Int8>(plan: &Plan, panel: usize) {
    let product = plan.product;
    let row = plan.first_row + panel * MR;
    let present = MR.min(product.rows - row);
    let (row_bytes, words) = (product.x_stride / 32 * Q8_0::BYTES, 8 * Q::LEVEL_BYTES);
    let blocks = product.in_dim / 32;
    let none = [0u8; Q8_0::BYTES];
    for block in 0..blocks {
        unsafe {
            let to = plan.x.add((panel * blocks + block) * plan.x_block);
            let rest = to.add(MR * words * 4).cast::<f32>();
            for i in 0..MR {
                let mut from = none.as_ptr();
                if i < present {
                    from = product.x.add((row + i) * row_bytes + block * Q8_0::BYTES);
                }
                let x: Prepared = prepare_block::<Q::S>(from, &plan.layout);
                let mut levels = [0u32; 16];
                Q::pack_levels(levels.as_mut_ptr().cast(), x.levels.as_ptr().cast());
                for (word, &level) in levels.iter().enumerate().take(words) {
                    *to.cast::<u32>().add(word * MR + i) = level;
                }
                *rest.add(i) = x.scale;
                for unit in 0..2 {
                    *rest.add(MR * (1 + unit) + i).cast::<i32>() = x.starts[unit];
                    *rest.add(MR * (3 + unit) + i) = x.sums[unit];
                }
            }
        }
    }
}

/// All rows of one panel of columns.
unsafe fn chunk_of(isa: Int8Isa, plan: &Plan, column: usize, worker: usize) {
    unsafe {
        let (lanes, product) = (isa.isa().lanes(), plan.product);
        let weights = plan.work.add(worker * plan.work_bytes);
        let sums = weights.add(panel_bytes(isa.level_bytes(), lanes));
        let columns = (NV * lanes).min(product.out_dim - column);
        let blocks = product.in_dim / 32;
        for first in (0..blocks).step_by(BLOCKS) {
            let count = BLOCKS.min(blocks - first);
            for piece in (0..count).step_by(PIECE_BLOCKS) {
                let range = (first, piece, PIECE_BLOCKS.min(count - piece));
                if plan.repacked {
                    pack_groups(isa, plan, weights, (column, columns), range);
                } else {
                    pack_piece_on(isa, isa, plan, weights, (column, columns), range);
                }
            }
            add_blocks_on(isa, plan, weights, sums.cast(), first, count);
        }
        write_out_on(isa, plan, sums.cast(), (column, columns));
    }
}

per_int8_isa! {
    unsafe fn write_out_on = write_out(plan: &Plan, sums: *const f32, columns: (usize, usize));
}

/// Writes the sums of a panel of columns to the output, or adds them to it.
#[inline(always)]
unsafe fn write_out<Q: Int8>(plan: &Plan, sums: *const f32, (column, columns): (usize, usize)) {
    let (product, lanes) = (plan.product, Q::S::LANES);
    for row in 0..plan.rows {
        let out = (plan.first_row + row) * product.out_stride + column;
        for i in (0..columns).step_by(lanes) {
            unsafe {
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

per_int8_isa! {
    unsafe fn add_blocks_on = add_blocks(
        plan: &Plan,
        weights: *const u8,
        sums: *mut f32,
        first: usize,
        count: usize,
    );
}

/// Adds `count` blocks of k to the sums of all rows of a panel of columns.
#[inline(always)]
unsafe fn add_blocks<Q: Int8>(
    plan: &Plan,
    weights: *const u8,
    sums: *mut f32,
    first: usize,
    count: usize,
) {
    unsafe {
        let blocks = plan.product.in_dim / 32;
        for panel in 0..plan.rows.div_ceil(MR) {
            let x = plan.x.add((panel * blocks + first) * plan.x_block);
            let sums = sums.add(panel * MR * NV * Q::S::LANES);
            match (plan.layout.unit, plan.layout.minimum) {
                (32, false) => tile::<Q, 1, false>(x, weights, count, sums, first == 0),
                (32, true) => tile::<Q, 1, true>(x, weights, count, sums, first == 0),
                (_, false) => tile::<Q, 2, false>(x, weights, count, sums, first == 0),
                (_, true) => tile::<Q, 2, true>(x, weights, count, sums, first == 0),
            }
        }
    }
}

/// Adds `blocks` blocks of k to a tile, whose sums lie in memory row by row.
#[inline(always)]
unsafe fn tile<Q: Int8, const UNITS: usize, const MINIMUM: bool>(
    x: *const u8,
    w: *const u8,
    blocks: usize,
    kept: *mut f32,
    first: bool,
) {
    unsafe {
        let lanes = Q::S::LANES;
        let words = 8 * Q::LEVEL_BYTES;
        let scales = w
            .add(BLOCKS * level_block(Q::LEVEL_BYTES, lanes))
            .cast::<f32>();
        let mut sums = [[Q::S::zero(); NV]; MR];
        if !first {
            for (i, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
                *sum = Q::S::load(kept.add(i * lanes));
            }
        }
        for block in 0..blocks {
            let x = x.add(block * x_block(Q::LEVEL_BYTES));
            let w = w.add(block * level_block(Q::LEVEL_BYTES, lanes));
            let rest = x.add(MR * words * 4).cast::<f32>();
            for unit in 0..UNITS {
                let range = (unit * words / UNITS, words / UNITS);
                let ints = dots::<Q>(x, w, rest.add(MR * (1 + unit)).cast(), range);
                let scales = scales.add((block * UNITS + unit) * NV * lanes);
                let minima = scales.add(scale_floats(lanes));
                for i in 0..MR {
                    let x_scale = Q::S::splat(*rest.add(i));
                    for v in 0..NV {
                        let scale = Q::S::mul(Q::S::load(scales.add(v * lanes)), x_scale);
                        sums[i][v] = Q::S::fma(Q::ints_floats(ints[i][v]), scale, sums[i][v]);
                        if MINIMUM {
                            let minimum = Q::S::load(minima.add(v * lanes));
                            let sum = Q::S::splat(*rest.add(MR * (3 + unit) + i));
                            sums[i][v] = Q::S::fma(minimum, sum, sums[i][v]);
                        }
                    }
                }
            }
        }
        for (i, &sum) in sums.as_flattened().iter().enumerate() {
            Q::S::store(kept.add(i * lanes), sum);
        }
    }
}

/// Sums of products of the levels of one unit: `count` words from word `first`.
#[inline(always)]
unsafe fn dots<Q: Int8>(
    x: *const u8,
    w: *const u8,
    starts: *const i32,
    (first, count): (usize, usize),
) -> [[Q::Ints; NV]; MR] {
    unsafe {
        let lanes = Q::S::LANES;
        let mut ints = [[Q::ints_splat(0); NV]; MR];
        if Q::LEVEL_BYTES == 1 {
            for (i, ints) in ints.iter_mut().enumerate() {
                *ints = [Q::ints_splat(*starts.add(i)); NV];
            }
        }
        for word in first..first + count {
            let mut levels = [Q::ints_splat(0); NV];
            for (v, level) in levels.iter_mut().enumerate() {
                *level = Q::ints_load(w.add((word * NV + v) * lanes * 4));
            }
            for (i, ints) in ints.iter_mut().enumerate() {
                let x = Q::ints_splat(*x.cast::<i32>().add(word * MR + i));
                for (v, sum) in ints.iter_mut().enumerate() {
                    *sum = Q::ints_dot(*sum, levels[v], x);
                }
            }
        }
        ints
    }
}
