//! The queries that share a kv head, over one span of positions: online softmax, tile by tile.

use super::super::cache_element::{CacheElement, CacheF32};
use super::mix::mix;
use super::problem::{Block, Problem};
use super::scores::scores;
use super::state::{State, weigh};
use super::tile::{Rows, TILE};
use crate::simd::Simd;

/// Queries of a group at most: rows of one sequence times query heads of one kv head.
pub const GROUP: usize = 32;
/// Positions of a span. Spans start anew and are merged in order, always, so that they can be
/// computed on different threads with the same result.
pub const SPAN: usize = 8 * TILE;

/// Queries from which a tile of narrow elements is widened once instead of every time it is read.
const WIDENED: usize = 8;

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

/// Working memory of one thread.
#[derive(Clone, Copy)]
pub struct Workspace {
    /// Queries times the scale, rows of `head_dim`.
    pub q: *mut f32,
    /// Scores and then weights, rows of `TILE`.
    pub scores: *mut f32,
    /// A tile of keys and one of values, widened, rows of `head_dim`.
    pub wide: *mut f32,
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
            if C::WIDE || queries < WIDENED {
                step::<S, C>(problem, group, first, count, &rows, state, work);
            } else {
                widen::<S, C>(&mut rows, count, head_dim, work.wide);
                step::<S, CacheF32>(problem, group, first, count, &rows, state, work);
            }
        }
    }
}

/// Takes one tile into the state: scores, weights, mixed values.
#[inline(always)]
unsafe fn step<S: Simd, C: CacheElement>(
    problem: &Problem,
    group: &Group,
    first: usize,
    count: usize,
    rows: &[Rows; 2],
    state: State,
    work: Workspace,
) {
    unsafe {
        let (queries, head_dim) = (group.queries(), problem.head_dim);
        let mut counts = [0; GROUP];
        for (m, own) in counts.iter_mut().enumerate().take(queries) {
            let visible = problem.visible(group.query(m).0);
            *own = visible.saturating_sub(first).min(count);
        }
        // Queries at the front that see nothing of the tile, as earlier rows do, are left out.
        let idle = counts.iter().take(queries).take_while(|&&c| c == 0).count();
        let (q, weights) = (work.q.add(idle * head_dim), work.scores.add(idle * TILE));
        scores::<S, C>(
            weights,
            q,
            &rows[0],
            queries - idle,
            count,
            head_dim,
            &rows[1],
        );
        let mut factors = [1.0; GROUP];
        for m in idle..queries {
            if counts[m] > 0 {
                let (largest, sum) = (state.largest.add(m), state.sum.add(m));
                factors[m] = weigh::<S>(work.scores.add(m * TILE), counts[m], largest, sum);
            }
        }
        let to = state.mixed.add(idle * head_dim);
        let (factors, counts) = (&factors[idle..queries], &counts[idle..queries]);
        mix::<S, C>(to, factors, weights, &rows[1], counts, head_dim);
    }
}

/// Writes a tile's rows as floats into `wide` and points to those.
#[inline(always)]
unsafe fn widen<S: Simd, C: CacheElement>(
    rows: &mut [Rows; 2],
    count: usize,
    head_dim: usize,
    wide: *mut f32,
) {
    for (side, rows) in rows.iter_mut().enumerate() {
        for (j, row) in rows.iter_mut().enumerate().take(count) {
            unsafe {
                let to = wide.add((side * TILE + j) * head_dim);
                C::widen_row::<S>(to, *row, head_dim);
                *row = to.cast();
            }
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
