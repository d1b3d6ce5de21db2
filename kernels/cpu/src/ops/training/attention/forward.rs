//! Forward: tiles of keys pass by a tile of queries, whose softmax is corrected as it goes (Dao 2023,
//! algorithm 1).

use super::factors::{Arithmetic, Factors, Vector, per_arithmetic};
use super::problem::Problem;
use super::product::{Before, KEYS, Product, QUERIES, round_up, tile_rows};
use super::tile::{TOGETHER, Tile, after, copy_across, copy_rows, hide, transpose, units_wide};
use super::work::{Parts, Queries, query_tiles};
use crate::context::Context;
use crate::ops::chunks::Shared;
use crate::ops::exp::exp2_of;
use crate::ops::ln::ln;
use crate::simd::{Isa, Simd};

/// out and log_z of every row: a chunk is a tile of queries of one head.
pub unsafe fn forward(isa: Isa, context: &Context, problem: &Problem) {
    let tiles = query_tiles(problem).count();
    let arithmetic = Arithmetic::of(isa, problem.brain);
    let memory = Memory::new(problem.head_dim, isa.lanes(), arithmetic.unit_depth());
    let list = (tiles * size_of::<Queries>()).next_multiple_of(64);
    let scratch = context.scratch(list + context.threads() * memory.floats * 4);
    let list_of = scratch.cast::<Queries>();
    for (i, tile) in query_tiles(problem).enumerate() {
        unsafe { list_of.add(i).write(tile) };
    }
    let shared = Shared::new((problem, memory, scratch));
    context.parallel(tiles * problem.heads, &|chunk, worker| unsafe {
        let (problem, memory, scratch) = shared.get();
        // A head after the other, whose keys and values stay in the caches. The last tile of a document
        // is its largest: large ones first, so that small ones fill up.
        let index = tiles - 1 - chunk % tiles;
        let queries = *scratch.cast::<Queries>().add(index);
        let work = scratch.add(list).cast::<f32>().add(worker * memory.floats);
        let head = chunk / tiles;
        tile_on(isa, arithmetic, problem, &memory, work, &queries, head);
    });
}

/// Where the parts of a worker's memory begin, in floats and units.
#[derive(Clone, Copy)]
struct Memory {
    /// [queries, units_wide]: the queries' rows.
    rows: usize,
    /// [units, queries]: the queries, transposed.
    q: usize,
    /// [keys, units_wide]
    k: usize,
    /// [keys / depth, width]
    v: usize,
    /// [keys, queries]: scores, then [keys / depth, queries]: weights.
    weights: usize,
    /// [queries, width]: the result so far.
    out: usize,
    /// [queries]: the largest score so far, in powers of two.
    largest: usize,
    /// [queries]: the sum of the weights so far.
    total: usize,
    /// [queries]: what the result so far is to be multiplied by.
    correction: usize,
    floats: usize,
}

impl Memory {
    fn new(dim: usize, lanes: usize, depth: usize) -> Memory {
        let (width, units) = (round_up(dim, lanes), units_wide(dim, lanes, depth));
        let mut parts = Parts::new();
        let mut memory = Memory {
            rows: parts.take(QUERIES * units),
            q: parts.take(dim.div_ceil(depth) * QUERIES),
            k: parts.take(KEYS * units),
            v: parts.take(KEYS / depth * width),
            weights: parts.take(KEYS * QUERIES),
            out: parts.take(QUERIES * width),
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
unsafe fn tile<F: Factors>(
    problem: &Problem,
    memory: &Memory,
    work: *mut f32,
    queries: &Queries,
    head: usize,
) {
    unsafe {
        let (dim, kv_head) = (problem.head_dim, head / problem.group());
        let (lanes, units) = (F::S::LANES, dim.div_ceil(F::DEPTH));
        let wide = units_wide(dim, lanes, F::DEPTH);
        let (first, count) = (queries.document.first, queries.count());
        let columns = round_up(count, lanes);
        let rows = work.add(memory.rows);
        let place = (first + queries.first, count, columns);
        copy_rows::<F>(rows, (&problem.q, head), dim, place);
        transpose::<F::S>(work.add(memory.q), (rows, wide), (columns, units));
        for i in (0..columns).step_by(lanes) {
            let nothing = F::S::splat(f32::NEG_INFINITY);
            F::S::store(work.add(memory.largest + i), nothing);
            F::S::store(work.add(memory.total + i), F::S::zero());
        }
        let factor = problem.scale * core::f32::consts::LOG2_E;
        for k0 in (0..queries.first + count).step_by(KEYS) {
            let tile = Tile::new(queries.first, count, k0);
            let padded = round_up(tile.keys, tile_rows::<F::S>());
            let place = (first + k0, tile.keys, padded);
            let (k, v) = (work.add(memory.k), work.add(memory.v));
            copy_rows::<F>(k, (&problem.k, kv_head), dim, place);
            copy_across::<F>(v, (&problem.v, kv_head), dim, place);
            let weights = work.add(memory.weights);
            tile.scores::<F>(weights, (k, wide), (work.add(memory.q), units));
            for column in (0..columns).step_by(lanes) {
                soften::<F>(&tile, memory, work, (column, factor));
            }
            mix::<F>(&tile, memory, work, round_up(dim, lanes));
        }
        finish::<F::S>(problem, memory, work, queries, head);
    }
}
per_arithmetic! {
    unsafe fn tile_on = tile(
        problem: &Problem, memory: &Memory, work: *mut f32, queries: &Queries, head: usize,
    );
}

/// Scores to weights for one vector of queries; keeps the largest score, the sum and the correction.
#[inline(always)]
unsafe fn soften<F: Factors>(
    tile: &Tile,
    memory: &Memory,
    work: *mut f32,
    (column, factor): (usize, f32),
) {
    unsafe {
        let (seen, _, read) = tile.reach::<F::S>(column);
        if seen == 0 {
            F::S::store(work.add(memory.correction + column), F::S::splat(1.0));
        } else {
            let scores = work.add(memory.weights + column);
            let largest = work.add(memory.largest + column);
            let before = F::S::load(largest);
            let top = largest_score::<F::S>(tile, scores, (column, factor));
            let top = F::S::max(before, top);
            F::S::store(largest, top);
            let [correction] = exp2_of::<F::S, 1>([F::S::sub(before, top)]);
            F::S::store(work.add(memory.correction + column), correction);
            let sum = exponentials::<F>(tile, scores, (column, factor), top);
            let total = work.add(memory.total + column);
            F::S::store(total, F::S::fma(F::S::load(total), correction, sum));
        }
        for row in round_up(seen, TOGETHER) / F::DEPTH..read.div_ceil(F::DEPTH) {
            let to = work.add(memory.weights + row * QUERIES + column);
            F::S::store(to, F::S::zero());
        }
    }
}

/// The largest score, in powers of two, that each query of a vector sees.
#[inline(always)]
unsafe fn largest_score<S: Simd>(
    tile: &Tile,
    scores: *const f32,
    (column, factor): (usize, f32),
) -> S::F32 {
    unsafe {
        let (seen, all, _) = tile.reach::<S>(column);
        let factor = S::splat(factor);
        let mut tops = [S::splat(f32::NEG_INFINITY); TOGETHER];
        let mut key = 0;
        while key + TOGETHER <= all {
            for i in 0..TOGETHER {
                let score = S::load(scores.add((key + i) * QUERIES));
                tops[i] = S::max(tops[i], S::mul(score, factor));
            }
            key += TOGETHER;
        }
        while key < seen {
            let score = S::mul(S::load(scores.add(key * QUERIES)), factor);
            let hidden = after::<S>(tile, column, key);
            let score = S::select(hidden, S::splat(f32::NEG_INFINITY), score);
            tops[0] = S::max(tops[0], score);
            key += 1;
        }
        S::max(S::max(tops[0], tops[1]), S::max(tops[2], tops[3]))
    }
}

/// Puts 2^(score - largest) where the scores are, as units along the keys, and gives their sums.
#[inline(always)]
unsafe fn exponentials<F: Factors>(
    tile: &Tile,
    scores: *mut f32,
    (column, factor): (usize, f32),
    largest: Vector<F>,
) -> Vector<F> {
    unsafe {
        let (seen, all, _) = tile.reach::<F::S>(column);
        let factor = F::S::splat(factor);
        let mut sums = [F::S::zero(); TOGETHER];
        for key in (0..seen).step_by(TOGETHER) {
            let mut below = [F::S::zero(); TOGETHER];
            for i in 0..TOGETHER {
                let score = F::S::load(scores.add((key + i) * QUERIES));
                below[i] = F::S::sub(F::S::mul(score, factor), largest);
            }
            let mut weights = exp2_of::<F::S, TOGETHER>(below);
            if key + TOGETHER > all {
                weights = hide::<F::S>(tile, column, key, weights);
            }
            for i in 0..TOGETHER {
                sums[i] = F::S::add(sums[i], weights[i]);
            }
            // Whose place this is has been read.
            for i in (0..TOGETHER).step_by(F::DEPTH) {
                let to = scores.add((key + i) / F::DEPTH * QUERIES);
                F::S::store(to, F::across([weights[i], weights[i + F::DEPTH - 1]]));
            }
        }
        let [a, b, c, d] = sums;
        F::S::add(F::S::add(a, b), F::S::add(c, d))
    }
}

/// Adds the weighted values of a tile of keys to the result so far.
#[inline(always)]
unsafe fn mix<F: Factors>(tile: &Tile, memory: &Memory, work: *mut f32, width: usize) {
    unsafe {
        let product = Product {
            c: work.add(memory.out),
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
        for query in (0..tile.queries).step_by(tile_rows::<F::S>()) {
            let keys = tile.keys_before(query + tile_rows::<F::S>());
            if keys > 0 {
                let units = (0, keys.div_ceil(F::DEPTH));
                product.rows::<F>(query, (0, width), units, before);
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
                work.add(memory.out + query * width),
                problem.out.at(row, head, dim),
            );
            for i in (0..dim).step_by(S::LANES) {
                S::store_first(to.add(i), S::mul(S::load(from.add(i)), factor), dim - i);
            }
        }
    }
}
