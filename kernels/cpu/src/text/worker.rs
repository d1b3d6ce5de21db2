//! What one thread needs to encode.

use super::blocks::Blocks;
use super::cache::Cache;
use super::cache_long::LongCache;
use super::merge::{Agenda, Symbol};
use super::normalize::Step;
use super::vocabulary::Vocabulary;
use crate::memory::prefer_huge_pages;
use alloc::vec::Vec;

/// Working memory of one thread.
pub struct Worker {
    /// Encodings met lately: most of a text's pieces are among a few thousand, which stay closer to the
    /// processor than the tables of a whole vocabulary do.
    pub cache: Cache,
    /// Encodings of pieces that are no tokens themselves, which are dear to find.
    pub merged: Cache,
    /// Encodings of pieces too long for the others.
    pub long: LongCache,
    /// For the fast encoders.
    pub blocks: Blocks,
    /// For the general encoder.
    pub agenda: Agenda,
    /// Normal form of the text.
    pub normal: Vec<u8>,
    /// Where text and normal form correspond.
    pub steps: Vec<Step>,
    /// Where the normal form may be cut.
    pub cuts: Vec<Cut>,
    /// Tokens of one piece.
    pub tokens: Vec<u32>,
}

/// A place where the normal form may be cut, whatever follows.
#[derive(Clone, Copy)]
pub struct Cut {
    /// Offset in the normal form.
    pub normal: usize,
    /// Number of ids so far.
    pub ids: usize,
}

const RECENT: usize = 1 << 15;
const MERGED: usize = 1 << 15;

impl Default for Worker {
    fn default() -> Self {
        Worker {
            cache: Cache::new(RECENT),
            merged: Cache::new(MERGED),
            long: LongCache::default(),
            blocks: Blocks::default(),
            agenda: Agenda::default(),
            normal: Vec::new(),
            steps: Vec::new(),
            cuts: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

impl Worker {
    /// Puts the tokens of a piece into `self.tokens`. `base` gives the token that is not made by merging
    /// which begins at a place, and its length.
    pub fn merge(
        &mut self,
        vocabulary: &Vocabulary,
        piece: &[u8],
        base: impl Fn(usize) -> (u32, usize),
    ) {
        self.tokens.clear();
        if vocabulary.is_regular_in(piece)
            && self
                .blocks
                .encode(vocabulary, piece, &base, &mut self.tokens)
        {
            return;
        }
        let mut symbols = Vec::new();
        let mut at = 0;
        while at < piece.len() {
            let (token, len) = base(at);
            symbols.push(Symbol::new(at, at + len, token));
            at += len;
        }
        self.agenda.run(vocabulary, piece, symbols);
        self.tokens.extend(self.agenda.symbols().map(|s| s.token));
    }
}

/// Makes room for so many elements more, in huge pages where there is much of it.
pub fn reserve<T>(list: &mut Vec<T>, count: usize) {
    if list.capacity() - list.len() < count {
        list.reserve(count);
        prefer_huge_pages(list.as_mut_ptr(), list.capacity());
    }
}
