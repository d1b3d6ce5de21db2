//! GPT-2's split pattern as a scanner (openai/gpt-2, encoder.py), which `tokenizer.json` means by a
//! `ByteLevel` step with `use_regex`:
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//! ```
//!
//! Where every number stands alone (a `Digits` step before it, as in SmolLM), the pattern sees the text
//! between numbers for itself: a number ends it.

use super::class::{LETTER, NEWLINE, NUMBER, OTHER, SPACE};
use super::split::Splitter;

impl Splitter {
    /// As [`Splitter::next`].
    ///
    /// # Safety
    /// `text` must be well-formed and `at` the start of a character in it.
    pub(super) unsafe fn next_gpt2(&self, text: &[u8], at: usize, open: &mut bool) -> usize {
        unsafe {
            let (class, len) = self.class(text, at);
            let second = at + len;
            match class {
                NUMBER if self.pattern.numbers_alone => return second,
                LETTER | NUMBER => return self.run(text, second, class, open),
                OTHER => {
                    if text[at] == b'\''
                        && let Some(end) = contraction(text, second, open)
                    {
                        return end;
                    }
                    return self.run(text, second, OTHER, open);
                }
                _ => {}
            }
            if second >= text.len() {
                *open = true;
                return second;
            }
            let (next, next_len) = self.class(text, second);
            let joins = match next {
                SPACE | NEWLINE => false,
                NUMBER => !self.pattern.numbers_alone,
                _ => true,
            };
            if text[at] == b' ' && joins {
                return self.run(text, second + next_len, next, open);
            }
            self.white_space_gpt2(text, at, open)
        }
    }

    /// End of a piece of white space: all of a run at the end of the text, else all but the last
    /// character.
    unsafe fn white_space_gpt2(&self, text: &[u8], start: usize, open: &mut bool) -> usize {
        let mut at = start;
        let mut last = start;
        while at < text.len() {
            let (class, len) = unsafe { self.class(text, at) };
            match class {
                SPACE | NEWLINE => {}
                NUMBER if self.pattern.numbers_alone => return at,
                _ => return if last > start { last } else { at },
            }
            last = at;
            at += len;
        }
        *open = true;
        at
    }
}

/// End of a contraction whose apostrophe is behind.
fn contraction(text: &[u8], at: usize, open: &mut bool) -> Option<usize> {
    let byte = |i: usize| text.get(at + i).copied().unwrap_or(0);
    let len = match (byte(0), byte(1)) {
        (b's' | b't' | b'm' | b'd', _) => 1,
        (b'r' | b'v', b'e') | (b'l', b'l') => 2,
        _ => {
            *open |= at + 2 > text.len();
            return None;
        }
    };
    Some(at + len)
}
