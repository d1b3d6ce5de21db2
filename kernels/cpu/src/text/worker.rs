//! What one thread needs to encode.

use super::backtrack::DeadEnds;
use super::cache::Cache;
use super::merge::{Agenda, Symbol};
use super::normalize::Step;
use super::vocabulary::Vocabulary;
use alloc::vec::Vec;

/// Working memory of one thread.
#[derive(Default)]
pub struct Worker {
    /// Encodings met before.
    pub cache: Cache,
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

impl Worker {
    /// Puts the tokens of a piece into `self.tokens`; false if a part of it is no base token.
    pub fn merge(
        &mut self,
        vocabulary: &Vocabulary,
        piece: &[u8],
        symbols: impl FnOnce() -> Vec<Symbol>,
    ) -> bool {
        self.tokens.clear();
        if vocabulary.regular {
            return vocabulary.encode(piece, &mut self.dead, &mut self.tokens);
        }
        self.agenda.run(vocabulary, piece, symbols());
        self.tokens.extend(self.agenda.symbols().map(|s| s.token));
        true
    }
}
