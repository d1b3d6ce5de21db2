//! Forward: tiles of keys pass by a tile of queries, whose softmax is corrected as it goes (Dao 2023,
//! algorithm 1).

use super::problem::Problem;
use super::product::{Before, KEYS, Product, QUERIES, round_up, tile_rows};
use super::tile::{Tile, after, copy_rows, transpose};
use super::work::{Parts, Queries, query_tiles};
use crate::context::Context;
use crate::ops::chunks::Shared;
use crate::ops::exp::exp2_of;
use crate::ops::ln::ln;
use crate::simd::{Isa, Simd, per_isa};

/// out and log_z of every row: a chunk is a tile of queries of one head.
pub unsafe fn forward(isa: Isa, context: &Context, problem: &Problem) {
    let tiles = query_tiles(problem).count();
    let memory = Memory::new(problem.head_dim, isa.lanes());
    let list = (tiles * size_of::<Queries>()).next_multiple_of(64);
    let scratch = context.scratch(list + context.threads() * memory.floats * 4);
    let list_of = scratch.cast::<Queries>();
    for (i, tile) in query_tiles(problem).enumerate() {
        unsafe { list_of.add(i).write(tile) };
    }
    let shared = Shared::new((problem, memory, scratch));
    context.parallel(tiles * problem.heads, &|chunk, worker| unsafe {
        let (problem, memory, scratch) = shared.get();
        // The last tile of a document is its largest: large ones first, so that small ones fill up.
        let index = tiles - 1 - chunk / problem.heads;
        let queries = *scratch.cast::<Queries>().add(index);
        let work = scratch.add(list).cast::<f32>().add(worker * memory.floats);
        tile_on(isa, problem, &memory, work, &queries, chunk % problem.heads);
    });
}

/// Where the parts of a worker's memory begin, in floats.
#[derive(Clone, Copy)]
struct Memory {
    /// [queries, width]: the queries' rows, and then the result.
    rows: usize,
    /// [head_dim, queries]: the queries, scaled and transposed.
    q: usize,
    /// [keys, width]
    k: usize,
    /// [keys, width]
    v: usize,
    /// [keys, queries]: scores, then weights.
    weights: usize,
    /// [queries]: the largest score so far.
    largest: usize,
    /// [queries]: the sum of the weights so far.
    total: usize,
    /// [queries]: what the result so far is to be multiplied by.
    correction: usize,
    floats: usize,
}

impl Memory {
    fn new(dim: usize, lanes: usize) -> Memory {
        let width = round_up(dim, lanes);
        let mut parts = Parts::new();
        let mut memory = Memory {
            rows: parts.take(QUERIES * width),
            q: parts.take(dim * QUERIES),
            k: parts.take(KEYS * width),
            v: parts.take(KEYS * width),
            weights: parts.take(KEYS * QUERIES),
            largest: parts.take(QUERIES),
            total: parts.take(QUERIES),
            correction: parts.take(QUERIES),
            floats: 0,
        };
        memory.floats = parts.floats();
        memory
    }
}

#[inline(always)]
unsafe fn tile<S: Simd>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    queries: &Queries,
    head: usize,
) {
    unsafe {
        let (dim, kv_head) = (problem.head_dim, head / problem.group());
        let width = round_up(dim, S::LANES);
        let (first, count) = (queries.document.first, queries.count());
        let columns = round_up(count, S::LANES);
        let rows = work.add(memory.rows);
        let place = (first + queries.first, count, columns);
        copy_rows::<S>(rows, (&problem.q, head), dim, place);
        // Scores in powers of two.
        let factor = problem.scale * core::f32::consts::LOG2_E;
        transpose::<S>(work.add(memory.q), (rows, width), (columns, dim), factor);
        for i in (0..columns).step_by(S::LANES) {
            S::store(work.add(memory.largest + i), S::splat(f32::NEG_INFINITY));
            S::store(work.add(memory.total + i), S::zero());
        }
        for k0 in (0..queries.first + count).step_by(KEYS) {
            let tile = Tile::new(queries.first, count, k0);
            let place = (first + k0, tile.keys, round_up(tile.keys, tile_rows::<S>()));
            let (k, v) = (work.add(memory.k), work.add(memory.v));
            copy_rows::<S>(k, (&problem.k, kv_head), dim, place);
            copy_rows::<S>(v, (&problem.v, kv_head), dim, place);
            let weights = work.add(memory.weights);
            tile.scores::<S>(weights, (k, width), (work.add(memory.q), dim));
            for column in (0..columns).step_by(S::LANES) {
                soften::<S>(&tile, memory, work, column);
            }
            mix::<S>(&tile, memory, work, width);
        }
        finish::<S>(problem, memory, work, queries, head);
    }
}
per_isa! {
    unsafe fn tile_on = tile(
        problem: &Problem, memory: &Memory, work: *mut f32, queries: &Queries, head: usize,
    );
}

/// Scores whose exponentials are taken side by side.
const TOGETHER: usize = 4;

/// Scores to weights for one vector of queries; keeps the largest score, the sum and the correction.
#[inline(always)]
unsafe fn soften<S: Simd>(tile: &Tile, memory: &Memory, work: *mut f32, column: usize) {
    unsafe {
        let weights = work.add(memory.weights + column);
        let at = |key: usize| weights.add(key * QUERIES);
        let (seen, all, read) = tile.reach::<S>(column);
        let before = S::load(work.add(memory.largest + column));
        let mut largest = before;
        for key in 0..seen {
            let mut score = S::load(at(key));
            if key >= all {
                score = S::select(
                    after::<S>(tile, column, key),
                    S::splat(f32::NEG_INFINITY),
                    score,
                );
                S::store(at(key), score);
            }
            largest = S::max(largest, score);
        }
        let [correction] = exp2_of::<S, 1>([S::sub(before, largest)]);
        let mut sums = [S::zero(); TOGETHER];
        let mut key = 0;
        while key + TOGETHER <= seen {
            let mut scores = [S::zero(); TOGETHER];
            for (i, score) in scores.iter_mut().enumerate() {
                *score = S::sub(S::load(at(key + i)), largest);
            }
            for (i, weight) in exp2_of::<S, TOGETHER>(scores).into_iter().enumerate() {
                S::store(at(key + i), weight);
                sums[i] = S::add(sums[i], weight);
            }
            key += TOGETHER;
        }
        while key < seen {
            let [weight] = exp2_of::<S, 1>([S::sub(S::load(at(key)), largest)]);
            S::store(at(key), weight);
            sums[0] = S::add(sums[0], weight);
            key += 1;
        }
        while key < read {
            S::store(at(key), S::zero());
            key += 1;
        }
        if seen > 0 {
            let sum = S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3]));
            let total = work.add(memory.total + column);
            S::store(total, S::fma(S::load(total), correction, sum));
            S::store(work.add(memory.largest + column), largest);
            S::store(work.add(memory.correction + column), correction);
        } else {
            S::store(work.add(memory.correction + column), S::splat(1.0));
        }
    }
}

/// Adds the weighted values of a tile of keys to the result so far.
#[inline(always)]
unsafe fn mix<S: Simd>(tile: &Tile, memory: &Memory, work: *mut f32, width: usize) {
    unsafe {
        let product = Product {
            c: work.add(memory.rows),
            c_stride: width,
            a: work.add(memory.weights),
            a_row: 1,
            a_step: QUERIES,
            b: work.add(memory.v),
            b_stride: width,
        };
        let before = match tile.k0 {
            0 => Before::Zero,
            _ => Before::Scaled(work.add(memory.correction)),
        };
        for query in (0..tile.queries).step_by(tile_rows::<S>()) {
            let keys = tile.keys_before(query + tile_rows::<S>());
            if keys > 0 {
                product.rows::<S>(query, (0, width), (0, keys), before);
            }
        }
    }
}

/// Divides by the sums and writes the rows out.
#[inline(always)]
unsafe fn finish<S: Simd>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    queries: &Queries,
    head: usize,
) {
    unsafe {
        let dim = problem.head_dim;
        let width = round_up(dim, S::LANES);
        for query in 0..queries.count() {
            let row = queries.document.first + queries.first + query;
            let total = *work.add(memory.total + query);
            let largest = *work.add(memory.largest + query);
            let largest = f64::from(largest) * core::f64::consts::LN_2;
            *problem.log_z.add(row * problem.heads + head) =
                (largest + ln(f64::from(total))) as f32;
            let factor = S::splat(1.0 / total);
            let (from, to) = (
                work.add(memory.rows + query * width),
                problem.out.at(row, head, dim),
            );
            for i in (0..dim).step_by(S::LANES) {
                S::store_first(to.add(i), S::mul(S::load(from.add(i)), factor), dim - i);
            }
        }
    }
}
