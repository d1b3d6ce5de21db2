//! What one thread needs to encode.

use super::backtrack::DeadEnds;
use super::cache::Cache;
use super::merge::{Agenda, Symbol};
use super::normalize::Step;
use super::vocabulary::Vocabulary;
use alloc::vec::Vec;

/// Working memory of one thread.
pub struct Worker {
    /// Encodings met lately: most of a text's pieces are among a few thousand, which stay closer to the
    /// processor than the tables of a whole vocabulary do.
    pub cache: Cache,
    /// Encodings of pieces that are no tokens themselves, which are dear to find.
    pub merged: Cache,
    /// For the fast encoder.
    pub dead: DeadEnds,
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
            dead: DeadEnds::default(),
            agenda: Agenda::default(),
            normal: Vec::new(),
            steps: Vec::new(),
            cuts: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

impl Worker {
    /// Puts the tokens of a piece into `self.tokens`.
    pub fn merge(
        &mut self,
        vocabulary: &Vocabulary,
        piece: &[u8],
        symbols: impl FnOnce() -> Vec<Symbol>,
    ) {
        self.tokens.clear();
        if vocabulary.regular && vocabulary.encode(piece, &mut self.dead, &mut self.tokens) {
            return;
        }
        self.agenda.run(vocabulary, piece, symbols());
        self.tokens.extend(self.agenda.symbols().map(|s| s.token));
    }
}
