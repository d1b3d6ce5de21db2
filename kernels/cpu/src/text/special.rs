//! Special tokens in a text: found by their names, leftmost first, the longest of those that begin at
//! one place (huggingface/tokenizers, added_vocabulary.rs).

use super::class::{CharClasses, NEWLINE, SPACE};
use super::hash::{NONE, Texts};
use super::trie::Trie;
use super::utf8::well_formed;
use alloc::vec::Vec;

/// The match takes the white space before it (`lstrip` of `tokenizer.json`).
pub const STRIP_LEFT: u32 = 1;
/// The match takes the white space behind it.
pub const STRIP_RIGHT: u32 = 2;
/// It matches only where no word goes on at its ends.
pub const SINGLE_WORD: u32 = 4;
/// It is not "special": it is found even where special tokens are text.
pub const ALWAYS: u32 = 8;
/// It is found in what the others leave, after that is normalized (`normalized` of `tokenizer.json`).
pub const LATE: u32 = 16;

/// Where a special token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// First byte behind it.
    pub end: usize,
    /// Where its name begins.
    name: usize,
    /// Where its name ends: the next one is looked for from there on, even inside white space taken.
    pub resume: usize,
    /// Its id.
    pub id: u32,
}

impl Found {
    /// Whether it takes no text: the match before took all of it.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// How far a search has come.
#[derive(Clone, Copy)]
pub struct Search {
    /// Names are looked for from here on.
    pub from: usize,
    /// Behind the last match: white space before that is taken.
    pub bound: usize,
    /// Whether tokens that are special are looked for too.
    pub all: bool,
    /// Whether a word stands before the text.
    pub after_word: bool,
    /// The place from which more text could make a match, if there is no match before.
    pub open: Option<usize>,
}

impl Search {
    /// A search from the start of a text.
    pub fn new(all: bool, after_word: bool) -> Search {
        Search {
            from: 0,
            bound: 0,
            all,
            after_word,
            open: None,
        }
    }
}

/// The names of special tokens.
#[derive(Default)]
pub struct Specials {
    trie: Trie,
    ids: Vec<u32>,
    flags: Vec<u32>,
    first: [u64; 4],
    /// Whether what is found depends on the names' own bytes alone.
    pub simple: bool,
    /// The bytes that stand behind the first of some name.
    within: [u64; 4],
    /// Whether some take the white space before them.
    pub strips_left: bool,
    /// Whether spaces are U+2581, which is no white space.
    pub marks: bool,
    always: bool,
    /// Whether a name may begin inside another.
    overlap: bool,
}

impl Specials {
    /// Indexes the names whose flags are `wanted`.
    pub fn new(
        names: &Texts,
        (ids, flags): (&[u32], &[u32]),
        wanted: impl Fn(u32) -> bool,
    ) -> Specials {
        let mut specials = Specials {
            simple: true,
            ..Specials::default()
        };
        let mut named = Vec::new();
        for i in 0..names.len() {
            let name = names.get(i as u32);
            let flag = flags.get(i).copied().unwrap_or(0);
            let Some(&first) = name.first().filter(|_| wanted(flag)) else {
                continue;
            };
            named.push(i as u32);
            specials.first[first as usize / 64] |= 1 << (first % 64);
            for &byte in &name[1..] {
                specials.within[byte as usize / 64] |= 1 << (byte % 64);
            }
            specials.simple &= flag & !(ALWAYS | LATE) == 0;
            specials.always |= flag & ALWAYS != 0;
            specials.strips_left |= flag & STRIP_LEFT != 0;
        }
        specials.trie = Trie::new(|i| names.get(i), &named);
        specials.overlap = named.iter().any(|&i| specials.begins_inside(names.get(i)));
        specials.ids = ids.to_vec();
        specials.flags = flags.to_vec();
        specials
    }

    fn begins_inside(&self, name: &[u8]) -> bool {
        (1..name.len()).any(|at| {
            let mut cut_off = false;
            self.trie.longest_open(name, at, &mut cut_off).is_some() || cut_off
        })
    }

    /// Whether text may be cut in front of a character whose first byte this is, without cutting a name.
    pub fn may_cut_before(&self, byte: u8) -> bool {
        self.within[byte as usize / 64] & 1 << (byte % 64) == 0
    }

    /// Whether there is anything to look for; `all` includes the tokens that are special.
    pub fn any(&self, all: bool) -> bool {
        !self.trie.is_empty() && (all || self.always)
    }

    /// The next match.
    pub fn find(&self, text: &[u8], search: &mut Search, classes: &CharClasses) -> Option<Found> {
        let mut at = search.from;
        while at < text.len() {
            let byte = text[at];
            if self.first[byte as usize / 64] >> (byte % 64) & 1 == 0 {
                at += 1;
                continue;
            }
            let mut cut_off = false;
            let found = self.trie.longest_open(text, at, &mut cut_off);
            if cut_off && search.open.is_none() {
                search.open = Some(at);
            }
            let Some((index, len)) = found else {
                at += 1;
                continue;
            };
            if let Some(found) = self.accept(text, (at, at + len), index, (search, classes)) {
                return Some(found);
            }
            // Skipped matches still use up their text, which therefore must not be cut.
            if self.overlap {
                search.open = Some(search.open.unwrap_or(at));
            }
            at += len;
        }
        None
    }

    /// The next match of a stream's text, unless more of it could make it another one: then the search
    /// is open where that begins.
    pub fn find_certain(
        &self,
        text: &[u8],
        search: &mut Search,
        classes: &CharClasses,
    ) -> Option<Found> {
        let found = self.find(text, search, classes)?;
        let certain = found.end < text.len() && self.next_is_certain(text, &found, search, classes);
        if search.open.is_none() && certain {
            return Some(found);
        }
        search.open = Some(search.open.unwrap_or(found.start).min(found.start));
        None
    }

    /// Whether no name that more text could make begins inside the white space that a match takes, or
    /// inside that of the matches which begin there.
    fn next_is_certain(
        &self,
        text: &[u8],
        found: &Found,
        search: &Search,
        classes: &CharClasses,
    ) -> bool {
        let mut last = *found;
        while last.resume < last.end {
            let mut ahead = Search {
                from: last.resume,
                bound: last.end,
                ..*search
            };
            let next = self.find(text, &mut ahead, classes);
            if ahead.open.is_some_and(|open| open < last.end) {
                return false;
            }
            match next.filter(|next| next.name < last.end) {
                None => return true,
                Some(next) if next.end >= text.len() => return false,
                Some(next) => last = next,
            }
        }
        true
    }

    /// Up to where a stream's text behind the last match can be encoded without what follows.
    pub fn certain_end(&self, text: &[u8], search: &Search, classes: &CharClasses) -> usize {
        let mut end = search.open.unwrap_or(text.len()).max(search.bound);
        while self.strips_left && end > search.bound {
            match self.space_before(text, end, classes) {
                Some(start) if start >= search.bound => end = start,
                _ => break,
            }
        }
        end
    }

    fn accept(
        &self,
        text: &[u8],
        (start, end): (usize, usize),
        index: u32,
        (search, classes): (&Search, &CharClasses),
    ) -> Option<Found> {
        let flags = self.flags.get(index as usize).copied().unwrap_or(0);
        let id = self.ids.get(index as usize).copied().unwrap_or(NONE);
        if !search.all && flags & ALWAYS == 0 {
            return None;
        }
        if flags & SINGLE_WORD != 0 {
            let left = word_before(text, start, classes).unwrap_or(search.after_word);
            if left || is_word(text, end, classes) {
                return None;
            }
        }
        let mut found = Found {
            start,
            end,
            name: start,
            resume: end,
            id,
        };
        if flags & STRIP_LEFT != 0 {
            let before = |end: usize| self.space_before(text, end, classes);
            while let Some(at) = before(found.start).filter(|&at| at >= search.bound) {
                found.start = at;
            }
            found.start = found.start.max(search.bound);
        }
        while flags & STRIP_RIGHT != 0 && self.is_space(text, found.end, classes) {
            found.end += well_formed(text, found.end);
        }
        Some(found)
    }

    fn is_space(&self, text: &[u8], at: usize, classes: &CharClasses) -> bool {
        let whole = at < text.len() && well_formed(text, at) > 0;
        whole
            && !(self.marks && text[at] == b' ')
            && matches!(unsafe { classes.at(text, at).0 }, SPACE | NEWLINE)
    }

    /// Start of the white space that ends at `end`.
    fn space_before(&self, text: &[u8], end: usize, classes: &CharClasses) -> Option<usize> {
        character_before(text, end).filter(|&at| self.is_space(text, at, classes))
    }
}

/// Start of the character that ends at `end`, if there is one.
fn character_before(text: &[u8], end: usize) -> Option<usize> {
    (1..=4.min(end))
        .map(|n| end - n)
        .find(|&at| text[at] & 0xc0 != 0x80)
}

fn is_word(text: &[u8], at: usize, classes: &CharClasses) -> bool {
    let whole = at < text.len() && well_formed(text, at) > 0;
    whole && unsafe { classes.is_word(text, at) }
}

/// Whether the character that ends at `end` belongs to a word, if there is one.
pub fn word_before(text: &[u8], end: usize, classes: &CharClasses) -> Option<bool> {
    character_before(text, end).map(|at| is_word(text, at, classes))
}
