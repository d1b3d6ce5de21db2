//! Backward of SwiGLU's gate (Shazeer 2020, eq. 6, differentiated).

use crate::context::{Context, Status};
use crate::ops::chunks::{Shared, in_rows};
use crate::ops::exp::exp_of;
use crate::simd::{Isa, Simd, isa, per_isa};

/// Arguments of the kernel; `out` may be null.
#[derive(Clone, Copy)]
struct Gate {
    dgate: *mut f32,
    dup: *mut f32,
    out: *mut f32,
    dy: *const f32,
    gate: *const f32,
    up: *const f32,
}

/// Distances of rows.
#[derive(Clone, Copy)]
struct Strides {
    dgate: usize,
    dup: usize,
    gate: usize,
    up: usize,
}

/// The kernel `swiglu_backward` of the table: dy and out are dense.
pub unsafe fn swiglu_backward(
    context: &Context,
    dgate: *mut f32,
    dup: *mut f32,
    out: *mut f32,
    dy: *const f32,
    gate: *const f32,
    up: *const f32,
    rows: u32,
    dim: u32,
    dgate_stride: u32,
    dup_stride: u32,
    gate_stride: u32,
    up_stride: u32,
) -> Status {
    let all = [dgate_stride, dup_stride, gate_stride, up_stride];
    if rows > 1 && all.into_iter().any(|stride| stride < dim) {
        return Err("dgate_stride, dup_stride, gate_stride and up_stride must be at least dim");
    }
    let arguments = Gate {
        dgate,
        dup,
        out,
        dy,
        gate,
        up,
    };
    let strides = Strides {
        dgate: dgate_stride as usize,
        dup: dup_stride as usize,
        gate: gate_stride as usize,
        up: up_stride as usize,
    };
    let shape = (rows as usize, dim as usize);
    unsafe { backward_with(isa(), context, arguments, strides, shape) };
    Ok(())
}

unsafe fn backward_with(
    isa: Isa,
    context: &Context,
    arguments: Gate,
    strides: Strides,
    (rows, dim): (usize, usize),
) {
    let shared = Shared::new(arguments);
    in_rows(context, rows, dim, &|first, last| {
        let all = shared.get();
        for row in first..last {
            unsafe {
                let one = Gate {
                    dgate: all.dgate.add(row * strides.dgate),
                    dup: all.dup.add(row * strides.dup),
                    out: if all.out.is_null() {
                        all.out
                    } else {
                        all.out.add(row * dim)
                    },
                    dy: all.dy.add(row * dim),
                    gate: all.gate.add(row * strides.gate),
                    up: all.up.add(row * strides.up),
                };
                row_on(isa, &one, dim);
            }
        }
    });
}

/// Vectors whose exponentials are taken side by side.
const TOGETHER: usize = 4;

#[inline(always)]
unsafe fn row<S: Simd>(row: &Gate, dim: usize) {
    unsafe {
        let mut i = 0;
        while i + TOGETHER * S::LANES <= dim {
            vectors::<S, TOGETHER>(row, i, TOGETHER * S::LANES);
            i += TOGETHER * S::LANES;
        }
        while i < dim {
            vectors::<S, 1>(row, i, dim - i);
            i += S::LANES;
        }
    }
}
per_isa! { unsafe fn row_on = row(arguments: &Gate, dim: usize); }

/// `N` vectors from element `at` on, of which `count` elements belong to the row.
#[inline(always)]
unsafe fn vectors<S: Simd, const N: usize>(row: &Gate, at: usize, count: usize) {
    unsafe {
        let mut gate = [S::zero(); N];
        let mut e = gate;
        for j in 0..N {
            gate[j] = S::load_first(row.gate.add(at + j * S::LANES), count - j * S::LANES);
            e[j] = S::sub(S::zero(), S::abs(gate[j]));
        }
        // exp(-|gate|) cannot overflow; sigmoid and 1 - sigmoid are 1 and e over 1 + e, or e and 1.
        let e = exp_of::<S, N>(e);
        let one = S::splat(1.0);
        for j in 0..N {
            let (at, count) = (at + j * S::LANES, count - j * S::LANES);
            let negative = S::lt(gate[j], S::zero());
            let above = S::select(negative, e[j], one);
            let below = S::select(negative, one, e[j]);
            let whole = S::add(one, e[j]);
            let inverse = S::div(one, whole);
            let (sigmoid, rest) = (S::mul(above, inverse), S::mul(below, inverse));
            let dy = S::load_first(row.dy.add(at), count);
            let up = S::load_first(row.up.add(at), count);
            if !row.out.is_null() {
                // Step by step as `swiglu` computes it.
                let active = S::div(S::mul(gate[j], above), whole);
                S::store_first(row.out.add(at), S::mul(active, up), count);
            }
            let slope = S::mul(sigmoid, S::fma(gate[j], rest, one));
            let dup = S::mul(dy, S::mul(gate[j], sigmoid));
            S::store_first(row.dgate.add(at), S::mul(S::mul(dy, up), slope), count);
            S::store_first(row.dup.add(at), dup, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::swiglu;
    use crate::ops::testing::{assert_close, context, numbers};

    fn run(isa: Isa, dy: &[f32], gate: &[f32], up: &[f32], dim: usize) -> [Vec<f32>; 3] {
        let mut results = [
            vec![7.0; dy.len()],
            vec![7.0; dy.len()],
            vec![7.0; dy.len()],
        ];
        let [dgate, dup, out] = &mut results;
        let arguments = Gate {
            dgate: dgate.as_mut_ptr(),
            dup: dup.as_mut_ptr(),
            out: out.as_mut_ptr(),
            dy: dy.as_ptr(),
            gate: gate.as_ptr(),
            up: up.as_ptr(),
        };
        let strides = Strides {
            dgate: dim,
            dup: dim,
            gate: dim,
            up: dim,
        };
        unsafe { backward_with(isa, context(), arguments, strides, (dy.len() / dim, dim)) };
        results
    }

    #[test]
    fn gradients_agree_with_double_precision_on_every_instruction_set() {
        for (rows, dim) in [(1, 1), (3, 7), (5, 64), (40, 1030)] {
            let (dy, up) = (numbers(rows * dim, 1), numbers(rows * dim, 2));
            let gate: Vec<f32> = numbers(rows * dim, 3).iter().map(|v| v * 8.0).collect();
            let all = |f: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
                let one = |i| f(f64::from(dy[i]), f64::from(gate[i]), f64::from(up[i]));
                (0..dy.len()).map(one).collect()
            };
            let sigmoid = |g: f64| 1.0 / (1.0 + (-g).exp());
            let want = [
                all(&|dy, g, up| dy * up * sigmoid(g) * (1.0 + g * (1.0 - sigmoid(g)))),
                all(&|dy, g, _| dy * g * sigmoid(g)),
                all(&|_, g, up| g * sigmoid(g) * up),
            ];
            for isa in Isa::available() {
                let got = run(isa, &dy, &gate, &up, dim);
                for (got, want) in got.iter().zip(&want) {
                    assert_close(got, want, 1e-6, isa);
                }
            }
        }
    }

    #[test]
    fn the_result_made_again_is_swiglus_own_to_the_bit() {
        let (dy, gate, up) = (numbers(3000, 1), numbers(3000, 2), numbers(3000, 3));
        let mut want = vec![0.0; 3000];
        let (to, g, u) = (want.as_mut_ptr(), gate.as_ptr(), up.as_ptr());
        unsafe { swiglu(context(), to, g, u, 3, 1000, 1000, 1000) }.unwrap();
        assert_eq!(run(isa(), &dy, &gate, &up, 1000)[2], want);
    }

    #[test]
    fn gates_of_any_size_give_finite_gradients() {
        let gate = [0.0, -0.0, 90.0, -90.0, 1e5, -1e5, 3e37, -3e37];
        for isa in Isa::available() {
            for result in run(isa, &[1.0; 8], &gate, &[1.0; 8], 8) {
                assert!(result.iter().all(|v| v.is_finite()), "{isa:?}: {result:?}");
            }
        }
    }
}
