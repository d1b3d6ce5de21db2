//! Rows of q8_0 as products in place read them: what depends on a block of x alone is computed once,
//! and not again for every four columns.

use super::Product;
use super::levels::Layout;
use crate::quant::BlockFormat;
use crate::quant::q8_0::Q8_0;
use crate::simd::{Simd, per_isa};

/// One block of x. A unit of 32 uses the first of two; units of 16 use both.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Prepared {
    /// The levels.
    pub levels: [i8; 32],
    /// The scale.
    pub scale: f32,
    /// What sums of products start from where levels of weights are unsigned: -offset times the sum
    /// of the unit's levels.
    pub starts: [i32; 2],
    /// scale times the sum of the unit's levels: what a minimum is multiplied by. Exact, as 11 bits
    /// times 12 are.
    pub sums: [f32; 2],
}

/// One block for weights of a layout.
#[inline(always)]
pub unsafe fn prepare_block<S: Simd>(from: *const u8, layout: &Layout) -> Prepared {
    let scale = unsafe { S::f16(from.cast()) };
    let levels = unsafe { from.add(2).cast::<[i8; 32]>().read() };
    let mut sums = [0i32; 2];
    for i in 0..16 {
        sums[0] += i32::from(levels[i]);
        sums[1] += i32::from(levels[i + 16]);
    }
    if layout.unit == 32 {
        sums[0] += sums[1];
    }
    Prepared {
        levels,
        scale,
        starts: [-layout.offset * sums[0], -layout.offset * sums[1]],
        sums: [scale * sums[0] as f32, scale * sums[1] as f32],
    }
}

per_isa! {
    /// Prepares the rows of x into `to`, row by row.
    pub unsafe fn prepare_rows_on = prepare_rows(
        product: &Product,
        layout: &Layout,
        to: *mut Prepared,
    );
}

#[inline(always)]
unsafe fn prepare_rows<S: Simd>(product: &Product, layout: &Layout, to: *mut Prepared) {
    let (blocks, row_bytes) = (product.in_dim / 32, product.x_stride / 32 * Q8_0::BYTES);
    for row in 0..product.rows {
        for block in 0..blocks {
            unsafe {
                let from = product.x.add(row * row_bytes + block * Q8_0::BYTES);
                *to.add(row * blocks + block) = prepare_block::<S>(from, layout);
            }
        }
    }
}
