//! The bandwidth at which memory can be read: sums of a large array by several loops, since none of
//! them is the fastest on every machine.

use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};
use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes that are claimed at once.
const CHUNK_BYTES: usize = 256 << 10;

/// How far ahead of its use memory is asked for, in bytes.
const AHEAD: usize = 1024;

/// The kernel `peak_read` of the table.
pub unsafe fn peak_read(
    context: &Context,
    out: *mut f64,
    x: *const f32,
    bytes: usize,
    variant: u32,
) -> Status {
    unsafe { peak_read_on(isa(), context, out, x, bytes, variant) }
}

struct Source(*const f32);
unsafe impl Sync for Source {}

/// `peak_read` on a given instruction set.
pub unsafe fn peak_read_on(
    isa: Isa,
    context: &Context,
    out: *mut f64,
    x: *const f32,
    bytes: usize,
    variant: u32,
) -> Status {
    if variant > 2 {
        return Err("variant is 0, 1 or 2");
    }
    let source = Source(x);
    let count = bytes / 4;
    let chunk_floats = CHUNK_BYTES / 4;
    let kept = AtomicU32::new(0);
    let source = &source;
    context.parallel(count.div_ceil(chunk_floats), &|chunk, _| {
        let first = chunk * chunk_floats;
        let size = chunk_floats.min(count - first);
        let sum = unsafe { sum_on(isa, source.0.add(first), size, variant) };
        kept.fetch_xor(sum.to_bits(), Ordering::Relaxed);
    });
    unsafe { *out = f64::from(f32::from_bits(kept.into_inner())) };
    Ok(())
}

per_isa! { unsafe fn sum_on = sum(x: *const f32, count: usize, variant: u32) -> f32; }

#[inline(always)]
unsafe fn sum<S: Simd>(x: *const f32, count: usize, variant: u32) -> f32 {
    unsafe {
        match variant {
            0 => streams::<S, 1, 8>(x, count, 0),
            1 => streams::<S, 4, 2>(x, count, 0),
            _ => streams::<S, 8, 1>(x, count, AHEAD),
        }
    }
}

/// Sums `STREAMS` equal parts side by side, `VECTORS` vectors of each at a time.
#[inline(always)]
unsafe fn streams<S: Simd, const STREAMS: usize, const VECTORS: usize>(
    x: *const f32,
    count: usize,
    ahead: usize,
) -> f32 {
    unsafe {
        let step = VECTORS * S::LANES;
        let part = count / STREAMS / step * step;
        let mut sums = [[S::zero(); VECTORS]; STREAMS];
        let mut at = 0;
        while at < part {
            for (s, sums) in sums.iter_mut().enumerate() {
                let from = x.add(s * part + at);
                if ahead > 0 {
                    S::prefetch(from.cast::<u8>().wrapping_add(ahead));
                }
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = S::add(*sum, S::load(from.add(v * S::LANES)));
                }
            }
            at += step;
        }
        let mut total = S::zero();
        for sum in sums.as_flattened() {
            total = S::add(total, *sum);
        }
        for i in (STREAMS * part..count).step_by(S::LANES) {
            total = S::add(total, S::load_first(x.add(i), count - i));
        }
        S::reduce_add(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_reads_every_element_once() {
        for isa in Isa::available() {
            for variant in 0..3 {
                for count in [0usize, 1, 7, 64, 1000, 65536, 65539] {
                    // Whole numbers whose sums are exact in any order.
                    let x: Vec<f32> = (0..count).map(|i| (i % 3) as f32).collect();
                    let context = Context::new(1);
                    let mut out = f64::NAN;
                    let (to, bytes) = (&mut out as *mut f64, count * 4);
                    unsafe { peak_read_on(isa, &context, to, x.as_ptr(), bytes, variant) }.unwrap();
                    if count * 4 <= CHUNK_BYTES {
                        assert_eq!(out, x.iter().map(|&x| f64::from(x)).sum::<f64>());
                    }
                }
            }
        }
    }
}
