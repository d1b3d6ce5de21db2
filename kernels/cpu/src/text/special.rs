//! Special tokens in a text: found by their names, leftmost first, the longest of those that begin at
//! one place.

use super::class::{ASCII, CharClasses, LETTER, NEWLINE, NUMBER, OTHER, SPACE};
use super::hash::{NONE, Texts};
use super::trie::Trie;
use super::utf8::decode;
use alloc::vec::Vec;

/// The match takes the white space before it (`lstrip` of `tokenizer.json`).
pub const STRIP_LEFT: u32 = 1;
/// The match takes the white space behind it.
pub const STRIP_RIGHT: u32 = 2;
/// It matches only where no word goes on at its ends.
pub const SINGLE_WORD: u32 = 4;
/// It is not "special": it is found even where special tokens are text.
pub const ALWAYS: u32 = 8;

/// Where a special token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// First byte behind it.
    pub end: usize,
    /// Its id.
    pub id: u32,
}

/// The names of special tokens.
#[derive(Default)]
pub struct Specials {
    trie: Trie,
    ids: Vec<u32>,
    flags: Vec<u32>,
    first: [u64; 4],
    /// Whether text may be cut anywhere between a letter and a space without cutting a name.
    pub simple: bool,
    always: bool,
}

impl Specials {
    /// Indexes names with their ids and flags.
    pub fn new(names: &Texts, ids: Vec<u32>, flags: Vec<u32>) -> Specials {
        let mut specials = Specials {
            simple: true,
            ..Specials::default()
        };
        for i in 0..names.len() {
            let name = names.get(i as u32);
            let Some(&first) = name.first() else { continue };
            specials.first[first as usize / 64] |= 1 << (first % 64);
            let flag = flags.get(i).copied().unwrap_or(0);
            specials.simple &= !name.contains(&b' ') && flag & !ALWAYS == 0;
            specials.always |= flag & ALWAYS != 0;
        }
        let named: Vec<u32> = (0..names.len() as u32)
            .filter(|&i| !names.get(i).is_empty())
            .collect();
        specials.trie = Trie::new(|i| names.get(i), &named);
        specials.ids = ids;
        specials.flags = flags;
        specials
    }

    /// Whether there is anything to look for; `all` includes the tokens that are special.
    pub fn any(&self, all: bool) -> bool {
        !self.trie.is_empty() && (all || self.always)
    }

    /// The first match at or after `from`. `open` gets the place from which more text could make one,
    /// if there is no match before.
    pub fn find(
        &self,
        text: &[u8],
        from: usize,
        all: bool,
        classes: &CharClasses,
        open: &mut Option<usize>,
    ) -> Option<Found> {
        let mut at = from;
        while at < text.len() {
            let byte = text[at];
            if self.first[byte as usize / 64] >> (byte % 64) & 1 == 0 {
                at += 1;
                continue;
            }
            let mut cut_off = false;
            let found = self.trie.longest_open(text, at, &mut cut_off);
            if cut_off && open.is_none() {
                *open = Some(at);
            }
            let Some((index, len)) = found else {
                at += 1;
                continue;
            };
            if let Some(found) = self.accept(text, (from, at, at + len), index, all, classes) {
                return Some(found);
            }
            // Skipped matches still use up their text.
            at += len;
        }
        None
    }

    fn accept(
        &self,
        text: &[u8],
        (from, start, end): (usize, usize, usize),
        index: u32,
        all: bool,
        classes: &CharClasses,
    ) -> Option<Found> {
        let flags = self.flags.get(index as usize).copied().unwrap_or(0);
        let id = self.ids.get(index as usize).copied().unwrap_or(NONE);
        if !all && flags & ALWAYS == 0 {
            return None;
        }
        let class = |at: usize| unsafe {
            let (code, len) = decode(text, at);
            (
                if code < 128 {
                    ASCII[code as usize]
                } else {
                    classes.of(code)
                },
                len,
            )
        };
        let before = |end: usize| {
            (1..=4.min(end))
                .map(|n| end - n)
                .find(|&at| text[at] & 0xc0 != 0x80)
                .map(|at| (class(at).0, at))
        };
        let is_word = |class: u8, at: usize| {
            matches!(class, LETTER | NUMBER) || (class == OTHER && text[at] == b'_')
        };
        let is_space = |class: u8| matches!(class, SPACE | NEWLINE);
        if flags & SINGLE_WORD != 0 {
            let left = before(start).is_some_and(|(class, at)| is_word(class, at));
            let right = end < text.len() && is_word(class(end).0, end);
            if left || right {
                return None;
            }
        }
        let mut found = Found { start, end, id };
        while flags & STRIP_LEFT != 0 && found.start > from {
            match before(found.start) {
                Some((class, at)) if is_space(class) && at >= from => found.start = at,
                _ => break,
            }
        }
        while flags & STRIP_RIGHT != 0 && found.end < text.len() && is_space(class(found.end).0) {
            found.end += class(found.end).1;
        }
        Some(found)
    }
}
