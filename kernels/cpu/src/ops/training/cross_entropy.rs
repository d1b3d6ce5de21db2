//! Cross-entropy with PaLM's z-loss, and its gradient in place of the logits.

use crate::context::{Context, Status};
use crate::ops::exp_sum::{exp_sum, shift_of};
use crate::ops::ln::ln;
use crate::ops::training::targets::Targets;
use crate::simd::{Isa, Simd, isa, per_isa};

/// Arguments of the kernel.
#[derive(Clone, Copy)]
struct Loss {
    logits: *mut f32,
    log_prob: *mut f32,
    log_z: *mut f32,
    targets: *const i32,
    weights: *const f32,
    rows: usize,
    vocab: usize,
    z_loss: f32,
}

/// The kernel `cross_entropy` of the table.
pub unsafe fn cross_entropy(
    context: &Context,
    logits: *mut f32,
    log_prob: *mut f32,
    log_z: *mut f32,
    targets: *const i32,
    weights: *const f32,
    rows: u32,
    vocab: u32,
    z_loss: f32,
) -> Status {
    let loss = Loss {
        logits,
        log_prob,
        log_z,
        targets,
        weights,
        rows: rows as usize,
        vocab: vocab as usize,
        z_loss,
    };
    unsafe { loss_with(isa(), context, &loss) }
}

unsafe fn loss_with(isa: Isa, context: &Context, loss: &Loss) -> Status {
    let targets = unsafe { Targets::checked(loss.targets, loss.rows, loss.vocab) }?;
    targets.each_row(context, loss, |loss, row| unsafe { row_on(isa, loss, row) });
    Ok(())
}

#[inline(always)]
unsafe fn row<S: Simd>(loss: &Loss, row: usize) {
    unsafe {
        let vocab = loss.vocab;
        let x = loss.logits.add(row * vocab);
        let (target, weight) = (*loss.targets.add(row), *loss.weights.add(row));
        let shift = shift_of::<S>(x, vocab);
        // The logit is read before its exponential takes its place.
        let chosen = if target < 0 {
            0.0
        } else {
            f64::from(*x.add(target as usize))
        };
        let total = exp_sum::<S>(x, x, vocab, shift);
        let log_sum = ln(total);
        let log_z = f64::from(shift) + log_sum;
        *loss.log_z.add(row) = log_z as f32;
        *loss.log_prob.add(row) = match target {
            ..0 => 0.0,
            _ => ((chosen - f64::from(shift)) - log_sum) as f32,
        };
        if target < 0 || weight == 0.0 {
            // Not a product, for an infinite logit times 0 is no number.
            core::ptr::write_bytes(x, 0, vocab);
            return;
        }
        let pull = 1.0 + 2.0 * f64::from(loss.z_loss) * log_z;
        let factor = S::splat((f64::from(weight) * pull / total) as f32);
        for i in (0..vocab).step_by(S::LANES) {
            let count = vocab - i;
            S::store_first(
                x.add(i),
                S::mul(S::load_first(x.add(i), count), factor),
                count,
            );
        }
        *x.add(target as usize) -= weight;
    }
}
per_isa! { unsafe fn row_on = row(loss: &Loss, index: usize); }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, context, numbers};

    /// The logits' gradient, log_prob and log_z.
    fn run(
        isa: Isa,
        logits: &[f32],
        targets: &[i32],
        weights: &[f32],
        z_loss: f32,
    ) -> Result<[Vec<f32>; 3], &'static str> {
        let rows = targets.len();
        let mut results = [logits.to_vec(), vec![7.0; rows], vec![7.0; rows]];
        let [gradient, log_prob, log_z] = &mut results;
        let loss = Loss {
            logits: gradient.as_mut_ptr(),
            log_prob: log_prob.as_mut_ptr(),
            log_z: log_z.as_mut_ptr(),
            targets: targets.as_ptr(),
            weights: weights.as_ptr(),
            rows,
            vocab: logits.len() / rows,
            z_loss,
        };
        unsafe { loss_with(isa, context(), &loss) }?;
        Ok(results)
    }

    #[test]
    fn gradient_and_loss_agree_with_double_precision_on_every_instruction_set() {
        for vocab in [1, 2, 7, 512, 1029, 32_000] {
            let logits: Vec<f32> = numbers(2 * vocab, 1).iter().map(|v| v * 6.0).collect();
            let (target, weight, z_loss) = (vocab - 1, 0.75f32, 0.01f32);
            let x: Vec<f64> = logits[..vocab].iter().map(|&v| f64::from(v)).collect();
            let total: f64 = x.iter().map(|v| v.exp()).sum();
            let log_z = total.ln();
            let pull = 1.0 + 2.0 * f64::from(z_loss) * log_z;
            let want: Vec<f64> = (0..vocab)
                .map(|i| {
                    let chosen = if i == target { 1.0 } else { 0.0 };
                    f64::from(weight) * (x[i].exp() / total * pull - chosen)
                })
                .collect();
            for isa in Isa::available() {
                let targets = [target as i32, -100];
                let [gradient, log_prob, got_z] =
                    run(isa, &logits, &targets, &[weight, 1.0], z_loss).unwrap();
                assert_close(&gradient[..vocab], &want, 1e-6, isa);
                assert_close(&log_prob[..1], &[x[target] - log_z], 1e-6, isa);
                assert_close(&got_z[..1], &[log_z], 1e-6, isa);
                assert!(gradient[vocab..].iter().all(|&v| v == 0.0));
                assert_eq!(log_prob[1], 0.0);
            }
        }
    }

    #[test]
    fn extreme_logits_give_finite_gradients_and_rows_without_weight_give_none() {
        let (none, large) = (f32::NEG_INFINITY, 3e38);
        for isa in Isa::available() {
            let logits = [large, 0.0, -large, none, 1e4, 9999.0, -1e4, none];
            let [gradient, log_prob, log_z] = run(isa, &logits, &[0, 0], &[1.0, 1.0], 0.0).unwrap();
            assert!(
                gradient.iter().all(|v| v.is_finite()),
                "{isa:?}: {gradient:?}"
            );
            assert!((gradient[4] + 0.268_941_4).abs() < 1e-6 && gradient[7] == 0.0);
            assert_eq!((log_prob[0], log_z[0]), (0.0, large));
            let lost = [f32::INFINITY, 1.0, f32::NAN, 1.0];
            let [gradient, ..] = run(isa, &lost, &[1, 1], &[0.0, 0.0], 1e-4).unwrap();
            assert_eq!(gradient, [0.0; 4], "{isa:?}");
        }
    }

    #[test]
    fn a_target_outside_the_vocabulary_is_refused_and_nothing_is_changed() {
        let refused = run(Isa::Scalar, &[0.0; 6], &[0, 3], &[1.0; 2], 0.0);
        assert_eq!(refused, Err("a target is not below vocab"));
    }
}
