//! Sixteen bytes of a text at once.

use super::cache::MASKS;
use super::hash::hash_short;
use super::words::Beginnings;

/// Sixteen bytes of a text.
#[cfg(target_arch = "wasm32")]
#[derive(Clone, Copy)]
pub struct Window(core::arch::wasm32::v128);

/// Sixteen bytes of a text.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Copy)]
pub struct Window(u128);

#[cfg(target_arch = "wasm32")]
impl Window {
    /// The bytes at an address.
    ///
    /// # Safety
    /// All sixteen can be read.
    #[inline(always)]
    pub unsafe fn load(start: *const u8) -> Window {
        unsafe { Window(core::arch::wasm32::v128_load(start.cast())) }
    }

    /// Writes them to an address.
    ///
    /// # Safety
    /// All sixteen can be written.
    #[inline(always)]
    pub unsafe fn store(self, to: *mut u8) {
        unsafe { core::arch::wasm32::v128_store(to.cast(), self.0) }
    }

    /// The first of them, none beyond `len`, which is at most fifteen.
    #[inline(always)]
    pub unsafe fn first(self, len: usize) -> Window {
        use core::arch::wasm32::{v128_and, v128_load};
        unsafe { Window(v128_and(self.0, v128_load(MASKS.as_ptr().add(len).cast()))) }
    }

    /// Where they differ from others, as two numbers.
    #[inline(always)]
    pub fn differences(self, other: Window) -> (u64, u64) {
        Window(core::arch::wasm32::v128_xor(self.0, other.0)).halves()
    }

    /// The bytes as two numbers.
    #[inline(always)]
    pub fn halves(self) -> (u64, u64) {
        use core::arch::wasm32::u64x2_extract_lane as lane;
        (lane::<0>(self.0), lane::<1>(self.0))
    }

    /// A bit for each byte behind the first that is no ASCII letter, and for each that is no ASCII.
    #[inline(always)]
    fn bits(self) -> (u32, u32) {
        use core::arch::wasm32::*;
        let lower = v128_or(self.0, u8x16_splat(0x20));
        // Letters become the smallest of the signed numbers.
        let place = u8x16_add(lower, u8x16_splat(0x80 - b'a'));
        let others = i8x16_gt(place, i8x16_splat(-128 + 25));
        (
            u8x16_bitmask(others) as u32 & !1,
            u8x16_bitmask(self.0) as u32,
        )
    }

    #[inline(always)]
    fn first_byte(self) -> u8 {
        core::arch::wasm32::u8x16_extract_lane::<0>(self.0)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Window {
    /// The bytes at an address.
    ///
    /// # Safety
    /// All sixteen can be read.
    #[inline(always)]
    pub unsafe fn load(start: *const u8) -> Window {
        Window(u128::from_le(unsafe {
            start.cast::<u128>().read_unaligned()
        }))
    }

    /// Writes them to an address.
    ///
    /// # Safety
    /// All sixteen can be written.
    #[inline(always)]
    pub unsafe fn store(self, to: *mut u8) {
        unsafe { to.cast::<u128>().write_unaligned(self.0.to_le()) }
    }

    /// The first of them, none beyond `len`, which is at most fifteen.
    #[inline(always)]
    pub unsafe fn first(self, len: usize) -> Window {
        Window(self.0 & unsafe { *MASKS.get_unchecked(len) })
    }

    /// Where they differ from others, as two numbers.
    #[inline(always)]
    pub fn differences(self, other: Window) -> (u64, u64) {
        Window(self.0 ^ other.0).halves()
    }

    /// The bytes as two numbers.
    #[inline(always)]
    pub fn halves(self) -> (u64, u64) {
        (self.0 as u64, (self.0 >> 64) as u64)
    }

    /// A bit for each byte behind the first that is no ASCII letter, and for each that is no ASCII.
    #[inline(always)]
    fn bits(self) -> (u32, u32) {
        let bits = |is: fn(&u8) -> bool| {
            let bytes = self.0.to_le_bytes();
            let set = bytes.iter().enumerate().filter(|(_, byte)| is(byte));
            set.fold(0, |bits, (i, _)| bits | 1 << i)
        };
        (
            bits(|byte| !byte.is_ascii_alphabetic()) & !1,
            bits(|byte| !byte.is_ascii()),
        )
    }

    #[inline(always)]
    fn first_byte(self) -> u8 {
        self.0 as u8
    }
}

impl Window {
    /// The hash of the piece of at most twelve bytes that it is.
    #[inline(always)]
    pub fn hash(self) -> u64 {
        let (low, high) = self.halves();
        hash_short(low, high as u32)
    }

    /// Length of the word at the start, with what it begins with, if it is one of ASCII letters that
    /// ends within the window, else 0.
    #[inline(always)]
    pub fn word(self, beginnings: &Beginnings) -> usize {
        let (others, beyond) = self.bits();
        let len = others.trailing_zeros();
        // Behind the window any byte may stand.
        let ends = others != 0 && beyond >> (len & 31) & 1 == 0;
        if ends && len >= beginnings.least(self.first_byte()) {
            len as usize
        } else {
            0
        }
    }
}
