//! Rows of blocks interleaved by sixteen, so that a vector holds the same levels of as many columns of
//! the output as it has lanes: their products need no folding, and their scales are read together.
//!
//! A group of sixteen rows takes the bytes that it took before: block by block, and inside of a block
//! piece by piece, the sixteen rows' pieces lie side by side. A piece is a half-precision number where
//! the block has those, and a word of four bytes elsewhere; so what stands at byte `at` of a block
//! stands at `16 * at + row * piece` of its group's. Rows past the last group stay as they are.

mod few_rows;
mod formats;
mod panel;

pub use panel::{Panel, pack_on};

use super::int8_in_place::MAX_ROWS;
use super::levels::{Layout, layout};
use super::{Product, check, int8_packed, matmul_on};
use crate::abi_generated::dtype;
use crate::context::{Context, Status};
use crate::simd::{Int8Isa, Isa, isa};
use core::ops::Range;

/// Rows of a group.
pub const GROUP: usize = 16;

/// Bytes that groups of one chunk of work have, about.
const CHUNK_BYTES: usize = 64 << 10;

/// The bytes of a block that are half-precision numbers; `None` for types that are not repacked: q8_0
/// is as fast where it lies.
fn halves(code: u32) -> Option<Range<usize>> {
    match code {
        dtype::Q4_0 | dtype::Q5_0 => Some(0..2),
        dtype::Q4_1 | dtype::Q5_1 | dtype::Q4_K | dtype::Q5_K => Some(0..4),
        dtype::Q2_K => Some(80..84),
        dtype::Q3_K => Some(108..110),
        dtype::Q6_K => Some(208..210),
        _ => None,
    }
}

/// The kernel `repack` of the table.
pub unsafe fn repack(
    context: &Context,
    out: *mut u8,
    x: *const u8,
    dtype: u32,
    rows: u32,
    dim: u32,
) -> Status {
    let (rows, dim) = (rows as usize, dim as usize);
    let (Some(layout), Some(halves)) = (layout(dtype), halves(dtype)) else {
        return Err("rows of this type are not repacked");
    };
    if !dim.is_multiple_of(layout.elements) {
        return Err("a row of weights is a whole number of blocks long");
    }
    let (row_bytes, blocks) = (layout.row_bytes(dim), dim / layout.elements);
    let group_bytes = GROUP * row_bytes;
    if group_bytes == 0 {
        return Ok(());
    }
    // A group is copied first, so that it can be interleaved where it lies.
    let copies = context.scratch(group_bytes * context.threads()) as usize;
    let groups = CHUNK_BYTES.div_ceil(group_bytes);
    let (to, from) = (out as usize, x as usize);
    context.parallel((rows / GROUP).div_ceil(groups), &|chunk, worker| {
        let copy = (copies + worker * group_bytes) as *mut u8;
        for group in chunk * groups..((chunk + 1) * groups).min(rows / GROUP) {
            let (to, from) = (to + group * group_bytes, from + group * group_bytes);
            unsafe {
                core::ptr::copy_nonoverlapping(from as *const u8, copy, group_bytes);
                for block in 0..blocks {
                    let to = (to + block * GROUP * layout.bytes) as *mut u8;
                    interleave(
                        to,
                        copy.add(block * layout.bytes),
                        row_bytes,
                        &layout,
                        &halves,
                    );
                }
            }
        }
    });
    let done = rows / GROUP * group_bytes;
    unsafe { core::ptr::copy(x.add(done), out.add(done), rows % GROUP * row_bytes) };
    Ok(())
}

/// Interleaves one block of a group whose rows lie `row_bytes` apart.
unsafe fn interleave(
    to: *mut u8,
    from: *const u8,
    row_bytes: usize,
    layout: &Layout,
    halves: &Range<usize>,
) {
    let mut at = 0;
    while at < layout.bytes {
        let (to, from) = (to.wrapping_add(GROUP * at), from.wrapping_add(at));
        if halves.contains(&at) {
            unsafe { gather::<2>(to, from, row_bytes) };
            at += 2;
        } else {
            unsafe { gather::<4>(to, from, row_bytes) };
            at += 4;
        }
    }
}

/// Puts one piece of each row of a group side by side.
#[inline(always)]
unsafe fn gather<const PIECE: usize>(to: *mut u8, from: *const u8, row_bytes: usize) {
    for row in 0..GROUP {
        unsafe {
            let piece = from.add(row * row_bytes).cast::<[u8; PIECE]>().read();
            to.add(row * PIECE).cast::<[u8; PIECE]>().write(piece);
        }
    }
}

/// The kernel `matmul_repacked` of the table.
pub unsafe fn matmul_repacked(
    context: &Context,
    out: *mut f32,
    x: *const u8,
    weight: *const u8,
    weight_dtype: u32,
    rows: u32,
    out_dim: u32,
    in_dim: u32,
    x_stride: u32,
    out_stride: u32,
    accumulate: u32,
) -> Status {
    let product = Product {
        out,
        x,
        weight,
        x_dtype: dtype::Q8_0,
        weight_dtype,
        rows: rows as usize,
        out_dim: out_dim as usize,
        in_dim: in_dim as usize,
        x_stride: x_stride as usize,
        out_stride: out_stride as usize,
        accumulate: accumulate != 0,
    };
    unsafe { matmul_repacked_on(isa(), context, &product) }
}

/// `matmul_repacked` on a given instruction set: the groups, then the rows past the last one.
pub unsafe fn matmul_repacked_on(isa: Isa, context: &Context, product: &Product) -> Status {
    check(product)?;
    let Some(layout) =
        layout(product.weight_dtype).filter(|_| halves(product.weight_dtype).is_some())
    else {
        return Err("rows of this type are not repacked");
    };
    let mut groups = *product;
    groups.out_dim = product.out_dim / GROUP * GROUP;
    if groups.rows > 0 && groups.out_dim > 0 && groups.in_dim > 0 {
        let isa = Int8Isa::of(isa);
        unsafe {
            if product.rows <= MAX_ROWS {
                few_rows::multiply(isa, context, &groups, layout);
            } else {
                int8_packed::multiply_repacked(isa, context, &groups, layout);
            }
        }
    } else {
        groups.out_dim = 0;
    }
    let mut rest = *product;
    rest.out_dim -= groups.out_dim;
    unsafe {
        rest.out = product.out.add(groups.out_dim);
        rest.weight = product
            .weight
            .add(groups.out_dim * layout.row_bytes(product.in_dim));
        matmul_on(isa, context, &rest)
    }
}

#[cfg(test)]
mod tests;
