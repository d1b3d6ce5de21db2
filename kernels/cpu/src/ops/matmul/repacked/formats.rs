//! What stands where in a block, once more than in levels/, in words of as many columns as lanes.

use super::super::levels::Levels;
use super::GROUP;
use crate::quant::k_symmetric::{Q3K, Q6K};
use crate::quant::k_with_minimum::{Q2K, Q4K, Q5K};
use crate::quant::legacy::{Q4_0, Q4_1, Q5_0, Q5_1};
use crate::simd::{Int8, Simd};

/// A vector of columns of one block of a group.
#[derive(Clone, Copy)]
pub struct Columns {
    block: *const u8,
    lane: usize,
}

type Floats<Q> = <<Q as Int8>::S as Simd>::F32;

impl Columns {
    /// The columns from lane `lane` of the block at `block`.
    #[inline(always)]
    pub fn new(block: *const u8, lane: usize) -> Columns {
        Columns { block, lane }
    }
    /// Asks for part `part` of `parts` of the `bytes` that follow the block's.
    #[inline(always)]
    pub unsafe fn ask_ahead<S: Simd>(self, bytes: usize, part: usize, parts: usize) {
        let lines = bytes.div_ceil(64);
        for line in part * lines / parts..(part + 1) * lines / parts {
            unsafe { S::prefetch(self.block.wrapping_add(bytes + 64 * line)) };
        }
    }
    /// The words that began at byte `at` of the rows' blocks.
    #[inline(always)]
    unsafe fn words<Q: Int8>(self, at: usize) -> Q::Ints {
        unsafe { Q::ints_load(self.block.add(GROUP * at + 4 * self.lane)) }
    }
    /// The half-precision numbers that began at byte `at` of the rows' blocks.
    #[inline(always)]
    unsafe fn halves<Q: Int8>(self, at: usize) -> Floats<Q> {
        unsafe { Q::S::load_f16(self.block.add(GROUP * at + 2 * self.lane).cast()) }
    }
}

/// A block format whose interleaved blocks can be multiplied.
pub trait Repacked: Levels {
    /// Whether the next block is asked for while one is multiplied: prefetchers do not follow units that
    /// are put together of bits from several places.
    const AHEAD: bool = false;

    /// Word `word` of a unit: four levels of each column, as bytes, `OFFSET` not subtracted.
    ///
    /// # Safety
    /// The columns' block is readable.
    unsafe fn word<Q: Int8>(w: Columns, unit: usize, word: usize) -> Q::Ints;

    /// The scale of a unit in each column, and its minimum (or 0).
    ///
    /// # Safety
    /// The columns' block is readable.
    unsafe fn unit_scales<Q: Int8>(w: Columns, unit: usize) -> (Floats<Q>, Floats<Q>);
}

/// Runs `$body` with `$format` standing for the type behind a code.
macro_rules! with_repacked {
    ($code:expr, $format:ident => $body:expr) => {{
        use $crate::abi_generated::dtype;
        use $crate::quant::{k_symmetric, k_with_minimum, legacy};
        macro_rules! arm {
            ($name:ty) => {{
                type $format = $name;
                $body
            }};
        }
        match $code {
            dtype::Q4_0 => arm!(legacy::Q4_0),
            dtype::Q4_1 => arm!(legacy::Q4_1),
            dtype::Q5_0 => arm!(legacy::Q5_0),
            dtype::Q5_1 => arm!(legacy::Q5_1),
            dtype::Q2_K => arm!(k_with_minimum::Q2K),
            dtype::Q3_K => arm!(k_symmetric::Q3K),
            dtype::Q4_K => arm!(k_with_minimum::Q4K),
            dtype::Q5_K => arm!(k_with_minimum::Q5K),
            dtype::Q6_K => arm!(k_symmetric::Q6K),
            _ => {}
        }
    }};
}
pub(super) use with_repacked;

/// The bits of `mask` in every byte, from bit `shift` on.
#[inline(always)]
unsafe fn bits<Q: Int8>(a: Q::Ints, shift: usize, mask: u8) -> Q::Ints {
    let mask = i32::from_le_bytes([mask; 4]);
    unsafe { Q::ints_and(Q::ints_shr(a, shift as u32), Q::ints_splat(mask)) }
}

/// a | b << shift
#[inline(always)]
unsafe fn join<Q: Int8>(a: Q::Ints, b: Q::Ints, shift: u32) -> Q::Ints {
    unsafe { Q::ints_or(a, Q::ints_shl(b, shift)) }
}

/// Four neighbouring levels of sixteen bytes of nibbles: first the low ones, then the high ones.
#[inline(always)]
unsafe fn nibbles<Q: Int8>(w: Columns, at: usize, word: usize) -> Q::Ints {
    unsafe { bits::<Q>(w.words::<Q>(at + 4 * (word % 4)), word / 4 * 4, 15) }
}

/// `nibbles` with a fifth bit from the 32 in the word before them.
#[inline(always)]
unsafe fn five_bits<Q: Int8>(w: Columns, at: usize, word: usize) -> Q::Ints {
    unsafe {
        let four = Q::ints_and(
            Q::ints_shr(w.words::<Q>(at), 4 * word as u32),
            Q::ints_splat(15),
        );
        // Bit i to byte i.
        let two = join::<Q>(four, four, 7);
        let fifth = bits::<Q>(join::<Q>(two, two, 14), 0, 1);
        join::<Q>(nibbles::<Q>(w, at + 4, word), fifth, 4)
    }
}

macro_rules! simple {
    ($name:ident, $word:ident, $at:literal) => {
        impl Repacked for $name {
            #[inline(always)]
            unsafe fn word<Q: Int8>(w: Columns, _unit: usize, word: usize) -> Q::Ints {
                unsafe { $word::<Q>(w, $at, word) }
            }
            #[inline(always)]
            unsafe fn unit_scales<Q: Int8>(w: Columns, _unit: usize) -> (Floats<Q>, Floats<Q>) {
                unsafe {
                    if $name::MINIMUM {
                        (w.halves::<Q>(0), w.halves::<Q>(2))
                    } else {
                        (w.halves::<Q>(0), Q::S::zero())
                    }
                }
            }
        }
    };
}

simple!(Q4_0, nibbles, 2);
simple!(Q4_1, nibbles, 4);
simple!(Q5_0, five_bits, 2);
simple!(Q5_1, five_bits, 4);

/// The half-precision number at byte `at` times a factor.
#[inline(always)]
unsafe fn times<Q: Int8>(w: Columns, at: usize, factor: Q::Ints) -> Floats<Q> {
    unsafe { Q::S::mul(Q::ints_floats(factor), w.halves::<Q>(at)) }
}

/// The same, negative.
#[inline(always)]
unsafe fn minus_times<Q: Int8>(w: Columns, at: usize, factor: Q::Ints) -> Floats<Q> {
    unsafe {
        let minus = Q::S::mul(w.halves::<Q>(at), Q::S::splat(-1.0));
        Q::S::mul(Q::ints_floats(factor), minus)
    }
}

/// `bits` of the lowest byte alone.
#[inline(always)]
unsafe fn low<Q: Int8>(a: Q::Ints, shift: usize, mask: i32) -> Q::Ints {
    unsafe { Q::ints_and(Q::ints_shr(a, shift as u32), Q::ints_splat(mask)) }
}

/// The six-bit scales and minima of q4_k and q5_k: eight each in twelve bytes.
#[inline(always)]
unsafe fn eighths<Q: Int8>(w: Columns, unit: usize) -> (Floats<Q>, Floats<Q>) {
    unsafe {
        let (a, b) = (w.words::<Q>(4), w.words::<Q>(8));
        let at = 8 * (unit % 4);
        let (scale, minimum) = if unit < 4 {
            (low::<Q>(a, at, 63), low::<Q>(b, at, 63))
        } else {
            let c = w.words::<Q>(12);
            (
                join::<Q>(low::<Q>(c, at, 15), low::<Q>(a, at + 6, 3), 4),
                join::<Q>(low::<Q>(c, at + 4, 15), low::<Q>(b, at + 6, 3), 4),
            )
        };
        (times::<Q>(w, 0, scale), minus_times::<Q>(w, 2, minimum))
    }
}

impl Repacked for Q4K {
    #[inline(always)]
    unsafe fn word<Q: Int8>(w: Columns, unit: usize, word: usize) -> Q::Ints {
        let at = 16 + unit / 2 * 32 + 4 * word;
        unsafe { bits::<Q>(w.words::<Q>(at), unit % 2 * 4, 15) }
    }
    #[inline(always)]
    unsafe fn unit_scales<Q: Int8>(w: Columns, unit: usize) -> (Floats<Q>, Floats<Q>) {
        unsafe { eighths::<Q>(w, unit) }
    }
}

impl Repacked for Q5K {
    const AHEAD: bool = true;

    #[inline(always)]
    unsafe fn word<Q: Int8>(w: Columns, unit: usize, word: usize) -> Q::Ints {
        unsafe {
            let nibbles = w.words::<Q>(48 + unit / 2 * 32 + 4 * word);
            let fifth = bits::<Q>(w.words::<Q>(16 + 4 * word), unit, 1);
            join::<Q>(bits::<Q>(nibbles, unit % 2 * 4, 15), fifth, 4)
        }
    }
    #[inline(always)]
    unsafe fn unit_scales<Q: Int8>(w: Columns, unit: usize) -> (Floats<Q>, Floats<Q>) {
        unsafe { eighths::<Q>(w, unit) }
    }
}

/// Where a unit of sixteen levels stands: the half of the block, the run of 32 levels in that half,
/// and its first byte in the run.
#[inline(always)]
fn place(unit: usize) -> (usize, usize, usize) {
    (unit / 8, unit % 8 / 2, unit % 2 * 16)
}

impl Repacked for Q6K {
    const AHEAD: bool = true;

    #[inline(always)]
    unsafe fn word<Q: Int8>(w: Columns, unit: usize, word: usize) -> Q::Ints {
        let (half, run, first) = place(unit);
        let at = first + 4 * word;
        unsafe {
            let nibbles = w.words::<Q>(64 * half + run % 2 * 32 + at);
            let high = bits::<Q>(w.words::<Q>(128 + 32 * half + at), 2 * run, 3);
            join::<Q>(bits::<Q>(nibbles, run / 2 * 4, 15), high, 4)
        }
    }
    #[inline(always)]
    unsafe fn unit_scales<Q: Int8>(w: Columns, unit: usize) -> (Floats<Q>, Floats<Q>) {
        unsafe {
            let four = w.words::<Q>(192 + unit / 4 * 4);
            let at = 8 * (unit % 4);
            let scale = Q::ints_sub(low::<Q>(four, at, 127), low::<Q>(four, at, 128));
            (times::<Q>(w, 208, scale), Q::S::zero())
        }
    }
}

impl Repacked for Q3K {
    const AHEAD: bool = true;

    #[inline(always)]
    unsafe fn word<Q: Int8>(w: Columns, unit: usize, word: usize) -> Q::Ints {
        let (half, run, first) = place(unit);
        let at = first + 4 * word;
        unsafe {
            let pairs = bits::<Q>(w.words::<Q>(32 + 32 * half + at), 2 * run, 3);
            let third = bits::<Q>(w.words::<Q>(at), 4 * half + run, 1);
            join::<Q>(pairs, third, 2)
        }
    }
    /// The low four bits of scale j stand in byte j % 8, the high two in byte 8 + j % 4.
    #[inline(always)]
    unsafe fn unit_scales<Q: Int8>(w: Columns, unit: usize) -> (Floats<Q>, Floats<Q>) {
        unsafe {
            let four = w.words::<Q>(96 + unit / 4 % 2 * 4);
            let at = 8 * (unit % 4);
            let nibble = low::<Q>(four, at + unit / 8 * 4, 15);
            let high = low::<Q>(w.words::<Q>(104), at + unit / 4 * 2, 3);
            let scale = Q::ints_sub(join::<Q>(nibble, high, 4), Q::ints_splat(32));
            (times::<Q>(w, 108, scale), Q::S::zero())
        }
    }
}

impl Repacked for Q2K {
    const AHEAD: bool = true;

    #[inline(always)]
    unsafe fn word<Q: Int8>(w: Columns, unit: usize, word: usize) -> Q::Ints {
        let (half, run, first) = place(unit);
        let at = 16 + 32 * half + first + 4 * word;
        unsafe { bits::<Q>(w.words::<Q>(at), 2 * run, 3) }
    }
    #[inline(always)]
    unsafe fn unit_scales<Q: Int8>(w: Columns, unit: usize) -> (Floats<Q>, Floats<Q>) {
        unsafe {
            let four = w.words::<Q>(unit / 4 * 4);
            let at = 8 * (unit % 4);
            (
                times::<Q>(w, 80, low::<Q>(four, at, 15)),
                minus_times::<Q>(w, 82, low::<Q>(four, at + 4, 15)),
            )
        }
    }
}
