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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, context, numbers};

    /// dx, dweight and dbias in double precision, for gradients that begin at 0.
    fn reference(kind: Kind, dy: &[f32], x: &[f32], weight: &[f32], eps: f32) -> [Vec<f64>; 3] {
        let dim = weight.len();
        let n = dim as f64;
        let (mut dx, mut dweight, mut dbias) = (Vec::new(), vec![0.0; dim], vec![0.0; dim]);
        for (x, dy) in x.chunks(dim).zip(dy.chunks(dim)) {
            let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            let mean = match kind {
                Kind::Rms => 0.0,
                Kind::Layer => wide.iter().sum::<f64>() / n,
            };
            let square = wide.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
            let factor = 1.0 / (square + f64::from(eps)).sqrt();
            let normal: Vec<f64> = wide.iter().map(|v| (v - mean) * factor).collect();
            let inner: Vec<f64> = (0..dim)
                .map(|i| f64::from(dy[i]) * f64::from(weight[i]))
                .collect();
            let shift = match kind {
                Kind::Rms => 0.0,
                Kind::Layer => inner.iter().sum::<f64>() / n,
            };
            let along = inner.iter().zip(&normal).map(|(a, b)| a * b).sum::<f64>() / n;
            for i in 0..dim {
                dx.push(factor * (inner[i] - shift - normal[i] * along));
                dweight[i] += f64::from(dy[i]) * normal[i];
                dbias[i] += f64::from(dy[i]);
            }
        }
        [dx, dweight, dbias]
    }

    fn run(
        isa: Isa,
        kind: Kind,
        (dy, x, weight): (&[f32], &[f32], &[f32]),
        eps: f32,
    ) -> [Vec<f32>; 3] {
        let dim = weight.len();
        let mut results = [vec![0.0; x.len()], vec![0.0; dim], vec![0.0; dim]];
        let [dx, dweight, dbias] = &mut results;
        let norm = Norm {
            kind,
            dx: dx.as_mut_ptr(),
            dweight: dweight.as_mut_ptr(),
            dbias: dbias.as_mut_ptr(),
            dy: dy.as_ptr(),
            x: x.as_ptr(),
            weight: weight.as_ptr(),
            rows: x.len() / dim,
            dim,
            eps,
        };
        unsafe { backward_with(isa, context(), &norm) };
        results
    }

    #[test]
    fn gradients_agree_with_double_precision_on_every_instruction_set() {
        for (rows, dim) in [(1, 2), (3, 5), (33, 31), (70, 64), (2, 1027), (100, 768)] {
            let (dy, x) = (numbers(rows * dim, 1), numbers(rows * dim, 2));
            let weight = numbers(dim, 3);
            for kind in [Kind::Rms, Kind::Layer] {
                let want = reference(kind, &dy, &x, &weight, 1e-3);
                for isa in Isa::available() {
                    let got = run(isa, kind, (&dy, &x, &weight), 1e-3);
                    for (got, want) in got.iter().zip(&want) {
                        assert_close(got, want, 3e-6, isa);
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_added_to_what_is_there() {
        let (dy, x, weight) = (numbers(80, 4), numbers(80, 5), numbers(8, 6));
        for isa in Isa::available() {
            let [dx, dweight, dbias] = run(isa, Kind::Layer, (&dy, &x, &weight), 1e-5);
            let (mut a, mut b, mut c) = (vec![8.0; 80], vec![8.0; 8], vec![8.0; 8]);
            let norm = Norm {
                kind: Kind::Layer,
                dx: a.as_mut_ptr(),
                dweight: b.as_mut_ptr(),
                dbias: c.as_mut_ptr(),
                dy: dy.as_ptr(),
                x: x.as_ptr(),
                weight: weight.as_ptr(),
                rows: 10,
                dim: 8,
                eps: 1e-5,
            };
            unsafe { backward_with(isa, context(), &norm) };
            for (got, gained) in [(a, dx), (b, dweight), (c, dbias)] {
                let want: Vec<f64> = gained.iter().map(|&v| f64::from(v) + 8.0).collect();
                assert_close(&got, &want, 1e-6, isa);
            }
        }
    }
}
