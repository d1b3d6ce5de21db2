//! Backward of RMSNorm (Zhang & Sennrich 2019, eq. 4) and LayerNorm (Ba et al. 2016, eq. 4).
//!
//! Blocks of rows go to the threads; each block sums its part of the weight's gradient in scratch,
//! and the parts are added up in the order of the blocks.

use crate::context::{Context, Status};
use crate::ops::chunks::{Shared, in_rows};
use crate::ops::reduce::{Plain, sum};
use crate::simd::{Isa, Simd, isa, per_isa};

/// Rows of a block, at least: their share of the weight's gradient costs one row more.
const MIN_ROWS: usize = 32;
/// Elements of a block, at least, so that a thread is worth waking.
const MIN_ELEMENTS: usize = 1 << 15;
/// Columns that one thread adds up over the blocks.
const COLUMNS: usize = 256;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Root mean square alone.
    Rms,
    /// Mean taken off, biased variance.
    Layer,
}

/// Arguments of either kernel; `dbias` may be null.
#[derive(Clone, Copy)]
struct Norm {
    kind: Kind,
    dx: *mut f32,
    dweight: *mut f32,
    dbias: *mut f32,
    dy: *const f32,
    x: *const f32,
    weight: *const f32,
    rows: usize,
    dim: usize,
    eps: f32,
}

/// The kernel `rms_norm_backward` of the table.
pub unsafe fn rms_norm_backward(
    context: &Context,
    dx: *mut f32,
    dweight: *mut f32,
    dy: *const f32,
    x: *const f32,
    weight: *const f32,
    rows: u32,
    dim: u32,
    eps: f32,
) -> Status {
    let norm = Norm {
        kind: Kind::Rms,
        dx,
        dweight,
        dbias: core::ptr::null_mut(),
        dy,
        x,
        weight,
        rows: rows as usize,
        dim: dim as usize,
        eps,
    };
    unsafe { backward_with(isa(), context, &norm) };
    Ok(())
}

/// The kernel `layer_norm_backward` of the table.
pub unsafe fn layer_norm_backward(
    context: &Context,
    dx: *mut f32,
    dweight: *mut f32,
    dbias: *mut f32,
    dy: *const f32,
    x: *const f32,
    weight: *const f32,
    rows: u32,
    dim: u32,
    eps: f32,
) -> Status {
    let norm = Norm {
        kind: Kind::Layer,
        dx,
        dweight,
        dbias,
        dy,
        x,
        weight,
        rows: rows as usize,
        dim: dim as usize,
        eps,
    };
    unsafe { backward_with(isa(), context, &norm) };
    Ok(())
}

unsafe fn backward_with(isa: Isa, context: &Context, norm: &Norm) {
    let (rows, dim) = (norm.rows, norm.dim);
    if rows == 0 || dim == 0 {
        return;
    }
    let per_block = (MIN_ELEMENTS / dim).max(MIN_ROWS);
    let blocks = rows.div_ceil(per_block);
    let sums = if norm.dbias.is_null() { 1 } else { 2 };
    let parts = context.scratch(blocks * sums * dim * 4).cast::<f32>();
    let shared = Shared::new((norm, parts));
    context.parallel(blocks, &|block, _| {
        let (norm, parts) = shared.get();
        let range = (block * per_block, ((block + 1) * per_block).min(norm.rows));
        unsafe { block_on(isa, norm, parts.add(block * sums * dim), range) };
    });
    in_rows(
        context,
        dim.div_ceil(COLUMNS),
        COLUMNS * blocks,
        &|first, last| {
            let (norm, parts) = shared.get();
            let columns = (first * COLUMNS, (last * COLUMNS).min(dim));
            unsafe {
                add_parts_on(isa, norm.dweight, parts, (blocks, sums * dim), columns);
                if sums == 2 {
                    add_parts_on(
                        isa,
                        norm.dbias,
                        parts.add(dim),
                        (blocks, sums * dim),
                        columns,
                    );
                }
            }
        },
    );
}

/// out[c] += sum over the blocks of part[block, c], in their order.
#[inline(always)]
unsafe fn add_parts<S: Simd>(
    out: *mut f32,
    parts: *const f32,
    (blocks, stride): (usize, usize),
    (first, last): (usize, usize),
) {
    unsafe {
        for c in (first..last).step_by(S::LANES) {
            let count = last - c;
            let mut total = S::load_first(parts.add(c), count);
            for block in 1..blocks {
                total = S::add(total, S::load_first(parts.add(block * stride + c), count));
            }
            let total = S::add(S::load_first(out.add(c), count), total);
            S::store_first(out.add(c), total, count);
        }
    }
}
per_isa! {
    unsafe fn add_parts_on = add_parts(
        out: *mut f32, parts: *const f32, blocks: (usize, usize), columns: (usize, usize),
    );
}

/// The rows first .. last; `part` gets their sums for dweight and then, where wanted, dbias.
#[inline(always)]
unsafe fn block<S: Simd>(norm: &Norm, part: *mut f32, (first, last): (usize, usize)) {
    unsafe {
        let dim = norm.dim;
        let biased = !norm.dbias.is_null();
        for i in (0..if biased { 2 * dim } else { dim }).step_by(S::LANES) {
            let count = if biased { 2 * dim } else { dim } - i;
            S::store_first(part.add(i), S::zero(), count);
        }
        for row in first..last {
            let (x, dy) = (norm.x.add(row * dim), norm.dy.add(row * dim));
            let dx = norm.dx.add(row * dim);
            let moments = moments::<S>(norm, dy, x);
            add_row::<S>(norm, &moments, dx, (dy, x), part);
        }
    }
}
per_isa! {
    unsafe fn block_on = block(norm: &Norm, part: *mut f32, rows: (usize, usize));
}

/// What a row's gradient needs to know of the whole row.
struct Moments {
    /// Mean of x, 0 for RMSNorm.
    mean: f32,
    /// 1 / sqrt(mean square + eps), of the distances from the mean.
    factor: f32,
    /// mean(weight dy), 0 for RMSNorm.
    gradient: f32,
    /// mean(weight dy n)
    along: f32,
}

#[inline(always)]
unsafe fn moments<S: Simd>(norm: &Norm, dy: *const f32, x: *const f32) -> Moments {
    unsafe {
        let dim = norm.dim;
        let mean = match norm.kind {
            Kind::Rms => 0.0,
            Kind::Layer => sum::<S>(x, dim, Plain) / dim as f32,
        };
        let mut squares = [S::zero(); 2];
        let mut gradients = [S::zero(); 2];
        let mut along = [S::zero(); 2];
        let mut i = 0;
        while i + 2 * S::LANES <= dim {
            for j in 0..2 {
                let at = i + j * S::LANES;
                let distance = S::sub(S::load(x.add(at)), S::splat(mean));
                let gradient = S::mul(S::load(norm.weight.add(at)), S::load(dy.add(at)));
                squares[j] = S::fma(distance, distance, squares[j]);
                gradients[j] = S::add(gradient, gradients[j]);
                along[j] = S::fma(gradient, distance, along[j]);
            }
            i += 2 * S::LANES;
        }
        let mut rest = [0.0f32; 3];
        while i < dim {
            let distance = *x.add(i) - mean;
            let gradient = *norm.weight.add(i) * *dy.add(i);
            rest[0] += distance * distance;
            rest[1] += gradient;
            rest[2] += gradient * distance;
            i += 1;
        }
        let total = |sums: [S::F32; 2], rest: f32| S::reduce_add(S::add(sums[0], sums[1])) + rest;
        let mean_square = total(squares, rest[0]) / dim as f32;
        let factor = crate::simd::square_root(1.0 / (mean_square + norm.eps));
        let gradient = match norm.kind {
            Kind::Rms => 0.0,
            Kind::Layer => total(gradients, rest[1]) / dim as f32,
        };
        let along = total(along, rest[2]) / dim as f32 * factor;
        Moments {
            mean,
            factor,
            gradient,
            along,
        }
    }
}

#[inline(always)]
unsafe fn add_row<S: Simd>(
    norm: &Norm,
    moments: &Moments,
    dx: *mut f32,
    (dy, x): (*const f32, *const f32),
    part: *mut f32,
) {
    unsafe {
        let (dim, biased) = (norm.dim, !norm.dbias.is_null());
        let (mean, factor) = (S::splat(moments.mean), S::splat(moments.factor));
        let (gradient, along) = (S::splat(moments.gradient), S::splat(-moments.along));
        for i in (0..dim).step_by(S::LANES) {
            let count = dim - i;
            let up = S::load_first(dy.add(i), count);
            let normal = S::mul(S::sub(S::load_first(x.add(i), count), mean), factor);
            let inner = S::sub(
                S::mul(S::load_first(norm.weight.add(i), count), up),
                gradient,
            );
            let inner = S::fma(normal, along, inner);
            let sum = S::fma(inner, factor, S::load_first(dx.add(i), count));
            S::store_first(dx.add(i), sum, count);
            let to = part.add(i);
            S::store_first(to, S::fma(up, normal, S::load_first(to, count)), count);
            if biased {
                let to = part.add(dim + i);
                S::store_first(to, S::add(up, S::load_first(to, count)), count);
            }
        }
    }
}
