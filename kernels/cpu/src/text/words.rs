//! Words of ASCII letters, measured sixteen bytes at a time: the length of a word costs no branch, and
//! so none that is mispredicted.

use super::class::{ASCII, LETTER, NEWLINE, NUMBER};

/// Bytes that are looked at from the start of a word.
pub const WINDOW: usize = 16;

/// Longest word that is certain to end inside the window.
pub const LONGEST_WORD: usize = WINDOW - 1;

/// For each byte, how many bytes a piece that begins with it must at least have to be a word of ASCII:
/// one where it is a letter, two where a letter must follow, more than there can be where another rule
/// of the pattern may come first.
pub struct Beginnings([u8; 256]);

/// A character that is no number and no line break may stand before the letters (Llama 3).
pub static AFTER_ANY: Beginnings = Beginnings(beginnings(true));

/// A space may stand before the letters (GPT-2).
pub static AFTER_SPACE: Beginnings = Beginnings(beginnings(false));

const fn beginnings(any: bool) -> [u8; 256] {
    let mut table = [u8::MAX; 256];
    let mut c = 0;
    while c < 128 {
        table[c] = match ASCII[c] {
            LETTER => 1,
            _ if c == b' ' as usize => 2,
            NUMBER | NEWLINE => u8::MAX,
            // An apostrophe may begin a contraction.
            _ if c == b'\'' as usize || !any => u8::MAX,
            _ => 2,
        };
        c += 1;
    }
    table
}

impl Beginnings {
    /// How many bytes a piece that begins with this one must at least have.
    #[inline(always)]
    pub fn least(&self, byte: u8) -> u32 {
        self.0[byte as usize] as u32
    }
}

/// Length of the word at `at`, with what it begins with, if it is one of ASCII letters that ends within
/// the window, else 0.
///
/// # Safety
/// `at + WINDOW <= text.len()`.
#[inline(always)]
pub unsafe fn word(text: &[u8], at: usize, beginnings: &Beginnings) -> usize {
    unsafe {
        let start = text.as_ptr().add(at);
        let len = letters_behind(start);
        let least = *beginnings.0.get_unchecked(*start as usize) as usize;
        // Behind the window any byte may stand, which the last one inside it stands for.
        let ends = len < WINDOW && *start.add(len & LONGEST_WORD) < 0x80;
        if len >= least && ends { len } else { 0 }
    }
}

/// One, and the number of letters behind the first byte, up to the end of the window.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn letters_behind(start: *const u8) -> usize {
    use core::arch::x86_64::*;
    unsafe {
        let bytes = _mm_loadu_si128(start.cast());
        let lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        let place = _mm_sub_epi8(lower, _mm_set1_epi8(b'a' as i8));
        let inside = _mm_cmpeq_epi8(_mm_min_epu8(place, _mm_set1_epi8(25)), place);
        (!(_mm_movemask_epi8(inside) | 1)).trailing_zeros() as usize
    }
}

/// One, and the number of letters behind the first byte, up to the end of the window.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
unsafe fn letters_behind(start: *const u8) -> usize {
    use core::arch::wasm32::*;
    unsafe {
        let lower = v128_or(v128_load(start.cast()), u8x16_splat(0x20));
        let inside = u8x16_le(u8x16_sub(lower, u8x16_splat(b'a')), u8x16_splat(25));
        (!(u8x16_bitmask(inside) as u32 | 1)).trailing_zeros() as usize
    }
}

/// One, and the number of letters behind the first byte, up to the end of the window.
#[cfg(not(any(target_arch = "x86_64", target_arch = "wasm32")))]
#[inline(always)]
unsafe fn letters_behind(start: *const u8) -> usize {
    let mut len = 1;
    while len < WINDOW && unsafe { *start.add(len) }.is_ascii_alphabetic() {
        len += 1;
    }
    len
}
