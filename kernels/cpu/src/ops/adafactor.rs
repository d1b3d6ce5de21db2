//! PaLM's Adafactor: unfactored second moments, parameter scaling, momentum over the scaled update.

use super::chunks::Shared;
use super::moments::{
    Tensors, check_parts, each_part, in_parts, store_weight, sum_parts, without_subnormal,
};
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa, square_root_f64};

/// Added to every square of a gradient.
const EPS: f32 = 1e-30;
/// The least root mean square of the weights that scales a step.
const LEAST_SCALE: f64 = 1e-3;

/// What the first pass needs.
#[derive(Clone, Copy)]
struct Second {
    clip: f32,
    beta2: f32,
    one_minus_beta2: f32,
}

impl Second {
    fn new(hyper: &[f64; 5], clip: f32) -> Second {
        let beta2 = hyper[2];
        Second {
            clip,
            beta2: beta2 as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
        }
    }
}

/// What the second pass needs.
#[derive(Clone, Copy)]
struct Move {
    clip: f32,
    beta1: f32,
    /// Factor of g / sqrt(v) in the momentum.
    rate: f32,
    /// 1 - decay
    keep: f32,
}

impl Move {
    /// From the sums of weight^2 and (g / sqrt(v))^2 over all `count` elements of a tensor.
    fn new(hyper: &[f64; 5], clip: f32, totals: [f64; 2], count: usize) -> Move {
        let [lr, beta1, _, limit, decay] = *hyper;
        let [weight_rms, update_rms] = totals.map(|sum| square_root_f64(sum / count as f64));
        let excess = if limit > 0.0 { update_rms / limit } else { 1.0 };
        let scale = lr * weight_rms.max(LEAST_SCALE) / excess.max(1.0);
        Move {
            clip,
            beta1: beta1 as f32,
            rate: ((1.0 - beta1) * scale) as f32,
            keep: (1.0 - decay) as f32,
        }
    }
}

/// The kernel `adafactor` of the table.
pub unsafe fn adafactor(
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
    unsafe { adafactor_with(isa(), context, tensors, (hyper, clip), count) }
}

unsafe fn adafactor_with(
    isa: Isa,
    context: &Context,
    tensors: Tensors,
    (hyper, clip): (*const f64, *const f32),
    count: usize,
) -> Status {
    let (clip, moves) = unsafe { (*clip.add(1), *clip.add(2) != 0.0) };
    if !moves || count == 0 {
        return Ok(());
    }
    let hyper = unsafe { &*hyper.cast::<[f64; 5]>() };
    let second = Second::new(hyper, clip);
    let shared = Shared::new(tensors);
    let totals = sum_parts(context, count, &|at, count| unsafe {
        second_on(isa, shared.get().from(at), second, count)
    });
    let step = Move::new(hyper, clip, totals, count);
    in_parts(context, count, &|_, at, count| unsafe {
        move_on(isa, shared.get().from(at), step, count);
    });
    Ok(())
}

/// The kernel `adafactor_moments` of the table: the first pass over what is here of a tensor.
pub unsafe fn adafactor_moments(
    context: &Context,
    sums: *mut f64,
    weight: *const f32,
    v: *mut f32,
    grad: *const f32,
    hyper: *const f64,
    clip: *const f32,
    parts: usize,
    count: usize,
) -> Status {
    check_parts(parts, count)?;
    let (clip, moves) = unsafe { (*clip.add(1), *clip.add(2) != 0.0) };
    let (weight, m, compute) = (weight.cast_mut(), v, core::ptr::null_mut());
    #[rustfmt::skip]
    let shared = Shared::new(Tensors { weight, m, v, grad, compute });
    let second = Second::new(unsafe { &*hyper.cast() }, clip);
    let isa = isa();
    unsafe {
        each_part(context, count, sums.cast(), &|at, count| match moves {
            true => second_on(isa, shared.get().from(at), second, count),
            false => [0.0; 2],
        });
    }
    Ok(())
}

/// The kernel `adafactor_move` of the table: the second pass over what is here of a tensor.
pub unsafe fn adafactor_move(
    context: &Context,
    weight: *mut f32,
    m: *mut f32,
    v: *const f32,
    grad: *const f32,
    totals: *const f64,
    hyper: *const f64,
    clip: *const f32,
    compute: *mut u8,
    whole: usize,
    count: usize,
) -> Status {
    if whole < count {
        return Err("whole must be at least count");
    }
    let (clip, moves) = unsafe { (*clip.add(1), *clip.add(2) != 0.0) };
    if !moves || count == 0 {
        return Ok(());
    }
    let (v, compute) = (v.cast_mut(), compute.cast::<u16>());
    #[rustfmt::skip]
    let shared = Shared::new(Tensors { weight, m, v, grad, compute });
    let step = unsafe { Move::new(&*hyper.cast(), clip, *totals.cast(), whole) };
    let isa = isa();
    in_parts(context, count, &|_, at, count| unsafe {
        move_on(isa, shared.get().from(at), step, count);
    });
    Ok(())
}

per_isa! { unsafe fn second_on = second_moments(tensors: Tensors, second: Second, count: usize) -> [f64; 2]; }
per_isa! { unsafe fn move_on = move_weights(tensors: Tensors, step: Move, count: usize); }

/// Vectors whose squares are summed in single precision before they join the double sum.
const RUN: usize = 64;

/// Updates second moments; gives the sums of weight^2 and (g / sqrt(v))^2.
#[inline(always)]
unsafe fn second_moments<S: Simd>(tensors: Tensors, second: Second, count: usize) -> [f64; 2] {
    unsafe {
        let mut totals = [0f64; 2];
        for from in (0..count).step_by(RUN * S::LANES) {
            let end = count.min(from + RUN * S::LANES);
            let mut sums = [S::zero(); 2];
            for i in (from..end).step_by(S::LANES) {
                let (tensors, left) = (tensors.from(i), end - i);
                let w = S::load_first(tensors.weight, left);
                let g = S::load_first(tensors.grad, left);
                let g = S::mul(g, S::splat(second.clip));
                let new = S::fma(g, g, S::splat(EPS));
                let new = S::mul(new, S::splat(second.one_minus_beta2));
                let old = S::load_first(tensors.v, left);
                let square = S::fma(old, S::splat(second.beta2), new);
                let square = without_subnormal::<S>(square);
                S::store_first(tensors.v, square, left);
                let y = update::<S>(g, square);
                sums = [S::fma(w, w, sums[0]), S::fma(y, y, sums[1])];
            }
            totals[0] += f64::from(S::reduce_add(sums[0]));
            totals[1] += f64::from(S::reduce_add(sums[1]));
        }
        totals
    }
}

/// g / sqrt(v), and 0 where both are.
#[inline(always)]
unsafe fn update<S: Simd>(g: S::F32, v: S::F32) -> S::F32 {
    unsafe { S::div(g, S::sqrt(S::max(v, S::splat(f32::MIN_POSITIVE)))) }
}

/// Updates momentum and weights.
#[inline(always)]
unsafe fn move_weights<S: Simd>(tensors: Tensors, step: Move, count: usize) {
    unsafe {
        for i in (0..count).step_by(S::LANES) {
            let (tensors, left) = (tensors.from(i), count - i);
            let g = S::load_first(tensors.grad, left);
            let g = S::mul(g, S::splat(step.clip));
            let y = update::<S>(g, S::load_first(tensors.v, left));
            let kept = S::mul(S::load_first(tensors.m, left), S::splat(step.beta1));
            let momentum = without_subnormal::<S>(S::fma(y, S::splat(step.rate), kept));
            S::store_first(tensors.m, momentum, left);
            let kept = S::mul(S::load_first(tensors.weight, left), S::splat(step.keep));
            let moved = S::sub(kept, momentum);
            store_weight::<S>(tensors.weight, tensors.compute, moved, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, context, numbers};
    use crate::simd::float16::f32_to_bf16;

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

    fn run(isa: Isa, state: &mut State, hyper: [f64; 5], clip: [f32; 3], count: usize) {
        let tensors = Tensors {
            weight: state.weight.as_mut_ptr(),
            m: state.m.as_mut_ptr(),
            v: state.v.as_mut_ptr(),
            grad: state.grad.as_ptr(),
            compute: state.compute.as_mut_ptr(),
        };
        let numbers = (hyper.as_ptr(), clip.as_ptr());
        unsafe { adafactor_with(isa, context(), tensors, numbers, count) }.unwrap();
    }

    fn rms(x: &[f64]) -> f64 {
        (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt()
    }

    /// The formula of the table in double precision: weights, momentum, second moments.
    fn truth(before: &State, hyper: [f64; 5], clip: f64, count: usize) -> [Vec<f64>; 3] {
        let [lr, beta1, beta2, limit, decay] = hyper;
        let wide = |x: &[f32]| x[..count].iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let (w, m, v) = (wide(&before.weight), wide(&before.m), wide(&before.v));
        let g: Vec<f64> = wide(&before.grad).iter().map(|g| g * clip).collect();
        let blend = |i: usize| beta2 * v[i] + (1.0 - beta2) * (g[i] * g[i] + 1e-30);
        let v: Vec<f64> = (0..count).map(blend).collect();
        let y: Vec<f64> = (0..count).map(|i| g[i] / v[i].sqrt()).collect();
        let excess = if limit > 0.0 {
            (rms(&y) / limit).max(1.0)
        } else {
            1.0
        };
        let scale = lr * rms(&w).max(1e-3) / excess;
        let momentum = |i: usize| beta1 * m[i] + (1.0 - beta1) * scale * y[i];
        let m: Vec<f64> = (0..count).map(momentum).collect();
        let w = (0..count).map(|i| (1.0 - decay) * w[i] - m[i]).collect();
        [w, m, v]
    }

    #[test]
    fn a_step_is_the_formula_with_and_without_a_limit_on_the_update() {
        for (count, beta2, limit) in [(1, 0.0, 1.0), (37, 0.7, 0.4), (70_001, 0.9, 0.0)] {
            let hyper = [1e-2, 0.9, beta2, limit, 1e-4];
            for isa in Isa::available() {
                let (before, mut after) = (state(count + 1), state(count + 1));
                run(isa, &mut after, hyper, [2.0, 0.5, 1.0], count);
                let [w, m, v] = truth(&before, hyper, 0.5, count);
                assert_close(&after.weight[..count], &w, 1e-6, isa);
                assert_close(&after.m[..count], &m, 1e-6, isa);
                assert_close(&after.v[..count], &v, 1e-6, isa);
                for i in 0..count {
                    assert_eq!(after.compute[i], f32_to_bf16(after.weight[i]));
                }
                assert_eq!(after.weight[count], before.weight[count]);
                assert_eq!(
                    (after.m[count], after.v[count]),
                    (before.m[count], before.v[count])
                );
            }
        }
    }

    #[test]
    fn halves_over_parts_of_a_tensor_are_the_whole_step() {
        let count = 70_001;
        let hyper = [1e-2, 0.9, 0.7, 0.4, 1e-4];
        let clip = [2.0, 0.5, 1.0];
        let (mut whole, mut cut) = (state(count), state(count));
        run(isa(), &mut whole, hyper, clip, count);
        let mut sums = [[0f64; 2]; 3];
        let ranges = [(0, 32_768), (32_768, count - 32_768)];
        for (at, here) in ranges {
            let parts = here.div_ceil(32_768);
            unsafe {
                adafactor_moments(
                    context(),
                    sums.as_mut_ptr().add(at / 32_768).cast(),
                    cut.weight.as_ptr().add(at),
                    cut.v.as_mut_ptr().add(at),
                    cut.grad.as_ptr().add(at),
                    hyper.as_ptr(),
                    clip.as_ptr(),
                    parts,
                    here,
                )
            }
            .unwrap();
        }
        let totals = sums.iter().fold([0f64; 2], |[a, b], [c, d]| [a + c, b + d]);
        for (at, here) in ranges {
            unsafe {
                adafactor_move(
                    context(),
                    cut.weight.as_mut_ptr().add(at),
                    cut.m.as_mut_ptr().add(at),
                    cut.v.as_ptr().add(at),
                    cut.grad.as_ptr().add(at),
                    totals.as_ptr(),
                    hyper.as_ptr(),
                    clip.as_ptr(),
                    cut.compute.as_mut_ptr().add(at).cast(),
                    count,
                    here,
                )
            }
            .unwrap();
        }
        assert_eq!(cut.weight, whole.weight);
        assert_eq!((cut.m, cut.v), (whole.m, whole.v));
        assert_eq!(cut.compute, whole.compute);
    }

    #[test]
    fn nothing_changes_where_the_gradient_is_not_finite() {
        for isa in Isa::available() {
            let mut after = state(100);
            after.grad[3] = f32::INFINITY;
            run(
                isa,
                &mut after,
                [1e-2, 0.9, 0.5, 1.0, 1e-4],
                [f32::INFINITY, 1.0, 0.0],
                100,
            );
            let before = state(100);
            assert_eq!(after.weight, before.weight);
            assert_eq!((after.m, after.v), (before.m, before.v));
        }
    }
}
