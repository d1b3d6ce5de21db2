//! Dropout (Srivastava et al. 2014) by counters: Philox 4x32-10 (Salmon et al. 2011, section 4.3), the
//! words of `lib/base/random.ts`.

use crate::context::{Context, Status};
use crate::ops::chunks::{Shared, in_rows};
use crate::simd::{Isa, isa, per_isa};

/// Counters whose words are made side by side: some vectors of them, in loops that stay loops.
const LANES: usize = 64;
/// Words of as many counters, in the order of their elements.
type Words = [u32; 4 * LANES];
/// Elements that one call of the vector loop handles.
const BLOCK: usize = 4096;
/// Integers below this cross the ABI exactly.
const LIMIT: f64 = 9_007_199_254_740_992.0;

/// What decides which elements are kept.
#[derive(Clone, Copy)]
struct Draw {
    seed: u64,
    stream: u64,
    /// Words below this drop their element.
    threshold: u32,
    factor: f32,
}

/// The kernel `dropout` of the table.
pub unsafe fn dropout(
    context: &Context,
    x: *mut f32,
    seed: f64,
    stream: f64,
    offset: f64,
    count: usize,
    probability: f32,
) -> Status {
    // A NaN is refused along with what lies outside.
    if !(0.0..1.0).contains(&probability) {
        return Err("probability must be at least 0 and below 1");
    }
    let whole = |v: f64| (0.0..LIMIT).contains(&v) && v as u64 as f64 == v;
    if !whole(seed) || !whole(stream) || !whole(offset) {
        return Err("seed, stream and offset must be integers from 0 to 2^53 - 1");
    }
    let draw = Draw {
        seed: seed as u64,
        stream: stream as u64,
        threshold: threshold_of(probability),
        factor: 1.0 / (1.0 - probability),
    };
    unsafe { dropout_with(isa(), context, x, draw, (offset as u64, count)) };
    Ok(())
}

unsafe fn dropout_with(
    isa: Isa,
    context: &Context,
    x: *mut f32,
    draw: Draw,
    (offset, count): (u64, usize),
) {
    // Blocks start where a counter does, so that none is shared between threads.
    let ahead = (offset % 4) as usize;
    let shared = Shared::new((x, draw));
    in_rows(
        context,
        (count + ahead).div_ceil(BLOCK),
        BLOCK,
        &|first, last| {
            let (x, draw) = shared.get();
            for block in first..last {
                let from = (block * BLOCK).max(ahead) - ahead;
                let to = ((block + 1) * BLOCK - ahead).min(count);
                let at = offset - ahead as u64 + (block * BLOCK) as u64;
                let skip = if block == 0 { ahead } else { 0 };
                unsafe { run_on(isa, x.add(from), &draw, at / 4, (skip, to - from)) };
            }
        },
    );
}

/// The least word that is at least probability 2^32; below 2^32 for every f32 below 1.
fn threshold_of(probability: f32) -> u32 {
    let limit = f64::from(probability) * 4_294_967_296.0;
    let whole = limit as u32;
    whole + u32::from(f64::from(whole) < limit)
}

/// Drops or scales `count` elements; the first is word `skip` of `counter`.
#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)]
unsafe fn run<S>(x: *mut f32, draw: &Draw, counter: u64, (skip, count): (usize, usize)) {
    let mut words = [0; 4 * LANES];
    // The first words belong to elements before x.
    let (mut at, mut skip, mut counter) = (0, skip, counter);
    while at < count {
        philox(&mut words, counter, draw);
        let part = (4 * LANES - skip).min(count - at);
        for i in 0..part {
            let x = unsafe { &mut *x.add(at + i) };
            let kept = words[skip + i] >= draw.threshold;
            *x = if kept { *x * draw.factor } else { 0.0 };
        }
        (at, skip, counter) = (at + part, 0, counter + LANES as u64);
    }
}
per_isa! { unsafe fn run_on = run(x: *mut f32, draw: &Draw, counter: u64, range: (usize, usize)); }

/// The four words of each of the counters from `counter` on.
// Loops over lanes, which the compiler turns into vectors.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn philox(words: &mut Words, counter: u64, draw: &Draw) {
    let (mut a, mut b) = ([0u32; LANES], [0u32; LANES]);
    for lane in 0..LANES {
        let at = counter.wrapping_add(lane as u64);
        a[lane] = at as u32;
        b[lane] = (at >> 32) as u32;
    }
    let mut c = [draw.stream as u32; LANES];
    let mut d = [(draw.stream >> 32) as u32; LANES];
    let (mut k0, mut k1) = (draw.seed as u32, (draw.seed >> 32) as u32);
    for _ in 0..10 {
        for lane in 0..LANES {
            let first = 0xd251_1f53 * u64::from(a[lane]);
            let second = 0xcd9e_8d57 * u64::from(c[lane]);
            a[lane] = (second >> 32) as u32 ^ b[lane] ^ k0;
            b[lane] = second as u32;
            c[lane] = (first >> 32) as u32 ^ d[lane] ^ k1;
            d[lane] = first as u32;
        }
        k0 = k0.wrapping_add(0x9e37_79b9);
        k1 = k1.wrapping_add(0xbb67_ae85);
    }
    for lane in 0..LANES {
        words[4 * lane] = a[lane];
        words[4 * lane + 1] = b[lane];
        words[4 * lane + 2] = c[lane];
        words[4 * lane + 3] = d[lane];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::context;

    #[test]
    fn words_are_those_of_the_paper() {
        // Known answers that come with the authors' Random123: counter and key all ones.
        let draw = Draw {
            seed: u64::MAX,
            stream: u64::MAX,
            threshold: 0,
            factor: 1.0,
        };
        let mut words = [0; 4 * LANES];
        philox(&mut words, u64::MAX, &draw);
        assert_eq!(
            words[..4],
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    #[test]
    fn thresholds_are_rounded_up_to_words() {
        for (probability, want) in [(0.0, 0), (0.5, 1 << 31), (1e-12, 1), (0.25, 1 << 30)] {
            assert_eq!(threshold_of(probability), want);
        }
        assert_eq!(threshold_of(1.0 - f32::EPSILON / 2.0), u32::MAX - 255);
    }

    #[test]
    fn parts_are_dropped_as_the_whole_is_and_the_share_is_the_probability() {
        let drop = |offset: f64, count: usize| {
            let mut x = vec![1.0; count];
            let p = x.as_mut_ptr();
            unsafe { dropout(context(), p, 42.0, 7.0, offset, count, 0.2) }.unwrap();
            x
        };
        let whole = drop(0.0, 40_000);
        let (mut parts, mut at) = (Vec::new(), 0);
        for size in [1, 2, 4093, 5, 4096, 10_000, 21_803] {
            parts.extend(drop(at as f64, size));
            at += size;
        }
        assert_eq!(parts, whole);
        let kept = whole.iter().filter(|&&v| v != 0.0).count() as f64;
        assert!((kept / 40_000.0 - 0.8).abs() < 0.01);
        assert!(whole.iter().all(|&v| v == 0.0 || v == 1.0 / (1.0 - 0.2)));
    }

    #[test]
    fn what_is_no_probability_or_counter_is_refused() {
        let mut x = [1.0; 4];
        let mut run = |seed, offset, probability| unsafe {
            dropout(context(), x.as_mut_ptr(), seed, 0.0, offset, 4, probability)
        };
        for bad in [1.0, -0.1, f32::NAN] {
            let text = "probability must be at least 0 and below 1";
            assert_eq!(run(0.0, 0.0, bad), Err(text));
        }
        for (seed, offset) in [(0.5, 0.0), (-1.0, 0.0), (0.0, LIMIT), (f64::NAN, 0.0)] {
            let text = "seed, stream and offset must be integers from 0 to 2^53 - 1";
            assert_eq!(run(seed, offset, 0.5), Err(text));
        }
    }
}
