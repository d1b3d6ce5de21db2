//! The working memory of a backward pass, and how keys and tiles of queries are brought into it.

use super::factors::Factors;
use super::problem::{Head, Problem};
use super::product::{KEYS, QUERIES, round_up, tile_rows};
use super::tile::{copy_across, copy_rows, transpose, units_wide};
use super::work::{Document, Parts};
use crate::simd::Simd;

/// Where the parts of a worker's memory begin, in floats and units. With units of one number rows along
/// the sum and rows across it are the same, and lie in one place.
#[derive(Clone, Copy)]
pub struct Memory {
    /// [document, width]: gradients of the keys.
    pub dk: usize,
    /// [document, width]: gradients of the values.
    pub dv: usize,
    /// [document, units_wide]
    pub k: usize,
    /// [document / depth, width]
    pub k_across: usize,
    /// [document, units_wide]
    pub v: usize,
    /// [queries / depth, width]
    pub q: usize,
    /// [queries / depth, width]
    pub dout: usize,
    /// [queries, width]
    pub dq: usize,
    /// [queries, units_wide]: rows on their way to where they are transposed.
    rows: usize,
    /// [units, queries]: the queries, transposed.
    pub q_transposed: usize,
    /// [units, queries]
    pub dout_transposed: usize,
    /// [units, queries]
    out_transposed: usize,
    /// [keys, queries]: scores, then weights as units along the queries.
    pub weights: usize,
    /// [keys, queries]: gradients of the weights, then those of the scores as units along the keys.
    pub slopes: usize,
    /// [keys, queries / depth]: gradients of the scores as units along the queries.
    pub slope_rows: usize,
    /// [queries]: log_z in powers of two.
    pub log_z: usize,
    /// [queries]: the sum of dout times out.
    pub along: usize,
    pub floats: usize,
}

impl Memory {
    pub fn new(dim: usize, (lanes, depth): (usize, usize), longest: usize) -> Memory {
        let (width, wide) = (round_up(dim, lanes), units_wide(dim, lanes, depth));
        let (longest, units) = (round_up(longest, KEYS), dim.div_ceil(depth));
        let mut parts = Parts::new();
        let mut memory = Memory {
            dk: parts.take(longest * width),
            dv: parts.take(longest * width),
            k: parts.take(longest * wide),
            k_across: 0,
            v: parts.take(longest * wide),
            q: parts.take(QUERIES / depth * width),
            dout: parts.take(QUERIES / depth * width),
            dq: parts.take(QUERIES * width),
            rows: parts.take(QUERIES * wide),
            q_transposed: parts.take(units * QUERIES),
            dout_transposed: parts.take(units * QUERIES),
            out_transposed: parts.take(units * QUERIES),
            weights: parts.take(KEYS * QUERIES),
            slopes: parts.take(KEYS * QUERIES),
            slope_rows: 0,
            log_z: parts.take(QUERIES),
            along: parts.take(QUERIES),
            floats: 0,
        };
        (memory.k_across, memory.slope_rows) = (memory.k, memory.slopes);
        if depth > 1 {
            memory.k_across = parts.take(longest / depth * width);
            memory.slope_rows = parts.take(KEYS * QUERIES / depth);
        }
        memory.floats = parts.floats();
        memory
    }
}

/// Brings all keys and values of a document into working memory, and zeros where their gradients go.
#[inline(always)]
pub unsafe fn load_keys<F: Factors>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    document: &Document,
    head: usize,
) {
    unsafe {
        let (dim, kv_head) = (problem.head_dim, head / problem.group());
        let padded = round_up(document.rows, tile_rows::<F::S>());
        let place = (document.first, document.rows, padded);
        copy_rows::<F>(work.add(memory.k), (&problem.k, kv_head), dim, place);
        copy_rows::<F>(work.add(memory.v), (&problem.v, kv_head), dim, place);
        if F::DEPTH > 1 {
            copy_across::<F>(work.add(memory.k_across), (&problem.k, kv_head), dim, place);
        }
        for i in (0..padded * round_up(dim, F::S::LANES)).step_by(F::S::LANES) {
            F::S::store(work.add(memory.dk + i), F::S::zero());
            F::S::store(work.add(memory.dv + i), F::S::zero());
        }
    }
}

/// Brings a tile of queries with all that belongs to them into working memory.
#[inline(always)]
pub unsafe fn load_queries<F: Factors>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    (first, count): (usize, usize),
    head: usize,
) {
    unsafe {
        let (q, dout) = (memory.q, memory.dout);
        let place = (first, count, head);
        let transposed = work.add(memory.q_transposed);
        load_rows::<F>(problem, memory, work, &problem.q, (q, transposed), place);
        let transposed = work.add(memory.dout_transposed);
        let to = (dout, transposed);
        load_rows::<F>(problem, memory, work, &problem.dout, to, place);
        for query in 0..round_up(count, F::S::LANES) {
            let log_z = work.add(memory.log_z + query);
            // Where there is no query, its zeros give weights of 1 and gradients of 0.
            *log_z = 0.0;
            if query < count {
                let row = first + query;
                *log_z = *problem.log_z.add(row * problem.heads + head) * core::f32::consts::LOG2_E;
            }
        }
        sum_along::<F>(problem, memory, work, place);
    }
}

/// Rows of a tile of queries, as units across them and transposed.
#[inline(always)]
unsafe fn load_rows<F: Factors>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    from: &Head,
    (across, transposed): (usize, *mut f32),
    (first, count, head): (usize, usize, usize),
) {
    unsafe {
        let dim = problem.head_dim;
        let wide = units_wide(dim, F::S::LANES, F::DEPTH);
        let columns = round_up(count, F::S::LANES);
        let place = (first, count, columns);
        let mut rows = work.add(across);
        if F::DEPTH > 1 {
            copy_across::<F>(rows, (from, head), dim, place);
            rows = work.add(memory.rows);
        }
        copy_rows::<F>(rows, (from, head), dim, place);
        let units = dim.div_ceil(F::DEPTH);
        transpose::<F::S>(transposed, (rows, wide), (columns, units));
    }
}

/// The sum of dout times out for every query, in the order of a score: where a query sees one key
/// alone, so that out is its value, what is left of the score's gradient is 0 and not a rounding error.
#[inline(always)]
unsafe fn sum_along<F: Factors>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    (first, count, head): (usize, usize, usize),
) {
    unsafe {
        let dim = problem.head_dim;
        let (lanes, units) = (F::S::LANES, dim.div_ceil(F::DEPTH));
        let columns = round_up(count, lanes);
        let rows = work.add(memory.rows);
        copy_rows::<F>(rows, (&problem.out, head), dim, (first, count, columns));
        let transposed = work.add(memory.out_transposed);
        let wide = units_wide(dim, lanes, F::DEPTH);
        transpose::<F::S>(transposed, (rows, wide), (columns, units));
        let dout = work.add(memory.dout_transposed);
        for column in (0..columns).step_by(lanes) {
            let mut sum = F::S::zero();
            for unit in 0..units {
                let at = unit * QUERIES + column;
                let out = F::S::load(transposed.add(at));
                sum = F::add(sum, out, F::S::load(dout.add(at)));
            }
            F::S::store(work.add(memory.along + column), sum);
        }
    }
}
