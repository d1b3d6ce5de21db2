//! Cross-entropy where every rank has a part of the vocabulary (Shoeybi et al. 2019, section 3): what
//! a part knows of its rows, and the gradient once the parts have been put together.

use crate::context::{Context, Status};
use crate::ops::exp_sum::{exp_sum, shift_of};
use crate::ops::training::targets::Targets;
use crate::simd::{Isa, Simd, isa, per_isa};

/// Arguments of the first kernel.
#[derive(Clone, Copy)]
struct Part {
    exponentials: *mut f32,
    shift: *mut f32,
    sum: *mut f32,
    chosen: *mut f32,
    logits: *const f32,
    targets: *const i32,
    rows: usize,
    vocab: usize,
}

/// Arguments of the second.
#[derive(Clone, Copy)]
struct Gradient {
    logits: *mut f32,
    factors: *const f32,
    weights: *const f32,
    targets: *const i32,
    rows: usize,
    vocab: usize,
}

/// The kernel `score_part` of the table.
pub unsafe fn score_part(
    context: &Context,
    exponentials: *mut f32,
    shift: *mut f32,
    sum: *mut f32,
    chosen: *mut f32,
    logits: *const f32,
    targets: *const i32,
    rows: u32,
    vocab: u32,
) -> Status {
    let (rows, vocab) = (rows as usize, vocab as usize);
    let part = Part {
        exponentials,
        shift,
        sum,
        chosen,
        logits,
        targets,
        rows,
        vocab,
    };
    unsafe { score_with(isa(), context, &part) }
}

/// The kernel `cross_entropy_part` of the table.
pub unsafe fn cross_entropy_part(
    context: &Context,
    logits: *mut f32,
    factors: *const f32,
    weights: *const f32,
    targets: *const i32,
    rows: u32,
    vocab: u32,
) -> Status {
    let (rows, vocab) = (rows as usize, vocab as usize);
    let gradient = Gradient {
        logits,
        factors,
        weights,
        targets,
        rows,
        vocab,
    };
    unsafe { gradient_with(isa(), context, &gradient) }
}

unsafe fn score_with(isa: Isa, context: &Context, part: &Part) -> Status {
    let targets = unsafe { Targets::checked(part.targets, part.rows, part.vocab) }?;
    targets.each_row(context, part, |part, row| unsafe {
        score_row_on(isa, part, row)
    });
    Ok(())
}

#[inline(always)]
unsafe fn score_row<S: Simd>(part: &Part, row: usize) {
    unsafe {
        let x = part.logits.add(row * part.vocab);
        let target = *part.targets.add(row);
        // The logit is read before its exponential takes its place.
        *part.chosen.add(row) = match target {
            ..0 => 0.0,
            _ => *x.add(target as usize),
        };
        let shift = shift_of::<S>(x, part.vocab);
        let to = match part.exponentials.is_null() {
            true => part.exponentials,
            false => part.exponentials.add(row * part.vocab),
        };
        *part.shift.add(row) = shift;
        *part.sum.add(row) = exp_sum::<S>(to, x, part.vocab, shift) as f32;
    }
}
per_isa! { unsafe fn score_row_on = score_row(part: &Part, index: usize); }

unsafe fn gradient_with(isa: Isa, context: &Context, gradient: &Gradient) -> Status {
    let targets = unsafe { Targets::checked(gradient.targets, gradient.rows, gradient.vocab) }?;
    targets.each_row(context, gradient, |gradient, row| unsafe {
        gradient_row_on(isa, gradient, row)
    });
    Ok(())
}

#[inline(always)]
unsafe fn gradient_row<S: Simd>(gradient: &Gradient, row: usize) {
    unsafe {
        let vocab = gradient.vocab;
        let x = gradient.logits.add(row * vocab);
        let (target, weight) = (*gradient.targets.add(row), *gradient.weights.add(row));
        if weight == 0.0 {
            // Not a product, for an infinite exponential times 0 is no number.
            core::ptr::write_bytes(x, 0, vocab);
            return;
        }
        let factor = S::splat(*gradient.factors.add(row));
        for i in (0..vocab).step_by(S::LANES) {
            let scaled = S::mul(S::load_first(x.add(i), vocab - i), factor);
            S::store_first(x.add(i), scaled, vocab - i);
        }
        if target >= 0 {
            *x.add(target as usize) -= weight;
        }
    }
}
per_isa! { unsafe fn gradient_row_on = gradient_row(gradient: &Gradient, index: usize); }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, context, numbers};

    /// Exponentials, shift, sum and chosen.
    fn score(isa: Isa, logits: &[f32], targets: &[i32]) -> [Vec<f32>; 4] {
        let rows = targets.len();
        let one = || vec![7.0; rows];
        let mut results = [logits.to_vec(), one(), one(), one()];
        let [exponentials, shift, sum, chosen] = results.each_mut().map(|v| v.as_mut_ptr());
        let part = Part {
            exponentials,
            shift,
            sum,
            chosen,
            logits: exponentials,
            targets: targets.as_ptr(),
            rows,
            vocab: logits.len() / rows,
        };
        unsafe { score_with(isa, context(), &part) }.unwrap();
        results
    }

    #[test]
    fn parts_put_together_give_the_softmax_of_the_whole_on_every_instruction_set() {
        for vocab in [2, 7, 513, 32_000] {
            let logits: Vec<f32> = numbers(vocab, 1).iter().map(|v| v * 6.0).collect();
            let (target, weight, cut) = (vocab - 1, 0.75f32, vocab / 3 + 1);
            let total: f64 = logits.iter().map(|&v| f64::from(v).exp()).sum();
            for isa in Isa::available() {
                let here = |first: usize, last: usize| {
                    let local = (first..last).contains(&target);
                    if local { (target - first) as i32 } else { -1 }
                };
                for (first, last) in [(0, cut), (cut, vocab)] {
                    if first == last {
                        continue;
                    }
                    let targets = [here(first, last)];
                    let [mut exps, shift, sum, chosen] = score(isa, &logits[first..last], &targets);
                    let scale = f64::from(shift[0]).exp();
                    let want: f64 = logits[first..last]
                        .iter()
                        .map(|&v| f64::from(v).exp())
                        .sum();
                    assert_close(&sum, &[want / scale], 1e-6, isa);
                    let want = if targets[0] < 0 { 0.0 } else { logits[target] };
                    assert_eq!(chosen[0], want);
                    let factor = [(f64::from(weight) * scale / total) as f32];
                    let gradient = Gradient {
                        logits: exps.as_mut_ptr(),
                        factors: factor.as_ptr(),
                        weights: &weight,
                        targets: targets.as_ptr(),
                        rows: 1,
                        vocab: last - first,
                    };
                    unsafe { gradient_with(isa, context(), &gradient) }.unwrap();
                    let want: Vec<f64> = (first..last)
                        .map(|i| {
                            let one = if i == target { 1.0 } else { 0.0 };
                            f64::from(weight) * (f64::from(logits[i]).exp() / total - one)
                        })
                        .collect();
                    assert_close(&exps, &want, 1e-6, isa);
                }
            }
        }
    }

    #[test]
    fn rows_without_weight_are_zeroed_whatever_they_hold() {
        for isa in Isa::available() {
            let [mut exps, ..] = score(isa, &[f32::INFINITY, f32::NAN, 1.0], &[-1]);
            let gradient = Gradient {
                logits: exps.as_mut_ptr(),
                factors: &1.0,
                weights: &0.0,
                targets: &-1,
                rows: 1,
                vocab: 3,
            };
            unsafe { gradient_with(isa, context(), &gradient) }.unwrap();
            assert_eq!(exps, [0.0; 3]);
        }
    }

    #[test]
    fn a_target_outside_the_part_is_refused() {
        let (mut logits, mut one) = ([0.0f32; 3], [0.0f32; 1]);
        let at = logits.as_mut_ptr();
        let [shift, sum, chosen] = [one.as_mut_ptr(); 3];
        let none = core::ptr::null_mut();
        let status = unsafe { score_part(context(), none, shift, sum, chosen, at, &3, 1, 3) };
        assert_eq!(status, Err("a target is not below vocab"));
        let status = unsafe { cross_entropy_part(context(), at, &1.0, &1.0, &3, 1, 3) };
        assert_eq!(status, Err("a target is not below vocab"));
    }
}
