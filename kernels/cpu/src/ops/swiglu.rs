//! SwiGLU's gate (Shazeer 2020, eq. 6).

use super::chunks::{Shared, in_rows};
use super::exp::silu_of;
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};

/// out[r,f] = silu(gate[r,f]) * up[r,f]; the strides are distances of rows, `out` is dense.
pub unsafe fn swiglu(
    context: &Context,
    out: *mut f32,
    gate: *const f32,
    up: *const f32,
    rows: u32,
    dim: u32,
    gate_stride: u32,
    up_stride: u32,
) -> Status {
    if rows > 1 && (gate_stride < dim || up_stride < dim) {
        return Err("gate_stride and up_stride must be at least dim");
    }
    let strides = (gate_stride as usize, up_stride as usize);
    unsafe {
        swiglu_with(
            isa(),
            context,
            out,
            gate,
            up,
            rows as usize,
            dim as usize,
            strides,
        )
    };
    Ok(())
}

unsafe fn swiglu_with(
    isa: Isa,
    context: &Context,
    out: *mut f32,
    gate: *const f32,
    up: *const f32,
    rows: usize,
    dim: usize,
    (gate_stride, up_stride): (usize, usize),
) {
    let shared = Shared::new((out, gate, up));
    in_rows(context, rows, dim, &|first, last| {
        let (out, gate, up) = shared.get();
        for row in first..last {
            unsafe {
                let (gate, up) = (gate.add(row * gate_stride), up.add(row * up_stride));
                swiglu_row_on(isa, out.add(row * dim), gate, up, dim);
            }
        }
    });
}

/// Vectors whose exponentials are taken side by side.
const TOGETHER: usize = 4;

#[inline(always)]
unsafe fn swiglu_row<S: Simd>(out: *mut f32, gate: *const f32, up: *const f32, dim: usize) {
    unsafe {
        let mut i = 0;
        while i + TOGETHER * S::LANES <= dim {
            let mut x = [S::zero(); TOGETHER];
            for (j, x) in x.iter_mut().enumerate() {
                *x = S::load(gate.add(i + j * S::LANES));
            }
            for (j, active) in silu_of::<S, TOGETHER>(x).into_iter().enumerate() {
                let at = i + j * S::LANES;
                S::store(out.add(at), S::mul(active, S::load(up.add(at))));
            }
            i += TOGETHER * S::LANES;
        }
        while i < dim {
            let count = dim - i;
            let [active] = silu_of::<S, 1>([S::load_first(gate.add(i), count)]);
            let product = S::mul(active, S::load_first(up.add(i), count));
            S::store_first(out.add(i), product, count);
            i += S::LANES;
        }
    }
}
per_isa! {
    unsafe fn swiglu_row_on = swiglu_row(
        out: *mut f32, gate: *const f32, up: *const f32, dim: usize,
    );
}

/// The plain reference, in double precision.
#[cfg(test)]
mod reference {
    pub fn swiglu(gate: f32, up: f32) -> f64 {
        let gate = f64::from(gate);
        gate / (1.0 + (-gate).exp()) * f64::from(up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, context, numbers};

    #[test]
    fn swiglu_agrees_with_the_reference_with_gate_and_up_side_by_side() {
        for (rows, dim) in [(1, 1), (2, 7), (3, 64), (5, 1023), (30, 4097)] {
            let x: Vec<f32> = numbers(rows * 2 * dim, 1).iter().map(|v| v * 8.0).collect();
            for isa in Isa::available() {
                let mut got = vec![0.0; rows * dim];
                unsafe {
                    let (gate, up) = (x.as_ptr(), x.as_ptr().add(dim));
                    let strides = (2 * dim, 2 * dim);
                    swiglu_with(
                        isa,
                        context(),
                        got.as_mut_ptr(),
                        gate,
                        up,
                        rows,
                        dim,
                        strides,
                    );
                }
                for (x, got) in x.chunks(2 * dim).zip(got.chunks(dim)) {
                    let one = |i: usize| reference::swiglu(x[i], x[dim + i]);
                    let want: Vec<f64> = (0..dim).map(one).collect();
                    assert_close(got, &want, 4e-7, isa);
                }
            }
        }
    }

    #[test]
    fn a_stride_below_the_width_is_refused() {
        let x = [0.0; 8];
        let mut out = [0.0; 8];
        let p = x.as_ptr();
        let status = unsafe { swiglu(context(), out.as_mut_ptr(), p, p, 2, 4, 3, 4) };
        assert_eq!(
            status,
            Err("gate_stride and up_stride must be at least dim")
        );
    }
}
