//! The state of an online softmax: how scores become weights, how two states become one.

use super::super::exp::{exp, exp_of};
use super::super::maximum::maximum;
use crate::simd::Simd;

/// What a softmax over some positions amounts to, for `GROUP` queries: the largest score, the sum of
/// exp(score - largest), and the values weighted by it, rows of `head_dim` in `mixed`.
#[derive(Clone, Copy)]
pub struct State {
    pub largest: *mut f32,
    pub sum: *mut f32,
    pub mixed: *mut f32,
}

impl State {
    /// Floats of a state of that many queries.
    pub fn floats(queries: usize, head_dim: usize) -> usize {
        queries * (2 + head_dim)
    }

    /// The state that lies at an address.
    pub unsafe fn at(memory: *mut f32, queries: usize) -> State {
        unsafe {
            State {
                largest: memory,
                sum: memory.add(queries),
                mixed: memory.add(2 * queries),
            }
        }
    }

    /// The state without its first `m` queries.
    pub unsafe fn from(self, m: usize, head_dim: usize) -> State {
        unsafe {
            State {
                largest: self.largest.add(m),
                sum: self.sum.add(m),
                mixed: self.mixed.add(m * head_dim),
            }
        }
    }
}

/// Vectors whose exponentials are taken side by side.
const TOGETHER: usize = 4;

/// Turns the first `count` scores of a tile into weights exp(score - largest), updates the largest
/// score and the sum, and returns the factor that brings earlier weights to the new largest.
#[inline(always)]
pub unsafe fn weigh<S: Simd>(
    scores: *mut f32,
    count: usize,
    largest: *mut f32,
    sum: *mut f32,
) -> f32 {
    unsafe {
        let before = *largest;
        let here = maximum::<S>(scores, count);
        let now = if here > before { here } else { before };
        *largest = now;
        let shift = S::splat(now);
        let mut total = S::zero();
        let mut j = 0;
        while j + TOGETHER * S::LANES <= count {
            let mut weights = [S::zero(); TOGETHER];
            for (i, weight) in weights.iter_mut().enumerate() {
                *weight = S::sub(S::load(scores.add(j + i * S::LANES)), shift);
            }
            for (i, weight) in exp_of::<S, TOGETHER>(weights).into_iter().enumerate() {
                S::store(scores.add(j + i * S::LANES), weight);
                total = S::add(total, weight);
            }
            j += TOGETHER * S::LANES;
        }
        while j < count {
            let rest = count - j;
            let weight = exp::<S>(S::sub(S::load_first(scores.add(j), rest), shift));
            S::store_first(scores.add(j), weight, rest);
            total = S::add(total, S::load_first(scores.add(j), rest));
            j += S::LANES;
        }
        let factor = factor::<S>(before, now);
        *sum = *sum * factor + S::reduce_add(total);
        factor
    }
}

/// exp(before - now), which is 1 without further ado where nothing changed.
#[inline(always)]
unsafe fn factor<S: Simd>(before: f32, now: f32) -> f32 {
    if before == now {
        return 1.0;
    }
    let mut lanes = [0.0; crate::simd::MAX_LANES];
    unsafe { S::store(lanes.as_mut_ptr(), exp::<S>(S::splat(before - now))) };
    lanes[0]
}

/// Takes the state of the next span of one query into its total; the first span is the total.
#[inline(always)]
pub unsafe fn merge<S: Simd>(total: State, next: State, first: bool, head_dim: usize) {
    unsafe {
        if first {
            *total.largest = *next.largest;
            *total.sum = *next.sum;
            core::ptr::copy_nonoverlapping(next.mixed, total.mixed, head_dim);
            return;
        }
        let (a, b) = (*total.largest, *next.largest);
        let now = if b > a { b } else { a };
        let (old, new) = (factor::<S>(a, now), factor::<S>(b, now));
        *total.largest = now;
        *total.sum = *total.sum * old + *next.sum * new;
        let (old, new) = (S::splat(old), S::splat(new));
        for d in (0..head_dim).step_by(S::LANES) {
            let count = head_dim - d;
            let kept = S::mul(S::load_first(total.mixed.add(d), count), old);
            let sum = S::fma(S::load_first(next.mixed.add(d), count), new, kept);
            S::store_first(total.mixed.add(d), sum, count);
        }
    }
}

/// Writes what a query's state comes to: the mixed values divided by the sum.
#[inline(always)]
pub unsafe fn finish<S: Simd>(out: *mut f32, total: State, head_dim: usize) {
    unsafe {
        let factor = S::splat(1.0 / *total.sum);
        for d in (0..head_dim).step_by(S::LANES) {
            let count = head_dim - d;
            let mean = S::mul(S::load_first(total.mixed.add(d), count), factor);
            S::store_first(out.add(d), mean, count);
        }
    }
}
