//! Panels of weights for int8_packed.rs, from rows of blocks and from repacked ones.

use super::int8_packed::{BLOCKS, NV, Plan, level_block, scale_floats};
use super::levels::{PIECE, Target, unpack_on};
use super::repacked::{self, GROUP};
use crate::simd::{Int8, Int8Isa, Simd, per_int8_isa};

/// The most columns of a panel of weights.
const MAX_COLUMNS: usize = 32;

per_int8_isa! {
    pub unsafe fn pack_piece_on = pack_piece(
        kind: Int8Isa,
        plan: &Plan,
        to: *mut u8,
        columns: (usize, usize),
        range: (usize, usize, usize),
    );
}

/// Packs `count` blocks of a panel of weights, from block `piece` of those that start at `first`. Where
/// a column is missing the last one stands once more, and is not written out.
#[inline(always)]
unsafe fn pack_piece<Q: Int8>(
    kind: Int8Isa,
    plan: &Plan,
    to: *mut u8,
    (column, columns): (usize, usize),
    (first, piece, count): (usize, usize, usize),
) {
    unsafe {
        let (product, layout, lanes) = (plan.product, &plan.layout, Q::S::LANES);
        let row_bytes = layout.row_bytes(product.in_dim);
        let weight = product.weight.add(layout.row_bytes(32 * (first + piece)));
        let size = NV * lanes;
        let scales = to.add(BLOCKS * level_block(Q::LEVEL_BYTES, lanes));
        let scales = scales.cast::<f32>().add(piece * 32 / layout.unit * size);
        let mut rows = [0u64; MAX_COLUMNS * PIECE / 8];
        let rows = rows.as_mut_ptr().cast::<u8>();
        for i in (0..size).step_by(4) {
            let mut from = [weight; 4];
            for (j, from) in from.iter_mut().enumerate() {
                *from = weight.add((column + (i + j).min(columns - 1)) * row_bytes);
                for line in (0..layout.row_bytes(PIECE)).step_by(64) {
                    Q::S::prefetch(from.wrapping_add(layout.row_bytes(PIECE) + line));
                }
            }
            let target = Target {
                levels: rows.add(i * PIECE),
                row_bytes: PIECE,
                scales: scales.add(i),
                minima: scales.add(scale_floats(lanes) + i),
                unit_floats: size,
            };
            unpack_on(kind, product.weight_dtype, from, 32 * count, target);
        }
        for block in 0..count {
            let to = to.add((piece + block) * level_block(Q::LEVEL_BYTES, lanes));
            turn::<Q>(to, rows.add(32 * block));
        }
    }
}

/// `pack_piece` of repacked weights, a vector of columns at a time. Where the last vector is missing
/// the one before it stands once more.
pub unsafe fn pack_groups(
    isa: Int8Isa,
    plan: &Plan,
    to: *mut u8,
    (column, columns): (usize, usize),
    (first, piece, count): (usize, usize, usize),
) {
    unsafe {
        let (product, layout, lanes) = (plan.product, &plan.layout, isa.isa().lanes());
        let (size, bytes) = (NV * lanes, isa.level_bytes());
        let levels = to.add(piece * level_block(bytes, lanes));
        let scales = to.add(BLOCKS * level_block(bytes, lanes)).cast::<f32>();
        let scales = scales.add(piece * 32 / layout.unit * size);
        for i in (0..size).step_by(lanes) {
            let column = column + i.min(columns - lanes);
            let group = column / GROUP * GROUP * layout.row_bytes(product.in_dim);
            let before = 32 * (first + piece) / layout.elements * GROUP * layout.bytes;
            let from = (product.weight.add(group + before), column % GROUP);
            let panel = repacked::Panel {
                levels: levels.add(4 * i),
                scales: scales.add(i),
                minima: scales.add(scale_floats(lanes) + i),
                columns: size,
            };
            let blocks = 32 * count / layout.elements;
            repacked::pack_on(isa, product.weight_dtype, from, blocks, panel);
        }
    }
}

/// Turns one block of levels, a row for each column, into words with a lane for each column.
#[inline(always)]
unsafe fn turn<Q: Int8>(to: *mut u8, rows: *const u8) {
    unsafe {
        let (size, bytes) = (NV * Q::S::LANES, 32 * Q::LEVEL_BYTES);
        let mut wide = [0u64; MAX_COLUMNS * 64 / 8];
        let wide = wide.as_mut_ptr().cast::<u8>();
        let (mut from, mut stride) = (rows, PIECE);
        if Q::LEVEL_BYTES > 1 {
            for i in 0..size {
                Q::pack_levels(wide.add(i * bytes), rows.add(i * PIECE));
            }
            (from, stride) = (wide, bytes);
        }
        for word in (0..bytes / 4).step_by(Q::SQUARE) {
            for i in (0..size).step_by(Q::SQUARE) {
                let to = to.add((word * size + i) * 4);
                Q::transpose(from.add(i * stride + word * 4), stride, to, size * 4);
            }
        }
    }
}
