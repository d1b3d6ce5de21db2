//! AdamW with decoupled decay, clipping and the weights' bf16 copy in one pass over memory.

use super::chunks::Shared;
use super::moments::{Tensors, in_parts, store_weight, without_subnormal};
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa, square_root_f64};

/// What one step does to every element, rounded once from double precision.
#[derive(Clone, Copy)]
struct Step {
    /// Factor of the gradient.
    clip: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    eps: f32,
    /// 1 / sqrt(bias2)
    root: f32,
    /// lr / bias1
    rate: f32,
    /// 1 - lr decay
    keep: f32,
}

impl Step {
    fn new(hyper: &[f64; 7], clip: f32) -> Step {
        let [lr, beta1, beta2, eps, decay, bias1, bias2] = *hyper;
        Step {
            clip,
            beta1: beta1 as f32,
            one_minus_beta1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
            eps: eps as f32,
            root: (1.0 / square_root_f64(bias2)) as f32,
            rate: (lr / bias1) as f32,
            keep: (1.0 - lr * decay) as f32,
        }
    }
}

/// The kernel `adamw` of the table.
pub unsafe fn adamw(
    context: &Context,
    weight: *mut f32,
    m: *mut f32,
    v: *mut f32,
    grad: *const f32,
    hyper: *const f64,
    clip: *const f32,
    compute: *mut u8,
    count: usize,
) -> Status {
    let compute = compute.cast::<u16>();
    #[rustfmt::skip]
    let tensors = Tensors { weight, m, v, grad, compute };
    unsafe { adamw_with(isa(), context, tensors, (hyper, clip), count) }
}

unsafe fn adamw_with(
    isa: Isa,
    context: &Context,
    tensors: Tensors,
    (hyper, clip): (*const f64, *const f32),
    count: usize,
) -> Status {
    if unsafe { *clip.add(2) } == 0.0 {
        return Ok(());
    }
    let step = unsafe { Step::new(&*hyper.cast(), *clip.add(1)) };
    let shared = Shared::new(tensors);
    in_parts(context, count, &|_, at, count| unsafe {
        part_on(isa, shared.get().from(at), step, count);
    });
    Ok(())
}

per_isa! { unsafe fn part_on = part(tensors: Tensors, step: Step, count: usize); }

#[inline(always)]
unsafe fn part<S: Simd>(tensors: Tensors, step: Step, count: usize) {
    unsafe {
        let mut i = 0;
        while i + S::LANES <= count {
            vector::<S>(tensors.from(i), &step, S::LANES);
            i += S::LANES;
        }
        if i < count {
            vector::<S>(tensors.from(i), &step, count - i);
        }
    }
}

/// One vector, or the first `left` elements of one.
#[inline(always)]
unsafe fn vector<S: Simd>(tensors: Tensors, step: &Step, left: usize) {
    unsafe {
        let Tensors {
            weight,
            m,
            v,
            grad,
            compute,
        } = tensors;
        let g = S::mul(S::load_first(grad, left), S::splat(step.clip));
        let new = S::mul(g, S::splat(step.one_minus_beta1));
        let mean = S::fma(S::load_first(m, left), S::splat(step.beta1), new);
        let mean = without_subnormal::<S>(mean);
        let new = S::mul(S::mul(g, S::splat(step.one_minus_beta2)), g);
        let square = S::fma(S::load_first(v, left), S::splat(step.beta2), new);
        let square = without_subnormal::<S>(square);
        let below = S::fma(S::sqrt(square), S::splat(step.root), S::splat(step.eps));
        let kept = S::mul(S::load_first(weight, left), S::splat(step.keep));
        let moved = S::fma(S::div(mean, below), S::splat(-step.rate), kept);
        S::store_first(m, mean, left);
        S::store_first(v, square, left);
        store_weight::<S>(weight, compute, moved, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, context, numbers};
    use crate::simd::float16::f32_to_bf16;

    const HYPER: [f64; 7] = [1e-3, 0.9, 0.95, 1e-8, 0.1, 0.19, 0.0975];

    struct State {
        weight: Vec<f32>,
        m: Vec<f32>,
        v: Vec<f32>,
        grad: Vec<f32>,
        compute: Vec<u16>,
    }

    fn state(count: usize) -> State {
        State {
            weight: numbers(count, 1),
            m: numbers(count, 2),
            v: numbers(count, 3).iter().map(|v| v * v).collect(),
            grad: numbers(count, 4),
            compute: vec![0; count],
        }
    }

    fn run(isa: Isa, state: &mut State, clip: [f32; 3], count: usize) {
        let tensors = Tensors {
            weight: state.weight.as_mut_ptr(),
            m: state.m.as_mut_ptr(),
            v: state.v.as_mut_ptr(),
            grad: state.grad.as_ptr(),
            compute: state.compute.as_mut_ptr(),
        };
        let numbers = (HYPER.as_ptr(), clip.as_ptr());
        unsafe { adamw_with(isa, context(), tensors, numbers, count) }.unwrap();
    }

    #[test]
    fn a_step_is_the_papers_and_touches_nothing_beyond() {
        let [lr, beta1, beta2, eps, decay, bias1, bias2] = HYPER;
        for count in [0, 1, 7, 33, 40_001] {
            for isa in Isa::available() {
                let (before, mut after) = (state(count + 1), state(count + 1));
                run(isa, &mut after, [2.0, 0.5, 1.0], count);
                let expected = |i: usize| {
                    let g = 0.5 * f64::from(before.grad[i]);
                    let m = beta1 * f64::from(before.m[i]) + (1.0 - beta1) * g;
                    let v = beta2 * f64::from(before.v[i]) + (1.0 - beta2) * g * g;
                    let w = f64::from(before.weight[i]);
                    let moved = m / bias1 / ((v / bias2).sqrt() + eps) + decay * w;
                    [w - lr * moved, m, v]
                };
                let want: Vec<_> = (0..count).map(expected).collect();
                let column = |c: usize| want.iter().map(|row| row[c]).collect::<Vec<_>>();
                assert_close(&after.weight[..count], &column(0), 1e-6, isa);
                assert_close(&after.m[..count], &column(1), 1e-6, isa);
                assert_close(&after.v[..count], &column(2), 1e-6, isa);
                for i in 0..count {
                    assert_eq!(after.compute[i], f32_to_bf16(after.weight[i]));
                }
                assert_eq!(after.weight[count], before.weight[count]);
                assert_eq!((after.m[count], after.compute[count]), (before.m[count], 0));
            }
        }
    }

    #[test]
    fn nothing_changes_where_the_gradient_is_not_finite() {
        for isa in Isa::available() {
            let mut after = state(100);
            after.grad[3] = f32::NAN;
            run(isa, &mut after, [f32::NAN, 1.0, 0.0], 100);
            let before = state(100);
            assert_eq!(after.weight, before.weight);
            assert_eq!((after.m, after.v), (before.m, before.v));
        }
    }

    #[test]
    fn moments_that_would_be_subnormal_are_zero() {
        for isa in Isa::available() {
            let mut after = state(20);
            after.m.fill(1.2e-38);
            after.v.fill(1.2e-38);
            after.grad.fill(0.0);
            run(isa, &mut after, [0.0, 1.0, 1.0], 20);
            assert_eq!(after.m, [0.0; 20]);
            assert_eq!(after.v, [0.0; 20]);
        }
    }
}
