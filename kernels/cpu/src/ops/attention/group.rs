//! The queries that share a kv head, over one span of positions: online softmax, tile by tile.

use super::super::cache_element::CacheElement;
use super::super::exp::exp;
use super::super::maximum::maximum;
use super::problem::{Block, Problem};
use super::tile::{Rows, TILE, mix, scores};
use crate::simd::Simd;

/// Queries of a group at most: rows of one sequence times query heads of one kv head.
pub const GROUP: usize = 32;
/// Positions of a span. Spans start anew and are merged in order, always, so that they can be
/// computed on different threads with the same result.
pub const SPAN: usize = 8 * TILE;

/// One group: which rows, which kv head, and which of the query heads that share it.
#[derive(Clone, Copy)]
pub struct Group {
    pub block: Block,
    pub kv_head: usize,
    /// The first query head and how many.
    pub head: usize,
    pub heads: usize,
}

impl Group {
    /// How many queries the group has: row by row, head by head.
    pub fn queries(&self) -> usize {
        self.block.rows as usize * self.heads
    }

    /// Row and head of a query.
    pub fn query(&self, m: usize) -> (usize, usize) {
        (
            self.block.row as usize + m / self.heads,
            self.head + m % self.heads,
        )
    }
}

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

/// Working memory of one thread.
#[derive(Clone, Copy)]
pub struct Workspace {
    /// Queries times the scale, rows of `head_dim`.
    pub q: *mut f32,
    /// Scores and then weights, rows of `TILE`.
    pub scores: *mut f32,
}

/// The state of a group over the positions of span number `span`. Queries that see none of them keep
/// an undefined state.
#[inline(always)]
pub unsafe fn attend<S: Simd, C: CacheElement>(
    problem: &Problem,
    group: &Group,
    span: usize,
    state: State,
    work: Workspace,
) {
    unsafe {
        let (queries, head_dim) = (group.queries(), problem.head_dim);
        load_queries::<S>(problem, group, work.q);
        for m in 0..queries {
            *state.largest.add(m) = f32::NEG_INFINITY;
            *state.sum.add(m) = 0.0;
        }
        core::ptr::write_bytes(state.mixed, 0, queries * head_dim);
        let end = problem.longest(group.block).min((span + 1) * SPAN);
        let mut rows = [[core::ptr::null(); TILE]; 2];
        for first in (span * SPAN..end).step_by(TILE) {
            let count = (end - first).min(TILE);
            locate::<C>(problem, group, first, count, &mut rows);
            let mut counts = [0; GROUP];
            for (m, own) in counts.iter_mut().enumerate().take(queries) {
                let visible = problem.visible(group.query(m).0);
                *own = visible.saturating_sub(first).min(count);
            }
            // Queries at the front that see nothing of the tile, as earlier rows do, are left out.
            let idle = counts.iter().take(queries).take_while(|&&c| c == 0).count();
            let (q, to) = (work.q.add(idle * head_dim), work.scores.add(idle * TILE));
            scores::<S, C>(to, q, &rows[0], queries - idle, count, head_dim);
            let mut factors = [1.0; GROUP];
            for m in idle..queries {
                if counts[m] > 0 {
                    let (largest, sum) = (state.largest.add(m), state.sum.add(m));
                    factors[m] = weigh::<S>(work.scores.add(m * TILE), counts[m], largest, sum);
                }
            }
            let (to, weights) = (
                state.mixed.add(idle * head_dim),
                work.scores.add(idle * TILE),
            );
            let (factors, counts) = (&factors[idle..queries], &counts[idle..queries]);
            mix::<S, C>(to, factors, weights, &rows[1], counts, head_dim);
        }
    }
}

/// Copies the queries of a group, multiplied by the scale.
#[inline(always)]
unsafe fn load_queries<S: Simd>(problem: &Problem, group: &Group, to: *mut f32) {
    unsafe {
        let (scale, head_dim) = (S::splat(problem.scale), problem.head_dim);
        for m in 0..group.queries() {
            let (row, head) = group.query(m);
            let (from, to) = (
                problem.q.add(row * problem.q_stride + head * head_dim),
                to.add(m * head_dim),
            );
            for d in (0..head_dim).step_by(S::LANES) {
                let count = head_dim - d;
                S::store_first(
                    to.add(d),
                    S::mul(S::load_first(from.add(d), count), scale),
                    count,
                );
            }
        }
    }
}

/// Finds the keys and values of `count` positions from `first` on.
#[inline(always)]
unsafe fn locate<C: CacheElement>(
    problem: &Problem,
    group: &Group,
    first: usize,
    count: usize,
    rows: &mut [Rows; 2],
) {
    unsafe {
        let bytes = C::row_bytes(problem.head_dim).unwrap_or(0);
        let sequence = *problem.row_sequence.add(group.block.row as usize) as usize;
        let mut j = 0;
        while j < count {
            // One look at the page table for all positions of a page.
            let line = problem.line(sequence, group.kv_head, first + j);
            let left = problem.page_size - (first + j) % problem.page_size;
            for i in 0..left.min(count - j) {
                rows[0][j + i] = problem.keys.add((line + i) * bytes);
                rows[1][j + i] = problem.values.add((line + i) * bytes);
            }
            j += left;
        }
    }
}

/// Turns the first `count` scores of a tile into weights exp(score - largest), updates the largest
/// score and the sum, and returns the factor that brings earlier weights to the new largest.
#[inline(always)]
unsafe fn weigh<S: Simd>(scores: *mut f32, count: usize, largest: *mut f32, sum: *mut f32) -> f32 {
    unsafe {
        let before = *largest;
        let here = maximum::<S>(scores, count);
        let now = if here > before { here } else { before };
        *largest = now;
        let shift = S::splat(now);
        let mut total = S::zero();
        let mut j = 0;
        while j + S::LANES <= count {
            let weight = exp::<S>(S::sub(S::load(scores.add(j)), shift));
            S::store(scores.add(j), weight);
            total = S::add(total, weight);
            j += S::LANES;
        }
        if j < count {
            let rest = count - j;
            let weight = exp::<S>(S::sub(S::load_first(scores.add(j), rest), shift));
            S::store_first(scores.add(j), weight, rest);
            total = S::add(total, S::load_first(scores.add(j), rest));
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
