//! The parts of a product on the threads, and of each its steps, one after the other: operands are
//! packed, then tiles are added to the output.
//!
//! Blocks of depth are anchored at 0 and as long as depth alone decides, and each element's sum over a
//! block is one chain: so no cut changes a bit.

use super::ahead::Ahead;
use super::multiply::{Arithmetic, Floats, Multiply};
use super::pack::{Packing, pack_panels};
use super::parts::{Part, Parts};
use super::steps::{Step, Steps, Tile, block_units};
use super::tile::{Target, tile, tile_rows, tile_vectors};
use super::{Operand, Product};
use crate::context::Context;
use crate::ops::chunks::Shared;
use crate::simd::{Isa, Simd, per_isa};

/// Lines that a thread packs at a time for later products.
const LINES_AT_ONCE: usize = 192;

/// A step whose operands are packed.
struct Block<'a> {
    product: &'a Product,
    /// Panels of its rows and of its columns.
    a: *const f32,
    b: *const f32,
    units: usize,
    /// Whether this block of depth starts the sums.
    first: bool,
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
}

/// Computes a product that has rows, columns and depth.
///
/// Each thread has a part of the output and packs what it multiplies for itself, though another may pack
/// the same: to write where the other core has read costs more than to pack twice.
pub unsafe fn multiply(isa: Isa, context: &Context, product: &Product) {
    let parts = Parts::of(isa, product, context.threads());
    let floats = parts.packed_floats();
    let scratch = context.scratch(context.threads() * floats * 4);
    let shared = Shared::new((product, scratch.cast::<f32>()));
    context.share_out(parts.count(), &|part, worker| unsafe {
        let (product, scratch) = shared.get();
        multiply_part(
            isa,
            &parts.part(product, part),
            scratch.add(worker * floats),
        );
    });
}

/// Computes one part, packing into `to`.
unsafe fn multiply_part(isa: Isa, part: &Part, to: *mut f32) {
    let steps = Steps::new(isa, &part.product);
    let to = (to, to.wrapping_add(steps.packed_floats().0));
    let mut next = Some(steps.first());
    while let Some(step) = next {
        let jobs = steps.jobs(step, to);
        for job in &jobs {
            unsafe { pack_panels(isa, job, (0, job.panels())) };
        }
        next = steps.after(step);
        let ahead = match next {
            Some(step) => Ahead::of(&steps.jobs(step, to)),
            None => Ahead::NOTHING,
        };
        let block = packed_block(&steps, step, part, to);
        unsafe { add_block(isa, &block, &ahead, steps.arithmetic) };
    }
}

fn packed_block<'a>(
    steps: &Steps<'a>,
    step: Step,
    part: &Part,
    (a, b): (*mut f32, *mut f32),
) -> Block<'a> {
    let product = steps.product;
    let (rows, columns, units) = steps.size(step);
    let (row, column) = steps.before(step);
    let given = product.b.address.cast::<f32>();
    Block {
        product,
        a: a.wrapping_add(row * units),
        b: if product.b_packed {
            let column = part.packed_column + step.column;
            given.wrapping_add(step.unit * part.packed_columns + column * units)
        } else {
            b.wrapping_add(column * units)
        },
        units,
        first: step.unit == 0,
        row: step.row,
        rows,
        column: step.column,
        columns,
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
        unsafe { pack_all(isa, context, &job) };
    }
}

/// Packs the panels of a job on the threads of the pool.
unsafe fn pack_all(isa: Isa, context: &Context, job: &Packing) {
    let at_once = (LINES_AT_ONCE / job.width).max(1);
    context.parallel(job.panels().div_ceil(at_once), &|chunk, _| {
        let first = chunk * at_once;
        let end = (first + at_once).min(job.panels());
        unsafe { pack_panels(isa, job, (first, end)) };
    });
}

/// Adds one packed block to the output.
unsafe fn add_block(isa: Isa, block: &Block, ahead: &Ahead, arithmetic: Arithmetic) {
    unsafe {
        match arithmetic {
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Pairs => add_pairs(block, ahead),
            _ => add_floats_on(isa, block, ahead),
        }
    }
}

per_isa! { unsafe fn add_floats_on = add_floats(block: &Block, ahead: &Ahead); }

#[inline(always)]
unsafe fn add_floats<S: Simd>(block: &Block, ahead: &Ahead) {
    unsafe {
        match (tile_rows(S::LANES), tile_vectors(S::LANES)) {
            (12, 2) => add_tiles::<Floats<S>, 12, 2>(block, ahead),
            (6, 2) => add_tiles::<Floats<S>, 6, 2>(block, ahead),
            (8, 3) => add_tiles::<Floats<S>, 8, 3>(block, ahead),
            (3, 3) => add_tiles::<Floats<S>, 3, 3>(block, ahead),
            _ => unreachable!("no tile of this size"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
unsafe fn add_pairs(block: &Block, ahead: &Ahead) {
    unsafe { add_tiles::<super::multiply::Pairs, 12, 2>(block, ahead) }
}

/// Adds the tiles of a block.
#[inline(always)]
unsafe fn add_tiles<M: Multiply, const MR: usize, const NV: usize>(block: &Block, ahead: &Ahead) {
    unsafe {
        let nr = NV * M::S::LANES;
        let product = block.product;
        let tiles = block.rows.div_ceil(MR) * block.columns.div_ceil(nr);
        let mut ahead = ahead.lines();
        let lines = ahead.count().div_ceil(tiles);
        for i in (0..block.rows).step_by(MR) {
            for j in (0..block.columns).step_by(nr) {
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
                tile::<M, MR, NV>(a, b, block.units, target, ahead.walk(lines));
            }
        }
    }
}
