//! Product of matrices that lie in any order: out[r,c] (+)= sum over k of a[r,k] * b[c,k].
//!
//! An outer-product tile of rows by vectors of columns stays in registers and reads two packed panels
//! (Goto & van de Geijn 2008). An element's sum is cut into blocks of depth that are anchored at 0 and
//! that depth alone decides; each block is one chain of `fma` from 0 on, and blocks are added to the
//! output in order. Rows, columns, strides and threads change no bit.

mod ahead;
mod blocks;
mod multiply;
mod pack;
mod parts;
mod source;
mod steps;
#[cfg(test)]
mod tests;
mod tile;

#[cfg(target_arch = "x86_64")]
pub use multiply::Pairs;
pub use multiply::{Arithmetic, Floats, Multiply};

use crate::abi_generated::dtype;
use crate::context::{Context, Status};
use crate::simd::{Isa, isa, multiplies_bf16};

/// A matrix [lines, depth] whose element [i,k] lies at i * line_stride + k * depth_stride.
#[derive(Clone, Copy)]
pub struct Operand {
    pub address: *const u8,
    /// Whether elements are bf16; else f32.
    pub half: bool,
    pub line_stride: usize,
    pub depth_stride: usize,
}

impl Operand {
    /// The operand without the lines before one.
    fn lines_from(&self, line: usize) -> Operand {
        let bytes = if self.half { 2 } else { 4 };
        let at = line * self.line_stride * bytes;
        Operand {
            address: self.address.wrapping_add(at),
            ..*self
        }
    }
}

/// The arguments of one product; strides are in elements.
#[derive(Clone, Copy)]
pub struct Product {
    pub out: *mut f32,
    pub a: Operand,
    pub b: Operand,
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub out_stride: usize,
    pub accumulate: bool,
    /// Whether operands are rounded to bf16.
    pub brain: bool,
    /// Whether b is what `gemm_pack` made.
    pub b_packed: bool,
}

unsafe impl Sync for Product {}

/// The kernel `gemm` of the table.
pub unsafe fn gemm(
    context: &Context,
    out: *mut f32,
    a: *const u8,
    b: *const u8,
    a_dtype: u32,
    b_dtype: u32,
    rows: u32,
    columns: u32,
    depth: u32,
    a_row_stride: u32,
    a_depth_stride: u32,
    b_column_stride: u32,
    b_depth_stride: u32,
    out_stride: u32,
    accumulate: u32,
    precision: u32,
    b_packed: u32,
) -> Status {
    let product = Product {
        out,
        a: operand(a, a_dtype, (a_row_stride, a_depth_stride))?,
        b: operand(b, b_dtype, (b_column_stride, b_depth_stride))?,
        rows: rows as usize,
        columns: columns as usize,
        depth: depth as usize,
        out_stride: out_stride as usize,
        accumulate: accumulate != 0,
        brain: is_half(precision).ok_or("precision must be f32 or bf16")?,
        b_packed: b_packed != 0,
    };
    if rows > 1 && out_stride < columns {
        return Err("out_stride must be at least columns");
    }
    unsafe { gemm_on(isa(), context, &product) }
}

/// The kernel `gemm_pack` of the table.
pub unsafe fn gemm_pack(
    context: &Context,
    packed: *mut u8,
    b: *const u8,
    b_dtype: u32,
    columns: u32,
    depth: u32,
    b_column_stride: u32,
    b_depth_stride: u32,
    precision: u32,
    packed_elements: usize,
) -> Status {
    let b = operand(b, b_dtype, (b_column_stride, b_depth_stride))?;
    let brain = is_half(precision).ok_or("precision must be f32 or bf16")?;
    let (columns, depth) = (columns as usize, depth as usize);
    if packed_elements < (columns + 63).saturating_mul(depth + 1) {
        return Err("packed_elements must be at least (columns + 63) * (depth + 1)");
    }
    if brain && !multiplies_bf16(isa()) {
        return Err("nothing here multiplies bf16: precision must be f32");
    }
    if columns > 0 && depth > 0 {
        unsafe { blocks::pack(isa(), context, packed.cast(), &b, (columns, depth), brain) };
    }
    Ok(())
}

/// Whether a precision is bf16, where it is one of the two.
pub fn is_half(code: u32) -> Option<bool> {
    match code {
        dtype::F32 => Some(false),
        dtype::BF16 => Some(true),
        _ => None,
    }
}

fn operand(address: *const u8, code: u32, strides: (u32, u32)) -> Result<Operand, &'static str> {
    if strides.0 != 1 && strides.1 != 1 {
        return Err("one of the two strides of a and of b must be 1");
    }
    Ok(Operand {
        address,
        half: is_half(code).ok_or("a_dtype and b_dtype must be f32 or bf16")?,
        line_stride: strides.0 as usize,
        depth_stride: strides.1 as usize,
    })
}

/// `gemm` on a given instruction set.
pub unsafe fn gemm_on(isa: Isa, context: &Context, product: &Product) -> Status {
    if product.rows == 0 || product.columns == 0 {
        return Ok(());
    }
    if product.b_packed && product.brain && !multiplies_bf16(isa) {
        return Err("nothing here multiplies bf16, so that b cannot be packed for it");
    }
    unsafe {
        if product.depth > 0 {
            blocks::multiply(isa, context, product);
        } else if !product.accumulate {
            write_zeros(product);
        }
    }
    Ok(())
}

/// Sums of nothing.
unsafe fn write_zeros(product: &Product) {
    for row in 0..product.rows {
        unsafe {
            let out = product.out.add(row * product.out_stride);
            core::ptr::write_bytes(out, 0, product.columns);
        }
    }
}
