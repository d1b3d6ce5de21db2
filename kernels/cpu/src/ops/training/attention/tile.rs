//! What forward and backward share: where a tile lies, how rows are brought into working memory, the
//! scores, and how far the causal mask lets each step go.

use super::factors::Factors;
use super::problem::Head;
use super::product::{Before, KEYS, Product, QUERIES, round_up, tile_rows};
use crate::ops::gemm::Multiply;
use crate::simd::{MAX_LANES, Simd};

/// A tile of queries against a tile of keys of one document; rows count from the document's first.
#[derive(Clone, Copy)]
pub struct Tile {
    /// First query.
    pub q0: usize,
    /// Queries, at most `QUERIES`.
    pub queries: usize,
    /// First key, not after the last query.
    pub k0: usize,
    /// Keys that some query sees, at most `KEYS`.
    pub keys: usize,
}

impl Tile {
    /// The tile of keys from `k0` on.
    #[inline(always)]
    pub fn new(q0: usize, queries: usize, k0: usize) -> Tile {
        let keys = (q0 + queries - k0).min(KEYS);
        Tile {
            q0,
            queries,
            k0,
            keys,
        }
    }

    /// The queries in whole vectors.
    #[inline(always)]
    pub fn columns<S: Simd>(&self) -> usize {
        round_up(self.queries, S::LANES)
    }

    /// How many of the keys come before query `query` of the tile; that one itself is not before.
    #[inline(always)]
    pub fn keys_before(&self, query: usize) -> usize {
        (self.q0 + query).saturating_sub(self.k0).min(self.keys)
    }

    /// The first query, in the tile, that sees key `key` of the tile.
    #[inline(always)]
    pub fn first_query(&self, key: usize) -> usize {
        (self.k0 + key).saturating_sub(self.q0).min(self.queries)
    }

    /// For the vector of queries at `column`: keys that any of them sees, those that all of them see,
    /// and those up to which later steps read, where zeros have to stand.
    #[inline(always)]
    pub fn reach<S: Simd>(&self, column: usize) -> (usize, usize, usize) {
        let seen = self.keys_before(column + S::LANES);
        let all = self.keys_before(column + 1).min(seen);
        let padded = round_up(self.keys, tile_rows::<S>());
        let read = (self.q0 + column + S::LANES + tile_rows::<S>()).saturating_sub(self.k0);
        (seen, all, read.min(padded))
    }

    /// out[key, query] = sum over d of rows[key, d] transposed[d, query], where some query of the
    /// vector sees the key; a coordinate is one of `units`.
    #[inline(always)]
    pub unsafe fn scores<M: Multiply>(
        &self,
        out: *mut f32,
        (rows, width): (*const f32, usize),
        (transposed, units): (*const f32, usize),
    ) {
        let product = Product {
            c: out,
            c_stride: QUERIES,
            a: rows,
            a_row: width,
            a_step: 1,
            b: transposed,
            b_stride: QUERIES,
        };
        let (columns, lanes) = (self.columns::<M::S>(), M::S::LANES);
        for key in (0..self.keys).step_by(tile_rows::<M::S>()) {
            let first = self.first_query(key) / lanes * lanes;
            unsafe { product.rows::<M>(key, (first, columns), (0, units), Before::Zero) };
        }
    }
}

/// A lane's number in each lane.
static LANE: [f32; MAX_LANES] = [
    0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.,
];

/// For each query of a vector whether key `key` comes after it.
#[inline(always)]
pub unsafe fn after<S: Simd>(tile: &Tile, column: usize, key: usize) -> S::Mask {
    unsafe {
        let distance = (tile.k0 + key) as f32 - (tile.q0 + column) as f32;
        S::lt(S::load(LANE.as_ptr()), S::splat(distance))
    }
}

/// Keys whose scores are worked on side by side: as many as make whole units.
pub const TOGETHER: usize = 4;

/// Weights of the keys from `key` on, 0 where the query comes before the key and where no query of the
/// vector sees it, whatever stands there.
#[inline(always)]
pub unsafe fn hide<S: Simd>(
    tile: &Tile,
    column: usize,
    key: usize,
    weights: [S::F32; TOGETHER],
) -> [S::F32; TOGETHER] {
    unsafe {
        let (seen, all, _) = tile.reach::<S>(column);
        let mut kept = weights;
        for i in 0..TOGETHER {
            if key + i >= seen {
                kept[i] = S::zero();
            } else if key + i >= all {
                let hidden = after::<S>(tile, column, key + i);
                kept[i] = S::select(hidden, S::zero(), weights[i]);
            }
        }
        kept
    }
}

/// Units of a row that lies along the sum, in whole vectors.
pub const fn units_wide(dim: usize, lanes: usize, depth: usize) -> usize {
    round_up(dim.div_ceil(depth), lanes)
}

/// Copies rows of a head side by side as units along the coordinates, `units_wide` apart and padded
/// with zeros to that and to `padded` rows.
#[inline(always)]
pub unsafe fn copy_rows<F: Factors>(
    to: *mut f32,
    (from, head): (&Head, usize),
    dim: usize,
    (first, count, padded): (usize, usize, usize),
) {
    unsafe {
        let lanes = F::S::LANES;
        let width = units_wide(dim, lanes, F::DEPTH);
        for row in 0..padded {
            let to = to.add(row * width);
            for unit in (0..width).step_by(lanes) {
                let mut numbers = [F::S::zero(); 2];
                for j in 0..F::DEPTH {
                    let at = unit * F::DEPTH + j * lanes;
                    if row < count && at < dim {
                        let from = from.at(first + row, head, dim).add(at);
                        numbers[j] = F::S::load_first(from, dim - at);
                    }
                }
                F::S::store(to.add(unit), F::along(numbers));
            }
        }
    }
}

/// The same rows as units along the rows, [padded / DEPTH, dim in whole vectors].
#[inline(always)]
pub unsafe fn copy_across<F: Factors>(
    to: *mut f32,
    (from, head): (&Head, usize),
    dim: usize,
    (first, count, padded): (usize, usize, usize),
) {
    unsafe {
        let width = round_up(dim, F::S::LANES);
        for row in (0..padded).step_by(F::DEPTH) {
            let to = to.add(row / F::DEPTH * width);
            for i in (0..width).step_by(F::S::LANES) {
                let mut rows = [F::S::zero(); 2];
                for j in 0..F::DEPTH {
                    if row + j < count {
                        let from = from.at(first + row + j, head, dim).add(i);
                        rows[j] = F::S::load_first(from, dim - i);
                    }
                }
                F::S::store(to.add(i), F::across(rows));
            }
        }
    }
}

/// to[d, row] = rows[row, d] of `columns` rows of units as `copy_rows` left them, `units` in each.
#[inline(always)]
pub unsafe fn transpose<S: Simd>(
    to: *mut f32,
    (rows, width): (*const f32, usize),
    (columns, units): (usize, usize),
) {
    unsafe {
        let step = if S::TURNS { S::LANES } else { 4 };
        for row in (0..columns).step_by(step) {
            let from = rows.add(row * width);
            if S::TURNS {
                for d in (0..units).step_by(step) {
                    let to = to.add(d * QUERIES + row);
                    turn_square::<S>(to, (from.add(d), width), units - d);
                }
                continue;
            }
            for d in 0..units {
                let to = to.add(d * QUERIES + row);
                for i in 0..4 {
                    *to.add(i) = *from.add(i * width + d);
                }
            }
        }
    }
}

/// The same of as many rows and units as a vector has lanes, of which `left` units go out.
#[inline(always)]
unsafe fn turn_square<S: Simd>(to: *mut f32, (from, width): (*const f32, usize), left: usize) {
    unsafe {
        let mut lines = [S::zero(); MAX_LANES];
        for i in 0..S::LANES {
            lines[i] = S::load(from.add(i * width));
        }
        let turned = S::turn(lines);
        if left >= S::LANES {
            for i in 0..S::LANES {
                S::store(to.add(i * QUERIES), turned[i]);
            }
            return;
        }
        // Counted at run time: from memory, so that the vectors above stay in registers.
        let kept = turned;
        for (i, &vector) in kept.iter().enumerate().take(left) {
            S::store(to.add(i * QUERIES), vector);
        }
    }
}
