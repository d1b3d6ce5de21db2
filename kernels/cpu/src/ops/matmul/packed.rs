//! More rows than a few: blocks of both operands are copied into the order in which a register tile
//! consumes them, weights widened on the way.
//!
//! A tile of `MR` times `NR` outputs reads two streams, a panel of x and one of the weight (panel.rs),
//! whatever the strides of the operands were. All of x is packed first, by all threads; then each
//! chunk of the output packs its part of the weight block by block over k and keeps the vectors of
//! its sums in scratch between the blocks, which leaves the order of the sums as it is.

use super::panel::{load_sums, pack_rows, pack_weights, row_bytes, store_sums, vector_done, write};
use super::{Product, Terms};
use crate::context::Context;
use crate::ops::gemm::{Floats, Multiply};
use crate::simd::{Isa, Simd, per_isa};

/// Rows of x in a panel: in WebAssembly, whose engine gives 15 registers and checks every address, what
/// leaves it nothing to spill (kernels/lab/LOG.md).
const MR: usize = if cfg!(target_arch = "wasm32") { 2 } else { 4 };

/// Bytes of a row of packed weights in one block over k.
const K_BYTES: usize = 4096;

/// Columns that a chunk of the output covers at most: whole panels, whichever the tile.
const CHUNK_COLUMNS: usize = 48;

/// Chunks that a product is cut into where its size allows.
const CHUNKS: usize = 32;

/// Rows of x that are packed at a time.
const MAX_ROWS: usize = 512;

/// Rows of x that a chunk of the output covers: weights are packed once for this many. The sums of a
/// chunk take `lanes` times the space of its outputs.
const fn chunk_rows(lanes: usize) -> usize {
    if lanes == 16 { 128 } else { 256 }
}

/// Weight rows in a panel: what fits into the registers beside `MR` rows.
const fn panel_columns(lanes: usize) -> usize {
    if lanes == 16 || MR == 2 { 6 } else { 3 }
}

/// Vectors of k between two looks at the loop's end. WebAssembly's engine keeps the order of what it
/// reads, and reads an unrolled loop's operands first of all, which costs it the registers.
const UNROLL: usize = if cfg!(target_arch = "wasm32") { 1 } else { 4 };

/// What the threads share: the product, how it is cut, and where things lie in scratch.
struct Plan<'a> {
    isa: Isa,
    product: &'a Product,
    /// The rows at work.
    first_row: usize,
    rows: usize,
    /// Rows and columns of a chunk.
    chunk_rows: usize,
    chunk_columns: usize,
    /// Vectors of a row.
    vectors: usize,
    /// Packed x.
    x: *mut f32,
    /// Packed weights and sums of the first worker; the next worker's follow after `work_floats`.
    work: *mut f32,
    work_floats: usize,
}

unsafe impl Sync for Plan<'_> {}

/// Computes the product.
pub unsafe fn multiply(isa: Isa, context: &Context, product: &Product, terms: Terms) {
    let lanes = isa.lanes();
    let chunk_rows = chunk_rows(lanes);
    let vectors = product.in_dim.div_ceil(lanes);
    let x_floats = product.rows.min(MAX_ROWS).next_multiple_of(MR) * vectors * lanes;
    let work_floats = CHUNK_COLUMNS * (K_BYTES / 4 + chunk_rows * lanes);
    let floats = x_floats + work_floats * context.threads();
    let x = context.scratch(floats * 4).cast::<f32>();
    let work = unsafe { x.add(x_floats) };
    for first_row in (0..product.rows).step_by(MAX_ROWS) {
        let rows = MAX_ROWS.min(product.rows - first_row);
        let down = rows.div_ceil(chunk_rows);
        let many = down * product.out_dim.div_ceil(CHUNK_COLUMNS) >= CHUNKS;
        let chunk_columns = if many {
            CHUNK_COLUMNS
        } else {
            CHUNK_COLUMNS / 2
        };
        #[rustfmt::skip]
        let plan = Plan { isa, product, first_row, rows, chunk_rows, chunk_columns, vectors, x, work, work_floats };
        context.parallel(rows.div_ceil(MR), &|panel, _| {
            unsafe { pack_x_on(isa, &plan, panel) };
        });
        let across = product.out_dim.div_ceil(chunk_columns);
        context.parallel(down * across, &|chunk, worker| {
            let (row, column) = (chunk % down * chunk_rows, chunk / down * chunk_columns);
            unsafe {
                match terms {
                    Terms::Floats => chunk_on(isa, &plan, row, column, worker),
                    #[cfg(target_arch = "x86_64")]
                    Terms::Pairs => chunk_of_pairs(&plan, row, column, worker),
                }
            };
        });
    }
}

per_isa! { unsafe fn pack_x_on = pack_x(plan: &Plan, panel: usize); }
per_isa! { unsafe fn chunk_on = chunk(plan: &Plan, row: usize, column: usize, worker: usize); }

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
unsafe fn chunk_of_pairs(plan: &Plan, row: usize, column: usize, worker: usize) {
    unsafe { blocks::<crate::ops::gemm::Pairs, 6>(plan, row, column, worker) }
}

/// Copies one panel of x, block by block over k. Rows past the last are zeros.
#[inline(always)]
unsafe fn pack_x<S: Simd>(plan: &Plan, panel: usize) {
    unsafe {
        let product = plan.product;
        let row = plan.first_row + panel * MR;
        let bytes = row_bytes(product.x_dtype, product.x_stride);
        let present = MR.min(product.rows - row);
        let step = K_BYTES / 4 / S::LANES;
        for v in (0..plan.vectors).step_by(step) {
            let count = step.min(plan.vectors - v);
            let k = (v * S::LANES, product.in_dim.min((v + count) * S::LANES));
            let to = x_panel::<S>(plan, panel, v, count);
            pack_rows::<S>(
                product.x_dtype,
                to,
                product.x.add(row * bytes),
                bytes,
                (MR, present),
                k,
            );
        }
    }
}

/// Where the `count` vectors from vector `v` of a panel of x lie: the panels of one block over k are
/// neighbours.
#[inline(always)]
unsafe fn x_panel<S: Simd>(plan: &Plan, panel: usize, v: usize, count: usize) -> *mut f32 {
    let panels = plan.rows.div_ceil(MR);
    unsafe { plan.x.add((panels * v + panel * count) * MR * S::LANES) }
}

/// One chunk of the output, from its first row (of those at work) and column.
#[inline(always)]
unsafe fn chunk<S: Simd>(plan: &Plan, row: usize, column: usize, worker: usize) {
    unsafe {
        if panel_columns(S::LANES) == 6 {
            blocks::<Floats<S>, 6>(plan, row, column, worker)
        } else {
            blocks::<Floats<S>, 3>(plan, row, column, worker)
        }
    }
}

/// The lanes of the sums of a tile.
type Sums<M, const NR: usize> = [[<<M as Multiply>::S as Simd>::F32; NR]; MR];

/// One chunk of the output, while one block over k is added to it.
struct Block<'a> {
    plan: &'a Plan<'a>,
    row: usize,
    column: usize,
    height: usize,
    width: usize,
    /// First vector of k, and how many.
    v: usize,
    count: usize,
    /// Packed weights of the worker.
    weights: *mut f32,
    /// The worker's sums of all tiles.
    sums: *mut f32,
}

#[inline(always)]
unsafe fn blocks<M: Multiply, const NR: usize>(
    plan: &Plan,
    row: usize,
    column: usize,
    worker: usize,
) {
    let weights = unsafe { plan.work.add(worker * plan.work_floats) };
    let mut block = Block {
        plan,
        row,
        column,
        height: plan.chunk_rows.min(plan.rows - row),
        width: plan.chunk_columns.min(plan.product.out_dim - column),
        v: 0,
        count: 0,
        weights,
        sums: unsafe { weights.add(CHUNK_COLUMNS * K_BYTES / 4) },
    };
    while block.v < plan.vectors {
        block.count = (K_BYTES / 4 / M::S::LANES).min(plan.vectors - block.v);
        for panel in 0..block.width.div_ceil(NR) {
            unsafe { pack_panel::<M::S, NR>(&block, panel) };
        }
        for i in (0..block.height).step_by(MR) {
            for panel in 0..block.width.div_ceil(NR) {
                unsafe { add_tile::<M, NR>(&block, i, panel) };
            }
        }
        block.v += block.count;
    }
}

/// Packs one block over k of a weight panel.
#[inline(always)]
unsafe fn pack_panel<S: Simd, const NR: usize>(block: &Block, panel: usize) {
    unsafe {
        let product = block.plan.product;
        let row_bytes = row_bytes(product.weight_dtype, product.in_dim);
        let from = product.weight.add((block.column + panel * NR) * row_bytes);
        let to = block.weights.add(panel * NR * block.count * S::LANES);
        let present = NR.min(block.width - panel * NR);
        let end = product.in_dim.min((block.v + block.count) * S::LANES);
        let (rows, k) = ((NR, present), (block.v * S::LANES, end));
        pack_weights::<S>(
            block.plan.isa,
            product.weight_dtype,
            to,
            from,
            row_bytes,
            rows,
            k,
        );
    }
}

/// Adds one block over k to one tile, and writes it out after the last.
#[inline(always)]
unsafe fn add_tile<M: Multiply, const NR: usize>(block: &Block, i: usize, panel: usize) {
    unsafe {
        let (plan, count) = (block.plan, block.count);
        let x = x_panel::<M::S>(plan, (block.row + i) / MR, block.v, count);
        let w = block.weights.add(panel * NR * count * M::S::LANES);
        let kept = i * block.width.next_multiple_of(NR) + panel * MR * NR;
        let kept = block.sums.add(kept * M::S::LANES);
        let mut acc = [[M::S::zero(); NR]; MR];
        if block.v > 0 {
            acc = load_sums::<M::S, MR, NR>(kept);
        }
        acc = tile::<M, NR>(x, w, count, acc);
        if block.v + count < plan.vectors {
            return store_sums::<M::S, MR, NR>(kept, &acc);
        }
        let at = (plan.first_row + block.row + i, block.column + panel * NR);
        let size = (MR.min(block.height - i), NR.min(block.width - panel * NR));
        write_tile::<M::S, NR>(plan.product, &acc, at, size);
    }
}

/// Adds `count` vectors of k to the sums of a tile.
#[inline(always)]
unsafe fn tile<M: Multiply, const NR: usize>(
    mut x: *const f32,
    mut w: *const f32,
    count: usize,
    mut acc: Sums<M, NR>,
) -> Sums<M, NR> {
    unsafe {
        let mut left = count;
        while UNROLL > 1 && left >= UNROLL {
            for _ in 0..UNROLL {
                acc = vector::<M, NR>(x, w, acc);
                x = x.add(MR * M::S::LANES);
                w = w.add(NR * M::S::LANES);
                vector_done();
            }
            left -= UNROLL;
        }
        while left > 0 {
            acc = vector::<M, NR>(x, w, acc);
            x = x.add(MR * M::S::LANES);
            w = w.add(NR * M::S::LANES);
            left -= 1;
        }
        acc
    }
}

/// One vector of k. The operand with fewer rows stays in registers.
#[inline(always)]
unsafe fn vector<M: Multiply, const NR: usize>(
    x: *const f32,
    w: *const f32,
    mut acc: Sums<M, NR>,
) -> Sums<M, NR> {
    unsafe {
        let mut weights = [M::S::zero(); NR];
        let mut rows = [M::S::zero(); MR];
        if MR < NR {
            for (i, row) in rows.iter_mut().enumerate() {
                *row = M::S::load(x.add(i * M::S::LANES));
            }
            for j in 0..NR {
                let weight = M::S::load(w.add(j * M::S::LANES));
                for i in 0..MR {
                    acc[i][j] = M::add(acc[i][j], rows[i], weight);
                }
            }
            return acc;
        }
        for (j, weight) in weights.iter_mut().enumerate() {
            *weight = M::S::load(w.add(j * M::S::LANES));
        }
        for i in 0..MR {
            let row = M::S::load(x.add(i * M::S::LANES));
            for j in 0..NR {
                acc[i][j] = M::add(acc[i][j], row, weights[j]);
            }
        }
        acc
    }
}

/// Folds the lanes of a tile and writes the `rows` times `columns` of it that lie in the output.
#[inline(always)]
unsafe fn write_tile<S: Simd, const NR: usize>(
    product: &Product,
    acc: &[[S::F32; NR]; MR],
    (row, column): (usize, usize),
    (rows, columns): (usize, usize),
) {
    unsafe {
        let mut sums = [[0f32; NR]; MR];
        for at in (0..MR * NR).step_by(4) {
            let mut four = [S::zero(); 4];
            for (i, lanes) in four.iter_mut().enumerate() {
                *lanes = acc[(at + i) / NR][(at + i) % NR];
            }
            let four = S::reduce_add4(four);
            for (i, &sum) in four.iter().enumerate() {
                sums[(at + i) / NR][(at + i) % NR] = sum;
            }
        }
        if rows == MR && columns == NR && !product.accumulate {
            let out = product.out.add(row * product.out_stride + column);
            for (i, sums) in sums.iter().enumerate() {
                for (j, &sum) in sums.iter().enumerate() {
                    *out.add(i * product.out_stride + j) = sum;
                }
            }
            return;
        }
        for (i, sums) in sums.iter().enumerate().take(rows) {
            for (j, &sum) in sums.iter().enumerate().take(columns) {
                write(product, row + i, column + j, sum);
            }
        }
    }
}
