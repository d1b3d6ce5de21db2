//! Llama 3's split pattern as a scanner:
//!
//! ```text
//! (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
//! | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! Qwen 2's is the same with `\p{N}`; GPT-2's and its like are in `split_gpt2.rs`.
//!
//! Alternatives are tried in order at each place, as in every backtracking engine (Llama 3,
//! tokenizer.py). It needs no backtracking: the class of two characters tells which one matches.

use super::class::{CharClasses, LETTER, NEWLINE, NUMBER, OTHER, SPACE};
use super::words::{AFTER_ANY, AFTER_SPACE, Beginnings};

/// A split pattern.
#[derive(Clone, Copy, Default)]
pub struct Pattern {
    /// GPT-2's instead of Llama 3's.
    pub gpt2: bool,
    /// Every number stands alone, split off before all else in GPT-2's.
    pub numbers_alone: bool,
}

/// Cuts text into the pieces that are encoded each for itself.
#[derive(Default)]
pub struct Splitter {
    classes: CharClasses,
    pub(super) pattern: Pattern,
}

impl Splitter {
    /// A scanner of a pattern.
    pub fn new(pattern: Pattern) -> Splitter {
        Splitter {
            classes: CharClasses::new(),
            pattern,
        }
    }

    /// How words of ASCII letters may begin.
    pub fn beginnings(&self) -> &'static Beginnings {
        if self.pattern.gpt2 {
            &AFTER_SPACE
        } else {
            &AFTER_ANY
        }
    }

    /// Class and length of the character at `at`.
    #[inline(always)]
    pub(super) unsafe fn class(&self, text: &[u8], at: usize) -> (u8, usize) {
        unsafe { self.classes.at(text, at) }
    }

    /// End of the piece that begins at `at`. `open` is set when more text behind the end could change
    /// it.
    ///
    /// # Safety
    /// `text` must be well-formed and `at` the start of a character in it.
    #[inline(always)]
    pub unsafe fn next(&self, text: &[u8], at: usize, open: &mut bool) -> usize {
        unsafe {
            if self.pattern.gpt2 {
                return self.next_gpt2(text, at, open);
            }
            let (class, len) = self.class(text, at);
            let second = at + len;
            match class {
                LETTER => return self.run(text, second, LETTER, open),
                NUMBER => return self.numbers(text, second, open),
                NEWLINE => return self.white_space(text, at, open),
                _ => {}
            }
            if second >= text.len() {
                *open = true;
                return second;
            }
            if text[at] == b'\''
                && let Some(end) = contraction(text, second, open)
            {
                return end;
            }
            let (next, next_len) = self.class(text, second);
            if next == LETTER {
                return self.run(text, second + next_len, LETTER, open);
            }
            if class == OTHER {
                return self.symbols(text, second, open);
            }
            match next {
                OTHER if text[at] == b' ' => self.symbols(text, second + next_len, open),
                SPACE | NEWLINE => self.white_space(text, at, open),
                _ => second,
            }
        }
    }

    /// End of the run of one class that goes on at `at`.
    #[inline(always)]
    pub(super) unsafe fn run(
        &self,
        text: &[u8],
        mut at: usize,
        wanted: u8,
        open: &mut bool,
    ) -> usize {
        unsafe {
            while at < text.len() {
                let (class, len) = self.class(text, at);
                if class != wanted {
                    return at;
                }
                at += len;
            }
            *open = true;
            at
        }
    }

    /// End of up to three numbers, or of one, of which one is behind.
    unsafe fn numbers(&self, text: &[u8], mut at: usize, open: &mut bool) -> usize {
        let more = if self.pattern.numbers_alone { 0 } else { 2 };
        for _ in 0..more {
            if at >= text.len() {
                *open = true;
                return at;
            }
            let (class, len) = unsafe { self.class(text, at) };
            if class != NUMBER {
                return at;
            }
            at += len;
        }
        at
    }

    /// End of a run of symbols and of the line breaks behind it.
    unsafe fn symbols(&self, text: &[u8], at: usize, open: &mut bool) -> usize {
        let mut end = unsafe { self.run(text, at, OTHER, open) };
        while end < text.len() && (text[end] == b'\r' || text[end] == b'\n') {
            end += 1;
        }
        if end == text.len() {
            *open = true;
        }
        end
    }

    /// End of a piece of white space: up to the last line break of the run if it has one, else all of
    /// a run at the end of the text, else all but the last character.
    unsafe fn white_space(&self, text: &[u8], start: usize, open: &mut bool) -> usize {
        let mut at = start;
        let mut last = start;
        let mut line_break = start;
        while at < text.len() {
            let (class, len) = unsafe { self.class(text, at) };
            match class {
                NEWLINE => line_break = at + len,
                SPACE => {}
                _ => {
                    let all_but_one = if last > start { last } else { at };
                    return if line_break > start {
                        line_break
                    } else {
                        all_but_one
                    };
                }
            }
            last = at;
            at += len;
        }
        *open = true;
        if line_break > start { line_break } else { at }
    }
}

/// End of a contraction whose apostrophe is behind.
fn contraction(text: &[u8], at: usize, open: &mut bool) -> Option<usize> {
    let lower = |i: usize| text.get(at + i).map_or(0, |b| b | 0x20);
    let end = match (lower(0), lower(1)) {
        (b's' | b't' | b'm' | b'd', _) => at + 1,
        (b'r' | b'v', b'e') | (b'l', b'l') => at + 2,
        // U+017F, the long s, is an s to a pattern that ignores case.
        _ if text[at..].starts_with(b"\xc5\xbf") => at + 2,
        _ => {
            *open |= at + 2 > text.len();
            return None;
        }
    };
    *open |= end == text.len();
    Some(end)
}
