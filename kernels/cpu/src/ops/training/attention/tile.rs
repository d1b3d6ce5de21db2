//! What forward and backward share: where a tile lies, how rows are brought into working memory, the
//! scores, and how far the causal mask lets each step go.

use super::problem::Head;
use super::product::{Before, KEYS, Product, QUERIES, round_up, tile_rows};
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
    /// vector sees the key.
    #[inline(always)]
    pub unsafe fn scores<S: Simd>(
        &self,
        out: *mut f32,
        (rows, width): (*const f32, usize),
        (transposed, dim): (*const f32, usize),
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
        let columns = self.columns::<S>();
        for key in (0..self.keys).step_by(tile_rows::<S>()) {
            let first = self.first_query(key) / S::LANES * S::LANES;
            unsafe { product.rows::<S>(key, (first, columns), (0, dim), Before::Zero) };
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

/// Copies rows of a head side by side, `width` apart and padded with zeros to that and to `padded`
/// rows.
#[inline(always)]
pub unsafe fn copy_rows<S: Simd>(
    to: *mut f32,
    (from, head): (&Head, usize),
    dim: usize,
    (first, count, padded): (usize, usize, usize),
) {
    unsafe {
        let width = round_up(dim, S::LANES);
        for row in 0..padded {
            let to = to.add(row * width);
            for i in (0..width).step_by(S::LANES) {
                let vector = if row < count {
                    S::load_first(from.at(first + row, head, dim).add(i), dim - i)
                } else {
                    S::zero()
                };
                S::store(to.add(i), vector);
            }
        }
    }
}

/// to[d, row] = rows[row, d] factor of rows as `copy_rows` left them, `columns` of them.
#[inline(always)]
pub unsafe fn transpose<S: Simd>(
    to: *mut f32,
    (rows, width): (*const f32, usize),
    (columns, dim): (usize, usize),
    factor: f32,
) {
    unsafe {
        let step = if S::TURNS { S::LANES } else { 4 };
        for row in (0..columns).step_by(step) {
            let from = rows.add(row * width);
            if S::TURNS {
                for d in (0..dim).step_by(step) {
                    let to = to.add(d * QUERIES + row);
                    turn_square::<S>(to, (from.add(d), width), dim - d, factor);
                }
                continue;
            }
            for d in 0..dim {
                let to = to.add(d * QUERIES + row);
                for i in 0..4 {
                    *to.add(i) = *from.add(i * width + d) * factor;
                }
            }
        }
    }
}

/// The same of as many rows and coordinates as a vector has lanes, of which `left` coordinates go out.
#[inline(always)]
unsafe fn turn_square<S: Simd>(
    to: *mut f32,
    (from, width): (*const f32, usize),
    left: usize,
    factor: f32,
) {
    unsafe {
        let factor = S::splat(factor);
        let mut lines = [S::zero(); MAX_LANES];
        for i in 0..S::LANES {
            lines[i] = S::mul(S::load(from.add(i * width)), factor);
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
