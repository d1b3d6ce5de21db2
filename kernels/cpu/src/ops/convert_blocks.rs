//! Rows to and from the block formats that have no vector path of their own: the plain reference on
//! all threads.

use super::chunks::{Shared, in_rows};
use crate::abi_generated::dtype;
use crate::context::{Context, Status};
use crate::quant::BlockFormat;
use crate::quant::k_symmetric::{Q3K, Q6K};
use crate::quant::k_with_minimum::{Q2K, Q4K, Q5K};
use crate::quant::legacy::{Q4_0, Q4_1, Q5_0, Q5_1};
use crate::quant::q8_0::Q8_0;

/// One format as plain numbers and functions.
#[derive(Clone, Copy)]
struct Format {
    elements: usize,
    bytes: usize,
    quantize: unsafe fn(*const f32, *mut u8),
    quantize_weighted: unsafe fn(*const f32, *const f32, f32, *mut u8),
    dequantize: unsafe fn(*const u8, *mut f32),
    /// What quantizing an element costs beside a plain copy, so that threads get equal work.
    cost: usize,
}

fn format_of<F: BlockFormat>(cost: usize) -> Format {
    Format {
        elements: F::ELEMENTS,
        bytes: F::BYTES,
        quantize: F::quantize,
        quantize_weighted: F::quantize_weighted,
        dequantize: F::dequantize,
        cost,
    }
}

fn find(code: u32) -> Option<Format> {
    Some(match code {
        dtype::Q4_0 => format_of::<Q4_0>(2),
        dtype::Q4_1 => format_of::<Q4_1>(2),
        dtype::Q5_0 => format_of::<Q5_0>(2),
        dtype::Q5_1 => format_of::<Q5_1>(2),
        dtype::Q2_K => format_of::<Q2K>(100),
        dtype::Q3_K => format_of::<Q3K>(30),
        dtype::Q4_K => format_of::<Q4K>(100),
        dtype::Q5_K => format_of::<Q5K>(100),
        dtype::Q6_K => format_of::<Q6K>(60),
        _ => return None,
    })
}

/// Converts `count` elements in rows of `dim` where one of the types is a block format of this file
/// and the other is f32; `None` where neither is.
pub unsafe fn convert_blocks(
    context: &Context,
    (out, out_dtype): (*mut u8, u32),
    (x, x_dtype): (*const u8, u32),
    count: usize,
    dim: usize,
) -> Option<Status> {
    let (format, to_blocks, other) = match (find(out_dtype), find(x_dtype)) {
        (Some(format), None) => (format, true, x_dtype),
        (None, Some(format)) => (format, false, out_dtype),
        (Some(_), Some(_)) => return Some(Err("converts blocks to and from f32 alone")),
        (None, None) => return None,
    };
    if other != dtype::F32 {
        return Some(Err("converts blocks to and from f32 alone"));
    }
    if !dim.is_multiple_of(format.elements) {
        return Some(Err("a row is a whole number of blocks long"));
    }
    let shared = Shared::new((out, x));
    let cost = format.elements * if to_blocks { format.cost } else { 4 };
    in_rows(context, count / format.elements, cost, &|first, last| {
        let (out, x) = shared.get();
        for block in first..last {
            let (floats, bytes) = (block * format.elements * 4, block * format.bytes);
            unsafe {
                if to_blocks {
                    (format.quantize)(x.add(floats).cast(), out.add(bytes));
                } else {
                    (format.dequantize)(x.add(bytes), out.add(floats).cast());
                }
            }
        }
    });
    Some(Ok(()))
}

/// The kernel `quantize_weighted` of the table.
pub unsafe fn quantize_weighted(
    context: &Context,
    out: *mut u8,
    x: *const f32,
    importance: *const f32,
    out_dtype: u32,
    rows: u32,
    dim: u32,
) -> Status {
    let eight = || (out_dtype == dtype::Q8_0).then(|| format_of::<Q8_0>(2));
    let format = find(out_dtype)
        .or_else(eight)
        .ok_or("quantizes to the block types alone")?;
    let (rows, dim) = (rows as usize, dim as usize);
    if !dim.is_multiple_of(format.elements) {
        return Err("a row is a whole number of blocks long");
    }
    let blocks = dim / format.elements;
    let shared = Shared::new((out, x, importance));
    in_rows(context, rows, dim * format.cost, &|first, last| {
        let (out, x, importance) = shared.get();
        for row in first..last {
            let x = unsafe { x.add(row * dim) };
            let mean_square = unsafe { mean_square(x, dim) };
            for block in 0..blocks {
                let at = block * format.elements;
                unsafe {
                    let target = out.add((row * blocks + block) * format.bytes);
                    (format.quantize_weighted)(x.add(at), importance.add(at), mean_square, target);
                }
            }
        }
    });
    Ok(())
}

/// One sum after another, as the reference adds them.
unsafe fn mean_square(x: *const f32, dim: usize) -> f32 {
    let mut sum = 0f32;
    for i in 0..dim {
        let x = unsafe { *x.add(i) };
        sum += x * x;
    }
    sum / dim as f32
}
