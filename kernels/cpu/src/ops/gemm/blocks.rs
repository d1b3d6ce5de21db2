//! How a product is cut: into blocks of depth, groups of lines that fit in the caches once packed,
//! chunks of tiles for the threads. All of it by shape alone.
//!
//! A block of depth of both operands is packed by all threads, then its tiles are added to the output.
//! Blocks are anchored at 0 and as long as depth alone decides, and each element's sum over a block is
//! one chain: so no cut changes a bit.

use super::multiply::{Arithmetic, Floats, Multiply};
use super::pack::{Packing, pack_panels};
use super::tile::{Target, tile, tile_rows, tile_vectors};
use super::{Operand, Product};
use crate::context::Context;
use crate::simd::{Isa, Simd, per_isa};

/// Units of a block of depth, at most: a panel of a stays in the first cache.
const MAX_UNITS: usize = 384;
/// Lines of an operand that are packed at a time: they stay in the last cache.
const GROUP: usize = 2048;
/// Rows and columns of a chunk, at most: its panels of b stay in the second cache.
const CHUNK: (usize, usize) = (96, 256);
/// Chunks that are sought, so that threads end together.
const CHUNKS: usize = 32;
/// Lines that a thread packs at a time.
const LINES_AT_ONCE: usize = 192;

/// Rows and columns of a tile.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    columns: usize,
}

impl Tile {
    fn of(isa: Isa) -> Tile {
        let lanes = isa.lanes();
        Tile {
            rows: tile_rows(lanes),
            columns: tile_vectors(lanes) * lanes,
        }
    }
}

/// Units of a block where there are `units` in all.
fn block_units(units: usize) -> usize {
    units.div_ceil(units.div_ceil(MAX_UNITS))
}

/// Packed operands of one block of depth and one group of rows and of columns.
struct Block<'a> {
    product: &'a Product,
    a: *const f32,
    b: *const f32,
    units: usize,
    /// Whether this block starts the sums.
    first: bool,
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
    /// Rows and columns of a chunk.
    chunk: (usize, usize),
}

unsafe impl Sync for Block<'_> {}

/// Computes a product that has rows, columns and depth.
pub unsafe fn multiply(isa: Isa, context: &Context, product: &Product) {
    let tile = Tile::of(isa);
    let arithmetic = Arithmetic::of(isa, product.brain);
    let units = product.depth.div_ceil(arithmetic.unit_depth());
    let block = block_units(units);
    let row_group = group(product.rows, tile.rows);
    let column_group = group(product.columns, tile.columns);
    let b_floats = if product.b_packed { 0 } else { column_group };
    let a = context.scratch((row_group + b_floats) * block * 4);
    let a = a.cast::<f32>();
    let b = unsafe { a.add(row_group * block) };
    let padded = product.columns.next_multiple_of(tile.columns);
    for unit in (0..units).step_by(block) {
        let count = block.min(units - unit);
        let packing = |operand: Operand, width: usize, to: *mut f32| Packing {
            operand,
            arithmetic,
            width,
            first_line: 0,
            end_line: 0,
            depth: product.depth,
            first_unit: unit,
            units: count,
            to,
        };
        for column in (0..product.columns).step_by(column_group) {
            let columns = column_group.min(product.columns - column);
            for row in (0..product.rows).step_by(row_group) {
                let rows = row_group.min(product.rows - row);
                let mut jobs = [
                    packing(product.a, tile.rows, a),
                    packing(product.b, tile.columns, b),
                ];
                if column == 0 || rows < product.rows {
                    (jobs[0].first_line, jobs[0].end_line) = (row, row + rows);
                }
                if row == 0 && !product.b_packed {
                    (jobs[1].first_line, jobs[1].end_line) = (column, column + columns);
                }
                unsafe { pack_all(isa, context, &jobs) };
                let packed = product.b.address.cast::<f32>();
                let given = unsafe { packed.add(unit * padded + column * count) };
                let block = Block {
                    product,
                    a,
                    b: if product.b_packed { given } else { b },
                    units: count,
                    first: unit == 0,
                    row,
                    rows,
                    column,
                    columns,
                    chunk: chunk_size((rows, columns), tile),
                };
                unsafe { add_block(isa, context, &block, arithmetic) };
            }
        }
    }
}

/// Packs all of b for later products.
pub unsafe fn pack(
    isa: Isa,
    context: &Context,
    packed: *mut f32,
    b: &Operand,
    (columns, depth): (usize, usize),
    brain: bool,
) {
    let tile = Tile::of(isa);
    let arithmetic = Arithmetic::of(isa, brain);
    let units = depth.div_ceil(arithmetic.unit_depth());
    let block = block_units(units);
    for unit in (0..units).step_by(block) {
        let job = Packing {
            operand: *b,
            arithmetic,
            width: tile.columns,
            first_line: 0,
            end_line: columns,
            depth,
            first_unit: unit,
            units: block.min(units - unit),
            to: unsafe { packed.add(unit * columns.next_multiple_of(tile.columns)) },
        };
        unsafe { pack_all(isa, context, &[job]) };
    }
}

/// Lines of a group: whole panels.
fn group(lines: usize, width: usize) -> usize {
    (GROUP / width * width).min(lines.next_multiple_of(width))
}

/// Rows and columns of a chunk: whole tiles, fewer where there would be too few chunks.
fn chunk_size((rows, columns): (usize, usize), tile: Tile) -> (usize, usize) {
    let down = |lines: usize, width: usize| (lines / width).max(1) * width;
    let mut size = (down(CHUNK.0, tile.rows), down(CHUNK.1, tile.columns));
    while rows.div_ceil(size.0) * columns.div_ceil(size.1) < CHUNKS {
        if size.1 > 2 * tile.columns {
            size.1 = down(size.1 / 2, tile.columns);
        } else if size.0 > 2 * tile.rows {
            size.0 = down(size.0 / 2, tile.rows);
        } else {
            break;
        }
    }
    size
}

/// Packs the panels of all jobs on the threads of the pool.
unsafe fn pack_all(isa: Isa, context: &Context, jobs: &[Packing]) {
    let at_once = |job: &Packing| {
        let fair = job.panels().div_ceil(4);
        (LINES_AT_ONCE / job.width).min(fair).max(1)
    };
    let chunks = |job: &Packing| job.panels().div_ceil(at_once(job));
    context.parallel(jobs.iter().map(chunks).sum(), &|chunk, _| {
        let mut chunk = chunk;
        for job in jobs {
            if chunk >= chunks(job) {
                chunk -= chunks(job);
                continue;
            }
            let first = chunk * at_once(job);
            let end = (first + at_once(job)).min(job.panels());
            return unsafe { pack_panels(isa, job, (first, end)) };
        }
    });
}

/// Adds one packed block to the output.
unsafe fn add_block(isa: Isa, context: &Context, block: &Block, arithmetic: Arithmetic) {
    let down = block.rows.div_ceil(block.chunk.0);
    let across = block.columns.div_ceil(block.chunk.1);
    context.parallel(down * across, &|chunk, _| {
        let at = (chunk % down * block.chunk.0, chunk / down * block.chunk.1);
        unsafe {
            match arithmetic {
                #[cfg(target_arch = "x86_64")]
                Arithmetic::Pairs => add_chunk_of_pairs(block, at),
                _ => add_chunk_of_floats_on(isa, block, at),
            }
        }
    });
}

per_isa! { unsafe fn add_chunk_of_floats_on = add_chunk_of_floats(block: &Block, at: (usize, usize)); }

#[inline(always)]
unsafe fn add_chunk_of_floats<S: Simd>(block: &Block, at: (usize, usize)) {
    unsafe {
        match (tile_rows(S::LANES), tile_vectors(S::LANES)) {
            (12, 2) => add_chunk::<Floats<S>, 12, 2>(block, at),
            (6, 2) => add_chunk::<Floats<S>, 6, 2>(block, at),
            (8, 3) => add_chunk::<Floats<S>, 8, 3>(block, at),
            (3, 3) => add_chunk::<Floats<S>, 3, 3>(block, at),
            _ => unreachable!("no tile of this size"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
unsafe fn add_chunk_of_pairs(block: &Block, at: (usize, usize)) {
    unsafe { add_chunk::<super::multiply::Pairs, 12, 2>(block, at) }
}

/// Adds the tiles of one chunk, from a row and a column of the group on.
#[inline(always)]
unsafe fn add_chunk<M: Multiply, const MR: usize, const NV: usize>(
    block: &Block,
    (row, column): (usize, usize),
) {
    unsafe {
        let nr = NV * M::S::LANES;
        let product = block.product;
        let (last_row, last_column) = (
            block.rows.min(row + block.chunk.0),
            block.columns.min(column + block.chunk.1),
        );
        for i in (row..last_row).step_by(MR) {
            for j in (column..last_column).step_by(nr) {
                let at = (block.row + i) * product.out_stride + block.column + j;
                let target = Target {
                    out: product.out.add(at),
                    stride: product.out_stride,
                    rows: MR.min(block.rows - i),
                    columns: nr.min(block.columns - j),
                    add: product.accumulate || !block.first,
                };
                let a = block.a.add(i * block.units);
                let b = block.b.add(j * block.units);
                tile::<M, MR, NV>(a, b, block.units, target);
            }
        }
    }
}
