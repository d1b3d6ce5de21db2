//! Backward: a head of a document at a time, tiles of keys under tiles of queries, weights made again
//! from the scores (Dao 2023, algorithm 2).
//!
//! The gradients of keys and values of one query head add up in working memory in the order of its
//! queries; where several query heads share a kv head, theirs are added in the order of the heads.

use super::backward_queries::{Memory, load_keys, load_queries};
use super::factors::{Arithmetic, Factors, Vector, per_arithmetic};
use super::problem::{Head, Problem};
use super::product::{Before, KEYS, Product, QUERIES, round_up, tile_rows};
use super::tile::{TOGETHER, Tile, hide, units_wide};
use super::work::{Document, Parts, documents};
use crate::context::Context;
use crate::ops::chunks::{Shared, in_rows};
use crate::ops::exp::exp2_of;
use crate::simd::{Isa, Simd, per_isa};

/// dq, dk and dv of every row: a chunk is one query head of one document.
pub unsafe fn backward(isa: Isa, context: &Context, problem: &Problem) {
    let count = documents(problem).count();
    let longest = documents(problem).map(|d| d.rows).max().unwrap_or(0);
    let arithmetic = Arithmetic::of(isa, problem.brain);
    let units = (isa.lanes(), arithmetic.unit_depth());
    let memory = Memory::new(problem.head_dim, units, longest);
    let mut parts = Parts::new();
    let list = parts.take((count * size_of::<Document>()).div_ceil(4));
    let work = parts.take(context.threads() * memory.floats);
    let shares = (problem.group() > 1).then(|| {
        let floats = problem.rows * problem.heads * problem.head_dim;
        (parts.take(floats), parts.take(floats))
    });
    let scratch = context.scratch(parts.floats() * 4).cast::<f32>();
    for (i, document) in documents(problem).enumerate() {
        unsafe { scratch.add(list).cast::<Document>().add(i).write(document) };
    }
    let mut inner = *problem;
    if let Some((dk, dv)) = shares {
        let stride = (problem.heads * problem.head_dim) as u32;
        inner.dk = Head::new(unsafe { scratch.add(dk) }, stride);
        inner.dv = Head::new(unsafe { scratch.add(dv) }, stride);
    }
    let shared = Shared::new((&inner, memory, scratch));
    context.parallel(count * problem.heads, &|chunk, worker| unsafe {
        let (problem, memory, scratch) = shared.get();
        let document = *scratch
            .add(list)
            .cast::<Document>()
            .add(chunk / problem.heads);
        let work = scratch.add(work + worker * memory.floats);
        let head = chunk % problem.heads;
        document_on(isa, arithmetic, problem, &memory, work, &document, head);
    });
    if shares.is_some() {
        let shared = Shared::new((problem, &inner));
        let floats = problem.heads * problem.head_dim;
        in_rows(context, problem.rows, floats, &|first, last| unsafe {
            let (problem, inner) = shared.get();
            gather_on(isa, problem, inner, (first, last));
        });
    }
}

#[inline(always)]
unsafe fn whole<F: Factors>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    document: &Document,
    head: usize,
) {
    unsafe {
        let dim = problem.head_dim;
        load_keys::<F>(problem, memory, work, document, head);
        for q0 in (0..document.rows).step_by(QUERIES) {
            let count = (document.rows - q0).min(QUERIES);
            load_queries::<F>(problem, memory, work, (document.first + q0, count), head);
            for k0 in (0..q0 + count).step_by(KEYS) {
                pass_keys::<F>(problem, memory, work, &Tile::new(q0, count, k0));
            }
            let rows = (document.first + q0, count);
            write_rows::<F::S>((&problem.dq, head), work.add(memory.dq), dim, rows);
        }
        // Each query head has its own place where several share a kv head.
        let rows = (document.first, document.rows);
        write_rows::<F::S>((&problem.dk, head), work.add(memory.dk), dim, rows);
        write_rows::<F::S>((&problem.dv, head), work.add(memory.dv), dim, rows);
    }
}
per_arithmetic! {
    unsafe fn document_on = whole(
        problem: &Problem, memory: &Memory, work: *mut f32, document: &Document, head: usize,
    );
}

/// What a tile of keys gives to a tile of queries and gets from it.
#[inline(always)]
unsafe fn pass_keys<F: Factors>(problem: &Problem, memory: &Memory, work: *mut f32, tile: &Tile) {
    unsafe {
        let dim = problem.head_dim;
        let (lanes, units) = (F::S::LANES, dim.div_ceil(F::DEPTH));
        let wide = units_wide(dim, lanes, F::DEPTH);
        let (k, v) = (
            work.add(memory.k + tile.k0 * wide),
            work.add(memory.v + tile.k0 * wide),
        );
        let (weights, slopes) = (work.add(memory.weights), work.add(memory.slopes));
        let (q, dout) = (
            work.add(memory.q_transposed),
            work.add(memory.dout_transposed),
        );
        tile.scores::<F>(weights, (k, wide), (q, units));
        tile.scores::<F>(slopes, (v, wide), (dout, units));
        for column in (0..tile.columns::<F::S>()).step_by(lanes) {
            differentiate::<F>(tile, memory, work, (column, problem.scale));
        }
        add_products::<F>(tile, memory, work, round_up(dim, lanes));
    }
}

/// Adds weights times dout to dv, slopes times q to dk, and slopes times k to dq.
#[inline(always)]
unsafe fn add_products<F: Factors>(tile: &Tile, memory: &Memory, work: *mut f32, width: usize) {
    unsafe {
        let to_keys = |c: usize, (a, a_row): (usize, usize), b: usize| Product {
            c: work.add(c + tile.k0 * width),
            c_stride: width,
            a: work.add(a),
            a_row,
            a_step: 1,
            b: work.add(b),
            b_stride: width,
        };
        let dv = to_keys(memory.dv, (memory.weights, QUERIES), memory.dout);
        let slopes = (memory.slope_rows, QUERIES / F::DEPTH);
        let dk = to_keys(memory.dk, slopes, memory.q);
        for key in (0..tile.keys).step_by(tile_rows::<F::S>()) {
            let queries = (
                tile.first_query(key) / F::DEPTH,
                tile.queries.div_ceil(F::DEPTH),
            );
            dv.rows::<F>(key, (0, width), queries, Before::Same);
            dk.rows::<F>(key, (0, width), queries, Before::Same);
        }
        let dq = Product {
            c: work.add(memory.dq),
            c_stride: width,
            a: work.add(memory.slopes),
            a_row: 1,
            a_step: QUERIES,
            b: work.add(memory.k_across + tile.k0 / F::DEPTH * width),
            b_stride: width,
        };
        let before = match tile.k0 {
            0 => Before::Zero,
            _ => Before::Same,
        };
        for query in (0..tile.queries).step_by(tile_rows::<F::S>()) {
            let keys = tile.keys_before(query + tile_rows::<F::S>());
            if keys > 0 {
                let units = (0, keys.div_ceil(F::DEPTH));
                dq.rows::<F>(query, (0, width), units, before);
            }
        }
    }
}

/// Scores to weights and gradients of weights to gradients of scores, for one vector of queries; those
/// before it have been done, so that units may take the place of their scores.
#[inline(always)]
unsafe fn differentiate<F: Factors>(
    tile: &Tile,
    memory: &Memory,
    work: *mut f32,
    (column, scale): (usize, f32),
) {
    unsafe {
        let (scores, slopes) = (
            work.add(memory.weights + column),
            work.add(memory.slopes + column),
        );
        let (seen, all, read) = tile.reach::<F::S>(column);
        let log_z = F::S::load(work.add(memory.log_z + column));
        let log_z = F::S::sub(F::S::zero(), log_z);
        let along = F::S::load(work.add(memory.along + column));
        let factor = F::S::splat(scale * core::f32::consts::LOG2_E);
        let scale = F::S::splat(scale);
        for key in (0..seen).step_by(TOGETHER) {
            let mut below = [F::S::zero(); TOGETHER];
            for i in 0..TOGETHER {
                let score = F::S::load(scores.add((key + i) * QUERIES));
                below[i] = F::S::fma(score, factor, log_z);
            }
            let mut weights = exp2_of::<F::S, TOGETHER>(below);
            let mut inner = [F::S::zero(); TOGETHER];
            for i in 0..TOGETHER {
                let slope = F::S::load(slopes.add((key + i) * QUERIES));
                inner[i] = F::S::mul(F::S::sub(slope, along), scale);
                inner[i] = F::S::mul(weights[i], inner[i]);
            }
            if key + TOGETHER > all {
                weights = hide::<F::S>(tile, column, key, weights);
                inner = hide::<F::S>(tile, column, key, inner);
            }
            write_units::<F>(memory, work, (column, key), (weights, inner));
        }
        let nothing = [F::S::zero(); TOGETHER];
        for key in (round_up(seen, TOGETHER)..read).step_by(TOGETHER) {
            write_units::<F>(memory, work, (column, key), (nothing, nothing));
        }
    }
}

/// Writes weights along the queries, and slopes along the queries and along the keys.
#[inline(always)]
unsafe fn write_units<F: Factors>(
    memory: &Memory,
    work: *mut f32,
    (column, key): (usize, usize),
    (weights, slopes): ([Vector<F>; TOGETHER], [Vector<F>; TOGETHER]),
) {
    unsafe {
        let unit = column / F::DEPTH;
        for i in 0..TOGETHER {
            let row = key + i;
            F::store(work.add(memory.weights + row * QUERIES + unit), weights[i]);
            if F::DEPTH > 1 {
                let to = memory.slope_rows + row * (QUERIES / F::DEPTH) + unit;
                F::store(work.add(to), slopes[i]);
            }
        }
        for i in (0..TOGETHER).step_by(F::DEPTH) {
            let to = memory.slopes + (key + i) / F::DEPTH * QUERIES + column;
            let units = F::across([slopes[i], slopes[i + F::DEPTH - 1]]);
            F::S::store(work.add(to), units);
        }
    }
}

/// Writes rows of working memory where they belong.
#[inline(always)]
unsafe fn write_rows<S: Simd>(
    (to, head): (&Head, usize),
    from: *const f32,
    dim: usize,
    (first, count): (usize, usize),
) {
    unsafe {
        let width = round_up(dim, S::LANES);
        for row in 0..count {
            let to = to.at(first + row, head, dim);
            for i in (0..dim).step_by(S::LANES) {
                S::store_first(to.add(i), S::load(from.add(row * width + i)), dim - i);
            }
        }
    }
}

/// Adds up what the query heads of every kv head have found, in their order.
#[inline(always)]
unsafe fn gather<S: Simd>(problem: &Problem, shares: &Problem, (first, last): (usize, usize)) {
    unsafe {
        let (dim, group) = (problem.head_dim, problem.group());
        for (to, from) in [(problem.dk, shares.dk), (problem.dv, shares.dv)] {
            for row in first..last {
                for kv_head in 0..problem.kv_heads {
                    for i in (0..dim).step_by(S::LANES) {
                        let mut sum = S::zero();
                        for head in kv_head * group..(kv_head + 1) * group {
                            let share = from.at(row, head, dim).add(i);
                            sum = S::add(sum, S::load_first(share, dim - i));
                        }
                        S::store_first(to.at(row, kv_head, dim).add(i), sum, dim - i);
                    }
                }
            }
        }
    }
}
per_isa! {
    unsafe fn gather_on = gather(problem: &Problem, shares: &Problem, rows: (usize, usize));
}
