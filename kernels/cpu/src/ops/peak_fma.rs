//! The arithmetic that the machine can do: fused multiply-adds that never leave the registers.

use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};
use core::sync::atomic::{AtomicU32, Ordering};

/// Independent chains: more than latency times throughput of any processor, fewer than its registers.
const CHAINS: usize = 12;

/// The kernel `peak_fma` of the table.
pub unsafe fn peak_fma(context: &Context, out: *mut f64, iterations: u32) -> Status {
    unsafe { peak_fma_on(isa(), context, out, iterations) }
}

/// `peak_fma` on a given instruction set.
pub unsafe fn peak_fma_on(isa: Isa, context: &Context, out: *mut f64, rounds: u32) -> Status {
    let threads = context.threads();
    let kept = AtomicU32::new(0);
    context.parallel(threads, &|_, _| {
        let value = unsafe { chains_on(isa, rounds) };
        kept.fetch_xor(value.to_bits(), Ordering::Relaxed);
    });
    let per_round = 2 * CHAINS * isa.lanes();
    unsafe {
        *out = threads as f64 * f64::from(rounds) * per_round as f64;
        *out.add(1) = f64::from(kept.into_inner());
    }
    Ok(())
}

per_isa! { unsafe fn chains_on = chains(rounds: u32) -> f32; }

#[inline(always)]
unsafe fn chains<S: Simd>(rounds: u32) -> f32 {
    unsafe {
        let mut sums = [S::zero(); CHAINS];
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = S::splat(i as f32);
        }
        // Values that the compiler does not know, and that neither grow nor become subnormal.
        let by = S::splat(core::hint::black_box(0.999));
        let plus = S::splat(core::hint::black_box(0.001));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = S::fma(*sum, by, plus);
            }
        }
        let mut total = sums[0];
        for &sum in &sums[1..] {
            total = S::add(total, sum);
        }
        S::reduce_add(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_counts_two_operations_per_lane_and_chain() {
        for isa in Isa::available() {
            let context = Context::new(1);
            let mut out = [0f64; 2];
            unsafe { peak_fma_on(isa, &context, out.as_mut_ptr(), 100) }.unwrap();
            let operations = 100 * 2 * CHAINS * isa.lanes() * context.threads();
            assert_eq!(out[0], operations as f64);
        }
    }
}
