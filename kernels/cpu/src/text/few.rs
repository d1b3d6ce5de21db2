//! Encoding of short pieces: the pair of the lowest rank merges, the leftmost among equals, until none
//! is left. For a few symbols that costs less than searching the longest tokens (`backtrack.rs`): the
//! look-ups of all pairs at the start do not wait for one another.

use super::hash::NONE;
use super::vocabulary::Vocabulary;
use alloc::vec::Vec;

/// Most symbols of a piece.
pub const MOST: usize = 16;

/// Pairs that merge, by their left symbols.
struct Pairs {
    /// Rank and place of each, [`NONE`] where nothing merges: the smallest merges next.
    order: [u32; MOST],
    /// What each becomes.
    results: [u32; MOST],
}

const PLACE_BITS: u32 = MOST.trailing_zeros();

impl Pairs {
    #[inline(always)]
    fn set(&mut self, vocabulary: &Vocabulary, at: usize, left: u32, right: u32) {
        let (rank, token) = vocabulary.pair(left, right);
        self.order[at] = if token == NONE {
            NONE
        } else {
            rank << PLACE_BITS | at as u32
        };
        self.results[at] = token;
    }

    #[inline(always)]
    fn first(&self) -> u32 {
        self.order.iter().copied().fold(NONE, u32::min)
    }
}

impl Vocabulary {
    /// Appends the tokens that up to [`MOST`] base tokens merge into. The vocabulary must be regular.
    #[inline]
    pub fn merge_few(&self, symbols: &[u32], out: &mut Vec<u32>) {
        let count = symbols.len().min(MOST);
        let mut tokens = [0; MOST];
        tokens[..count].copy_from_slice(&symbols[..count]);
        let mut pairs = Pairs {
            order: [NONE; MOST],
            results: [NONE; MOST],
        };
        for at in 1..count {
            pairs.set(self, at - 1, tokens[at - 1], tokens[at]);
        }
        // A bit for each symbol that is not merged into the one to its left.
        let mut left: u32 = (1 << count) - 1;
        loop {
            let first = pairs.first();
            if first == NONE {
                break;
            }
            let at = (first as usize) % MOST;
            let behind = left & !((2 << at) - 1);
            let gone = behind & behind.wrapping_neg();
            left ^= gone;
            tokens[at] = pairs.results[at];
            pairs.order[gone.trailing_zeros() as usize % MOST] = NONE;
            let next = behind ^ gone;
            if next == 0 {
                pairs.order[at] = NONE;
            } else {
                let next = next.trailing_zeros() as usize % MOST;
                pairs.set(self, at, tokens[at], tokens[next]);
            }
            let before = left & ((1 << at) - 1);
            if before != 0 {
                let before = before.ilog2() as usize % MOST;
                pairs.set(self, before, tokens[before], tokens[at]);
            }
        }
        while left != 0 {
            out.push(tokens[left.trailing_zeros() as usize % MOST]);
            left &= left - 1;
        }
    }
}
