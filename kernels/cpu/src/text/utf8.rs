//! Characters of UTF-8 text.

use super::tokenizer::Parallel;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The replacement character U+FFFD.
pub const REPLACEMENT: &[u8; 3] = b"\xef\xbf\xbd";

/// Code point and length of the character at `at`.
///
/// # Safety
/// `text` must be well-formed from `at` on, and `at` less than its length.
#[inline(always)]
pub unsafe fn decode(text: &[u8], at: usize) -> (u32, usize) {
    unsafe {
        let byte = |i: usize| *text.get_unchecked(at + i) as u32;
        let lead = byte(0);
        if lead < 0x80 {
            (lead, 1)
        } else if lead < 0xe0 {
            ((lead & 31) << 6 | (byte(1) & 63), 2)
        } else if lead < 0xf0 {
            ((lead & 15) << 12 | (byte(1) & 63) << 6 | (byte(2) & 63), 3)
        } else {
            (
                (lead & 7) << 18 | (byte(1) & 63) << 12 | (byte(2) & 63) << 6 | (byte(3) & 63),
                4,
            )
        }
    }
}

/// Length of the well-formed character at `at`; 0 if it is malformed or cut off by the end.
#[inline]
pub fn well_formed(text: &[u8], at: usize) -> usize {
    let rest = &text[at..];
    let Some(&lead) = rest.first() else { return 0 };
    if lead < 0x80 {
        return 1;
    }
    let (length, low, high) = match lead {
        0xc2..=0xdf => (2, 0x80, 0xbf),
        0xe0 => (3, 0xa0, 0xbf),
        0xed => (3, 0x80, 0x9f),
        0xe1..=0xef => (3, 0x80, 0xbf),
        0xf0 => (4, 0x90, 0xbf),
        0xf1..=0xf3 => (4, 0x80, 0xbf),
        0xf4 => (4, 0x80, 0x8f),
        _ => return 0,
    };
    if rest.len() < length || rest[1] < low || rest[1] > high {
        return 0;
    }
    if rest[2..length].iter().any(|&b| b & 0xc0 != 0x80) {
        return 0;
    }
    length
}

/// Offset of the first byte that is not part of well-formed text, or `None`.
pub fn first_invalid(text: &[u8]) -> Option<usize> {
    core::str::from_utf8(text).err().map(|e| e.valid_up_to())
}

/// Bytes of a text that are checked as one task.
const PART: usize = 1 << 18;

/// The same for a long text, on all threads.
pub fn first_invalid_of_all(text: &[u8], parallel: Parallel) -> Option<usize> {
    if text.len() < 2 * PART {
        return first_invalid(text);
    }
    let is_start = |&at: &usize| text.get(at).is_none_or(|byte| byte & 0xc0 != 0x80);
    // No character of a well-formed text reaches across the first that begins behind a part.
    let start = |part: usize| {
        let from = (part * PART).min(text.len());
        (from..text.len().min(from + 4))
            .find(is_start)
            .unwrap_or(from)
    };
    let first = AtomicUsize::new(usize::MAX);
    parallel(text.len().div_ceil(PART), &|part, _| {
        let from = start(part);
        if let Some(at) = first_invalid(&text[from..start(part + 1)]) {
            first.fetch_min(from + at, Ordering::Relaxed);
        }
    });
    Some(first.into_inner()).filter(|&at| at < text.len())
}

/// The first byte of a character.
pub fn first_byte(character: u32) -> u8 {
    match character {
        0..0x80 => character as u8,
        0x80..0x800 => 0xc0 | (character >> 6) as u8,
        0x800..0x10000 => 0xe0 | (character >> 12) as u8,
        _ => 0xf0 | (character >> 18) as u8,
    }
}

/// Whether the text from `at` could become well-formed with more bytes behind it.
pub fn is_cut_off(text: &[u8], at: usize) -> bool {
    match core::str::from_utf8(&text[at..]) {
        Ok(_) => false,
        Err(e) => e.valid_up_to() == 0 && e.error_len().is_none(),
    }
}
