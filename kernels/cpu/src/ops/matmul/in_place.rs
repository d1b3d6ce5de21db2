//! Few rows: weights are read where they lie, four of their rows at once.
//!
//! What bounds this is memory. Four streams that each run through memory in order, far from one
//! another, keep its prefetchers busiest: so the rows that are read together lie a quarter of a
//! chunk apart, and only blocks are prefetched by hand. Eight rows at once, where there are registers
//! for them, spare one row of x half its way out of the second cache, from which weights that stream
//! through the first one keep driving it (kernels/lab/LOG.md has the numbers).

use super::levels::{PIECE, widen_on};
use super::panel::{chunk_columns, pack_rows, row_bytes, write};
use super::weight::{Block8, Brain, Half, Single, Weight};
use super::{Product, Terms};
use crate::abi_generated::dtype;
use crate::context::Context;
use crate::ops::gemm::{Floats, Multiply};
use crate::simd::{Isa, Simd, per_isa};

/// Rows at most: with `STREAMS` what fits into 16 registers.
pub const MAX_ROWS: usize = 3;

/// Weight rows that are read at once.
const STREAMS: usize = 4;

/// Weight rows that are read at once for one row of x, where `Weight::many` says so.
const MANY: usize = 8;

/// How far ahead of their use blocks are asked for, in bytes.
const AHEAD: usize = 1024;

/// Computes the product of at most `MAX_ROWS` rows.
pub unsafe fn multiply(isa: Isa, context: &Context, product: &Product, terms: Terms) {
    let width = product.in_dim.next_multiple_of(isa.lanes());
    let wide_floats = STREAMS * width;
    let floats = product.rows * width + wide_floats * context.threads();
    let panel = context.scratch(4 * floats).cast::<f32>();
    unsafe { pack_x_on(isa, product, panel) };
    let columns = chunk_columns(product, MANY, context.threads());
    let wide = unsafe { panel.add(product.rows * width) };
    #[rustfmt::skip]
    let task = Task { isa, product, x: panel, wide, wide_floats };
    context.parallel(product.out_dim.div_ceil(columns), &|chunk, worker| {
        let first = chunk * columns;
        let count = columns.min(product.out_dim - first);
        unsafe {
            match terms {
                Terms::Floats => chunk_on(isa, &task, first, count, worker),
                #[cfg(target_arch = "x86_64")]
                Terms::Pairs => chunk_of_pairs(&task, first, count),
            }
        }
    });
}

/// What the threads share: the product, the panel of x, and room for widened blocks of each worker.
struct Task<'a> {
    isa: Isa,
    product: &'a Product,
    x: *const f32,
    wide: *mut f32,
    wide_floats: usize,
}

unsafe impl Sync for Task<'_> {}

/// The lanes of the sums of `MR` rows and `NR` columns.
type Sums<M, const MR: usize, const NR: usize> = [[<<M as Multiply>::S as Simd>::F32; NR]; MR];

per_isa! { unsafe fn pack_x_on = pack_x(product: &Product, to: *mut f32); }
per_isa! { unsafe fn chunk_on = chunk(task: &Task, first: usize, count: usize, worker: usize); }

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
unsafe fn chunk_of_pairs(task: &Task, first: usize, count: usize) {
    unsafe { typed::<crate::ops::gemm::Pairs, Single>(task, first, count) }
}

/// Packs all of x.
#[inline(always)]
unsafe fn pack_x<S: Simd>(product: &Product, to: *mut f32) {
    let (rows, k) = ((product.rows, product.rows), (0, product.in_dim));
    let bytes = row_bytes(product.x_dtype, product.x_stride);
    unsafe { pack_rows::<S>(product.x_dtype, to, product.x, bytes, rows, k) }
}

/// All rows of `count` columns of the output.
#[inline(always)]
unsafe fn chunk<S: Simd>(task: &Task, first: usize, count: usize, worker: usize) {
    unsafe {
        match task.product.weight_dtype {
            dtype::F32 => typed::<Floats<S>, Single>(task, first, count),
            dtype::F16 => typed::<Floats<S>, Half>(task, first, count),
            dtype::BF16 => typed::<Floats<S>, Brain>(task, first, count),
            dtype::Q8_0 => typed::<Floats<S>, Block8>(task, first, count),
            _ => blocks::<S>(task, first, count, worker),
        }
    }
}

#[inline(always)]
unsafe fn typed<M: Multiply, W: Weight>(task: &Task, first: usize, count: usize) {
    unsafe {
        match task.product.rows {
            1 if W::many::<M::S>() => {
                let most = count / MANY * MANY;
                columns::<M, W, 1, MANY>(task, first, most);
                columns::<M, W, 1, STREAMS>(task, first + most, count - most);
            }
            1 => columns::<M, W, 1, STREAMS>(task, first, count),
            2 => columns::<M, W, 2, STREAMS>(task, first, count),
            _ => columns::<M, W, MAX_ROWS, STREAMS>(task, first, count),
        }
    }
}

/// `count` columns, `NR` at once.
#[inline(always)]
unsafe fn columns<M: Multiply, W: Weight, const MR: usize, const NR: usize>(
    task: &Task,
    first: usize,
    count: usize,
) {
    unsafe {
        let apart = count / NR;
        let row_bytes = W::row_bytes(task.product.in_dim);
        let weight = task.product.weight;
        for column in first..first + apart {
            let mut w = [weight; NR];
            for (j, w) in w.iter_mut().enumerate() {
                *w = w.add((column + j * apart) * row_bytes);
            }
            tile::<M, W, MR, NR>(task, w, column, apart);
        }
        for column in first + apart * NR..first + count {
            let w = [weight.add(column * row_bytes)];
            tile::<M, W, MR, 1>(task, w, column, 0);
        }
    }
}

/// Columns of blocks: four at a time are widened, and multiplied as floats.
#[inline(always)]
unsafe fn blocks<S: Simd>(task: &Task, first: usize, count: usize, worker: usize) {
    unsafe {
        let (product, code) = (task.product, task.product.weight_dtype);
        let row_bytes = row_bytes(code, product.in_dim);
        let wide = task.wide.add(worker * task.wide_floats);
        for column in (first..first + count).step_by(STREAMS) {
            let present = STREAMS.min(first + count - column);
            for j in 0..present {
                let from = product.weight.add((column + j) * row_bytes);
                for k in (0..product.in_dim).step_by(PIECE) {
                    let (from, to) = (from.add(self::row_bytes(code, k)), j * product.in_dim + k);
                    widen_on(
                        task.isa,
                        code,
                        from,
                        PIECE.min(product.in_dim - k),
                        wide.add(to),
                    );
                }
            }
            for j in 0..present {
                let w = [wide.add(j * product.in_dim).cast_const().cast()];
                match product.rows {
                    1 => tile::<Floats<S>, Single, 1, 1>(task, w, column + j, 0),
                    2 => tile::<Floats<S>, Single, 2, 1>(task, w, column + j, 0),
                    _ => tile::<Floats<S>, Single, MAX_ROWS, 1>(task, w, column + j, 0),
                }
            }
        }
    }
}

/// `MR` rows of `NR` columns, `apart` from one another, whose weights start at `w`.
#[inline(always)]
unsafe fn tile<M: Multiply, W: Weight, const MR: usize, const NR: usize>(
    task: &Task,
    w: [*const u8; NR],
    column: usize,
    apart: usize,
) {
    unsafe {
        let product = task.product;
        let sums = if W::BLOCKS && M::S::Q8_0_DOTS && MR == 1 && NR == STREAMS {
            one_row_block_dots::<M::S, MR, NR>(task.x, w, product.in_dim)
        } else if W::BLOCKS {
            block_dots::<M::S, MR, NR>(task.x, w, product.in_dim)
        } else if W::PAIRS && MR == 1 {
            pair_dots::<M, W, MR, NR>(task.x, w, product.in_dim)
        } else {
            dots::<M, W, MR, NR>(task.x, w, 0, product.in_dim, [[M::S::zero(); NR]; MR])
        };
        for (row, sums) in sums.iter().enumerate() {
            for j in (0..NR / STREAMS * STREAMS).step_by(STREAMS) {
                let four = M::S::reduce_add4([sums[j], sums[j + 1], sums[j + 2], sums[j + 3]]);
                for (i, sum) in four.into_iter().enumerate() {
                    write(product, row, column + (j + i) * apart, sum);
                }
            }
            if NR == 1 {
                write(product, row, column, M::S::reduce_add(sums[0]));
            }
        }
    }
}

/// `dots` over all of k, for types that are widened best two vectors at a time.
#[inline(always)]
unsafe fn pair_dots<M: Multiply, W: Weight, const MR: usize, const NR: usize>(
    x: *const f32,
    w: [*const u8; NR],
    in_dim: usize,
) -> Sums<M, MR, NR> {
    unsafe {
        let mut sums = [[M::S::zero(); NR]; MR];
        let mut k = 0;
        while k + 2 * M::S::LANES <= in_dim {
            let first = load_rows::<M::S, MR>(x.add(MR * k));
            let second = load_rows::<M::S, MR>(x.add(MR * (k + M::S::LANES)));
            for j in 0..NR {
                let pair = W::load_pair::<M::S>(w[j], k);
                for i in 0..MR {
                    sums[i][j] = M::add(sums[i][j], first[i], pair[0]);
                    sums[i][j] = M::add(sums[i][j], second[i], pair[1]);
                }
            }
            k += 2 * M::S::LANES;
        }
        dots::<M, W, MR, NR>(x.add(MR * k), w, k, in_dim, sums)
    }
}

/// The lanes of `MR` times `NR` sums from `k` on, added to `sums`; x is there already.
#[inline(always)]
unsafe fn dots<M: Multiply, W: Weight, const MR: usize, const NR: usize>(
    mut x: *const f32,
    w: [*const u8; NR],
    mut k: usize,
    in_dim: usize,
    mut sums: Sums<M, MR, NR>,
) -> Sums<M, MR, NR> {
    unsafe {
        while k + M::S::LANES <= in_dim {
            let values = load_rows::<M::S, MR>(x);
            for j in 0..NR {
                let weight = W::load::<M::S>(w[j], k);
                for i in 0..MR {
                    sums[i][j] = M::add(sums[i][j], values[i], weight);
                }
            }
            x = x.add(MR * M::S::LANES);
            k += M::S::LANES;
        }
        if k < in_dim {
            let values = load_rows::<M::S, MR>(x);
            for j in 0..NR {
                let weight = W::load_first::<M::S>(w[j], k, in_dim - k);
                for i in 0..MR {
                    sums[i][j] = M::add(sums[i][j], values[i], weight);
                }
            }
        }
        sums
    }
}

/// `block_dots` of one row by four that lie equally far apart.
#[inline(always)]
unsafe fn one_row_block_dots<S: Simd, const MR: usize, const NR: usize>(
    x: *const f32,
    w: [*const u8; NR],
    in_dim: usize,
) -> [[S::F32; NR]; MR] {
    unsafe {
        let apart = w[1 % NR] as usize - w[0] as usize;
        let four = S::q8_0_dots(x, w[0], apart, in_dim / 32);
        let mut sums = [[S::zero(); NR]; MR];
        for j in 0..NR {
            sums[0][j] = four[j % STREAMS];
        }
        sums
    }
}

/// `dots` of q8_0 weights, block by block: each scale is widened once. Their levels take so long to
/// widen that fewer loads are under way than memory can serve, so they are asked for ahead.
#[inline(always)]
unsafe fn block_dots<S: Simd, const MR: usize, const NR: usize>(
    mut x: *const f32,
    mut w: [*const u8; NR],
    in_dim: usize,
) -> [[S::F32; NR]; MR] {
    unsafe {
        let mut sums = [[S::zero(); NR]; MR];
        for _ in 0..in_dim / 32 {
            let at = [w[0], w[1 % NR], w[2 % NR], w[3 % NR]];
            let scales = S::splats_f16([at[0].cast(), at[1].cast(), at[2].cast(), at[3].cast()]);
            // Plain counting loops: others are not unrolled, which leaves the sums in memory.
            for v in 0..16 / S::LANES {
                let first = load_rows::<S, MR>(x);
                let second = load_rows::<S, MR>(x.add(MR * S::LANES));
                x = x.add(2 * MR * S::LANES);
                for j in 0..NR {
                    let pair = S::load_i8_pair(w[j].add(2 + 2 * v * S::LANES).cast());
                    let weights = [S::mul(pair[0], scales[j]), S::mul(pair[1], scales[j])];
                    for i in 0..MR {
                        sums[i][j] = S::fma(first[i], weights[0], sums[i][j]);
                        sums[i][j] = S::fma(second[i], weights[1], sums[i][j]);
                    }
                }
            }
            for j in 0..NR {
                S::prefetch(w[j].wrapping_add(AHEAD));
                w[j] = w[j].add(Block8::BYTES);
            }
        }
        sums
    }
}

/// One vector of each row of a panel.
#[inline(always)]
unsafe fn load_rows<S: Simd, const MR: usize>(x: *const f32) -> [S::F32; MR] {
    unsafe {
        let mut values = [S::zero(); MR];
        for (i, value) in values.iter_mut().enumerate() {
            *value = S::load(x.add(i * S::LANES));
        }
        values
    }
}
