//! Rows of blocks taken apart: levels as bytes, and a scale (and a minimum) in single precision for
//! every unit of them. What multiplies works on these alone, so that a format is no more than a way
//! to unpack.
//!
//! weight = scale * (level - `OFFSET`) + minimum. A unit is the run of levels that share a scale, 16 or
//! 32 long. Scales and minima are products of a half-precision number and a small integer, which are
//! exact.

mod simple;
mod super_blocks;

use crate::abi_generated::dtype;
use crate::quant::BlockFormat;
use crate::quant::k_symmetric::{Q3K, Q6K};
use crate::quant::k_with_minimum::{Q2K, Q4K, Q5K};
use crate::quant::legacy::{Q4_0, Q4_1, Q5_0, Q5_1};
use crate::quant::q8_0::Q8_0;
use crate::simd::{Int8, Simd, per_int8_isa, per_isa};

/// Levels of a piece of a row: those of the longest block.
pub const PIECE: usize = 256;

/// The most units that a piece has.
pub const MAX_UNITS: usize = PIECE / 16;

/// A block format whose blocks can be taken apart.
pub trait Levels: BlockFormat {
    /// Levels that share a scale: 16 or 32.
    const UNIT: usize;
    /// Whether units have a minimum.
    const MINIMUM: bool;
    /// What is subtracted from a stored level, which is never negative.
    const OFFSET: u8;

    /// Writes the levels of a block, less `OFFSET` if `SIGNED`.
    ///
    /// # Safety
    /// `block` is readable for `BYTES` bytes, `to` writable for `ELEMENTS`.
    unsafe fn levels<const SIGNED: bool>(block: *const u8, to: *mut u8);

    /// Scales of the units of a block, and their minima where it has any.
    ///
    /// # Safety
    /// `block` is readable for `BYTES` bytes.
    unsafe fn scales<S: Simd>(block: *const u8) -> ([f32; MAX_UNITS], [f32; MAX_UNITS]);
}

/// Writes 32 levels, less `offset` if `SIGNED`.
#[inline(always)]
unsafe fn put<const SIGNED: bool>(to: *mut u8, mut levels: [u8; 32], offset: u8) {
    if SIGNED {
        for level in &mut levels {
            *level = level.wrapping_sub(offset);
        }
    }
    unsafe { to.cast::<[u8; 32]>().write_unaligned(levels) };
}

/// A format as plain numbers.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Elements of a block.
    pub elements: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Levels of a unit.
    pub unit: usize,
    /// Whether units have a minimum.
    pub minimum: bool,
    /// What is subtracted from a stored level.
    pub offset: i32,
}

impl Layout {
    fn of<F: Levels>() -> Layout {
        Layout {
            elements: F::ELEMENTS,
            bytes: F::BYTES,
            unit: F::UNIT,
            minimum: F::MINIMUM,
            offset: i32::from(F::OFFSET),
        }
    }

    /// Bytes of a row of `in_dim` elements.
    pub fn row_bytes(&self, in_dim: usize) -> usize {
        in_dim / self.elements * self.bytes
    }
}

/// Runs `$body` with `$format` standing for the type behind a code, or else `$other`.
macro_rules! with_format {
    ($code:expr, $format:ident => $body:expr, $other:expr) => {{
        macro_rules! arm {
            ($name:ty) => {{
                type $format = $name;
                $body
            }};
        }
        match $code {
            dtype::Q4_0 => arm!(Q4_0),
            dtype::Q4_1 => arm!(Q4_1),
            dtype::Q5_0 => arm!(Q5_0),
            dtype::Q5_1 => arm!(Q5_1),
            dtype::Q8_0 => arm!(Q8_0),
            dtype::Q2_K => arm!(Q2K),
            dtype::Q3_K => arm!(Q3K),
            dtype::Q4_K => arm!(Q4K),
            dtype::Q5_K => arm!(Q5K),
            dtype::Q6_K => arm!(Q6K),
            _ => $other,
        }
    }};
}
#[cfg(test)]
pub(super) use with_format;

/// The layout of a block type.
pub fn layout(code: u32) -> Option<Layout> {
    with_format!(code, Format => Some(Layout::of::<Format>()), None)
}

/// Where four rows are unpacked to.
#[derive(Clone, Copy)]
pub struct Target {
    /// Levels: unsigned where `Int8::LEVEL_BYTES` is 1, else less their offset.
    pub levels: *mut u8,
    /// Distance of the rows of levels.
    pub row_bytes: usize,
    /// Scales: that of unit u of row j at `u * unit_floats + j`.
    pub scales: *mut f32,
    /// Minima likewise, where the format has any.
    pub minima: *mut f32,
    /// Distance of units.
    pub unit_floats: usize,
}

per_int8_isa! {
    /// Unpacks `count` levels, whole blocks and at most `PIECE`, of each of four rows.
    pub unsafe fn unpack_on = unpack(code: u32, from: [*const u8; 4], count: usize, to: Target);
}

#[inline(always)]
unsafe fn unpack<Q: Int8>(code: u32, from: [*const u8; 4], count: usize, to: Target) {
    unsafe {
        if Q::LEVEL_BYTES == 1 {
            with_format!(code, Format => rows::<Q::S, Format, false>(from, count, to), ());
        } else {
            with_format!(code, Format => rows::<Q::S, Format, true>(from, count, to), ());
        }
    }
}

#[inline(always)]
unsafe fn rows<S: Simd, F: Levels, const SIGNED: bool>(
    from: [*const u8; 4],
    count: usize,
    to: Target,
) {
    let units = F::ELEMENTS / F::UNIT;
    for block in 0..count / F::ELEMENTS {
        for (row, from) in from.iter().enumerate() {
            unsafe {
                let block_at = from.add(block * F::BYTES);
                let levels = to.levels.add(row * to.row_bytes + block * F::ELEMENTS);
                F::levels::<SIGNED>(block_at, levels);
                let (scales, minima) = F::scales::<S>(block_at);
                for unit in 0..units {
                    let at = (block * units + unit) * to.unit_floats + row;
                    *to.scales.add(at) = scales[unit];
                    if F::MINIMUM {
                        *to.minima.add(at) = minima[unit];
                    }
                }
            }
        }
    }
}

per_isa! {
    /// Writes the floats that `count` elements, whole blocks and at most `PIECE`, stand for: those of
    /// `BlockFormat::dequantize`, to the bit.
    pub unsafe fn widen_on = widen(code: u32, from: *const u8, count: usize, to: *mut f32);
}

#[inline(always)]
unsafe fn widen<S: Simd>(code: u32, from: *const u8, count: usize, to: *mut f32) {
    unsafe { with_format!(code, Format => widen_blocks::<S, Format>(from, count, to), ()) }
}

#[inline(always)]
unsafe fn widen_blocks<S: Simd, F: Levels>(from: *const u8, count: usize, to: *mut f32) {
    for block in 0..count / F::ELEMENTS {
        unsafe {
            let from = from.add(block * F::BYTES);
            let mut levels = [0u8; PIECE];
            F::levels::<true>(from, levels.as_mut_ptr());
            let (scales, minima) = F::scales::<S>(from);
            for at in (0..F::ELEMENTS).step_by(S::LANES) {
                let level = S::load_i8(levels.as_ptr().add(at).cast());
                let mut x = S::mul(level, S::splat(scales[at / F::UNIT]));
                if F::MINIMUM {
                    x = S::add(x, S::splat(minima[at / F::UNIT]));
                }
                S::store(to.add(block * F::ELEMENTS + at), x);
            }
        }
    }
}

#[cfg(test)]
mod tests;
