//! Panels: rows copied into the order in which a register tile reads them.
//!
//! A panel of `size` rows holds, for k = 0 .. LANES, one vector of each row; then those of the next
//! LANES of k; and so on. What lies past the end of a row, or past the last row, is 0.

use super::Product;
use super::levels::{PIECE, layout, widen_on};
use super::weight::{Block8, Brain, Half, Single, Weight};
use crate::abi_generated::dtype;
use crate::simd::{Isa, Simd};
use core::sync::atomic::{Ordering, compiler_fence};

/// Bytes of weights in a chunk of work, at most: enough to let the streams run, few enough that a
/// thread that is held up does not hold up the rest.
const MAX_CHUNK: usize = 512 << 10;

/// Bytes of weights in a chunk of work, at least, so that claiming it costs little.
const MIN_CHUNK: usize = 64 << 10;

/// Chunks for each thread where their size allows: every one starts its streams anew, and the last
/// ones leave threads idle.
const CHUNKS_A_THREAD: usize = 4;

/// Bytes of a weight row.
pub fn row_bytes(dtype: u32, in_dim: usize) -> usize {
    match dtype {
        dtype::F32 => Single::row_bytes(in_dim),
        dtype::F16 | dtype::BF16 => Half::row_bytes(in_dim),
        _ => layout(dtype).map_or(0, |layout| layout.row_bytes(in_dim)),
    }
}

/// Columns of the output in a chunk, where weights are read in place by `streams` rows at once and so
/// many threads share the work.
pub fn chunk_columns(product: &Product, streams: usize, threads: usize) -> usize {
    let row_bytes = row_bytes(product.weight_dtype, product.in_dim).max(1);
    let each = row_bytes * product.out_dim / (CHUNKS_A_THREAD * threads);
    let bytes = each.clamp(MIN_CHUNK, MAX_CHUNK);
    let columns = (bytes / row_bytes).max(1).next_multiple_of(streams);
    columns.min(product.out_dim)
}

/// `pack` of rows of x.
#[inline(always)]
pub unsafe fn pack_rows<S: Simd>(
    dtype: u32,
    to: *mut f32,
    from: *const u8,
    row_bytes: usize,
    rows: (usize, usize),
    k: (usize, usize),
) {
    unsafe {
        match dtype {
            dtype::BF16 => pack::<S, Brain>(to, from, row_bytes, rows, k),
            _ => pack::<S, Single>(to, from, row_bytes, rows, k),
        }
    }
}

/// `pack` of weights of any type.
#[inline(always)]
pub unsafe fn pack_weights<S: Simd>(
    isa: Isa,
    dtype: u32,
    to: *mut f32,
    from: *const u8,
    row_bytes: usize,
    rows: (usize, usize),
    k: (usize, usize),
) {
    unsafe {
        match dtype {
            dtype::F32 => pack::<S, Single>(to, from, row_bytes, rows, k),
            dtype::F16 => pack::<S, Half>(to, from, row_bytes, rows, k),
            dtype::BF16 => pack::<S, Brain>(to, from, row_bytes, rows, k),
            dtype::Q8_0 => pack::<S, Block8>(to, from, row_bytes, rows, k),
            _ => pack_blocks::<S>(isa, dtype, to, from, row_bytes, rows, k),
        }
    }
}

/// `pack` of blocks: `first` is a multiple of every block's length.
#[inline(always)]
unsafe fn pack_blocks<S: Simd>(
    isa: Isa,
    dtype: u32,
    to: *mut f32,
    from: *const u8,
    row_bytes: usize,
    (size, present): (usize, usize),
    (first, end): (usize, usize),
) {
    let mut wide = [0f32; PIECE];
    for k in (first..end).step_by(PIECE) {
        let count = PIECE.min(end - k);
        for i in 0..size {
            unsafe {
                if i < present {
                    let from = from.add(i * row_bytes + self::row_bytes(dtype, k));
                    widen_on(isa, dtype, from, count, wide.as_mut_ptr());
                } else {
                    wide.fill(0.0);
                }
                for at in (0..count).step_by(S::LANES) {
                    let to = to.add((k - first + at) * size + i * S::LANES);
                    S::store(to, S::load(wide.as_ptr().add(at)));
                }
            }
        }
    }
}

/// Copies k = `first` .. `end` of a panel of `size` rows, of which `present` are there; `first` is a
/// multiple of the lanes.
#[inline(always)]
pub unsafe fn pack<S: Simd, W: Weight>(
    to: *mut f32,
    from: *const u8,
    row_bytes: usize,
    (size, present): (usize, usize),
    (first, end): (usize, usize),
) {
    unsafe {
        let mut to = to;
        let whole = first + (end - first) / S::LANES * S::LANES;
        for k in (first..whole).step_by(S::LANES) {
            for i in 0..present {
                let row = from.add(i * row_bytes);
                S::prefetch(row.wrapping_add(size * row_bytes + W::row_bytes(k)));
                S::store(to.add(i * S::LANES), W::load::<S>(row, k));
            }
            for i in present..size {
                S::store(to.add(i * S::LANES), S::zero());
            }
            to = to.add(size * S::LANES);
        }
        if whole < end {
            for i in 0..size {
                let mut value = S::zero();
                if i < present {
                    value = W::load_first::<S>(from.add(i * row_bytes), whole, end - whole);
                }
                S::store(to.add(i * S::LANES), value);
            }
        }
    }
}

/// Stands between the vectors of an unrolled loop over k and costs nothing: without it the compiler
/// reads several vectors ahead, runs out of registers and spills sums.
#[inline(always)]
pub fn vector_done() {
    compiler_fence(Ordering::SeqCst);
}

/// The sums of a tile so far, from scratch.
#[inline(always)]
pub unsafe fn load_sums<S: Simd, const MR: usize, const NR: usize>(
    from: *const f32,
) -> [[S::F32; NR]; MR] {
    unsafe {
        let mut sums = [[S::zero(); NR]; MR];
        for (i, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
            *sum = S::load(from.add(i * S::LANES));
        }
        sums
    }
}

/// Keeps the sums of a tile in scratch until the next block over k.
#[inline(always)]
pub unsafe fn store_sums<S: Simd, const MR: usize, const NR: usize>(
    to: *mut f32,
    sums: &[[S::F32; NR]; MR],
) {
    for (i, &sum) in sums.as_flattened().iter().enumerate() {
        unsafe { S::store(to.add(i * S::LANES), sum) };
    }
}

/// Writes one output element, or adds to it.
#[inline(always)]
pub unsafe fn write(product: &Product, row: usize, column: usize, sum: f32) {
    unsafe {
        let out = product.out.add(row * product.out_stride + column);
        *out = if product.accumulate { *out + sum } else { sum };
    }
}
