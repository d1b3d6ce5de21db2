//! Classes of characters as the byte-level split pattern sees them.

use super::unicode_generated::{LETTERS, NUMBERS, WORD_EXCEPTIONS};
use super::utf8::decode;
use alloc::vec;
use alloc::vec::Vec;

/// Neither letter, number nor white space.
pub const OTHER: u8 = 0;
/// General category L.
pub const LETTER: u8 = 1;
/// General category N.
pub const NUMBER: u8 = 2;
/// White_Space, but for CR and LF.
pub const SPACE: u8 = 3;
/// CR or LF.
pub const NEWLINE: u8 = 4;

/// White_Space beyond ASCII. It is what tiktoken's `\s` means: U+0085 is in, U+FEFF is not.
const SPACES: [(u32, u32); 8] = [
    (0x85, 0x85),
    (0xa0, 0xa0),
    (0x1680, 0x1680),
    (0x2000, 0x200a),
    (0x2028, 0x2029),
    (0x202f, 0x202f),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
];

/// Class of each ASCII character.
pub static ASCII: [u8; 128] = ascii();

const fn ascii() -> [u8; 128] {
    let mut table = [OTHER; 128];
    let mut c = 0;
    while c < 128 {
        let b = c as u8;
        if b.is_ascii_alphabetic() {
            table[c] = LETTER;
        } else if b.is_ascii_digit() {
            table[c] = NUMBER;
        } else if b == b'\n' || b == b'\r' {
            table[c] = NEWLINE;
        } else if b == b' ' || (b >= 9 && b <= 12) {
            table[c] = SPACE;
        }
        c += 1;
    }
    table
}

/// Two bits for every code point.
pub struct CharClasses {
    bits: Vec<u8>,
}

impl CharClasses {
    /// Spreads the ranges out, so that a look-up is one load.
    pub fn new() -> CharClasses {
        let mut classes = CharClasses {
            bits: vec![0; 0x110000 / 4],
        };
        for (ranges, class) in [
            (&LETTERS[..], LETTER),
            (&NUMBERS[..], NUMBER),
            (&SPACES[..], SPACE),
        ] {
            for &(first, last) in ranges {
                for code in first..=last {
                    classes.bits[code as usize / 4] |= class << (code % 4 * 2);
                }
            }
        }
        classes
    }

    /// Class of a code point beyond ASCII.
    #[inline(always)]
    pub fn of(&self, code: u32) -> u8 {
        match self.bits.get(code as usize / 4) {
            Some(four) => four >> (code % 4 * 2) & 3,
            None => OTHER,
        }
    }
}

impl CharClasses {
    /// Class and length of the character at `at`.
    ///
    /// # Safety
    /// `text` must be well-formed UTF-8 and `at` the start of a character in it.
    #[inline(always)]
    pub unsafe fn at(&self, text: &[u8], at: usize) -> (u8, usize) {
        unsafe {
            let byte = *text.get_unchecked(at);
            if byte < 0x80 {
                return (ASCII[byte as usize], 1);
            }
            let (code, len) = decode(text, at);
            (self.of(code), len)
        }
    }

    /// Whether the character at `at` belongs to a word, as `\w` has it in Rust's regex crate.
    ///
    /// # Safety
    /// As for [`CharClasses::at`].
    pub unsafe fn is_word(&self, text: &[u8], at: usize) -> bool {
        let (code, class) = unsafe { (decode(text, at).0, self.at(text, at).0) };
        let next = WORD_EXCEPTIONS.partition_point(|&(_, last)| last < code);
        let exception = WORD_EXCEPTIONS
            .get(next)
            .is_some_and(|&(first, _)| first <= code);
        matches!(class, LETTER | NUMBER) != exception
    }
}

impl Default for CharClasses {
    fn default() -> Self {
        CharClasses::new()
    }
}
