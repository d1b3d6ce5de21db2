//! The formats with blocks of 256: eight units of 32, or sixteen of 16.

use super::{Levels, MAX_UNITS, put};
use crate::quant::k_symmetric::{Q3K, Q6K};
use crate::quant::k_with_minimum::{Q2K, Q4K, Q5K};
use crate::simd::Simd;

#[inline(always)]
unsafe fn half<S: Simd>(from: *const u8) -> f32 {
    unsafe { S::f16(from.cast()) }
}

#[inline(always)]
unsafe fn bytes<const N: usize>(from: *const u8) -> [u8; N] {
    unsafe { from.cast::<[u8; N]>().read_unaligned() }
}

#[inline(always)]
unsafe fn word(from: *const u8) -> u32 {
    u32::from_le_bytes(unsafe { bytes::<4>(from) })
}

/// Bits `SHIFT` .. of 32 bytes, as many as `MASK` has.
#[inline(always)]
fn bits<const SHIFT: u32>(mut from: [u8; 32], mask: u8) -> [u8; 32] {
    for byte in &mut from {
        *byte = *byte >> SHIFT & mask;
    }
    from
}

/// a | b << `SHIFT`
#[inline(always)]
fn join<const SHIFT: u32>(mut a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    for i in 0..32 {
        a[i] |= b[i] << SHIFT;
    }
    a
}

/// d times each factor, a byte less `offset`, four to a word.
#[inline(always)]
unsafe fn times<S: Simd, const N: usize>(
    d: f32,
    factors: [u32; N],
    offset: i8,
) -> [f32; MAX_UNITS] {
    // One number, so that it need not go through memory in pieces.
    let mut joined = 0u128;
    for (i, &word) in factors.iter().enumerate() {
        joined |= u128::from(word) << (32 * i);
    }
    let mut bytes = joined.to_le_bytes();
    if offset != 0 {
        for byte in &mut bytes {
            *byte = byte.wrapping_sub(offset as u8);
        }
    }
    let mut scales = [0f32; MAX_UNITS];
    for at in (0..4 * N).step_by(S::LANES) {
        unsafe {
            let factors = S::load_i8(bytes.as_ptr().add(at).cast());
            S::store(scales.as_mut_ptr().add(at), S::mul(factors, S::splat(d)));
        }
    }
    scales
}

#[inline(always)]
unsafe fn words<const N: usize>(from: *const u8) -> [u32; N] {
    let mut words = [0; N];
    for (i, to) in words.iter_mut().enumerate() {
        *to = unsafe { word(from.add(4 * i)) };
    }
    words
}

/// The six-bit scales and minima of q4_k and q5_k: eight each in twelve bytes, four at a time.
#[inline(always)]
unsafe fn eighths<S: Simd>(block: *const u8) -> ([f32; MAX_UNITS], [f32; MAX_UNITS]) {
    unsafe {
        let (d, dmin) = (half::<S>(block), half::<S>(block.add(2)));
        let (a, b, c) = (word(block.add(4)), word(block.add(8)), word(block.add(12)));
        let high = |word: u32| (word >> 6 & 0x0303_0303) << 4;
        let scales = [a & 0x3f3f_3f3f, c & 0x0f0f_0f0f | high(a)];
        let minima = [b & 0x3f3f_3f3f, c >> 4 & 0x0f0f_0f0f | high(b)];
        (times::<S, _>(d, scales, 0), times::<S, _>(-dmin, minima, 0))
    }
}

impl Levels for Q4K {
    const UNIT: usize = 32;
    const MINIMUM: bool = true;
    const OFFSET: u8 = 0;

    #[inline(always)]
    unsafe fn levels<const SIGNED: bool>(block: *const u8, to: *mut u8) {
        for quarter in 0..4 {
            unsafe {
                let low = bytes::<32>(block.add(16 + 32 * quarter));
                put::<SIGNED>(to.add(64 * quarter), bits::<0>(low, 15), 0);
                put::<SIGNED>(to.add(64 * quarter + 32), bits::<4>(low, 15), 0);
            }
        }
    }
    #[inline(always)]
    unsafe fn scales<S: Simd>(block: *const u8) -> ([f32; MAX_UNITS], [f32; MAX_UNITS]) {
        unsafe { eighths::<S>(block) }
    }
}

impl Levels for Q5K {
    const UNIT: usize = 32;
    const MINIMUM: bool = true;
    const OFFSET: u8 = 0;

    #[inline(always)]
    unsafe fn levels<const SIGNED: bool>(block: *const u8, to: *mut u8) {
        unsafe {
            let mut high = bytes::<32>(block.add(16));
            for quarter in 0..4 {
                let low = bytes::<32>(block.add(48 + 32 * quarter));
                let first = join::<4>(bits::<0>(low, 15), bits::<0>(high, 1));
                let second = join::<4>(bits::<4>(low, 15), bits::<1>(high, 1));
                put::<SIGNED>(to.add(64 * quarter), first, 0);
                put::<SIGNED>(to.add(64 * quarter + 32), second, 0);
                high = bits::<2>(high, 63);
            }
        }
    }
    #[inline(always)]
    unsafe fn scales<S: Simd>(block: *const u8) -> ([f32; MAX_UNITS], [f32; MAX_UNITS]) {
        unsafe { eighths::<S>(block) }
    }
}

impl Levels for Q6K {
    const UNIT: usize = 16;
    const MINIMUM: bool = false;
    const OFFSET: u8 = 32;

    #[inline(always)]
    unsafe fn levels<const SIGNED: bool>(block: *const u8, to: *mut u8) {
        for part in 0..2 {
            unsafe {
                let a = bytes::<32>(block.add(64 * part));
                let b = bytes::<32>(block.add(64 * part + 32));
                let high = bytes::<32>(block.add(128 + 32 * part));
                let to = to.add(128 * part);
                put::<SIGNED>(to, join::<4>(bits::<0>(a, 15), bits::<0>(high, 3)), 32);
                put::<SIGNED>(
                    to.add(32),
                    join::<4>(bits::<0>(b, 15), bits::<2>(high, 3)),
                    32,
                );
                put::<SIGNED>(
                    to.add(64),
                    join::<4>(bits::<4>(a, 15), bits::<4>(high, 3)),
                    32,
                );
                put::<SIGNED>(
                    to.add(96),
                    join::<4>(bits::<4>(b, 15), bits::<6>(high, 3)),
                    32,
                );
            }
        }
    }
    #[inline(always)]
    unsafe fn scales<S: Simd>(block: *const u8) -> ([f32; MAX_UNITS], [f32; MAX_UNITS]) {
        unsafe {
            let factors = words::<4>(block.add(192));
            (
                times::<S, _>(half::<S>(block.add(208)), factors, 0),
                [0.0; MAX_UNITS],
            )
        }
    }
}

impl Levels for Q3K {
    const UNIT: usize = 16;
    const MINIMUM: bool = false;
    const OFFSET: u8 = 4;

    #[inline(always)]
    unsafe fn levels<const SIGNED: bool>(block: *const u8, to: *mut u8) {
        unsafe {
            let mut third = bytes::<32>(block);
            for part in 0..2 {
                let low = bytes::<32>(block.add(32 + 32 * part));
                let to = to.add(128 * part);
                put::<SIGNED>(to, join::<2>(bits::<0>(low, 3), bits::<0>(third, 1)), 4);
                put::<SIGNED>(
                    to.add(32),
                    join::<2>(bits::<2>(low, 3), bits::<1>(third, 1)),
                    4,
                );
                put::<SIGNED>(
                    to.add(64),
                    join::<2>(bits::<4>(low, 3), bits::<2>(third, 1)),
                    4,
                );
                put::<SIGNED>(
                    to.add(96),
                    join::<2>(bits::<6>(low, 3), bits::<3>(third, 1)),
                    4,
                );
                third = bits::<4>(third, 15);
            }
        }
    }
    /// The low four bits of scale j stand in byte j % 8, the high two in byte 8 + j % 4.
    #[inline(always)]
    unsafe fn scales<S: Simd>(block: *const u8) -> ([f32; MAX_UNITS], [f32; MAX_UNITS]) {
        unsafe {
            let (a, b) = (word(block.add(96)), word(block.add(100)));
            let high = word(block.add(104));
            let six = |low: u32, high: u32| low & 0x0f0f_0f0f | (high & 0x0303_0303) << 4;
            let factors = [
                six(a, high),
                six(b, high >> 2),
                six(a >> 4, high >> 4),
                six(b >> 4, high >> 6),
            ];
            (
                times::<S, _>(half::<S>(block.add(108)), factors, 32),
                [0.0; MAX_UNITS],
            )
        }
    }
}

impl Levels for Q2K {
    const UNIT: usize = 16;
    const MINIMUM: bool = true;
    const OFFSET: u8 = 0;

    #[inline(always)]
    unsafe fn levels<const SIGNED: bool>(block: *const u8, to: *mut u8) {
        for part in 0..2 {
            unsafe {
                let low = bytes::<32>(block.add(16 + 32 * part));
                let to = to.add(128 * part);
                put::<SIGNED>(to, bits::<0>(low, 3), 0);
                put::<SIGNED>(to.add(32), bits::<2>(low, 3), 0);
                put::<SIGNED>(to.add(64), bits::<4>(low, 3), 0);
                put::<SIGNED>(to.add(96), bits::<6>(low, 3), 0);
            }
        }
    }
    #[inline(always)]
    unsafe fn scales<S: Simd>(block: *const u8) -> ([f32; MAX_UNITS], [f32; MAX_UNITS]) {
        unsafe {
            let (mut scales, mut minima) = (words::<4>(block), words::<4>(block));
            for i in 0..4 {
                scales[i] &= 0x0f0f_0f0f;
                minima[i] = minima[i] >> 4 & 0x0f0f_0f0f;
            }
            let (d, dmin) = (half::<S>(block.add(80)), half::<S>(block.add(82)));
            (times::<S, _>(d, scales, 0), times::<S, _>(-dmin, minima, 0))
        }
    }
}
