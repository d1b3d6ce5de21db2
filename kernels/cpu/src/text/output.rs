//! Writing ids, and what becomes of characters without a piece.

use super::hash::NONE;
use super::symbols::Symbols;
use alloc::vec::Vec;

/// Ids as they come, with what is known of unknown characters before.
pub struct Output<'a> {
    /// The ids.
    pub ids: &'a mut Vec<u32>,
    /// Number of ids right behind the last unknown one, which further ones join.
    pub unknown_end: usize,
    /// An unknown token that is not written yet.
    pub pending: bool,
}

impl Output<'_> {
    /// Writes a token that is a piece.
    pub fn known(&mut self, symbols: &Symbols, token: u32) {
        self.flush(symbols.unknown);
        self.ids.push(symbols.ids[token as usize]);
    }

    /// Writes a token whose text is `text`.
    #[inline(always)]
    pub fn token(&mut self, symbols: &Symbols, token: u32, text: &[u8]) {
        let id = symbols.ids.get(token as usize).copied().unwrap_or(NONE);
        if id == NONE {
            return self.unknown(symbols, text);
        }
        self.flush(symbols.unknown);
        self.ids.push(id);
    }

    /// Writes characters without a piece: their bytes, or the unknown token.
    #[cold]
    pub fn unknown(&mut self, symbols: &Symbols, text: &[u8]) {
        if let Some(bytes) = &symbols.bytes {
            let known = text.iter().all(|&b| bytes[b as usize] != NONE);
            if known {
                self.ids.extend(text.iter().map(|&b| bytes[b as usize]));
                return;
            }
        }
        if symbols.hugging_face {
            if self.pending && !symbols.fuse_unknown {
                self.flush(symbols.unknown);
            }
            self.pending = symbols.unknown != NONE;
        } else if symbols.unknown != NONE
            && !(symbols.fuse_unknown && self.unknown_end == self.ids.len())
        {
            self.ids.push(symbols.unknown);
            self.unknown_end = self.ids.len();
        }
    }

    /// Writes the unknown token that is not written yet.
    #[inline(always)]
    pub fn flush(&mut self, unknown: u32) {
        if self.pending {
            self.pending = false;
            self.ids.push(unknown);
        }
    }
}
