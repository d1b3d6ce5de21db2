//! Few rows of quantized activations: weights are read where they lie, four of their rows at once.
//!
//! As in in_place.rs the rows that are read together lie a quarter of a chunk apart. A piece of the
//! four is taken apart into levels and scales, which stay in the first cache, and multiplied with all
//! rows of x.

use super::Product;
use super::levels::{Layout, MAX_UNITS, PIECE, Target, unpack_on};
use super::panel::{chunk_columns, write};
use super::prepared::{Prepared, prepare_rows_on};
use crate::context::Context;
use crate::simd::{Int8, Int8Isa, per_int8_isa};

/// Columns that are computed together.
const STREAMS: usize = 4;

/// Rows that share the weights of a block while these are in registers.
const PANEL: usize = 3;

/// Rows at most: sums of four columns are kept for all of them.
pub const MAX_ROWS: usize = 12;

/// Pieces of four weight rows taken apart.
#[repr(C, align(64))]
struct Piece {
    /// Levels of each row.
    levels: [[u8; PIECE]; STREAMS],
    /// Scale of unit u of row j at [u][j].
    scales: [[f32; STREAMS]; MAX_UNITS],
    /// Minima likewise.
    minima: [[f32; STREAMS]; MAX_UNITS],
}

/// Sums of four columns for every row.
type Sums = [[f32; STREAMS]; MAX_ROWS];

/// What the threads share.
struct Task<'a> {
    product: &'a Product,
    layout: Layout,
    x: *const Prepared,
}

unsafe impl Sync for Task<'_> {}

/// Computes the product of at most `MAX_ROWS` rows.
pub unsafe fn multiply(isa: Int8Isa, context: &Context, product: &Product, layout: Layout) {
    let bytes = product.rows * (product.in_dim / 32) * size_of::<Prepared>();
    let x = context.scratch(bytes).cast::<Prepared>();
    unsafe { prepare_rows_on(isa.isa(), product, &layout, x) };
    let task = Task { product, layout, x };
    let columns = chunk_columns(product, STREAMS, context.threads());
    context.parallel(product.out_dim.div_ceil(columns), &|chunk, _| {
        let first = chunk * columns;
        let count = columns.min(product.out_dim - first);
        unsafe { chunk_of(isa, &task, first, count) }
    });
}

/// All rows of `count` columns of the output.
unsafe fn chunk_of(isa: Int8Isa, task: &Task, first: usize, count: usize) {
    let product = task.product;
    let row_bytes = task.layout.row_bytes(product.in_dim);
    let apart = count.div_ceil(STREAMS);
    let mut piece = Piece {
        levels: [[0; PIECE]; STREAMS],
        scales: [[0.0; STREAMS]; MAX_UNITS],
        minima: [[0.0; STREAMS]; MAX_UNITS],
    };
    let target = Target {
        levels: piece.levels.as_mut_ptr().cast(),
        row_bytes: PIECE,
        scales: piece.scales.as_mut_ptr().cast(),
        minima: piece.minima.as_mut_ptr().cast(),
        unit_floats: STREAMS,
    };
    for at in 0..apart {
        // Where there is no fourth column, the first one is computed again, and not written.
        let mut columns = [first + at; STREAMS];
        let present = (count - at).div_ceil(apart);
        for (j, column) in columns.iter_mut().enumerate().take(present) {
            *column += j * apart;
        }
        let weights = columns.map(|column| unsafe { product.weight.add(column * row_bytes) });
        let mut sums: Sums = [[0.0; STREAMS]; MAX_ROWS];
        for k in (0..product.in_dim).step_by(PIECE) {
            let count = PIECE.min(product.in_dim - k);
            unsafe {
                let from = weights.map(|weight| weight.add(task.layout.row_bytes(k)));
                unpack_on(isa, product.weight_dtype, from, count, target);
                add_piece_on(isa, task, &piece, k / 32, count / 32, &mut sums);
            }
        }
        for (row, sums) in sums.iter().enumerate().take(product.rows) {
            for (&column, &sum) in columns.iter().zip(sums).take(present) {
                unsafe { write(product, row, column, sum) };
            }
        }
    }
}

per_int8_isa! {
    unsafe fn add_piece_on = add_piece(
        task: &Task,
        piece: &Piece,
        first: usize,
        count: usize,
        sums: &mut Sums,
    );
}

/// Adds `count` blocks of k from block `first` to the sums of all rows.
#[inline(always)]
unsafe fn add_piece<Q: Int8>(
    task: &Task,
    piece: &Piece,
    first: usize,
    count: usize,
    sums: &mut Sums,
) {
    unsafe {
        match (task.layout.unit, task.layout.minimum) {
            (32, false) => all_rows::<Q, 1, false>(task, piece, first, count, sums),
            (32, true) => all_rows::<Q, 1, true>(task, piece, first, count, sums),
            (_, false) => all_rows::<Q, 2, false>(task, piece, first, count, sums),
            (_, true) => all_rows::<Q, 2, true>(task, piece, first, count, sums),
        }
    }
}

#[inline(always)]
unsafe fn all_rows<Q: Int8, const UNITS: usize, const MINIMUM: bool>(
    task: &Task,
    piece: &Piece,
    first: usize,
    count: usize,
    sums: &mut Sums,
) {
    let blocks = task.product.in_dim / 32;
    for row in (0..task.product.rows).step_by(PANEL) {
        unsafe {
            let x = task.x.add(row * blocks + first);
            let sums = &mut sums[row..];
            match task.product.rows - row {
                1 => tile::<Q, UNITS, MINIMUM, 1>(x, blocks, piece, count, sums),
                2 => tile::<Q, UNITS, MINIMUM, 2>(x, blocks, piece, count, sums),
                _ => tile::<Q, UNITS, MINIMUM, PANEL>(x, blocks, piece, count, sums),
            }
        }
    }
}

/// Adds a piece to `MR` rows of four columns; rows of x lie `stride` blocks apart.
#[inline(always)]
unsafe fn tile<Q: Int8, const UNITS: usize, const MINIMUM: bool, const MR: usize>(
    x: *const Prepared,
    stride: usize,
    piece: &Piece,
    count: usize,
    kept: &mut [[f32; STREAMS]],
) {
    unsafe {
        // Indices, not iterators: those keep the sums in memory.
        let mut sums = [Q::quad_splat(0.0); MR];
        for i in 0..MR {
            sums[i] = Q::quad_load(kept.get_unchecked(i));
        }
        for block in 0..count {
            let at = piece.levels.as_ptr().cast::<i8>().add(32 * block);
            let w = [
                Q::block(at),
                Q::block(at.add(PIECE)),
                Q::block(at.add(2 * PIECE)),
                Q::block(at.add(3 * PIECE)),
            ];
            for i in 0..MR {
                let x = &*x.add(i * stride + block);
                let levels = Q::factor(x.levels.as_ptr());
                let at = block * UNITS;
                if UNITS == 1 {
                    let products = Q::products(&w, levels, x.starts[0]);
                    sums[i] = add_unit::<Q, MINIMUM>(sums[i], products, piece, at, x, 0);
                } else {
                    let halves = Q::half_products(&w, levels, x.starts);
                    sums[i] = add_unit::<Q, MINIMUM>(sums[i], halves[0], piece, at, x, 0);
                    sums[i] = add_unit::<Q, MINIMUM>(sums[i], halves[1], piece, at + 1, x, 1);
                }
            }
        }
        for i in 0..MR {
            *kept.get_unchecked_mut(i) = Q::quad_floats(sums[i]);
        }
    }
}

/// Adds the products of unit `at` of the piece, which is unit `unit` of a block of x.
#[inline(always)]
unsafe fn add_unit<Q: Int8, const MINIMUM: bool>(
    sum: Q::Quad,
    products: Q::Quad,
    piece: &Piece,
    at: usize,
    x: &Prepared,
    unit: usize,
) -> Q::Quad {
    unsafe {
        let scale = Q::quad_load(piece.scales.get_unchecked(at));
        let scale = Q::quad_mul(scale, Q::quad_splat(x.scale));
        let sum = Q::quad_fma(products, scale, sum);
        if !MINIMUM {
            return sum;
        }
        let minimum = Q::quad_load(piece.minima.get_unchecked(at));
        Q::quad_fma(minimum, Q::quad_splat(x.sums[unit]), sum)
    }
}
