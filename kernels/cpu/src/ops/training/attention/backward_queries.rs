//! The working memory of a backward pass, and how a tile of queries is brought into it.

use super::problem::Problem;
use super::product::{KEYS, QUERIES, round_up};
use super::tile::{copy_rows, transpose};
use super::work::Parts;
use crate::simd::Simd;

/// Where the parts of a worker's memory begin, in floats.
#[derive(Clone, Copy)]
pub struct Memory {
    /// [document, width]: gradients of the keys.
    pub dk: usize,
    /// [document, width]: gradients of the values.
    pub dv: usize,
    /// [queries, width]
    pub q: usize,
    /// [queries, width]
    pub dout: usize,
    /// [queries, width]
    pub dq: usize,
    /// [head_dim, queries]: the queries, scaled and transposed.
    pub q_transposed: usize,
    /// [head_dim, queries]
    pub dout_transposed: usize,
    /// [head_dim, queries]
    pub out_transposed: usize,
    /// [keys, width]
    pub k: usize,
    /// [keys, width]
    pub v: usize,
    /// [keys, queries]
    pub weights: usize,
    /// [keys, queries]: gradients of the scores.
    pub slopes: usize,
    /// [queries]: log_z in powers of two.
    pub log_z: usize,
    /// [queries]: the sum of dout times out.
    pub along: usize,
    pub floats: usize,
}

impl Memory {
    pub fn new(dim: usize, lanes: usize, longest: usize) -> Memory {
        let width = round_up(dim, lanes);
        let document = round_up(longest, KEYS) * width;
        let mut parts = Parts::new();
        let mut memory = Memory {
            dk: parts.take(document),
            dv: parts.take(document),
            q: parts.take(QUERIES * width),
            dout: parts.take(QUERIES * width),
            dq: parts.take(QUERIES * width),
            q_transposed: parts.take(dim * QUERIES),
            dout_transposed: parts.take(dim * QUERIES),
            out_transposed: parts.take(dim * QUERIES),
            k: parts.take(KEYS * width),
            v: parts.take(KEYS * width),
            weights: parts.take(KEYS * QUERIES),
            slopes: parts.take(KEYS * QUERIES),
            log_z: parts.take(QUERIES),
            along: parts.take(QUERIES),
            floats: 0,
        };
        memory.floats = parts.floats();
        memory
    }
}

/// Brings a tile of queries with all that belongs to them into working memory.
#[inline(always)]
pub unsafe fn load_queries<S: Simd>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    (first, count): (usize, usize),
    head: usize,
) {
    unsafe {
        let dim = problem.head_dim;
        let width = round_up(dim, S::LANES);
        let columns = round_up(count, S::LANES);
        let (q, dout) = (work.add(memory.q), work.add(memory.dout));
        copy_rows::<S>(q, (&problem.q, head), dim, (first, count, columns));
        copy_rows::<S>(dout, (&problem.dout, head), dim, (first, count, columns));
        let factor = problem.scale * core::f32::consts::LOG2_E;
        transpose::<S>(
            work.add(memory.q_transposed),
            (q, width),
            (columns, dim),
            factor,
        );
        transpose::<S>(
            work.add(memory.dout_transposed),
            (dout, width),
            (columns, dim),
            1.0,
        );
        for query in 0..columns {
            let log_z = work.add(memory.log_z + query);
            // Where there is no query, its zeros give weights of 1 and gradients of 0.
            *log_z = 0.0;
            if query < count {
                let row = first + query;
                *log_z = *problem.log_z.add(row * problem.heads + head) * core::f32::consts::LOG2_E;
            }
        }
        sum_along::<S>(problem, memory, work, (first, count), head);
    }
}

/// The sum of dout times out for every query, in the order of a score: where a query sees one key
/// alone, so that out is its value, what is left of the score's gradient is 0 and not a rounding error.
#[inline(always)]
unsafe fn sum_along<S: Simd>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    (first, count): (usize, usize),
    head: usize,
) {
    unsafe {
        let dim = problem.head_dim;
        let width = round_up(dim, S::LANES);
        let columns = round_up(count, S::LANES);
        // The gradient of the queries takes this place afterwards.
        let out = work.add(memory.dq);
        copy_rows::<S>(out, (&problem.out, head), dim, (first, count, columns));
        let transposed = work.add(memory.out_transposed);
        transpose::<S>(transposed, (out, width), (columns, dim), 1.0);
        let dout = work.add(memory.dout_transposed);
        for column in (0..columns).step_by(S::LANES) {
            let mut sum = S::zero();
            for d in 0..dim {
                let at = d * QUERIES + column;
                sum = S::fma(S::load(transposed.add(at)), S::load(dout.add(at)), sum);
            }
            S::store(work.add(memory.along + column), sum);
        }
    }
}
