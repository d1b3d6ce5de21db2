//! Encoding of long texts, block by block.
//!
//! All that a block needs stays close to the processor. The tokens near a block's end, which what
//! follows may change, are given up, and the next block begins behind those that are kept. Neighbours
//! that fit make the encoding (see `backtrack.rs`), so it is enough that the first token of a block
//! fits to the last that was kept, and each block may be encoded in its own way: where the longest
//! tokens mostly do not fit, merging in rounds costs less than going back.

use super::backtrack::DeadEnds;
use super::rounds::Rounds;
use super::vocabulary::Vocabulary;
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of a block, up to the next symbol.
const BLOCK: usize = 4096;
/// Bytes at its end whose tokens are given up.
const GIVEN_UP: usize = 256;
/// Most bytes of a text in which a search costs less than merging in rounds.
const SHORT: usize = 128;

/// Working memory, reused.
#[derive(Default)]
pub struct Blocks {
    dead: DeadEnds,
    rounds: Rounds,
    tokens: Vec<u32>,
}

/// A block that was encoded: its text, where what was kept of it ends, and the tokens of that.
struct Block {
    text: Range<usize>,
    end: usize,
    ids: Range<usize>,
}

impl Blocks {
    /// Appends the tokens of `text` to `out`; false, with `out` as it was, if blocks do not fit to one
    /// another. `base` gives the base token that begins at a place, and its length. The vocabulary must
    /// be regular in this text.
    pub fn encode(
        &mut self,
        vocabulary: &Vocabulary,
        text: &[u8],
        base: impl Fn(usize) -> (u32, usize),
        out: &mut Vec<u32>,
    ) -> bool {
        let first = out.len();
        let mut at = 0;
        let mut last: Option<Block> = None;
        while at < text.len() {
            if let Some(block) = &last
                && text[at..].starts_with(&text[block.text.clone()])
                && at + block.text.len() < text.len()
                && vocabulary.fit(out[block.ids.end - 1], out[block.ids.start])
            {
                out.extend_from_within(block.ids.clone());
                at += block.end - block.text.start;
                continue;
            }
            let end = block_end(text, at);
            self.encode_block(vocabulary, (&text[at..end], at), &base);
            let start = out.len();
            let fits = |&token: &u32| start == first || vocabulary.fit(out[start - 1], token);
            if !self.tokens.first().is_some_and(fits) {
                out.truncate(first);
                return false;
            }
            let most = if end == text.len() {
                end
            } else {
                end - GIVEN_UP
            };
            let begin = at;
            for &token in &self.tokens {
                let next = at + vocabulary.lengths[token as usize] as usize;
                if next > most {
                    break;
                }
                out.push(token);
                at = next;
            }
            if at == begin {
                out.truncate(first);
                return false;
            }
            last = Some(Block {
                text: begin..end,
                end: at,
                ids: start..out.len(),
            });
        }
        true
    }

    fn encode_block(
        &mut self,
        vocabulary: &Vocabulary,
        (text, at): (&[u8], usize),
        base: impl Fn(usize) -> (u32, usize),
    ) {
        self.tokens.clear();
        if text.len() <= SHORT && vocabulary.encode(text, &mut self.dead, &mut self.tokens) {
            return;
        }
        let base = |place: usize| base(at + place);
        self.rounds
            .encode(vocabulary, text.len(), base, &mut self.tokens);
    }
}

/// Where the block that begins at `at` ends: between two characters.
fn block_end(text: &[u8], at: usize) -> usize {
    if text.len() - at <= BLOCK {
        return text.len();
    }
    let end = at + BLOCK;
    let inside = |place: &usize| text[*place] & 0xc0 == 0x80;
    (end - 3..=end)
        .rev()
        .find(|place| !inside(place))
        .unwrap_or(end)
}
