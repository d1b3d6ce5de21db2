//! Product with a weight: out[m,n] (+)= sum over k of x[m,k] * weight[n,k].
//!
//! Dot-style: both operands lie contiguous over k. In a product of floats, lane l of an output
//! element's sum takes k = l, l + LANES, ... one after another, each by one `fma`; a last partial
//! vector is filled with zeros; `reduce_add` folds the lanes. This order depends on k alone, so that
//! one row gives the same bits as many, whichever path, tile, chunk or thread computes it. Two paths
//! share it: `in_place` reads weights where they lie (few rows: bound by memory), `packed` copies blocks
//! of both operands into the order in which a register tile consumes them (many rows: bound by
//! arithmetic). Weights of 16 bits and blocks are widened exactly on the way. Where x and the weight are
//! bf16 and the processor multiplies pairs of these, a lane takes the pairs 2 l, 2 l + 2 LANES, ... instead.
//!
//! In a product of q8_0 rows with blocks each output element is one chain over the units of k, the runs
//! of 16 or 32 levels that share a scale: sum = fma(levels, scale, sum), where `levels`, the sum of the
//! unit's products of integers, is exact, and `scale` is that of the weight's unit times that of x,
//! rounded once; then, where units have a minimum, sum = fma(minimum, scale of x times the sum of its
//! levels, sum). So every path, layout and instruction set gives the same bits (but for `fma` where it
//! rounds twice). levels/ takes blocks apart; `prepared` says what of a block of x is shared; repacked/ has
//! the layout for which few rows cost no more than reading the weights.

mod in_place;
mod int8_direct;
mod int8_in_place;
mod int8_pack;
mod int8_packed;
#[cfg(test)]
mod int8_tests;
mod levels;
mod packed;
mod panel;
mod prepared;
mod repacked;
#[cfg(test)]
mod tests;
mod weight;

use crate::abi_generated::dtype;
use crate::context::{Context, Status};
use crate::simd::{Int8Isa, Isa, isa, multiplies_bf16};
use levels::layout;
pub use repacked::{matmul_repacked, repack};

/// The arguments of one product; strides are in elements.
#[derive(Clone, Copy)]
pub struct Product {
    pub out: *mut f32,
    pub x: *const u8,
    pub weight: *const u8,
    pub x_dtype: u32,
    pub weight_dtype: u32,
    pub rows: usize,
    pub out_dim: usize,
    pub in_dim: usize,
    pub x_stride: usize,
    pub out_stride: usize,
    pub accumulate: bool,
}

unsafe impl Sync for Product {}

/// The kernel `matmul` of the table.
pub unsafe fn matmul(
    context: &Context,
    out: *mut f32,
    x: *const u8,
    weight: *const u8,
    x_dtype: u32,
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
        x_dtype,
        weight_dtype,
        rows: rows as usize,
        out_dim: out_dim as usize,
        in_dim: in_dim as usize,
        x_stride: x_stride as usize,
        out_stride: out_stride as usize,
        accumulate: accumulate != 0,
    };
    unsafe { matmul_on(isa(), context, &product) }
}

/// `matmul` on a given instruction set.
pub unsafe fn matmul_on(isa: Isa, context: &Context, product: &Product) -> Status {
    check(product)?;
    if product.rows == 0 || product.out_dim == 0 {
        return Ok(());
    }
    if product.in_dim == 0 {
        unsafe { write_empty_sums(product) };
        return Ok(());
    }
    let (floats, terms) = terms_of(isa, product);
    unsafe {
        match (product.x_dtype, product.rows) {
            (dtype::F32 | dtype::BF16, 0..=in_place::MAX_ROWS) => {
                in_place::multiply(isa, context, &floats, terms)
            }
            (dtype::F32 | dtype::BF16, _) => packed::multiply(isa, context, &floats, terms),
            (_, rows) => {
                let isa = Int8Isa::of(isa);
                let layout = layout(product.weight_dtype).ok_or("weight has no blocks")?;
                match (product.weight_dtype, rows) {
                    (dtype, 0..=int8_in_place::MAX_ROWS) if int8_direct::takes(dtype) => {
                        int8_direct::multiply(isa, context, product, layout)
                    }
                    (_, 0..=int8_in_place::MAX_ROWS) => {
                        int8_in_place::multiply(isa, context, product, layout)
                    }
                    _ => int8_packed::multiply(isa, context, product, layout),
                }
            }
        }
    }
    Ok(())
}

/// What a product is a sum of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// Products of floats; 16 bits are widened.
    Floats,
    /// Sums of two products of bf16, where both operands are bf16 and the processor has such an
    /// instruction.
    #[cfg(target_arch = "x86_64")]
    Pairs,
}

/// What a product is summed from. Two bf16 that follow one another are moved like one f32, so pairs are a
/// product of half as many of these.
fn terms_of(isa: Isa, product: &Product) -> (Product, Terms) {
    #[cfg(target_arch = "x86_64")]
    if product.x_dtype == dtype::BF16 && multiplies_bf16(isa) {
        let units = Product {
            x_dtype: dtype::F32,
            weight_dtype: dtype::F32,
            in_dim: product.in_dim / 2,
            x_stride: product.x_stride / 2,
            ..*product
        };
        return (units, Terms::Pairs);
    }
    let _ = isa;
    (*product, Terms::Floats)
}

/// Sums of nothing: zeros.
unsafe fn write_empty_sums(product: &Product) {
    for row in 0..product.rows {
        for column in 0..product.out_dim {
            unsafe { panel::write(product, row, column, 0.0) };
        }
    }
}

fn check(product: &Product) -> Status {
    if product.x_stride < product.in_dim || product.out_stride < product.out_dim {
        return Err("a stride is smaller than its row");
    }
    let blocks = layout(product.weight_dtype);
    if blocks.is_some_and(|layout| !product.in_dim.is_multiple_of(layout.elements)) {
        return Err("a row of weights is a whole number of blocks long");
    }
    if product.x_dtype == dtype::Q8_0 && !product.x_stride.is_multiple_of(32) {
        return Err("the stride of q8_0 rows is a multiple of 32");
    }
    if product.x_dtype == dtype::BF16 && !(product.in_dim | product.x_stride).is_multiple_of(2) {
        return Err("rows of bf16 and their stride are even");
    }
    match (product.x_dtype, product.weight_dtype) {
        (dtype::F32 | dtype::Q8_0, _) if blocks.is_some() => Ok(()),
        (dtype::F32, dtype::F32 | dtype::F16 | dtype::BF16) => Ok(()),
        (dtype::F32, _) => Err("weight is f32, f16, bf16 or a block type"),
        (dtype::Q8_0, _) => Err("q8_0 rows are multiplied by weights of a block type"),
        (dtype::BF16, dtype::BF16) => Ok(()),
        (dtype::BF16, _) => Err("rows of bf16 are multiplied by weights of bf16"),
        _ => Err("x is f32, bf16 or q8_0"),
    }
}
