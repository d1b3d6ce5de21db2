//! Few rows of q8_0 by weights of q8_0 or q4_0: blocks are multiplied where they lie.
//!
//! Their levels are bytes already, or halves of bytes, so that taking them apart first, as
//! int8_in_place.rs does for every type, would cost more than the products. As in in_place.rs the rows that are read together lie a
//! quarter of a chunk apart.

use super::Product;
use super::levels::Layout;
use super::panel::{chunk_columns, write};
use super::prepared::prepare_block;
use crate::abi_generated::dtype;
use crate::context::Context;
use crate::quant::BlockFormat;
use crate::quant::legacy::Q4_0;
use crate::quant::q8_0::Q8_0;
use crate::simd::{Int8, Int8Isa, Simd, per_int8_isa};

/// Columns that are computed together.
const STREAMS: usize = 4;

/// Rows that share the weights of a block while these are in registers.
const PANEL: usize = 3;

/// How far before its use memory of each of them is asked for, in bytes: prefetchers end at every page,
/// and four streams end there often.
const ASKED_AHEAD: usize = 512;

/// One block of x, its levels as they stand in registers.
#[repr(C, align(16))]
struct Ready<Q: Int8> {
    levels: Q::Factor,
    scale: f32,
    /// What sums of products start from where levels of weights are unsigned.
    start: i32,
}

/// Bytes of the largest `Ready`: levels twice, scale and start, to the next multiple of 32.
const READY_BYTES: usize = 96;

/// A format whose blocks are a scale and 32 levels that can be read into registers at once.
trait Direct {
    /// Bytes of a block.
    const BYTES: usize;
    /// Reads the levels behind the scale.
    unsafe fn levels<Q: Int8>(p: *const u8) -> Q::Block;
}

impl Direct for Q8_0 {
    const BYTES: usize = <Q8_0 as BlockFormat>::BYTES;
    #[inline(always)]
    unsafe fn levels<Q: Int8>(p: *const u8) -> Q::Block {
        unsafe { Q::signed_block(p.cast()) }
    }
}

impl Direct for Q4_0 {
    const BYTES: usize = <Q4_0 as BlockFormat>::BYTES;
    #[inline(always)]
    unsafe fn levels<Q: Int8>(p: *const u8) -> Q::Block {
        unsafe { Q::halves_block(p) }
    }
}

/// Whether weights of a type are multiplied so; halves of bytes only where one instruction parts them.
pub fn takes(weight_dtype: u32) -> bool {
    weight_dtype == dtype::Q8_0 || (cfg!(target_arch = "x86_64") && weight_dtype == dtype::Q4_0)
}

/// What the threads share.
struct Task<'a> {
    product: &'a Product,
    layout: Layout,
    x: *mut u8,
}

unsafe impl Sync for Task<'_> {}

/// Computes the product; meant for few rows.
pub unsafe fn multiply(isa: Int8Isa, context: &Context, product: &Product, layout: Layout) {
    let x = context.scratch(product.rows * (product.in_dim / 32) * READY_BYTES);
    let task = Task { product, layout, x };
    unsafe { prepare_on(isa, &task) };
    let columns = chunk_columns(product, STREAMS, context.threads());
    context.parallel(product.out_dim.div_ceil(columns), &|chunk, _| {
        let first = chunk * columns;
        let count = columns.min(product.out_dim - first);
        unsafe { chunk_on(isa, &task, first, count) }
    });
}

per_int8_isa! { unsafe fn prepare_on = prepare(task: &Task); }
per_int8_isa! { unsafe fn chunk_on = chunk(task: &Task, first: usize, count: usize); }

/// Prepares all of x, row by row.
#[inline(always)]
unsafe fn prepare<Q: Int8>(task: &Task) {
    const { assert!(size_of::<Ready<Q>>() <= READY_BYTES) };
    let product = task.product;
    let (blocks, row_bytes) = (
        product.in_dim / 32,
        product.x_stride / 32 * <Q8_0 as BlockFormat>::BYTES,
    );
    for row in 0..product.rows {
        for block in 0..blocks {
            unsafe {
                let from = product
                    .x
                    .add(row * row_bytes + block * <Q8_0 as BlockFormat>::BYTES);
                let x = prepare_block::<Q::S>(from, &task.layout);
                *task.x.cast::<Ready<Q>>().add(row * blocks + block) = Ready {
                    levels: Q::factor(x.levels.as_ptr()),
                    scale: x.scale,
                    start: x.starts[0],
                };
            }
        }
    }
}

/// All rows of `count` columns of the output.
#[inline(always)]
unsafe fn chunk<Q: Int8>(task: &Task, first: usize, count: usize) {
    unsafe {
        match task.product.weight_dtype {
            dtype::Q8_0 => columns::<Q, Q8_0>(task, first, count),
            _ => columns::<Q, Q4_0>(task, first, count),
        }
    }
}

#[inline(always)]
unsafe fn columns<Q: Int8, F: Direct>(task: &Task, first: usize, count: usize) {
    let product = task.product;
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
                    1 => tile::<Q, F, 1>(task, row, columns),
                    2 => tile::<Q, F, 2>(task, row, columns),
                    _ => tile::<Q, F, PANEL>(task, row, columns),
                }
            }
        }
    }
}

/// `MR` rows of four columns.
#[inline(always)]
unsafe fn tile<Q: Int8, F: Direct, const MR: usize>(
    task: &Task,
    row: usize,
    (columns, present): ([usize; STREAMS], usize),
) {
    unsafe {
        let (product, blocks) = (task.product, task.product.in_dim / 32);
        let row_bytes = blocks * F::BYTES;
        let mut w = [product.weight; STREAMS];
        // Indices, not iterators: those keep what they walk over in memory.
        for j in 0..STREAMS {
            w[j] = w[j].add(columns[j] * row_bytes);
        }
        let mut sums = [Q::quad_splat(0.0); MR];
        // Two blocks a turn: scales are widened together, and the loop costs half as much.
        let mut x = task.x.cast::<Ready<Q>>().add(row * blocks);
        for _ in 0..blocks / 2 {
            for j in 0..STREAMS {
                <Q::S as Simd>::prefetch(w[j].wrapping_add(ASKED_AHEAD));
            }
            let next = ahead(w, F::BYTES);
            let scales = Q::quads_f16([scales_of(w), scales_of(next)]);
            sums = add_block::<Q, F, MR>(sums, w, x, blocks, scales[0]);
            sums = add_block::<Q, F, MR>(sums, next, x.add(1), blocks, scales[1]);
            w = ahead(next, F::BYTES);
            x = x.add(2);
        }
        if !blocks.is_multiple_of(2) {
            let scales = Q::quad_f16(scales_of(w));
            sums = add_block::<Q, F, MR>(sums, w, x, blocks, scales);
        }
        for i in 0..MR {
            let sums = Q::quad_floats(sums[i]);
            for (&column, sum) in columns.iter().zip(sums).take(present) {
                write(product, row + i, column, sum);
            }
        }
    }
}

/// Adds one block of each of four columns, at `w`, times that of `MR` rows; rows of x lie `stride` blocks
/// apart.
#[inline(always)]
unsafe fn add_block<Q: Int8, F: Direct, const MR: usize>(
    mut sums: [Q::Quad; MR],
    w: [*const u8; STREAMS],
    x: *const Ready<Q>,
    stride: usize,
    scales: Q::Quad,
) -> [Q::Quad; MR] {
    unsafe {
        let levels = [
            F::levels::<Q>(w[0].add(2)),
            F::levels::<Q>(w[1].add(2)),
            F::levels::<Q>(w[2].add(2)),
            F::levels::<Q>(w[3].add(2)),
        ];
        for i in 0..MR {
            let x = &*x.add(i * stride);
            let products = Q::products(&levels, x.levels, x.start);
            let scale = Q::quad_mul(scales, Q::quad_splat(x.scale));
            sums[i] = Q::quad_fma(products, scale, sums[i]);
        }
        sums
    }
}

/// Where the scales of four blocks stand.
#[inline(always)]
fn scales_of(w: [*const u8; STREAMS]) -> [*const u16; STREAMS] {
    [w[0].cast(), w[1].cast(), w[2].cast(), w[3].cast()]
}

/// Four pointers, moved.
#[inline(always)]
unsafe fn ahead(w: [*const u8; STREAMS], bytes: usize) -> [*const u8; STREAMS] {
    unsafe {
        [
            w[0].add(bytes),
            w[1].add(bytes),
            w[2].add(bytes),
            w[3].add(bytes),
        ]
    }
}
