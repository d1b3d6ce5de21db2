//! Backward: a head of a document at a time, tiles of keys under tiles of queries, weights made again
//! from the scores (Dao 2023, algorithm 2).
//!
//! The gradients of keys and values of one query head add up in working memory in the order of its
//! queries; where several query heads share a kv head, theirs are added in the order of the heads.

use super::backward_queries::{Memory, load_queries};
use super::problem::{Head, Problem};
use super::product::{Before, KEYS, Product, QUERIES, round_up, tile_rows};
use super::tile::{Tile, after, copy_rows};
use super::work::{Document, Parts, documents};
use crate::context::Context;
use crate::ops::chunks::{Shared, in_rows};
use crate::ops::exp::exp2_of;
use crate::simd::{Isa, Simd, per_isa};

/// dq, dk and dv of every row: a chunk is one query head of one document.
pub unsafe fn backward(isa: Isa, context: &Context, problem: &Problem) {
    let count = documents(problem).count();
    let longest = documents(problem).map(|d| d.rows).max().unwrap_or(0);
    let memory = Memory::new(problem.head_dim, isa.lanes(), longest);
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
        document_on(
            isa,
            problem,
            &memory,
            work,
            &document,
            chunk % problem.heads,
        );
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
unsafe fn whole<S: Simd>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    document: &Document,
    head: usize,
) {
    unsafe {
        let dim = problem.head_dim;
        let width = round_up(dim, S::LANES);
        for i in (0..round_up(document.rows, KEYS) * width).step_by(S::LANES) {
            S::store(work.add(memory.dk + i), S::zero());
            S::store(work.add(memory.dv + i), S::zero());
        }
        for q0 in (0..document.rows).step_by(QUERIES) {
            let count = (document.rows - q0).min(QUERIES);
            load_queries::<S>(problem, memory, work, (document.first + q0, count), head);
            for k0 in (0..q0 + count).step_by(KEYS) {
                let tile = Tile::new(q0, count, k0);
                pass_keys::<S>(problem, memory, work, (document.first, &tile), head);
            }
            let rows = (document.first + q0, count);
            write_rows::<S>((&problem.dq, head), work.add(memory.dq), dim, rows);
        }
        // Each query head has its own place where several share a kv head.
        let rows = (document.first, document.rows);
        write_rows::<S>((&problem.dk, head), work.add(memory.dk), dim, rows);
        write_rows::<S>((&problem.dv, head), work.add(memory.dv), dim, rows);
    }
}
per_isa! {
    unsafe fn document_on = whole(
        problem: &Problem, memory: &Memory, work: *mut f32, document: &Document, head: usize,
    );
}

/// What a tile of keys gives to a tile of queries and gets from it.
#[inline(always)]
unsafe fn pass_keys<S: Simd>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    (first, tile): (usize, &Tile),
    head: usize,
) {
    unsafe {
        let dim = problem.head_dim;
        let width = round_up(dim, S::LANES);
        let kv_head = head / problem.group();
        let place = (
            first + tile.k0,
            tile.keys,
            round_up(tile.keys, tile_rows::<S>()),
        );
        let (k, v) = (work.add(memory.k), work.add(memory.v));
        copy_rows::<S>(k, (&problem.k, kv_head), dim, place);
        copy_rows::<S>(v, (&problem.v, kv_head), dim, place);
        let (weights, slopes) = (work.add(memory.weights), work.add(memory.slopes));
        tile.scores::<S>(weights, (k, width), (work.add(memory.q_transposed), dim));
        tile.scores::<S>(slopes, (v, width), (work.add(memory.dout_transposed), dim));
        for column in (0..tile.columns::<S>()).step_by(S::LANES) {
            differentiate::<S>(tile, memory, work, (column, problem.scale));
        }
        add_products::<S>(tile, memory, work, width);
    }
}

/// Adds weights times dout to dv, slopes times q to dk, and slopes times k to dq.
#[inline(always)]
unsafe fn add_products<S: Simd>(tile: &Tile, memory: &Memory, work: *mut f32, width: usize) {
    unsafe {
        let slopes = work.add(memory.slopes);
        let to_keys = |c: usize, a: usize, b: usize| Product {
            c: work.add(c + tile.k0 * width),
            c_stride: width,
            a: work.add(a),
            a_row: QUERIES,
            a_step: 1,
            b: work.add(b),
            b_stride: width,
        };
        let dv = to_keys(memory.dv, memory.weights, memory.dout);
        let dk = to_keys(memory.dk, memory.slopes, memory.q);
        for key in (0..tile.keys).step_by(tile_rows::<S>()) {
            let queries = (tile.first_query(key), tile.queries);
            dv.rows::<S>(key, (0, width), queries, Before::Same);
            dk.rows::<S>(key, (0, width), queries, Before::Same);
        }
        let dq = Product {
            c: work.add(memory.dq),
            c_stride: width,
            a: slopes,
            a_row: 1,
            a_step: QUERIES,
            b: work.add(memory.k),
            b_stride: width,
        };
        let before = match tile.k0 {
            0 => Before::Zero,
            _ => Before::Same,
        };
        for query in (0..tile.queries).step_by(tile_rows::<S>()) {
            let keys = (0, tile.keys_before(query + tile_rows::<S>()));
            if keys.1 > 0 {
                dq.rows::<S>(query, (0, width), keys, before);
            }
        }
    }
}

/// Scores whose exponentials are taken side by side.
const TOGETHER: usize = 4;

/// Scores to weights and gradients of weights to gradients of scores, for one vector of queries.
#[inline(always)]
unsafe fn differentiate<S: Simd>(
    tile: &Tile,
    memory: &Memory,
    work: *mut f32,
    (column, scale): (usize, f32),
) {
    unsafe {
        let weights = work.add(memory.weights + column);
        let slopes = work.add(memory.slopes + column);
        let (seen, all, read) = tile.reach::<S>(column);
        let log_z = S::load(work.add(memory.log_z + column));
        let along = S::load(work.add(memory.along + column));
        let scale = S::splat(scale);
        let mut key = 0;
        while key < seen {
            let count = if key + TOGETHER <= seen { TOGETHER } else { 1 };
            let mut scores = [S::zero(); TOGETHER];
            for (i, score) in scores.iter_mut().enumerate().take(count) {
                *score = S::sub(S::load(weights.add((key + i) * QUERIES)), log_z);
            }
            let found = exp2_of::<S, TOGETHER>(scores);
            for (i, mut weight) in found.into_iter().enumerate().take(count) {
                if key + i >= all {
                    weight = S::select(after::<S>(tile, column, key + i), S::zero(), weight);
                }
                S::store(weights.add((key + i) * QUERIES), weight);
                let slope = slopes.add((key + i) * QUERIES);
                let inner = S::mul(S::sub(S::load(slope), along), scale);
                S::store(slope, S::mul(weight, inner));
            }
            key += count;
        }
        while key < read {
            S::store(weights.add(key * QUERIES), S::zero());
            S::store(slopes.add(key * QUERIES), S::zero());
            key += 1;
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
