//! Cross-entropy with PaLM's z-loss, and its gradient in place of the logits.

use crate::context::{Context, Status};
use crate::ops::chunks::{Shared, in_rows};
use crate::ops::exp_sum::{exp_sum, shift_of};
use crate::ops::ln::ln;
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
    if loss.vocab == 0 {
        return Err("vocab must be at least 1");
    }
    let target = |row| unsafe { *loss.targets.add(row) };
    if (0..loss.rows).any(|row| target(row) >= 0 && target(row) as usize >= loss.vocab) {
        return Err("a target is not below vocab");
    }
    let shared = Shared::new(loss);
    in_rows(context, loss.rows, loss.vocab, &|first, last| {
        let loss = shared.get();
        for row in first..last {
            unsafe { row_on(isa, loss, row) };
        }
    });
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
