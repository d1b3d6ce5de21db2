//! Log-probability of a target and log-sum-exp of a row of logits: the head's score.

use super::chunks::{Shared, in_rows};
use super::exp_sum::{exp_sum, shift_of};
use super::ln::ln;
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};

/// log_z[r] = log sum exp logits[r,:]; log_prob[r] = logits[r,targets[r]] - log_z[r], and 0 where the
/// target is negative. The difference is taken before it is rounded, so that large logits cost it
/// nothing.
pub unsafe fn score(
    context: &Context,
    log_prob: *mut f32,
    log_z: *mut f32,
    logits: *const f32,
    targets: *const i32,
    rows: u32,
    vocab: u32,
) -> Status {
    let outputs = (log_prob, log_z);
    let shape = (rows as usize, vocab as usize);
    unsafe { score_with(isa(), context, outputs, logits, targets, shape) }
}

unsafe fn score_with(
    isa: Isa,
    context: &Context,
    (log_prob, log_z): (*mut f32, *mut f32),
    logits: *const f32,
    targets: *const i32,
    (rows, vocab): (usize, usize),
) -> Status {
    if vocab == 0 {
        return Err("vocab must be at least 1");
    }
    if (0..rows).any(
        |row| unsafe { *targets.add(row) } >= 0 && unsafe { *targets.add(row) } as usize >= vocab,
    ) {
        return Err("a target is not below vocab");
    }
    let shared = Shared::new((log_prob, log_z, logits, targets));
    in_rows(context, rows, vocab, &|first, last| {
        let (log_prob, log_z, logits, targets) = shared.get();
        for row in first..last {
            unsafe {
                let x = logits.add(row * vocab);
                let (shift, log_sum) = log_sum_exp_on(isa, x, vocab);
                *log_z.add(row) = (shift + log_sum) as f32;
                let target = *targets.add(row);
                *log_prob.add(row) = if target < 0 {
                    0.0
                } else {
                    ((f64::from(*x.add(target as usize)) - shift) - log_sum) as f32
                };
            }
        }
    });
    Ok(())
}

/// The log-sum-exp of a row in two parts: its shift, and the logarithm of the shifted sum.
#[inline(always)]
unsafe fn log_sum_exp<S: Simd>(x: *const f32, dim: usize) -> (f64, f64) {
    unsafe {
        let shift = shift_of::<S>(x, dim);
        let total = exp_sum::<S>(core::ptr::null_mut(), x, dim, shift);
        (f64::from(shift), ln(total))
    }
}
per_isa! { unsafe fn log_sum_exp_on = log_sum_exp(x: *const f32, dim: usize) -> (f64, f64); }

/// The plain reference, in double precision.
#[cfg(test)]
mod reference {
    pub fn log_sum_exp(x: &[f32]) -> f64 {
        let largest = x
            .iter()
            .fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v)));
        let total: f64 = x.iter().map(|&v| (f64::from(v) - largest).exp()).sum();
        largest + total.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{context, numbers};

    fn run(
        isa: Isa,
        logits: &[f32],
        targets: &[i32],
    ) -> Result<(Vec<f32>, Vec<f32>), &'static str> {
        let rows = targets.len();
        let (mut log_prob, mut log_z) = (vec![7.0; rows], vec![7.0; rows]);
        let outputs = (log_prob.as_mut_ptr(), log_z.as_mut_ptr());
        let shape = (rows, logits.len() / rows);
        let (x, t) = (logits.as_ptr(), targets.as_ptr());
        unsafe { score_with(isa, context(), outputs, x, t, shape) }?;
        Ok((log_prob, log_z))
    }

    #[test]
    fn score_agrees_with_double_precision_to_one_part_in_a_million() {
        for vocab in [1, 2, 7, 512, 1029, 32_000, 128_256] {
            for shift in [0.0, 1000.0] {
                let logits: Vec<f32> = numbers(2 * vocab, 1)
                    .iter()
                    .map(|v| v * 6.0 + shift)
                    .collect();
                let targets = [vocab as i32 - 1, -100];
                for isa in Isa::available() {
                    let (log_prob, log_z) = run(isa, &logits, &targets).unwrap();
                    for (row, log_z) in logits.chunks(vocab).zip(&log_z) {
                        let want = reference::log_sum_exp(row);
                        let off = (f64::from(*log_z) - want).abs();
                        assert!(
                            off <= 1e-6 * want.abs().max(1.0),
                            "{isa:?} {vocab}: {off:e}"
                        );
                    }
                    let want =
                        f64::from(logits[vocab - 1]) - reference::log_sum_exp(&logits[..vocab]);
                    let off = (f64::from(log_prob[0]) - want).abs();
                    assert!(
                        off <= 1e-6 * want.abs().max(1.0),
                        "{isa:?} {vocab}: {off:e}"
                    );
                    assert_eq!(log_prob[1], 0.0);
                }
            }
        }
    }

    #[test]
    fn infinite_logits_give_the_infinite_sum() {
        let none = f32::NEG_INFINITY;
        for isa in Isa::available() {
            assert_eq!(run(isa, &[none; 9], &[-1]).unwrap().1[0], none);
            assert_eq!(
                run(isa, &[0.0, f32::INFINITY, 1.0], &[-1]).unwrap().1[0],
                f32::INFINITY
            );
            assert_eq!(
                run(isa, &[none, 3.0, none], &[1]).unwrap(),
                (vec![0.0], vec![3.0])
            );
        }
    }

    #[test]
    fn a_target_outside_the_vocabulary_is_refused() {
        assert_eq!(
            run(Isa::Scalar, &[0.0; 6], &[0, 3]),
            Err("a target is not below vocab")
        );
    }
}
