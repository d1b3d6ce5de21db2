//! The register tile: a few rows of a by a few vectors of columns of b.

use super::ahead::Walk;
use super::multiply::Multiply;
use crate::simd::Simd;

/// Rows of a tile.
pub const fn tile_rows(lanes: usize) -> usize {
    match lanes {
        16 => 12,
        8 => 6,
        _ if cfg!(target_arch = "aarch64") => 8,
        _ => 3,
    }
}

/// Vectors of columns of a tile.
pub const fn tile_vectors(lanes: usize) -> usize {
    if lanes == 4 { 3 } else { 2 }
}

/// Units after which a line of what comes next is asked for: rarely enough that loads of this tile find
/// the processor's miss buffers free.
const UNITS_PER_LINE: usize = 4;
/// The turn among those units at which a line of the output is asked for.
const OUT_TURN: usize = 2;

/// Where the sums of a tile go.
#[derive(Clone, Copy)]
pub struct Target {
    pub out: *mut f32,
    pub stride: usize,
    /// Rows and columns that lie in the output.
    pub rows: usize,
    pub columns: usize,
    /// Whether sums are added to what is there.
    pub add: bool,
}

/// Adds `units` units of a panel of a by a panel of b to the target: a chain over depth for each
/// element, from 0 on. Meanwhile it walks over lines that will be read later.
#[inline(always)]
pub unsafe fn tile<M: Multiply, const MR: usize, const NV: usize>(
    a: *const f32,
    b: *const f32,
    units: usize,
    target: Target,
    walk: Walk,
) {
    unsafe {
        if !M::S::PREFETCHES_AHEAD {
            for i in 0..target.rows {
                M::S::prefetch(target.out.wrapping_add(i * target.stride).cast());
            }
        }
        let bytes = target.columns.min(NV * M::S::LANES) * 4;
        let outs = Walk::over((target.out.cast(), bytes), (target.rows, target.stride * 4));
        let sums = chains::<M, MR, NV>(a, b, units, walk, outs);
        if target.rows == MR && target.columns == NV * M::S::LANES {
            write_whole::<M, MR, NV>(&sums, target);
        } else {
            write_part::<M, MR, NV>(&sums, target);
        }
    }
}

/// The sums of a tile over one block.
#[inline(always)]
unsafe fn chains<M: Multiply, const MR: usize, const NV: usize>(
    mut a: *const f32,
    mut b: *const f32,
    units: usize,
    mut next: Walk,
    mut out: Walk,
) -> [[<M::S as Simd>::F32; NV]; MR] {
    unsafe {
        let mut sums = [[M::S::zero(); NV]; MR];
        for k in 0..units {
            if M::S::PREFETCHES_AHEAD {
                match k % UNITS_PER_LINE {
                    0 => next.step::<M::S>(),
                    OUT_TURN => out.step::<M::S>(),
                    _ => {}
                }
            }
            let mut columns = [M::S::zero(); NV];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = M::S::load(b.add(j * M::S::LANES));
            }
            for i in 0..MR {
                let row = M::S::splat(*a.add(i));
                for j in 0..NV {
                    sums[i][j] = M::add(sums[i][j], row, columns[j]);
                }
            }
            a = a.add(MR);
            b = b.add(NV * M::S::LANES);
        }
        sums
    }
}

#[inline(always)]
unsafe fn write_whole<M: Multiply, const MR: usize, const NV: usize>(
    sums: &[[<M::S as Simd>::F32; NV]; MR],
    target: Target,
) {
    unsafe {
        for (i, row) in sums.iter().enumerate() {
            for (j, &sum) in row.iter().enumerate() {
                let out = target.out.add(i * target.stride + j * M::S::LANES);
                let mut value = sum;
                if target.add {
                    value = M::S::add(M::S::load(out), sum);
                }
                M::S::store(out, value);
            }
        }
    }
}

#[inline(always)]
unsafe fn write_part<M: Multiply, const MR: usize, const NV: usize>(
    sums: &[[<M::S as Simd>::F32; NV]; MR],
    target: Target,
) {
    unsafe {
        // Rows are counted at run time: from memory, so that the sums themselves stay in registers.
        let mut kept = [[M::S::zero(); NV]; MR];
        for i in 0..MR {
            for j in 0..NV {
                kept[i][j] = sums[i][j];
            }
        }
        for (i, row) in kept.iter().enumerate().take(target.rows) {
            for (j, &sum) in row.iter().enumerate() {
                let first = j * M::S::LANES;
                let left = target.columns.saturating_sub(first);
                let out = target.out.wrapping_add(i * target.stride + first);
                let mut value = sum;
                if target.add {
                    value = M::S::add(M::S::load_first(out, left), sum);
                }
                M::S::store_first(out, value, left);
            }
        }
    }
}
