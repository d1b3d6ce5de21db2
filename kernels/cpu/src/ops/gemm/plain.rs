//! The plain product: every sum by itself.

use super::{Operand, Product};
use crate::context::{Context, Status};
use crate::ops::chunks::{Shared, in_rows};
use crate::simd::Isa;
use crate::simd::float16::{bf16_to_f32, f32_to_bf16};

/// Element [line, k], rounded to bf16 where that is wanted.
unsafe fn element(of: &Operand, (line, k): (usize, usize), brain: bool) -> f32 {
    let at = line * of.line_stride + k * of.depth_stride;
    let x = if of.half {
        bf16_to_f32(unsafe { *of.address.cast::<u16>().add(at) })
    } else {
        unsafe { *of.address.cast::<f32>().add(at) }
    };
    if brain {
        bf16_to_f32(f32_to_bf16(x))
    } else {
        x
    }
}

/// Computes the product.
pub unsafe fn multiply(_isa: Isa, context: &Context, product: &Product) -> Status {
    let packed = Operand {
        address: product.b.address,
        half: product.brain,
        line_stride: product.depth,
        depth_stride: 1,
    };
    let (a, b) = (
        &product.a,
        if product.b_packed { packed } else { product.b },
    );
    let shared = Shared::new((product as *const Product, a as *const Operand, b));
    in_rows(
        context,
        product.rows,
        product.columns * product.depth.max(1),
        &|first, last| unsafe {
            let (product, a, b) = shared.get();
            let product = &*product;
            for row in first..last {
                for column in 0..product.columns {
                    let out = product.out.add(row * product.out_stride + column);
                    let mut sum = if product.accumulate { *out } else { 0.0 };
                    for k in 0..product.depth {
                        let x = element(&*a, (row, k), product.brain);
                        sum += x * element(&b, (column, k), product.brain);
                    }
                    *out = sum;
                }
            }
        },
    );
    Ok(())
}

/// Copies b into rows that lie side by side.
pub unsafe fn pack(
    _isa: Isa,
    context: &Context,
    packed: *mut u8,
    b: &Operand,
    (columns, depth): (usize, usize),
    brain: bool,
) -> Status {
    let shared = Shared::new((packed, *b));
    in_rows(context, columns, depth, &|first, last| unsafe {
        let (packed, b) = shared.get();
        for at in first * depth..last * depth {
            let x = element(&b, (at / depth, at % depth), false);
            if brain {
                *packed.cast::<u16>().add(at) = f32_to_bf16(x);
            } else {
                *packed.cast::<f32>().add(at) = x;
            }
        }
    });
    Ok(())
}
