//! Repacked weights as panels of int8_packed.rs: the lanes are columns already.

use super::GROUP;
use super::formats::{Columns, Repacked, with_repacked};
use crate::simd::{Int8, Simd, per_int8_isa};

/// Where a vector of columns of a panel goes.
#[derive(Clone, Copy)]
pub struct Panel {
    /// Words of levels; the next one follows after a word of every column.
    pub levels: *mut u8,
    /// Scales of the units likewise.
    pub scales: *mut f32,
    /// Minima likewise, where the format has any.
    pub minima: *mut f32,
    /// Columns of the panel.
    pub columns: usize,
}

per_int8_isa! {
    /// Packs `blocks` blocks of a group, from an address and a lane on.
    pub unsafe fn pack_on = pack(code: u32, from: (*const u8, usize), blocks: usize, to: Panel);
}

#[inline(always)]
unsafe fn pack<Q: Int8>(code: u32, from: (*const u8, usize), blocks: usize, to: Panel) {
    unsafe { with_repacked!(code, Format => pack_blocks::<Q, Format>(from, blocks, to)) }
}

#[inline(always)]
unsafe fn pack_blocks<Q: Int8, F: Repacked>(
    (from, lane): (*const u8, usize),
    blocks: usize,
    to: Panel,
) {
    let (mut word_at, mut unit_at) = (to.levels, 0);
    for block in 0..blocks {
        unsafe {
            let w = Columns::new(from.add(block * GROUP * F::BYTES), lane);
            for unit in 0..F::ELEMENTS / F::UNIT {
                for word in 0..F::UNIT / 4 {
                    word_at = put::<Q, F>(word_at, 4 * to.columns, F::word::<Q>(w, unit, word));
                }
                let (scale, minimum) = F::unit_scales::<Q>(w, unit);
                Q::S::store(to.scales.add(unit_at), scale);
                if F::MINIMUM {
                    Q::S::store(to.minima.add(unit_at), minimum);
                }
                unit_at += to.columns;
            }
        }
    }
}

/// Writes four levels of each column as packed products want them, a word of bytes or two of 16-bit
/// integers; gives where the next ones go.
#[inline(always)]
unsafe fn put<Q: Int8, F: Repacked>(to: *mut u8, distance: usize, levels: Q::Ints) -> *mut u8 {
    unsafe {
        if Q::LEVEL_BYTES == 1 {
            Q::ints_store(to, levels);
            return to.add(distance);
        }
        let (low, high) = (Q::ints_splat(0xff), Q::ints_splat(0xff_0000));
        let offset = Q::ints_splat(i32::from(F::OFFSET) * 0x1_0001);
        let first = Q::ints_or(
            Q::ints_and(levels, low),
            Q::ints_and(Q::ints_shl(levels, 8), high),
        );
        let second = Q::ints_or(
            Q::ints_and(Q::ints_shr(levels, 16), low),
            Q::ints_and(Q::ints_shr(levels, 8), high),
        );
        Q::ints_store(to, Q::ints_sub_halves(first, offset));
        Q::ints_store(to.add(distance), Q::ints_sub_halves(second, offset));
        to.add(2 * distance)
    }
}
