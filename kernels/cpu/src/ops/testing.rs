//! What the tests of the ops share: numbers to compute on and a comparison that shows where it fails.

use crate::context::Context;
use crate::simd::Isa;

/// A context with three threads, more than most shapes have chunks for: one for each thread that runs
/// tests, as a pool takes longer to start than most tests.
pub fn context() -> &'static Context {
    thread_local! {
        static OWN: &'static Context = Box::leak(Box::new(Context::new(3)));
    }
    OWN.with(|own| *own)
}

/// Reproducible numbers in [-2, 2) from a linear congruential generator.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 22) as f32 - 2.0
    };
    (0..count).map(|_| next()).collect()
}

/// Requires |got - want| <= tolerance * max(1, max |want|) everywhere and shows the first that is off.
#[track_caller]
pub fn assert_close(got: &[f32], want: &[f64], tolerance: f64, isa: Isa) {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(got) - want).abs();
        assert!(
            off <= tolerance * largest,
            "{isa:?}: element {i} is {got}, not {want}: {off:e} off, {:e} allowed",
            tolerance * largest
        );
    }
}
