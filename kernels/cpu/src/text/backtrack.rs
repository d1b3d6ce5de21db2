//! Encoding in linear time: longest match with backtracking.
//!
//! A sequence of stable tokens is the encoding of its text exactly if all neighbours fit, and every
//! prefix of a text has one such sequence (van Antwerpen & Neubeck 2024, the `bpe` crate of
//! rust-gems). So the search takes the longest token that fits, goes back where none does, and never
//! tries a place twice. In a long run of one character most of the longest tokens do not fit, and
//! finding that out costs more than merging in rounds: so the search gives up after much work.

use super::hash::NONE;
use super::vocabulary::Vocabulary;
use alloc::vec::Vec;

/// Bytes of tokens tried for each byte of text, from which on merging in rounds costs less.
const WORK_PER_BYTE: usize = 4;
const WORK_AT_LEAST: usize = 256;

/// Places in a text from which the search had to go back.
#[derive(Default)]
pub struct DeadEnds {
    bits: Vec<u64>,
}

impl DeadEnds {
    fn reset(&mut self, len: usize) {
        self.bits.clear();
        self.bits.resize(len / 64 + 1, 0);
    }

    #[inline(always)]
    fn has(&self, at: usize) -> bool {
        unsafe { self.bits.get_unchecked(at / 64) >> (at % 64) & 1 != 0 }
    }

    #[inline(always)]
    fn add(&mut self, at: usize) {
        self.bits[at / 64] |= 1 << (at % 64);
    }
}

impl Vocabulary {
    /// Appends the tokens of `text` to `out`; false, with `out` as it was, if some part of the text
    /// is no base token, or if the search is too long. The vocabulary must be regular.
    pub fn encode(&self, text: &[u8], dead: &mut DeadEnds, out: &mut Vec<u32>) -> bool {
        if text.is_empty() {
            return true;
        }
        dead.reset(text.len());
        let base = out.len();
        let mut at = 0;
        let mut token = self.trie.longest(text, 0);
        let mut work = 0;
        loop {
            let last = if out.len() > base {
                out[out.len() - 1]
            } else {
                NONE
            };
            work += if token == NONE { 1 } else { self.length(token) };
            if work > WORK_PER_BYTE * text.len() + WORK_AT_LEAST {
                out.truncate(base);
                return false;
            }
            let fitting = self.longest_fitting(last, token, at, dead);
            if fitting != NONE {
                out.push(fitting);
                at += self.length(fitting);
                if at == text.len() {
                    return true;
                }
                token = self.trie.longest(text, at);
                continue;
            }
            if last == NONE {
                out.truncate(base);
                return false;
            }
            dead.add(at);
            out.pop();
            // Its end is a dead end now, so that a shorter one will be taken.
            token = last;
            at -= self.length(last);
        }
    }

    /// The longest prefix of `token` that is a token, fits to `last` and does not end in a dead end.
    #[inline(always)]
    fn longest_fitting(&self, last: u32, mut token: u32, at: usize, dead: &DeadEnds) -> u32 {
        while token != NONE {
            let end = at + self.length(token);
            if !dead.has(end) && (last == NONE || self.fit(last, token)) {
                break;
            }
            token = unsafe { self.tokens.get_unchecked(token as usize).prefix };
        }
        token
    }

    #[inline(always)]
    fn length(&self, token: u32) -> usize {
        unsafe { *self.lengths.get_unchecked(token as usize) as usize }
    }
}
